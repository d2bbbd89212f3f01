/* ops/linalg.c: linear algebra: determinants. */
#include <math.h>

#include "ops/block.h"

static rlx_status det_infer(ir_infer *c) {
  const ir_type *x = &c->in[0];
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_rank(c, 0, 2, RLX_MAX_RANK));
  if (infer_differ(x->dims[x->rank - 1], x->dims[x->rank - 2]))
    return infer_fail(c, RLX_ERROR_SHAPE, "wanted square matrices");
  c->out[0] = (ir_type){x->dtype, x->rank - 2, x->dims};
  return RLX_OK;
}

/* Eliminates below the largest element of each column; the product of the diagonal that stays. */
static double eliminate(double *a, int64_t n) {
  double det = 1;
  for (int64_t k = 0; k < n; k++) {
    int64_t top = k;
    for (int64_t i = k + 1; i < n; i++)
      if (fabs(a[i * n + k]) > fabs(a[top * n + k])) top = i;
    if (top != k) det = -det;
    for (int64_t j = k; j < n; j++) {
      const double v = a[top * n + j];
      a[top * n + j] = a[k * n + j];
      a[k * n + j] = v;
    }
    det *= a[k * n + k];
    if (det == 0) return 0;
    for (int64_t i = k + 1; i < n; i++) {
      const double factor = a[i * n + k] / a[k * n + k];
      for (int64_t j = k; j < n; j++) a[i * n + j] -= factor * a[k * n + j];
    }
  }
  return det;
}

static rlx_status det_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0];
  const int64_t n = x->dims[x->rank - 1], size = n * n;
  double *a = mem_new((size_t)size + 1, sizeof *a);
  if (!a) return status_memory((size_t)size * sizeof *a);
  for (int64_t i = 0; i < c->out[0]->count; i++) {
    for (int64_t k = 0; k < size; k++) a[k] = tensor_real(x, i * size + k);
    tensor_set_real(c->out[0], i, eliminate(a, n));
  }
  mem_free(a);
  return RLX_OK;
}

RLX_BLOCK(det) = {
    .infer = det_infer,
    .ref = det_ref,
    .no_lower = "MLX factors matrices on CPUs only",
    .no_grad = NO_GRAD_YET,
    .onnx = "Det-11",
    .cases = CASES("f32[3,3]; f32[2,4,5,5]; f64[6,6]; f16[2,2]; f32[1,1]; f32[3,0,0]; f32[0,2,2];"
                   "f32[3,3]{0,1,2,0,3,4,0,5,6}; f32[2,2]{0,1,1,0}; f32[2,3] !shape;"
                   "f32[3] !shape; i32[2,2] !dtype"),
};
