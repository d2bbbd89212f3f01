/* ops/reduce.c: reductions over axes, softmax and log_softmax.
 *
 * Laws: inference turns the axes into the sorted list of all that are meant, so that references
 * and lowerings need no rules about empty or negative ones. A reduction is a fold of an elementwise
 * row; over nothing it is the fold's start: 0, 1, or the end of the dtype's range. Floats of half
 * the width are summed in f32. */
#include <math.h>

#include "cpu/kernels.h"
#include "ops/block.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

/* --- what the reductions share */

static rlx_status reduce_infer(ir_infer *c, rlx_ints *axes, bool keep, unsigned kinds) {
  bool gone[RLX_MAX_RANK] = {0};
  const ir_type *x = &c->in[0];
  RLX_TRY(infer_kinds(c, 0, kinds));
  RLX_TRY(infer_axes_of(c, axes, x->rank, gone));
  const bool all = axes->n == 0;
  const size_t n = all ? x->rank : axes->n;
  int64_t *sorted = infer_dims(c, n);
  if (!sorted) return status_memory(n * sizeof *sorted);
  *axes = (rlx_ints){sorted, n};
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, keep ? x->rank : x->rank - n, &dims));
  for (uint32_t i = 0; i < x->rank; i++) {
    if (gone[i] || all) *sorted++ = i;
    if (!gone[i] && !all) *dims++ = x->dims[i];
    else if (keep) *dims++ = 1;
  }
  return RLX_OK;
}

/* How many axes go is known, which ones is not. */
static rlx_status reduce_infer_late(ir_infer *c, size_t gone, bool keep) {
  const size_t rank = c->in[0].rank;
  if (gone > rank) return infer_fail(c, RLX_ERROR_SHAPE, "%zu axes, there are %zu", gone, rank);
  return infer_fresh_result(c, keep ? rank : rank - gone);
}

/* The axes that stay and those that go, with x's strides. */
typedef struct reduce_plan {
  size_t n_kept, n_gone;
  int64_t kept[RLX_MAX_RANK], kept_step[RLX_MAX_RANK];
  int64_t gone[RLX_MAX_RANK], gone_step[RLX_MAX_RANK];
  int64_t count; /* of the elements that become one */
} reduce_plan;

static reduce_plan plan_of(const rlx_tensor *x, rlx_ints axes) {
  reduce_plan p = {.count = 1};
  int64_t strides[RLX_MAX_RANK];
  ref_strides(x->rank, x->dims, strides);
  for (size_t i = 0, next = 0; i < x->rank; i++) {
    if (next < axes.n && axes.data[next] == (int64_t)i) {
      p.gone[p.n_gone] = x->dims[i];
      p.gone_step[p.n_gone++] = strides[i];
      p.count *= x->dims[i];
      next++;
    } else {
      p.kept[p.n_kept] = x->dims[i];
      p.kept_step[p.n_kept++] = strides[i];
    }
  }
  return p;
}

static int64_t offset_of(size_t n, const int64_t *coord, const int64_t *steps) {
  int64_t offset = 0;
  for (size_t i = 0; i < n; i++) offset += coord[i] * steps[i];
  return offset;
}

static ref_scalar divide_count(ref_scalar s, int64_t count) {
  if (s.kind == RLX_KIND_COMPLEX)
    s.v.cplx /= (double)count;
  else if (s.kind == RLX_KIND_FLOAT)
    s.v.real /= (double)count;
  else if (s.kind == RLX_KIND_INT)
    s.v.sint = count ? s.v.sint / count : 0;
  else
    s.v.uint = count ? s.v.uint / (uint64_t)count : 0;
  return s;
}

typedef mx reduce_fn(mx_ctx *m, mx a, const int *axes, size_t n_axes, bool keep);

typedef struct reduction {
  const elementwise_row *row; /* what it folds with */
  ref_scalar (*start)(rlx_dtype dtype);
  bool mean; /* divides in the end */
  unsigned kinds;
  reduce_fn *mlx;
  rlx_dim_op dim_op; /* the same for sizes */
  lane_fold fold;    /* the same in a kernel */
} reduction;

