/* ops/attention.c: softmax(scale q k^T + mask) v, heads in groups.
 *
 * q [B,H,T,D], k [B,K,S,D], v [B,K,S,E], H a multiple of K: head h of q reads head h / (H / K) of
 * the others. The mask broadcasts to [B,H,T,S]: a bool says which keys are seen, a float is added.
 * Laws: query i stands at position i + S - T, so that the last query and the last key stand at one
 * position; the order is scale, cap, mask; a row that sees no key is zero, not NaN. */
#include <math.h>

#include "ops/attention.h"
#include "ops/block.h"
#include "ops/kernel.h"

/* --- checks */

static rlx_status check_sizes(ir_infer *c) {
  static const struct {
    uint8_t x, x_axis, y, y_axis; /* axes of operands that are equal */
  } equal[] = {{0, 0, 1, 0}, {0, 0, 2, 0}, {0, 3, 1, 3}, {1, 1, 2, 1}, {1, 2, 2, 2}};
  for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
    const rlx_dim x = c->in[equal[i].x].dims[equal[i].x_axis];
    const rlx_dim y = c->in[equal[i].y].dims[equal[i].y_axis];
    if (infer_differ(x, y))
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %u of operand %u is %lld, of operand %u %lld",
                        equal[i].x_axis, equal[i].x, (long long)x, equal[i].y, (long long)y);
  }
  const rlx_dim heads = c->in[0].dims[1], groups = c->in[1].dims[1];
  if (heads != groups && dim_known(heads) && dim_known(groups) && (!groups || heads % groups))
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld heads of q for %lld of k", (long long)heads,
                      (long long)groups);
  return RLX_OK;
}

static rlx_status check_mask(ir_infer *c) {
  const ir_type *mask = &c->in[3];
  const rlx_dim scores[4] = {c->in[0].dims[0], c->in[0].dims[1], c->in[0].dims[2],
                             c->in[1].dims[2]};
  if (mask->dtype != RLX_BOOL) RLX_TRY(infer_same_dtype(c, 0, 3));
  RLX_TRY(infer_rank(c, 3, 0, 4));
  for (uint32_t i = 0; i < mask->rank; i++) {
    const rlx_dim have = mask->dims[i], want = scores[4 - mask->rank + i];
    if (have != 1 && infer_differ(have, want))
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %u of the mask is %lld, wanted 1 or %lld", i,
                        (long long)have, (long long)want);
  }
  return RLX_OK;
}

static rlx_status attention_infer(ir_infer *c) {
  const rlx_attention_attrs *a = c->attrs;
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  for (size_t i = 0; i < 3; i++) {
    RLX_TRY(infer_same_dtype(c, 0, i));
    RLX_TRY(infer_rank(c, i, 4, 4));
  }
  RLX_TRY(check_sizes(c));
  if (c->n_in > 3) RLX_TRY(check_mask(c));
  if (a->window < 0 || !(a->softcap >= 0))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "window and softcap must not be negative");
  rlx_dim *dims;
  RLX_TRY(infer_result(c, c->in[0].dtype, 4, &dims));
  for (size_t i = 0; i < 3; i++) dims[i] = c->in[0].dims[i];
  dims[3] = c->in[2].dims[3];
  return RLX_OK;
}

static double scale_of(const rlx_attention_attrs *a, int64_t width) {
  return a->scale != 0 || width == 0 ? a->scale : 1 / sqrt((double)width);
}

/* --- reference */

/* Is the key within what causal and window let a query see, which is `ahead` positions after it? */
static bool in_sight(const rlx_attention_attrs *a, int64_t ahead) {
  if (a->causal && ahead < 0) return false;
  return a->window == 0 || (ahead < a->window && ahead > -a->window);
}

/* The masked score of query coord[2] and key coord[3]; -infinity: it is not seen. */
static double score(const ref_call *c, const int64_t *coord, int64_t q_row, int64_t k_row) {
  const rlx_attention_attrs *a = c->attrs;
  const rlx_tensor *mask = ref_operand(c, 3);
  const int64_t width = c->in[0]->dims[3];
  if (!in_sight(a, coord[2] + c->in[1]->dims[2] - c->in[0]->dims[2] - coord[3])) return -INFINITY;
  double sum = 0;
  for (int64_t i = 0; i < width; i++)
    sum += tensor_real(c->in[0], q_row * width + i) * tensor_real(c->in[1], k_row * width + i);
  sum *= scale_of(a, width);
  if (a->softcap > 0) sum = a->softcap * tanh(sum / a->softcap);
  if (!mask) return sum;
  const double m = tensor_real(mask, ref_broadcast_index(mask, 4, coord));
  return mask->dtype != RLX_BOOL ? sum + m : m != 0 ? sum : -INFINITY;
}

