/* cpu/rnn.h: recurrent cells over sequences: LSTM, GRU, plain.
 *
 * Units of the hidden state come in blocks of 16. Weights are packed as panels
 * [block][gate][k][16], so that a block's gates are made together from one walk over the state.
 * x w of many steps is one product; a step is then h r and the gates, its blocks in parallel where
 * that pays.
 *
 * Bound: products in f32, functions as in loops/vmath.h; the error of a gate's sum is within
 * k 2^-24 of the sum of its k magnitudes. Halves are computed in f32, results rounded as they are
 * stored. */
#ifndef CPU_RNN_H
#define CPU_RNN_H

#include <stdbool.h>

#include "cpu/cpu.h"

enum { RNN_BLOCK = 16, RNN_GATES = 4 };

/* Gates in the order of ONNX: i o f c, z r h, one. */
typedef enum rnn_kind { RNN_LSTM, RNN_GRU, RNN_PLAIN } rnn_kind;

/* In the order of ops/rnn_function.c. */
typedef enum rnn_act {
  RNN_SIGMOID,
  RNN_TANH,
  RNN_RELU,
  RNN_AFFINE,
  RNN_LEAKY_RELU,
  RNN_THRESHOLDED_RELU,
  RNN_SCALED_TANH,
  RNN_HARD_SIGMOID,
  RNN_ELU,
  RNN_SOFTSIGN,
  RNN_SOFTPLUS,
} rnn_act;

typedef struct rnn_apply {
  rnn_act act;
  float a, b;
} rnn_apply;

/* Operands: x [T,B,I], w [G H,I], r [G H,H], biases [2 G H], lengths [B], h [B,H], c [B,H],
 * peepholes [3 H]; results: [T,B,H], h, c. All dense. */
typedef struct rnn {
  /* the question; batch and hidden are 1 or more */
  rnn_kind kind;
  rlx_dtype dtype, length_dtype; /* f32, f16 or bf16; i32 or i64 */
  int64_t gates, steps, batch, inputs, hidden;
  bool reverse, variant; /* variant: lstm: input_forget; gru: linear_before_reset */
  float clip;
  rnn_apply f[3];
  size_t n_in;
  const float *w, *r, *bias; /* packed, where they are constant */

  /* the answer of rnn_plan */
  const cpu_loops *loops;
  int64_t blocks, chunk; /* of units; steps whose x w is made at once */
} rnn;

/* One step at work. State rows are padded to whole blocks. */
typedef struct rnn_step {
  const float *r, *bias, *peepholes; /* [block][gate][H][16], [block][gate + 1][16], .. */
  const float *in; /* x w: [block][gate][in_rows][16], from this step's first row on */
  int64_t in_rows;
  const float *h;    /* [B, padded]: before the step */
  float *next, *c;   /* after it */
  float *z, *reset;  /* gru: update gates; the state that candidates see */
  const bool *ended; /* [B]: sequences that are over; NULL: none is */
  char *y;           /* [B,H] */
} rnn_step;

/* Returns the bytes of scratch for a run. */
size_t rnn_plan(rnn *p, uint32_t threads);
/* Floats of a packed [G H,k], and packing it. */
int64_t rnn_packed(const rnn *p, int64_t k);
void rnn_pack(const rnn *p, int64_t k, const void *from, float *to);
/* The same for biases, NULL standing for zeros. */
int64_t rnn_packed_bias(const rnn *p);
void rnn_pack_bias(const rnn *p, const void *from, float *to);
/* A cpu_kernel. */
rlx_status rnn_run(const void *state, const cpu_run *run, const void *const *in, void *const *out);

#endif