/* The result for nothing; also the reference's, so that the two agree. */
static ref_scalar finish(const reduction *r, ref_scalar acc, int64_t count) {
  return r->mean ? divide_count(acc, count) : acc;
}

static rlx_status reduce_ref(ref_call *c, rlx_ints axes, const reduction *r) {
  const rlx_tensor *x = c->in[0];
  rlx_tensor *out = c->out[0];
  reduce_plan p = plan_of(x, axes);
  int64_t at[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < out->count; i++) {
    int64_t base = offset_of(p.n_kept, at, p.kept_step), inner[RLX_MAX_RANK] = {0};
    ref_scalar acc = r->start(x->dtype);
    for (int64_t k = 0; k < p.count; k++) {
      ref_scalar v = ref_get(x, base + offset_of(p.n_gone, inner, p.gone_step));
      acc = elementwise_apply(r->row, NULL, acc, v);
      ref_next(p.n_gone, p.gone, inner);
    }
    ref_put(out, i, finish(r, acc, p.count));
    ref_next(p.n_kept, p.kept, at);
  }
  return RLX_OK;
}

/* What a reduction of nothing gives, everywhere in the output. */
static mx lower_nothing(lower_call *c, const reduction *r, const ir_type *out) {
  rlx_tensor *t = NULL;
  rlx_status status = rlx_tensor_create(out->dtype, 0, NULL, &t);
  if (status != RLX_OK) return mx_fail(c->m, status);
  ref_put(t, 0, finish(r, r->start(out->dtype), 0));
  mx value = mx_from_data(c->m, out->dtype, 0, NULL, t->data);
  rlx_tensor_free(t);
  return mx_broadcast_to(c->m, value, out->rank, out->dims);
}

static void reduce_lower(lower_call *c, rlx_ints axes, bool keep, const reduction *r) {
  const ir_type *in = lower_in_type(c, 0), *out = lower_out_type(c, 0);
  mx x = lower_wide_operand(c, 0);
  if (infer_count(in) == 0) {
    c->out[0] = lower_nothing(c, r, out);
    return;
  }
  if (axes.n) x = r->mlx(c->m, x, mx_ints(c->m, axes.data, axes.n), axes.n, keep);
  c->out[0] = mx_cast(c->m, x, out->dtype);
}

/* A vector of sizes folded into one number. */
static rlx_status reduce_content(ir_infer *c, const rlx_dim *const *in, rlx_dim *out,
                                 const reduction *r) {
  if (!in[0] || r->mean) return RLX_ERROR_UNSUPPORTED;
  int64_t count = infer_count(&c->in[0]);
  if (infer_count(&c->out[0]) != 1 || count == 0) return RLX_ERROR_UNSUPPORTED;
  out[0] = in[0][0];
  for (int64_t i = 1; i < count; i++) {
    out[0] = dim_combine(&c->g->dims, r->dim_op, out[0], in[0][i]);
    if (!infer_holds(&c->out[0], out[0])) return RLX_ERROR_UNSUPPORTED;
  }
  return RLX_OK;
}

bool reduce_covers(const ir_infer *c) { return reduce_takes(c->in[0].dtype); }

rlx_status reduce_kernel_prepare(kernel_call *c, rlx_ints axes, reduce_spec *spec,
                                 const char *name) {
  const cpu_view *x = &c->in[0], *y = &c->out[0];
  bool gone[RLX_MAX_RANK] = {0};
  int64_t dims[RLX_MAX_RANK], strides[RLX_MAX_RANK];
  cpu_view whole = {y->dtype, x->rank, dims, strides}; /* y with all of x's axes */
  for (size_t i = 0; i < axes.n; i++) gone[axes.data[i]] = true;
  for (uint32_t i = 0, from = 0; i < x->rank; i++) {
    dims[i] = gone[i] ? 1 : x->dims[i];
    strides[i] = gone[i] ? 0 : y->strides[from];
    from += !gone[i] || y->rank == x->rank;
  }
  spec->x = x;
  spec->y = &whole;
  spec->gone = gone;
  c->run = reduce_run;
  c->name = name;
  return reduce_prepare(spec, c->threads, c->mem, &c->state, &c->scratch);
}

/* --- the five */

