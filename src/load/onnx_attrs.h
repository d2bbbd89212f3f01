/* load/onnx_attrs.h: a node's attributes as src/ops wants them. */
#ifndef LOAD_ONNX_ATTRS_H
#define LOAD_ONNX_ATTRS_H

#include "load/onnx_model.h"
#include "ops/onnx.h"

typedef struct onnx_body {
  proto_graph graph;
} onnx_body;

/* Zero-initialise before use. */
typedef struct onnx_attrs {
  VEC(onnx_attr) list;
  VEC(rlx_tensor *) tensors; /* owned by this list */
  arena mem;                 /* texts and lists */
} onnx_attrs;

/* Appends the attributes in `protos`. One that stands for an attribute of the function around it
 * takes it from `outer` (NULL: none), or is left out if the call does not give it. With `defaults`,
 * those whose name is there already are left out.  Errors: as the tensors', RLX_ERROR_FORMAT. */
rlx_status onnx_attrs_read(onnx_attrs *a, onnx_model *m, const pb_spans *protos,
                           const onnx_attrs *outer, bool defaults);
void onnx_attrs_free(onnx_attrs *a);

#endif
