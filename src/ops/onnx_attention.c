/* ops/onnx_attention.c: importers of attention and of rotary position embeddings, ONNX's own and
 * those that onnxruntime's optimiser writes (domain com.microsoft).
 *
 * Laws: [B,S,heads D] operands become [B,heads,S,D], results go the other way; what an operator
 * says about visible keys becomes `causal` of our operation where that is the same, or a mask. */
#include <math.h>

#include "ops/attention.h"
#include "ops/onnx.h"

/* --- heads */

static const int64_t swap_heads[] = {0, 2, 1, 3};

/* [B,S,heads D] as [B,heads,S,D]. */
static rlx_status split_heads(const onnx_node *n, int64_t heads, rlx_val *v) {
  const rlx_ints d = onnx_dims(n, *v);
  if (d.n != 3 || heads < 1 || (dim_known(d.data[2]) && d.data[2] % heads != 0))
    return status_set(RLX_ERROR_SHAPE, "wants [batch, length, width], the width in %lld heads",
                      (long long)heads);
  const rlx_dim width = dim_combine(&n->g->dims, RLX_DIM_FLOORDIV, d.data[2], heads);
  const rlx_dim dims[] = {d.data[0], d.data[1], heads, width};
  *v = onnx_transpose(n, onnx_reshape(n, *v, dims, 4), swap_heads, 4);
  return RLX_OK;
}

static rlx_val join_heads(const onnx_node *n, rlx_val v) {
  const rlx_ints d = onnx_dims(n, v);
  if (d.n != 4) return v; /* a failure that the graph knows of */
  const rlx_dim width = dim_combine(&n->g->dims, RLX_DIM_MUL, d.data[1], d.data[3]);
  const rlx_dim dims[] = {d.data[0], d.data[2], width};
  return onnx_reshape(n, onnx_transpose(n, v, swap_heads, 4), dims, 3);
}

static rlx_val joined(const onnx_node *n, rlx_val a, rlx_val b, int64_t axis) {
  rlx_concat_attrs c = rlx_concat_init();
  c.axis = axis;
  return a.id ? rlx_concat(n->g, (rlx_val[]){a, b}, 2, &c) : b;
}

/* From the last axis. */
static rlx_val cut(const onnx_node *n, rlx_val v, rlx_dim start, rlx_dim stop, int64_t step) {
  return onnx_slice(n, v, -1, start, stop, step);
}

/* --- masks */

static rlx_val both(const onnx_node *n, rlx_val a, rlx_val b) {
  return a.id ? rlx_bit_and(n->g, a, b) : b;
}

/* [B] so that it broadcasts to [B,H,T,S]. */
static rlx_val per_batch(const onnx_node *n, rlx_val v) {
  const rlx_ints d = onnx_dims(n, v);
  if (d.n != 1) return v;
  const rlx_dim dims[] = {d.data[0], 1, 1, 1};
  return onnx_reshape(n, v, dims, 4);
}

/* Which keys each query sees, for how far it may look ahead and back (negative: any distance), and
 * for how many keys of each batch are real (`lengths` [B], or nil). Query i is at i + offset. */
static rlx_val window_mask(const onnx_node *n, rlx_val q, rlx_val k, rlx_val offset,
                           rlx_val lengths, int64_t ahead, int64_t back) {
  rlx_graph *g = n->g;
  const rlx_val key = onnx_iota(n, rlx_val_dim(g, k, 2), 0);
  rlx_val at = onnx_along(n, onnx_iota(n, rlx_val_dim(g, q, 2), 0), 0, 2), seen = RLX_NIL;
  if (offset.id) at = rlx_add(g, at, offset);
  if (lengths.id) seen = rlx_lt(g, key, per_batch(n, lengths));
  if (ahead >= 0)
    seen = both(n, seen, rlx_le(g, key, rlx_add(g, at, onnx_scalar(n, at, (double)ahead))));
  if (back >= 0)
    seen = both(n, seen, rlx_ge(g, key, rlx_sub(g, at, onnx_scalar(n, at, (double)back))));
  return seen;
}

