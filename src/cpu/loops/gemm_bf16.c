/* cpu/loops/gemm_bf16.c: products of bf16 factors, summed in f32.
 *
 * Where the CPU multiplies pairs of two neighbouring k's, panels hold COLUMNS pairs at a time, rows
 * of a are pairs too, at the front of the room of their f32s, and denormal factors count as 0.
 * Elsewhere rows are f32 that are rounded to bf16, and b is widened in registers. */
#include "cpu/gemm.h"
#include "cpu/loops/half.h"
#include "cpu/loops/loops.h"
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define REAL float
#include "cpu/loops/gemm_tile.h"

#ifndef __AVX512BF16__
INLINED vector widened(const uint16_t *p) {
#if defined(__AVX512F__)
  const __m256i halves = _mm256_loadu_si256((const void *)p);
  return (vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
#elif defined(__AVX2__)
  const __m128i halves = _mm_loadu_si128((const void *)p);
  return (vector)_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
#else
  union {
    uint32_t words[VECTOR];
    vector v;
  } wide;
  for (int j = 0; j < VECTOR; j++) wide.words[j] = (uint32_t)p[j] << 16;
  return wide.v;
#endif
}
#endif

/* rows x (vectors * VECTOR) sums */
INLINED void sums_run(const int rows, const int vectors, const int parts, const gemm_block *p,
                      const sums_place *t) {
  vector sum[12][2];
  const uint16_t *b = t->b;
  const int64_t a_row = p->a_row;
  (void)parts;
  sums_start(rows, vectors, p, t, sum);
#ifdef __AVX512BF16__
  for (int64_t l = 0; l < p->k; l += 2, b += 2 * COLUMNS) {
    __m512i pair[2];
    next_fetch(t, l);
    for (int j = 0; j < vectors; j++) pair[j] = _mm512_loadu_si512(b + 2 * j * VECTOR);
    for (int i = 0; i < rows; i++) {
      const __m512i left = _mm512_set1_epi32(((const int32_t *)t->a)[i * a_row + l / 2]);
      for (int j = 0; j < vectors; j++)
        sum[i][j] = (vector)_mm512_dpbf16_ps((__m512)sum[i][j], (__m512bh)left, (__m512bh)pair[j]);
    }
  }
#else
  for (int64_t l = 0; l < p->k; l++, b += COLUMNS) {
    vector right[2];
    next_fetch(t, l);
    for (int j = 0; j < vectors; j++) right[j] = widened(b + j * VECTOR);
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < vectors; j++) sum[i][j] += t->a[i * a_row + l] * right[j];
  }
#endif
  sums_end(rows, vectors, t, sum);
}

void LOOP_NAME(gemm_block_bf16)(const gemm_block *p) { block_run(p, sizeof(uint16_t)); }

/* Rows of k f32 each, k even, into what tiles take. */
void LOOP_NAME(gemm_rows_bf16)(int64_t rows, int64_t k, float *a) {
  uint32_t *bits = (uint32_t *)(void *)a;
#ifdef __AVX512BF16__
  for (int64_t i = 0; i < rows; i++)
    for (int64_t l = 0; l < k; l += 2)
      bits[i * k + l / 2] = to_bf16(a[i * k + l]) | to_bf16(a[i * k + l + 1]) << 16;
#else
  for (int64_t i = 0; i < rows * k; i++) bits[i] = to_bf16(a[i]) << 16;
#endif
}

/* k rows of a panel of f32, k even, into bf16. */
void LOOP_NAME(gemm_panel_bf16)(int64_t k, const float *from, uint16_t *to) {
#ifdef __AVX512BF16__
  uint32_t *pairs = (uint32_t *)(void *)to;
  for (int64_t l = 0; l < k; l += 2, from += 2 * COLUMNS, pairs += COLUMNS)
    for (int64_t j = 0; j < COLUMNS; j++)
      pairs[j] = to_bf16(from[j]) | to_bf16(from[COLUMNS + j]) << 16;
#else
  for (int64_t i = 0; i < k * COLUMNS; i++) to[i] = (uint16_t)to_bf16(from[i]);
#endif
}
