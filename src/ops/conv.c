/* ops/conv.c: convolution and its transpose: channels first, any groups, one to three spatial axes.
 *
 * On a CPU MLX convolves slowly (grouped and transposed convolutions by a scalar loop), so there it
 * is a matrix product over gathered windows, which OpenBLAS does, or a sum over the taps when each
 * channel stands alone. */
#include <stdio.h>

#include "ops/kernel.h"
#include "ops/window.h"

enum { MAX_SPATIAL = 3, MAX_TAPS = 64 };

/* --- shapes */

static rlx_status conv_operands(ir_infer *c, int64_t groups) {
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_same_dtype(c, 0, 1));
  RLX_TRY(infer_rank(c, 0, 3, 2 + MAX_SPATIAL));
  RLX_TRY(infer_rank(c, 1, c->in[0].rank, c->in[0].rank));
  if (groups < 1 || groups > INT32_MAX)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "groups is %lld, wanted 1 or more", (long long)groups);
  return RLX_OK;
}

static rlx_status conv_bias(ir_infer *c, rlx_dim channels) {
  if (c->n_in < 3 || c->in[2].dtype == RLX_DTYPE_COUNT) return RLX_OK;
  RLX_TRY(infer_same_dtype(c, 0, 2));
  RLX_TRY(infer_rank(c, 2, 1, 1));
  if (infer_differ(c->in[2].dims[0], channels))
    return infer_fail(c, RLX_ERROR_SHAPE, "the bias has %lld elements for %lld channels",
                      (long long)c->in[2].dims[0], (long long)channels);
  return RLX_OK;
}

static window_spec conv_spec(const rlx_conv_attrs *a, const rlx_dim *kernel, size_t n) {
  return (window_spec){{kernel, n}, a->strides, a->pads, a->dilations, a->auto_pad, false};
}

static rlx_status conv_infer(ir_infer *c) {
  const rlx_conv_attrs *a = c->attrs;
  const ir_type *x = &c->in[0], *w = &c->in[1];
  RLX_TRY(conv_operands(c, a->groups));
  size_t n = x->rank - 2;
  window_spec s = conv_spec(a, w->dims + 2, n);
  rlx_dim channels = infer_mul(c, w->dims[1], a->groups);
  if (infer_differ(x->dims[1], channels))
    return infer_fail(c, RLX_ERROR_SHAPE, "x has %lld channels, the weights want %lld",
                      (long long)x->dims[1], (long long)channels);
  if (dim_known(w->dims[0]) && w->dims[0] % a->groups != 0)
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld output channels do not divide into %lld groups",
                      (long long)w->dims[0], (long long)a->groups);
  RLX_TRY(conv_bias(c, w->dims[0]));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  dims[0] = x->dims[0];
  dims[1] = w->dims[0];
  return window_infer(c, &s, x->dims + 2, n, dims + 2);
}

/* The window of a transposed convolution slides over the result: in and out change places. */
static window_spec transpose_spec(const rlx_conv_transpose_attrs *a, const rlx_dim *kernel,
                                  size_t n) {
  return (window_spec){{kernel, n}, a->strides, a->pads, a->dilations, NULL, false};
}

static rlx_status conv_transpose_sizes(ir_infer *c, const window_spec *s, rlx_dim *out) {
  const rlx_conv_transpose_attrs *a = c->attrs;
  for (size_t i = 0; i < s->kernel.n; i++) {
    int64_t stride = window_item(s->strides, i, 1), dilation = window_item(s->dilations, i, 1);
    int64_t pads = window_item(s->pads, i, 0) + window_item(s->pads, s->kernel.n + i, 0);
    int64_t extra = window_item(a->output_padding, i, 0);
    rlx_dim spread = infer_mul(c, infer_sub(c, c->in[0].dims[2 + i], 1), stride);
    rlx_dim reach = infer_mul(c, infer_sub(c, s->kernel.data[i], 1), dilation);
    rlx_dim whole = infer_add(c, infer_add(c, spread, reach), extra + 1);
    if (dim_known(whole) && whole > INT32_MAX)
      return infer_fail(c, RLX_ERROR_LIMIT, "spatial axis %zu would have %lld elements", i,
                        (long long)whole);
    out[i] = infer_sub(c, whole, pads);
    if (dim_known(out[i]) && out[i] < 1)
      return infer_fail(c, RLX_ERROR_SHAPE, "spatial axis %zu would have %lld elements", i,
                        (long long)out[i]);
  }
  return RLX_OK;
}