/* A mask of fewer keys than there are: the others are not seen. */
static rlx_val widened(const onnx_node *n, rlx_val mask, rlx_dim keys) {
  const rlx_ints d = onnx_dims(n, mask);
  rlx_dim after[RLX_MAX_RANK] = {0}, before[RLX_MAX_RANK] = {0};
  if (d.n == 0 || d.data[d.n - 1] == keys) return mask;
  after[d.n - 1] = dim_combine(&n->g->dims, RLX_DIM_SUB, keys, d.data[d.n - 1]);
  rlx_pad_attrs a = rlx_pad_init();
  a.before = (rlx_ints){before, d.n};
  a.after = (rlx_ints){after, d.n};
  a.value = onnx_dtype_of(n, mask) == RLX_BOOL ? 0 : -INFINITY;
  return rlx_pad(n->g, mask, &a);
}

/* A mask and what is seen in one; either may be nil. */
static rlx_val narrowed(const onnx_node *n, rlx_val mask, rlx_val seen) {
  if (!mask.id || !seen.id) return mask.id ? mask : seen;
  if (onnx_dtype_of(n, mask) == RLX_BOOL) return rlx_bit_and(n->g, seen, mask);
  return rlx_where(n->g, seen, mask, onnx_scalar(n, mask, -INFINITY));
}

/* --- Attention */

/* The mask of the operator: its input, the window, and the cache. Where queries simply end where
 * keys end, causality stays an attribute. */
static rlx_val attention_mask(const onnx_node *n, rlx_val q, rlx_val k, rlx_dim fresh,
                              rlx_attention_attrs *a) {
  rlx_graph *g = n->g;
  const rlx_val past = onnx_in(n, 4), lengths = onnx_in(n, 6);
  int64_t back = onnx_int(n, "left_window_size", -1), ahead = onnx_int(n, "right_window_size", -1);
  rlx_val mask = onnx_in(n, 3), offset = RLX_NIL;
  if (onnx_int(n, "is_causal", 0)) ahead = 0;
  if (mask.id && onnx_dtype_of(n, mask) != RLX_BOOL) mask = onnx_cast(n, mask, onnx_dtype_of(n, q));
  if (mask.id) mask = widened(n, mask, rlx_val_dim(g, k, 2));
  if (ahead == 0 && !lengths.id && fresh == rlx_val_dim(g, q, 2)) {
    a->causal = true;
    a->window = back < 0 ? 0 : back + 1;
    return mask;
  }
  if (lengths.id) offset = rlx_sub(g, per_batch(n, lengths), onnx_size(n, q, 2));
  else if (past.id) offset = onnx_size(n, past, 2);
  return narrowed(n, mask, window_mask(n, q, k, offset, lengths, ahead, back));
}

