/* cpu/loops/gemm_bf16.c: products of bf16 factors, summed in f32.
 *
 * Panels hold pairs: of two neighbouring k's, COLUMNS columns. Where the CPU multiplies such pairs,
 * rows of a are pairs too, at the front of the room of their f32s, and denormal factors count as 0;
 * elsewhere rows are f32 that are rounded to bf16, and pairs of b are spread out in registers. */
#include "cpu/gemm.h"
#include "cpu/loops/loops.h"
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#define REAL float
#include "cpu/loops/gemm_tile.h"

typedef uint32_t words __attribute__((vector_size(sizeof(float) * VECTOR), aligned(4)));

static inline uint32_t bits_of(float f) {
  union {
    float f;
    uint32_t u;
  } b = {f};
  return b.u;
}

/* Rounded to nearest even, in the high half. A NaN stays one. */
static inline uint32_t rounded(float f) {
  const uint32_t bits = bits_of(f), near = bits + 0x7fff + (bits >> 16 & 1);
  return ((bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : near) & 0xffff0000u;
}

/* rows x (vectors * VECTOR) sums */
INLINED void sums_run(const int rows, const int vectors, const int parts, const gemm_block *p,
                      const sums_place *t) {
  vector sum[12][2];
  const uint32_t *b = t->b;
  const int64_t a_row = p->a_row;
  (void)parts;
  sums_start(rows, vectors, p, t, sum);
  for (int64_t l = 0; l < p->k; l += 2, b += COLUMNS) {
    words pair[2];
    next_fetch(t, l);
    for (int j = 0; j < vectors; j++) pair[j] = *(const words *)(const void *)(b + j * VECTOR);
#ifdef __AVX512BF16__
    for (int i = 0; i < rows; i++) {
      const __m512i left = _mm512_set1_epi32(((const int32_t *)t->a)[i * a_row + l / 2]);
      for (int j = 0; j < vectors; j++)
        sum[i][j] = (vector)_mm512_dpbf16_ps((__m512)sum[i][j], (__m512bh)left, (__m512bh)pair[j]);
    }
#else
    const float *a = (const float *)t->a + l;
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < vectors; j++) sum[i][j] += a[i * a_row] * (vector)(pair[j] << 16);
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < vectors; j++)
        sum[i][j] += a[i * a_row + 1] * (vector)(pair[j] & 0xffff0000u);
#endif
  }
  sums_end(rows, vectors, t, sum);
}

#ifdef __AVX512BF16__
void LOOP_NAME(gemm_block_bf16)(const gemm_block *p) { block_run(p, sizeof(uint16_t)); }
#else
enum { SPREAD_ROWS = 6 }; /* from here on spreading a panel out once for all rows pays */

static void spread(int64_t k, const uint32_t *restrict pairs, uint32_t *restrict to) {
  for (int64_t l = 0; l < k; l += 2, pairs += COLUMNS, to += 2 * COLUMNS)
    for (int64_t j = 0; j < COLUMNS; j++) {
      to[j] = pairs[j] << 16;
      to[COLUMNS + j] = pairs[j] & 0xffff0000u;
    }
}

void LOOP_NAME(gemm_block_bf16)(const gemm_block *p) {
  if (p->m < SPREAD_ROWS) {
    block_run(p, sizeof(uint16_t));
    return;
  }
  float wide[GEMM_K_BLOCK * COLUMNS];
  gemm_block one = *p;
  one.b = wide;
  one.b_step = COLUMNS;
  for (int64_t col = 0; col < p->n; col += COLUMNS) {
    const uint16_t *pairs = (const uint16_t *)p->b + col / COLUMNS * p->b_panel;
    spread(p->k, (const uint32_t *)(const void *)pairs, (uint32_t *)(void *)wide);
    one.next = p->n - col > COLUMNS ? pairs + p->b_panel : p->next;
    one.n = p->n - col < COLUMNS ? p->n - col : COLUMNS;
    one.c = (float *)p->c + col;
    one.bias = p->bias ? (const float *)p->bias + col : NULL;
    LOOP_NAME(gemm_block_f32)(&one);
  }
}
#endif

/* Rows of k f32 each, k even, into what tiles take. */
void LOOP_NAME(gemm_rows_bf16)(int64_t rows, int64_t k, float *a) {
  uint32_t *bits = (uint32_t *)(void *)a;
#ifdef __AVX512BF16__
  for (int64_t i = 0; i < rows; i++)
    for (int64_t l = 0; l < k; l += 2)
      bits[i * k + l / 2] = rounded(a[i * k + l]) >> 16 | rounded(a[i * k + l + 1]);
#else
  for (int64_t i = 0; i < rows * k; i++) bits[i] = rounded(a[i]);
#endif
}

/* A panel of k rows of f32, k even, into pairs. */
void LOOP_NAME(gemm_pairs_bf16)(int64_t k, const float *from, uint16_t *to) {
  uint32_t *pairs = (uint32_t *)(void *)to;
  for (int64_t l = 0; l < k; l += 2, from += 2 * COLUMNS, pairs += COLUMNS)
    for (int64_t j = 0; j < COLUMNS; j++)
      pairs[j] = rounded(from[j]) >> 16 | rounded(from[COLUMNS + j]);
}
