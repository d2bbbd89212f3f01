/* ops/quant.c: quantised numbers: int_matmul, dynamic_quantize.
 *
 * Laws: products of integers are exact modulo 2^32. A zero point is what stands for 0; quantising
 * rounds half to even, then adds the zero point, then saturates. */
#include <math.h>

#include "ops/block.h"
#include "ops/contract.h"
#include "ops/kernel.h"

/* --- int_matmul */

/* A zero point has one element, or one along each axis but the summed one (counted from the last),
 * or only along some of those. */
static rlx_status zero_infer(ir_infer *c, size_t operand, uint32_t summed) {
  const ir_type *z = operand + 2 < c->n_in ? &c->in[operand + 2] : NULL, *t = &c->in[operand];
  if (!z || z->dtype == RLX_DTYPE_COUNT) return RLX_OK;
  RLX_TRY(infer_same_dtype(c, operand, operand + 2));
  RLX_TRY(infer_rank(c, operand + 2, 0, t->rank));
  for (uint32_t i = 1; i <= z->rank; i++) {
    const rlx_dim d = z->dims[z->rank - i], whole = i == summed ? 1 : t->dims[t->rank - i];
    if (d != 1 && infer_differ(d, whole))
      return infer_fail(c, RLX_ERROR_SHAPE,
                        "axis -%u of the zero point has %lld elements, not %lld", i, (long long)d,
                        (long long)whole);
  }
  return RLX_OK;
}

static rlx_status int_matmul_infer(ir_infer *c) {
  ir_type factors[2] = {c->in[0], c->in[1]};
  for (size_t i = 0; i < 2; i++) {
    RLX_TRY(infer_kinds(c, i, KINDS_INT | KINDS_UINT));
    if (dtype_bytes(factors[i].dtype) > 2)
      return infer_fail(c, RLX_ERROR_DTYPE, "operand %zu is %s, wanted 8 or 16 bits", i,
                        dtype_name(factors[i].dtype));
    factors[i].dtype = RLX_I32;
  }
  ir_infer plain = *c;
  plain.in = factors;
  plain.n_in = 2;
  RLX_TRY(matmul_infer(&plain));
  RLX_TRY(zero_infer(c, 0, 1));
  return zero_infer(c, 1, factors[1].rank > 1 ? 2 : 1);
}

/* Operand i less its zero point, in i64. */
static rlx_status centred(const ref_call *c, size_t i, rlx_tensor **out) {
  const rlx_tensor *t = c->in[i], *zero = ref_operand(c, i + 2);
  int64_t coord[RLX_MAX_RANK] = {0};
  RLX_TRY(rlx_tensor_create(RLX_I64, t->rank, t->dims, out));
  for (int64_t k = 0; k < t->count; k++) {
    const int64_t z = zero ? tensor_int(zero, ref_broadcast_index(zero, t->rank, coord)) : 0;
    tensor_set_int(*out, k, tensor_int(t, k) - z);
    ref_next(t->rank, t->dims, coord);
  }
  return RLX_OK;
}

static rlx_status int_matmul_ref(ref_call *c) {
  rlx_tensor *factors[2] = {NULL, NULL};
  ref_call plain = *c;
  plain.in = factors;
  plain.n_in = 2;
  rlx_status status = centred(c, 0, &factors[0]);
  if (status == RLX_OK) status = centred(c, 1, &factors[1]);
  if (status == RLX_OK) status = matmul_ref(&plain);
  for (size_t i = 0; i < 2; i++) rlx_tensor_free(factors[i]);
  return status;
}

