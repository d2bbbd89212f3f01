/* cpu/loops/product.h: small products of matrices for kernels that keep one side of them in panels
 * of 16 columns and read the other where it lies.
 *
 *   c[i][j] (+)= sum over k of a[i * row + k * step] b[k][j],   j below 16
 *
 * b and c are dense and 64-byte aligned. Sums run in order of k, whatever the tile. */
#ifndef CPU_LOOPS_PRODUCT_H
#define CPU_LOOPS_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __clang__
#define PRODUCT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define PRODUCT_UNROLL _Pragma("GCC unroll 16")
#endif

/* A tile of TALL rows fills the vector registers. */
#if defined __AVX512F__
enum { VECTOR = 16, TALL = 12, MIDDLE = 4 };
#elif defined __AVX2__
enum { VECTOR = 8, TALL = 6, MIDDLE = 4 };
#else
enum { VECTOR = 4, TALL = 2, MIDDLE = 1 };
#endif
enum { PANEL = 16, VECTORS = PANEL / VECTOR };

typedef float vector __attribute__((vector_size(VECTOR * sizeof(float)), may_alias));

/* `rows` is a constant wherever this is called: the sums then stay in registers. */
static inline __attribute__((always_inline)) void product_tile(int rows, const float *a,
                                                               int64_t row, int64_t step, int64_t n,
                                                               const float *b, float *c, bool add) {
  vector sum[TALL][VECTORS];
  PRODUCT_UNROLL for (int i = 0; i < rows; i++) PRODUCT_UNROLL for (int v = 0; v < VECTORS; v++)
      sum[i][v] = add ? ((const vector *)(const void *)(c + i * PANEL))[v] : (vector){0};
  for (int64_t k = 0; k < n; k++) {
    const vector *x = (const vector *)(const void *)(b + k * PANEL);
    PRODUCT_UNROLL for (int i = 0; i < rows; i++) {
      const float y = a[i * row + k * step];
      PRODUCT_UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] += y * x[v];
    }
  }
  PRODUCT_UNROLL for (int i = 0; i < rows; i++)
      PRODUCT_UNROLL for (int v = 0; v < VECTORS; v++)((vector *)(void *)(c + i * PANEL))[v] =
          sum[i][v];
}

/* c [rows, 16], with or without what it holds. */
static inline __attribute__((always_inline)) void product(int64_t rows, const float *a, int64_t row,
                                                          int64_t step, int64_t n, const float *b,
                                                          float *c, bool add) {
  int64_t i = 0;
  for (; i + TALL <= rows && !(TALL == 6 && rows - i == 8); i += TALL) /* eight are two fours */
    product_tile(TALL, a + i * row, row, step, n, b, c + i * PANEL, add);
  for (; i + MIDDLE <= rows; i += MIDDLE)
    product_tile(MIDDLE, a + i * row, row, step, n, b, c + i * PANEL, add);
  for (; i < rows; i++) product_tile(1, a + i * row, row, step, n, b, c + i * PANEL, add);
}

#endif