static ref_scalar start_sum(rlx_dtype d) { return ref_number(d, 0); }
static ref_scalar start_prod(rlx_dtype d) { return ref_number(d, 1); }
static ref_scalar start_max(rlx_dtype d) { return ref_number(d, ref_lowest(d)); }
static ref_scalar start_min(rlx_dtype d) {
  ref_scalar s = ref_number(d, dtype_kind(d) == RLX_KIND_FLOAT ? INFINITY : ref_lowest(d));
  if (s.kind == RLX_KIND_BOOL)
    s.v.uint = 1;
  else if (s.kind != RLX_KIND_FLOAT)
    s.v.uint = ~s.v.uint;
  return s;
}

/* The mean of integers divides their 64-bit sum, toward zero. */
static mx mean_of(mx_ctx *m, mx x, const int *axes, size_t n_axes, bool keep) {
  const rlx_dtype_info *info = rlx_dtype_get(mx_dtype(x));
  if (!info) return NULL;
  if (info->kind != RLX_KIND_INT && info->kind != RLX_KIND_UINT)
    return mx_reduce_mean(m, x, axes, n_axes, keep);
  int64_t count = 1;
  for (size_t i = 0; i < n_axes; i++) count *= mx_dim(x, (size_t)axes[i]);
  rlx_dtype wide = info->kind == RLX_KIND_INT ? RLX_I64 : RLX_U64;
  mx sum = mx_reduce_sum(m, mx_cast(m, x, wide), axes, n_axes, keep);
  return elementwise_div(m, sum, mx_scalar(m, wide, (double)count));
}

#define FOLDED (KINDS_NUMBER | KINDS_COMPLEX)
#define ORDERED (KINDS_NUMBER | KINDS_BOOL)
static const reduction
    sum_of = {&row_add, start_sum, false, FOLDED, mx_reduce_sum, RLX_DIM_ADD, FOLD_SUM},
    mean_as = {&row_add, start_sum, true, FOLDED, mean_of, RLX_DIM_ADD, FOLD_SUM},
    prod_of = {&row_mul, start_prod, false, FOLDED, mx_reduce_prod, RLX_DIM_MUL, FOLD_PROD},
    max_of = {&row_maximum, start_max, false, ORDERED, mx_reduce_max, RLX_DIM_MAX, FOLD_MAX},
    min_of = {&row_minimum, start_min, false, ORDERED, mx_reduce_min, RLX_DIM_MIN, FOLD_MIN};

#define REDUCTION(name, reduction_, cases_)                                                  \
  static rlx_status name##_infer(ir_infer *c) {                                              \
    return reduce_infer(c, &OWN_ATTRS(name)->axes, ATTRS(name)->keep, reduction_.kinds);     \
  }                                                                                          \
  static rlx_status name##_infer_late(ir_infer *c) {                                         \
    return reduce_infer_late(c, ATTRS(name)->axes.n, ATTRS(name)->keep);                     \
  }                                                                                          \
  static rlx_status name##_ref(ref_call *c) {                                                \
    return reduce_ref(c, ATTRS(name)->axes, &reduction_);                                    \
  }                                                                                          \
  static void name##_lower(lower_call *c) {                                                  \
    reduce_lower(c, ATTRS(name)->axes, ATTRS(name)->keep, &reduction_);                      \
  }                                                                                          \
  static rlx_status name##_content(ir_infer *c, const rlx_dim *const *in, rlx_dim *out) {    \
    return reduce_content(c, in, out, &reduction_);                                          \
  }                                                                                          \
  static rlx_status name##_prepare(kernel_call *c) {                                         \
    reduce_spec spec = {.op = reduction_.fold, .mean = reduction_.mean};                     \
    return reduce_kernel_prepare(c, ATTRS(name)->axes, &spec, #name);                        \
  }                                                                                          \
  static const ir_kernel name##_kernel = {reduce_covers, name##_prepare, {ORDER_ANY},        \
                                          ORDER_ANY, false};                                 \
  RLX_BLOCK(name) = {.infer = name##_infer,                                                  \
                     .infer_late = name##_infer_late,                                        \
                     .ref = name##_ref,                                                      \
                     .lower = name##_lower,                                                  \
                     .kernel = &name##_kernel,                                               \
                     .content = name##_content,                                              \
                     .no_grad = NO_GRAD_YET,                                    \
                     .cases = CASES(cases_)}

