/* rlx/graph.h: building and reading computation graphs.
 *
 * rlx_graph: a pure SSA graph. Nodes are added in order and never change; a value is one output of
 * one node. Leaves are inputs (given to every run), params (set once by name) and constants.
 *   Owner:   the creator; rlx_graph_free. Executables keep what they need, not the graph.
 *   Threads: one at a time while it is built; read-only use from any thread after that.
 *   Errors:  sticky. After the first failure each builder call returns RLX_NIL and does nothing, so
 *            that nested expressions need no checks; read rlx_graph_status once at the end. */
#ifndef RLX_GRAPH_H
#define RLX_GRAPH_H

#include <rlx/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlx_graph rlx_graph;

/* One value of a graph. {0} is RLX_NIL, "none". The outputs of a node have consecutive ids. */
typedef struct rlx_val {
  uint32_t id;
} rlx_val;
#ifdef __cplusplus
#define RLX_NIL (rlx_val{0})
#else
#define RLX_NIL ((rlx_val){0})
#endif
static inline rlx_val rlx_nth(rlx_val first, uint32_t n) {
  rlx_val v = {first.id ? first.id + n : 0};
  return v;
}

/* A dimension: a size, or a handle of an expression over named sizes that belongs to one graph.
 * Handles are below RLX_DIM_HANDLES, all other values are themselves (-1 has a meaning in some
 * attributes, so negative numbers are numbers). */
typedef int64_t rlx_dim;
#define RLX_DIM_HANDLES (INT64_MIN / 2)
static inline bool rlx_dim_is_known(rlx_dim dim) { return dim >= RLX_DIM_HANDLES; }

RLX_API RLX_MUST_USE rlx_status rlx_graph_create(const char *name, rlx_graph **out_graph);
RLX_API void rlx_graph_free(rlx_graph *graph);
RLX_API rlx_status rlx_graph_status(const rlx_graph *graph); /* the first failure, or RLX_OK */
RLX_API const char *rlx_graph_error(const rlx_graph *graph); /* its sentence, "" if none */

/* The size called `name` in this graph (letters, digits, '_', '.', '?'); equal names are equal
 * sizes. Arithmetic gives canonical handles: equal expressions are equal numbers. */
RLX_API rlx_dim rlx_dim_named(rlx_graph *graph, const char *name);
typedef enum rlx_dim_op {
  RLX_DIM_ADD,
  RLX_DIM_SUB,
  RLX_DIM_MUL,
  RLX_DIM_FLOORDIV,
  RLX_DIM_CEILDIV,
  RLX_DIM_MIN,
  RLX_DIM_MAX
} rlx_dim_op;
RLX_API rlx_dim rlx_dim_combine(rlx_graph *graph, rlx_dim_op op, rlx_dim a, rlx_dim b);

/* Leaves. Names are unique among the inputs and params of a graph. */
RLX_API rlx_val rlx_input(rlx_graph *graph, const char *name, rlx_dtype dtype, size_t rank,
                          const rlx_dim *dims);
RLX_API rlx_val rlx_param(rlx_graph *graph, const char *name, rlx_dtype dtype, size_t rank,
                          const rlx_dim *dims);
/* Retains the tensor, which must not change from now on. */
RLX_API rlx_val rlx_constant(rlx_graph *graph, rlx_tensor *value);
/* A 0-d constant; a value that dtype cannot hold is an error. */
RLX_API rlx_val rlx_scalar(rlx_graph *graph, rlx_dtype dtype, double value);

/* Lists in attributes are borrowed for the call and copied into the graph. */
typedef struct rlx_ints {
  const int64_t *data;
  size_t n;
} rlx_ints;
typedef struct rlx_reals {
  const double *data;
  size_t n;
} rlx_reals;

/* Adds a node by the operation's name; <rlx/ops.h> has a typed builder for each. `attrs` points to
 * an rlx_<op>_attrs (NULL: all defaults). Returns the first output. Absent optional inputs are
 * RLX_NIL. */
