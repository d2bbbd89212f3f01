/* tests/vmath_test.c: the f32 functions of tile programs at each CPU level of this machine against
 * C's in double: arguments all over the range, and densely where results are of the size of 1. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/tile.h"

enum { N = 1024 };

static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double gelu(double x) { return 0.5 * x * erfc(-x * 0.70710678118654752440); }
static double gelu_tanh(double x) {
  return x * sigmoid(1.59576912160573071176 * (x + 0.044715 * x * x * x));
}
static double silu(double x) { return x * sigmoid(x); }
static double softplus(double x) { return log1p(exp(-fabs(x))) + (x > 0 ? x : 0); }
static double log_sigmoid(double x) { return -softplus(-x); }
static double mish(double x) { return x * tanh(softplus(x)); }
static double rsqrt(double x) { return 1 / sqrt(x); }

/* The error may be `ulp` units in the last place, or `relative` with `absolute` beside it. */
typedef struct function {
  const char *name;
  double (*exact)(double x);
  double ulp, relative, absolute;
} function;
static const function functions[] = {
    {"exp", exp, 2},           {"exp2", exp2, 2},         {"expm1", expm1, 2},
    {"log", log, 2},           {"log2", log2, 2},         {"log10", log10, 2},
    {"log1p", log1p, 2},       {"sin", sin, 2},           {"cos", cos, 2},
    {"sigmoid", sigmoid, 3},   {"tanh", tanh, 3},         {"softplus", softplus, 3},
    {"erf", erf, 6},           {"sqrt", sqrt, 1},         {"rsqrt", rsqrt, 2},
    {"tan", tan, 2},           {"asin", asin, 2},         {"acosh", acosh, 2},
    {"gelu", gelu, 4, 3e-6, 1e-12},
    {"silu", silu, 4, 3e-6, 1e-13},
    {"mish", mish, 4, 3e-6, 1e-13},
    {"gelu_tanh", gelu_tanh, 4, 3e-6, 1e-13},
    {"log_sigmoid", log_sigmoid, 3},
};

static double unit(double y) {
  int e;
  frexp(y, &e);
  return ldexp(1, (e < -125 ? -125 : e) - 24);
}

static bool right(const function *f, double got, double want) {
  const float rounded = (float)want;
  if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
  if (isinf(got) || isinf(rounded)) return got == rounded;
  const double error = fabs(got - want);
  return error <= f->ulp * unit(want) || error <= f->relative * fabs(want) + f->absolute;
}

static void check(const char *level, const function *f, cpu_step step, const float *x) {
  float y[N];
  const double p[2] = {0};
  step(y, x, x, x, p, N);
  for (int i = 0; i < N; i++) {
    if (isinf(x[i]) && isnan(y[i])) continue; /* inf times 0: as C's reference has it, or a limit */
    const double want = f->exact(x[i]);
    if (!right(f, y[i], want))
      fail_msg("%s(%.9g) at %s is %.9g, wanted %.9g", f->name, x[i], level, y[i], want);
  }
}

static void test_functions(void **state) {
  (void)state;
  for (size_t l = 0; cpu_level_at(l); l++)
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++) {
      const cpu_step step = cpu_level_at(l)->tile_step(functions[k].name, TILE_F32);
      float x[N];
      assert_non_null(step);
      for (uint64_t bits = 0; bits < (uint64_t)1 << 32;) {
        for (int i = 0; i < N; i++, bits += 30011) memcpy(&x[i], &(uint32_t){(uint32_t)bits}, 4);
        check(cpu_level_at(l)->level, &functions[k], step, x);
      }
      for (int at = -40; at < 40; at++) {
        for (int i = 0; i < N; i++) x[i] = ((float)at + (float)i / N) / 4;
        check(cpu_level_at(l)->level, &functions[k], step, x);
      }
    }
}

static void test_pow(void **state) {
  (void)state;
  static const float ys[] = {2, 3, -1, 0.5f, -2.5f, 0, 1, 7, 31, 1e8f, -1e30f, INFINITY, NAN, 0.3f};
  const function f = {"pow", NULL, 2};
  const double p[2] = {0};
  for (size_t l = 0; cpu_level_at(l); l++)
    for (size_t k = 0; k < sizeof ys / sizeof ys[0]; k++)
      for (uint64_t bits = 0; bits < (uint64_t)1 << 32;) {
        float x[64], y[64], r[64]; /* few at once: some runs are all ordinary, some are not */
        for (int i = 0; i < 64; i++, bits += 200003) {
          memcpy(&x[i], &(uint32_t){(uint32_t)bits}, 4);
          if (isnan(x[i])) x[i] = NAN; /* a quiet one */
          y[i] = ys[k];
        }
        cpu_level_at(l)->tile_step("pow", TILE_F32)(r, x, y, y, p, 64);
        for (int i = 0; i < 64; i++) {
          const double want = pow(x[i], y[i]);
          if (!right(&f, r[i], want) || (r[i] == 0 && !signbit(r[i]) != !signbit(want)))
            fail_msg("pow(%.9g, %.9g) at %s is %.9g", x[i], y[i], cpu_level_at(l)->level, r[i]);
        }
      }
}

/* All halves there and back, at each level; and what lies between two of them. */
static void test_halves(void **state) {
  (void)state;
  static const rlx_dtype dtypes[] = {RLX_F16, RLX_BF16};
  for (size_t l = 0; cpu_level_at(l); l++)
    for (int k = 0; k < 2; k++)
      for (uint32_t first = 0; first < 65536; first += N) {
        const cpu_loops *loops = cpu_level_at(l);
        uint16_t h[N], back[N];
        float x[N], between[N], fit[N];
        for (uint32_t i = 0; i < N; i++) h[i] = (uint16_t)(first + i);
        loops->tile_load(dtypes[k])(x, h, h, h, NULL, N);
        loops->tile_store(dtypes[k])(back, x, x, x, NULL, N - 3);
        for (uint32_t i = 0; i + 3 < N; i++)
          if (!isnan(x[i])) assert_int_equal(back[i], h[i]);
        for (uint32_t i = 0; i < N; i++) /* the same half, by less than half a unit */
          between[i] = isnan(x[i]) || isinf(x[i]) || x[i] == 0 ? x[i] : x[i] * (1 + 0x1p-14f);
        loops->tile_fit(dtypes[k])(fit, between, between, between, NULL, N);
        for (uint32_t i = 0; i < N; i++)
          assert_true(isnan(x[i]) ? isnan(fit[i]) : fit[i] == x[i]);
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_functions), cmocka_unit_test(test_pow),
                                     cmocka_unit_test(test_halves)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