#define EVERY_REDUCTION                                                                       \
  "f32[2,3,4]; f32[2,3,4] axes=[1]; f32[2,3,4] axes=[-1,0] keep=true; f32[]; f32[1,1] axes=[0];" \
  "f32[3,0] axes=[0]; f32[0,3]; f32[0,3] axes=[0]; f32[0,3] axes=[1] keep=true;"             \
  "f64[5,6] axes=[0]; f16[5,6] axes=[1]; bf16[5,6] axes=[1]; i8[5,30]{-128:128} axes=[1];"   \
  "u8[5,30]{0:256} axes=[1]; i16[4,4]; u16[4,4]; i32[4,4]{-9:9} axes=[0]; u32[4,4];"         \
  "i64[4,4]{-9:9}; u64[4,4] axes=[1]; i64[0,2] axes=[0]; u8[0]; f32[4]{1,nan,3,-inf};"       \
  "f32[2,3] axes=[2] !shape; f32[2,3] axes=[0,-2] !argument"
#define FOLD_CASES "; c64[3,4] axes=[1]; c64[0]; bool[3] !dtype"
#define ORDER_CASES "; bool[3,4] axes=[1]; bool[3,4]; bool[0,2] axes=[0]; i8[0]; c64[3] !dtype"

REDUCTION(reduce_sum, sum_of, EVERY_REDUCTION FOLD_CASES);
REDUCTION(reduce_mean, mean_as,
          EVERY_REDUCTION FOLD_CASES
          "; i64[2]{-9223372036854775808,0}; u64[2]{18446744073709551615,0}");
REDUCTION(reduce_prod, prod_of, EVERY_REDUCTION FOLD_CASES);
REDUCTION(reduce_max, max_of, EVERY_REDUCTION ORDER_CASES);
REDUCTION(reduce_min, min_of, EVERY_REDUCTION ORDER_CASES);

/* --- softmax, log_softmax */

static rlx_status softmax_infer(ir_infer *c) {
  return infer_along(c, &OWN_ATTRS(softmax)->axis, KINDS_FLOAT);
}
static rlx_status log_softmax_infer(ir_infer *c) {
  return infer_along(c, &OWN_ATTRS(log_softmax)->axis, KINDS_FLOAT);
}

/* Along each lane: x - max, its exponentials' sum, and the one or the other made of them. */
static rlx_status softmax_along(ref_call *c, int64_t axis, bool logarithm) {
  const rlx_tensor *x = c->in[0];
  int64_t outer, n, inner;
  ref_around(x, axis, &outer, &n, &inner);
  for (int64_t lane = 0; lane < outer * inner; lane++) {
    int64_t base = ref_lane(lane, n, inner);
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, tensor_real(x, base + i * inner));
    for (int64_t i = 0; i < n; i++) sum += exp(tensor_real(x, base + i * inner) - max);
    for (int64_t i = 0; i < n; i++) {
      double v = tensor_real(x, base + i * inner) - max;
      tensor_set_real(c->out[0], base + i * inner, logarithm ? v - log(sum) : exp(v) / sum);
    }
  }
  return RLX_OK;
}

static rlx_status softmax_ref(ref_call *c) {
  return softmax_along(c, ATTRS(softmax)->axis, false);
}
static rlx_status log_softmax_ref(ref_call *c) {
  return softmax_along(c, ATTRS(log_softmax)->axis, true);
}

/* MLX on a CPU adds one exponential after the other, and loses those that are below the sum's last
 * digit: thousands of them can be seen. A product with ones adds them in groups, so what a wide row
 * of probabilities sums to puts it right. */
static mx softmax_corrected(lower_call *c, mx p) {
  enum { WIDE = 2048 };
  const ir_type *type = lower_in_type(c, 0);
  const int64_t n = type->dims[type->rank - 1];
  if (type->dtype != RLX_F32 || ATTRS(softmax)->axis + 1 != type->rank || n < WIDE) return p;
  const mx ones = mx_broadcast_to(c->m, mx_scalar(c->m, RLX_F32, 1), 2, (int64_t[]){n, 1});
  return mx_div(c->m, p, mx_matmul(c->m, p, ones));
}