/* Scores become probabilities; all zero if no key is seen. */
static void normalise(double *p, int64_t n) {
  double max = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; i++) max = p[i] > max || isnan(p[i]) ? p[i] : max;
  for (int64_t i = 0; i < n; i++) sum += p[i] = max == -INFINITY ? 0 : exp(p[i] - max);
  for (int64_t i = 0; i < n && sum != 0; i++) p[i] /= sum;
}

static rlx_status attention_ref(ref_call *c) {
  const rlx_tensor *q = c->in[0], *v = c->in[2];
  const int64_t keys = v->dims[2], width = v->dims[3];
  const int64_t share = v->dims[1] ? q->dims[1] / v->dims[1] : 1;
  int64_t coord[4] = {0};
  double *p = mem_new((size_t)keys + 1, sizeof *p);
  if (!p) return status_memory((size_t)keys * sizeof *p);
  for (int64_t row = 0; row < ref_product(q->dims, 3); row++) {
    const int64_t first = (coord[0] * v->dims[1] + coord[1] / share) * keys;
    for (coord[3] = 0; coord[3] < keys; coord[3]++)
      p[coord[3]] = score(c, coord, row, first + coord[3]);
    normalise(p, keys);
    for (int64_t i = 0; i < width; i++) {
      double sum = 0;
      for (int64_t k = 0; k < keys; k++) sum += p[k] * tensor_real(v, (first + k) * width + i);
      tensor_set_real(c->out[0], row * width + i, sum);
    }
    ref_next(3, q->dims, coord);
  }
  mem_free(p);
  return RLX_OK;
}

/* --- onto MLX: its fused attention, which on a CPU it composes itself */

static bool attention_lowers(const ir_infer *c) {
  return ATTRS(attention)->softcap == 0 && c->in[0].dtype != RLX_F64;
}

/* bool [T,S]: the keys that causal and window let each query see. */
static mx sight(lower_call *c, int64_t queries, int64_t keys) {
  const rlx_attention_attrs *a = c->attrs;
  const mx key = mx_arange(c->m, 0, 1, keys, RLX_I32);
  mx at = mx_arange(c->m, (double)(keys - queries), 1, queries, RLX_I32);
  at = mx_reshape(c->m, at, 2, (const int64_t[]){queries, 1});
  mx seen = a->causal ? mx_le(c->m, key, at) : NULL;
  if (!a->window) return seen;
  const mx near = mx_lt(c->m, mx_abs(c->m, mx_sub(c->m, at, key)),
                        mx_scalar(c->m, RLX_I32, fmin((double)a->window, INT32_MAX)));
  return seen ? mx_logical_and(c->m, seen, near) : near;
}

/* The operand's mask and the sight in one, with four axes. */
static mx whole_mask(lower_call *c, int64_t queries, int64_t keys) {
  const rlx_attention_attrs *a = c->attrs;
  mx mask = NULL;
  if (c->n_in > 3) {
    const ir_type *t = lower_in_type(c, 3);
    int64_t dims[4] = {1, 1, 1, 1};
    for (uint32_t i = 0; i < t->rank; i++) dims[4 - t->rank + i] = t->dims[i];
    mask = mx_reshape(c->m, c->in[3], 4, dims);
  }
  if (!a->causal && !a->window) return mask;
  const mx seen =
      mx_reshape(c->m, sight(c, queries, keys), 4, (const int64_t[]){1, 1, queries, keys});
  if (c->n_in <= 3) return seen;
  const rlx_dtype dtype = lower_in_type(c, 3)->dtype;
  return dtype == RLX_BOOL ? mx_logical_and(c->m, seen, mask)
                           : mx_where(c->m, seen, mask, mx_scalar(c->m, dtype, -INFINITY));
}

