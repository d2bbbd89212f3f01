/* ir/graph.h: the graph from the inside.
 *
 * Laws: nodes and values live in the graph's arena and never change once added; a node's inputs
 * precede it; a value's dims are canonical (dim.h), so types compare by memcmp. `content` of an
 * integer value, where known, holds its elements as numbers or dim handles: that is how shape
 * arithmetic is seen through. A node may take attributes from values ("dynamic attributes"): until
 * their content is known the attribute holds fresh names, and binding puts the numbers in. */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include <stdatomic.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/status.h"
#include "ir/dim.h"
#include "ir/op.h"
#include "ir/tensor.h"

typedef struct ir_type {
  rlx_dtype dtype;
  uint32_t rank;
  const rlx_dim *dims;
} ir_type;

typedef struct ir_dynamic { /* attribute `attr` of the op is the content of `value` */
  uint32_t attr;
  rlx_val value;
} ir_dynamic;

typedef struct ir_node {
  const ir_op *op;
  const void *attrs; /* canonical: complete, lists in the arena; NULL without attributes */
  const char *name;  /* what the file called it, "" */
  const rlx_val *in;
  const ir_dynamic *dynamic;
  uint32_t n_in, n_dynamic, n_out;
  rlx_val out; /* the first; the others follow */
} ir_node;

typedef struct ir_value {
  uint32_t node; /* index */
  uint32_t nth;  /* which of its outputs */
  ir_type type;
  const rlx_dim *content; /* NULL: not known */
} ir_value;

typedef struct ir_port {
  const char *name;
  rlx_val value;
} ir_port;

/* A pass may rewrite nodes as they are added: sees a checked node with its types, and either sets
 * n->out to the first of the values that stand for its outputs (consecutive) or leaves it nil. */
struct ir_infer;
typedef rlx_status (*ir_normal)(const struct ir_infer *c, const rlx_dim *content, ir_node *n);

struct rlx_graph {
  atomic_uint refs; /* the creator, and each attribute that holds it as a sub-graph */
  arena mem;
  const char *name;
  VEC(ir_node) nodes;
  VEC(ir_value) values; /* index 0 is nil */
  VEC(ir_port) inputs;
  VEC(ir_port) params;
  VEC(ir_port) outputs;
  VEC(rlx_tensor *) tensors; /* references held by attributes */
  VEC(rlx_graph *) graphs;   /* the same */
  uint32_t depth;            /* of sub-graphs below this graph */
  map leaf_names, output_names;
  dim_table dims;
  rlx_status status; /* sticky */
  char *error;
  const char *label; /* name for the next nodes, see graph_label */
  ir_normal normal;  /* NULL: nodes are added as they are */
  struct pass_rules *rules; /* what `normal` works with, pass/match.h */
};

/* Sub-graphs within sub-graphs: nothing real is deeper, hostile files are. */
enum { IR_MAX_NESTED = 64 };
/* Integer values of at most this many elements have their content followed. */
#define IR_CONTENT_MAX 256

/* What `infer` and `content` hooks see. Hooks fill out[0 .. n_out) ; dims must be in the graph's
 * arena (infer_dims). `out` has room for INFER_MAX_OUT types. */
#define INFER_MAX_OUT 256
typedef struct ir_infer {
  rlx_graph *g;
  const ir_op *op;
  void *attrs; /* this node's own copy: infer may canonicalise it in place */
  const rlx_val *val;
  const ir_type *in; /* nil operands have rank 0 and dtype RLX_DTYPE_COUNT */
  size_t n_in;
  ir_type *out;
  size_t n_out;
} ir_infer;
/* The attribute struct of a hook's call: ATTRS(softmax)->axis. */
#define ATTRS(op_) ((const rlx_##op_##_attrs *)c->attrs)

rlx_dim *infer_dims(ir_infer *c, size_t rank); /* in the arena; NULL: out of memory */
/* The sentence gets "softmax(f32[3,5]): " put before it by the builder. */
#define infer_fail(c, status, ...) ((void)(c), status_set(status, __VA_ARGS__))

static inline const ir_value *graph_value(const rlx_graph *g, rlx_val v) {
  return &g->values.data[v.id];
}
static inline const ir_node *graph_node_of(const rlx_graph *g, rlx_val v) {
  return &g->nodes.data[graph_value(g, v)->node];
}

/* rlx_graph_add with an op in hand and dynamic attributes. */
rlx_val graph_add(rlx_graph *g, const ir_op *op, const rlx_val *in, size_t n_in, const void *attrs,
                  const ir_dynamic *dynamic, size_t n_dynamic);
