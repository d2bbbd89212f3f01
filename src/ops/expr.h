/* ops/expr.h: expand and gradient expressions in builder calls.
 *
 *   MUL(g, SUB(K(1), MUL(r, r)))        K(v): the scalar v in the dtype of the first operand
 */
#ifndef OPS_EXPR_H
#define OPS_EXPR_H

#include <rlx/ops.h>

#include "ir/op.h"

typedef struct expr_call {
  rlx_graph *b; /* where the expression is built */
  const void *attrs;
  const rlx_val *in;
  size_t n_in;
  rlx_val out[2]; /* vjp: the first outputs of the node; expand with several outputs: filled */
  rlx_val grad;   /* vjp: upstream gradient of the first output */
} expr_call;

rlx_val expr_scalar(expr_call *c, double v);

#endif
