/* ops/onnx_sequence.c: importers of operators along a sequence, composed of index arithmetic:
 * ReverseSequence, TensorScatter, CausalConvWithState; and LinearAttention. */
#include <math.h>

#include "ops/onnx.h"

/* 0, 1, .. below n, in i64, along axis `axis` of values of that rank. */
static rlx_val places(const onnx_node *n, rlx_dim count, size_t axis, size_t rank) {
  return onnx_along(n, onnx_iota(n, count, 0), axis, rank);
}

static rlx_val batch_and_time_swapped(const onnx_node *n, rlx_val v) {
  int64_t perm[RLX_MAX_RANK] = {1, 0};
  for (size_t i = 2; i < onnx_rank(n, v); i++) perm[i] = (int64_t)i;
  return onnx_transpose(n, v, perm, onnx_rank(n, v));
}

/* Reversed where the step is below the length of its sequence. */
rlx_status import_reverse_sequence(onnx_node *n) {
  rlx_graph *g = n->g;
  rlx_val x = onnx_in(n, 0), lengths = onnx_in(n, 1);
  const size_t rank = onnx_rank(n, x);
  const int64_t batch_axis = onnx_int(n, "batch_axis", 1), time_axis = onnx_int(n, "time_axis", 0);
  if (rank < 2 || (batch_axis != 0 && batch_axis != 1) || time_axis != 1 - batch_axis)
    return status_set(RLX_ERROR_SHAPE, "batch axis %lld and time axis %lld of %zu, wanted 0 and 1",
                      (long long)batch_axis, (long long)time_axis, rank);
  if (time_axis == 0) x = batch_and_time_swapped(n, x);
  lengths = onnx_along(n, lengths, 0, 2);
  const rlx_val at = places(n, rlx_val_dim(g, x, 1), 1, 2);
  const rlx_val mirrored = rlx_sub(g, rlx_sub(g, lengths, at), rlx_scalar(g, RLX_I64, 1));
  rlx_unsqueeze_attrs tuples = rlx_unsqueeze_init();
  tuples.axes = (rlx_ints){(const int64_t[]){-1}, 1};
  rlx_gather_nd_attrs rows = rlx_gather_nd_init();
  rows.batch = 1;
  const rlx_val from = rlx_where(g, rlx_lt(g, at, lengths), mirrored, at);
  x = rlx_gather_nd(g, x, rlx_unsqueeze(g, from, &tuples), &rows);
  n->out[0] = time_axis == 0 ? batch_and_time_swapped(n, x) : x;
  return RLX_OK;
}

/* The update goes to consecutive places along an axis, from an index that each of the batch has. */
rlx_status import_tensor_scatter(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_val cache = onnx_in(n, 0), update = onnx_in(n, 1), starts = onnx_in(n, 2);
  const size_t rank = onnx_rank(n, cache);
  rlx_scatter_elements_attrs a = rlx_scatter_elements_init();
  size_t circular;
  RLX_TRY(onnx_word(n, "mode", "linear|circular", &circular));
  RLX_TRY(onnx_axis(onnx_int(n, "axis", -2), rank, &a.axis));
  if (a.axis == 0 || onnx_rank(n, update) != rank)
    return status_set(RLX_ERROR_SHAPE,
                      "axis %lld of %zu and an update of %zu axes: wanted an axis "
                      "behind the batch and as many axes",
                      (long long)a.axis, rank, onnx_rank(n, update));
  const size_t axis = (size_t)a.axis;
  rlx_val at = places(n, rlx_val_dim(g, update, axis), axis, rank);
  if (starts.id) at = rlx_add(g, at, onnx_along(n, starts, 0, rank));
  if (circular) at = rlx_mod(g, at, onnx_size(n, cache, a.axis));
  rlx_expand_attrs all = rlx_expand_init();
  all.dims = onnx_dims(n, update);
  n->out[0] = rlx_scatter_elements(g, cache, rlx_expand(g, at, &all), update, &a);
  return RLX_OK;
}

