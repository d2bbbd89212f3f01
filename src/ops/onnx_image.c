/* ops/onnx_image.c: importers of operators that read images at given places, put them together from
 * patches, or crop them: GridSample, DeformConv, AffineGrid, RoiAlign, Col2Im, CenterCropPad.
 *
 * GridSample: per axis each place has 1, 2 or 4 taps (nearest, linear, cubic), all axes together
 * their products: one gather of T pixels per place, one product with T weights. Sizes are values,
 * which may be open until the run. */
#include "ops/onnx.h"
#include "ops/window.h"

typedef struct sampler {
  const onnx_node *n;
  size_t mode, padding; /* places in the lists of words */
  bool pixels;          /* places are in pixels, not from -1 to 1 */
  bool corners;         /* -1 and 1 are the centres of the outer pixels, not the image's edges */
  rlx_val x, grid;      /* [N,C,..], [N,P,D] */
} sampler;
enum { NEAREST = 1, CUBIC };
enum { ZEROS, REFLECTION = 2 };

/* The positions of taps and what they weigh, [N,P,T]. */
typedef struct taps {
  rlx_val at, weight;
} taps;

static rlx_val plus(const onnx_node *n, rlx_val a, double v) {
  return rlx_add(n->g, a, onnx_scalar(n, a, v));
}
static rlx_val times(const onnx_node *n, rlx_val a, double v) {
  return rlx_mul(n->g, a, onnx_scalar(n, a, v));
}

/* The size of an axis as a number of the type of `like`. */
static rlx_val size_as(const onnx_node *n, rlx_val v, size_t axis, rlx_val like) {
  return onnx_cast(n, onnx_size(n, v, (int64_t)axis), onnx_dtype_of(n, like));
}

/* Mirrored at -1/2 and size - 1/2, or at the centres of the first and the last pixel. */
static rlx_val mirrored(const sampler *s, rlx_val at, rlx_val size) {
  const onnx_node *n = s->n;
  const double low = s->corners ? 0 : -0.5;
  rlx_val reach = size;
  if (s->corners) reach = rlx_maximum(n->g, plus(n, size, -1), onnx_scalar(n, size, 1e-6));
  rlx_val phase = rlx_mod(n->g, plus(n, at, -low), times(n, reach, 2));
  phase = rlx_abs(n->g, rlx_sub(n->g, phase, reach));
  return plus(n, rlx_sub(n->g, reach, phase), low);
}

/* Kept within the image and `margin` pixels around it. */
static rlx_val clamped(const onnx_node *n, rlx_val at, rlx_val size, double margin) {
  const rlx_val floor = rlx_maximum(n->g, at, onnx_scalar(n, at, -margin));
  return rlx_minimum(n->g, floor, plus(n, size, margin - 1));
}

/* Places in pixels. Far ones come near, where their pixels are the same, and where a float still
 * tells neighbours apart. */
static rlx_val pixel_places(const sampler *s, rlx_val place, rlx_val size) {
  const onnx_node *n = s->n;
  rlx_val at = s->pixels ? place : times(n, plus(n, place, 1), 0.5);
  if (s->corners) at = rlx_mul(n->g, at, plus(n, size, -1));
  else if (!s->pixels) at = plus(n, rlx_mul(n->g, at, size), -0.5);
  if (s->mode == NEAREST) at = rlx_round(n->g, at);
  return s->padding == REFLECTION ? mirrored(s, at, size) : clamped(n, at, size, 3);
}

/* The weight of a pixel by its distance (0 of the nearest): 1 - d, or the cubic of a = -3/4. */
static rlx_val weight_at(const sampler *s, rlx_val distance) {
  const onnx_node *n = s->n;
  rlx_graph *g = n->g;
  const rlx_val d = distance;
  if (s->mode != CUBIC) return rlx_sub(g, onnx_scalar(n, d, 1), d);
  const rlx_val square = rlx_square(g, d);
  const rlx_val near = plus(n, rlx_mul(g, plus(n, times(n, d, 1.25), -2.25), square), 1);
  const rlx_val third = rlx_mul(g, plus(n, times(n, d, -0.75), 3.75), square);
  const rlx_val far = plus(n, rlx_sub(g, third, times(n, d, 6)), 3);
  return rlx_where(g, rlx_le(g, d, onnx_scalar(n, d, 1)), near, far);
}

