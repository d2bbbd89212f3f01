/* ops/lower.h: operations onto MLX, written as expressions.
 *
 *   static void softplus_lower(lower_call *c) { c->out[0] = mx_logaddexp(c->m, c->in[0], ...); }
 *
 * Handles made through the context belong to it until the step ends, so nothing is freed here.
 * After the first failure every mx_ call returns NULL and does nothing: no checks are needed
 * between. */
#ifndef OPS_LOWER_H
#define OPS_LOWER_H

#include "ir/graph.h"
#include "mlx/shim.h"

typedef struct lower_call {
  mx_ctx *m;
  const rlx_graph *g;
  const ir_node *node; /* concrete shapes */
  const void *attrs;
  const mx *in; /* absent operands are NULL */
  size_t n_in;
  mx *out;
  size_t n_out;
  /* Single bools; the runner evaluates them with the outputs, and a true one fails the run with
   * RLX_ERROR_INDEX naming the node. */
  mx checks[4];
  size_t n_checks;
} lower_call;

/* Types and sizes of the node's operands and outputs (concrete). */
const ir_type *lower_in_type(const lower_call *c, size_t i);
const ir_type *lower_out_type(const lower_call *c, size_t i);
/* What floats are computed in where rounding adds up: half-width ones in f32. */
rlx_dtype lower_wide(rlx_dtype dtype);
/* An operand cast to that, NULL if it is absent. */
mx lower_wide_operand(lower_call *c, size_t i);
/* Zeros of the type of output 0. */
mx lower_zeros(lower_call *c);
/* A single output without elements: true, and it is made. Runners ask before they lower, so that
 * lowerings need not know what MLX makes of empty arrays. */
bool lower_empty(lower_call *c);
/* Makes the run fail if an element of `bad` is true: a check of an index; a GPU has none. */
void lower_refuse(lower_call *c, mx bad);
/* Indices made safe for MLX: negatives wrapped, and, on a CPU, out-of-range ones reported through a
 * check (unless they are constants, which were checked before); all clamped into [0, n). */
mx lower_indices(lower_call *c, size_t operand, int64_t n);
/* The same for index tuples along the operand's last axis: column i is made safe for n[i]. */
mx lower_tuples(lower_call *c, size_t operand, const int64_t *n);
/* From each axis `counts` elements, `steps` (not 0; NULL: 1) apart, the first at `starts`: all in
 * range. */
mx lower_cut(lower_call *c, mx a, size_t rank, const int64_t *starts, const int64_t *counts,
             const int64_t *steps);

#endif
