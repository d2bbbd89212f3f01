/* ops/onnx_signal.c: importers of transforms to frequencies: DFT, STFT, MelWeightMatrix.
 *
 * A transform is one product with a constant matrix: real and imaginary parts are neighbours in the
 * last axis, so that n points of c parts are a row of n c numbers. */
#include <math.h>

#include "ops/onnx.h"

/* Elements of a transform's matrix at most. */
enum { MAX_MATRIX = 1 << 25 };

typedef struct transform {
  int64_t points;     /* of the full transform */
  bool inverse, half; /* half: of the frequencies only those that a real signal needs */
  int64_t in, out;    /* rows and columns of the matrix, in points */
  int64_t in_parts, out_parts;
} transform;

static rlx_val matrix_of(const onnx_node *n, const transform *t, rlx_dtype dtype) {
  const double circle = 6.28318530717958647692 * (t->inverse ? 1 : -1);
  const int64_t width = t->out * t->out_parts;
  rlx_tensor *m;
  const rlx_status status =
      rlx_tensor_create(dtype, 2, (int64_t[]){t->in * t->in_parts, width}, &m);
  if (status != RLX_OK) {
    graph_fail(n->g, status);
    return RLX_NIL;
  }
  for (int64_t i = 0; i < t->in; i++) {
    /* half of the frequencies stand for themselves and for their mirror images */
    const bool twice = t->inverse && t->half && i > 0 && 2 * i != t->points;
    const double weight = t->inverse ? (twice ? 2.0 : 1.0) / (double)t->points : 1;
    for (int64_t k = 0; k < t->out; k++) {
      const double angle = circle * (double)(i * k % t->points) / (double)t->points;
      const double re = weight * cos(angle), im = weight * sin(angle);
      const int64_t at = i * t->in_parts * width + k * t->out_parts;
      tensor_set_real(m, at, re);
      if (t->out_parts == 2) tensor_set_real(m, at + 1, im);
      if (t->in_parts == 2) tensor_set_real(m, at + width, -im);
      if (t->in_parts == 2 && t->out_parts == 2) tensor_set_real(m, at + width + 1, re);
    }
  }
  const rlx_val v = rlx_constant(n->g, m);
  rlx_tensor_free(m);
  return v;
}

/* x [..,points,parts] transformed; `points` 0: as many as x has, or had before it was halved. */
static rlx_status apply(const onnx_node *n, transform t, rlx_val *x) {
  const rlx_ints d = onnx_dims(n, *x);
  if (d.n < 2 || (d.data[d.n - 1] != 1 && d.data[d.n - 1] != 2))
    return status_set(RLX_ERROR_SHAPE, "wants real and perhaps imaginary parts in the last axis");
  const rlx_dim length = d.data[d.n - 2];
  if (!dim_known(length))
    return status_set(RLX_ERROR_UNSUPPORTED, "a transform over an axis of unknown size");
  t.in_parts = d.data[d.n - 1];
  t.out_parts = t.inverse && t.half ? 1 : 2;
  if (!t.points) t.points = t.inverse && t.half && length <= MAX_MATRIX ? 2 * (length - 1) : length;
  if (t.points < 1 || t.points > MAX_MATRIX || length < 1)
    return status_set(RLX_ERROR_LIMIT, "a transform of %lld points", (long long)t.points);
  const int64_t half = t.points / 2 + 1, most = t.inverse && t.half ? half : t.points;
  t.in = length < most ? length : most;
  t.out = t.half && !t.inverse ? half : t.points;
  if (t.in * t.in_parts > MAX_MATRIX / (t.out * t.out_parts))
    return status_set(RLX_ERROR_LIMIT, "a transform of %lld points", (long long)t.points);
  const rlx_dtype dtype = onnx_dtype_of(n, *x), wide = dtype == RLX_F64 ? RLX_F64 : RLX_F32;
  rlx_dim dims[RLX_MAX_RANK];
  for (size_t i = 0; i < d.n; i++) dims[i] = d.data[i];
  dims[d.n - 2] = t.in * t.in_parts;
  rlx_val y = t.in < length ? onnx_slice(n, *x, (int64_t)d.n - 2, 0, t.in, 1) : *x;
  y = onnx_reshape(n, onnx_cast(n, y, wide), dims, d.n - 1);
  y = rlx_matmul(n->g, y, matrix_of(n, &t, wide));
  dims[d.n - 2] = t.out;
  dims[d.n - 1] = t.out_parts;
  *x = onnx_cast(n, onnx_reshape(n, y, dims, d.n), dtype);
  return RLX_OK;
}

/* A number that an input may give and that must be known; `missing` if it is absent. */
static rlx_status known_number(onnx_node *n, size_t input, int64_t missing, int64_t *out) {
  rlx_ints list;
  *out = missing;
  if (!onnx_in(n, input).id) return RLX_OK;
  RLX_TRY(onnx_known_ints(n, input, &list));
  if (list.n != 1) return status_set(RLX_ERROR_SHAPE, "input %zu is not one number", input);
  *out = list.data[0];
  return RLX_OK;
}

