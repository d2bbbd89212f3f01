/* ops/onnx.h: what ONNX calls our operations.
 *
 * Operators that are one operation say so in its block's `onnx` string. The others have an
 * importer: a row ONNX(name, first opset, function) in onnx.def, its function in an onnx_*.c file.
 * The reader of files (src/load) fills onnx_node, calls onnx_import; nothing here reads bytes. */
#ifndef OPS_ONNX_H
#define OPS_ONNX_H

#include "ir/graph.h"
#include "ops/block.h"

typedef enum onnx_attr_type {
  ONNX_INT,
  ONNX_FLOAT,
  ONNX_STRING,
  ONNX_TENSOR,
  ONNX_INTS,
  ONNX_FLOATS,
  ONNX_OTHER
} onnx_attr_type;
typedef struct onnx_attr {
  const char *name;
  onnx_attr_type type;
  int64_t i;
  double f;
  const char *s; /* terminated */
  rlx_tensor *t;
  rlx_ints ints;
  rlx_reals floats;
} onnx_attr;

typedef struct onnx_node {
  rlx_graph *g;
  const char *op, *domain, *name;
  int64_t opset; /* of its domain */
  const onnx_attr *attrs;
  size_t n_attrs;
  const rlx_val *in; /* absent inputs are RLX_NIL; trailing absent ones are not counted */
  size_t n_in;
  rlx_val *out; /* to be filled; all n_out_wanted that the file names */
  size_t n_out;
} onnx_node;

/* Is there a mapping at all? */
bool onnx_known(const char *domain, const char *op, int64_t opset);
/* Builds the node; RLX_ERROR_UNSUPPORTED and why, where an attribute or type is not covered. */
rlx_status onnx_import(onnx_node *n);
/* The rows of the coverage table: all mappings, name and first opset. False past the end. */
bool onnx_at(size_t index, char *out_name, size_t size, int64_t *out_since);

/* --- for importers. A builder that fails leaves its mark on the graph, so that values need no
 * checks between; onnx_import reads the graph's status at the end. */
const onnx_attr *onnx_find(const onnx_node *n, const char *name);
/* An attribute of another type is a failure of the graph. */
int64_t onnx_int(const onnx_node *n, const char *name, int64_t missing);
double onnx_float(const onnx_node *n, const char *name, double missing);
const char *onnx_string(const onnx_node *n, const char *name, const char *missing);
rlx_ints onnx_ints(const onnx_node *n, const char *name); /* empty if missing */
/* The place of a string in "a|b|c"; a missing one is the first. */
rlx_status onnx_word(const onnx_node *n, const char *name, const char *words, size_t *out_index);
static inline rlx_val onnx_in(const onnx_node *n, size_t i) {
  return i < n->n_in ? n->in[i] : RLX_NIL;
}
/* Our dtype for a TensorProto.DataType; RLX_ERROR_UNSUPPORTED naming it if there is none. */
rlx_status onnx_dtype(int64_t code, rlx_dtype *out_dtype);

/* Adds an operation some of whose list attributes come from values (Reshape's shape, Slice's
 * starts). Where the value's content is known it simply becomes the attribute; where not, the
 * attribute stays bound to the value and is filled in when shapes are concrete (`dims` only). */
typedef struct onnx_bind {
  const char *attr;
  rlx_val value; /* RLX_NIL: nothing to bind */
} onnx_bind;
rlx_val onnx_add(onnx_node *n, const char *op, const rlx_val *in, size_t n_in, const void *attrs,
                 const onnx_bind *binds, size_t n_binds);
/* Takes the outputs of a node of ours, as many as the file names and the node has. */
void onnx_outputs(onnx_node *n, rlx_val first);
/* The integers of a value as far as they are known: numbers and dim handles. False if they are not.
 * The list lives in the graph. */
bool onnx_content(const onnx_node *n, rlx_val v, rlx_ints *out_list);
/* The numbers of an input that must be known now (axes, k), else RLX_ERROR_UNSUPPORTED. */
rlx_status onnx_known_ints(onnx_node *n, size_t input, rlx_ints *out_list);
/* The same for one number of any dtype (Pad's value). */
rlx_status onnx_known_real(onnx_node *n, size_t input, double *out_value);
/* A list that used to be an attribute and became an input (`since` that opset). `given`: is it
 * there? */
rlx_status onnx_list(onnx_node *n, const char *attr, size_t input, int64_t since,
                     rlx_ints *out_list, bool *out_given);

/* Values. */
static inline rlx_dtype onnx_dtype_of(const onnx_node *n, rlx_val v) {
  return rlx_val_dtype(n->g, v);
}
static inline size_t onnx_rank(const onnx_node *n, rlx_val v) { return rlx_val_rank(n->g, v); }
/* The sizes of a value, in the graph. */
rlx_ints onnx_dims(const onnx_node *n, rlx_val v);
rlx_val onnx_cast(const onnx_node *n, rlx_val v, rlx_dtype to); /* v itself if it is that already */
rlx_val onnx_scalar(const onnx_node *n, rlx_val like, double value); /* in the dtype of `like` */
rlx_val onnx_reshape(const onnx_node *n, rlx_val v, const rlx_dim *dims, size_t rank);
rlx_val onnx_transpose(const onnx_node *n, rlx_val v, const int64_t *perm, size_t rank);
/* A vector (or scalar) so that it broadcasts along axis `axis` of a value of that rank. */
rlx_val onnx_along(const onnx_node *n, rlx_val v, size_t axis, size_t rank);
rlx_val onnx_vector(const onnx_node *n, const int64_t *items, size_t count); /* i64 constant */
/* The convolution of x, weights and perhaps a bias as the node's attributes say. */
rlx_status onnx_conv(onnx_node *n, const rlx_val *in, size_t n_in, rlx_val *out_value);
/* The axis made non-negative; RLX_ERROR_SHAPE if it is out of range. */
rlx_status onnx_axis(int64_t axis, size_t rank, int64_t *out_axis);

#define ONNX(name, since, function) rlx_status import_##function(onnx_node *n);
#include "ops/onnx.def"

#endif