/* The plain product with its sums kept wide: exact in f64 on a CPU, elsewhere in i32. */
static void int_matmul_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0);
  const bool doubles = mx_ctx_device(c->m) == MX_CPU && x->dims[x->rank - 1] < 1 << 20;
  const rlx_dtype dtype = doubles ? RLX_F64 : RLX_I32;
  mx factors[2];
  for (size_t i = 0; i < 2; i++) {
    factors[i] = mx_cast(c->m, c->in[i], dtype);
    if (i + 2 < c->n_in && c->in[i + 2])
      factors[i] = mx_sub(c->m, factors[i], mx_cast(c->m, c->in[i + 2], dtype));
  }
  mx sums = matmul_of(c, dtype, factors[0], factors[1]);
  if (doubles) sums = mx_cast(c->m, sums, RLX_I64); /* those beyond i32 wrap */
  c->out[0] = mx_cast(c->m, sums, RLX_I32);
}

/* How many zero points operand i has where they differ along `axis` (from the last) alone; -1: they
 * differ along others. */
static int64_t zero_count(const ir_type *t, uint32_t axis) {
  if (!t || t->dtype == RLX_DTYPE_COUNT) return 0;
  for (uint32_t i = 1; i <= t->rank; i++)
    if (i != axis && t->dims[t->rank - i] != 1) return -1;
  return t->rank >= axis ? t->dims[t->rank - axis] : 1;
}

static bool int_matmul_covers(const ir_infer *c) {
  const ir_type *x_zero = c->n_in > 2 ? &c->in[2] : NULL, *y_zero = c->n_in > 3 ? &c->in[3] : NULL;
  return c->in[1].rank > 1 && zero_count(x_zero, 2) >= 0 && zero_count(y_zero, 1) >= 0;
}

/* Where the matrices of operand i begin, for each of the batches of the result. */
static const int64_t *matrices(kernel_call *c, size_t i, int64_t batch) {
  const cpu_view *v = &c->in[i], *out = &c->out[0];
  const uint32_t axes = out->rank - (c->in[0].rank > 1) - 1, own = v->rank > 2 ? v->rank - 2 : 0;
  int64_t *at = arena_new(c->mem, (size_t)batch + 1, sizeof *at), coord[RLX_MAX_RANK] = {0};
  for (int64_t b = 0; at && b < batch; b++) {
    for (uint32_t k = 0; k < own; k++)
      if (v->dims[k] != 1) at[b] += coord[axes - own + k] * v->strides[k];
    ref_next(axes, out->dims, coord);
  }
  return at;
}

/* Do all zero points of operand 1 disappear when it is packed? */
static bool zeros_are(const kernel_call *c, int64_t count, rlx_dtype dtype, int32_t value) {
  if (count == 0) return value == 0;
  if (!c->constant[3]) return false;
  rlx_tensor view = {.dtype = dtype, .count = count};
  view.data = (void *)(uintptr_t)c->constant[3];
  for (int64_t i = 0; i < count; i++)
    if (tensor_int(&view, i) != value) return false;
  return true;
}

static rlx_status pack_factor(kernel_call *c, gemm_int *p) {
  gemm_int_source s = {c->constant[1], p->b_type, p->k, p->n, p->bytes, c->threads, NULL};
  if (p->bytes)
    RLX_TRY(kernel_pack(c, 1, "int_matmul plan", gemm_int_plan_bytes(&s), gemm_int_plan, &s,
                        &s.plan));
  return kernel_pack(c, 1, p->bytes ? "int_matmul 8 bits" : "int_matmul 16 bits",
                     gemm_int_pack_bytes(&s), gemm_int_pack, &s, &p->weights);
}

static int64_t count_of(const kernel_call *c, size_t operand, uint32_t axis) {
  if (c->node->n_in <= operand) return 0;
  const ir_type t = {c->in[operand].dtype, c->in[operand].rank, c->in[operand].dims};
  return zero_count(&t, axis);
}