static taps taps_of(const sampler *s, rlx_val place, rlx_val size) {
  static const int64_t counts[] = {2, 1, 4}, firsts[] = {0, 0, -1};
  const onnx_node *n = s->n;
  rlx_graph *g = n->g;
  const rlx_val at = pixel_places(s, place, size);
  const rlx_val offsets = onnx_iota(n, counts[s->mode], (double)firsts[s->mode]);
  const rlx_val pixel = rlx_add(g, rlx_floor(g, at), onnx_cast(n, offsets, onnx_dtype_of(n, at)));
  taps t;
  t.weight = weight_at(s, rlx_abs(g, rlx_sub(g, at, pixel)));
  if (s->padding == ZEROS) {
    const rlx_val low = rlx_ge(g, pixel, onnx_scalar(n, at, 0));
    const rlx_val inside = rlx_bit_and(g, low, rlx_lt(g, pixel, size));
    t.weight = rlx_where(g, inside, t.weight, onnx_scalar(n, at, 0));
  }
  t.at = clamped(n, s->padding == REFLECTION ? mirrored(s, pixel, size) : pixel, size, 0);
  t.at = onnx_cast(n, t.at, RLX_I64);
  return t;
}

/* All pairs of the taps of an axis and those of the axes before it. */
static rlx_val paired(const sampler *s, rlx_val before, rlx_val own, bool sum) {
  const onnx_node *n = s->n;
  const rlx_ints d = onnx_dims(n, own);
  const rlx_dim last = rlx_val_dim(n->g, before, 2);
  if (d.n != 3) return own; /* a failure that the graph knows of */
  const rlx_dim column[] = {d.data[0], d.data[1], last, 1};
  const rlx_dim row[] = {d.data[0], d.data[1], 1, d.data[2]};
  const rlx_dim flat[] = {d.data[0], d.data[1], last * d.data[2]};
  const rlx_val a = onnx_reshape(n, before, column, 4), b = onnx_reshape(n, own, row, 4);
  return onnx_reshape(n, sum ? rlx_add(n->g, a, b) : rlx_mul(n->g, a, b), flat, 3);
}

/* [N,P,C] */
static rlx_val sample(const sampler *s, size_t axes) {
  const onnx_node *n = s->n;
  rlx_graph *g = n->g;
  const rlx_ints d = onnx_dims(n, s->x);
  const rlx_dim pixels = dim_product(&g->dims, d.data + 2, axes);
  const int64_t swap[] = {0, 2, 1};
  taps all = {RLX_NIL, RLX_NIL};
  for (size_t i = 0; i < axes; i++) {
    const rlx_val size = size_as(n, s->x, 2 + i, s->grid);
    const rlx_dim column = (rlx_dim)(axes - 1 - i);
    const taps own = taps_of(s, onnx_slice(n, s->grid, 2, column, column + 1, 1), size);
    if (i == 0) {
      all = own;
      continue;
    }
    const rlx_val rows = rlx_mul(g, all.at, size_as(n, s->x, 2 + i, all.at));
    all.at = paired(s, rows, own.at, true);
    all.weight = paired(s, all.weight, own.weight, false);
  }
  const rlx_dim flat[] = {d.data[0], d.data[1], pixels};
  const rlx_val x = onnx_transpose(n, onnx_reshape(n, s->x, flat, 3), swap, 3);
  const rlx_ints t = onnx_dims(n, all.at);
  if (t.n != 3) return x; /* a failure that the graph knows of */
  const rlx_dim tuple[] = {t.data[0], t.data[1], t.data[2], 1};
  const rlx_dim row[] = {t.data[0], t.data[1], 1, t.data[2]};
  rlx_gather_nd_attrs a = rlx_gather_nd_init();
  a.batch = 1;
  const rlx_val found = rlx_gather_nd(g, x, onnx_reshape(n, all.at, tuple, 4), &a);
  const rlx_val y = rlx_matmul(g, onnx_reshape(n, all.weight, row, 4), found);
  return onnx_reshape(n, y, (rlx_dim[]){t.data[0], t.data[1], d.data[1]}, 3);
}

