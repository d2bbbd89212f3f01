/* rlx/model.h: reading model files. */
#ifndef RLX_MODEL_H
#define RLX_MODEL_H

#include <rlx/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All options structs start with their own size, so that older and newer callers mix:
 *   rlx_load_options o = RLX_OPTIONS(rlx_load_options);  Zero in any other field is the default. */
#ifdef __cplusplus
#define RLX_OPTIONS(type)                 \
  []() {                                  \
    type o_ = type();                     \
    o_.struct_size = uint32_t(sizeof o_); \
    return o_;                            \
  }()
#else
#define RLX_OPTIONS(type) {.struct_size = (uint32_t)sizeof(type)}
#endif

typedef struct rlx_load_options {
  uint32_t struct_size;
  uint32_t max_depth;      /* nesting of messages and sub-graphs, default 64, at most 1000 */
  uint64_t max_file_bytes; /* default 64 GiB */
  uint64_t max_nodes;      /* default 1,000,000 */
} rlx_load_options;

/* Reads a model file (.onnx, .rlx) as a graph; the format is told by its content. Initialisers
 * become constants that refer to the mapped file: it must not change while the graph or an
 * executable made from it lives. ONNX external data is read from beside the model only.
 * Errors: RLX_ERROR_UNSUPPORTED lists the nodes that have no mapping (op, name, opset, dtype), the
 * first 50 of them. */
RLX_API RLX_MUST_USE rlx_status rlx_model_load(const char *path, const rlx_load_options *options,
                                               rlx_graph **out_graph);

#ifdef __cplusplus
}
#endif
#endif
