/* ops/onnx_random.c: importers of random numbers: uniform, normal, 0 or 1.
 *
 * Law: runs are pure, so that the numbers are those of a fixed stream: the seed's, or, without a
 * seed, one of the node's own. Every run of a model gives the same ones, on every device. Element i
 * is a hash of i and the stream's key. */
#include "ops/onnx.h"

/* Each bit of a u32 depends on all; no two numbers become the same. */
static rlx_val scrambled(const onnx_node *n, rlx_val v) {
  static const double shifts[] = {16, 15, 16}, factors[] = {0x7feb352d, 0x846ca68b};
  rlx_graph *g = n->g;
  for (size_t i = 0; i < 3; i++) {
    v = rlx_bit_xor(g, v, rlx_shr(g, v, onnx_scalar(n, v, shifts[i])));
    if (i < 2) v = rlx_mul(g, v, onnx_scalar(n, v, factors[i]));
  }
  return v;
}

/* f32 in (0,1), [count]: odd multiples of 2^-24. */
static rlx_val fractions(const onnx_node *n, rlx_dim count, uint32_t key) {
  rlx_graph *g = n->g;
  rlx_val v = onnx_cast(n, onnx_iota(n, count, 0), RLX_U32);
  v = scrambled(n, rlx_add(g, v, onnx_scalar(n, v, key)));
  v = scrambled(n, rlx_bit_xor(g, v, onnx_scalar(n, v, (double)(key ^ 0x9e3779b9u))));
  v = onnx_cast(n, rlx_shr(g, v, onnx_scalar(n, v, 9)), RLX_F32);
  return rlx_mul(g, rlx_add(g, v, onnx_scalar(n, v, 0.5)), onnx_scalar(n, v, 1.0 / (1 << 23)));
}

static uint32_t key_of(const onnx_node *n) {
  const float seed = (float)onnx_float(n, "seed", 0);
  uint32_t bits;
  memcpy(&bits, &seed, sizeof bits);
  return onnx_find(n, "seed") ? bits : (uint32_t)n->g->nodes.n * 2654435761u;
}

/* The shape and the dtype: those of the input, or attributes. */
static rlx_status random_type(const onnx_node *n, rlx_ints *out_dims, rlx_dtype *out_dtype) {
  const rlx_val like = onnx_in(n, 0);
  *out_dims = like.id ? onnx_dims(n, like) : onnx_ints(n, "shape");
  *out_dtype = like.id ? onnx_dtype_of(n, like) : RLX_F32;
  return onnx_find(n, "dtype") ? onnx_dtype(onnx_int(n, "dtype", 1), out_dtype) : RLX_OK;
}

/* v f32 [count], times `scale`, plus `offset`, in that shape and dtype. */
static rlx_status shaped(onnx_node *n, rlx_val v, double scale, double offset, rlx_ints dims,
                         rlx_dtype dtype) {
  rlx_graph *g = n->g;
  v = rlx_add(g, rlx_mul(g, v, onnx_scalar(n, v, scale)), onnx_scalar(n, v, offset));
  n->out[0] = onnx_cast(n, onnx_reshape(n, v, dims.data, dims.n), dtype);
  return RLX_OK;
}

rlx_status import_random_uniform(onnx_node *n) {
  const double low = onnx_float(n, "low", 0), high = onnx_float(n, "high", 1);
  rlx_ints dims;
  rlx_dtype dtype;
  RLX_TRY(random_type(n, &dims, &dtype));
  const rlx_dim count = dim_product(&n->g->dims, dims.data, dims.n);
  return shaped(n, fractions(n, count, key_of(n)), high - low, low, dims, dtype);
}

/* From two uniform numbers, by the transform of Box and Muller. */
rlx_status import_random_normal(onnx_node *n) {
  rlx_graph *g = n->g;
  const double mean = onnx_float(n, "mean", 0), scale = onnx_float(n, "scale", 1);
  const uint32_t key = key_of(n);
  rlx_ints dims;
  rlx_dtype dtype;
  RLX_TRY(random_type(n, &dims, &dtype));
  const rlx_dim count = dim_product(&g->dims, dims.data, dims.n);
  const rlx_val a = rlx_log(g, fractions(n, count, key)), b = fractions(n, count, ~key);
  const rlx_val radius = rlx_sqrt(g, rlx_mul(g, a, onnx_scalar(n, a, -2)));
  const rlx_val angle = rlx_mul(g, b, onnx_scalar(n, b, 6.28318530717958647692));
  return shaped(n, rlx_mul(g, radius, rlx_cos(g, angle)), scale, mean, dims, dtype);
}

/* 1 with the probability that the input gives, else 0. */
rlx_status import_bernoulli(onnx_node *n) {
  rlx_ints dims;
  rlx_dtype dtype;
  RLX_TRY(random_type(n, &dims, &dtype));
  rlx_val v = fractions(n, dim_product(&n->g->dims, dims.data, dims.n), key_of(n));
  v = onnx_reshape(n, v, dims.data, dims.n);
  n->out[0] = onnx_cast(n, rlx_lt(n->g, v, onnx_cast(n, onnx_in(n, 0), RLX_F32)), dtype);
  return RLX_OK;
}