static rlx_status conv_transpose_infer(ir_infer *c) {
  const rlx_conv_transpose_attrs *a = c->attrs;
  const ir_type *x = &c->in[0], *w = &c->in[1];
  RLX_TRY(conv_operands(c, a->groups));
  size_t n = x->rank - 2;
  window_spec s = transpose_spec(a, w->dims + 2, n);
  RLX_TRY(window_check(c, &s, n));
  RLX_TRY(window_check_list(c, "output_padding", a->output_padding, n, 0));
  if (infer_differ(x->dims[1], w->dims[0]))
    return infer_fail(c, RLX_ERROR_SHAPE, "x has %lld channels, the weights want %lld",
                      (long long)x->dims[1], (long long)w->dims[0]);
  if (dim_known(w->dims[0]) && w->dims[0] % a->groups != 0)
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld channels do not divide into %lld groups",
                      (long long)w->dims[0], (long long)a->groups);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  dims[0] = x->dims[0];
  dims[1] = infer_mul(c, w->dims[1], a->groups);
  RLX_TRY(conv_bias(c, dims[1]));
  return conv_transpose_sizes(c, &s, dims + 2);
}

/* --- references */

static double bias_of(const ref_call *c, int64_t channel) {
  return c->n_in > 2 && c->in[2] ? tensor_real(c->in[2], channel) : 0;
}

/* The sum over channels and taps for one element of the result. */
static double conv_element(const ref_call *c, const window_axis *w, size_t n, int64_t image,
                           int64_t channel, const int64_t *place) {
  const rlx_tensor *x = c->in[0], *k = c->in[1];
  int64_t per_group = k->dims[1], groups = ATTRS(conv)->groups;
  int64_t first = channel / (k->dims[0] / groups) * per_group;
  int64_t area = ref_product(x->dims + 2, n), taps = ref_product(k->dims + 2, n);
  double sum = bias_of(c, channel);
  for (int64_t i = 0; i < per_group; i++) {
    int64_t tap[MAX_SPATIAL] = {0};
    for (int64_t t = 0; t < taps; t++) {
      int64_t at = window_index(w, n, place, tap);
      if (at >= 0)
        sum += tensor_real(x, (image * x->dims[1] + first + i) * area + at) *
               tensor_real(k, (channel * per_group + i) * taps + t);
      ref_next(n, k->dims + 2, tap);
    }
  }
  return sum;
}

static rlx_status conv_ref(ref_call *c) {
  rlx_tensor *y = c->out[0];
  size_t n = y->rank - 2;
  window_spec s = conv_spec(c->attrs, c->in[1]->dims + 2, n);
  window_axis w[MAX_SPATIAL];
  window_resolve(&s, n, c->in[0]->dims + 2, y->dims + 2, w);
  int64_t at[2 + MAX_SPATIAL] = {0};
  for (int64_t i = 0; i < y->count; i++) {
    tensor_set_real(y, i, conv_element(c, w, n, at[0], at[1], at + 2));
    ref_next(y->rank, y->dims, at);
  }
  return RLX_OK;
}

/* Adds what one element of x (at `at`, of value v) gives to the plane of one output channel. */
static void conv_transpose_spread(const ref_call *c, const window_axis *w, size_t n, double v,
                                  const int64_t *at, int64_t weight, double *plane) {
  const rlx_tensor *k = c->in[1];
  int64_t taps = ref_product(k->dims + 2, n), tap[MAX_SPATIAL] = {0};
  for (int64_t t = 0; t < taps; t++) {
    int64_t to = window_index(w, n, at, tap);
    if (to >= 0) plane[to] += v * tensor_real(k, weight * taps + t);
    ref_next(n, k->dims + 2, tap);
  }
}