/* Consecutive values that are only other names of `vals`, for a rewrite that replaces a node of
 * several outputs. An operand or output that is such a name becomes what it stands for, so that no
 * node reads one. A single value is itself. */
rlx_val graph_alias(rlx_graph *g, const rlx_val *vals, size_t n);
/* The value itself, where `v` is another name. */
static inline rlx_val graph_resolve(const rlx_graph *g, rlx_val v) {
  const ir_value *value = graph_value(g, v);
  return v.id ? rlx_nth(g->nodes.data[value->node].out, value->nth) : v;
}
/* Nodes added from now on carry this name (copied); NULL: none. */
void graph_label(rlx_graph *g, const char *name);
/* Makes the graph fail: keeps the thread's sentence, if it is the first. Returns `status`. */
rlx_status graph_fail(rlx_graph *g, rlx_status status);
/* Is the value a constant node's? Its tensor, borrowed, or NULL. */
rlx_tensor *graph_constant(const rlx_graph *g, rlx_val v);
/* Element i of an integer value, where it is known as a number. */
bool graph_number(const rlx_graph *g, rlx_val v, int64_t i, int64_t *out_number);
/* "softmax %7 'encoder/softmax' (f32[3,5])": how messages name a node. */
void graph_describe(const rlx_graph *g, const ir_node *n, char *buf, size_t size);
size_t type_text(const rlx_graph *g, const ir_type *t, char *buf, size_t size);

/* Adds a copy of a node of another graph: operands and outputs through `vals` (value there -> value
 * here, filled for the outputs), the dims of attributes through `dim`. Returns the first output. */
rlx_val graph_copy_node(rlx_graph *g, const ir_node *n, rlx_val *vals,
                        rlx_dim (*dim)(void *, rlx_dim), void *ctx);
/* Adds the nodes of `sub` to g, its inputs being `in`; out: its outputs. Sizes of `sub` become
 * those of the operands. */
rlx_status graph_splice(rlx_graph *g, const rlx_graph *sub, const rlx_val *in, rlx_val *out);
/* A type of graph `from` in graph `to`, where names of sizes mean the same. */
rlx_status graph_foreign_type(rlx_graph *to, const rlx_graph *from, const ir_type *t, ir_type *out);
/* What the dims of `sub` (a sub-graph) are in g where its inputs have these types. A size that the
 * inputs do not tell is fresh, one for each name. Zero-initialised but for the two graphs. */
typedef struct graph_sizes {
  rlx_graph *g;
  const rlx_graph *sub;
  map names;
} graph_sizes;
rlx_status graph_sizes_learn(graph_sizes *s, const ir_type *in, size_t n);
rlx_dim graph_sizes_of(void *sizes, rlx_dim d);

/* Of types in one graph. */
static inline bool type_equal(const ir_type *a, const ir_type *b) {
  return a->dtype == b->dtype && a->rank == b->rank &&
         (a->rank == 0 || memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0);
}
/* The dims that an attribute holds: a `dim` has one, `dims` a list, others none. */
rlx_ints attr_dims(const ir_attr *a, const void *attrs);
/* Concrete sizes of a type: false if one is symbolic. */
bool type_sizes(const ir_type *t, int64_t *out_dims);

/* Attribute structs, generically (attr.c). `src` may be of an older or newer size or NULL. */
rlx_status attrs_complete(rlx_graph *g, const ir_op *op, const void *src, void **out_attrs);
bool attrs_equal(const ir_op *op, const void *a, const rlx_graph *ga, const void *b,
                 const rlx_graph *gb);
uint64_t attrs_hash(const ir_op *op, const void *attrs, const rlx_graph *g, uint64_t seed);
/* One of them, `x` and `y` being the fields. */
bool attr_equal(const ir_attr *a, const void *x, const rlx_graph *gx, const void *y,
                const rlx_graph *gy);
uint64_t attr_hash(const ir_attr *a, const void *field, const rlx_graph *g, uint64_t seed);
bool attr_is_default(const ir_op *op, const ir_attr *a, const void *attrs, const rlx_graph *g);
uint64_t type_hash(const ir_type *t, const rlx_graph *g, uint64_t seed);
/* A copy in `mem` with f of each dim of the `dims` attributes; NULL: out of memory. */
const void *attrs_map_dims(const ir_op *op, const void *attrs, arena *mem,
                           rlx_dim (*f)(void *ctx, rlx_dim d), void *ctx);

#endif