rlx_status import_attention(onnx_node *n) {
  rlx_val in[4] = {onnx_in(n, 0), onnx_in(n, 1), onnx_in(n, 2), RLX_NIL};
  const rlx_val past_k = onnx_in(n, 4), past_v = onnx_in(n, 5);
  const bool flat = onnx_rank(n, in[0]) == 3;
  const int64_t heads = onnx_int(n, "q_num_heads", 0), shared = onnx_int(n, "kv_num_heads", 0);
  const int64_t mode = onnx_int(n, "qk_matmul_output_mode", 0);
  if (!in[0].id || !in[1].id || !in[2].id)
    return status_set(RLX_ERROR_FORMAT, "wants queries, keys and values");
  if (mode < 0 || mode > 3)
    return status_set(RLX_ERROR_FORMAT, "qk_matmul_output_mode is %lld", (long long)mode);
  if (!past_k.id != !past_v.id || (past_k.id && onnx_in(n, 6).id))
    return status_set(RLX_ERROR_FORMAT, "past keys come with past values and without lengths");
  for (size_t i = 0; i < 3 && flat; i++) RLX_TRY(split_heads(n, i ? shared : heads, &in[i]));
  rlx_attention_attrs a = rlx_attention_init();
  a.scale = onnx_float(n, "scale", 0);
  a.softcap = onnx_float(n, "softcap", 0);
  const rlx_dim fresh = rlx_val_dim(n->g, in[1], 2);
  in[1] = joined(n, past_k, in[1], 2);
  in[2] = joined(n, past_v, in[2], 2);
  if (n->n_out > 1) n->out[1] = in[1];
  if (n->n_out > 2) n->out[2] = in[2];
  in[2] = onnx_cast(n, in[2], onnx_dtype_of(n, in[0]));
  in[3] = attention_mask(n, in[0], in[1], fresh, &a);
  const rlx_val y = rlx_attention(n->g, in[0], in[1], in[2], in[3], &a);
  n->out[0] = flat ? join_heads(n, y) : y;
  RLX_TRY(rlx_graph_status(n->g));
  expr_call call = {.b = n->g, .attrs = &a, .in = in, .n_in = in[3].id ? 4 : 3};
  if (n->n_out > 3) n->out[3] = attention_until(&call, (attention_step)mode);
  return RLX_OK;
}

/* --- MultiHeadAttention and Attention of com.microsoft */

/* Slice `index` of an axis, which goes. */
static rlx_val plane(const onnx_node *n, rlx_val v, int64_t axis, int64_t index) {
  rlx_gather_attrs a = rlx_gather_init();
  a.axis = axis;
  return rlx_gather(n->g, v, rlx_scalar(n->g, RLX_I64, (double)index), &a);
}

/* Which keys a mask lets see: [B] counts of keys, or 0 and 1 for [B,S] or [B,T,S]. */
static rlx_status keys_seen(const onnx_node *n, rlx_val q, rlx_val k, rlx_val mask,
                            rlx_val *out_seen) {
  static const int64_t places[] = {1, 2};
  const rlx_ints d = onnx_dims(n, mask);
  rlx_unsqueeze_attrs u = rlx_unsqueeze_init();
  u.axes = (rlx_ints){places, d.n == 2 ? 2 : 1};
  if (d.n == 1 && !infer_differ(d.data[0], rlx_val_dim(n->g, q, 0)))
    *out_seen = window_mask(n, q, k, RLX_NIL, onnx_cast(n, mask, RLX_I64), -1, -1);
  else if (d.n == 2 || d.n == 3) *out_seen = rlx_unsqueeze(n->g, onnx_cast(n, mask, RLX_BOOL), &u);
  else return status_set(RLX_ERROR_UNSUPPORTED, "a mask of %zu axes, or of starts and ends", d.n);
  return RLX_OK;
}

/* The first output from in = q, k, v [B,H,..]; k and v get the past in front. */
static rlx_status attend(onnx_node *n, rlx_val *in, rlx_val past_k, rlx_val past_v, rlx_val mask,
                         rlx_val bias) {
  rlx_attention_attrs a = rlx_attention_init();
  rlx_val seen = RLX_NIL;
  a.scale = onnx_float(n, "scale", 0);
  a.causal = onnx_int(n, "unidirectional", 0) != 0;
  in[1] = joined(n, past_k, in[1], 2);
  in[2] = joined(n, past_v, in[2], 2);
  if (mask.id) RLX_TRY(keys_seen(n, in[0], in[1], mask, &seen));
  const rlx_val y = rlx_attention(n->g, in[0], in[1], in[2], narrowed(n, bias, seen), &a);
  n->out[0] = join_heads(n, y);
  return RLX_OK;
}