static rlx_status conv_transpose_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0], *k = c->in[1];
  rlx_tensor *y = c->out[0];
  size_t n = y->rank - 2;
  window_spec s = transpose_spec(c->attrs, k->dims + 2, n);
  window_axis w[MAX_SPATIAL];
  window_resolve(&s, n, y->dims + 2, x->dims + 2, w);
  int64_t groups = ATTRS(conv_transpose)->groups, out_per = k->dims[1],
          in_per = k->dims[0] / groups;
  int64_t in_area = ref_product(x->dims + 2, n), out_area = ref_product(y->dims + 2, n);
  double *plane = mem_new((size_t)out_area, sizeof *plane);
  if (!plane) return status_memory((size_t)out_area * sizeof *plane);
  for (int64_t p = 0; p < y->dims[0] * y->dims[1]; p++) {
    int64_t image = p / y->dims[1], channel = p % y->dims[1];
    for (int64_t i = 0; i < out_area; i++) plane[i] = bias_of(c, channel);
    for (int64_t i = 0; i < in_per; i++) {
      int64_t from = channel / out_per * in_per + i, at[MAX_SPATIAL] = {0};
      for (int64_t j = 0; j < in_area; j++) {
        double v = tensor_real(x, (image * x->dims[1] + from) * in_area + j);
        conv_transpose_spread(c, w, n, v, at, from * out_per + channel % out_per, plane);
        ref_next(n, x->dims + 2, at);
      }
    }
    for (int64_t i = 0; i < out_area; i++) tensor_set_real(y, p * out_area + i, plane[i]);
  }
  mem_free(plane);
  return RLX_OK;
}

/* --- onto MLX: x [N,C,in..] with w [O,C/g,k..] */

typedef struct conv_call {
  lower_call *c;
  mx_ctx *m;
  size_t n; /* spatial axes */
  window_axis axes[MAX_SPATIAL];
  int64_t images, in, out, groups; /* N, C, O, g */
  bool empty;                      /* nothing to sum */
  bool tiles;                      /* transposed, the windows side by side */
} conv_call;

/* Padding so that exactly the windows of the result fit: no more, no less than they cover. */
static mx conv_padded(const conv_call *v, mx x) {
  const size_t rank = 2 + v->n;
  int64_t before[2 + MAX_SPATIAL] = {0}, after[2 + MAX_SPATIAL] = {0};
  bool any = false;
  for (size_t i = 0; i < v->n; i++) {
    const window_axis *w = &v->axes[i];
    int64_t end = window_end(w);
    before[2 + i] = w->before;
    after[2 + i] = end > w->in ? end - w->in : 0;
    any = any || before[2 + i] || after[2 + i];
  }
  if (!any) return x;
  return mx_pad(v->m, x, mx_ints(v->m, before, rank), mx_ints(v->m, after, rank), rank,
                mx_scalar(v->m, mx_dtype(x), 0));
}

/* MLX's own convolution, channels last. */
static mx conv_native(const conv_call *v, mx x, mx w) {
  int last[2 + MAX_SPATIAL] = {0}, first[2 + MAX_SPATIAL] = {0};
  int strides[MAX_SPATIAL], none[MAX_SPATIAL] = {0}, dilations[MAX_SPATIAL], ones[MAX_SPATIAL];
  last[v->n + 1] = 1;
  first[1] = (int)v->n + 1;
  for (size_t i = 0; i < v->n; i++) {
    last[1 + i] = 2 + (int)i;
    first[2 + i] = 1 + (int)i;
    strides[i] = (int)v->axes[i].stride;
    dilations[i] = (int)v->axes[i].dilation;
    ones[i] = 1;
  }
  mx xl = mx_contiguous(v->m, mx_transpose(v->m, conv_padded(v, x), last, 2 + v->n));
  mx wl = mx_contiguous(v->m, mx_transpose(v->m, w, last, 2 + v->n));
  mx y = mx_conv(v->m, xl, wl, strides, none, none, dilations, ones, v->n, (int)v->groups);
  return mx_transpose(v->m, y, first, 2 + v->n);
}

