/* ops/pool.c: max and average over sliding windows, any number of spatial axes.
 *
 * A window is a box, so both are done one axis after the other: onto MLX as shifted slices of the
 * padded operand, combined. */
#include "ops/window.h"

enum { MAX_SPATIAL = RLX_MAX_RANK - 2, MAX_TAPS = 24 };

static window_spec max_spec(const rlx_max_pool_attrs *a) {
  return (window_spec){a->kernel, a->strides, a->pads, a->dilations, a->auto_pad, a->ceil};
}
static window_spec avg_spec(const rlx_avg_pool_attrs *a) {
  return (window_spec){a->kernel, a->strides, a->pads, a->dilations, a->auto_pad, a->ceil};
}

static rlx_status pool_infer(ir_infer *c, const window_spec *s, unsigned kinds) {
  RLX_TRY(infer_kinds(c, 0, kinds));
  RLX_TRY(infer_rank(c, 0, 3, RLX_MAX_RANK));
  const ir_type *x = &c->in[0];
  RLX_TRY(window_check_list(c, "kernel", s->kernel, x->rank - 2, 1));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  dims[0] = x->dims[0];
  dims[1] = x->dims[1];
  return window_infer(c, s, x->dims + 2, x->rank - 2, dims + 2);
}
static rlx_status max_pool_infer(ir_infer *c) {
  window_spec s = max_spec(c->attrs);
  return pool_infer(c, &s, KINDS_NUMBER);
}
static rlx_status avg_pool_infer(ir_infer *c) {
  window_spec s = avg_spec(c->attrs);
  return pool_infer(c, &s, KINDS_FLOAT);
}

/* How many taps of the window at `place` of an axis count: those on elements, or on padding too. */
static int64_t window_taps(const window_axis *w, int64_t place, bool padding) {
  int64_t first = padding ? -w->before : 0, end = w->in + (padding ? w->after : 0), count = 0;
  for (int64_t t = 0; t < w->kernel; t++) {
    int64_t at = place * w->stride - w->before + t * w->dilation;
    count += at >= first && at < end;
  }
  return count ? count : 1;
}

/* --- references */

typedef struct pool_ref {
  const rlx_tensor *x;
  size_t n;
  int64_t area, kernel[MAX_SPATIAL];
  window_axis w[MAX_SPATIAL];
} pool_ref;

static void pool_ref_start(pool_ref *p, const ref_call *c, const window_spec *s) {
  p->x = c->in[0];
  p->n = p->x->rank - 2;
  p->area = ref_product(p->x->dims + 2, p->n);
  for (size_t i = 0; i < p->n; i++) p->kernel[i] = s->kernel.data[i];
  window_resolve(s, p->n, p->x->dims + 2, c->out[0]->dims + 2, p->w);
}

/* The index in x of the largest element of a window of plane `plane`; NaN wins; -1 if none. */
static int64_t pool_ref_largest(const pool_ref *p, int64_t plane, const int64_t *place) {
  int64_t best = -1, tap[MAX_SPATIAL] = {0};
  bool is_float = dtype_kind(p->x->dtype) == RLX_KIND_FLOAT;
  bool is_unsigned = dtype_kind(p->x->dtype) == RLX_KIND_UINT;
  do {
    int64_t at = window_index(p->w, p->n, place, tap);
    if (at < 0) continue;
    at += plane * p->area;
    if (best < 0) {
      best = at;
    } else if (is_float) {
      double v = tensor_real(p->x, at), most = tensor_real(p->x, best);
      if (v > most || isnan(v)) best = at;
    } else {
      int64_t v = tensor_int(p->x, at), most = tensor_int(p->x, best);
      if (is_unsigned ? (uint64_t)v > (uint64_t)most : v > most) best = at;
    }
  } while (ref_next(p->n, p->kernel, tap));
  return best;
}

static rlx_status max_pool_ref(ref_call *c) {
  window_spec s = max_spec(c->attrs);
  pool_ref p;
  pool_ref_start(&p, c, &s);
  rlx_tensor *y = c->out[0];
  int64_t at[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < y->count; i++) {
    int64_t from = pool_ref_largest(&p, at[0] * y->dims[1] + at[1], at + 2);
    if (from >= 0) ref_copy(y, i, p.x, from);
    else tensor_set_real(y, i, ref_lowest(y->dtype));
    ref_next(y->rank, y->dims, at);
  }
  return RLX_OK;
}

