/* rlx/model.h: reading model files. */
#ifndef RLX_MODEL_H
#define RLX_MODEL_H

#include <rlx/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlx_load_options {
  uint32_t struct_size;
  uint32_t max_depth;      /* nesting of messages and sub-graphs, default 64, at most 1000 */
  uint64_t max_file_bytes; /* default 64 GiB */
  uint64_t max_nodes;      /* default 1,000,000 */
  /* Inputs of an ONNX model whose values are known by now: they become constants, which refer to
   * these tensors. Axes, sizes and the like that a model takes as inputs are given so. Names that
   * are no inputs are ignored. May be NULL. */
  const rlx_tensors *values;
} rlx_load_options;

/* Reads a model file (.onnx, .rlx) as a graph; the format is told by its content. Initialisers
 * become constants that refer to the mapped file: it must not change while the graph or an
 * executable made from it lives. ONNX external data is read from beside the model only.
 * Errors: RLX_ERROR_UNSUPPORTED lists the nodes that have no mapping (op, name, opset, dtype);
 * those that do not fit into the sentence are counted. */
RLX_API RLX_MUST_USE rlx_status rlx_model_load(const char *path, const rlx_load_options *options,
                                               rlx_graph **out_graph);

#ifdef __cplusplus
}
#endif
#endif
