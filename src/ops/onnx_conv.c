/* ops/onnx_conv.c: importers of convolution, pooling and resampling. */
#include "ops/onnx.h"
#include "ops/window.h"

/* --- windows: NOTSET, VALID, SAME_UPPER, SAME_LOWER */

static rlx_status window_padding(const onnx_node *n, const char **out_word, rlx_ints *out_pads) {
  const char *how = onnx_string(n, "auto_pad", "NOTSET");
  const rlx_ints pads = onnx_ints(n, "pads"); /* may stand, without effect, beside SAME_UPPER */
  *out_word = "none";
  *out_pads = (rlx_ints){NULL, 0};
  if (strcmp(how, "VALID") == 0) return RLX_OK;
  if (strcmp(how, "SAME_UPPER") == 0) *out_word = "same_upper";
  else if (strcmp(how, "SAME_LOWER") == 0) *out_word = "same_lower";
  else if (strcmp(how, "NOTSET") == 0) *out_pads = pads;
  else return status_set(RLX_ERROR_UNSUPPORTED, "auto_pad '%s'", how);
  return RLX_OK;
}

/* kernel_shape may repeat the sizes of the weights, and nothing else. */
static rlx_status check_kernel(const onnx_node *n, rlx_val w) {
  rlx_ints kernel = onnx_ints(n, "kernel_shape"), weights = onnx_dims(n, w);
  if (!w.id || !onnx_find(n, "kernel_shape")) return RLX_OK;
  if (kernel.n + 2 != weights.n)
    return status_set(RLX_ERROR_SHAPE, "kernel_shape has %zu items, the weights have %zu axes",
                      kernel.n, weights.n);
  for (size_t i = 0; i < kernel.n; i++)
    if (dim_known(weights.data[2 + i]) && weights.data[2 + i] != kernel.data[i])
      return status_set(RLX_ERROR_SHAPE, "kernel_shape has %lld at %zu, the weights have %lld",
                        (long long)kernel.data[i], i, (long long)weights.data[2 + i]);
  return RLX_OK;
}

rlx_status onnx_conv(onnx_node *n, const rlx_val *in, size_t n_in, rlx_val *out_value) {
  rlx_conv_attrs a = rlx_conv_init();
  RLX_TRY(check_kernel(n, n_in > 1 ? in[1] : RLX_NIL));
  RLX_TRY(window_padding(n, &a.auto_pad, &a.pads));
  a.strides = onnx_ints(n, "strides");
  a.dilations = onnx_ints(n, "dilations");
  a.groups = onnx_int(n, "group", 1);
  *out_value = rlx_graph_add(n->g, "conv", in, n_in, &a);
  return RLX_OK;
}

rlx_status import_conv(onnx_node *n) { return onnx_conv(n, n->in, n->n_in, &n->out[0]); }

static bool countable(int64_t v) { return v >= 0 && v <= INT32_MAX; }

/* Pads of one axis of a transposed convolution so that the result has the size that is wanted:
 * SAME: the input's times the stride; otherwise that of output_shape. */
static rlx_status transpose_axis(const onnx_node *n, const rlx_conv_transpose_attrs *a, size_t i,
                                 int64_t *before, int64_t *after, int64_t *extra) {
  rlx_ints wanted = onnx_ints(n, "output_shape");
  rlx_dim in = onnx_dims(n, n->in[0]).data[2 + i], kernel = onnx_dims(n, n->in[1]).data[2 + i];
  int64_t stride = window_item(a->strides, i, 1), reach = window_item(a->dilations, i, 1);
  if (!dim_known(kernel) || (wanted.n && !dim_known(in)))
    return status_set(RLX_ERROR_UNSUPPORTED, "pads that depend on sizes not known before the run");
  *extra = window_item(a->output_padding, i, 0);
  int64_t want = wanted.n ? window_item(wanted, wanted.n - a->output_padding.n + i, 0) : 0;
  if (!countable(stride) || !countable(reach) || !countable(*extra) || !countable(want) ||
      !countable(kernel) || (wanted.n && !countable(in)))
    return status_set(RLX_ERROR_LIMIT, "a stride, dilation or size out of range");
  int64_t total = *extra + (kernel - 1) * reach + 1 - stride; /* over stride * in */
  if (wanted.n) total += stride * in - want;
  if (total < 0) {
    *extra -= total;
    total = 0;
  }
  bool upper = strcmp(onnx_string(n, "auto_pad", "NOTSET"), "SAME_UPPER") == 0;
  *before = upper ? total / 2 : total - total / 2;
  *after = total - *before;
  return RLX_OK;
}