rlx_status import_grid_sample(onnx_node *n) {
  static const int64_t swap[] = {0, 2, 1};
  sampler s = {.n = n, .x = onnx_in(n, 0), .grid = onnx_in(n, 1)};
  const rlx_ints x = onnx_dims(n, s.x), out = onnx_dims(n, s.grid);
  if (x.n < 4 || x.n > 5 || out.n != x.n || out.data[out.n - 1] != (rlx_dim)x.n - 2)
    return status_set(RLX_ERROR_SHAPE, "wants [N,C,H,W] and [N,h,w,2], or the same with depth");
  const size_t axes = x.n - 2;
  const rlx_dtype dtype = onnx_dtype_of(n, s.x), wide = dtype == RLX_F64 ? RLX_F64 : RLX_F32;
  RLX_TRY(onnx_word(n, "mode", n->opset < 20 ? "bilinear|nearest|bicubic" : "linear|nearest|cubic",
                    &s.mode));
  RLX_TRY(onnx_word(n, "padding_mode", "zeros|border|reflection", &s.padding));
  s.corners = onnx_int(n, "align_corners", 0) != 0;
  const rlx_dim places = dim_product(&n->g->dims, out.data + 1, axes);
  const rlx_dim flat[] = {out.data[0], places, (rlx_dim)axes};
  s.x = onnx_cast(n, s.x, wide);
  s.grid = onnx_reshape(n, onnx_cast(n, s.grid, wide), flat, 3);
  const rlx_val y = onnx_transpose(n, sample(&s, axes), swap, 3);
  rlx_dim dims[5] = {x.data[0], x.data[1]};
  for (size_t i = 0; i < axes; i++) dims[2 + i] = out.data[1 + i];
  n->out[0] = onnx_cast(n, onnx_reshape(n, y, dims, x.n), dtype);
  return RLX_OK;
}

/* --- DeformConv: the pixels under each place of the kernel, moved by offsets, times the weights */

typedef struct deform {
  const onnx_node *n;
  rlx_dtype dtype;
  rlx_ints w, out;        /* [O,C/groups,h,w]; of the offsets: the last two are the result's */
  rlx_dim images, places; /* N movers, h w H W */
  int64_t movers;         /* groups of channels that move together */
} deform;

/* start, start + step, .. along an axis of four. */
static rlx_val steps_along(const deform *d, rlx_dim count, int64_t start, int64_t step,
                           size_t axis) {
  const rlx_val i = onnx_cast(d->n, onnx_iota(d->n, count, 0), d->dtype);
  return onnx_along(d->n, plus(d->n, times(d->n, i, (double)step), (double)start), axis, 4);
}

/* Where the kernel reads along axis i of the image (0: down): [N movers,P,1]. */
static rlx_val deform_places(const deform *d, size_t i) {
  const onnx_node *n = d->n;
  const rlx_dim *w = d->w.data + 2, *out = d->out.data + 2, part = (rlx_dim)i;
  rlx_val at = onnx_cast(n, onnx_in(n, 2), d->dtype);
  at = onnx_reshape(n, at, (rlx_dim[]){d->images, w[0], w[1], 2, out[0], out[1]}, 6);
  at = onnx_slice(n, at, 3, part, part + 1, 1);
  at = onnx_reshape(n, at, (rlx_dim[]){d->images, w[0], w[1], out[0], out[1]}, 5);
  const int64_t before = window_item(onnx_ints(n, "pads"), i, 0);
  const int64_t stride = window_item(onnx_ints(n, "strides"), i, 1);
  const int64_t reach = window_item(onnx_ints(n, "dilations"), i, 1);
  at = rlx_add(n->g, at, steps_along(d, out[i], -before, stride, 2 + i));
  at = rlx_add(n->g, at, steps_along(d, w[i], 0, reach, i));
  return onnx_reshape(n, at, (rlx_dim[]){d->images, d->places, 1}, 3);
}

/* What the kernel reads, [N,C,h w,H W]. */
static rlx_val deform_columns(const deform *d, rlx_val x, const rlx_dim *columns) {
  const onnx_node *n = d->n;
  const rlx_dim *size = onnx_dims(n, x).data;
  const rlx_dim apart[] = {d->images, size[1] / d->movers, size[2], size[3]};
  const rlx_val mask = onnx_in(n, 4), places[2] = {deform_places(d, 1), deform_places(d, 0)};
  rlx_concat_attrs last = rlx_concat_init();
  last.axis = 2;
  const sampler s = {
      .n = n,
      .pixels = true,
      .x = onnx_reshape(n, onnx_cast(n, x, d->dtype), apart, 4),
      .grid = rlx_concat(n->g, places, 2, &last),
  };
  rlx_val y = sample(&s, 2);
  if (mask.id)
    y = rlx_mul(
        n->g, y,
        onnx_reshape(n, onnx_cast(n, mask, d->dtype), (rlx_dim[]){d->images, d->places, 1}, 3));
  return onnx_reshape(n, onnx_transpose(n, y, (int64_t[]){0, 2, 1}, 3), columns, 4);
}

