/* ops/expr.c: what expand and gradient expressions need besides the builders. */
#include "ops/expr.h"

rlx_val expr_scalar(expr_call *c, double v) {
  return rlx_scalar(c->b, rlx_val_dtype(c->b, c->in[0]), v);
}
