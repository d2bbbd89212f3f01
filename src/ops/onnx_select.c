/* ops/onnx_select.c: importers of operators whose results' sizes depend on elements. */
#include "ops/onnx.h"

/* x and the axis that the node names, or x as one axis. */
static rlx_val along_axis(const onnx_node *n, int64_t *out_axis) {
  *out_axis = onnx_int(n, "axis", 0);
  return onnx_find(n, "axis") ? onnx_in(n, 0) : onnx_reshape(n, onnx_in(n, 0), (rlx_dim[]){-1}, 1);
}

rlx_status import_compress(onnx_node *n) {
  rlx_compress_attrs a = rlx_compress_init();
  const rlx_val x = along_axis(n, &a.axis);
  n->out[0] = rlx_compress(n->g, x, onnx_in(n, 1), &a);
  return RLX_OK;
}

rlx_status import_unique(onnx_node *n) {
  rlx_unique_attrs a = rlx_unique_init();
  const rlx_val x = along_axis(n, &a.axis);
  a.sorted = onnx_int(n, "sorted", 1) != 0;
  onnx_outputs(n, rlx_unique(n->g, x, &a));
  return RLX_OK;
}

rlx_status import_non_max_suppression(onnx_node *n) {
  rlx_non_max_suppression_attrs a = rlx_non_max_suppression_init();
  a.center = onnx_int(n, "center_point_box", 0) != 0;
  n->out[0] = rlx_graph_add(n->g, "non_max_suppression", n->in, n->n_in, &a);
  return RLX_OK;
}
