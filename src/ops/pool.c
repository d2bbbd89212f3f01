/* ops/pool.c: max, its place, and average over sliding windows, any number of spatial axes.
 *
 * A window is a box, so max and average are done one axis after the other: onto MLX as shifted
 * slices of the padded operand, combined. */
#include "base/room.h"
#include "ops/kernel.h"
#include "ops/window.h"

enum { MAX_SPATIAL = RLX_MAX_RANK - 2, MAX_TAPS = 24 };

static window_spec max_spec(const rlx_max_pool_attrs *a) {
  return (window_spec){a->kernel, a->strides, a->pads, a->dilations, a->auto_pad, a->ceil};
}
static window_spec index_spec(const rlx_max_pool_index_attrs *a) {
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
static rlx_status max_pool_index_infer(ir_infer *c) {
  window_spec s = index_spec(c->attrs);
  RLX_TRY(pool_infer(c, &s, KINDS_NUMBER));
  c->out[0].dtype = RLX_I64;
  for (uint32_t i = 2; i < c->in[0].rank; i++)
    if (c->in[0].dims[i] == 0)
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %u has no elements, wanted 1 or more", i);
  return RLX_OK;
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

/* Element i of the result: the window at `place` of plane `plane`, whose first element in x is
 * `from`. */
typedef void pool_element(ref_call *c, const pool_ref *p, int64_t i, int64_t from,
                          const int64_t *place);

static rlx_status pool_ref_run(ref_call *c, window_spec s, pool_element *element) {
  const rlx_tensor *x = c->in[0], *y = c->out[0];
  pool_ref p = {.x = x, .n = x->rank - 2, .area = ref_product(x->dims + 2, x->rank - 2)};
  for (size_t k = 0; k < p.n; k++) p.kernel[k] = s.kernel.data[k];
  window_resolve(&s, p.n, x->dims + 2, y->dims + 2, p.w);
  int64_t at[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < y->count; i++, ref_next(y->rank, y->dims, at))
    element(c, &p, i, (at[0] * y->dims[1] + at[1]) * p.area, at + 2);
  return RLX_OK;
}

/* The largest element of a window, counted in its plane; the first NaN wins; -1 without any. */
static int64_t pool_ref_largest(const pool_ref *p, int64_t from, const int64_t *place) {
  int64_t best = -1, tap[MAX_SPATIAL] = {0};
  bool is_float = dtype_kind(p->x->dtype) == RLX_KIND_FLOAT;
  bool is_unsigned = dtype_kind(p->x->dtype) == RLX_KIND_UINT;
  do {
    int64_t at = window_index(p->w, p->n, place, tap);
    if (at < 0) continue;
    if (best < 0) {
      best = at;
    } else if (is_float) {
      double v = tensor_real(p->x, from + at), most = tensor_real(p->x, from + best);
      if (v > most || (isnan(v) && !isnan(most))) best = at;
    } else {
      int64_t v = tensor_int(p->x, from + at), most = tensor_int(p->x, from + best);
      if (is_unsigned ? (uint64_t)v > (uint64_t)most : v > most) best = at;
    }
  } while (ref_next(p->n, p->kernel, tap));
  return best;
}

static void max_element(ref_call *c, const pool_ref *p, int64_t i, int64_t from,
                        const int64_t *place) {
  int64_t best = pool_ref_largest(p, from, place);
  if (best >= 0) ref_copy(c->out[0], i, p->x, from + best);
  else tensor_set_real(c->out[0], i, ref_lowest(p->x->dtype));
}
static rlx_status max_pool_ref(ref_call *c) {
  return pool_ref_run(c, max_spec(c->attrs), max_element);
}

/* A place in a plane as max_pool_index counts it; a window without elements gives the first one. */
static int64_t pool_place(const window_axis *w, size_t n, int64_t at, bool column_major) {
  int64_t place = 0;
  if (at < 0 || !column_major) return at < 0 ? 0 : at;
  for (size_t i = n; i-- > 0; at /= w[i].in) place = place * w[i].in + at % w[i].in;
  return place;
}

static void max_index_element(ref_call *c, const pool_ref *p, int64_t i, int64_t from,
                              const int64_t *place) {
  const int64_t best = pool_ref_largest(p, from, place);
  const bool column_major = ATTRS(max_pool_index)->column_major;
  tensor_set_int(c->out[0], i, from + pool_place(p->w, p->n, best, column_major));
}
static rlx_status max_pool_index_ref(ref_call *c) {
  return pool_ref_run(c, index_spec(c->attrs), max_index_element);
}

static void avg_element(ref_call *c, const pool_ref *p, int64_t i, int64_t from,
                        const int64_t *place) {
  int64_t tap[MAX_SPATIAL] = {0};
  double sum = 0, count = 1;
  do {
    int64_t at = window_index(p->w, p->n, place, tap);
    if (at >= 0) sum += tensor_real(p->x, from + at);
  } while (ref_next(p->n, p->kernel, tap));
  for (size_t k = 0; k < p->n; k++)
    count *= (double)window_taps(&p->w[k], place[k], ATTRS(avg_pool)->count_pad);
  tensor_set_real(c->out[0], i, sum / count);
}
static rlx_status avg_pool_ref(ref_call *c) {
  return pool_ref_run(c, avg_spec(c->attrs), avg_element);
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

/* For each tap of each window: the element of the plane under it (for padding the window's first
 * one, which then counts twice), and its place as the result tells it. */
static void index_tables(const window_axis *w, size_t n, const window_spec *s, const int64_t *out,
                         bool column_major, int32_t *from, int64_t *to) {
  int64_t place[MAX_SPATIAL] = {0};
  do {
    int64_t tap[MAX_SPATIAL] = {0}, first = -1;
    do {
      first = window_index(w, n, place, tap);
    } while (first < 0 && ref_next(n, s->kernel.data, tap));
    memset(tap, 0, sizeof tap);
    do {
      const int64_t at = window_index(w, n, place, tap);
      *to = pool_place(w, n, at < 0 ? first : at, column_major);
      *from++ = (int32_t)pool_place(w, n, at < 0 ? first : at, false);
      to++;
    } while (ref_next(n, s->kernel.data, tap));
  } while (ref_next(n, out, place));
}

/* All windows of a plane side by side, and an argmax over each. */
static void max_pool_index_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0), *y = lower_out_type(c, 0);
  const size_t n = x->rank - 2;
  const window_spec s = index_spec(c->attrs);
  const int64_t planes = x->dims[0] * x->dims[1], area = ref_product(x->dims + 2, n);
  int64_t all = ref_product(y->dims, y->rank), taps = 1, places = ref_product(y->dims + 2, n);
  bool fits = area <= INT32_MAX;
  for (size_t i = 0; i < n; i++) fits = fits && size_mul(taps, s.kernel.data[i], &taps);
  if (!fits || !size_mul(all, taps, &all) || !size_mul(all, 8, &all) || !room_for((uint64_t)all)) {
    mx_fail(c->m, status_set(RLX_ERROR_LIMIT, "all windows side by side are too large"));
    return;
  }
  window_axis w[MAX_SPATIAL];
  window_resolve(&s, n, x->dims + 2, y->dims + 2, w);
  const size_t count = (size_t)(places * taps);
  int32_t *from = mem_new(count, sizeof *from);
  int64_t *to = mem_new(count, sizeof *to);
  if (from && to)
    index_tables(w, n, &s, y->dims + 2, ATTRS(max_pool_index)->column_major, from, to);
  else
    mx_fail(c->m, status_memory(count * sizeof *to));
  const mx taken = mx_from_data(c->m, RLX_I32, 2, (const int64_t[]){places, taps}, from);
  const mx told = mx_from_data(c->m, RLX_I64, 1, (const int64_t[]){places * taps}, to);
  mem_free(from);
  mem_free(to);
  const mx rows = mx_reshape(c->m, c->in[0], 2, (const int64_t[]){planes, area});
  const mx best = mx_argmax(c->m, mx_take(c->m, rows, taken, 1), 2, false);
  const mx window = mx_arange(c->m, 0, (double)taps, places, RLX_I64);
  const mx plane = mx_arange(c->m, 0, (double)area, planes, RLX_I64);
  const mx at = mx_take(c->m, told, mx_add(c->m, mx_cast(c->m, best, RLX_I64), window), 0);
  const mx sum = mx_add(c->m, at, mx_reshape(c->m, plane, 2, (const int64_t[]){planes, 1}));
  c->out[0] = mx_reshape(c->m, sum, y->rank, y->dims);
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

/* --- on a CPU: cpu/pool.h */

static bool pool_covers(const ir_infer *c) {
  return c->in[0].rank <= 2 + CONV_AXES && pool_takes(c->in[0].dtype);
}

static rlx_status pool_prepare(kernel_call *c, const window_spec *s, bool mean, bool count_pad) {
  const cpu_view *x = &c->in[0], *y = &c->out[0];
  const size_t n = x->rank - 2;
  window_axis w[MAX_SPATIAL];
  window_resolve(s, n, x->dims + 2, y->dims + 2, w);
  pool_plan *p = kernel_state(c, sizeof *p);
  if (!p) return status_memory(sizeof *p);
  *p = (pool_plan){.images = x->dims[0],
                   .channels = x->dims[1],
                   .mean = mean,
                   .dtype = x->dtype,
                   .threads = c->threads};
  window_axes(w, n, p->axis);
  for (size_t i = 0; i < CONV_AXES; i++) {
    const size_t missing = CONV_AXES - n;
    p->after[i] = count_pad ? (i < missing ? 0 : w[i - missing].after) : -1;
  }
  c->run = pool_run;
  c->name = mean ? "mean pool" : "max pool";
  c->state = p;
  c->scratch = (size_t)pool_scratch(p);
  return RLX_OK;
}

static rlx_status max_pool_prepare(kernel_call *c) {
  const window_spec s = max_spec(c->attrs);
  return pool_prepare(c, &s, false, false);
}
static rlx_status avg_pool_prepare(kernel_call *c) {
  const window_spec s = avg_spec(c->attrs);
  return pool_prepare(c, &s, true, ATTRS(avg_pool)->count_pad);
}

static const ir_kernel max_pool_kernel = {
    .covers = pool_covers, .prepare = max_pool_prepare, .in = {ORDER_LAST}, .out = ORDER_LAST};
static const ir_kernel avg_pool_kernel = {
    .covers = pool_covers, .prepare = avg_pool_prepare, .in = {ORDER_LAST}, .out = ORDER_LAST};

RLX_BLOCK(max_pool) = {
    .infer = max_pool_infer,
    .ref = max_pool_ref,
    .lower = max_pool_lower,
    .kernel = &max_pool_kernel,
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

RLX_BLOCK(max_pool_index) = {
    .infer = max_pool_index_infer,
    .ref = max_pool_index_ref,
    .lower = max_pool_index_lower,
    .no_grad = "its result is an index",
    .cases = CASES(
        "f32[2,3,7] kernel=[3]; f32[2,2,7,8] kernel=[3,2] strides=[2,2] pads=[1,0,1,1];"
        "f32[1,2,7,8] kernel=[3,2] strides=[2,2] pads=[1,0,1,1] column_major=true;"
        "i8[1,2,6,5] kernel=[3,3] pads=[2,2,2,2];"
        "f32[1,1,4,5,3] kernel=[2,2,2] column_major=true;"
        "f32[1,2,8,8] kernel=[3,3] strides=[2,3] ceil=true; f32[1,2,8,9] kernel=[2,3] "
        "dilations=[2,3]; f32[1,2,7,8] kernel=[3,3] strides=[2,2] auto_pad=same_upper;"
        "f32[0,2,6,6] kernel=[2,2]; f32[1,1,5]{-inf,-inf,nan,1,nan} kernel=[3] pads=[1,1];"
        "f32[1,1,2,2] kernel=[1,1] pads=[1,1,1,1];"
        "u64[1,2,6] kernel=[3] pads=[1,1]; f16[1,2,6,6] kernel=[2,2] strides=[2,2];"
        "f32[1,2,0] kernel=[1] pads=[1,1] !shape; f32[1,2,3,3] kernel=[4,4] !shape;"
        "bool[1,2,3] kernel=[2] !dtype"),
};

RLX_BLOCK(avg_pool) = {
    .infer = avg_pool_infer,
    .ref = avg_pool_ref,
    .lower = avg_pool_lower,
    .kernel = &avg_pool_kernel,
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
