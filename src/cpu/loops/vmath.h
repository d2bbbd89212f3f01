/* cpu/loops/vmath.h: elementary functions of f32 as straight-line code that the compiler vectorises
 * inside `#pragma omp simd` loops, at every level. To be included by files of this folder only.
 *
 * Errors, in units of the last place of the result (vmath_test sweeps every level): exp, exp2,
 * expm1, log, log2, log10, log1p, sin, cos and pow 2; sigmoid, tanh, softplus and log_sigmoid 3;
 * erf 6. gelu is within 3e-6 of the result (or 1e-12); silu, mish and gelu_tanh are products with
 * e^x, whose exponent carries its own rounding: 3e-6 of the result (or 1e-13).
 * NaN gives NaN; infinities, zeros and subnormal arguments and results are as in C's functions.
 * sin and cos hold up to V_ANGLE_MAX. */
#ifndef CPU_LOOPS_VMATH_H
#define CPU_LOOPS_VMATH_H

#include <stdint.h>

#define V_INLINE static inline __attribute__((always_inline, unused))

typedef union v_word {
  float f;
  int32_t i;
  uint32_t u;
} v_word;
typedef union v_wide {
  double d;
  uint64_t u;
} v_wide;

V_INLINE float v_float(uint32_t u) { return (v_word){.u = u}.f; }
V_INLINE uint32_t v_bits(float f) { return (v_word){.f = f}.u; }
V_INLINE float v_abs(float x) { return v_float(v_bits(x) & 0x7fffffffu); }
V_INLINE float v_copysign(float x, float sign) {
  return v_float((v_bits(x) & 0x7fffffffu) | (v_bits(sign) & 0x80000000u));
}
/* NaN stays in x. */
V_INLINE float v_atmost(float x, float max) { return x > max ? max : x; }
V_INLINE float v_atleast(float x, float min) { return x < min ? min : x; }

V_INLINE float v_clamp(float x, float min, float max) { return v_atmost(v_atleast(x, min), max); }

/* Adding this leaves the nearest integer in the low bits. */
#define V_ROUND 12582912.0f
#define V_WIDE_ROUND 6755399441055744.0

/* 2^n for n in [-126, 127]. */
V_INLINE float v_power(int32_t n) { return v_float((uint32_t)(n + 127) << 23); }
/* p 2^n with one rounding for p near 1 and n in [-160, 160]. */
V_INLINE float v_scale(float p, int32_t n) {
  const int32_t half = n >> 1;
  return p * v_power(half) * v_power(n - half);
}

/* x = n log 2 + r, |r| <= log(2) / 2; the first factor's multiples are exact. */
V_INLINE float v_log2_rest(float x, int32_t *n) {
  const float t = x * 1.44269504f + V_ROUND, whole = t - V_ROUND;
  *n = (int32_t)(v_bits(t) - v_bits(V_ROUND));
  return x - whole * 0.693359375f + whole * 2.12194440e-4f;
}

/* e^x / 2^n, near 1. */
V_INLINE float v_exp_part(float x, int32_t *n) {
  const float r = v_log2_rest(x, n);
  float p = 0.00139505998f;
  p = p * r + 0.00836895406f;
  p = p * r + 0.041666206f;
  p = p * r + 0.166665182f;
  p = p * r + 0.5f;
  return p * (r * r) + r + 1.0f;
}
V_INLINE float v_exp(float x) {
  int32_t n;
  const float p = v_exp_part(v_atmost(v_atleast(x, -104.0f), 89.0f), &n);
  return v_scale(p, n);
}
/* For x <= 0; 0 where the result would be subnormal. */
V_INLINE float v_exp_down(float x) {
  int32_t n;
  const float p = v_exp_part(v_atleast(x, -87.0f), &n);
  return x < -87.0f ? 0.0f : p * v_power(n);
}

V_INLINE float v_exp2_rest(float r) {
  float p = 0.000154761918f;
  p = p * r + 0.00134005502f;
  p = p * r + 0.00961800478f;
  p = p * r + 0.0555032715f;
  p = p * r + 0.240226507f;
  p = p * r + 0.693147182f;
  return p * r + 1.0f;
}
V_INLINE float v_exp2(float x) {
  x = v_atmost(v_atleast(x, -151.0f), 129.0f);
  const float t = x + V_ROUND, r = x - (t - V_ROUND);
  return v_scale(v_exp2_rest(r), (int32_t)(v_bits(t) - v_bits(V_ROUND)));
}
/* e^x as the cheapest loop has it, for softmax: x <= 0; 0 where the result would be subnormal;
 * 2 + |x| / 4 units off, without fused products 2 + 2 |x|. */
V_INLINE float v_exp_soft(float x) {
  const float t = x * 1.44269504f + V_ROUND, r = x * 1.44269504f - (t - V_ROUND);
  const float y = v_float(v_bits(v_exp2_rest(r)) + (v_bits(t) << 23));
  return x < -87.0f ? 0.0f : y;
}

