/* ops/onnx_math.c: importers of elementwise operators and of the matrix product with extras. */
#include "ops/onnx.h"

/* --- element types */

rlx_status import_cast(onnx_node *n) {
  rlx_dtype to;
  RLX_TRY(onnx_dtype(onnx_int(n, "to", 0), &to));
  n->out[0] = onnx_cast(n, onnx_in(n, 0), to);
  return RLX_OK;
}

rlx_status import_cast_like(onnx_node *n) {
  n->out[0] = onnx_cast(n, onnx_in(n, 0), onnx_dtype_of(n, onnx_in(n, 1)));
  return RLX_OK;
}

/* --- limits and lists of operands */

rlx_status import_clip(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), low = onnx_in(n, 1), high = onnx_in(n, 2);
  if (n->opset < 11) {
    if (onnx_find(n, "min")) low = onnx_scalar(n, x, onnx_float(n, "min", 0));
    if (onnx_find(n, "max")) high = onnx_scalar(n, x, onnx_float(n, "max", 0));
  }
  if (low.id) x = rlx_maximum(n->g, x, low);
  if (high.id) x = rlx_minimum(n->g, x, high);
  n->out[0] = x;
  return RLX_OK;
}

static rlx_status fold_operands(onnx_node *n, const char *op) {
  if (n->n_in == 0) return status_set(RLX_ERROR_FORMAT, "no operands");
  rlx_val y = n->in[0];
  for (size_t i = 1; i < n->n_in; i++)
    y = rlx_graph_add(n->g, op, (rlx_val[]){y, n->in[i]}, 2, NULL);
  n->out[0] = y;
  return RLX_OK;
}
rlx_status import_max(onnx_node *n) { return fold_operands(n, "maximum"); }
rlx_status import_min(onnx_node *n) { return fold_operands(n, "minimum"); }
rlx_status import_sum(onnx_node *n) { return fold_operands(n, "add"); }
rlx_status import_mean(onnx_node *n) {
  RLX_TRY(fold_operands(n, "add"));
  n->out[0] = rlx_div(n->g, n->out[0], onnx_scalar(n, n->out[0], (double)n->n_in));
  return RLX_OK;
}

/* --- two operands */

rlx_status import_mod(onnx_node *n) {
  bool c_like = onnx_int(n, "fmod", 0) != 0;
  n->out[0] = rlx_graph_add(n->g, c_like ? "rem" : "mod", n->in, n->n_in, NULL);
  return RLX_OK;
}

/* The result has the base's type; an integer base with a real exponent is computed in reals. */
rlx_status import_pow(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), y = onnx_in(n, 1);
  rlx_dtype base = onnx_dtype_of(n, x), exponent = onnx_dtype_of(n, y);
  bool whole = base != RLX_DTYPE_COUNT && dtype_kind(base) != RLX_KIND_FLOAT;
  bool real = exponent != RLX_DTYPE_COUNT && dtype_kind(exponent) == RLX_KIND_FLOAT;
  rlx_dtype in = whole && real ? exponent : base;
  n->out[0] = onnx_cast(n, rlx_pow(n->g, onnx_cast(n, x, in), onnx_cast(n, y, in)), base);
  return RLX_OK;
}

rlx_status import_bit_shift(onnx_node *n) {
  size_t right;
  if (!onnx_find(n, "direction")) return status_set(RLX_ERROR_FORMAT, "there is no direction");
  RLX_TRY(onnx_word(n, "direction", "LEFT|RIGHT", &right));
  n->out[0] = rlx_graph_add(n->g, right ? "shr" : "shl", n->in, n->n_in, NULL);
  return RLX_OK;
}

/* --- activations */

rlx_status import_prelu(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), below = rlx_lt(n->g, x, onnx_scalar(n, x, 0));
  n->out[0] = rlx_where(n->g, below, rlx_mul(n->g, x, onnx_in(n, 1)), x);
  return RLX_OK;
}