rlx_status import_ms_multi_head(onnx_node *n) {
  rlx_val in[3] = {onnx_in(n, 0), onnx_in(n, 1), onnx_in(n, 2)};
  const rlx_val bias = onnx_in(n, 3);
  rlx_dim start = 0;
  if (onnx_in(n, 8).id || onnx_in(n, 9).id || n->n_out > 3)
    return status_set(RLX_ERROR_UNSUPPORTED, "a shared cache, beams or scores");
  for (size_t i = 0; i < 3; i++) {
    const rlx_ints d = onnx_dims(n, in[i]);
    if (d.n == 4) continue; /* it has its heads already */
    if (d.n != 3) return status_set(RLX_ERROR_UNSUPPORTED, "operands packed in one");
    const rlx_dim stop = dim_combine(&n->g->dims, RLX_DIM_ADD, start, d.data[2]);
    if (bias.id) in[i] = rlx_add(n->g, in[i], cut(n, bias, start, stop, 1));
    start = stop;
    RLX_TRY(split_heads(n, onnx_int(n, "num_heads", 0), &in[i]));
  }
  RLX_TRY(attend(n, in, onnx_in(n, 6), onnx_in(n, 7), onnx_in(n, 4), onnx_in(n, 5)));
  for (size_t i = 1; i < n->n_out; i++) n->out[i] = in[i];
  return RLX_OK;
}

/* Projects x by one matrix for queries, keys and values. */
rlx_status import_ms_attention(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_val past = onnx_in(n, 4);
  const rlx_ints sizes = onnx_ints(n, "qkv_hidden_sizes"), w = onnx_dims(n, onnx_in(n, 1));
  rlx_val in[3], old[2] = {RLX_NIL, RLX_NIL}, all = rlx_matmul(g, onnx_in(n, 0), onnx_in(n, 1));
  if (onnx_in(n, 6).id || onnx_int(n, "do_rotary", 0) ||
      onnx_int(n, "past_present_share_buffer", 0))
    return status_set(RLX_ERROR_UNSUPPORTED, "a shared cache or rotary positions");
  if (w.n != 2 || (sizes.n && sizes.n != 3))
    return status_set(RLX_ERROR_SHAPE, "wants a matrix for queries, keys and values");
  if (onnx_in(n, 2).id) all = rlx_add(g, all, onnx_in(n, 2));
  const rlx_dim third = dim_combine(&g->dims, RLX_DIM_FLOORDIV, w.data[1], 3);
  rlx_dim start = 0;
  for (size_t i = 0; i < 3; i++) {
    const rlx_dim stop = dim_combine(&g->dims, RLX_DIM_ADD, start, sizes.n ? sizes.data[i] : third);
    in[i] = cut(n, all, start, stop, 1);
    RLX_TRY(split_heads(n, onnx_int(n, "num_heads", 0), &in[i]));
    start = stop;
  }
  for (int64_t i = 0; i < 2 && past.id; i++) old[i] = plane(n, past, 0, i);
  RLX_TRY(attend(n, in, old[0], old[1], onnx_in(n, 3), onnx_in(n, 5)));
  if (n->n_out < 2) return RLX_OK;
  const int64_t first = 0;
  rlx_unsqueeze_attrs u = rlx_unsqueeze_init();
  u.axes = (rlx_ints){&first, 1};
  n->out[1] = joined(n, rlx_unsqueeze(g, in[1], &u), rlx_unsqueeze(g, in[2], &u), 0);
  return RLX_OK;
}

/* --- RotaryEmbedding */

/* Pairs (a, b) turned to (a cos - b sin, a sin + b cos): those of the two halves of the first
 * `turned` elements of each head, or neighbours. */