rlx_status import_deform_conv(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_val x = onnx_in(n, 0), w = onnx_in(n, 1), bias = onnx_in(n, 3);
  const rlx_ints size = onnx_dims(n, x);
  const int64_t groups = onnx_int(n, "group", 1);
  deform d = {.n = n, .w = onnx_dims(n, w), .out = onnx_dims(n, onnx_in(n, 2))};
  d.dtype = onnx_dtype_of(n, x) == RLX_F64 ? RLX_F64 : RLX_F32;
  d.movers = onnx_int(n, "offset_group", 1);
  if (size.n != 4 || d.w.n != 4 || d.out.n != 4)
    return status_set(RLX_ERROR_UNSUPPORTED, "wants x [N,C,H,W], weights and offsets of four axes");
  const rlx_dim channels = size.data[1];
  const rlx_ints kernel_shape = onnx_ints(n, "kernel_shape");
  for (size_t i = 0; i < 2; i++)
    if (window_item(kernel_shape, i, d.w.data[2 + i]) != d.w.data[2 + i])
      return status_set(RLX_ERROR_SHAPE, "kernel_shape is not that of the weights");
  for (size_t i = 0; i < 4; i++)
    if (!dim_known(d.w.data[i]) || d.w.data[i] < 1 || d.w.data[i] > INT16_MAX)
      return status_set(RLX_ERROR_UNSUPPORTED, "the sizes of the weights must be known");
  if (!dim_known(channels) || groups < 1 || d.movers < 1 || channels % groups ||
      channels % d.movers || d.w.data[0] % groups || channels / groups != d.w.data[1])
    return status_set(RLX_ERROR_SHAPE, "the channels do not fall into the groups");
  const int64_t window = d.w.data[2] * d.w.data[3];
  const rlx_dim pixels = dim_product(&g->dims, d.out.data + 2, 2);
  d.images = dim_combine(&g->dims, RLX_DIM_MUL, size.data[0], d.movers);
  d.places = dim_combine(&g->dims, RLX_DIM_MUL, pixels, window);
  const rlx_dim columns[] = {size.data[0], groups, d.w.data[1] * window, pixels};
  const rlx_dim rows[] = {groups, d.w.data[0] / groups, d.w.data[1] * window};
  const rlx_dim out[] = {size.data[0], d.w.data[0], d.out.data[2], d.out.data[3]};
  const rlx_val kernel = onnx_reshape(n, onnx_cast(n, w, d.dtype), rows, 3);
  rlx_val y = onnx_reshape(n, rlx_matmul(g, kernel, deform_columns(&d, x, columns)), out, 4);
  if (bias.id) y = rlx_add(g, y, onnx_along(n, onnx_cast(n, bias, d.dtype), 1, 4));
  n->out[0] = onnx_cast(n, y, onnx_dtype_of(n, x));
  return RLX_OK;
}

/* --- AffineGrid */

/* The places of a row of pixels between -1 and 1, so that they broadcast along axis `axis` of n. */
static rlx_val row_places(const onnx_node *n, rlx_dim size, rlx_val count, size_t axis,
                          size_t rank) {
  rlx_graph *g = n->g;
  const bool corners = onnx_int(n, "align_corners", 0) != 0;
  rlx_val at = onnx_cast(n, onnx_iota(n, size, 0), onnx_dtype_of(n, count));
  if (corners) count = rlx_maximum(g, plus(n, count, -1), onnx_scalar(n, count, 1));
  else at = plus(n, at, 0.5);
  return onnx_along(n, plus(n, rlx_div(g, times(n, at, 2), count), -1), axis, rank);
}