/* As 2 (s q + s - 1/2) with s = 2^(n-1), which does not overflow before the result does. */
V_INLINE float v_expm1(float x) {
  int32_t n;
  const float zero = x;
  x = v_atmost(v_atleast(x, -20.0f), 89.0f);
  const float r = v_log2_rest(x, &n);
  float p = 0.00138825073f;
  p = p * r + 0.00836658012f;
  p = p * r + 0.0416672006f;
  p = p * r + 0.166665435f;
  p = p * r + 0.5f;
  const float q = p * (r * r) + r, s = v_power(n - 1);
  const float y = (s * q + (s - 0.5f)) * 2.0f;
  return zero == 0.0f ? zero : y;
}

/* x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); log(1 + f) = f + *rest. */
V_INLINE float v_log_parts(float x, float *e, float *rest) {
  const float small = x < 1.17549435e-38f ? 8388608.0f : 1.0f; /* subnormal: made larger */
  const uint32_t bits = v_bits(x * small);
  const int32_t n = (int32_t)(bits - 0x3f3504f3u) >> 23;
  const float f = v_float(bits - ((uint32_t)n << 23)) - 1.0f, square = f * f;
  float p = 0.0674660131f;
  p = p * f - 0.116756417f;
  p = p * f + 0.118881747f;
  p = p * f - 0.124055915f;
  p = p * f + 0.142195508f;
  p = p * f - 0.166679963f;
  p = p * f + 0.200021192f;
  p = p * f - 0.250000089f;
  p = p * f + 0.333333135f;
  *e = (float)n - (small > 1.0f ? 23.0f : 0.0f);
  *rest = p * f * square - 0.5f * square;
  return f;
}
/* What logarithms are outside the positive finite numbers. */
V_INLINE float v_log_edge(float x, float y) {
  y = x == 0.0f ? -__builtin_inff() : y;
  y = x < 0.0f ? __builtin_nanf("") : y;
  return x < __builtin_inff() ? y : x; /* infinity and NaN stay */
}
V_INLINE float v_log(float x) {
  float e, rest;
  const float f = v_log_parts(x, &e, &rest);
  rest -= e * 2.12194440e-4f;
  return v_log_edge(x, rest + f + e * 0.693359375f);
}
/* log(1 + f) times a constant, whose first part has few bits. */
V_INLINE float v_log2(float x) {
  float e, rest;
  const float f = v_log_parts(x, &e, &rest);
  const float high = v_float(v_bits(f) & 0xfffff000u), low = f - high + rest;
  return v_log_edge(x, high * 1.4423828125f + (low * 1.44269504f + high * 3.12228389e-4f) + e);
}
V_INLINE float v_log10(float x) {
  float e, rest;
  const float f = v_log_parts(x, &e, &rest);
  const float high = v_float(v_bits(f) & 0xfffff000u), low = f - high + rest;
  const float y = low * 0.434294482f + high * 7.00731903e-4f + e * 4.60503907e-6f;
  return v_log_edge(x, y + high * 0.43359375f + e * 0.301025391f);
}
/* What x loses in 1 + x comes back in first order. */
V_INLINE float v_log1p(float x) {
  const float one = 1.0f + x, lost = x - (one - 1.0f), y = v_log(one);
  const float r = y + lost / one;
  return v_abs(x) < 5.9604645e-8f ? x : (one > 0.0f && one < __builtin_inff() ? r : y);
}