static rlx_status avg_pool_ref(ref_call *c) {
  window_spec s = avg_spec(c->attrs);
  pool_ref p;
  pool_ref_start(&p, c, &s);
  rlx_tensor *y = c->out[0];
  int64_t at[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < y->count; i++) {
    int64_t tap[MAX_SPATIAL] = {0}, plane = (at[0] * y->dims[1] + at[1]) * p.area;
    double sum = 0, count = 1;
    do {
      int64_t from = window_index(p.w, p.n, at + 2, tap);
      if (from >= 0) sum += tensor_real(p.x, plane + from);
    } while (ref_next(p.n, p.kernel, tap));
    for (size_t k = 0; k < p.n; k++)
      count *= (double)window_taps(&p.w[k], at[2 + k], ATTRS(avg_pool)->count_pad);
    tensor_set_real(y, i, sum / count);
    ref_next(y->rank, y->dims, at);
  }
  return RLX_OK;
}

/* --- onto MLX */

/* How windows are put together: two by two, or along an axis. */
typedef struct pool_how {
  mx (*combine)(mx_ctx *m, mx a, mx b);
  mx (*reduce)(mx_ctx *m, mx a, const int *axes, size_t n_axes, bool keep);
} pool_how;

/* An axis with long windows: a view that has them as an axis of their own, which is reduced. */
static mx pool_long(lower_call *c, mx x, const int64_t *sizes, size_t rank, size_t axis,
                    const window_axis *a, const pool_how *how) {
  int64_t outer = ref_product(sizes, axis), inner = ref_product(sizes + axis + 1, rank - axis - 1);
  int64_t dims[RLX_MAX_RANK], shape[4] = {outer, a->out, a->kernel, inner};
  int64_t strides[4] = {sizes[axis] * inner, a->stride * inner, a->dilation * inner, 1};
  for (size_t i = 0; i < rank; i++) dims[i] = i == axis ? a->out : sizes[i];
  mx windows = mx_as_strided(c->m, mx_contiguous(c->m, x), mx_ints(c->m, shape, 4), strides, 4, 0);
  return mx_reshape(c->m, how->reduce(c->m, windows, (int[]){2}, 1, false), rank, dims);
}

/* Pads x so that all windows fit, then replaces each spatial axis by that of the result: slices at
 * the taps, combined. */
static mx pool_axes(lower_call *c, mx x, const window_axis *w, mx padding, const pool_how *how) {
  const ir_type *type = lower_in_type(c, 0);
  const size_t rank = type->rank;
  int64_t before[RLX_MAX_RANK] = {0}, after[RLX_MAX_RANK] = {0}, sizes[RLX_MAX_RANK];
  int64_t from[RLX_MAX_RANK] = {0}, steps[RLX_MAX_RANK];
  for (size_t i = 0; i < rank; i++) {
    sizes[i] = type->dims[i];
    steps[i] = 1;
    if (i < 2) continue;
    const window_axis *a = &w[i - 2];
    before[i] = a->before;
    after[i] = window_end(a) > a->in ? window_end(a) - a->in : 0;
    sizes[i] += before[i] + after[i];
  }
  x = mx_pad(c->m, x, mx_ints(c->m, before, rank), mx_ints(c->m, after, rank), rank, padding);
  for (size_t i = 2; i < rank; i++) {
    const window_axis *a = &w[i - 2];
    mx sum = a->kernel > MAX_TAPS ? pool_long(c, x, sizes, rank, i, a, how) : NULL;
    sizes[i] = a->out;
    steps[i] = a->stride;
    for (int64_t t = 0; t < a->kernel && a->kernel <= MAX_TAPS; t++) {
      from[i] = t * a->dilation;
      mx slice = lower_cut(c, x, rank, from, sizes, steps);
      sum = sum ? how->combine(c->m, sum, slice) : slice;
    }
    x = sum;
    from[i] = 0;
    steps[i] = 1;
  }
  return x;
}

static void max_pool_lower(lower_call *c) {
  static const pool_how largest = {mx_maximum, mx_reduce_max};
  const ir_type *x = lower_in_type(c, 0);
  window_spec s = max_spec(c->attrs);
  window_axis w[MAX_SPATIAL];
  window_resolve(&s, x->rank - 2, x->dims + 2, lower_out_type(c, 0)->dims + 2, w);
  mx lowest = mx_scalar(c->m, x->dtype, ref_lowest(x->dtype));
  c->out[0] = pool_axes(c, c->in[0], w, lowest, &largest);
}

/* The number of elements under each window, [out..], as the product of a vector per axis. */
static mx pool_divisor(lower_call *c, const window_axis *w, size_t n, bool padding) {
  mx product = NULL;
  for (size_t i = 0; i < n; i++) {
    int64_t shape[MAX_SPATIAL];
    float *counts = mem_new((size_t)w[i].out, sizeof *counts);
    if (!counts) return mx_fail(c->m, status_memory((size_t)w[i].out * sizeof *counts));
    for (int64_t k = 0; k < w[i].out; k++) counts[k] = (float)window_taps(&w[i], k, padding);
    for (size_t k = 0; k < n; k++) shape[k] = k == i ? w[i].out : 1;
    mx vector = mx_from_data(c->m, RLX_F32, n, shape, counts);
    mem_free(counts);
    product = product ? mx_mul(c->m, product, vector) : vector;
  }
  return product;
}

