/* ops/onnx_norm.c: importers of normalisation: means and roots of means over some axes.
 *
 * Halves are computed in f32, as ONNX asks (stash_type) and as everybody does. */
#include "ops/onnx.h"

/* The type in which statistics are computed. */
static rlx_dtype wide(rlx_dtype dtype) {
  return dtype == RLX_F16 || dtype == RLX_BF16 ? RLX_F32 : dtype;
}

static rlx_val mean_over(const onnx_node *n, rlx_val x, rlx_ints axes) {
  rlx_reduce_mean_attrs a = rlx_reduce_mean_init();
  a.axes = axes;
  a.keep = true;
  return rlx_reduce_mean(n->g, x, &a);
}

/* 1 / sqrt(mean(x^2) + eps) */
static rlx_val inverse_root(const onnx_node *n, rlx_val x, rlx_ints axes, double eps) {
  rlx_val square = mean_over(n, rlx_square(n->g, x), axes);
  return rlx_rsqrt(n->g, rlx_add(n->g, square, onnx_scalar(n, square, eps)));
}

/* (x - mean) / sqrt(variance + eps) */
static rlx_val standardised(const onnx_node *n, rlx_val x, rlx_ints axes, double eps) {
  rlx_val centred = rlx_sub(n->g, x, mean_over(n, x, axes));
  return rlx_mul(n->g, centred, inverse_root(n, centred, axes, eps));
}

/* Axes from `first` to the last. */
static rlx_ints axes_from(int64_t *axes, int64_t first, size_t rank) {
  size_t count = 0;
  for (int64_t i = first; i < (int64_t)rank; i++) axes[count++] = i;
  return (rlx_ints){axes, count};
}

/* The mean and the variance of each channel of in[0] take the places of the running ones, which
 * move towards them. */
static void batch_statistics(onnx_node *n, rlx_val *in) {
  rlx_graph *g = n->g;
  const double momentum = onnx_float(n, "momentum", 0.9);
  rlx_val now[2];
  int64_t axes[RLX_MAX_RANK] = {0};
  rlx_reduce_mean_attrs a = rlx_reduce_mean_init();
  a.axes = (rlx_ints){axes, onnx_rank(n, in[0]) - 1};
  for (size_t i = 1; i < a.axes.n; i++) axes[i] = (int64_t)i + 1;
  now[0] = rlx_reduce_mean(g, in[0], &a);
  rlx_val mean = onnx_along(n, now[0], 1, onnx_rank(n, in[0]));
  now[1] = rlx_reduce_mean(g, rlx_square(g, rlx_sub(g, in[0], mean)), &a);
  for (size_t i = 0; i < 2; i++) {
    rlx_val kept = rlx_mul(g, in[3 + i], onnx_scalar(n, now[i], momentum));
    rlx_val moved = rlx_add(g, kept, rlx_mul(g, now[i], onnx_scalar(n, now[i], 1 - momentum)));
    if (n->n_out > 1 + i) n->out[1 + i] = onnx_cast(n, moved, onnx_dtype_of(n, n->in[3 + i]));
    in[3 + i] = now[i];
  }
}

rlx_status import_batch_norm(onnx_node *n) {
  const bool training = onnx_int(n, "training_mode", 0) != 0;
  if (!training && n->n_out > 1)
    return status_set(RLX_ERROR_UNSUPPORTED, "%zu outputs outside training mode", n->n_out);
  if (!onnx_int(n, "spatial", 1)) return status_set(RLX_ERROR_UNSUPPORTED, "spatial = 0");
  if (n->n_in != 5) return status_set(RLX_ERROR_FORMAT, "%zu inputs, wanted 5", n->n_in);
  rlx_batch_norm_attrs a = rlx_batch_norm_init();
  rlx_dtype dtype = onnx_dtype_of(n, n->in[0]);
  rlx_val in[5];
  a.eps = onnx_float(n, "epsilon", 1e-5);
  for (size_t i = 0; i < 5; i++) in[i] = onnx_cast(n, n->in[i], wide(dtype));
  if (training && onnx_rank(n, in[0]) < 2)
    return status_set(RLX_ERROR_SHAPE, "wants two axes or more");
  if (training) batch_statistics(n, in);
  n->out[0] = onnx_cast(n, rlx_graph_add(n->g, "batch_norm", in, 5, &a), dtype);
  return RLX_OK;
}