/* A depthwise convolution of the state, or zeros, and then x; the end of both is the next state. */
rlx_status import_causal_conv(onnx_node *n) {
  rlx_graph *g = n->g;
  rlx_val x = onnx_in(n, 0), past = onnx_in(n, 3);
  const rlx_val weights = onnx_in(n, 1), bias = onnx_in(n, 2);
  const rlx_ints sizes = onnx_dims(n, weights);
  size_t activation;
  RLX_TRY(onnx_word(n, "activation", "none|silu|swish", &activation));
  if (onnx_rank(n, x) != 3 || sizes.n != 3 || !dim_known(sizes.data[0]))
    return status_set(RLX_ERROR_SHAPE, "wants x [B,C,L] and weights [C,1,k] with a known C");
  const rlx_dim length = rlx_val_dim(g, x, 2);
  rlx_pad_attrs zeros = rlx_pad_init();
  const rlx_dim before[] = {0, 0, dim_combine(&g->dims, RLX_DIM_SUB, sizes.data[2], 1)};
  zeros.before = (rlx_ints){before, 3};
  zeros.after = (rlx_ints){(const int64_t[]){0, 0, 0}, 3};
  rlx_concat_attrs join = rlx_concat_init();
  join.axis = 2;
  x = past.id ? rlx_concat(g, (const rlx_val[]){past, x}, 2, &join) : rlx_pad(g, x, &zeros);
  rlx_conv_attrs conv = rlx_conv_init();
  conv.groups = sizes.data[0];
  const rlx_val y = rlx_conv(g, x, weights, bias, &conv);
  n->out[0] = activation ? rlx_silu(g, y) : y;
  if (n->n_out > 1) n->out[1] = onnx_slice(n, x, 2, length, INT64_MAX, 1);
  return RLX_OK;
}

/* [B,T,heads D] as [B,T,heads,D]; nil stays nil. */
static rlx_val with_heads(const onnx_node *n, rlx_val v, int64_t heads) {
  const rlx_ints dims = onnx_dims(n, v);
  if (dims.n != 3) return v; /* the operation refuses it */
  const rlx_dim each = dim_combine(&n->g->dims, RLX_DIM_FLOORDIV, dims.data[2], heads);
  return onnx_reshape(n, v, (const rlx_dim[]){dims.data[0], dims.data[1], heads, each}, 4);
}

/* Which of decay and beta an update rule takes must be given, the other must not. */
static rlx_status check_update_rule(const onnx_node *n) {
  static const bool takes_decay[] = {true, true, false, false};
  static const bool takes_beta[] = {true, false, true, false};
  size_t rule;
  RLX_TRY(onnx_word(n, "update_rule", "gated_delta|gated|delta|linear", &rule));
  if (takes_decay[rule] == (onnx_in(n, 4).id != 0) && takes_beta[rule] == (onnx_in(n, 5).id != 0))
    return RLX_OK;
  return status_set(RLX_ERROR_FORMAT, "update rule '%s' %s input 4 (decay) and %s input 5 (beta)",
                    onnx_string(n, "update_rule", "gated_delta"),
                    takes_decay[rule] ? "takes" : "takes no",
                    takes_beta[rule] ? "takes" : "takes no");
}

rlx_status import_linear_attention(onnx_node *n) {
  rlx_graph *g = n->g;
  const int64_t readers = onnx_int(n, "q_num_heads", 0), heads = onnx_int(n, "kv_num_heads", 0);
  const rlx_val query = onnx_in(n, 0), past = onnx_in(n, 3);
  RLX_TRY(check_update_rule(n));
  if (readers < 1 || heads < 1)
    return status_set(RLX_ERROR_FORMAT, "q_num_heads is %lld and kv_num_heads %lld",
                      (long long)readers, (long long)heads);
  rlx_val in[6] = {with_heads(n, query, readers),       with_heads(n, onnx_in(n, 1), heads),
                   with_heads(n, onnx_in(n, 2), heads), past,
                   with_heads(n, onnx_in(n, 4), heads), onnx_in(n, 5)};
  rlx_linear_attention_attrs a = rlx_linear_attention_init();
  const rlx_dim width = rlx_val_dim(g, in[0], 3);
  a.scale = onnx_float(n, "scale", 0);
  if (a.scale == 0 && !dim_known(width))
    return status_set(RLX_ERROR_UNSUPPORTED, "the size of a head must be known before the run");
  if (a.scale == 0) a.scale = 1 / sqrt((double)width);
  const rlx_dtype dtype = onnx_dtype_of(n, query), state = past.id ? onnx_dtype_of(n, past) : dtype;
  for (size_t i = 0; i < 6; i++) in[i] = onnx_cast(n, in[i], state == dtype ? dtype : RLX_F32);
  const rlx_val y = rlx_linear_attention(g, in[0], in[1], in[2], in[3], in[4], in[5], &a);
  const rlx_ints dims = onnx_dims(n, y);
  if (dims.n == 4) {
    const rlx_dim all = dim_combine(&g->dims, RLX_DIM_MUL, dims.data[2], dims.data[3]);
    n->out[0] = onnx_reshape(n, y, (const rlx_dim[]){dims.data[0], dims.data[1], all}, 3);
    n->out[0] = onnx_cast(n, n->out[0], dtype);
  }
  if (n->n_out > 1) n->out[1] = onnx_cast(n, rlx_nth(y, 1), state);
  return RLX_OK;
}
