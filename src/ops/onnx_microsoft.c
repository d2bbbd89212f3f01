/* ops/onnx_microsoft.c: importers of what onnxruntime's optimiser and exporters to it write (domain
 * com.microsoft): fused activations, normalisation with a residual, matrix products, attention. */
#include "ops/onnx.h"

/* --- activations: of x, or of x plus a bias */

static rlx_status activate(onnx_node *n, const char *op) {
  rlx_val x = onnx_in(n, 0);
  if (onnx_in(n, 1).id) x = rlx_add(n->g, x, onnx_in(n, 1));
  n->out[0] = rlx_graph_add(n->g, op, &x, 1, NULL);
  return RLX_OK;
}
rlx_status import_bias_gelu(onnx_node *n) { return activate(n, "gelu"); }
rlx_status import_fast_gelu(onnx_node *n) { return activate(n, "gelu_tanh"); }

rlx_status import_quick_gelu(onnx_node *n) {
  const rlx_val x = onnx_in(n, 0), alpha = onnx_scalar(n, x, onnx_float(n, "alpha", 1.702));
  n->out[0] = rlx_mul(n->g, x, rlx_sigmoid(n->g, rlx_mul(n->g, x, alpha)));
  return RLX_OK;
}

/* --- normalisation */

/* in[0] normalised with the scale and perhaps bias behind it; the other outputs go to `stats`. */
static rlx_status normalised(onnx_node *n, rlx_val *in, size_t n_in, bool simple, rlx_val *stats) {
  onnx_attr eps = {.name = "epsilon", .type = ONNX_FLOAT, .f = onnx_float(n, "epsilon", 1e-12)};
  onnx_node view = *n;
  rlx_val out[3] = {RLX_NIL};
  view.attrs = &eps;
  view.n_attrs = 1;
  view.in = in;
  view.n_in = n_in;
  view.out = out;
  view.n_out = simple ? 1 : 3;
  RLX_TRY(simple ? import_rms_norm(&view) : import_layer_norm(&view));
  n->out[0] = out[0];
  for (size_t i = 0; i < 2; i++) stats[i] = out[1 + i];
  return RLX_OK;
}

/* x + skip + bias, normalised; the fourth output is that sum. */
static rlx_status skip_norm(onnx_node *n, bool simple) {
  rlx_val stats[2], sum = rlx_add(n->g, onnx_in(n, 0), onnx_in(n, 1));
  const rlx_val bias = onnx_in(n, simple ? 3 : 4);
  if (bias.id) sum = rlx_add(n->g, sum, bias);
  rlx_val in[3] = {sum, onnx_in(n, 2), simple ? RLX_NIL : onnx_in(n, 3)};
  RLX_TRY(normalised(n, in, in[2].id ? 3 : 2, simple, stats));
  for (size_t i = 1; i < 3 && i < n->n_out; i++) n->out[i] = stats[i - 1];
  if (n->n_out > 3) n->out[3] = sum;
  return RLX_OK;
}
rlx_status import_skip_layer_norm(onnx_node *n) { return skip_norm(n, false); }
rlx_status import_skip_rms_norm(onnx_node *n) { return skip_norm(n, true); }

/* Rows of three tables: by word, by place, by segment; their sum, normalised. The second output is
 * how many words of each row the mask has, the third the sum. */
rlx_status import_embed_layer_norm(onnx_node *n) {
  rlx_graph *g = n->g;
  const rlx_val ids = onnx_in(n, 0), segments = onnx_in(n, 1), mask = onnx_in(n, 7);
  const rlx_ints d = onnx_dims(n, ids);
  rlx_val places = onnx_in(n, 8), stats[2];
  if (d.n != 2) return status_set(RLX_ERROR_SHAPE, "wants words [batch, length]");
  if (!places.id) places = onnx_iota(n, d.data[1], 0);
  rlx_val sum = rlx_add(g, rlx_gather(g, onnx_in(n, 2), ids, NULL),
                        rlx_gather(g, onnx_in(n, 3), places, NULL));
  if (segments.id) sum = rlx_add(g, sum, rlx_gather(g, onnx_in(n, 4), segments, NULL));
  rlx_val in[3] = {sum, onnx_in(n, 5), onnx_in(n, 6)};
  RLX_TRY(normalised(n, in, 3, false, stats));
  const int64_t last = 1;
  rlx_reduce_sum_attrs a = rlx_reduce_sum_init();
  a.axes = (rlx_ints){&last, 1};
  if (n->n_out > 1) {
    rlx_expand_attrs e = rlx_expand_init();
    e.dims = (rlx_ints){d.data, 1};
    n->out[1] =
        mask.id ? rlx_reduce_sum(g, mask, &a) : rlx_expand(g, rlx_scalar(g, RLX_I32, 0), &e);
  }
  if (n->n_out > 2) n->out[2] = sum;
  return RLX_OK;
}

/* --- products */

static rlx_val transposed(const onnx_node *n, rlx_val v, bool batch, bool last) {
  int64_t perm[RLX_MAX_RANK];
  const size_t rank = onnx_rank(n, v);
  if (rank < 2 || (!batch && !last)) return v;
  for (size_t i = 0; i < rank; i++) perm[i] = (int64_t)i;
  if (batch) { /* the first axis goes behind the other batch axes */
    for (size_t i = 0; i + 2 < rank; i++) perm[i] = (int64_t)i + 1;
    perm[rank - 2] = 0;
  }
  if (last) {
    const int64_t swap = perm[rank - 2];
    perm[rank - 2] = perm[rank - 1];
    perm[rank - 1] = swap;
  }
  return onnx_transpose(n, v, perm, rank);
}

rlx_status import_fused_matmul(onnx_node *n) {
  const bool a_batch = onnx_int(n, "transBatchA", 0) != 0, a_last = onnx_int(n, "transA", 0) != 0;
  const bool b_batch = onnx_int(n, "transBatchB", 0) != 0, b_last = onnx_int(n, "transB", 0) != 0;
  const double alpha = onnx_float(n, "alpha", 1);
  const rlx_val y = rlx_matmul(n->g, transposed(n, onnx_in(n, 0), a_batch, a_last),
                               transposed(n, onnx_in(n, 1), b_batch, b_last));
  n->out[0] = alpha == 1 ? y : rlx_mul(n->g, y, onnx_scalar(n, y, alpha));
  return RLX_OK;
}
