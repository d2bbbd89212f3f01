/* ops/view.h: operations whose results are the operand's elements, where they lie.
 *
 * A hook `view` answers with strides over the operand's memory, or with false where these strides
 * allow none: only those that join axes (reshape, flatten) ever do, and never for an operand in
 * row-major order. So whoever copies the operand to that order first and asks again gets a view,
 * and none of these operations needs a kernel. */
#ifndef OPS_VIEW_H
#define OPS_VIEW_H

#include "cpu/kernels.h"
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

/* Output `nth` of a node as a view of its first operand; false: it is none. */
bool view_make(const rlx_graph *g, const ir_node *n, size_t nth, const cpu_view *in,
               int64_t *strides, int64_t *offset);

/* For hooks. The type of the output that is asked for. */
const ir_type *view_type(const view_call *c);
bool view_same(view_call *c);    /* the operand under another name */
bool view_reshape(view_call *c); /* its elements in row-major order under another shape */
/* Element i of axis k is element starts[k] + i * steps[k] of the operand's. */
bool view_strided(view_call *c, const int64_t *starts, const int64_t *steps);

#endif