static void attention_lower(lower_call *c) {
  const rlx_attention_attrs *a = c->attrs;
  const ir_type *q = lower_in_type(c, 0);
  const int64_t queries = q->dims[2], keys = lower_in_type(c, 1)->dims[2];
  const bool causal = a->causal && !a->window && c->n_in <= 3 && queries <= keys;
  /* a CPU has fast products in f32 only */
  const bool widens = dtype_bytes(q->dtype) == 2 && mx_ctx_device(c->m) == MX_CPU;
  const rlx_dtype wide = widens ? RLX_F32 : q->dtype;
  if (keys == 0) {
    c->out[0] = lower_zeros(c);
    return;
  }
  mx mask = causal ? NULL : whole_mask(c, queries, keys), in[3];
  if (mask && mx_dtype(mask) != RLX_BOOL) mask = mx_cast(c->m, mask, wide);
  for (size_t i = 0; i < 3; i++) in[i] = mx_cast(c->m, c->in[i], wide);
  mx out = mx_attention(c->m, in[0], in[1], in[2], scale_of(a, q->dims[3]), causal, mask);
  if (mask) { /* what MLX makes of rows that see nothing differs by device and mask */
    const int last = 3;
    if (mx_dtype(mask) != RLX_BOOL) mask = mx_gt(c->m, mask, mx_scalar(c->m, wide, -INFINITY));
    mask = mx_reduce_any(c->m, mask, &last, 1, true);
    out = mx_where(c->m, mask, out, mx_scalar(c->m, wide, 0));
  }
  c->out[0] = mx_cast(c->m, out, q->dtype);
}

/* --- composed: for what MLX has no kernel, and for gradients */

/* 0, 1 .. n - 1 from the end to the start: how far each of n places is from the last. */
static rlx_val places(rlx_graph *g, rlx_dim n, size_t n_after) {
  const int64_t axes[] = {1};
  rlx_range_attrs a = rlx_range_init();
  a.count = (rlx_ints){&n, 1};
  rlx_unsqueeze_attrs u = rlx_unsqueeze_init();
  u.axes = (rlx_ints){axes, n_after};
  const rlx_val v = rlx_reverse(g, rlx_range(g, &a), NULL);
  return n_after ? rlx_unsqueeze(g, v, &u) : v;
}

/* bool [T,S], or nil: everything is in sight. */
static rlx_val sight_expand(expr_call *c) {
  const rlx_attention_attrs *a = c->attrs;
  rlx_graph *g = c->b;
  if (!a->causal && !a->window) return RLX_NIL;
  const rlx_val query = places(g, rlx_val_dim(g, c->in[0], 2), 1);
  const rlx_val key = places(g, rlx_val_dim(g, c->in[1], 2), 0);
  const rlx_val seen = rlx_ge(g, key, query);
  if (!a->window) return seen;
  const rlx_val near =
      rlx_lt(g, rlx_abs(g, rlx_sub(g, key, query)), rlx_scalar(g, RLX_I64, (double)a->window));
  return a->causal ? rlx_bit_and(g, seen, near) : near;
}

/* Each head of k or v as many times as q has heads for it. */
static rlx_val shared(expr_call *c, rlx_val v) {
  rlx_graph *g = c->b;
  const rlx_dim heads = rlx_val_dim(g, c->in[0], 1);
  rlx_dim d[4], wide[5];
  for (size_t i = 0; i < 4; i++) d[i] = rlx_val_dim(g, v, i);
  if (heads == d[1]) return v;
  const int64_t axis = 2;
  rlx_unsqueeze_attrs u = rlx_unsqueeze_init();
  u.axes = (rlx_ints){&axis, 1};
  rlx_expand_attrs e = rlx_expand_init();
  e.dims = (rlx_ints){wide, 5};
  wide[0] = d[0], wide[1] = d[1], wide[3] = d[2], wide[4] = d[3];
  wide[2] = rlx_dim_combine(g, RLX_DIM_FLOORDIV, heads, d[1]);
  d[1] = heads;
  return expr_reshape(g, rlx_expand(g, rlx_unsqueeze(g, v, &u), &e), d, 4);
}

static rlx_val scale_expand(expr_call *c) {
  const rlx_attention_attrs *a = c->attrs;
  const rlx_dim width = rlx_val_dim(c->b, c->in[0], 3);
  if (a->scale != 0 || rlx_dim_is_known(width)) return expr_scalar(c, scale_of(a, width));
  rlx_shape_of_attrs last = rlx_shape_of_init();
  last.start = 3;
  const rlx_val size = rlx_shape_of(c->b, c->in[0], &last);
  return rlx_rsqrt(c->b, expr_cast(c->b, size, rlx_val_dtype(c->b, c->in[0])));
}

