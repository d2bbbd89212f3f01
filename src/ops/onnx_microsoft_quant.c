/* ops/onnx_microsoft_quant.c: importers of quantised and fused operators of com.microsoft.
 *
 * Law: they are ONNX's own operators in a row, and become what those become. */
#include "ops/onnx.h"

/* The outputs of ONNX's operator `op` of that opset on these operands. */
static rlx_status standard(const onnx_node *n, const char *op, int64_t opset, const rlx_val *in,
                           size_t n_in, onnx_attr *attrs, size_t n_attrs, rlx_val *out,
                           size_t n_out) {
  onnx_node view = *n;
  view.domain = "";
  view.op = op;
  view.opset = opset;
  view.in = in;
  view.n_in = n_in;
  view.attrs = attrs;
  view.n_attrs = n_attrs;
  view.out = out;
  view.n_out = n_out;
  return onnx_import(&view);
}

/* --- QLinear..: an operator between reals, whose operands and result are quantised */

/* The real that inputs i, i + 1 and i + 2 stand for: a tensor, its scale, its zero point. */
static rlx_status real_of(const onnx_node *n, size_t i, rlx_val *out) {
  const rlx_val in[] = {onnx_in(n, i), onnx_in(n, i + 1), onnx_in(n, i + 2)};
  return standard(n, "DequantizeLinear", 13, in, in[2].id ? 3 : 2, NULL, 0, out, 1);
}

/* The first output: v by the scale and zero point at inputs i and i + 1, in the dtype of like. */
static rlx_status quantised(onnx_node *n, rlx_val v, size_t i, rlx_val like) {
  rlx_val zero = onnx_in(n, i + 1);
  if (!zero.id) zero = onnx_scalar(n, like, 0);
  const rlx_val in[] = {v, onnx_in(n, i), zero};
  return standard(n, "QuantizeLinear", 13, in, 3, NULL, 0, n->out, 1);
}

/* QLinearSigmoid and so on: one operand, or two. The name says which operator it is. */
rlx_status import_qlinear(onnx_node *n) {
  const size_t operands = n->n_in > 5 ? 2 : 1;
  rlx_val in[2], y;
  if (onnx_int(n, "channels_last", 0)) return status_set(RLX_ERROR_UNSUPPORTED, "channels_last");
  for (size_t i = 0; i < operands; i++) RLX_TRY(real_of(n, 3 * i, &in[i]));
  RLX_TRY(standard(n, n->op + strlen("QLinear"), onnx_int(n, "opset", 13), in, operands, n->attrs,
                   n->n_attrs, &y, 1));
  return quantised(n, y, 3 * operands, onnx_in(n, 0));
}

/* Scale and zero point of the result, then three inputs for each operand. */
rlx_status import_qlinear_concat(onnx_node *n) {
  const size_t count = n->n_in / 3;
  rlx_val *in = arena_new(&n->g->mem, count + 1, sizeof *in), y;
  if (!in) return status_memory(count * sizeof *in);
  if (n->n_in < 5 || n->n_in % 3 != 2) return status_set(RLX_ERROR_FORMAT, "%zu inputs", n->n_in);
  for (size_t i = 0; i < count; i++) RLX_TRY(real_of(n, 2 + 3 * i, &in[i]));
  RLX_TRY(standard(n, "Concat", 13, in, count, n->attrs, n->n_attrs, &y, 1));
  return quantised(n, y, 0, onnx_in(n, 2));
}

/* --- products of integers, as reals */

/* a b in i32 times both scales, plus a bias; scale and zero point of b may be per column. */
static rlx_status scaled_product(onnx_node *n, const rlx_val *in, rlx_val a_scale, rlx_val b_scale,
                                 rlx_val bias) {
  rlx_val y;
  RLX_TRY(standard(n, "MatMulInteger", 10, in, in[3].id ? 4 : 3, NULL, 0, &y, 1));
  y = rlx_mul(n->g, onnx_cast(n, y, RLX_F32), rlx_mul(n->g, a_scale, b_scale));
  n->out[0] = bias.id ? rlx_add(n->g, y, bias) : y;
  return RLX_OK;
}

rlx_status import_matmul_integer_to_float(onnx_node *n) {
  const rlx_val in[] = {onnx_in(n, 0), onnx_in(n, 1), onnx_in(n, 4), onnx_in(n, 5)};
  return scaled_product(n, in, onnx_in(n, 2), onnx_in(n, 3), onnx_in(n, 6));
}

