/* ops/index.h: what gathers and scatters share.
 *
 * Laws: negative indices wrap, others beyond the range are RLX_ERROR_INDEX: while the graph is
 * built if they are known then, else when it runs. An index tuple is the last axis of its
 * operand. */
#ifndef OPS_INDEX_H
#define OPS_INDEX_H

#include "cpu/kernels.h"
#include "ops/block.h"

/* The operand holds indices into an axis of n elements. */
rlx_status index_infer(ir_infer *c, size_t operand, rlx_dim n);
/* The operand holds tuples for axes of these sizes, the first of `room`; their number is stored. */
rlx_status index_infer_tuples(ir_infer *c, size_t operand, const rlx_dim *sizes, size_t room,
                              size_t *out_n);

/* Position in row-major order over axes of these n sizes that tuple `i` of `t` names. */
rlx_status index_position(const rlx_tensor *t, int64_t i, const int64_t *sizes, int64_t n,
                          int64_t *out_position);
/* The same on MLX for all tuples of an operand: i64, the operand's shape without the last axis. */
mx index_positions(lower_call *c, size_t operand, const int64_t *sizes);

/* For kernels, on operands in row-major order. Indices into an axis of n elements `step` bytes
 * apart; tuples that name slices of `inner` bytes; an index along `axis` of x for each element. */
index_plan index_vector(const cpu_view *index, int64_t n, int64_t step);
index_moves index_tuples(const cpu_view *index, const int64_t *sizes, int64_t inner);
index_moves index_elements(const cpu_view *index, const cpu_view *x, int64_t axis);

#endif
