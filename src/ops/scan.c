/* ops/scan.c: running sums, products, maxima and minima along an axis; histogram.
 *
 * Laws: references add up in double (or 64 bits) and round each element once; half-width floats run
 * in f32 on MLX. */
#include <float.h>
#include <math.h>

#include "ops/block.h"
#include "ops/elementwise.h"
#include "ops/kernel.h"

typedef mx scan_fn(mx_ctx *m, mx a, int axis, bool reverse, bool inclusive);

typedef struct scan {
  const elementwise_row *row; /* what it folds with */
  double start;               /* what an exclusive one begins with */
  scan_fn *mlx;
  lane_fold fold; /* the same in a kernel */
} scan;

static rlx_status scan_ref(ref_call *c, int64_t axis, bool exclusive, bool reverse, const scan *s) {
  const rlx_tensor *x = c->in[0];
  int64_t outer, n, inner;
  ref_around(x, axis, &outer, &n, &inner);
  for (int64_t lane = 0; lane < outer * inner; lane++) {
    int64_t base = ref_lane(lane, n, inner);
    ref_scalar acc = ref_number(x->dtype, s->start);
    for (int64_t k = 0; k < n; k++) {
      int64_t i = base + (reverse ? n - 1 - k : k) * inner;
      ref_scalar v = ref_get(x, i);
      if (exclusive) ref_put(c->out[0], i, acc);
      acc = exclusive || k ? elementwise_apply(s->row, NULL, acc, v) : v;
      if (!exclusive) ref_put(c->out[0], i, acc);
    }
  }
  return RLX_OK;
}

static void scan_lower(lower_call *c, int64_t axis, bool exclusive, bool reverse, const scan *s) {
  rlx_dtype dtype = lower_in_type(c, 0)->dtype;
  const mx x = lower_wide_operand(c, 0);
  c->out[0] = mx_cast(c->m, s->mlx(c->m, x, (int)axis, reverse, !exclusive), dtype);
}

static const scan sum_scan = {&row_add, 0, mx_cumsum, FOLD_SUM},
                  prod_scan = {&row_mul, 1, mx_cumprod, FOLD_PROD},
                  max_scan = {&row_maximum, 0, mx_cummax, FOLD_MAX},
                  min_scan = {&row_minimum, 0, mx_cummin, FOLD_MIN};

static rlx_status scan_prepare(kernel_call *c, int64_t axis, bool exclusive, bool reverse,
                               const scan *s, const char *name) {
  const cpu_view *x = &c->in[0];
  scan_how *how = kernel_state(c, sizeof *how);
  if (!how) return status_memory(sizeof *how);
  how->fold = s->fold;
  how->exclusive = exclusive;
  how->reverse = reverse;
  if (!lane_of(x->dtype, LANE_F64, &how->type))
    return status_set(RLX_ERROR_INTERNAL, "a scan of elements that have no lanes");
  how->start = lane_start(s->fold, x->dtype, how->type);
  rows_spec spec = {.x = x, .y = &c->out[0], .axis = (uint32_t)axis, .ns = 1};
  spec.type = how->type;
  spec.f = cpu_table()->scan_rows;
  spec.how = how;
  c->run = rows_run;
  c->name = name;
  return rows_prepare(&spec, c->threads, c->mem, &c->state, &c->scratch);
}

#define SCAN(name, scan_, exclusive_, cases_)                                         \
  static rlx_status name##_infer(ir_infer *c) {                                       \
    return infer_along(c, &OWN_ATTRS(name)->axis, KINDS_NUMBER);                      \
  }                                                                                   \
  static rlx_status name##_ref(ref_call *c) {                                         \
    const rlx_##name##_attrs *a = c->attrs;                                           \
    return scan_ref(c, a->axis, exclusive_, a->reverse, &scan_);                      \
  }                                                                                   \
  static void name##_lower(lower_call *c) {                                           \
    const rlx_##name##_attrs *a = c->attrs;                                           \
    scan_lower(c, a->axis, exclusive_, a->reverse, &scan_);                           \
  }                                                                                   \
  static rlx_status name##_prepare(kernel_call *c) {                                  \
    const rlx_##name##_attrs *a = c->attrs;                                           \
    return scan_prepare(c, a->axis, exclusive_, a->reverse, &scan_, #name);           \
  }                                                                                   \
  static const ir_kernel name##_kernel = {NULL, name##_prepare, {ORDER_ANY},          \
                                          ORDER_SAME, false};                         \
  RLX_BLOCK(name) = {.infer = name##_infer,                                           \
                     .infer_late = name##_infer,                                      \
                     .ref = name##_ref,                                               \
                     .lower = name##_lower,                                           \
                     .kernel = &name##_kernel,                                        \
                     .no_grad = NO_GRAD_YET,                             \
                     .cases = CASES(cases_)}

