/* ops/norm.c: normalisation. */
#include "ops/norm.h"

#include <math.h>

#include "ops/block.h"
#include "ops/kernel.h"

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

void norm_affine(rlx_graph *g, const rlx_val *in, double eps, rlx_val *a, rlx_val *b) {
  rlx_val root = rlx_add(g, in[3], rlx_scalar(g, rlx_val_dtype(g, in[3]), eps));
  *a = rlx_mul(g, in[0], rlx_rsqrt(g, root));
  *b = rlx_sub(g, in[1], rlx_mul(g, in[2], *a));
}

/* x a + b with a, b per channel: what remains of it when the statistics are constants. */
static rlx_val batch_norm_expand(expr_call *c) {
  rlx_graph *g = c->b;
  rlx_val a, b;
  norm_affine(g, c->in + 1, ATTRS(batch_norm)->eps, &a, &b);
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

/* --- over the last axis: rms_norm, and layer_norm, which takes the mean away first */

static rlx_status rows_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_rank(c, 0, 1, RLX_MAX_RANK));
  const rlx_dim width = c->in[0].dims[c->in[0].rank - 1];
  for (size_t i = 1; i < c->n_in; i++) {
    if (!c->val[i].id) continue;
    RLX_TRY(infer_same_dtype(c, 0, i));
    RLX_TRY(infer_rank(c, i, 1, 1));
    if (infer_differ(c->in[i].dims[0], width))
      return infer_fail(c, RLX_ERROR_SHAPE, "operand %zu has %lld elements, the last axis %lld", i,
                        (long long)c->in[i].dims[0], (long long)width);
  }
  return infer_same(c);
}

static double mean_of(const rlx_tensor *x, int64_t first, int64_t n, double centre, double power) {
  double sum = 0;
  for (int64_t k = 0; k < n; k++) sum += pow(tensor_real(x, first + k) - centre, power);
  return sum / (double)n;
}

static void rows_ref(ref_call *c, bool centred, double eps) {
  const rlx_tensor *x = c->in[0], *scale = ref_operand(c, 1), *bias = ref_operand(c, 2);
  int64_t rows, width, inner;
  ref_around(x, x->rank - 1, &rows, &width, &inner);
  for (int64_t i = 0; i < rows * width; i += width) {
    const double centre = centred ? mean_of(x, i, width, 0, 1) : 0;
    const double root = sqrt(mean_of(x, i, width, centre, 2) + eps);
    for (int64_t k = 0; k < width; k++) {
      const double unit = (tensor_real(x, i + k) - centre) / root;
      tensor_set_real(c->out[0], i + k, unit * (scale ? tensor_real(scale, k) : 1) +
                                            (bias ? tensor_real(bias, k) : 0));
    }
  }
}

static rlx_val mean_expand(rlx_graph *g, rlx_val x) {
  const int64_t last = -1;
  rlx_reduce_mean_attrs a = rlx_reduce_mean_init();
  a.axes = (rlx_ints){&last, 1};
  a.keep = true;
  return rlx_reduce_mean(g, x, &a);
}

static rlx_val rows_expand(expr_call *c, bool centred, double eps) {
  rlx_graph *g = c->b;
  rlx_val x = c->in[0];
  if (centred) x = rlx_sub(g, x, mean_expand(g, x));
  rlx_val variance = mean_expand(g, rlx_square(g, x));
  x = rlx_mul(g, x, rlx_rsqrt(g, rlx_add(g, variance, expr_scalar(c, eps))));
  if (c->n_in > 1 && c->in[1].id) x = rlx_mul(g, x, c->in[1]);
  return c->n_in > 2 && c->in[2].id ? rlx_add(g, x, c->in[2]) : x;
}

/* What MLX's own norms come to on a CPU, but f64 stays f64. */
static void rows_lower(lower_call *c, bool centred, double eps) {
  mx_ctx *m = c->m;
  const rlx_dtype dtype = lower_out_type(c, 0)->dtype, wide = dtype == RLX_F64 ? dtype : RLX_F32;
  const int last = (int)lower_out_type(c, 0)->rank - 1;
  mx x = mx_cast(m, c->in[0], wide);
  if (centred) x = mx_sub(m, x, mx_reduce_mean(m, x, &last, 1, true));
  mx variance = mx_reduce_mean(m, mx_square(m, x), &last, 1, true);
  x = mx_mul(m, x, mx_rsqrt(m, mx_add(m, variance, mx_scalar(m, wide, eps))));
  if (c->n_in > 1 && c->in[1]) x = mx_mul(m, x, mx_cast(m, c->in[1], wide));
  if (c->n_in > 2 && c->in[2]) x = mx_add(m, x, mx_cast(m, c->in[2], wide));
  c->out[0] = mx_cast(m, x, dtype);
}

