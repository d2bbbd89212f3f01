/* ops/onnx_quant.c: importers of quantised operators, composed of integer and f32 arithmetic.
 *
 * Laws: x = (q - zero) * scale; a real becomes q by rounding half to even, then adding the zero
 * point, then saturating. Integer products and sums are exact. */
#include <stdlib.h>

#include "ops/onnx.h"

/* --- per tensor, per axis, in blocks along an axis */

static rlx_status quantized_axis(const onnx_node *n, rlx_val x, rlx_val scale, int64_t *axis) {
  const size_t rank = onnx_rank(n, x), scales = onnx_rank(n, scale);
  const int64_t block = onnx_int(n, "block_size", 0);
  *axis = 0;
  if (block < 0 || block > INT32_MAX || (block ? scales != rank : scales > 1))
    return status_set(RLX_ERROR_SHAPE, "a scale of %zu axes and blocks of %lld for x of %zu axes",
                      scales, (long long)block, rank);
  rlx_ints dims = onnx_dims(n, scale);
  bool one_for_all = dims.n == 0 || (dims.n == 1 && dims.data[0] == 1 && !block);
  return one_for_all ? RLX_OK : onnx_axis(onnx_int(n, "axis", 1), rank, axis);
}

/* v with each element along the axis repeated for a block of x: element i is that of i / block. */
static rlx_val quantized_blocks(const onnx_node *n, rlx_val v, int64_t axis, rlx_val x,
                                int64_t block) {
  rlx_range_attrs places = rlx_range_init();
  rlx_gather_attrs a = rlx_gather_init();
  places.count = (rlx_ints){&onnx_dims(n, x).data[axis], 1};
  a.axis = axis;
  rlx_val i = rlx_range(n->g, &places);
  return rlx_gather(n->g, v, rlx_div(n->g, i, onnx_scalar(n, i, (double)block)), &a);
}

/* The scale or zero point so that it broadcasts with x. */
static rlx_val quantized_factor(const onnx_node *n, rlx_val v, int64_t axis, rlx_val x) {
  const int64_t block = onnx_int(n, "block_size", 0);
  rlx_ints dims = onnx_dims(n, v);
  if (block) return quantized_blocks(n, v, axis, x, block);
  if (dims.n == 1 && dims.data[0] == 1) return onnx_reshape(n, v, NULL, 0);
  return onnx_along(n, v, (size_t)axis, onnx_rank(n, x));
}

rlx_status import_dequantize(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), scale = onnx_in(n, 1), zero = onnx_in(n, 2);
  rlx_dtype to = onnx_dtype_of(n, scale);
  int64_t axis;
  RLX_TRY(quantized_axis(n, x, scale, &axis));
  if (onnx_int(n, "output_dtype", 0)) RLX_TRY(onnx_dtype(onnx_int(n, "output_dtype", 0), &to));
  rlx_val y = onnx_cast(n, x, RLX_I32);
  if (zero.id) y = rlx_sub(n->g, y, onnx_cast(n, quantized_factor(n, zero, axis, x), RLX_I32));
  scale = quantized_factor(n, scale, axis, x);
  y = rlx_mul(n->g, onnx_cast(n, y, onnx_dtype_of(n, scale)), scale);
  n->out[0] = onnx_cast(n, y, to);
  return RLX_OK;
}

/* The integers that a dtype can be quantised to; RLX_ERROR_UNSUPPORTED if there are none. */
static rlx_status quantized_limits(rlx_dtype to, rlx_clamp_attrs *out_limits) {
  const rlx_dtype_kind kind = to == RLX_DTYPE_COUNT ? RLX_KIND_BLOCK : dtype_kind(to);
  if ((kind != RLX_KIND_INT && kind != RLX_KIND_UINT) || dtype_bytes(to) > 2)
    return status_set(RLX_ERROR_UNSUPPORTED, "quantization to %s",
                      to == RLX_DTYPE_COUNT ? "nothing" : dtype_name(to));
  *out_limits = rlx_clamp_init();
  out_limits->min = ref_lowest(to);
  out_limits->max = ref_above(to) - 1;
  return RLX_OK;
}