rlx_status import_conv_transpose(onnx_node *n) {
  rlx_conv_transpose_attrs a = rlx_conv_transpose_init();
  const char *word;
  RLX_TRY(check_kernel(n, onnx_in(n, 1)));
  RLX_TRY(window_padding(n, &word, &a.pads));
  a.strides = onnx_ints(n, "strides");
  a.dilations = onnx_ints(n, "dilations");
  a.output_padding = onnx_ints(n, "output_padding");
  a.groups = onnx_int(n, "group", 1);
  size_t rank = onnx_rank(n, onnx_in(n, 0)), axes = rank > 2 ? rank - 2 : 0;
  int64_t pads[2 * RLX_MAX_RANK], extra[RLX_MAX_RANK] = {0};
  rlx_ints wanted = onnx_ints(n, "output_shape");
  if (wanted.n || strcmp(word, "none") != 0) {
    if (onnx_rank(n, onnx_in(n, 1)) != rank || (wanted.n && wanted.n < axes))
      return status_set(RLX_ERROR_SHAPE, "operands and output_shape are of different ranks");
    for (size_t i = 0; i < a.output_padding.n && i < axes; i++) extra[i] = a.output_padding.data[i];
    a.output_padding = (rlx_ints){extra, axes};
    for (size_t i = 0; i < axes; i++)
      RLX_TRY(transpose_axis(n, &a, i, &pads[i], &pads[axes + i], &extra[i]));
    a.pads = (rlx_ints){pads, 2 * axes};
  }
  n->out[0] = rlx_graph_add(n->g, "conv_transpose", n->in, n->n_in, &a);
  return RLX_OK;
}

rlx_status import_max_pool(onnx_node *n) {
  rlx_max_pool_attrs a = rlx_max_pool_init();
  RLX_TRY(window_padding(n, &a.auto_pad, &a.pads));
  a.kernel = onnx_ints(n, "kernel_shape");
  a.strides = onnx_ints(n, "strides");
  a.dilations = onnx_ints(n, "dilations");
  a.ceil = onnx_int(n, "ceil_mode", 0) != 0;
  n->out[0] = rlx_max_pool(n->g, onnx_in(n, 0), &a);
  if (n->n_out < 2) return RLX_OK;
  rlx_max_pool_index_attrs b = rlx_max_pool_index_init();
  b.kernel = a.kernel;
  b.strides = a.strides;
  b.pads = a.pads;
  b.dilations = a.dilations;
  b.ceil = a.ceil;
  b.auto_pad = a.auto_pad;
  b.column_major = onnx_int(n, "storage_order", 0) != 0;
  n->out[1] = rlx_max_pool_index(n->g, onnx_in(n, 0), &b);
  return RLX_OK;
}