rlx_status import_gelu(onnx_node *n) {
  size_t by_tanh;
  RLX_TRY(onnx_word(n, "approximate", "none|tanh", &by_tanh));
  n->out[0] = rlx_graph_add(n->g, by_tanh ? "gelu_tanh" : "gelu", n->in, n->n_in, NULL);
  return RLX_OK;
}

rlx_status import_swish(onnx_node *n) {
  rlx_val x = onnx_in(n, 0);
  double alpha = onnx_float(n, "alpha", 1);
  rlx_val scaled = rlx_mul(n->g, x, onnx_scalar(n, x, alpha));
  n->out[0] = alpha == 1 ? rlx_silu(n->g, x) : rlx_mul(n->g, x, rlx_sigmoid(n->g, scaled));
  return RLX_OK;
}

rlx_status import_swiglu(onnx_node *n) {
  RLX_TRY(import_swish(n));
  n->out[0] = rlx_mul(n->g, n->out[0], onnx_in(n, 1));
  return RLX_OK;
}

rlx_status import_shrink(onnx_node *n) {
  rlx_graph *g = n->g;
  rlx_val x = onnx_in(n, 0);
  double lambda = onnx_float(n, "lambd", 0.5);
  rlx_val bias = onnx_scalar(n, x, onnx_float(n, "bias", 0));
  rlx_val above = rlx_gt(g, x, onnx_scalar(n, x, lambda));
  rlx_val below = rlx_lt(g, x, onnx_scalar(n, x, -lambda));
  rlx_val high = rlx_where(g, above, rlx_sub(g, x, bias), onnx_scalar(n, x, 0));
  n->out[0] = rlx_where(g, below, rlx_add(g, x, bias), high);
  return RLX_OK;
}

rlx_status import_is_inf(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), y = rlx_is_inf(n->g, x), zero = onnx_scalar(n, x, 0);
  if (!onnx_int(n, "detect_negative", 1)) y = rlx_bit_and(n->g, y, rlx_gt(n->g, x, zero));
  if (!onnx_int(n, "detect_positive", 1)) y = rlx_bit_and(n->g, y, rlx_lt(n->g, x, zero));
  n->out[0] = y;
  return RLX_OK;
}

/* At inference x passes through, and the mask is all true. */
rlx_status import_dropout(onnx_node *n) {
  rlx_val x = onnx_in(n, 0);
  if (onnx_in(n, 2).id) {
    double training, ratio = 0.5;
    RLX_TRY(onnx_known_real(n, 2, &training));
    if (onnx_in(n, 1).id) RLX_TRY(onnx_known_real(n, 1, &ratio));
    if (training != 0 && ratio != 0)
      return status_set(RLX_ERROR_UNSUPPORTED, "training mode: a random share of %g is dropped",
                        ratio);
  }
  n->out[0] = x;
  if (n->n_out < 2) return RLX_OK;
  rlx_expand_attrs a = rlx_expand_init();
  a.dims = onnx_dims(n, x);
  rlx_dtype dtype = n->opset < 10 ? onnx_dtype_of(n, x) : RLX_BOOL;
  n->out[1] = rlx_expand(n->g, rlx_scalar(n->g, dtype, 1), &a);
  return RLX_OK;
}

/* --- alpha A B + beta C */

rlx_status import_gemm(onnx_node *n) {
  static const int64_t swap[] = {1, 0};
  rlx_val a = onnx_in(n, 0), b = onnx_in(n, 1), c = onnx_in(n, 2);
  double alpha = onnx_float(n, "alpha", 1), beta = onnx_float(n, "beta", 1);
  if (onnx_int(n, "transA", 0)) a = onnx_transpose(n, a, swap, 2);
  if (onnx_int(n, "transB", 0)) b = onnx_transpose(n, b, swap, 2);
  rlx_val y = rlx_matmul(n->g, a, b);
  if (alpha != 1) y = rlx_mul(n->g, y, onnx_scalar(n, y, alpha));
  if (c.id && beta != 1) c = rlx_mul(n->g, c, onnx_scalar(n, c, beta));
  n->out[0] = c.id ? rlx_add(n->g, y, c) : y;
  return RLX_OK;
}