static rlx_val rotated(const onnx_node *n, rlx_val x, rlx_val cosine, rlx_val sine, int64_t turned,
                       bool neighbours) {
  rlx_graph *g = n->g;
  const int64_t half = turned / 2;
  const rlx_val a = neighbours ? cut(n, x, 0, turned, 2) : cut(n, x, 0, half, 1);
  const rlx_val b = neighbours ? cut(n, x, 1, turned, 2) : cut(n, x, half, turned, 1);
  rlx_val p = rlx_sub(g, rlx_mul(g, a, cosine), rlx_mul(g, b, sine));
  rlx_val q = rlx_add(g, rlx_mul(g, a, sine), rlx_mul(g, b, cosine));
  const rlx_ints d = onnx_dims(n, x);
  if (neighbours && d.n == 4) {
    const rlx_dim column[] = {d.data[0], d.data[1], d.data[2], half, 1};
    const rlx_dim row[] = {d.data[0], d.data[1], d.data[2], turned};
    p = onnx_reshape(n, p, column, 5);
    q = onnx_reshape(n, q, column, 5);
    p = onnx_reshape(n, joined(n, p, q, -1), row, 4);
  } else {
    p = joined(n, p, q, -1);
  }
  const bool all = d.n == 4 && d.data[3] == turned;
  return all ? p : joined(n, p, cut(n, x, turned, INT64_MAX, 1), -1);
}

/* x [B,H,S,D] or [B,S,H D], tables [B,S,R/2], or [.., R/2] with positions [B,S]. */
static rlx_status rotary(onnx_node *n, rlx_val x, rlx_val cosine, rlx_val sine, rlx_val positions) {
  rlx_graph *g = n->g;
  const bool flat = onnx_rank(n, x) == 3;
  int64_t heads = onnx_int(n, "num_heads", 0), turned = onnx_int(n, "rotary_embedding_dim", 0);
  if (positions.id) {
    cosine = rlx_gather(g, cosine, positions, NULL);
    sine = rlx_gather(g, sine, positions, NULL);
  }
  const rlx_ints table = onnx_dims(n, cosine);
  if (table.n != 3 || onnx_rank(n, sine) != 3 || (!flat && onnx_rank(n, x) != 4))
    return status_set(RLX_ERROR_SHAPE, "wants tables for [batch, length] and 3 or 4 axes of x");
  if (!turned) turned = dim_combine(&g->dims, RLX_DIM_MUL, table.data[2], 2);
  if (turned < 2 || turned % 2) /* or not known */
    return status_set(RLX_ERROR_UNSUPPORTED, "a width of the tables that is odd or not known");
  const rlx_ints d = onnx_dims(n, x);
  if (flat && heads == 0 && dim_known(d.data[2])) heads = d.data[2] / turned;
  if (flat) RLX_TRY(split_heads(n, heads, &x));
  const int64_t axis = 1;
  rlx_unsqueeze_attrs u = rlx_unsqueeze_init();
  u.axes = (rlx_ints){&axis, 1};
  cosine = rlx_unsqueeze(g, cosine, &u);
  sine = rlx_unsqueeze(g, sine, &u);
  const rlx_val y = rotated(n, x, cosine, sine, turned, onnx_int(n, "interleaved", 0) != 0);
  n->out[0] = flat ? join_heads(n, y) : y;
  return RLX_OK;
}

rlx_status import_rotary(onnx_node *n) {
  return rotary(n, onnx_in(n, 0), onnx_in(n, 1), onnx_in(n, 2), onnx_in(n, 3));
}

/* Positions [B,S], or one: that of the first element of every row. */
rlx_status import_ms_rotary(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_val x = onnx_in(n, 0);
  rlx_val positions = onnx_in(n, 1);
  const rlx_ints d = onnx_dims(n, x);
  if (onnx_int(n, "is_packed_batching", 0) || onnx_float(n, "scale", 1) != 1)
    return status_set(RLX_ERROR_UNSUPPORTED, "is_packed_batching or scale");
  if (onnx_rank(n, positions) == 1 && d.n >= 3) {
    const rlx_dim rows[] = {d.data[0], d.data[d.n - 2]};
    rlx_expand_attrs a = rlx_expand_init();
    a.dims = (rlx_ints){rows, 2};
    positions = rlx_add(g, onnx_iota(n, rows[1], 0), onnx_cast(n, positions, RLX_I64));
    positions = rlx_expand(g, positions, &a);
  }
  return rotary(n, x, onnx_in(n, 2), onnx_in(n, 3), positions);
}