/* Depthwise: the sum over taps of a shifted x times one weight per channel. */
static mx conv_taps(const conv_call *v, mx x, mx w) {
  const size_t rank = 2 + v->n;
  const int64_t *counts = lower_out_type(v->c, 0)->dims;
  int64_t kernel[MAX_SPATIAL], tap[MAX_SPATIAL] = {0};
  int64_t from[2 + MAX_SPATIAL] = {0}, steps[2 + MAX_SPATIAL] = {1, 1};
  int64_t w_from[2 + MAX_SPATIAL] = {0}, column[2 + MAX_SPATIAL] = {v->out, 1};
  int64_t shape[2 + MAX_SPATIAL] = {1, v->out};
  for (size_t i = 0; i < v->n; i++) {
    kernel[i] = v->axes[i].kernel;
    steps[2 + i] = v->axes[i].stride;
    column[2 + i] = shape[2 + i] = 1;
  }
  mx padded = conv_padded(v, x), y = NULL;
  do {
    for (size_t i = 0; i < v->n; i++) {
      from[2 + i] = tap[i] * v->axes[i].dilation;
      w_from[2 + i] = tap[i];
    }
    mx weight = mx_reshape(v->m, lower_cut(v->c, w, rank, w_from, column, NULL), rank, shape);
    mx term = mx_mul(v->m, lower_cut(v->c, padded, rank, from, counts, steps), weight);
    y = y ? mx_add(v->m, y, term) : term;
  } while (ref_next(v->n, kernel, tap));
  return y;
}

/* The windows laid out as columns, then one matrix product per image and group. */
static mx conv_matmul(const conv_call *v, mx x, mx w) {
  mx columns = conv_padded(v, x);
  int64_t area = 1, places = 1, taps = 1;
  int64_t dims[2 + 2 * MAX_SPATIAL], strides[2 + 2 * MAX_SPATIAL];
  bool as_it_is = true;
  for (size_t i = v->n; i-- > 0;) {
    const window_axis *a = &v->axes[i];
    int64_t end = window_end(a), padded = a->before + (end > a->in ? end : a->in);
    dims[2 + i] = a->kernel;
    strides[2 + i] = area * a->dilation;
    dims[2 + v->n + i] = a->out;
    strides[2 + v->n + i] = area * a->stride;
    as_it_is = as_it_is && a->kernel == 1 && a->out == padded;
    area *= padded;
    places *= a->out;
    taps *= a->kernel;
  }
  dims[0] = v->images;
  dims[1] = v->in;
  strides[0] = v->in * area;
  strides[1] = area;
  if (!as_it_is)
    columns = mx_as_strided(v->m, mx_contiguous(v->m, columns),
                            mx_ints(v->m, dims, 2 + 2 * v->n), strides, 2 + 2 * v->n, 0);
  int64_t deep = v->in / v->groups * taps;
  columns = mx_reshape(v->m, columns, 4, (int64_t[]){v->images, v->groups, deep, places});
  w = mx_reshape(v->m, w, 3, (int64_t[]){v->groups, v->out / v->groups, deep});
  mx y = mx_matmul(v->m, w, columns);
  int64_t shape[2 + MAX_SPATIAL] = {v->images, v->out};
  for (size_t i = 0; i < v->n; i++) shape[2 + i] = v->axes[i].out;
  return mx_reshape(v->m, y, 2 + v->n, shape);
}

/* Transposed, w [C,O,k..]: what each element spreads out to is a tile of the result, so one matrix
 * product makes them all. */
