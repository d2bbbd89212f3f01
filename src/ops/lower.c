/* ops/lower.c: what lowerings share. */
#include "ops/lower.h"

const ir_type *lower_in_type(const lower_call *c, size_t i) {
  return &graph_value(c->g, c->node->in[i])->type;
}

const ir_type *lower_out_type(const lower_call *c, size_t i) {
  return &graph_value(c->g, rlx_nth(c->node->out, (uint32_t)i))->type;
}

rlx_dtype lower_wide(rlx_dtype dtype) {
  return dtype == RLX_F16 || dtype == RLX_BF16 ? RLX_F32 : dtype;
}

mx lower_wide_operand(lower_call *c, size_t i) {
  if (i >= c->n_in || !c->in[i]) return NULL;
  return mx_cast(c->m, c->in[i], lower_wide(lower_in_type(c, i)->dtype));
}

mx lower_zeros(lower_call *c) {
  const ir_type *t = lower_out_type(c, 0);
  return mx_broadcast_to(c->m, mx_scalar(c->m, t->dtype, 0), t->rank, t->dims);
}

bool lower_empty(lower_call *c) {
  if (c->n_out != 1) return false;
  const ir_type *t = lower_out_type(c, 0);
  bool empty = false;
  for (uint32_t i = 0; i < t->rank; i++) empty = empty || t->dims[i] == 0;
  if (empty) c->out[0] = lower_zeros(c);
  return empty;
}

mx lower_cut(lower_call *c, mx a, size_t rank, const int64_t *starts, const int64_t *counts,
             const int64_t *steps) {
  int64_t stops[RLX_MAX_RANK], strides[RLX_MAX_RANK];
  for (size_t i = 0; i < rank; i++) {
    strides[i] = steps && counts[i] > 1 ? steps[i] : 1;
    stops[i] = starts[i];
    if (counts[i] == 0) continue;
    stops[i] += (counts[i] - 1) * strides[i] + (strides[i] > 0 ? 1 : -1);
    /* MLX counts negative stops from the end: "before the first element" lies one axis lower. */
    if (stops[i] < 0) stops[i] = -mx_dim(a, i) - 1;
  }
  return mx_slice(c->m, a, mx_ints(c->m, starts, rank), mx_ints(c->m, stops, rank),
                  mx_ints(c->m, strides, rank), rank);
}

static bool has_negative(const rlx_tensor *t) {
  for (int64_t i = 0; i < t->count; i++) {
    if (tensor_int(t, i) < 0) return true;
  }
  return false;
}

/* A type with room for the size of any axis and its negative. */
static rlx_dtype wide(rlx_dtype d) {
  return d == RLX_I64 || d == RLX_U32 || d == RLX_U64 ? RLX_I64 : RLX_I32;
}

/* n sizes as an array that broadcasts over the last axis; a single one over everything. */
static mx row(lower_call *c, rlx_dtype dtype, const int64_t *sizes, size_t n) {
  const int64_t dims[] = {(int64_t)n};
  return mx_cast(c->m, mx_from_data(c->m, RLX_I64, n == 1 ? 0 : 1, dims, sizes), dtype);
}

void lower_refuse(lower_call *c, mx bad) {
  if (mx_ctx_device(c->m) != MX_CPU) return;
  if (c->n_checks == sizeof c->checks / sizeof c->checks[0]) {
    mx_fail(c->m, status_set(RLX_ERROR_INTERNAL, "more index checks than a step has room for"));
    return;
  }
  int axes[RLX_MAX_RANK];
  const size_t rank = mx_rank(bad);
  for (size_t i = 0; i < rank; i++) axes[i] = (int)i;
  c->checks[c->n_checks++] = mx_reduce_any(c->m, bad, axes, rank, false);
}

/* Indices below `sizes`, one per column, or one for all (n = 1). */
static mx safe_indices(lower_call *c, size_t operand, const int64_t *sizes, size_t n) {
  const rlx_tensor *constant = graph_constant(c->g, c->node->in[operand]);
  if (constant != NULL && !has_negative(constant)) return c->in[operand];
  const rlx_dtype given = lower_in_type(c, operand)->dtype, dtype = wide(given);
  const mx zero = mx_scalar(c->m, dtype, 0);
  mx index = mx_cast(c->m, c->in[operand], dtype);
  if (dtype_kind(given) != RLX_KIND_UINT) {
    const mx wrapped = mx_add(c->m, index, row(c, dtype, sizes, n));
    index = mx_where(c->m, mx_lt(c->m, index, zero), wrapped, index);
  }
  if (constant != NULL) return index;
  int64_t last[RLX_MAX_RANK];
  for (size_t i = 0; i < n; i++) last[i] = sizes[i] - 1;
  const mx floored = mx_maximum(c->m, index, zero);
  const mx safe = mx_minimum(c->m, floored, row(c, dtype, last, n));
  lower_refuse(c, mx_ne(c->m, index, safe));
  return safe;
}

mx lower_indices(lower_call *c, size_t operand, int64_t n) {
  return safe_indices(c, operand, &n, 1);
}

mx lower_tuples(lower_call *c, size_t operand, const int64_t *n) {
  const ir_type *t = lower_in_type(c, operand);
  return safe_indices(c, operand, n, (size_t)t->dims[t->rank - 1]);
}
