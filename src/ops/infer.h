/* ops/infer.h: shape rules that several operations share. All check what they are given. */
#ifndef OPS_INFER_H
#define OPS_INFER_H

#include <rlx/ops.h>

#include "ir/graph.h"

/* The node's own attributes, to be put into canonical form: axes made positive, -1 resolved. */
#define OWN_ATTRS(op_) ((rlx_##op_##_attrs *)c->attrs)

rlx_status infer_same(ir_infer *c);      /* one output, the type of the first operand */
rlx_status infer_fresh(ir_infer *c);     /* the same with fresh sizes */
rlx_status infer_broadcast(ir_infer *c); /* one output: all operands broadcast, equal dtypes */
/* NumPy broadcasting of two types' dims into `out`, whose dtype becomes a's; where sizes cannot be
 * proven equal the result is their max. */
rlx_status infer_broadcast_dims(ir_infer *c, const ir_type *a, const ir_type *b, ir_type *out);
/* Axis in [-rank, rank) made positive. */
rlx_status infer_axis_of(ir_infer *c, int64_t *axis, size_t rank);
/* One output, the type of the first operand, which must be of these kinds and have that axis. */
rlx_status infer_along(ir_infer *c, int64_t *axis, unsigned kinds);
/* A list of axes replaced by a copy of positive ones, each marked in seen[rank], where none may be
 * marked already. */
rlx_status infer_axes_of(ir_infer *c, rlx_ints *axes, size_t rank, bool *seen);
/* The same for a list that has an entry for each of n others; empty: the first n axes. */
rlx_status infer_axes_for(ir_infer *c, rlx_ints *axes, size_t rank, size_t n);
rlx_status infer_kinds(ir_infer *c, size_t operand, unsigned kinds); /* of KINDS_* */
rlx_status infer_same_dtype(ir_infer *c, size_t first, size_t second);
rlx_status infer_index_dtype(ir_infer *c, size_t operand); /* i32 or i64 */
rlx_status infer_rank(ir_infer *c, size_t operand, size_t min, size_t max);

/* Output 0 of that type, its dims in the arena to be filled; RLX_ERROR_LIMIT over RLX_MAX_RANK. */
rlx_status infer_result(ir_infer *c, rlx_dtype dtype, size_t rank, rlx_dim **out_dims);

/* Output 0 of the dtype of the first operand, all sizes fresh. */
rlx_status infer_fresh_result(ir_infer *c, size_t rank);

/* Operands by words whose letters are their axes, "TBI": equal letters are equal sizes, a small one
 * is that size or 1; absent operands are left out. `sizes` gets the size of each letter from A to
 * Z, -1 where there is none; infer_lettered makes output i with axes of those sizes. */
enum { INFER_LETTERS = 26 };
rlx_status infer_letters(ir_infer *c, const char *const *words, rlx_dim *sizes);
rlx_status infer_lettered(ir_infer *c, size_t i, rlx_dtype dtype, const char *word,
                          const rlx_dim *sizes);

/* Can a plain dtype's elements be v? Floats round, others must hold it exactly. */
bool infer_fits(rlx_dtype dtype, double v);

/* For content hooks, where the sizes are known: the elements of a type; can its dtype hold v? */
int64_t infer_count(const ir_type *t);
bool infer_holds(const ir_type *t, rlx_dim v);

enum {
  KINDS_BOOL = 1u << RLX_KIND_BOOL,
  KINDS_UINT = 1u << RLX_KIND_UINT,
  KINDS_INT = 1u << RLX_KIND_INT,
  KINDS_FLOAT = 1u << RLX_KIND_FLOAT,
  KINDS_COMPLEX = 1u << RLX_KIND_COMPLEX,
  KINDS_NUMBER = KINDS_UINT | KINDS_INT | KINDS_FLOAT,
  KINDS_PLAIN = KINDS_NUMBER | KINDS_BOOL | KINDS_COMPLEX
};

/* Sizes, for use in infer hooks: arithmetic in the graph's dim table. */
static inline rlx_dim infer_add(ir_infer *c, rlx_dim a, rlx_dim b) {
  return dim_combine(&c->g->dims, RLX_DIM_ADD, a, b);
}
static inline rlx_dim infer_sub(ir_infer *c, rlx_dim a, rlx_dim b) {
  return dim_combine(&c->g->dims, RLX_DIM_SUB, a, b);
}
static inline rlx_dim infer_mul(ir_infer *c, rlx_dim a, rlx_dim b) {
  return dim_combine(&c->g->dims, RLX_DIM_MUL, a, b);
}

/* Sizes that must be equal: are they known to differ? And which of the two tells more. */
static inline bool infer_differ(rlx_dim a, rlx_dim b) {
  return a != b && dim_known(a) && dim_known(b);
}
static inline rlx_dim infer_either(rlx_dim a, rlx_dim b) { return dim_known(b) ? b : a; }

#endif
