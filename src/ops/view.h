/* ops/view.h: operations whose results are the operand's elements, where they lie. */
#ifndef OPS_VIEW_H
#define OPS_VIEW_H

#include "cpu/cpu.h"
#include "ir/graph.h"

typedef struct view_call {
  const rlx_graph *g;
  const ir_node *node; /* concrete shapes */
  const void *attrs;
  cpu_view in; /* of the first operand */
  size_t nth;  /* which output */
  /* the answer, for that output */
  int64_t strides[RLX_MAX_RANK];
  int64_t offset; /* elements from the operand's first one */
} view_call;

#endif