/* By e^(-|x|), so that neither end loses digits. */
V_INLINE float v_sigmoid(float x) {
  const float e = v_exp(-v_abs(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
V_INLINE float v_tanh(float x) {
  const float t = v_expm1(-2.0f * v_abs(x));
  const float y = -t / (t + 2.0f);
  return v_copysign(x == x ? y : x, x);
}

#define V_ERF_ONE 3.925f /* from here on erf is 1 */
V_INLINE float v_erf(float x) {
  const float u = x * x;
  float p = 2.04605442e-06f, q = 3.80480922e-05f;
  p = p * u + 0.000284844142f;
  p = p * u + 0.00377250919f;
  p = p * u + 0.0527691704f;
  p = p * u + 0.190592577f;
  p = p * u + 1.12837915f;
  q = q * u + 0.00116385088f;
  q = q * u + 0.0149831123f;
  q = q * u + 0.11418226f;
  q = q * u + 0.502241004f;
  q = q * u + 1.0f;
  const float y = v_atleast(v_atmost(x * (p / q), 1.0f), -1.0f);
  return v_abs(x) >= V_ERF_ONE ? v_copysign(1.0f, x) : y;
}

/* x (if positive) less |x| times the normal distribution's weight beyond |x|, 1 / (2 p(|x|)^16): so
 * small results keep their digits, and large ones are exact. */
V_INLINE float v_gelu(float x) {
  const float a = v_abs(v_atmost(x, 30.0f));
  float p = 2.68486983e-09f;
  p = p * a - 5.49688016e-08f;
  p = p * a + 6.2350409e-07f;
  p = p * a - 3.27367592e-06f;
  p = p * a + 1.34350896e-05f;
  p = p * a + 4.03749795e-05f;
  p = p * a + 3.92676182e-05f;
  p = p * a + 0.00328138144f;
  p = p * a + 0.0211389142f;
  p = p * a + 0.0498676055f;
  p = p * a + 1.0f;
  p *= p;
  p *= p;
  p *= p;
  p *= p;
  return (x < 0.0f ? 0.0f : x) - a * (0.5f / p);
}
/* (1 + tanh u) / 2 = sigmoid(2 u) */
V_INLINE float v_gelu_tanh(float x) {
  return x * v_sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
}
V_INLINE float v_silu(float x) { return x * v_sigmoid(x); }
/* log(1 + x) for x in [0, 1] as 2 artanh(x / (2 + x)). */
V_INLINE float v_log1p_unit(float x) {
  const float s = x / (2.0f + x), u = s * s;
  float p = 0.24300938f;
  p = p * u + 0.21427657f;
  p = p * u + 0.28616885f;
  p = p * u + 0.39998878f;
  p = p * u + 0.66666676f;
  return p * u * s + 2.0f * s;
}
V_INLINE float v_softplus(float x) {
  return v_log1p_unit(v_exp(-v_abs(x))) + (x < 0.0f ? 0.0f : x);
}
V_INLINE float v_log_sigmoid(float x) { return -v_softplus(-x); }
/* tanh(log(1 + w)) = w (w + 2) / (w (w + 2) + 2), w = e^x; 1 from 20 on. */
V_INLINE float v_mish(float x) {
  const float w = v_exp(v_atmost(x, 20.0f)), t = w * (w + 2.0f);
  return x * (t / (t + 2.0f));
}

#define V_ANGLE_MAX 1e6f
/* sin(x + turn pi / 2); the quarter turns are counted and taken off in double. */
V_INLINE float v_sine(float x, uint32_t turn) {
  const double t = (double)x * 0.63661977236758134308 + V_WIDE_ROUND, n = t - V_WIDE_ROUND;
  const uint32_t quarter = (uint32_t)(v_wide){.d = t}.u + turn;
  const float r = (float)((double)x - n * 1.57079632673412561417 - n * 6.07710050650619224932e-11);
  const float u = r * r;
  float s = -1.95169764e-4f, c = 2.4438089e-5f;
  s = s * u + 8.33217584e-3f;
  s = s * u - 1.66666549e-1f;
  s = s * u * r + r;
  c = c * u - 1.38873645e-3f;
  c = c * u + 4.16666468e-2f;
  c = c * u * u - 0.5f * u + 1.0f;
  const float y = quarter & 1 ? c : s;
  return v_float(v_bits(y) ^ (quarter & 2) << 30);
}
V_INLINE float v_sin(float x) { return v_sine(x, 0); }
V_INLINE float v_cos(float x) { return v_sine(x, 1); }

/* x^y by log2 and exp2 in double, where x is finite and, if negative, y whole. */
V_INLINE int32_t v_is_whole(float y) { return y == (float)(int32_t)y; }
V_INLINE int32_t v_pow_ordinary(float x, float y) {
  const float near = v_clamp(y, -1e7f, 1e7f);
  return (v_abs(x) < __builtin_inff()) & (y == near) & ((x >= 0.0f) | v_is_whole(near));
}
V_INLINE float v_pow(float x, float y) {
  const float size = v_abs(x), small = size < 1.17549435e-38f ? 8388608.0f : 1.0f;
  const uint32_t bits = v_bits(size * small), n = (uint32_t)((int32_t)(bits - 0x3f3504f3u) >> 23);
  const double m = (double)v_float(bits - (n << 23)), s = (m - 1.0) / (m + 1.0), u = s * s;
  double p = 0.22195308321368669;
  p = p * u + 0.26230818925253882;
  p = p * u + 0.32059889797532520;
  p = p * u + 0.41219858311113243;
  p = p * u + 0.57707801635558536;
  p = p * u + 0.96179669392597560;
  p = p * u + 2.88539008177792681;
  const double whole = (double)((float)(int32_t)n - (small > 1.0f ? 23.0f : 0.0f));
  double e = (size > 0.0f ? whole + p * s : -1e30) * (double)y;
  e = e < -200.0 ? -200.0 : e > 200.0 ? 200.0 : e;
  const double t = e + V_WIDE_ROUND, r = e - (t - V_WIDE_ROUND);
  double q = 1.52527338040598403e-5;
  q = q * r + 1.54035303933816099e-4;
  q = q * r + 1.33335581464284434e-3;
  q = q * r + 9.61812910762847716e-3;
  q = q * r + 5.55041086648215800e-2;
  q = q * r + 2.40226506959100712e-1;
  q = q * r + 6.93147180559945309e-1;
  q = q * r + 1.0;
  const uint64_t two = ((v_wide){.d = t}.u + 1023) << 52;
  const uint32_t odd = (uint32_t)v_is_whole(y) & (uint32_t)(int32_t)y & v_bits(x) >> 31;
  return v_float(v_bits((float)(q * (v_wide){.u = two}.d)) ^ odd << 31);
}

#endif
