/* ops/infer.c: shape rules that several operations share.
 *
 * Laws: a rule that succeeds has checked all that it used; a failure names the operand or the axis,
 * what was wanted and what was got (the builder puts the operation and its operands before it). */
#include "ops/infer.h"

#include <math.h>
#include <string.h>

#include "ops/ref.h"

rlx_status infer_result(ir_infer *c, rlx_dtype dtype, size_t rank, rlx_dim **out_dims) {
  if (rank > RLX_MAX_RANK)
    return infer_fail(c, RLX_ERROR_LIMIT, "a result of %zu axes, the limit is %d", rank,
                      RLX_MAX_RANK);
  if (!(*out_dims = infer_dims(c, rank))) return status_memory(rank * sizeof(rlx_dim));
  c->out[0] = (ir_type){dtype, (uint32_t)rank, *out_dims};
  return RLX_OK;
}

rlx_status infer_fresh_result(ir_infer *c, size_t rank) {
  rlx_dim *dims;
  RLX_TRY(infer_result(c, c->in[0].dtype, rank, &dims));
  for (size_t i = 0; i < rank; i++) dims[i] = dim_fresh(&c->g->dims);
  return RLX_OK;
}

rlx_status infer_fresh(ir_infer *c) { return infer_fresh_result(c, c->in[0].rank); }

rlx_status infer_same(ir_infer *c) {
  c->out[0] = c->in[0];
  return RLX_OK;
}

/* The size that `a` and `b` broadcast to, or RLX_DIM_BAD. A known size other than 1 wins over an
 * unknown one, which can only be the same or 1. */
static rlx_dim broadcast_dim(dim_table *t, rlx_dim a, rlx_dim b) {
  if (a == b || b == 1) return a;
  if (a == 1) return b;
  if (dim_known(a) && dim_known(b)) return RLX_DIM_BAD;
  if (dim_known(a)) return a;
  if (dim_known(b)) return b;
  return dim_combine(t, RLX_DIM_MAX, a, b);
}

rlx_status infer_broadcast_dims(ir_infer *c, const ir_type *a, const ir_type *b, ir_type *out) {
  uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
  rlx_dim *dims = infer_dims(c, rank);
  if (!dims) return status_memory(rank * sizeof *dims);
  for (uint32_t i = 0; i < rank; i++) { /* from the last axis */
    rlx_dim m = i < a->rank ? a->dims[a->rank - 1 - i] : 1;
    rlx_dim n = i < b->rank ? b->dims[b->rank - 1 - i] : 1;
    rlx_dim d = broadcast_dim(&c->g->dims, m, n);
    if (d == RLX_DIM_BAD && !(dim_known(m) && dim_known(n))) return status_memory(sizeof d);
    if (d == RLX_DIM_BAD)
      return infer_fail(c, RLX_ERROR_SHAPE, "sizes %lld and %lld do not broadcast (axis -%u)",
                        (long long)m, (long long)n, (unsigned)i + 1);
    dims[rank - 1 - i] = d;
  }
  out->dtype = a->dtype;
  out->rank = rank;
  out->dims = dims;
  return RLX_OK;
}

rlx_status infer_broadcast(ir_infer *c) {
  ir_type out = c->in[0];
  for (size_t i = 1; i < c->n_in; i++) {
    RLX_TRY(infer_same_dtype(c, 0, i));
    RLX_TRY(infer_broadcast_dims(c, &out, &c->in[i], &out));
  }
  c->out[0] = out;
  return RLX_OK;
}

rlx_status infer_axis_of(ir_infer *c, int64_t *axis, size_t rank) {
  int64_t n = (int64_t)rank;
  if (*axis < -n || *axis >= n)
    return infer_fail(c, RLX_ERROR_SHAPE, "there is no axis %lld, there are %zu axes",
                      (long long)*axis, rank);
  if (*axis < 0) *axis += n;
  return RLX_OK;
}

rlx_status infer_along(ir_infer *c, int64_t *axis, unsigned kinds) {
  RLX_TRY(infer_kinds(c, 0, kinds));
  RLX_TRY(infer_axis_of(c, axis, c->in[0].rank));
  return infer_same(c);
}

rlx_status infer_axes_of(ir_infer *c, rlx_ints *axes, size_t rank, bool *seen) {
  int64_t *own = infer_dims(c, axes->n);
  if (!own) return status_memory(axes->n * sizeof *own);
  for (size_t i = 0; i < axes->n; i++) {
    own[i] = axes->data[i];
    RLX_TRY(infer_axis_of(c, &own[i], rank));
    if (seen[own[i]])
      return infer_fail(c, RLX_ERROR_ARGUMENT, "axis %lld is named twice", (long long)own[i]);
    seen[own[i]] = true;
  }
  axes->data = own;
  return RLX_OK;
}