static rlx_val scores_expand(expr_call *c) {
  static const int64_t swap[] = {0, 1, 3, 2};
  rlx_transpose_attrs t = rlx_transpose_init();
  t.perm = (rlx_ints){swap, 4};
  const rlx_val q = rlx_mul(c->b, c->in[0], scale_expand(c));
  return rlx_matmul(c->b, q, rlx_transpose(c->b, shared(c, c->in[1]), &t));
}

rlx_val attention_until(expr_call *c, attention_step step) {
  rlx_graph *g = c->b;
  const double cap = ((const rlx_attention_attrs *)c->attrs)->softcap;
  const rlx_val mask = c->n_in > 3 ? c->in[3] : RLX_NIL;
  rlx_val s = scores_expand(c);
  if (step == ATTENTION_SCORES) return s;
  if (cap > 0) {
    const rlx_val bound = expr_scalar(c, cap);
    s = rlx_mul(g, rlx_tanh(g, rlx_div(g, s, bound)), bound);
  }
  if (step == ATTENTION_CAPPED) return s;
  rlx_val seen = sight_expand(c);
  if (mask.id && rlx_val_dtype(g, mask) != RLX_BOOL) s = rlx_add(g, s, mask);
  else if (mask.id) seen = seen.id ? rlx_bit_and(g, seen, mask) : mask;
  const rlx_val none = expr_scalar(c, -INFINITY), zero = expr_scalar(c, 0);
  if (seen.id) s = rlx_where(g, seen, s, none);
  if (step == ATTENTION_MASKED) return s;
  if (!mask.id && !seen.id) return rlx_softmax(g, s, NULL);
  const int64_t last = -1;
  rlx_reduce_max_attrs a = rlx_reduce_max_init();
  a.axes = (rlx_ints){&last, 1};
  a.keep = true;
  const rlx_val blind = rlx_eq(g, rlx_reduce_max(g, s, &a), none);
  return rlx_where(g, blind, zero, rlx_softmax(g, rlx_where(g, blind, zero, s), NULL));
}

static rlx_val attention_expand(expr_call *c) {
  return rlx_matmul(c->b, attention_until(c, ATTENTION_WEIGHTS), shared(c, c->in[2]));
}

/* --- on a CPU */

static bool kernel_takes(const ir_infer *c) {
  const rlx_dtype dtype = c->in[0].dtype;
  return dtype == RLX_F32 || dtype == RLX_F16 || dtype == RLX_BF16;
}

/* The strides of four axes, those that a mask lacks or stretches being 0. */
static void four_strides(const cpu_view *v, int64_t *out) {
  for (uint32_t i = 0; i < v->rank; i++)
    out[4 - v->rank + i] = v->dims[i] == 1 ? 0 : v->strides[i];
}

static rlx_status attention_prepare(kernel_call *c) {
  const rlx_attention_attrs *attrs = ATTRS(attention);
  const cpu_view *q = &c->in[0], *k = &c->in[1], *v = &c->in[2];
  const bool masked = c->n_in > 3 && c->in[3].dtype != RLX_DTYPE_COUNT;
  attention *a = kernel_state(c, sizeof *a);
  if (!a) return status_memory(sizeof *a);
  *a = (attention){.dtype = q->dtype,
                   .mask_dtype = masked ? c->in[3].dtype : RLX_DTYPE_COUNT,
                   .batch = q->dims[0],
                   .heads = k->dims[1],
                   .group = q->dims[1] / k->dims[1],
                   .queries = q->dims[2],
                   .keys = k->dims[2],
                   .width = q->dims[3],
                   .values = v->dims[3],
                   .scale = (float)scale_of(attrs, q->dims[3]),
                   .softcap = (float)attrs->softcap,
                   .causal = attrs->causal,
                   .window = attrs->window};
  four_strides(q, a->q);
  four_strides(k, a->k);
  four_strides(v, a->v);
  four_strides(&c->out[0], a->out);
  if (masked) four_strides(&c->in[3], a->mask);
  c->scratch = attention_plan(a, c->threads);
  c->state = a;
  c->run = attention_run;
  c->name = "attention";
  return RLX_OK;
}

static const ir_kernel attention_kernel = {
    kernel_takes, attention_prepare, {ORDER_ANY, ORDER_ANY, ORDER_ANY, ORDER_ANY}, ORDER_ANY, false};