#define SCAN_CASES                                                                      \
  "f32[5]; f32[2,3,4] axis=1; f32[2,3,4] axis=-1 reverse=true; f32[1]; f32[0,3]; f32[3,0] axis=1;" \
  "f64[4,5] axis=1; f16[4,5] axis=1; bf16[4,5] axis=1; i8[3,40]{-128:128} axis=1; u8[40]{0:256};"  \
  "i16[6]; u16[6]; i32[6]{-9:9}; u32[6]; i64[6]{-9:9} reverse=true; u64[6]; f32[4]{1,nan,3,-1};"   \
  "f32[] !shape; f32[3] axis=1 !shape; bool[3] !dtype"
#define EXCLUSIVE_CASES                                                                 \
  "; f32[5] exclusive=true; f32[2,3,4] axis=1 exclusive=true reverse=true; i32[6] exclusive=true;" \
  "u8[40]{0:256} exclusive=true; f32[0,3] exclusive=true; f32[1] exclusive=true"

SCAN(cumsum, sum_scan, a->exclusive, SCAN_CASES EXCLUSIVE_CASES);
SCAN(cumprod, prod_scan, a->exclusive, SCAN_CASES EXCLUSIVE_CASES);
SCAN(cummax, max_scan, false, SCAN_CASES);
SCAN(cummin, min_scan, false, SCAN_CASES);

/* --- histogram */

static double bins_per_unit(const rlx_histogram_attrs *a) {
  return (double)a->bins / (a->max - a->min);
}

static rlx_status histogram_infer(ir_infer *c) {
  const rlx_histogram_attrs *a = c->attrs;
  RLX_TRY(infer_kinds(c, 0, KINDS_NUMBER));
  if (a->bins < 1)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "bins is %lld, wanted at least 1", (long long)a->bins);
  if (!isfinite(a->max - a->min) || !(a->min < a->max))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "min is %g and max %g, wanted min below max", a->min,
                      a->max);
  if (bins_per_unit(a) > FLT_MAX)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%lld bins from %g to %g are too narrow for f32",
                      (long long)a->bins, a->min, a->max);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, RLX_F32, 1, &dims));
  dims[0] = a->bins;
  return RLX_OK;
}

static rlx_status histogram_ref(ref_call *c) {
  const rlx_histogram_attrs *a = c->attrs;
  double per_unit = bins_per_unit(a);
  for (int64_t i = 0; i < c->in[0]->count; i++) {
    double v = tensor_real(c->in[0], i);
    if (!(v >= a->min && v <= a->max)) continue;
    int64_t bin = (int64_t)floor((v - a->min) * per_unit);
    if (bin >= a->bins) bin = a->bins - 1;
    tensor_set_real(c->out[0], bin, tensor_real(c->out[0], bin) + 1);
  }
  return RLX_OK;
}

/* Each element adds 1 to its bin, or 0 to the first if it is in none. */
static rlx_val histogram_expand(expr_call *c) {
  const rlx_histogram_attrs *a = c->attrs;
  rlx_graph *g = c->b;
  rlx_dtype dtype = rlx_val_dtype(g, c->in[0]) == RLX_F64 ? RLX_F64 : RLX_F32;
  rlx_val x = expr_cast(g, expr_reshape(g, c->in[0], (const rlx_dim[]){-1}, 1), dtype);
  rlx_val min = rlx_scalar(g, dtype, a->min), max = rlx_scalar(g, dtype, a->max);
  rlx_val inside = rlx_bit_and(g, rlx_ge(g, x, min), rlx_le(g, x, max));
  rlx_val per_unit = rlx_scalar(g, dtype, bins_per_unit(a));
  rlx_val bin = rlx_floor(g, rlx_mul(g, rlx_sub(g, x, min), per_unit));
  bin = rlx_minimum(g, bin, rlx_scalar(g, dtype, (double)(a->bins - 1)));
  bin = expr_cast(g, rlx_where(g, inside, bin, rlx_scalar(g, dtype, 0)), RLX_I64);
  rlx_scatter_add_attrs into = rlx_scatter_add_init();
  into.size = (rlx_ints){&a->bins, 1};
  return rlx_scatter_add(g, expr_cast(g, inside, RLX_F32), bin, &into);
}

RLX_BLOCK(histogram) = {
    .infer = histogram_infer,
    .ref = histogram_ref,
    .expand = histogram_expand,
    .cases = CASES("f32[50]; f32[5,7] bins=4 min=-1 max=1; f32[6]{0,1,0.5,nan,-0.1,1.1} bins=2;"
                   "i32[20]{0:9} bins=3 min=0 max=8; f64[9]; f16[9]; u8[9] bins=3 max=3; f32[0];"
                   "f32[]; f32[3] bins=0 !argument; f32[3] min=1 max=1 !argument;"
                   "f32[3] max=1e-310 !argument;"
                   "f32[3] max=nan !argument; f32[3] max=inf !argument;"
                   "bool[3] !dtype"),
};
