/* load/tensor_pb.h: ONNX TensorProto to tensor. */
#ifndef LOAD_TENSOR_PB_H
#define LOAD_TENSOR_PB_H

#include "ir/tensor.h"
#include "load/external.h"
#include "load/onnx_proto.h"

/* Our dtype for a TensorProto.DataType, RLX_DTYPE_COUNT if there is none. */
rlx_dtype tensor_pb_dtype(int64_t code);
/* "f32", or ONNX's own name ("STRING", "FLOAT8E5M2") for what we have no dtype for. */
const char *tensor_pb_dtype_text(int64_t code);
/* RLX_ERROR_UNSUPPORTED, naming it. */
rlx_status tensor_pb_unsupported(int64_t code);

/* The tensor of a decoded TensorProto. It refers to `file`, the mapped file that the message
 * lies in, where it can; NULL: it has a copy of everything. Sentences name the tensor.
 * Errors: RLX_ERROR_FORMAT, RLX_ERROR_UNSUPPORTED, RLX_ERROR_LIMIT, RLX_ERROR_IO. */
rlx_status tensor_pb_make(const proto_tensor *p, io_map *file, external_files *external, arena *mem,
                          rlx_tensor **out_tensor);
/* Decodes and makes in one go. */
rlx_status tensor_pb_read(pb_span in, io_map *file, external_files *external, arena *mem,
                          rlx_tensor **out_tensor);

#endif