static void avg_pool_lower(lower_call *c) {
  static const pool_how total = {mx_add, mx_reduce_sum};
  const ir_type *x = lower_in_type(c, 0);
  size_t n = x->rank - 2;
  window_spec s = avg_spec(c->attrs);
  window_axis w[MAX_SPATIAL];
  window_resolve(&s, n, x->dims + 2, lower_out_type(c, 0)->dims + 2, w);
  rlx_dtype dtype = dtype_bytes(x->dtype) < sizeof(float) ? RLX_F32 : x->dtype;
  mx sum = pool_axes(c, mx_cast(c->m, c->in[0], dtype), w, mx_scalar(c->m, dtype, 0), &total);
  mx divisor = mx_cast(c->m, pool_divisor(c, w, n, ATTRS(avg_pool)->count_pad), dtype);
  c->out[0] = mx_cast(c->m, mx_div(c->m, sum, divisor), x->dtype);
}

RLX_BLOCK(max_pool) = {
    .infer = max_pool_infer,
    .ref = max_pool_ref,
    .lower = max_pool_lower,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[2,3,7] kernel=[3]; f32[1,2,7,8] kernel=[3,2] strides=[2,2] pads=[1,0,1,1];"
        "f32[1,2,8,8] kernel=[3,3] strides=[2,3] ceil=true; f32[1,2,8,9] kernel=[2,3] "
        "dilations=[2,3];"
        "f32[1,2,7,8] kernel=[3,3] strides=[2,2] auto_pad=same_upper;"
        "f32[1,2,7,8] kernel=[2,2] strides=[2,2] auto_pad=same_lower; f32[1,2,4,5,6] "
        "kernel=[2,2,3];"
        "i8[1,2,6,6] kernel=[3,3] pads=[1,1,1,1]; u8[1,2,6,6] kernel=[3,3] pads=[1,1,1,1];"
        "i64[1,2,6] kernel=[3] pads=[1,1]; f64[1,2,6] kernel=[3]; f32[2,3,80] kernel=[30] "
        "strides=[3] dilations=[2] pads=[5,9]; f16[1,2,6,6] kernel=[2,2] "
        "strides=[2,2];"
        "f32[0,2,6,6] kernel=[2,2]; f32[1,1,2,2] kernel=[1,1] pads=[1,1,1,1];"
        "f32[1,2,3,3] kernel=[4,4] !shape; f32[1,2,3] kernel=[2147483647] pads=[2147483647,9] "
        "!limit; f32[1,2,3,3] kernel=[2] !shape; f32[2,3] kernel=[] "
        "!shape;"
        "f32[1,2,3] kernel=[0] !argument; bool[1,2,3] kernel=[2] !dtype;"
        "f32[1,2,3] kernel=[-9223372036854775808] !argument;"
        "f32[1,2,3] kernel=[2] pads=[-9223372036854775808,0] !argument"),
};

RLX_BLOCK(avg_pool) = {
    .infer = avg_pool_infer,
    .ref = avg_pool_ref,
    .lower = avg_pool_lower,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[2,3,7] kernel=[3]; f32[1,2,7,8] kernel=[3,2] strides=[2,2] pads=[1,0,1,1];"
        "f32[1,2,7,8] kernel=[3,2] strides=[2,2] pads=[1,0,1,1] count_pad=true;"
        "f32[1,2,8,8] kernel=[3,3] strides=[2,3] ceil=true;"
        "f32[1,2,8,8] kernel=[3,3] strides=[2,3] pads=[1,1,1,1] ceil=true count_pad=true;"
        "f32[1,2,8,9] kernel=[2,3] dilations=[2,3]; f32[1,2,4,5,6] kernel=[2,2,3];"
        "f32[1,2,7,8] kernel=[3,3] strides=[2,2] auto_pad=same_lower; f64[1,2,6] kernel=[3]; "
        "f32[2,3,80] kernel=[30] strides=[3] dilations=[2] pads=[5,9];"
        "f16[1,2,6,6] kernel=[2,2] strides=[2,2]; bf16[1,2,6,6] kernel=[3,3]; f32[0,2,6,6] "
        "kernel=[2,2];"
        "f32[1,2,3,3] kernel=[4,4] !shape; f32[1,2,3] kernel=[2147483647] pads=[2147483647,9] "
        "!limit; f32[1,2,3,3] kernel=[2,2] pads=[1] !shape;"
        "i32[1,2,3] kernel=[2] !dtype"),
};
