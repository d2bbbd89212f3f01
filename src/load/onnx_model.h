/* load/onnx_model.h: an ONNX file opened: what the preflight and the builder read from.
 *
 * The model's own messages are decoded first; nodes one by one when reached. */
#ifndef LOAD_ONNX_MODEL_H
#define LOAD_ONNX_MODEL_H

#include <rlx/model.h>

#include "load/tensor_pb.h"

/* Operator set versions by domain; the domain "ai.onnx" is always written "". */
typedef struct onnx_opset {
  const char *domain;
  int64_t version;
} onnx_opset;
typedef struct onnx_opsets {
  onnx_opset *data;
  size_t n;
} onnx_opsets;

typedef struct onnx_function { /* a node's operator that the model defines itself */
  proto_function p;
  onnx_opsets opsets;
  bool checked; /* by the preflight */
} onnx_function;

typedef struct onnx_model {
  io_map *file; /* borrowed */
  rlx_load_options limits;
  external_files external;
  arena mem;
  proto_graph graph;
  onnx_opsets opsets;
  onnx_function *functions;
  map function_index; /* "domain:name:overload" -> position */
} onnx_model;

typedef struct onnx_head { /* a node without its operands */
  const char *label;       /* its name or else its first output, maybe "" */
  const char *name, *op, *domain;
  int64_t opset;
  onnx_function *function; /* NULL: an operator */
} onnx_head;

/* What a decoded node is, where `opsets` are in force. Texts live in `mem`. */
rlx_status onnx_read_head(onnx_model *m, const onnx_opsets *opsets, const proto_node *p, arena *mem,
                          onnx_head *out);

/* Finds every node that cannot be imported, also inside functions and sub-graphs: one
 * RLX_ERROR_UNSUPPORTED lists them. */
rlx_status onnx_preflight(onnx_model *m);
/* Builds the graph; the preflight has passed. */
rlx_status onnx_build(onnx_model *m, rlx_graph **out_graph);

/* All of it: a mapped ONNX file to a graph within the limits. */
rlx_status onnx_file_read(io_map *file, const char *path, const rlx_load_options *limits,
                          rlx_graph **out_graph);

#endif