/* y * scale + bias, both [C] */
static rlx_val channel_affine(const onnx_node *n, rlx_val y, rlx_dtype dtype) {
  size_t rank = onnx_rank(n, y);
  rlx_val scale = onnx_cast(n, onnx_along(n, onnx_in(n, 1), 1, rank), wide(dtype));
  rlx_val bias = onnx_cast(n, onnx_along(n, onnx_in(n, 2), 1, rank), wide(dtype));
  return onnx_cast(n, rlx_add(n->g, rlx_mul(n->g, y, scale), bias), dtype);
}

/* Standardised within each of `groups` groups of channels, as rows of `size` elements. */
static rlx_val within_groups(const onnx_node *n, rlx_val x, rlx_dim groups, rlx_dim size) {
  const rlx_ints dims = onnx_dims(n, x);
  const rlx_dim rows[3] = {dims.data[0], groups, size};
  int64_t last = 2;
  rlx_val y = onnx_reshape(n, onnx_cast(n, x, wide(onnx_dtype_of(n, x))), rows, 3);
  y = standardised(n, y, (rlx_ints){&last, 1}, onnx_float(n, "epsilon", 1e-5));
  return onnx_reshape(n, y, dims.data, dims.n);
}

rlx_status import_instance_norm(onnx_node *n) {
  rlx_val x = onnx_in(n, 0);
  rlx_ints dims = onnx_dims(n, x);
  if (dims.n < 3) return status_set(RLX_ERROR_SHAPE, "wants three axes or more");
  const rlx_dim size = dim_product(&n->g->dims, dims.data + 2, dims.n - 2);
  n->out[0] = channel_affine(n, within_groups(n, x, dims.data[1], size), onnx_dtype_of(n, x));
  return RLX_OK;
}

/* Before opset 21 scale and bias have an element per group, which each of its channels takes. */
static rlx_val per_channel(const onnx_node *n, rlx_val v, int64_t groups, rlx_dim channels) {
  rlx_dim each = dim_combine(&n->g->dims, RLX_DIM_FLOORDIV, channels, groups);
  rlx_dim wanted[2] = {groups, each}, column[2] = {groups, 1};
  rlx_expand_attrs a = rlx_expand_init();
  a.dims = (rlx_ints){wanted, 2};
  return onnx_reshape(n, rlx_expand(n->g, onnx_reshape(n, v, column, 2), &a), &channels, 1);
}

rlx_status import_group_norm(onnx_node *n) {
  rlx_val x = onnx_in(n, 0);
  rlx_ints dims = onnx_dims(n, x);
  rlx_dtype dtype = onnx_dtype_of(n, x);
  int64_t groups = onnx_int(n, "num_groups", 0);
  if (dims.n < 3 || groups < 1 || n->n_in != 3)
    return status_set(RLX_ERROR_SHAPE, "wants three inputs, three axes or more and a num_groups");
  if (dim_known(dims.data[1]) && dims.data[1] % groups != 0)
    return status_set(RLX_ERROR_SHAPE, "%lld channels in %lld groups", (long long)dims.data[1],
                      (long long)groups);
  dim_table *t = &n->g->dims;
  const rlx_dim all = dim_product(t, dims.data + 1, dims.n - 1);
  rlx_val y = within_groups(n, x, groups, dim_combine(t, RLX_DIM_FLOORDIV, all, groups));
  rlx_val in[3] = {x, n->in[1], n->in[2]};
  for (size_t i = 1; i < 3 && n->opset < 21; i++)
    in[i] = per_channel(n, n->in[i], groups, dims.data[1]);
  onnx_node view = *n;
  view.in = in;
  n->out[0] = channel_affine(&view, y, dtype);
  return RLX_OK;
}

rlx_status import_layer_norm(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), bias = onnx_in(n, 2);
  rlx_dtype dtype = onnx_dtype_of(n, x);
  int64_t axis, axes[RLX_MAX_RANK];
  RLX_TRY(onnx_axis(onnx_int(n, "axis", -1), onnx_rank(n, x), &axis));
  rlx_ints over = axes_from(axes, axis, onnx_rank(n, x));
  x = onnx_cast(n, x, wide(dtype));
  rlx_val mean = mean_over(n, x, over), centred = rlx_sub(n->g, x, mean);
  rlx_val root = inverse_root(n, centred, over, onnx_float(n, "epsilon", 1e-5));
  rlx_val y = onnx_cast(n, rlx_mul(n->g, centred, root), dtype);
  y = rlx_mul(n->g, y, onnx_in(n, 1));
  n->out[0] = bias.id ? rlx_add(n->g, y, bias) : y;
  if (n->n_out > 1) n->out[1] = mean;
  if (n->n_out > 2) n->out[2] = root;
  return RLX_OK;
}

