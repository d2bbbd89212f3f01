/* cpu/loops/softmax.c: softmax and its logarithm along rows of f32.
 *
 * Laws: a row with NaN, with +Inf, or of nothing but -Inf is all NaN. Exponentials are v_exp_soft
 * of x - max, summed in f32 in blocks and from there on in f64: a probability is within
 * (70 + |x - max|) x 2^-24 of itself, or 0 where the exponential is below e^-87; a logarithm within
 * 70 x 2^-24 of the larger of itself and 1. */
#include <math.h>

#include "cpu/loops/loops.h"
#include "cpu/loops/vmath.h"

enum { BLOCK = 256 };

static inline float larger(float x, float max) { return x > max ? x : max; }

static float max_of(const float *x, int64_t n) {
  enum { TILE = 16 };
  float t[TILE], max = -INFINITY;
  int64_t k = 0;
  for (int i = 0; i < TILE; i++) t[i] = -INFINITY;
  for (; k + TILE <= n; k += TILE) {
#pragma omp simd
    for (int i = 0; i < TILE; i++) t[i] = larger(x[k + i], t[i]);
  }
  for (int i = 0; i < TILE; i++) max = larger(t[i], max);
  for (; k < n; k++) max = larger(x[k], max);
  return max;
}

/* The sum of e^(x - max) over at most a block; to y as well. */
static float exponentials(const float *x, float *y, int64_t n, float max) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) {
    y[i] = v_exp_soft(x[i] - max);
    sum += y[i];
  }
  return sum;
}

static void softmax_row(const float *x, float *y, int64_t n) {
  const float max = max_of(x, n);
  double sum = 0;
  for (int64_t i = 0; i < n; i += BLOCK)
    sum += (double)exponentials(x + i, y + i, n - i < BLOCK ? n - i : BLOCK, max);
  const float scale = (float)(1 / sum);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

static void log_softmax_row(const float *x, float *y, int64_t n) {
  const float max = max_of(x, n);
  float unused[BLOCK];
  double sum = 0;
  for (int64_t i = 0; i < n; i += BLOCK)
    sum += (double)exponentials(x + i, unused, n - i < BLOCK ? n - i : BLOCK, max);
  const float shift = (float)log(sum);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = x[i] - max - shift;
}

/* Rows side by side. */
static void softmax_lanes(const float *x, int64_t x_step, float *y, int64_t y_step, int64_t n,
                          int lanes, bool logarithm) {
  float max[ROWS_LANES], last[ROWS_LANES];
  double sum[ROWS_LANES];
  for (int j = 0; j < lanes; j++) {
    max[j] = -INFINITY;
    sum[j] = 0;
  }
  for (int64_t r = 0; r < n; r++)
    for (int j = 0; j < lanes; j++)
      max[j] = larger(x[r * x_step + j], max[j]);
  for (int64_t r = 0; r < n; r++) {
    float e[ROWS_LANES];
#pragma omp simd
    for (int j = 0; j < lanes; j++) e[j] = v_exp_soft(x[r * x_step + j] - max[j]);
    for (int j = 0; j < lanes; j++) sum[j] += (double)e[j];
    for (int j = 0; j < lanes && !logarithm; j++) y[r * y_step + j] = e[j];
  }
  for (int j = 0; j < lanes; j++) last[j] = (float)(logarithm ? log(sum[j]) : 1 / sum[j]);
  for (int64_t r = 0; r < n; r++) {
    const float *from = x + r * x_step;
    float *to = y + r * y_step;
    for (int j = 0; j < lanes && logarithm; j++) to[j] = from[j] - max[j] - last[j];
    for (int j = 0; j < lanes && !logarithm; j++) to[j] *= last[j];
  }
}

void LOOP_NAME(softmax_f32)(const void *how, const void *x, int64_t x_step, void *y, int64_t y_step,
                            int64_t n, int64_t lanes) {
  const bool logarithm = ((const softmax_how *)how)->logarithm;
  if (lanes > 1) softmax_lanes(x, x_step, y, y_step, n, (int)lanes, logarithm);
  else if (logarithm) log_softmax_row(x, y, n);
  else softmax_row(x, y, n);
}