/* x, which is in units of the scale already, in the dtype `to`; `zero` (or nil) broadcasts. */
static rlx_status quantized(const onnx_node *n, rlx_val x, rlx_val zero, rlx_dtype to,
                            rlx_val *out_value) {
  rlx_clamp_attrs limits;
  RLX_TRY(quantized_limits(to, &limits));
  rlx_val y = rlx_round(n->g, x);
  if (zero.id) y = rlx_add(n->g, y, onnx_cast(n, zero, RLX_F32));
  *out_value = onnx_cast(n, rlx_clamp(n->g, y, &limits), to);
  return RLX_OK;
}

rlx_status import_quantize(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), scale = onnx_in(n, 1), zero = onnx_in(n, 2);
  rlx_dtype to = zero.id ? onnx_dtype_of(n, zero) : RLX_U8;
  int64_t axis;
  RLX_TRY(quantized_axis(n, x, scale, &axis));
  if (!zero.id && onnx_int(n, "output_dtype", 0))
    RLX_TRY(onnx_dtype(onnx_int(n, "output_dtype", 0), &to));
  if (zero.id) zero = quantized_factor(n, zero, axis, x);
  scale = onnx_cast(n, quantized_factor(n, scale, axis, x), RLX_F32);
  x = rlx_div(n->g, onnx_cast(n, x, RLX_F32), scale);
  return quantized(n, x, zero, to, &n->out[0]);
}

/* --- products of integers, then their result as the operator wants it */

static rlx_status quantized_operand(const onnx_node *n, rlx_val q) {
  if (!q.id) return status_set(RLX_ERROR_FORMAT, "an operand is missing");
  const rlx_dtype dtype = onnx_dtype_of(n, q);
  if (dtype == RLX_U8 || dtype == RLX_I8) return RLX_OK;
  return status_set(RLX_ERROR_DTYPE, "an operand is %s, wanted u8 or i8", dtype_name(dtype));
}

/* q - zero in i16, which holds all differences of 8-bit integers. The zero point is one for all or
 * has an element along `axis`. */
static rlx_status centred(const onnx_node *n, rlx_val q, rlx_val zero, int64_t axis,
                          rlx_val *out_value) {
  RLX_TRY(quantized_operand(n, q));
  *out_value = onnx_cast(n, q, RLX_I16);
  if (!zero.id) return RLX_OK;
  zero = quantized_factor(n, onnx_cast(n, zero, RLX_I16), axis, q);
  *out_value = rlx_sub(n->g, *out_value, zero);
  return RLX_OK;
}

/* The axis of rows of a matrix or batch of them. */
static int64_t row_axis(const onnx_node *n, rlx_val v) {
  const int64_t rank = (int64_t)onnx_rank(n, v);
  return rank > 1 ? rank - 2 : 0;
}

static int64_t column_axis(const onnx_node *n, rlx_val v) {
  const int64_t rank = (int64_t)onnx_rank(n, v);
  return rank > 0 ? rank - 1 : 0;
}

/* A product of a, by rows, and b, by columns. */
static rlx_status integer_product(const onnx_node *n, rlx_val a, rlx_val a_zero, rlx_val b,
                                  rlx_val b_zero, rlx_val *out_value) {
  RLX_TRY(quantized_operand(n, a));
  RLX_TRY(quantized_operand(n, b));
  if (a_zero.id) a_zero = quantized_factor(n, a_zero, row_axis(n, a), a);
  if (b_zero.id) b_zero = quantized_factor(n, b_zero, column_axis(n, b), b);
  *out_value = rlx_int_matmul(n->g, a, b, a_zero, b_zero);
  return RLX_OK;
}

rlx_status import_matmul_integer(onnx_node *n) {
  return integer_product(n, onnx_in(n, 0), onnx_in(n, 2), onnx_in(n, 1), onnx_in(n, 3),
                         &n->out[0]);
}