rlx_status import_dynamic_quantize_matmul(onnx_node *n) {
  const rlx_val x = onnx_in(n, 0);
  rlx_val q[3]; /* x quantised, its scale, its zero point */
  RLX_TRY(standard(n, "DynamicQuantizeLinear", 11, &x, 1, NULL, 0, q, 3));
  const rlx_val in[] = {q[0], onnx_in(n, 1), q[2], onnx_in(n, 3)};
  return scaled_product(n, in, q[1], onnx_in(n, 2), onnx_in(n, 4));
}

/* --- recurrent, with quantised weights */

/* The real that weights [directions, inputs, 4 hidden] stand for, as ONNX's LSTM wants them; scale
 * and zero point are per direction, or also per column. */
static rlx_val lstm_weights(const onnx_node *n, size_t weights, size_t scale) {
  const int64_t middle = 1, swap[] = {0, 2, 1};
  rlx_val along[2] = {onnx_in(n, scale), onnx_in(n, scale + 1)};
  rlx_unsqueeze_attrs a = rlx_unsqueeze_init();
  a.axes = (rlx_ints){&middle, 1};
  for (size_t i = 0; i < 2; i++)
    along[i] = rlx_unsqueeze(n->g, onnx_along(n, along[i], 0, 2), &a);
  const rlx_val w = rlx_sub(n->g, onnx_cast(n, onnx_in(n, weights), RLX_F32),
                            onnx_cast(n, along[1], RLX_F32));
  return onnx_transpose(n, rlx_mul(n->g, w, along[0]), swap, 3);
}

/* An LSTM on the weights as reals: onnxruntime also rounds inputs and states, to save time. */
rlx_status import_dynamic_quantize_lstm(onnx_node *n) {
  enum { X, W, R, REST, PEEPHOLE = 7, W_SCALE, R_SCALE = 10, ALL = 12 };
  if (n->n_in != ALL) return status_set(RLX_ERROR_FORMAT, "%zu inputs, wanted %d", n->n_in, ALL);
  rlx_val in[PEEPHOLE + 1] = {n->in[X], lstm_weights(n, W, W_SCALE), lstm_weights(n, R, R_SCALE)};
  memcpy(in + REST, n->in + REST, (PEEPHOLE + 1 - REST) * sizeof *in);
  return standard(n, "LSTM", 14, in, rlx_given(in, PEEPHOLE + 1, R + 1), n->attrs, n->n_attrs,
                  n->out, n->n_out);
}

/* --- an operator, then an activation */

static rlx_status activated(onnx_node *n, rlx_val v, double first, double second) {
  static const struct {
    const char *name, *first, *second; /* what its parameters are called in opset 6 */
  } rows[] = {
      {"LeakyRelu", "alpha", NULL}, {"Clip", "min", "max"}, {"HardSigmoid", "alpha", "beta"}};
  const char *activation = onnx_string(n, "activation", NULL);
  onnx_attr attrs[2] = {{.type = ONNX_FLOAT, .f = first}, {.type = ONNX_FLOAT, .f = second}};
  size_t count = 0;
  n->out[0] = v;
  if (!activation || !*activation) return RLX_OK;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (strcmp(rows[i].name, activation) != 0) continue;
    attrs[0].name = rows[i].first;
    attrs[1].name = rows[i].second;
    count = rows[i].second ? 2 : 1;
  }
  return standard(n, activation, 6, &v, 1, attrs, count, n->out, 1);
}

/* A convolution, plus a fourth operand. */
rlx_status import_fused_conv(onnx_node *n) {
  const rlx_reals p = onnx_floats(n, "activation_params");
  rlx_val y;
  RLX_TRY(onnx_conv(n, n->in, n->n_in < 3 ? n->n_in : 3, &y));
  if (onnx_in(n, 3).id) y = rlx_add(n->g, y, onnx_in(n, 3));
  return activated(n, y, p.n > 0 ? p.data[0] : 0, p.n > 1 ? p.data[1] : 0);
}

rlx_status import_fused_gemm(onnx_node *n) {
  const double first = onnx_float(n, "activation_alpha", 0);
  RLX_TRY(import_gemm(n));
  return activated(n, n->out[0], first, onnx_float(n, "activation_beta", 0));
}