static mx conv_tiles(const conv_call *v, mx x, mx w) {
  enum { RANK = 2 + 2 * MAX_SPATIAL };
  int64_t places = 1, taps = 1;
  int64_t apart[RANK] = {v->images, v->out}, joined[2 + MAX_SPATIAL] = {v->images, v->out};
  int perm[RANK] = {0, 1};
  for (size_t i = 0; i < v->n; i++) {
    const window_axis *a = &v->axes[i];
    places *= a->in;
    taps *= a->kernel;
    apart[2 + i] = a->kernel;
    apart[2 + v->n + i] = a->in;
    perm[2 + 2 * i] = (int)(2 + v->n + i);
    perm[3 + 2 * i] = (int)(2 + i);
    joined[2 + i] = a->in * a->kernel;
  }
  w = mx_reshape(v->m, w, 2, (int64_t[]){v->in, v->out * taps});
  w = mx_transpose(v->m, w, (const int[]){1, 0}, 2);
  mx y = mx_matmul(v->m, w, mx_reshape(v->m, x, 3, (int64_t[]){v->images, v->in, places}));
  y = mx_transpose(v->m, mx_reshape(v->m, y, 2 + 2 * v->n, apart), perm, 2 + 2 * v->n);
  return mx_reshape(v->m, y, 2 + v->n, joined);
}

static mx conv_apply(const conv_call *v, mx x, mx w) {
  if (v->tiles) return conv_tiles(v, x, w);
  bool dilated = false;
  int64_t taps = 1;
  for (size_t i = 0; i < v->n; i++) {
    dilated = dilated || v->axes[i].dilation > 1;
    taps *= v->axes[i].kernel;
  }
  /* CUDA's grouped and dilated convolution is wrong in MLX. */
  if (mx_ctx_device(v->m) == MX_GPU && (v->groups == 1 || !dilated)) return conv_native(v, x, w);
  bool depthwise = v->groups == v->in && v->out == v->in;
  if (depthwise && taps > 1 && taps <= MAX_TAPS) return conv_taps(v, x, w);
  return conv_matmul(v, x, w);
}

/* Halves are computed in f32, as the products of the reference are; then the bias. */
static void conv_finish(conv_call *v, mx x, mx w) {
  lower_call *c = v->c;
  const ir_type *y = lower_out_type(c, 0);
  bool half = dtype_bytes(y->dtype) < sizeof(float);
  mx r;
  if (v->empty) {
    r = lower_zeros(c);
  } else if (half) {
    r = conv_apply(v, mx_cast(c->m, x, RLX_F32), mx_cast(c->m, w, RLX_F32));
  } else {
    r = conv_apply(v, x, w);
  }
  if (c->n_in > 2 && c->in[2]) {
    int64_t shape[2 + MAX_SPATIAL];
    for (size_t i = 0; i < y->rank; i++) shape[i] = 1;
    shape[1] = y->dims[1];
    r = mx_add(c->m, r, mx_cast(c->m, mx_reshape(c->m, c->in[2], y->rank, shape), mx_dtype(r)));
  }
  c->out[0] = mx_cast(c->m, r, y->dtype);
}

static conv_call conv_begin(lower_call *c, int64_t groups) {
  const ir_type *x = lower_in_type(c, 0);
  return (conv_call){.c = c,
                     .m = c->m,
                     .n = x->rank - 2,
                     .images = x->dims[0],
                     .in = x->dims[1],
                     .out = lower_out_type(c, 0)->dims[1],
                     .groups = groups,
                     .empty = infer_count(x) == 0};
}

static void conv_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0), *w = lower_in_type(c, 1), *y = lower_out_type(c, 0);
  conv_call v = conv_begin(c, ATTRS(conv)->groups);
  window_spec s = conv_spec(c->attrs, w->dims + 2, v.n);
  window_resolve(&s, v.n, x->dims + 2, y->dims + 2, v.axes);
  conv_finish(&v, c->in[0], c->in[1]);
}

/* x with stride - 1 zeros between its elements. */
static mx conv_spread(const conv_call *v, mx x, const rlx_dim *in, rlx_ints strides) {
  enum { RANK = 2 + 2 * MAX_SPATIAL };
  int64_t apart[RANK] = {v->images, v->in}, joined[RANK] = {v->images, v->in};
  int64_t counts[RANK] = {v->images, v->in};
  const int64_t zeros[RANK] = {0};
  int64_t after[RANK] = {0};
  bool any = false;
  for (size_t i = 0; i < v->n; i++) {
    int64_t stride = in[i] > 1 ? window_item(strides, i, 1) : 1;
    apart[2 + 2 * i] = in[i];
    apart[3 + 2 * i] = 1;
    after[3 + 2 * i] = stride - 1;
    joined[2 + i] = in[i] * stride;
    counts[2 + i] = (in[i] - 1) * stride + 1;
    any = any || stride > 1;
  }
  if (!any) return x;
  const size_t wide = 2 + 2 * v->n, rank = 2 + v->n;
  x = mx_pad(v->m, mx_reshape(v->m, x, wide, apart), mx_ints(v->m, zeros, wide),
             mx_ints(v->m, after, wide), wide, mx_scalar(v->m, mx_dtype(x), 0));
  return lower_cut(v->c, mx_reshape(v->m, x, rank, joined), rank, zeros, counts, NULL);
}