/* MLX's own softmax, which in f64 has only f32's digits. */
static void softmax_lower(lower_call *c) {
  const int axis = (int)ATTRS(softmax)->axis;
  if (lower_in_type(c, 0)->dtype != RLX_F64) {
    c->out[0] = softmax_corrected(c, mx_softmax(c->m, c->in[0], axis));
    return;
  }
  mx x = mx_sub(c->m, c->in[0], mx_reduce_max(c->m, c->in[0], &axis, 1, true));
  x = elementwise_exp(c->m, x);
  c->out[0] = mx_div(c->m, x, mx_reduce_sum(c->m, x, &axis, 1, true));
}

static void log_softmax_lower(lower_call *c) {
  const rlx_dtype dtype = lower_in_type(c, 0)->dtype;
  const int axis = (int)ATTRS(log_softmax)->axis;
  mx x = c->in[0];
  if (dtype != RLX_F64) x = mx_cast(c->m, x, RLX_F32);
  x = mx_sub(c->m, x, mx_reduce_max(c->m, x, &axis, 1, true));
  mx sum = mx_reduce_sum(c->m, elementwise_exp(c->m, x), &axis, 1, true);
  c->out[0] = mx_cast(c->m, mx_sub(c->m, x, mx_log(c->m, sum)), dtype);
}

static rlx_status softmax_rows_prepare(kernel_call *c, int64_t axis, bool logarithm) {
  static const softmax_how how[] = {{false}, {true}};
  rows_spec spec = {.x = &c->in[0], .y = &c->out[0], .axis = (uint32_t)axis, .ns = 0.5};
  const bool wide = c->in[0].dtype == RLX_F64;
  spec.type = wide ? LANE_F64 : LANE_F32;
  spec.f = wide ? softmax_f64 : cpu_table()->softmax_f32;
  spec.how = &how[logarithm];
  c->run = rows_run;
  c->name = logarithm ? "log_softmax" : "softmax";
  return rows_prepare(&spec, c->threads, c->mem, &c->state, &c->scratch);
}

static rlx_status softmax_prepare(kernel_call *c) {
  return softmax_rows_prepare(c, ATTRS(softmax)->axis, false);
}
static rlx_status log_softmax_prepare(kernel_call *c) {
  return softmax_rows_prepare(c, ATTRS(log_softmax)->axis, true);
}
static const ir_kernel softmax_kernel = {NULL, softmax_prepare, {ORDER_ANY}, ORDER_SAME, false},
                       log_softmax_kernel = {NULL, log_softmax_prepare, {ORDER_ANY}, ORDER_SAME,
                                             false};

#define SOFTMAX_CASES                                                                         \
  "f32[2,3,4]; f32[2,3,4] axis=1; f32[2,3,4] axis=-3; f32[5]; f32[3,1]; f32[0,4]; f32[4,0];" \
  "f32[3,5]{50:90}; f64[3,5]; f16[3,5]; bf16[3,5]; f32[3]{-inf,1,2}; f32[3]{1,nan,2};"       \
  "f32[2]{inf,inf}; f32[2]{-inf,-inf}; f16[3]{inf,1,2};"                                      \
  "f32[3,5] axis=2 !shape; f32[] !shape; i32[3] !dtype"

RLX_BLOCK(softmax) = {.infer = softmax_infer,
                      .ref = softmax_ref,
                      .lower = softmax_lower,
                      .kernel = &softmax_kernel,
                      .no_grad = NO_GRAD_YET,
                      .onnx = "Softmax-13 axis",
                      .cases = CASES(SOFTMAX_CASES "; f32[2,30000]{0:0.0001}; f32[4000]")};

RLX_BLOCK(log_softmax) = {.infer = log_softmax_infer,
                          .ref = log_softmax_ref,
                          .lower = log_softmax_lower,
                          .kernel = &log_softmax_kernel,
                          .no_grad = NO_GRAD_YET,
                          .onnx = "LogSoftmax-13 axis",
                          .cases = CASES(SOFTMAX_CASES)};