/* The sizes that max pooling with this kernel would bring to those of x. */
static rlx_status unpooled_sizes(const onnx_node *n, rlx_val x, rlx_dim *out_dims) {
  const rlx_ints kernel = onnx_ints(n, "kernel_shape"), strides = onnx_ints(n, "strides");
  const rlx_ints pads = onnx_ints(n, "pads"), dims = onnx_dims(n, x);
  dim_table *t = &n->g->dims;
  if (dims.n < 3 || kernel.n + 2 != dims.n || (strides.n && strides.n != kernel.n) ||
      (pads.n && pads.n != 2 * kernel.n))
    return status_set(RLX_ERROR_SHAPE, "kernel_shape, strides or pads do not fit x of %zu axes",
                      dims.n);
  for (size_t i = 0; i < dims.n; i++) out_dims[i] = dims.data[i];
  for (size_t i = 0; i < kernel.n; i++) {
    const int64_t stride = window_item(strides, i, 1), before = window_item(pads, i, 0);
    const int64_t after = window_item(pads, kernel.n + i, 0), reach = kernel.data[i];
    if (!countable(stride) || !countable(before) || !countable(after) || !countable(reach))
      return status_set(RLX_ERROR_LIMIT, "a kernel, stride or pad out of range");
    const rlx_dim last = dim_combine(t, RLX_DIM_SUB, out_dims[2 + i], 1);
    out_dims[2 + i] = dim_combine(t, RLX_DIM_ADD, dim_combine(t, RLX_DIM_MUL, last, stride),
                                  reach - before - after);
  }
  return RLX_OK;
}

/* Zeros with the elements of x at their places, which count in the tensor that was pooled: that of
 * output_shape, where it is given. */
rlx_status import_max_unpool(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_dim flat = -1;
  rlx_val x = onnx_in(n, 0), index = onnx_in(n, 1);
  rlx_dim dims[RLX_MAX_RANK];
  rlx_ints shape = {dims, onnx_rank(n, x)};
  RLX_TRY(unpooled_sizes(n, x, dims));
  if (onnx_in(n, 2).id) RLX_TRY(onnx_known_ints(n, 2, &shape));
  const rlx_dim count = dim_product(&g->dims, shape.data, shape.n);
  rlx_expand_attrs all = rlx_expand_init();
  rlx_scatter_elements_attrs a = rlx_scatter_elements_init();
  all.dims = (rlx_ints){&count, 1};
  rlx_val zeros = rlx_expand(g, onnx_scalar(n, x, 0), &all);
  rlx_val y = rlx_scatter_elements(g, zeros, onnx_reshape(n, index, &flat, 1),
                                   onnx_reshape(n, x, &flat, 1), &a);
  n->out[0] = onnx_reshape(n, y, shape.data, shape.n);
  return RLX_OK;
}

rlx_status import_avg_pool(onnx_node *n) {
  rlx_avg_pool_attrs a = rlx_avg_pool_init();
  RLX_TRY(window_padding(n, &a.auto_pad, &a.pads));
  a.kernel = onnx_ints(n, "kernel_shape");
  a.strides = onnx_ints(n, "strides");
  a.dilations = onnx_ints(n, "dilations");
  a.ceil = onnx_int(n, "ceil_mode", 0) != 0;
  a.count_pad = onnx_int(n, "count_include_pad", 0) != 0;
  n->out[0] = rlx_avg_pool(n->g, onnx_in(n, 0), &a);
  return RLX_OK;
}

/* (sum |x|^p)^(1/p): the mean with padding counted, times the elements of a window. */
rlx_status import_lp_pool(onnx_node *n) {
  rlx_graph *g = n->g;
  double p = (double)onnx_int(n, "p", 2), count = 1;
  if (onnx_int(n, "ceil_mode", 0))
    return status_set(RLX_ERROR_UNSUPPORTED, "windows that reach beyond the padding (ceil_mode)");
  rlx_avg_pool_attrs a = rlx_avg_pool_init();
  RLX_TRY(window_padding(n, &a.auto_pad, &a.pads));
  a.kernel = onnx_ints(n, "kernel_shape");
  a.strides = onnx_ints(n, "strides");
  a.dilations = onnx_ints(n, "dilations");
  a.count_pad = true;
  for (size_t i = 0; i < a.kernel.n; i++) count *= (double)a.kernel.data[i];
  rlx_val x = rlx_abs(g, onnx_in(n, 0));
  rlx_val mean = rlx_avg_pool(g, rlx_pow(g, x, onnx_scalar(n, x, p)), &a);
  rlx_val sum = rlx_mul(g, mean, onnx_scalar(n, x, count));
  n->out[0] = rlx_pow(g, sum, onnx_scalar(n, x, 1 / p));
  return RLX_OK;
}