/* [C, O/g, k..] to [O, C/g, k..], the taps in reverse. */
static mx conv_turned(const conv_call *v, mx w) {
  enum { RANK = 3 + MAX_SPATIAL };
  int64_t in_per = v->in / v->groups, out_per = v->out / v->groups;
  int64_t apart[RANK] = {v->groups, in_per, out_per}, joined[RANK] = {v->out, in_per};
  int64_t from[RANK] = {0}, steps[RANK] = {1, 1};
  int perm[RANK] = {0, 2, 1};
  for (size_t i = 0; i < v->n; i++) {
    apart[3 + i] = joined[2 + i] = v->axes[i].kernel;
    perm[3 + i] = 3 + (int)i;
    from[2 + i] = v->axes[i].kernel - 1;
    steps[2 + i] = -1;
  }
  w = mx_transpose(v->m, mx_reshape(v->m, w, 3 + v->n, apart), perm, 3 + v->n);
  w = mx_reshape(v->m, w, 2 + v->n, joined);
  return lower_cut(v->c, w, 2 + v->n, from, joined, steps);
}

/* Does each element of x spread out to a tile of its own? Then notes the axes. */
static bool conv_is_tiled(conv_call *v, const ir_type *x, const ir_type *w, const ir_type *y) {
  const rlx_conv_transpose_attrs *a = v->c->attrs;
  bool tiled = v->groups == 1;
  for (size_t i = 0; i < v->n && tiled; i++) {
    const int64_t k = w->dims[2 + i];
    tiled = k == window_item(a->strides, i, 1) && y->dims[2 + i] == k * x->dims[2 + i] &&
            window_item(a->pads, i, 0) == 0 && (k == 1 || window_item(a->dilations, i, 1) == 1);
    v->axes[i] = (window_axis){.in = x->dims[2 + i], .kernel = k};
  }
  return tiled;
}

/* The elements of x spread out, padded to the reach of the kernel, convolved with the kernel turned
 * round. (MLX's own input dilation is wrong with groups.) */
static void conv_transpose_lower(lower_call *c) {
  const rlx_conv_transpose_attrs *a = c->attrs;
  const ir_type *x = lower_in_type(c, 0), *w = lower_in_type(c, 1), *y = lower_out_type(c, 0);
  conv_call v = conv_begin(c, a->groups);
  mx spread = c->in[0], turned = c->in[1];
  int64_t from[2 + MAX_SPATIAL] = {0}, counts[2 + MAX_SPATIAL] = {v.images, v.in};
  bool cut = false;
  v.tiles = conv_is_tiled(&v, x, w, y);
  for (size_t i = 0; i < v.n && !v.tiles; i++) {
    int64_t dilation = window_item(a->dilations, i, 1), k = w->dims[2 + i];
    int64_t in = (x->dims[2 + i] - 1) * window_item(a->strides, i, 1) + 1;
    int64_t before = (k - 1) * dilation - window_item(a->pads, i, 0);
    int64_t end = y->dims[2 + i] + window_item(a->pads, i, 0); /* of what the windows reach */
    if (end > in) end = in;
    from[2 + i] = before < 0 ? -before : 0;
    counts[2 + i] = end > from[2 + i] ? end - from[2 + i] : 0;
    cut = cut || counts[2 + i] < in;
    v.axes[i] = (window_axis){.in = counts[2 + i],
                              .out = y->dims[2 + i],
                              .kernel = k,
                              .stride = 1,
                              .dilation = dilation,
                              .before = before < 0 ? 0 : before};
  }
  if (!v.empty && !v.tiles) {
    spread = conv_spread(&v, spread, x->dims + 2, a->strides);
    if (cut) spread = lower_cut(c, spread, 2 + v.n, from, counts, NULL);
    turned = conv_turned(&v, turned);
  }
  conv_finish(&v, spread, turned);
}