RLX_API rlx_val rlx_graph_add(rlx_graph *graph, const char *op, const rlx_val *inputs,
                              size_t n_inputs, const void *attrs);
/* Declares an output. A NULL name becomes "output_<i>". Names of outputs are unique. */
RLX_API void rlx_graph_output(rlx_graph *graph, const char *name, rlx_val value);

/* Reading. Indices past the end give NULL, RLX_NIL or 0. */
RLX_API const char *rlx_graph_name(const rlx_graph *graph);
RLX_API size_t rlx_graph_input_count(const rlx_graph *graph);
RLX_API const char *rlx_graph_input_name(const rlx_graph *graph, size_t index);
RLX_API rlx_val rlx_graph_input_value(const rlx_graph *graph, size_t index);
RLX_API size_t rlx_graph_param_count(const rlx_graph *graph);
RLX_API const char *rlx_graph_param_name(const rlx_graph *graph, size_t index);
RLX_API rlx_val rlx_graph_param_value(const rlx_graph *graph, size_t index);
RLX_API size_t rlx_graph_output_count(const rlx_graph *graph);
RLX_API const char *rlx_graph_output_name(const rlx_graph *graph, size_t index);
RLX_API rlx_val rlx_graph_output_value(const rlx_graph *graph, size_t index);

RLX_API rlx_dtype rlx_val_dtype(const rlx_graph *graph, rlx_val value); /* RLX_DTYPE_COUNT: nil */
RLX_API size_t rlx_val_rank(const rlx_graph *graph, rlx_val value);
RLX_API rlx_dim rlx_val_dim(const rlx_graph *graph, rlx_val value, size_t axis);
/* "f32[batch,3,2*h+1]" into buf; always ends in 0; returns the length it wanted, like snprintf. */
RLX_API size_t rlx_val_type_text(const rlx_graph *graph, rlx_val value, char *buf, size_t size);

RLX_API size_t rlx_graph_node_count(const rlx_graph *graph);
typedef struct rlx_node_info {
  const char *op;
  const char *name; /* what the file called it, or "" */
  const rlx_val *inputs;
  size_t n_inputs;
  rlx_val first_output;
  size_t n_outputs;
} rlx_node_info;
/* Owner: the graph. False past the end. */
RLX_API bool rlx_graph_node(const rlx_graph *graph, size_t index, rlx_node_info *out_info);
/* The sub-graphs of a node (the branches of `if`, the body of `loop`) in the order of its
 * attributes; *out_name (may be NULL) is the attribute's name. Owner: the graph. */
RLX_API const rlx_graph *rlx_node_graph(const rlx_graph *graph, size_t node, size_t index,
                                        const char **out_name);

/* The text form, which prints and parses back to an equal graph. Constants of more than 16 elements
 * are written as `data=@k` and stand in `out_blobs` under the name "k" (NULL: text only).
 * out_text: rlx_string_free. */
RLX_API RLX_MUST_USE rlx_status rlx_graph_print(const rlx_graph *graph, char **out_text,
                                                rlx_tensors *blobs);
RLX_API RLX_MUST_USE rlx_status rlx_graph_parse(const char *text, const rlx_tensors *blobs,
                                                rlx_graph **out_graph);
RLX_API bool rlx_graph_equal(const rlx_graph *a, const rlx_graph *b);
RLX_API uint64_t rlx_graph_hash(const rlx_graph *graph);

/* A .rlx file: one safetensors file, its metadata holding the text form, its tensors the blobs. */
RLX_API RLX_MUST_USE rlx_status rlx_graph_save(const rlx_graph *graph, const char *path);
RLX_API RLX_MUST_USE rlx_status rlx_graph_load(const char *path, rlx_graph **out_graph);

#ifdef __cplusplus
}
#endif
#endif