static rlx_status int_matmul_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0], *y = &c->in[1], *out = &c->out[0];
  gemm_int *p = kernel_state(c, sizeof *p);
  if (!p) return status_memory(sizeof *p);
  p->k = x->dims[x->rank - 1];
  p->n = y->dims[y->rank - 1];
  p->m = x->rank > 1 ? x->dims[x->rank - 2] : 1;
  p->batch = ref_product(out->dims, out->rank - (x->rank > 1) - 1u);
  p->a_type = x->dtype;
  p->b_type = y->dtype;
  p->a_zeros = count_of(c, 2, 2);
  p->b_zeros = count_of(c, 3, 1);
  p->b_centred = zeros_are(c, p->b_zeros, y->dtype, gemm_int_centre(y->dtype));
  p->epilogue = c->epilogue;
  p->out_bytes = dtype_bytes(out->dtype);
  if (y->rank == 2 && p->a_zeros < 2) { /* all rows in one */
    p->m *= p->batch;
    p->batch = 1;
  }
  p->a_at = matrices(c, 0, p->batch);
  p->b_at = matrices(c, 1, p->batch);
  if (!p->a_at || !p->b_at) return status_memory((size_t)p->batch * sizeof *p->a_at);
  if (y->rank == 2 && c->constant[1]) {
    p->bytes = gemm_int_bytes(x->dtype, y->dtype, p->k);
    RLX_TRY(pack_factor(c, p));
  }
  gemm_int_prepare(p, c->threads, &c->scratch);
  c->run = gemm_int_run;
  c->name = p->bytes ? "integers, 8 bits" : "integers, 16 bits";
  c->state = p;
  return RLX_OK;
}

static const ir_kernel int_matmul_kernel = {
    .covers = int_matmul_covers,
    .prepare = int_matmul_prepare,
    .epilogue = true,
};

RLX_BLOCK(int_matmul) = {
    .infer = int_matmul_infer,
    .ref = int_matmul_ref,
    .lower = int_matmul_lower,
    .kernel = &int_matmul_kernel,
    .no_grad = "integers",
    .cases = CASES("i8[3,9]{-128:128}, i8[9,4]{-128:128}; u8[3,9]{0:256}, u8[9,4]{0:256};"
                   "u8[3,9]{0:256}, i8[9,40]{-128:128}; i8[5,8]{-128:128}, u8[8,3]{0:256};"
                   "i16[2,50]{-32768:32768}, i16[50,2]{-32768:32768}; u16[5], u16[5,2];"
                   "i16[2,3,5]{-255:256}, i16[5]{-255:256}; i8[4,2,3], i8[4,3,2]; i8[2,0], i8[0,3];"
                   "u16[2,5]{0:65536}, i8[5,3]{-128:128}; i8[2,1,2,3], u8[3,3,2]; i8[0,2], i8[2,3];"
                   "u8[3,9]{0:256}, i8[9,4]{-128:128}, u8[]{0:256};"
                   "u8[2,3,8]{0:256}, i8[8,4]{-128:128}, u8[3,1]{0:256}, i8[4]{-128:128};"
                   "i8[3,9]{-128:128}, u8[9,4]{0:256}, i8[1], u8[1,4]{0:256};"
                   "u8[3,9]{0:256}, u8[9,4]{0:256}, _, u8[]{0:256};"
                   "u8[2,3,4]{0:256}, i8[2,4,3]{-128:128}, u8[2,3,1]{0:256}, i8[2,1,3];"
                   "u16[3,4]{0:65536}, i16[4,3]{-9:9}, u16[]{0:65536}, i16[3]{-32768:32768};"
                   "u8[4]{0:256}, i8[4]{-128:128}, u8[1]{0:256}, i8[];"
                   "i32[2,2], i32[2,2] !dtype; f32[2,2], f32[2,2] !dtype; i8[2,3], i8[4,2] !shape;"
                   "u8[2,3], i8[3,2], i8[] !dtype; u8[2,3], i8[3,2], u8[3] !shape;"
                   "u8[2,3], i8[3,2], u8[], i8[3,1] !shape; u8[2,3], i8[3,2], u8[1,1,1] !shape"),
};

/* --- dynamic_quantize */