rlx_status import_global_pool(onnx_node *n) {
  int64_t axes[RLX_MAX_RANK];
  rlx_reduce_mean_attrs a = rlx_reduce_mean_init(); /* reduce_max has the same */
  size_t rank = onnx_rank(n, onnx_in(n, 0));
  a.axes.data = axes;
  a.keep = true;
  for (size_t i = 2; i < rank; i++) axes[a.axes.n++] = (int64_t)i;
  bool mean = strcmp(n->op, "GlobalAveragePool") == 0;
  n->out[0] = a.axes.n ? rlx_graph_add(n->g, mean ? "reduce_mean" : "reduce_max", n->in, 1, &a)
                       : onnx_in(n, 0);
  return RLX_OK;
}

/* --- Resize and Upsample */

/* The words that ONNX and we both have are spelled alike; these are the ones that differ. */
static void resize_words(const onnx_node *n, rlx_resize_attrs *a) {
  bool old = n->opset < 11; /* Upsample, and Resize when it was new */
  a->mode = onnx_string(n, "mode", "nearest");
  a->coordinate =
      onnx_string(n, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
  a->nearest = onnx_string(n, "nearest_mode", "round_prefer_floor");
  a->cubic_a = onnx_float(n, "cubic_coeff_a", a->cubic_a);
  a->exclude_outside = onnx_int(n, "exclude_outside", 0) != 0;
  a->antialias = onnx_int(n, "antialias", 0) != 0;
  a->outside = onnx_float(n, "extrapolation_value", 0);
  if (strcmp(a->mode, "bilinear") == 0) a->mode = "linear";
}

/* not_larger, not_smaller: one scale for all axes, from the sizes that are wanted. */
static rlx_status resize_keep_aspect(const onnx_node *n, bool larger, rlx_resize_attrs *a,
                                     int64_t *sizes, double *scales) {
  rlx_ints dims = onnx_dims(n, onnx_in(n, 0));
  double scale = larger ? 0 : INFINITY;
  for (size_t i = 0; i < a->sizes.n; i++) {
    int64_t axis = (int64_t)i;
    if (a->axes.n) RLX_TRY(onnx_axis(a->axes.data[i], dims.n, &axis));
    if (axis >= (int64_t)dims.n)
      return status_set(RLX_ERROR_SHAPE, "%zu sizes for %zu axes", a->sizes.n, dims.n);
    double one = (double)a->sizes.data[i] / (double)dims.data[axis];
    if (larger ? one > scale : one < scale) scale = one;
    sizes[i] = dims.data[axis];
  }
  for (size_t i = 0; i < a->sizes.n; i++) {
    double size = floor((double)sizes[i] * scale + 0.5);
    if (!(size >= 0 && size <= INT32_MAX))
      return status_set(RLX_ERROR_SHAPE, "an axis of %g elements", size);
    sizes[i] = (int64_t)size;
    scales[i] = scale;
  }
  a->scales = (rlx_reals){scales, a->sizes.n};
  a->sizes.data = sizes;
  return RLX_OK;
}

static bool all_known(rlx_ints dims) {
  for (size_t i = 0; i < dims.n; i++)
    if (!dim_known(dims.data[i])) return false;
  return dims.n <= RLX_MAX_RANK;
}

/* The same as values: scales and sizes that are bound. */
static void resize_keep_aspect_late(const onnx_node *n, bool larger, rlx_ints axes,
                                    onnx_bind *scales, onnx_bind *sizes) {
  rlx_graph *g = n->g;
  rlx_val own = rlx_shape_of(g, onnx_in(n, 0), NULL), want = onnx_in(n, 3);
  const rlx_ints count = onnx_dims(n, want);
  if (axes.n) own = rlx_gather(g, own, onnx_vector(n, axes.data, axes.n), NULL);
  own = onnx_cast(n, own, RLX_F32);
  rlx_val scale = rlx_div(g, onnx_cast(n, want, RLX_F32), own);
  scale = larger ? rlx_reduce_max(g, scale, NULL) : rlx_reduce_min(g, scale, NULL);
  rlx_expand_attrs each = rlx_expand_init();
  each.dims = count;
  scales->value = rlx_expand(g, scale, &each);
  rlx_val size = rlx_add(g, rlx_mul(g, own, scale), onnx_scalar(n, own, 0.5));
  sizes->value = onnx_cast(n, rlx_floor(g, size), RLX_I64);
}

/* The inputs that hold scales, sizes and the part to be taken. */
static void resize_factors(const onnx_node *n, rlx_resize_attrs *a, onnx_bind *binds) {
  size_t scales = n->opset < 11 ? 1 : 2;
  const onnx_attr *attr = onnx_find(n, "scales");
  rlx_val v = onnx_in(n, scales), sizes = n->opset < 11 ? RLX_NIL : onnx_in(n, 3);
  rlx_ints count = onnx_dims(n, v);
  if (attr) a->scales = attr->floats;
  if (v.id && !(count.n == 1 && count.data[0] == 0)) binds[0].value = v;
  else if (sizes.id && !onnx_content(n, sizes, &a->sizes)) binds[1].value = sizes;
  if (strcmp(a->coordinate, "tf_crop_and_resize") == 0) binds[2].value = onnx_in(n, 1);
}

/* Before opset 11 "nearest" rounds down when growing, which Upsample always does, and up when
 * shrinking. */
static rlx_status resize_old_nearest(const onnx_node *n, rlx_val scales, rlx_resize_attrs *a) {
  const rlx_tensor *t = graph_constant(n->g, scales);
  size_t count = t ? (size_t)t->count : a->scales.n, grow = 0, shrink = 0;
  if (scales.id && !t && strcmp(n->op, "Upsample") != 0)
    return status_set(RLX_ERROR_UNSUPPORTED, "scales must be known before the run (opset %lld)",
                      (long long)n->opset);
  for (size_t i = 0; i < count; i++) {
    double scale = t ? tensor_real(t, (int64_t)i) : a->scales.data[i];
    grow += scale > 1;
    shrink += scale < 1;
  }
  if (grow && shrink)
    return status_set(RLX_ERROR_UNSUPPORTED, "growing and shrinking at once before opset 11");
  a->nearest = shrink ? "ceil" : "floor";
  return RLX_OK;
}

rlx_status import_resize(onnx_node *n) {
  rlx_val x = onnx_in(n, 0);
  rlx_resize_attrs a = rlx_resize_init();
  onnx_bind binds[3] = {{"scales", RLX_NIL}, {"sizes", RLX_NIL}, {"roi", RLX_NIL}};
  size_t policy;
  int64_t sizes[RLX_MAX_RANK];
  double scales[RLX_MAX_RANK];
  resize_words(n, &a);
  RLX_TRY(onnx_word(n, "keep_aspect_ratio_policy", "stretch|not_larger|not_smaller", &policy));
  resize_factors(n, &a, binds);
  if (n->opset < 11) RLX_TRY(resize_old_nearest(n, binds[0].value, &a));
  a.axes = onnx_ints(n, "axes");
  if (policy != 0 && !binds[0].value.id) {
    if (!binds[1].value.id && all_known(a.sizes) && all_known(onnx_dims(n, x)))
      RLX_TRY(resize_keep_aspect(n, policy == 2, &a, sizes, scales));
    else
      resize_keep_aspect_late(n, policy == 2, a.axes, &binds[0], &binds[1]);
  }
  n->out[0] = onnx_add(n, "resize", &x, 1, &a, binds, 3);
  return RLX_OK;
}