/* --- on a CPU: cpu/conv.h */

static bool conv_covers(const ir_infer *c) { return c->in[0].dtype == RLX_F32; }

static void pack_weights(const void *ctx, void *to) {
  const kernel_call *c = ctx;
  conv_pack(&((const conv_plan *)c->state)->form, c->constant[1], to);
}

/* The same weights may be packed for other groups or panels. */
static rlx_status conv_weights(kernel_call *c, conv_plan *p) {
  if (!c->constant[1]) return RLX_OK;
  char kind[64];
  snprintf(kind, sizeof kind, "conv %d %lld %lld", p->s.transposed, (long long)p->s.groups,
           (long long)p->form.vectors);
  const void *packed;
  RLX_TRY(kernel_pack(c, 1, kind, (size_t)conv_packed(p), pack_weights, c, &packed));
  p->weights = packed;
  return RLX_OK;
}

/* The windows, which for a transposed convolution slide over the result, as a plan. */
static rlx_status conv_plan_of(kernel_call *c, const window_axis *w, int64_t groups,
                               bool transposed) {
  const cpu_view *x = &c->in[0], *y = &c->out[0];
  conv_plan *p = kernel_state(c, sizeof *p);
  if (!p) return status_memory(sizeof *p);
  c->state = p;
  conv_shape s = {x->dims[0], x->dims[1], y->dims[1], groups, {{0}}, transposed};
  window_axes(w, x->rank - 2, s.axis);
  for (size_t i = 0; i < CONV_AXES && transposed; i++) {
    const int64_t out = s.axis[i].in;
    s.axis[i].in = s.axis[i].out;
    s.axis[i].out = out;
  }
  conv_choose(&s, c->threads, p);
  p->epilogue = c->epilogue;
  p->bias = c->node->n_in > 2 && c->in[2].dtype != RLX_DTYPE_COUNT;
  p->unit = (int64_t)dtype_bytes(y->dtype);
  p->zeros = arena_new(c->mem, 1, (size_t)conv_zeros(p));
  if (!p->zeros) return status_memory((size_t)conv_zeros(p));
  RLX_TRY(conv_weights(c, p));
  c->scratch = (size_t)conv_scratch(p);
  c->run = conv_run;
  c->name = p->form.vectors ? "conv" : "conv depthwise";
  return RLX_OK;
}

static rlx_status conv_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0], *w = &c->in[1];
  const size_t n = x->rank - 2;
  window_axis axes[MAX_SPATIAL];
  const window_spec s = conv_spec(c->attrs, w->dims + 2, n);
  window_resolve(&s, n, x->dims + 2, c->out[0].dims + 2, axes);
  return conv_plan_of(c, axes, ATTRS(conv)->groups, false);
}

static rlx_status conv_transpose_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0], *w = &c->in[1];
  const size_t n = x->rank - 2;
  window_axis axes[MAX_SPATIAL];
  const window_spec s = transpose_spec(c->attrs, w->dims + 2, n);
  window_resolve(&s, n, c->out[0].dims + 2, x->dims + 2, axes);
  return conv_plan_of(c, axes, ATTRS(conv_transpose)->groups, true);
}

static const ir_kernel conv_kernel = {.covers = conv_covers,
                                      .prepare = conv_prepare,
                                      .in = {ORDER_LAST, ORDER_ROWS, ORDER_ROWS, ORDER_ROWS},
                                      .out = ORDER_LAST,
                                      .epilogue = true};
static const ir_kernel conv_transpose_kernel = {
    .covers = conv_covers,
    .prepare = conv_transpose_prepare,
    .in = {ORDER_LAST, ORDER_ROWS, ORDER_ROWS, ORDER_ROWS},
    .out = ORDER_LAST,
    .epilogue = true};

