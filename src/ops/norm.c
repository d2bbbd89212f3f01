/* ops/norm.c: normalisation. */
#include "ops/block.h"

static rlx_status batch_norm_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_rank(c, 0, 2, RLX_MAX_RANK));
  for (size_t i = 1; i < 5; i++) {
    RLX_TRY(infer_same_dtype(c, 0, i));
    RLX_TRY(infer_rank(c, i, 1, 1));
    if (infer_differ(c->in[i].dims[0], c->in[0].dims[1]))
      return infer_fail(c, RLX_ERROR_SHAPE, "operand %zu has %lld elements for %lld channels", i,
                        (long long)c->in[i].dims[0], (long long)c->in[0].dims[1]);
  }
  return infer_same(c);
}

static rlx_status batch_norm_ref(ref_call *c) {
  int64_t outer, channels, inner;
  ref_around(c->in[0], 1, &outer, &channels, &inner);
  for (int64_t i = 0; i < outer * channels * inner; i++) {
    int64_t k = i / inner % channels;
    double root = sqrt(tensor_real(c->in[4], k) + ATTRS(batch_norm)->eps);
    double unit = (tensor_real(c->in[0], i) - tensor_real(c->in[3], k)) / root;
    tensor_set_real(c->out[0], i, unit * tensor_real(c->in[1], k) + tensor_real(c->in[2], k));
  }
  return RLX_OK;
}

/* x a + b with a, b per channel: what remains of it when the statistics are constants. */
static rlx_val batch_norm_expand(expr_call *c) {
  rlx_graph *g = c->b;
  rlx_val eps = expr_scalar(c, ATTRS(batch_norm)->eps);
  rlx_val a = rlx_mul(g, c->in[1], rlx_rsqrt(g, rlx_add(g, c->in[4], eps)));
  rlx_val b = rlx_sub(g, c->in[2], rlx_mul(g, c->in[3], a));
  int64_t axes[RLX_MAX_RANK];
  rlx_unsqueeze_attrs s = rlx_unsqueeze_init();
  s.axes = (rlx_ints){axes, rlx_val_rank(g, c->in[0]) - 2};
  for (size_t i = 0; i < s.axes.n; i++) axes[i] = 1 + (int64_t)i;
  if (s.axes.n) { /* more than rows of channels */
    a = rlx_unsqueeze(g, a, &s);
    b = rlx_unsqueeze(g, b, &s);
  }
  return rlx_add(g, rlx_mul(g, c->in[0], a), b);
}

RLX_BLOCK(batch_norm) = {
    .infer = batch_norm_infer,
    .ref = batch_norm_ref,
    .expand = batch_norm_expand,
    .cases = CASES("f32[2,3,4,5], f32[3], f32[3], f32[3], f32[3]{0.1:3};"
                   "f32[4,3], f32[3], f32[3], f32[3], f32[3]{0.1:3} eps=0.01;"
                   "f64[2,3,4], f64[3], f64[3], f64[3], f64[3]{0.1:3}; f16[2,3,4], f16[3], f16[3], "
                   "f16[3], f16[3]{0.1:3};"
                   "f32[0,3,4], f32[3], f32[3], f32[3], f32[3]{0.1:3};"
                   "f32[2,3,4], f32[4], f32[3], f32[3], f32[3] !shape; f32[3], f32[3], f32[3], "
                   "f32[3], f32[3] !shape;"
                   "f32[2,3], f16[3], f16[3], f16[3], f16[3] !dtype; i32[2,3], i32[3], i32[3], "
                   "i32[3], i32[3] !dtype"),
};

/* --- root mean square */

static rlx_status rms_norm_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_rank(c, 0, 1, RLX_MAX_RANK));
  RLX_TRY(infer_same_dtype(c, 0, 1));
  RLX_TRY(infer_rank(c, 1, 1, 1));
  if (infer_differ(c->in[1].dims[0], c->in[0].dims[c->in[0].rank - 1]))
    return infer_fail(c, RLX_ERROR_SHAPE, "the scale has %lld elements, the last axis %lld",
                      (long long)c->in[1].dims[0],
                      (long long)c->in[0].dims[c->in[0].rank - 1]);
  return infer_same(c);
}

static rlx_status rms_norm_ref(ref_call *c) {
  int64_t rows, width, inner;
  ref_around(c->in[0], c->in[0]->rank - 1, &rows, &width, &inner);
  for (int64_t i = 0; i < rows * width; i += width) {
    double sum = 0;
    for (int64_t k = 0; k < width; k++) {
      const double x = tensor_real(c->in[0], i + k);
      sum += x * x;
    }
    const double root = sqrt(sum / (double)width + ATTRS(rms_norm)->eps);
    for (int64_t k = 0; k < width; k++)
      tensor_set_real(c->out[0], i + k,
                      tensor_real(c->in[0], i + k) / root * tensor_real(c->in[1], k));
  }
  return RLX_OK;
}

static rlx_val rms_norm_expand(expr_call *c) {
  rlx_graph *g = c->b;
  const int64_t last = -1;
  rlx_reduce_mean_attrs mean = rlx_reduce_mean_init();
  mean.axes = (rlx_ints){&last, 1};
  mean.keep = true;
  rlx_val squares = rlx_reduce_mean(g, rlx_square(g, c->in[0]), &mean);
  rlx_val scale = rlx_rsqrt(g, rlx_add(g, squares, expr_scalar(c, ATTRS(rms_norm)->eps)));
  return rlx_mul(g, rlx_mul(g, c->in[0], scale), c->in[1]);
}

RLX_BLOCK(rms_norm) = {
    .infer = rms_norm_infer,
    .ref = rms_norm_ref,
    .expand = rms_norm_expand,
    .cases = CASES("f32[2,3,4], f32[4]; f32[5], f32[5] eps=0.01; f64[2,3], f64[3];"
                   "f16[2,3], f16[3]; bf16[2,8], bf16[8]; f32[0,4], f32[4]; f32[2,0], f32[0];"
                   "f32[2,3], f32[2] !shape;"
                   "f32[2,3], f16[3] !dtype; i32[2,3], i32[3] !dtype; f32[], f32[1] !shape"),
};
