/* ops/rnn_function.c: the functions that gates and candidates of recurrent cells may have, each in
 * double for the reference and on MLX. */
#include "ops/rnn.h"

#include <math.h>

#include "ops/elementwise.h"

static double unit_clamp(double x) {
  if (x < 0) x = 0;
  return x > 1 ? 1 : x;
}

#define K(v) mx_scalar(m, mx_dtype(x), v)
#define FUNCTION(name, real, mlx)                                \
  static double name##_real(double x, double a, double b) {      \
    (void)a, (void)b;                                            \
    return real;                                                 \
  }                                                              \
  static mx name##_mlx(mx_ctx *m, mx x, double a, double b) {    \
    (void)a, (void)b;                                            \
    return mlx;                                                  \
  }
FUNCTION(sigmoid, 1 / (1 + exp(-x)), elementwise_sigmoid(m, x))
FUNCTION(tanh, tanh(x), mx_tanh(m, x))
FUNCTION(relu, x > 0 || isnan(x) ? x : 0, mx_maximum(m, x, K(0)))
FUNCTION(affine, a * x + b, mx_add(m, mx_mul(m, x, K(a)), K(b)))
FUNCTION(leaky_relu, x >= 0 ? x : a * x,
         mx_where(m, mx_ge(m, x, K(0)), x, mx_mul(m, x, K(a))))
FUNCTION(thresholded_relu, x >= a ? x : 0, mx_where(m, mx_ge(m, x, K(a)), x, K(0)))
FUNCTION(scaled_tanh, a * tanh(b * x), mx_mul(m, mx_tanh(m, mx_mul(m, x, K(b))), K(a)))
FUNCTION(hard_sigmoid, unit_clamp(a * x + b),
         mx_minimum(m, mx_maximum(m, affine_mlx(m, x, a, b), K(0)), K(1)))
FUNCTION(elu, x >= 0 ? x : a * expm1(x),
         mx_where(m, mx_ge(m, x, K(0)), x,
                  mx_mul(m, mx_expm1(m, mx_minimum(m, x, K(0))), K(a))))
FUNCTION(softsign, x / (1 + fabs(x)), mx_div(m, x, mx_add(m, mx_abs(m, x), K(1))))
FUNCTION(softplus, log1p(exp(-fabs(x))) + (x > 0 ? x : 0),
         mx_add(m, mx_maximum(m, x, K(0)),
                mx_log1p(m, elementwise_exp(m, mx_neg(m, mx_abs(m, x))))))

#define ROW(name, onnx, ...) {#name, onnx, __VA_ARGS__, name##_real, name##_mlx}
const rnn_function rnn_functions[] = {
    ROW(sigmoid, "Sigmoid", 0, 0, 0),
    ROW(tanh, "Tanh", 0, 0, 0),
    ROW(relu, "Relu", 0, 0, 0),
    ROW(affine, "Affine", 2, 1, 0),
    ROW(leaky_relu, "LeakyRelu", 1, 0.01, 0),
    ROW(thresholded_relu, "ThresholdedRelu", 1, 1, 0),
    ROW(scaled_tanh, "ScaledTanh", 2, 1, 1),
    ROW(hard_sigmoid, "HardSigmoid", 2, 0.2, 0.5),
    ROW(elu, "Elu", 1, 1, 0),
    ROW(softsign, "Softsign", 0, 0, 0),
    ROW(softplus, "Softplus", 0, 0, 0),
    {NULL, NULL, 0, 0, 0, NULL, NULL},
};