RLX_BLOCK(attention) = {
    .infer = attention_infer,
    .ref = attention_ref,
    .lowers = attention_lowers,
    .lower = attention_lower,
    .kernel = &attention_kernel,
    .fast = "scaled_dot_product_attention",
    .expand = attention_expand,
    .cases = CASES(
        "f32[2,3,4,8], f32[2,3,5,8], f32[2,3,5,6]; f32[1,4,3,8], f32[1,2,5,8], f32[1,2,5,8];"
        "f32[2,3,4,8], f32[2,1,5,8], f32[2,1,5,8], f32[4,5] scale=0.5;"
        "f32[2,3,4,8], f32[2,3,5,8], f32[2,3,5,8], bool[2,1,1,5];"
        "f32[2,3,4,8], f32[2,3,5,8], f32[2,3,5,8], bool[2,3,4,5] causal=true;"
        "f32[2,3,4,8], f32[2,3,5,8], f32[2,3,5,8], f32[5] window=2;"
        "f32[1,2,4,8], f32[1,2,4,8], f32[1,2,4,8] causal=true; f32[1,2,2,8], f32[1,2,5,8], "
        "f32[1,2,5,8] causal=true; f32[1,2,5,8], f32[1,2,2,8], f32[1,2,2,8] causal=true;"
        "f32[1,2,6,4], f32[1,2,6,4], f32[1,2,6,4] causal=true window=3;"
        "f32[1,2,3,4], f32[1,2,6,4], f32[1,2,6,4] window=1;"
        "f32[1,4,3,4], f32[1,2,5,4], f32[1,2,5,4], f32[1,4,3,5] softcap=2 causal=true;"
        "f32[1,2,3,4], f32[1,2,5,4], f32[1,2,5,4], bool[5]{0,0,0,0,0};"
        "f32[1,2,3,4], f32[1,2,2,4], f32[1,2,2,4], f32[3,1]{0,-inf,1};"
        "f32[1,1,2,2]{nan,1,2,3}, f32[1,1,3,2], f32[1,1,3,2];"
        "f32[1,1,2,2], f32[1,1,3,2]{1,nan,2,3,4,5}, f32[1,1,3,2], bool[3]{0,1,1};"
        "f32[2,6,37,20], f32[2,2,301,20], f32[2,2,301,24], f32[37,301] causal=true;"
        "f32[1,4,5,64], f32[1,1,257,64], f32[1,1,257,64], f32[1,4,5,257] causal=true window=200;"
        "f32[1,8,1,37], f32[1,8,141,37], f32[1,8,141,9], bool[141] causal=true window=130;"
        "f32[2,4,1,16], f32[2,2,37,16], f32[2,2,37,16], f32[2,4,1,37] softcap=2;"
        "f32[1,1,2,4], f32[1,1,5,4], f32[1,1,5,4], f32[2,5]{0,-inf,0,1,1,-inf,-inf,-inf,-inf,-inf};"
        "f16[1,4,20,33], f16[1,2,140,33], f16[1,2,140,40], bool[20,140] softcap=3;"
        "f64[1,2,3,4], f64[1,1,5,4], f64[1,1,5,4], bool[] causal=true; f16[1,2,3,4], f16[1,2,5,4], "
        "f16[1,2,5,4] causal=true; bf16[1,2,3,4], bf16[1,2,5,4], bf16[1,2,5,4], bf16[3,5];"
        "f32[2,0,3,4], f32[2,0,5,4], f32[2,0,5,4]; f32[1,2,3,4], f32[1,2,0,4], f32[1,2,0,4];"
        "f32[2,3,4,8], f32[2,2,5,8], f32[2,2,5,8] !shape; f32[2,3,4], f32[2,3,5], f32[2,3,5] "
        "!shape; f32[1,1,4,8], f32[1,1,5,7], f32[1,1,5,8] !shape; f32[1,1,4,8], f32[1,1,5,8], "
        "f32[1,1,4,8] !shape; f32[1,1,4,8], f32[1,1,5,8], f32[1,1,5,8], f32[4] !shape;"
        "f32[1,1,4,8], f32[1,1,5,8], f32[1,1,5,8], i32[5] !dtype; f32[1,1,4,8], f16[1,1,5,8], "
        "f32[1,1,5,8] !dtype; i32[1,1,4,8], i32[1,1,5,8], i32[1,1,5,8] !dtype;"
        "f32[1,1,2,2], f32[1,1,2,2], f32[1,1,2,2] window=-1 !argument;"
        "f32[1,1,2,2], f32[1,1,2,2], f32[1,1,2,2] softcap=-1 !argument"),
};
