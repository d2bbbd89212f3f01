/* cpu/attention.h: softmax(scale q k^T + mask) v for heads in groups, on plain buffers.
 *
 * The rows of one head of k are the queries of all heads of q that read it, 16 of them a block. A
 * block walks the keys that it can see in chunks, with the softmax kept up to date as it goes: the
 * scores of a chunk are all that is ever in memory. Where a head has few rows, as when text is
 * generated, each is a block by itself.
 *
 * Bound: f32 throughout; for scores s and n keys the result is within (n + D max|s|) 2^-22 of the
 * largest value, and halves are rounded once more. */
#ifndef CPU_ATTENTION_H
#define CPU_ATTENTION_H

#include <stdbool.h>

#include "cpu/cpu.h"

enum { ATTENTION_ROWS = 16, ATTENTION_KEYS = 128 };

typedef struct attention {
  /* the question; the result is not empty */
  rlx_dtype dtype;             /* f32, f16 or bf16 */
  rlx_dtype mask_dtype;        /* bool or a float; RLX_DTYPE_COUNT: there is none */
  int64_t batch, heads, group; /* heads of k; q has group times as many */
  int64_t queries, keys, width, values;
  int64_t q[4], k[4], v[4], mask[4], out[4]; /* strides of [B,H,T,D], [B,K,S,D], .., [B,H,T,S] */
  float scale, softcap;                      /* softcap 0: none */
  bool causal;
  int64_t window; /* 0: none */

  /* the answer of attention_plan */
  /* loops of one CPU level: 16 queries of a head of k, or one of a head of q */
  void (*block)(const struct attention *a, const void *const *in, void *out, int64_t block,
                float *scratch);
  int64_t tasks, blocks, together; /* blocks in all, and of one task */
  int64_t floats;                  /* of a worker's scratch */
} attention;

/* Returns the bytes of scratch for a run. */
size_t attention_plan(attention *a, uint32_t threads);
/* A cpu_kernel. Operands: q, k, v, mask. */
rlx_status attention_run(const void *state, const cpu_run *run, const void *const *in,
                         void *const *out);

#endif