rlx_status infer_axes_for(ir_infer *c, rlx_ints *axes, size_t rank, size_t n) {
  bool seen[RLX_MAX_RANK] = {0};
  if (axes->n && axes->n != n)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "axes has %zu entries, wanted %zu", axes->n, n);
  if (axes->n) return infer_axes_of(c, axes, rank, seen);
  if (n > rank) return infer_fail(c, RLX_ERROR_SHAPE, "%zu entries for %zu axes", n, rank);
  int64_t *first = infer_dims(c, n);
  if (!first) return status_memory(n * sizeof *first);
  for (size_t i = 0; i < n; i++) first[i] = (int64_t)i;
  *axes = (rlx_ints){first, n};
  return RLX_OK;
}

static const char *dtype_text(rlx_dtype dtype) {
  return dtype == RLX_DTYPE_COUNT ? "absent" : dtype_name(dtype);
}

rlx_status infer_kinds(ir_infer *c, size_t operand, unsigned kinds) {
  static const char *const names[] = {"bool", "unsigned integer", "integer",
                                      "float", "complex", "block"};
  rlx_dtype dtype = c->in[operand].dtype;
  if (dtype != RLX_DTYPE_COUNT && (kinds >> dtype_kind(dtype) & 1u)) return RLX_OK;
  char wanted[96] = "";
  for (unsigned k = 0; k < sizeof names / sizeof names[0]; k++) {
    if (!(kinds >> k & 1u)) continue;
    if (wanted[0]) strcat(wanted, " or ");
    strcat(wanted, names[k]);
  }
  return infer_fail(c, RLX_ERROR_DTYPE, "operand %zu is %s, wanted %s", operand, dtype_text(dtype),
                    wanted);
}

rlx_status infer_same_dtype(ir_infer *c, size_t first, size_t second) {
  const rlx_dtype a = c->in[first].dtype, b = c->in[second].dtype;
  if (a == b) return RLX_OK;
  return infer_fail(c, RLX_ERROR_DTYPE, "operand %zu is %s, wanted %s as operand %zu is", second,
                    dtype_text(b), dtype_text(a), first);
}

rlx_status infer_index_dtype(ir_infer *c, size_t operand) {
  rlx_dtype dtype = c->in[operand].dtype;
  if (dtype == RLX_I32 || dtype == RLX_I64) return RLX_OK;
  return infer_fail(c, RLX_ERROR_DTYPE, "operand %zu holds indices and is %s, wanted i32 or i64",
                    operand, dtype_text(dtype));
}

rlx_status infer_rank(ir_infer *c, size_t operand, size_t min, size_t max) {
  size_t rank = c->in[operand].rank;
  if (rank >= min && rank <= max) return RLX_OK;
  if (min == max)
    return infer_fail(c, RLX_ERROR_SHAPE, "operand %zu has %zu axes, wanted %zu", operand, rank,
                      min);
  return infer_fail(c, RLX_ERROR_SHAPE, "operand %zu has %zu axes, wanted %zu to %zu", operand,
                    rank, min, max);
}

static rlx_status letter_axis(ir_infer *c, size_t operand, size_t axis, char letter,
                              rlx_dim *sizes) {
  const rlx_dim got = c->in[operand].dims[axis];
  const bool small = letter >= 'a';
  rlx_dim *size = &sizes[letter - (small ? 'a' : 'A')];
  if (small && got == 1) return RLX_OK;
  if (*size != -1 && infer_differ(*size, got))
    return infer_fail(c, RLX_ERROR_SHAPE, "axis %zu of operand %zu has %lld elements, wanted %lld",
                      axis, operand, (long long)got, (long long)*size);
  *size = *size == -1 ? got : infer_either(*size, got);
  return RLX_OK;
}

rlx_status infer_letters(ir_infer *c, const char *const *words, rlx_dim *sizes) {
  for (size_t i = 0; i < INFER_LETTERS; i++) sizes[i] = -1;
  for (size_t i = 0; i < c->n_in; i++) {
    if (!c->val[i].id) continue;
    const size_t rank = strlen(words[i]);
    RLX_TRY(infer_rank(c, i, rank, rank));
    for (size_t k = 0; k < rank; k++) RLX_TRY(letter_axis(c, i, k, words[i][k], sizes));
  }
  return RLX_OK;
}

rlx_status infer_lettered(ir_infer *c, size_t i, rlx_dtype dtype, const char *word,
                          const rlx_dim *sizes) {
  const size_t rank = strlen(word);
  rlx_dim *dims = infer_dims(c, rank);
  if (!dims) return status_memory(rank * sizeof *dims);
  for (size_t k = 0; k < rank; k++) dims[k] = sizes[word[k] - 'A'];
  c->out[i] = (ir_type){dtype, (uint32_t)rank, dims};
  return RLX_OK;
}

int64_t infer_count(const ir_type *t) {
  return ref_product(t->dims, t->rank);
}

bool infer_holds(const ir_type *t, rlx_dim v) {
  return v != RLX_DIM_BAD && (t->dtype != RLX_I32 || !dim_known(v) || v == (int32_t)v);
}

bool infer_fits(rlx_dtype dtype, double v) {
  const rlx_dtype_kind kind = dtype_kind(dtype);
  if (kind == RLX_KIND_FLOAT || kind == RLX_KIND_COMPLEX) return true;
  return v == trunc(v) && v >= ref_lowest(dtype) && v < ref_above(dtype);
}