RLX_BLOCK(conv) = {
    .infer = conv_infer,
    .ref = conv_ref,
    .lower = conv_lower,
    .kernel = &conv_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[2,3,7], f32[4,3,3]; f32[1,3,9,8], f32[4,3,3,2], f32[4] strides=[2,1] pads=[1,0,2,1];"
        "f32[2,4,7,7], f32[6,2,3,3] groups=2 dilations=[2,1] pads=[2,2,2,2];"
        "f32[1,4,6,6], f32[4,1,3,3], f32[4] groups=4 pads=[1,1,1,1];"
        "f32[1,4,7,6], f32[4,1,3,3] groups=4 strides=[2,2] dilations=[2,1] pads=[1,1,1,1];"
        "f32[1,4,6,6], f32[8,1,3,3] groups=4; f32[2,3,5,5], f32[4,3,1,1], f32[4];"
        "f32[2,3,5,5], f32[4,3,1,1] strides=[2,2]; f32[1,2,5,6,4], f32[3,2,2,3,2] "
        "pads=[1,1,0,1,1,0];"
        "f32[1,3,7,8], f32[2,3,3,4] auto_pad=same_upper strides=[2,3];"
        "f32[1,3,7,8], f32[2,3,3,4] auto_pad=same_lower strides=[2,3]; f32[0,3,5,5], f32[4,3,3,3];"
        "f64[1,2,5,5], f64[3,2,3,3]; f16[1,2,5,5], f16[3,2,3,3]; bf16[1,2,5,5], bf16[3,2,3,3], "
        "bf16[3];"
        "f32[1,0,5,5], f32[4,0,3,3], f32[4]; f32[1,2,0], f32[3,2,3], f32[3] pads=[2,2];"
        "f32[1,3,5,5], f32[4,2,3,3] !shape; f32[1,3,5,5], f32[4,3,6,6] !shape;"
        "f32[1,3,5,5], f32[4,3,3,3], f32[3] !shape; f32[1,3,5,5], f32[4,3,3] !shape;"
        "f32[1,3,5,5], f32[4,3,3,3] strides=[0,1] !argument; f32[1,3,5,5], f32[4,3,3,3] pads=[1,1] "
        "!shape;"
        "f32[1,3,5,5], f32[4,3,3,3] groups=0 !argument; f32[1,4,5], f32[3,2,3] groups=2 !shape;"
        "i32[1,3,5,5], i32[4,3,3,3] !dtype"),
};

RLX_BLOCK(conv_transpose) = {
    .infer = conv_transpose_infer,
    .ref = conv_transpose_ref,
    .lower = conv_transpose_lower,
    .kernel = &conv_transpose_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[2,3,5], f32[3,4,3]; f32[1,3,4,5], f32[3,2,2,2], f32[2] strides=[2,2];"
        "f32[1,3,4,5], f32[3,2,3,3] strides=[2,3] pads=[1,0,1,2] output_padding=[1,0];"
        "f32[1,4,4,5], f32[4,2,3,2] groups=2 dilations=[2,1] strides=[2,1];"
        "f32[1,4,4,4], f32[4,1,3,3] groups=4 strides=[2,2] pads=[1,1,1,1];"
        "f32[1,2,5,5], f32[2,3,1,1] pads=[1,1,1,1]; f32[1,2,3,3,2], f32[2,3,2,2,2] strides=[2,1,2];"
        "f32[0,3,4,4], f32[3,2,2,2]; f32[1,0,4], f32[0,2,3], f32[2];"
        "f16[1,2,3,3], f16[2,2,2,2] strides=[2,2];"
        "f32[1,3,4,4], f32[2,2,2,2] !shape; f32[1,3,1,1], f32[3,2,2,2] pads=[1,1,1,1] !shape;"
        "f32[1,3,4,4], f32[3,2,2,2] output_padding=[-1,0] !argument;"
        "f32[1,3,4], f32[3,2,2] groups=2 !shape;"
        "f32[1,1,5], f32[1,1,3] strides=[2147483647] !limit;"
        "f32[1,1,1], f32[1,1,3] strides=[2147483647]"),
};
