/* ops/attention.h: the steps of an attention, for importers of operators that show them. */
#ifndef OPS_ATTENTION_H
#define OPS_ATTENTION_H

#include "ops/expr.h"

typedef enum attention_step {
  ATTENTION_SCORES, /* scale q k^T */
  ATTENTION_CAPPED,
  ATTENTION_MASKED,
  ATTENTION_WEIGHTS /* their softmax; zero where a query sees no key */
} attention_step;

/* [B,H,T,S] after that step, of the operands and attributes of an `attention`. */
rlx_val attention_until(expr_call *c, attention_step step);

#endif