rlx_status import_dft(onnx_node *n) {
  transform t = {.inverse = onnx_int(n, "inverse", 0) != 0,
                 .half = onnx_int(n, "onesided", 0) != 0};
  rlx_val x = onnx_in(n, 0);
  const size_t rank = onnx_rank(n, x);
  int64_t axis = onnx_int(n, "axis", 1), perm[RLX_MAX_RANK];
  if (n->opset >= 20) RLX_TRY(known_number(n, 2, -2, &axis));
  RLX_TRY(known_number(n, 1, 0, &t.points));
  RLX_TRY(onnx_axis(axis, rank, &axis));
  if (rank < 2 || axis == (int64_t)rank - 1)
    return status_set(RLX_ERROR_SHAPE, "the last axis holds real and imaginary parts");
  for (size_t i = 0; i < rank; i++) perm[i] = (int64_t)i;
  perm[axis] = (int64_t)rank - 2; /* exchanged with the last but one, and back */
  perm[rank - 2] = axis;
  x = onnx_transpose(n, x, perm, rank);
  RLX_TRY(apply(n, t, &x));
  n->out[0] = onnx_transpose(n, x, perm, rank);
  return RLX_OK;
}

/* Frames of the signal [B,L,parts], times the window, transformed: [B,frames,bins,2]. */
rlx_status import_stft(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_val window = onnx_in(n, 2);
  rlx_val x = onnx_in(n, 0);
  transform t = {.half = onnx_int(n, "onesided", 1) != 0};
  rlx_dim part = 1;
  int64_t step;
  rlx_ints d = onnx_dims(n, x);
  if (d.n == 2) x = onnx_reshape(n, x, (rlx_dim[]){d.data[0], d.data[1], part}, 3);
  d = onnx_dims(n, x);
  if (d.n != 3) return status_set(RLX_ERROR_SHAPE, "wants a signal [batch, length, parts]");
  const rlx_dim given = window.id ? rlx_val_dim(g, window, 0) : d.data[1];
  RLX_TRY(known_number(n, 1, 0, &step));
  RLX_TRY(known_number(n, 3, given, &t.points));
  if (step < 1 || t.points < 1)
    return status_set(RLX_ERROR_UNSUPPORTED, "wants a known frame of a known step, both above 0");
  dim_table *dims = &g->dims;
  const rlx_dim left = dim_combine(dims, RLX_DIM_SUB, d.data[1], t.points);
  rlx_dim frames = dim_combine(dims, RLX_DIM_FLOORDIV, left, step);
  frames = dim_combine(dims, RLX_DIM_MAX, dim_combine(dims, RLX_DIM_ADD, frames, 1), 0);
  rlx_val first = onnx_iota(n, frames, 0);
  first = onnx_along(n, rlx_mul(g, first, onnx_scalar(n, first, (double)step)), 0, 2);
  rlx_gather_attrs a = rlx_gather_init();
  a.axis = 1;
  x = rlx_gather(g, x, rlx_add(g, first, onnx_iota(n, t.points, 0)), &a);
  if (window.id) x = rlx_mul(g, x, onnx_along(n, window, 2, 4));
  RLX_TRY(rlx_graph_status(g));
  RLX_TRY(apply(n, t, &x));
  n->out[0] = x;
  return RLX_OK;
}

/* --- MelWeightMatrix */

static double mel_of(double hertz) { return 2595 * log10(1 + hertz / 700); }

/* The bin of a spectrum where edge `i` of the triangles lies; they are equally far apart in mel. */
static int64_t edge_bin(int64_t i, int64_t n, const double *v) {
  const double low = mel_of(v[3]), step = (mel_of(v[4]) - low) / (double)n;
  const double hertz = 700 * (pow(10, (low + (double)i * step) / 2595) - 1);
  const double bin = floor((v[1] + 1) * hertz / v[2]);
  return bin >= 0 && bin <= MAX_MATRIX ? (int64_t)bin : -1;
}

/* Columns of triangles, from edge to edge over two steps, over the bins of a spectrum. */
static rlx_status fill_triangles(rlx_tensor *m, const double *v) {
  const int64_t rows = m->dims[0], columns = m->dims[1];
  for (int64_t i = 0; i < columns; i++) {
    int64_t edge[3];
    for (int64_t k = 0; k < 3; k++) {
      edge[k] = edge_bin(i + k, columns + 2, v);
      if (edge[k] < 0 || edge[k] > rows || (k && edge[k] < edge[k - 1]))
        return status_set(RLX_ERROR_ARGUMENT, "band %lld leaves the spectrum", (long long)i);
    }
    const double up = (double)(edge[1] - edge[0]), down = (double)(edge[2] - edge[1]);
    for (int64_t k = edge[0]; k <= edge[2] && k < rows; k++) {
      const double side = k < edge[1] ? (double)(k - edge[0]) / up : (double)(edge[2] - k) / down;
      tensor_set_real(m, k * columns + i, k == edge[1] ? 1 : side);
    }
  }
  return RLX_OK;
}

rlx_status import_mel_weights(onnx_node *n) {
  double v[5]; /* bands, points of the transform, sample rate, lowest and highest frequency */
  rlx_dtype dtype;
  rlx_tensor *m;
  for (size_t i = 0; i < 5; i++) RLX_TRY(onnx_known_real(n, i, &v[i]));
  RLX_TRY(onnx_dtype(onnx_int(n, "output_datatype", 1), &dtype));
  if (!(v[0] >= 0 && v[1] >= 1 && v[0] * v[1] <= MAX_MATRIX && v[2] > 0 && v[3] >= 0 &&
        v[4] >= v[3]))
    return status_set(RLX_ERROR_ARGUMENT, "%g bands of %g points, from %g to %g Hz of %g", v[0],
                      v[1], v[3], v[4], v[2]);
  const int64_t dims[] = {(int64_t)v[1] / 2 + 1, (int64_t)v[0]};
  RLX_TRY(rlx_tensor_create(RLX_F64, 2, dims, &m));
  const rlx_status status = fill_triangles(m, v);
  if (status == RLX_OK) n->out[0] = onnx_cast(n, rlx_constant(n->g, m), dtype);
  rlx_tensor_free(m);
  return status;
}