static rlx_status dynamic_quantize_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  if (c->in[0].dtype != RLX_F32)
    return infer_fail(c, RLX_ERROR_DTYPE, "operand 0 is %s, wanted f32",
                      dtype_name(c->in[0].dtype));
  c->out[0] = (ir_type){RLX_U8, c->in[0].rank, c->in[0].dims};
  c->out[1] = (ir_type){.dtype = RLX_F32};
  c->out[2] = (ir_type){.dtype = RLX_U8};
  return RLX_OK;
}

/* NaN is 0. */
static float saturated(float v) { return v > 0 ? (v < 255 ? v : 255) : 0; }

static rlx_status dynamic_quantize_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0];
  float low = 0, high = 0;
  for (int64_t i = 0; i < x->count; i++) {
    const float v = (float)tensor_real(x, i);
    if (v < low || isnan(v)) low = v;
    if (v > high || isnan(v)) high = v;
    if (isnan(v)) break;
  }
  float scale = (high - low) / 255;
  if (scale == 0) scale = 1;
  const float zero = saturated(nearbyintf(-(low / scale)));
  for (int64_t i = 0; i < x->count; i++) {
    const float q = nearbyintf((float)tensor_real(x, i) / scale) + zero;
    tensor_set_int(c->out[0], i, (int64_t)saturated(q));
  }
  tensor_set_real(c->out[1], 0, scale);
  tensor_set_int(c->out[2], 0, (int64_t)zero);
  return RLX_OK;
}

static rlx_val to_u8(rlx_graph *g, rlx_val v) {
  rlx_clamp_attrs limits = rlx_clamp_init();
  limits.min = 0;
  limits.max = 255;
  return expr_cast(g, rlx_clamp(g, v, &limits), RLX_U8);
}

static rlx_val dynamic_quantize_expand(expr_call *c) {
  rlx_graph *g = c->b;
  const rlx_val x = c->in[0], nothing = expr_scalar(c, 0);
  const rlx_val low = rlx_minimum(g, rlx_reduce_min(g, x, NULL), nothing);
  const rlx_val high = rlx_maximum(g, rlx_reduce_max(g, x, NULL), nothing);
  rlx_val scale = rlx_div(g, rlx_sub(g, high, low), expr_scalar(c, 255));
  /* all of x is 0: any scale will do */
  scale = rlx_where(g, rlx_eq(g, scale, nothing), expr_scalar(c, 1), scale);
  const rlx_val zero = to_u8(g, rlx_round(g, rlx_neg(g, rlx_div(g, low, scale))));
  const rlx_val units = rlx_round(g, rlx_div(g, x, scale));
  const rlx_val q = to_u8(g, rlx_add(g, units, expr_cast(g, zero, RLX_F32)));
  return graph_alias(g, (rlx_val[]){q, scale, zero}, 3);
}

static rlx_status dynamic_quantize_prepare(kernel_call *c) {
  quantize_dynamic *p = kernel_state(c, sizeof *p);
  if (!p) return status_memory(sizeof *p);
  p->n = view_count(&c->in[0]);
  quantize_dynamic_prepare(p, c->threads, &c->scratch);
  c->run = quantize_dynamic_run;
  c->name = "quantisation";
  c->state = p;
  return RLX_OK;
}

static const ir_kernel dynamic_quantize_kernel = {.prepare = dynamic_quantize_prepare};

RLX_BLOCK(dynamic_quantize) = {
    .infer = dynamic_quantize_infer,
    .ref = dynamic_quantize_ref,
    .expand = dynamic_quantize_expand,
    .kernel = &dynamic_quantize_kernel,
    .no_grad = "rounding",
    .onnx = "DynamicQuantizeLinear-11",
    .cases = CASES("f32[3,4]; f32[7,50]{-3:9}; f32[40]{1:2}; f32[40]{-2:-1}; f32[3]{0,0,0}; f32[];"
                   "f32[2,70]{0:255}; f32[3]{nan,1,2}; f32[3]{-inf,1,2}; f32[3]{-1,inf,2};"
                   "f32[9000,4]{-1:2}; f64[3] !dtype; i32[3] !dtype"),
};
