/* ir/dim.h: symbolic sizes: canonical int64 expressions over names.
 *
 * A dim is a number or a handle (rlx/graph.h). Expressions are sums of products of atoms (a name,
 * floordiv, min, max) with integer coefficients, interned per graph: equal handles iff equal
 * canonical expressions. ceildiv(a, b) is -floordiv(-a, b). Arithmetic that overflows int64 or
 * divides by zero gives a fresh name, which is what "not known" looks like. */
#ifndef IR_DIM_H
#define IR_DIM_H

#include <rlx/graph.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

typedef struct dim_table {
  arena *mem;
  VEC(struct dim_expr *) exprs;
  map index;      /* canonical hash -> first expr with it */
  uint32_t fresh; /* names given so far */
} dim_table;

/* All return RLX_DIM_BAD when out of memory; graph builders turn that into a status. */
#define RLX_DIM_BAD INT64_MIN
rlx_dim dim_named(dim_table *t, const char *name);
rlx_dim dim_fresh(dim_table *t); /* "?0", "?1", ... */
rlx_dim dim_combine(dim_table *t, rlx_dim_op op, rlx_dim a, rlx_dim b);
rlx_dim dim_product(dim_table *t, const rlx_dim *dims, size_t n);
static inline bool dim_known(rlx_dim d) { return d >= RLX_DIM_HANDLES; }
/* Is it a number or a handle of this table? */
static inline bool dim_valid(const dim_table *t, rlx_dim d) {
  return dim_known(d) || (uint64_t)d - ((uint64_t)INT64_MIN + 1) < t->exprs.n;
}
/* The name, if the dim is just a name, else NULL. */
const char *dim_name(const dim_table *t, rlx_dim d);
/* Rebuilds `d` of table `from` in table `to`, each name going through `lookup` (which returns a dim
 * of `to`). */
rlx_dim dim_substitute(dim_table *to, const dim_table *from, rlx_dim d,
                       rlx_dim (*lookup)(void *ctx, const char *name), void *ctx);
/* Calls f for each name in `d`, once for each time that it stands there. */
void dim_each_name(const dim_table *t, rlx_dim d, void (*f)(void *ctx, const char *name),
                   void *ctx);
void dim_print(const dim_table *t, rlx_dim d, str *out);
/* Parses what dim_print writes; *text moves past it. */
rlx_status dim_parse(dim_table *t, const char **text, rlx_dim *out_dim);
void dim_table_free(dim_table *t);

#endif
