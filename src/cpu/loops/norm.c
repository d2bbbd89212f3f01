/* cpu/loops/norm.c: rows brought to mean 0 (or not) and mean square 1, then scaled and shifted.
 *
 * Laws: deviations are taken from a mean rounded to the row's type, and what that is off is put
 * right with their own mean, so a large mean costs no digits. Sums are made as four streams, in
 * blocks of f32, and from there on in f64: mean and variance are within 2^-17 of themselves, in
 * practice 2^-22. Where squares would overflow, or are lost beside a tiny eps, the row is done in
 * f64. */
#include <math.h>

#include "cpu/loops/loops.h"

enum { BLOCK = 1024, STREAMS = 4, WIDE = 16 };

typedef struct moments {
  double mean, square; /* means of x - centre and of its square */
} moments;

#define NORM(T, name)                                                                           \
  static moments name##_block(const T *x, int64_t n, T centre) {                                \
    const int64_t q = n / STREAMS / WIDE * WIDE;                                                \
    T a = 0, b = 0, c = 0, d = 0, aa = 0, bb = 0, cc = 0, dd = 0;                               \
    _Pragma("omp simd reduction(+ : a, b, c, d, aa, bb, cc, dd)")                               \
    for (int64_t i = 0; i < q; i++) {                                                           \
      const T e = x[i] - centre, f = x[i + q] - centre, g = x[i + 2 * q] - centre,              \
              h = x[i + 3 * q] - centre;                                                        \
      a += e, b += f, c += g, d += h;                                                           \
      aa += e * e, bb += f * f, cc += g * g, dd += h * h;                                       \
    }                                                                                           \
    _Pragma("omp simd reduction(+ : a, aa)")                                                    \
    for (int64_t i = STREAMS * q; i < n; i++) {                                                 \
      const T e = x[i] - centre;                                                                \
      a += e;                                                                                   \
      aa += e * e;                                                                              \
    }                                                                                           \
    return (moments){(double)((a + b) + (c + d)), (double)((aa + bb) + (cc + dd))};             \
  }                                                                                             \
  static moments name##_moments(const T *x, int64_t n, T centre) {                              \
    moments m = {0, 0};                                                                         \
    for (int64_t i = 0; i < n; i += BLOCK) {                                                    \
      const moments part = name##_block(x + i, n - i < BLOCK ? n - i : BLOCK, centre);          \
      m.mean += part.mean;                                                                      \
      m.square += part.square;                                                                  \
    }                                                                                           \
    return (moments){m.mean / (double)n, m.square / (double)n};                                 \
  }                                                                                             \
  static T name##_mean(const T *x, int64_t n) {                                                 \
    const int64_t q = n / STREAMS / WIDE * WIDE;                                                \
    T a = 0, b = 0, c = 0, d = 0;                                                               \
    _Pragma("omp simd reduction(+ : a, b, c, d)")                                               \
    for (int64_t i = 0; i < q; i++)                                                             \
      a += x[i], b += x[i + q], c += x[i + 2 * q], d += x[i + 3 * q];                           \
    _Pragma("omp simd reduction(+ : a)")                                                        \
    for (int64_t i = STREAMS * q; i < n; i++) a += x[i];                                        \
    return ((a + b) + (c + d)) / (T)n;                                                          \
  }                                                                                             \
  /* Slow, for rows that are out of range for squares. */                                       \
  static moments name##_wide(const T *x, int64_t n, bool centred) {                             \
    double mean = 0, square = 0;                                                                \
    for (int64_t i = 0; i < n && centred; i++) mean += (double)x[i] / (double)n;                \
    for (int64_t i = 0; i < n; i++) {                                                           \
      const double e = (double)x[i] - mean;                                                     \
      square += e * e / (double)n;                                                              \
    }                                                                                           \
    return (moments){mean, square};                                                             \
  }                                                                                             \
  static inline __attribute__((always_inline)) void name##_last(                                \
      const T *x, T *y, int64_t n, T centre, T root, T shift, const T *scale, const T *bias) {  \
    _Pragma("omp simd")                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                           \
      T v = (x[i] - centre) * root + shift;                                                     \
      if (scale) v *= scale[i];                                                                 \
      if (bias) v += bias[i];                                                                   \
      y[i] = v;                                                                                 \
    }                                                                                           \
  }                                                                                             \
  static void name(const T *x, T *y, int64_t n, bool centred, double eps, const T *scale,       \
                   const T *bias) {                                                             \
    T centre = centred ? name##_mean(x, n) : 0;                                                 \
    moments m = name##_moments(x, n, centre);                                                   \
    double variance = centred ? m.square - m.mean * m.mean : m.square;                          \
    if (!(variance + eps > 1e-30 && variance < 1e36)) {                                         \
      m = name##_wide(x, n, centred);                                                           \
      variance = m.square;                                                                      \
      centre = (T)m.mean;                                                                       \
      m.mean -= (double)centre;                                                                 \
    }                                                                                           \
    const double root = 1 / sqrt(variance + eps);                                               \
    const T r = (T)root, shift = (T)(centred ? -m.mean * root : 0);                             \
    if (scale && bias) name##_last(x, y, n, centre, r, shift, scale, bias);                     \
    else if (scale) name##_last(x, y, n, centre, r, shift, scale, NULL);                        \
    else name##_last(x, y, n, centre, r, shift, NULL, bias);                                    \
  }

NORM(float, norm_row_f32)
NORM(double, norm_row_f64)

/* Rows of n elements, dense in x and y, which may be the same. `scale` and `bias`: n elements each,
 * or NULL. */
void LOOP_NAME(norm_row)(lane_type type, const void *x, void *y, int64_t n, bool centred,
                         double eps, const void *scale, const void *bias) {
  if (type == LANE_F64) norm_row_f64(x, y, n, centred, eps, scale, bias);
  else norm_row_f32(x, y, n, centred, eps, scale, bias);
}
