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
  ONNX_STRINGS,
  ONNX_GRAPH,
  ONNX_OTHER
} onnx_attr_type;
typedef struct onnx_texts {
  const char *const *data; /* terminated */
  size_t n;
} onnx_texts;
typedef struct onnx_attr {
  const char *name;
  bool taken; /* an importer has asked for it */
  onnx_attr_type type;
  int64_t i;
  double f;
  const char *s; /* terminated */
  rlx_tensor *t;
  rlx_ints ints;
  rlx_reals floats;
  onnx_texts strings;
  const struct onnx_body *body; /* a sub-graph, still to be built: onnx_node's reader does that */
} onnx_attr;

struct onnx_node;

/* A value of the graph around it that a sub-graph reads. */
typedef struct onnx_capture {
  rlx_val value;
  const char *name;
} onnx_capture;
typedef VEC(onnx_capture) onnx_captures;

/* How importers have sub-graphs built: the reader knows what their names mean. */
typedef struct onnx_reader {
  /* Its nodes become nodes of n->g; its inputs are `in`, its outputs go to `out`. */
  rlx_status (*splice)(struct onnx_node *n, const struct onnx_body *body, const rlx_val *in,
                       size_t n_in, rlx_val *out, size_t n_out);
  /* A closed graph, to be freed: its inputs are of the types `in` (sizes of n->g), then, in order,
   * the captures, those in the list already and those that it adds. */
  rlx_status (*close)(struct onnx_node *n, const struct onnx_body *body, const ir_type *in,
                      size_t n_in, onnx_captures *captures, rlx_graph **out_graph);
  /* For an If whose branches disagree about ranks: adds the node with the rest of the graph in each
   * branch; nothing is left to be built there. */
  rlx_status (*split)(struct onnx_node *n, const struct onnx_body *then,
                      const struct onnx_body *other);
  void *ctx;
} onnx_reader;

typedef struct onnx_node {
  rlx_graph *g;
  const char *op, *domain, *name;
  int64_t opset; /* of its domain */
  onnx_attr *attrs;
  size_t n_attrs;
  const rlx_val *in; /* absent inputs are RLX_NIL; trailing absent ones are not counted */
  size_t n_in;
  rlx_val *out; /* to be filled, all n_out that the file names */
  size_t n_out;
  const onnx_reader *reader;
} onnx_node;

/* Is there a mapping at all? */
bool onnx_known(const char *domain, const char *op, int64_t opset);
/* Builds the node; RLX_ERROR_UNSUPPORTED and why, where an attribute or type is not covered. */
rlx_status onnx_import(onnx_node *n);
/* The rows of the coverage table: all mappings, name (with "domain:" if it is not ONNX's own) and
 * first opset. False past the end. */
bool onnx_at(size_t index, char *out_name, size_t size, int64_t *out_since);

/* --- for importers. A builder that fails leaves its mark on the graph, so that values need no
 * checks between; onnx_import reads the graph's status at the end. */
const onnx_attr *onnx_find(const onnx_node *n, const char *name);
/* An attribute of another type is a failure of the graph. */
int64_t onnx_int(const onnx_node *n, const char *name, int64_t missing);
double onnx_float(const onnx_node *n, const char *name, double missing);
const char *onnx_string(const onnx_node *n, const char *name, const char *missing);
rlx_ints onnx_ints(const onnx_node *n, const char *name); /* lists are empty if missing */
rlx_reals onnx_floats(const onnx_node *n, const char *name);
onnx_texts onnx_strings(const onnx_node *n, const char *name);
/* The place of a string in "a|b|c"; a missing one is the first. */
rlx_status onnx_word(const onnx_node *n, const char *name, const char *words, size_t *out_index);
static inline rlx_val onnx_in(const onnx_node *n, size_t i) {
  return i < n->n_in ? n->in[i] : RLX_NIL;
}
/* Our dtype for a TensorProto.DataType; RLX_ERROR_UNSUPPORTED naming it if there is none. */
rlx_status onnx_dtype(int64_t code, rlx_dtype *out_dtype);

/* Adds an operation some of whose attributes come from values (Reshape's shape, TopK's k). Where
 * the value's content is known it simply becomes the attribute; where not, the attribute stays
 * bound to the value and is filled in when that is known. */
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
/* The same of sizes; where they are not known, fresh names stand for them, which get their numbers
 * in the run. False if how many they are is not known. */
bool onnx_sizes(onnx_node *n, rlx_val v, rlx_ints *out_dims);
/* The content where all of it is numbers. */
bool onnx_numbers(const onnx_node *n, rlx_val v, rlx_ints *out_list);
/* The numbers of an input that must be known now, else RLX_ERROR_UNSUPPORTED. */
rlx_status onnx_known_ints(onnx_node *n, size_t input, rlx_ints *out_list);
/* The same for one number of any dtype (Pad's value). */
rlx_status onnx_known_real(onnx_node *n, size_t input, double *out_value);
/* A list that used to be an attribute and became an input (`since` that opset). */
typedef struct onnx_list {
  bool given, empty; /* what is not given is empty, too */
  rlx_ints ints;     /* of an attribute */
  onnx_bind bind;    /* of an input */
} onnx_list;
onnx_list onnx_list_of(const onnx_node *n, const char *attr, size_t input, int64_t since);

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
/* v[start:stop:step] along an axis. */
rlx_val onnx_slice(const onnx_node *n, rlx_val v, int64_t axis, rlx_dim start, rlx_dim stop,
                   int64_t step);
/* The size of an axis, as an i64 vector of one. */
rlx_val onnx_size(const onnx_node *n, rlx_val v, int64_t axis);
/* A vector (or scalar) so that it broadcasts along axis `axis` of a value of that rank. */
rlx_val onnx_along(const onnx_node *n, rlx_val v, size_t axis, size_t rank);
rlx_val onnx_vector(const onnx_node *n, const int64_t *items, size_t count); /* i64 constant */
rlx_val onnx_iota(const onnx_node *n, rlx_dim size, double start); /* i64 start, start + 1, .. */
/* The convolution of x, weights and perhaps a bias as the node's attributes say. */
rlx_status onnx_conv(onnx_node *n, const rlx_val *in, size_t n_in, rlx_val *out_value);
/* The axis made non-negative; RLX_ERROR_SHAPE if it is out of range. */
rlx_status onnx_axis(int64_t axis, size_t rank, int64_t *out_axis);

#define ONNX(name, since, function) rlx_status import_##function(onnx_node *n);
#define MICROSOFT(name, function) ONNX(name, 1, function)
#include "ops/onnx.def"

#endif
