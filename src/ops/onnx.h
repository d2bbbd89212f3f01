/* ops/onnx.h: what ONNX calls our operations.
 *
 * Operators that are one operation say so in its block's `onnx` string. The others have an importer:
 * a row ONNX(name, first opset, function) in onnx.def, beside its function in an onnx_*.c file. The
 * reader of files (src/load) fills onnx_node and calls onnx_import; nothing here reads bytes. */
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
/* Builds the node; RLX_ERROR_UNSUPPORTED with a reason where an attribute or type is not covered. */
rlx_status onnx_import(onnx_node *n);
/* "Softmax" -> rows of the coverage table: walks all known operators, name and first opset. */
bool onnx_at(size_t index, const char **out_name, int64_t *out_since);

/* For importers. */
const onnx_attr *onnx_find(const onnx_node *n, const char *name);
int64_t onnx_int(const onnx_node *n, const char *name, int64_t missing);
double onnx_float(const onnx_node *n, const char *name, double missing);
const char *onnx_string(const onnx_node *n, const char *name, const char *missing);
rlx_ints onnx_ints(const onnx_node *n, const char *name); /* empty if missing */
/* Adds an operation some of whose list attributes come from values (Reshape's shape, Slice's starts).
 * Where the value's content is known it simply becomes the attribute; where not, the attribute stays
 * bound to the value and is filled in when shapes are concrete (only `dims` attributes can). */
typedef struct onnx_bind {
  const char *attr;
  rlx_val value; /* RLX_NIL: nothing to bind */
} onnx_bind;
rlx_val onnx_add(onnx_node *n, const char *op, const rlx_val *in, size_t n_in, const void *attrs,
                 const onnx_bind *binds, size_t n_binds);
/* The numbers of an input that must be known now (axes, k): RLX_ERROR_UNSUPPORTED naming it if not.
 * The list lives in the graph. */
rlx_status onnx_known_ints(onnx_node *n, size_t input, rlx_ints *out_list);
static inline rlx_val onnx_in(const onnx_node *n, size_t i) { return i < n->n_in ? n->in[i] : RLX_NIL; }

#endif