/* theta [N,D,D+1] times each place and 1, for an image of the given size [N,C,..]. */
rlx_status import_affine_grid(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_val theta = onnx_in(n, 0), size = onnx_in(n, 1);
  rlx_ints d;
  if (!onnx_sizes(n, size, &d) || d.n < 4 || d.n > 5 || onnx_rank(n, theta) != 3)
    return status_set(RLX_ERROR_UNSUPPORTED, "wants theta [N,2,3] or [N,3,4] and a size [N,C,..]");
  const size_t axes = d.n - 2;
  rlx_concat_attrs last = rlx_concat_init();
  last.axis = (int64_t)axes;
  rlx_val parts[4];
  rlx_expand_attrs e = rlx_expand_init();
  rlx_dim wide[5];
  for (size_t i = 0; i < axes; i++) wide[i] = d.data[2 + i];
  wide[axes] = 1;
  e.dims = (rlx_ints){wide, axes + 1};
  for (size_t i = 0; i < axes; i++) { /* the last axis of the image comes first */
    const size_t axis = axes - 1 - i;
    const rlx_val at = rlx_scalar(g, RLX_I64, (double)(2 + axis));
    const rlx_val count = onnx_cast(n, rlx_gather(g, size, at, NULL), onnx_dtype_of(n, theta));
    parts[i] = rlx_expand(g, row_places(n, wide[axis], count, axis, axes + 1), &e);
  }
  parts[axes] = rlx_expand(g, onnx_scalar(n, theta, 1), &e);
  const rlx_dim rows[] = {dim_product(&g->dims, wide, axes), (rlx_dim)axes + 1};
  const rlx_val places = onnx_reshape(n, rlx_concat(g, parts, axes + 1, &last), rows, 2);
  const rlx_val y = rlx_matmul(g, places, onnx_transpose(n, theta, (int64_t[]){0, 2, 1}, 3));
  rlx_dim out[5] = {d.data[0]};
  for (size_t i = 0; i < axes; i++) out[1 + i] = wide[i];
  out[1 + axes] = (rlx_dim)axes;
  n->out[0] = onnx_reshape(n, y, out, axes + 2);
  return RLX_OK;
}

/* --- RoiAlign */

rlx_status import_roi_align(onnx_node *n) {
  rlx_roi_align_attrs a = rlx_roi_align_init();
  size_t shifted, max;
  RLX_TRY(onnx_word(n, "mode", "avg|max", &max));
  RLX_TRY(onnx_word(n, "coordinate_transformation_mode", "half_pixel|output_half_pixel", &shifted));
  a.height = onnx_int(n, "output_height", 1);
  a.width = onnx_int(n, "output_width", 1);
  a.samples = onnx_int(n, "sampling_ratio", 0);
  a.scale = onnx_float(n, "spatial_scale", 1);
  a.half_pixel = n->opset >= 16 && shifted == 0;
  a.max = max == 1;
  n->out[0] = rlx_roi_align(n->g, onnx_in(n, 0), onnx_in(n, 1), onnx_in(n, 2), &a);
  return RLX_OK;
}

/* --- Col2Im */

/* One-hot filters [channels K,1,block..]: channel i has its one element at place i mod K. */
static rlx_val one_hot_filters(const onnx_node *n, rlx_dtype dtype, int64_t channels,
                               int64_t places, rlx_ints block) {
  int64_t dims[RLX_MAX_RANK] = {channels * places, 1};
  rlx_tensor *t;
  for (size_t i = 0; i < block.n; i++) dims[2 + i] = block.data[i];
  const rlx_status status = rlx_tensor_create(dtype, 2 + block.n, dims, &t);
  if (status != RLX_OK) {
    graph_fail(n->g, status);
    return RLX_NIL;
  }
  for (int64_t i = 0; i < dims[0]; i++) tensor_set_real(t, i * places + i % places, 1);
  const rlx_val v = rlx_constant(n->g, t);
  rlx_tensor_free(t);
  return v;
}

/* How many patches lie along axis i, and the pixels after the last one: those that an unfolding
 * leaves out. */
static rlx_status patches_along(int64_t image, int64_t block, int64_t pads, int64_t dilation,
                                int64_t step, int64_t *out_count, int64_t *out_rest) {
  enum { MAX = 1 << 24 };
  if (image < 1 || image > MAX || block < 1 || block > MAX || dilation < 1 || dilation > MAX ||
      pads < 0 || pads > MAX || step < 1 || dilation * (block - 1) + 1 > image + pads)
    return status_set(RLX_ERROR_SHAPE, "blocks of %lld in an image of %lld", (long long)block,
                      (long long)image);
  const int64_t room = image + pads - dilation * (block - 1) - 1;
  *out_count = room / step + 1;
  *out_rest = room % step;
  return RLX_OK;
}