rlx_status import_rms_norm(onnx_node *n) {
  rlx_val x = onnx_in(n, 0);
  rlx_dtype dtype = onnx_dtype_of(n, x);
  int64_t axis, axes[RLX_MAX_RANK];
  RLX_TRY(onnx_axis(onnx_int(n, "axis", -1), onnx_rank(n, x), &axis));
  x = onnx_cast(n, x, wide(dtype));
  rlx_val root =
      inverse_root(n, x, axes_from(axes, axis, onnx_rank(n, x)), onnx_float(n, "epsilon", 1e-5));
  rlx_val y = onnx_cast(n, rlx_mul(n->g, x, root), onnx_dtype_of(n, onnx_in(n, 1)));
  n->out[0] = onnx_cast(n, rlx_mul(n->g, y, onnx_in(n, 1)), dtype);
  return RLX_OK;
}

/* x over its norm; 0 where that is 0. */
rlx_status import_lp_norm(onnx_node *n) {
  rlx_graph *g = n->g;
  rlx_val x = onnx_in(n, 0);
  int64_t axis = onnx_int(n, "axis", -1), p = onnx_int(n, "p", 2);
  if (p != 1 && p != 2) return status_set(RLX_ERROR_UNSUPPORTED, "p = %lld", (long long)p);
  rlx_reduce_sum_attrs a = rlx_reduce_sum_init();
  a.axes = (rlx_ints){&axis, 1};
  a.keep = true;
  rlx_val sum = rlx_reduce_sum(g, p == 1 ? rlx_abs(g, x) : rlx_square(g, x), &a);
  rlx_val norm = p == 1 ? sum : rlx_sqrt(g, sum), zero = onnx_scalar(n, norm, 0);
  rlx_val safe = rlx_where(g, rlx_eq(g, norm, zero), onnx_scalar(n, norm, 1), norm);
  n->out[0] = rlx_div(g, x, safe);
  return RLX_OK;
}

rlx_status import_mean_variance_norm(onnx_node *n) {
  static const int64_t usual[] = {0, 2, 3};
  rlx_graph *g = n->g;
  rlx_ints axes = onnx_ints(n, "axes");
  if (!axes.n) axes = (rlx_ints){usual, 3};
  rlx_val x = onnx_in(n, 0), centred = rlx_sub(g, x, mean_over(n, x, axes));
  rlx_val root = rlx_sqrt(g, mean_over(n, rlx_square(g, centred), axes));
  n->out[0] = rlx_div(g, centred, rlx_add(g, root, onnx_scalar(n, root, 1e-9)));
  return RLX_OK;
}

/* x / (bias + alpha * mean of squares over `size` neighbouring channels) ^ beta */
rlx_status import_lrn(onnx_node *n) {
  rlx_graph *g = n->g;
  rlx_val x = onnx_in(n, 0);
  rlx_ints dims = onnx_dims(n, x);
  int64_t size = onnx_int(n, "size", 0), kernel[2] = {size, 1};
  if (dims.n < 2 || size < 1) return status_set(RLX_ERROR_SHAPE, "wants two axes and a size");
  int64_t pads[4] = {(size - 1) / 2, 0, size / 2, 0};
  rlx_dim plane[4] = {dims.data[0], 1, dims.data[1],
                      dim_product(&g->dims, dims.data + 2, dims.n - 2)};
  rlx_avg_pool_attrs a = rlx_avg_pool_init();
  a.kernel = (rlx_ints){kernel, 2};
  a.pads = (rlx_ints){pads, 4};
  a.count_pad = true;
  rlx_val mean = rlx_avg_pool(g, onnx_reshape(n, rlx_square(g, x), plane, 4), &a);
  mean = onnx_reshape(n, mean, dims.data, dims.n);
  rlx_val sum = rlx_add(g, rlx_mul(g, mean, onnx_scalar(n, mean, onnx_float(n, "alpha", 1e-4))),
                        onnx_scalar(n, mean, onnx_float(n, "bias", 1)));
  n->out[0] = rlx_div(g, x, rlx_pow(g, sum, onnx_scalar(n, sum, onnx_float(n, "beta", 0.75))));
  return RLX_OK;
}
