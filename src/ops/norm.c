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
    .no_grad = "its driver comes first",
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