/* The sum of patches [N,C K,L] at their places: a transposed convolution with one-hot filters. */
rlx_status import_col2im(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_val x = onnx_in(n, 0);
  const rlx_ints d = onnx_dims(n, x);
  rlx_ints image, block;
  int64_t rest[RLX_MAX_RANK], places = 1;
  rlx_dim dims[RLX_MAX_RANK];
  rlx_conv_transpose_attrs a = rlx_conv_transpose_init();
  RLX_TRY(onnx_known_ints(n, 1, &image));
  RLX_TRY(onnx_known_ints(n, 2, &block));
  a.strides = onnx_ints(n, "strides");
  a.pads = onnx_ints(n, "pads");
  a.dilations = onnx_ints(n, "dilations");
  a.output_padding = (rlx_ints){rest, image.n};
  if (d.n != 3 || image.n == 0 || image.n > RLX_MAX_RANK - 2 || block.n != image.n ||
      (a.strides.n && a.strides.n != image.n) || (a.pads.n && a.pads.n != 2 * image.n) ||
      (a.dilations.n && a.dilations.n != image.n))
    return status_set(RLX_ERROR_SHAPE, "wants [N,C K,L], and lists of one length");
  for (size_t i = 0; i < image.n; i++) {
    const int64_t pads = a.pads.n ? a.pads.data[i] + a.pads.data[image.n + i] : 0;
    RLX_TRY(patches_along(image.data[i], block.data[i], pads, window_item(a.dilations, i, 1),
                          window_item(a.strides, i, 1), &dims[2 + i], &rest[i]));
    places *= block.data[i];
    if (places > 1 << 16) return status_set(RLX_ERROR_LIMIT, "a block of %lld", (long long)places);
  }
  if (!dim_known(d.data[1]) || d.data[1] < places || d.data[1] % places)
    return status_set(RLX_ERROR_SHAPE, "axis 1 is not known as a multiple of %lld",
                      (long long)places);
  a.groups = d.data[1] / places;
  dims[0] = d.data[0];
  dims[1] = d.data[1];
  const rlx_val w = one_hot_filters(n, onnx_dtype_of(n, x), a.groups, places, block);
  n->out[0] = rlx_conv_transpose(g, onnx_reshape(n, x, dims, 2 + image.n), w, RLX_NIL, &a);
  return RLX_OK;
}

/* --- CenterCropPad */

/* What is added to an axis is halved toward 0, and so is what is cut; the end gets the rest. */
rlx_status import_center_crop_pad(onnx_node *n) {
  dim_table *t = &n->g->dims;
  const rlx_val x = onnx_in(n, 0);
  const rlx_ints d = onnx_dims(n, x), axes = onnx_ints(n, "axes");
  rlx_dim before[RLX_MAX_RANK] = {0}, after[RLX_MAX_RANK] = {0};
  rlx_ints want;
  if (!onnx_sizes(n, onnx_in(n, 1), &want))
    return status_set(RLX_ERROR_UNSUPPORTED, "a shape of unknown length");
  if (want.n != (axes.n ? axes.n : d.n))
    return status_set(RLX_ERROR_SHAPE, "a shape of %zu axes", want.n);
  for (size_t i = 0; i < want.n; i++) {
    int64_t axis;
    RLX_TRY(onnx_axis(axes.n ? axes.data[i] : (int64_t)i, d.n, &axis));
    const rlx_dim more = dim_combine(t, RLX_DIM_SUB, want.data[i], d.data[axis]);
    const rlx_dim half = dim_combine(t, RLX_DIM_FLOORDIV, more, 2);
    const rlx_dim cut = dim_combine(t, RLX_DIM_CEILDIV, more, 2);
    before[axis] = dim_combine(t, RLX_DIM_ADD, dim_combine(t, RLX_DIM_MAX, half, 0),
                               dim_combine(t, RLX_DIM_MIN, cut, 0));
    after[axis] = dim_combine(t, RLX_DIM_SUB, more, before[axis]);
  }
  rlx_pad_attrs a = rlx_pad_init();
  a.before = (rlx_ints){before, d.n};
  a.after = (rlx_ints){after, d.n};
  n->out[0] = rlx_pad(n->g, x, &a);
  return RLX_OK;
}