/* Sums in i32 to the output: times a b / scale, all of which broadcast. */
static rlx_status requantized(onnx_node *n, rlx_val sums, rlx_val a, rlx_val b, rlx_val scale,
                              rlx_val zero) {
  rlx_graph *g = n->g;
  rlx_val factor = rlx_mul(g, onnx_cast(n, a, RLX_F32), onnx_cast(n, b, RLX_F32));
  factor = rlx_div(g, factor, onnx_cast(n, quantized_factor(n, scale, 0, sums), RLX_F32));
  rlx_val y = rlx_mul(g, onnx_cast(n, sums, RLX_F32), factor);
  return quantized(n, y, quantized_factor(n, zero, 0, sums), onnx_dtype_of(n, zero), &n->out[0]);
}

rlx_status import_qlinear_matmul(onnx_node *n) {
  if (n->n_in != 8) return status_set(RLX_ERROR_FORMAT, "%zu inputs, wanted 8", n->n_in);
  const rlx_val *in = n->in;
  rlx_val sums;
  RLX_TRY(integer_product(n, in[0], in[2], in[3], in[5], &sums));
  rlx_val a = quantized_factor(n, in[1], row_axis(n, in[0]), in[0]);
  rlx_val b = quantized_factor(n, in[4], column_axis(n, in[3]), in[3]);
  return requantized(n, sums, a, b, in[6], in[7]);
}

/* Are all sums of |w - zero| for one output below 2^24 / 255? Then f32 holds all sums with the
 * centred x, in whatever order they are added. */
static bool weights_are_light(const onnx_node *n, rlx_val w, rlx_val zero) {
  const rlx_tensor *t = graph_constant(n->g, w), *z = zero.id ? graph_constant(n->g, zero) : NULL;
  if (!t || t->rank == 0 || (zero.id && (!z || z->count == 0))) return false;
  const int64_t each = ref_product(t->dims + 1, t->rank - 1u);
  for (int64_t o = 0; o < t->dims[0]; o++) {
    const int64_t centre = z ? tensor_int(z, o % z->count) : 0;
    int64_t sum = 0;
    for (int64_t i = o * each; i < (o + 1) * each; i++) sum += llabs(tensor_int(t, i) - centre);
    if (sum > (1 << 24) / 255) return false;
  }
  return true;
}

/* Padding is a zero after centring. f64 holds every sum of products of 8-bit integers. */
static rlx_status integer_conv(onnx_node *n, rlx_val x, rlx_val x_zero, rlx_val w, rlx_val w_zero,
                               rlx_val *out_value) {
  rlx_val in[2], y;
  RLX_TRY(centred(n, x, x_zero, 1, &in[0]));
  RLX_TRY(centred(n, w, w_zero, 0, &in[1]));
  const rlx_dtype exact = weights_are_light(n, w, w_zero) ? RLX_F32 : RLX_F64;
  for (size_t i = 0; i < 2; i++) in[i] = onnx_cast(n, in[i], exact);
  RLX_TRY(onnx_conv(n, in, 2, &y));
  *out_value = onnx_cast(n, y, RLX_I32);
  return RLX_OK;
}

rlx_status import_conv_integer(onnx_node *n) {
  return integer_conv(n, onnx_in(n, 0), onnx_in(n, 2), onnx_in(n, 1), onnx_in(n, 3), &n->out[0]);
}

rlx_status import_qlinear_conv(onnx_node *n) {
  if (n->n_in < 8) return status_set(RLX_ERROR_FORMAT, "%zu inputs, wanted 8 or 9", n->n_in);
  const rlx_val *in = n->in;
  rlx_val sums, bias = onnx_in(n, 8);
  RLX_TRY(integer_conv(n, in[0], in[2], in[3], in[5], &sums));
  if (bias.id) sums = rlx_add(n->g, sums, onnx_along(n, bias, 1, onnx_rank(n, sums)));
  return requantized(n, sums, quantized_factor(n, in[1], 0, sums),
                     quantized_factor(n, in[4], 1, sums), in[6], in[7]);
}
