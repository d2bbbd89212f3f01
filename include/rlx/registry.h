/* rlx/registry.h: what the library knows: its operations and the ONNX operators it reads. For
 * tools, documentation and language bindings. Everything here is static data. `out_info` may be
 * NULL: is there such a row? */
#ifndef RLX_REGISTRY_H
#define RLX_REGISTRY_H

#include <rlx/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RLX_ANY SIZE_MAX /* a number of inputs without a limit, of outputs that attributes decide */

typedef struct rlx_op_info {
  const char *name, *doc;
  const char *onnx; /* the ONNX operators that it is, "Softmax-13 axis; ...", or "" */
  size_t min_inputs, max_inputs, n_outputs;
  size_t n_attrs;
  bool leaf; /* input, param or constant */
} rlx_op_info;

typedef struct rlx_attr_info {
  const char *name;
  const char *type;  /* as in ops.h: "i64", "flag", "ints", "word", ... */
  const char *words; /* of a word: "nearest|linear|cubic", the first is the default; else NULL */
  char default_text[32]; /* as the text form writes it; "" when it must be given */
} rlx_attr_info;

/* All operations, leaves included, in the order of the table. False past the end. */
RLX_API bool rlx_op_at(size_t index, rlx_op_info *out_info);
RLX_API bool rlx_op_attr_at(size_t op_index, size_t attr_index, rlx_attr_info *out_info);
RLX_API bool rlx_op_find(const char *name, rlx_op_info *out_info);

/* All ONNX operators that rlx_model_load reads, each with the first opset of a mapping (some have
 * several, for older and newer opsets). False past the end. */
typedef struct rlx_onnx_info {
  char name[56]; /* "domain:Name" outside ONNX's own domain */
  int64_t since;
} rlx_onnx_info;
RLX_API bool rlx_onnx_at(size_t index, rlx_onnx_info *out_info);

#ifdef __cplusplus
}
#endif
#endif
