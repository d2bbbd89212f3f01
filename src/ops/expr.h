/* ops/expr.h: expand and gradient expressions in builder calls.
 *
 *   return rlx_mul(c->b, c->in[0], expr_scalar(c, 2)); */
#ifndef OPS_EXPR_H
#define OPS_EXPR_H

#include <rlx/ops.h>

#include "ir/op.h"

typedef struct expr_call {
  rlx_graph *b; /* where the expression is built */
  const void *attrs;
  const rlx_val *in;
  size_t n_in;
  rlx_val out[2]; /* vjp: the first outputs of the node */
  rlx_val grad;   /* vjp: upstream gradient of the first output */
} expr_call;

rlx_val expr_scalar(expr_call *c, double v); /* in the dtype of the first operand */

/* Builders whose attributes are their operands; a cast to the dtype that v has is v itself. */
rlx_val expr_cast(rlx_graph *g, rlx_val v, rlx_dtype to);
rlx_val expr_reshape(rlx_graph *g, rlx_val v, const rlx_dim *dims, size_t rank);

#endif
