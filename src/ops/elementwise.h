/* ops/elementwise.h: the references of elementwise rows, for operations that fold with them. */
#ifndef OPS_ELEMENTWISE_H
#define OPS_ELEMENTWISE_H

#include "mlx/shim.h"
#include "ops/ref.h"

/* One row of elementwise.def: the element kinds it takes and its reference in each arithmetic (for
 * one operand y is x). */
typedef struct elementwise_row {
  unsigned kinds; /* of KINDS_* */
  bool predicate; /* the result is bool */
  double (*real)(const void *attrs, double x, double y);
  int64_t (*sint)(const void *attrs, int64_t x, int64_t y);
  uint64_t (*uint)(const void *attrs, uint64_t x, uint64_t y);
  double complex (*cplx)(const void *attrs, double complex x, double complex y);
} elementwise_row;

extern const elementwise_row row_add, row_mul, row_maximum, row_minimum;

/* The row on two elements of the same kind, which the result has as well. */
ref_scalar elementwise_apply(const elementwise_row *row, const void *attrs, ref_scalar x,
                             ref_scalar y);

/* On MLX, in f64 too: MLX's own exp, sin, cos, erf and sigmoid have only f32's digits there. */
mx elementwise_exp(mx_ctx *m, mx x);
mx elementwise_sigmoid(mx_ctx *m, mx x);
/* x / y on MLX: integers toward zero, by zero 0. */
mx elementwise_div(mx_ctx *m, mx x, mx y);

#endif
