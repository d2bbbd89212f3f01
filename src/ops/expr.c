/* ops/expr.c: what expand and gradient expressions need besides the builders. */
#include "ops/expr.h"

rlx_val expr_scalar(expr_call *c, double v) {
  return rlx_scalar(c->b, rlx_val_dtype(c->b, c->in[0]), v);
}

rlx_val expr_cast(rlx_graph *g, rlx_val v, rlx_dtype to) {
  if (!v.id || rlx_val_dtype(g, v) == to) return v;
  rlx_cast_attrs a = rlx_cast_init();
  a.to = to;
  return rlx_cast(g, v, &a);
}

rlx_val expr_reshape(rlx_graph *g, rlx_val v, const rlx_dim *dims, size_t rank) {
  rlx_reshape_attrs a = rlx_reshape_init();
  a.dims = (rlx_ints){dims, rank};
  return rlx_reshape(g, v, &a);
}
