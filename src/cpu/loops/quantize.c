/* cpu/loops/quantize.c: reals to integers of 8 bits. */
#include "cpu/loops/loops.h"

#include <string.h>

enum { LANES = 32 };

/* The least and the largest of 0 and n numbers; false if one is NaN. */
bool LOOP_NAME(quantize_range)(const float *x, int64_t n, float *out_low, float *out_high) {
  float low[LANES] = {0}, high[LANES] = {0};
  int nan[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) {
      const float v = x[i + j];
      low[j] = v < low[j] ? v : low[j];
      high[j] = v > high[j] ? v : high[j];
      nan[j] |= v != v;
    }
  for (; i < n; i++) {
    low[0] = x[i] < low[0] ? x[i] : low[0];
    high[0] = x[i] > high[0] ? x[i] : high[0];
    nan[0] |= x[i] != x[i];
  }
  for (int j = 1; j < LANES; j++) {
    low[0] = low[j] < low[0] ? low[j] : low[0];
    high[0] = high[j] > high[0] ? high[j] : high[0];
    nan[0] |= nan[j];
  }
  *out_low = low[0];
  *out_high = high[0];
  return !nan[0];
}

/* x / scale rounded half to even, plus the zero point, saturated; NaN is 0. */
static inline int32_t quantized(float x, float scale, int32_t zero) {
  const float shift = 12582912; /* 1.5 * 2^23: adding it leaves the integer in the low bits */
  float t = x / scale;
  t = t > -512 ? t : -512; /* NaN too */
  t = t < 512 ? t : 512;
  t += shift;
  int32_t bits;
  memcpy(&bits, &t, sizeof bits);
  const int32_t v = bits - 0x4B400000 + zero, low = v < 0 ? 0 : v;
  return low > 255 ? 255 : low;
}

void LOOP_NAME(quantize_u8)(const float *x, int64_t n, float scale, int32_t zero, uint8_t *q) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) q[i] = (uint8_t)quantized(x[i], scale, zero);
}