static rlx_status rows_norm_prepare(kernel_call *c, bool centred, double eps, const char *name) {
  const ir_node *n = c->node;
  norm_spec spec = {.x = &c->in[0], .y = &c->out[0], .centred = centred, .eps = eps};
  spec.dtype = c->in[0].dtype;
  spec.scale = n->n_in > 1 && n->in[1].id;
  spec.bias = n->n_in > 2 && n->in[2].id;
  spec.epilogue = c->epilogue;
  c->run = norm_run;
  c->name = name;
  return norm_prepare(&spec, c->threads, c->mem, &c->state, &c->scratch);
}

static bool has_fast(const lower_call *c) {
  return mx_ctx_device(c->m) == MX_GPU && lower_out_type(c, 0)->dtype != RLX_F64;
}

static rlx_status rms_norm_ref(ref_call *c) {
  rows_ref(c, false, ATTRS(rms_norm)->eps);
  return RLX_OK;
}
static rlx_val rms_norm_expand(expr_call *c) { return rows_expand(c, false, ATTRS(rms_norm)->eps); }
static void rms_norm_lower(lower_call *c) {
  const double eps = ATTRS(rms_norm)->eps;
  if (!has_fast(c)) rows_lower(c, false, eps);
  else c->out[0] = mx_rms_norm(c->m, c->in[0], c->n_in > 1 ? c->in[1] : NULL, eps);
}

static rlx_status rms_norm_prepare(kernel_call *c) {
  return rows_norm_prepare(c, false, ATTRS(rms_norm)->eps, "rms_norm");
}
static const ir_kernel rms_norm_kernel = {NULL, rms_norm_prepare, {ORDER_UNIT, ORDER_ROWS},
                                          ORDER_ROWS, true};

RLX_BLOCK(rms_norm) = {
    .infer = rows_infer,
    .ref = rms_norm_ref,
    .expand = rms_norm_expand,
    .lower = rms_norm_lower,
    .kernel = &rms_norm_kernel,
    .fast = "rms_norm",
    .cases = CASES("f32[2,3,4], f32[4]; f32[5], f32[5] eps=0.01; f64[2,3], f64[3]; f32[2,3,4];"
                   "f16[2,3], f16[3]; bf16[2,8], bf16[8]; f32[0,4], f32[4]; f32[2,0], f32[0];"
                   "f32[2,3], f32[2] !shape;"
                   "f32[2,3], f16[3] !dtype; i32[2,3], i32[3] !dtype; f32[], f32[1] !shape"),
};

static rlx_status layer_norm_ref(ref_call *c) {
  rows_ref(c, true, ATTRS(layer_norm)->eps);
  return RLX_OK;
}
static rlx_val layer_norm_expand(expr_call *c) {
  return rows_expand(c, true, ATTRS(layer_norm)->eps);
}
static void layer_norm_lower(lower_call *c) {
  const double eps = ATTRS(layer_norm)->eps;
  mx scale = c->n_in > 1 ? c->in[1] : NULL, bias = c->n_in > 2 ? c->in[2] : NULL;
  if (!has_fast(c)) rows_lower(c, true, eps);
  else c->out[0] = mx_layer_norm(c->m, c->in[0], scale, bias, eps);
}

static rlx_status layer_norm_prepare(kernel_call *c) {
  return rows_norm_prepare(c, true, ATTRS(layer_norm)->eps, "layer_norm");
}
static const ir_kernel layer_norm_kernel = {NULL, layer_norm_prepare, {ORDER_UNIT, ORDER_ROWS},
                                          ORDER_ROWS, true};

RLX_BLOCK(layer_norm) = {
    .infer = rows_infer,
    .ref = layer_norm_ref,
    .expand = layer_norm_expand,
    .lower = layer_norm_lower,
    .kernel = &layer_norm_kernel,
    .fast = "layer_norm",
    .cases = CASES("f32[2,3,4], f32[4], f32[4]; f32[5], f32[5] eps=0.01; f32[2,3,4]; f32[3,4], _, "
                   "f32[4]; f64[2,3], f64[3], f64[3]; f16[2,3], f16[3], f16[3]; bf16[2,8], bf16[8];"
                   "f32[0,4], f32[4], f32[4]; f32[2,0], f32[0]; f32[2,3], f32[2] !shape;"
                   "f32[2,3], f32[3], f32[1,3] !shape; f32[2,3], f32[3], f16[3] !dtype;"
                   "i32[2,3] !dtype; f32[] !shape"),
};
