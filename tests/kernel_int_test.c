/* tests/kernel_int_test.c: products of integers and dynamic quantisation against plain loops, bit
 * by bit: all pairs of dtypes, sizes that fill no panel, zero points of all forms, weights that
 * would saturate 16 bits, one to three threads. Which CPU level runs is RLX_CPU_LEVEL's business. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/gemm_int.h"
#include "cpu/quantize.h"
#include "kernel_help.h"

enum fill { ANY, MOST, LEAST, SMALL, FILLS };
enum zeros { NONE, ONE, EACH, ZEROS };

typedef struct product {
  int64_t m, k, n, batch;
  rlx_dtype a_type, b_type;
  enum zeros a_zero, b_zero;
  bool packed; /* b is a constant */
  enum fill fill;
  uint32_t threads;
} product;

static size_t width(rlx_dtype d) { return rlx_dtype_get(d)->block_bytes; }

static void *numbers(rlx_dtype type, int64_t n, enum fill fill) {
  const size_t bytes = (size_t)n * width(type);
  uint8_t *to = malloc(bytes + 1);
  assert_non_null(to);
  for (size_t i = 0; i < bytes; i++) {
    const uint8_t each[FILLS] = {(uint8_t)kernel_draw(), type == RLX_I8 ? 0x7F : 0xFF,
                                 type == RLX_I8 ? 0x80 : 0, (uint8_t)(kernel_draw() % 41 - 20)};
    to[i] = each[fill];
  }
  return to;
}

static int64_t at(const void *p, rlx_dtype type, int64_t i) {
  switch (type) {
    case RLX_U8: return ((const uint8_t *)p)[i];
    case RLX_I8: return ((const int8_t *)p)[i];
    case RLX_U16: return ((const uint16_t *)p)[i];
    default: return ((const int16_t *)p)[i];
  }
}

/* The element [row][column] of one batch. */
static int32_t expected(const product *p, void *const *in, int64_t batch, int64_t row,
                        int64_t col) {
  const int64_t za = p->a_zero ? at(in[2], p->a_type, p->a_zero == EACH ? row : 0) : 0;
  const int64_t zb = p->b_zero ? at(in[3], p->b_type, p->b_zero == EACH ? col : 0) : 0;
  uint64_t sum = 0;
  for (int64_t k = 0; k < p->k; k++) {
    const int64_t a = at(in[0], p->a_type, (batch * p->m + row) * p->k + k) - za;
    const int64_t b = at(in[1], p->b_type, (batch * p->k + k) * p->n + col) - zb;
    sum += (uint64_t)(a * b);
  }
  return (int32_t)(uint32_t)sum;
}

static void *aligned(size_t bytes) {
  void *p = aligned_alloc(64, bytes / 64 * 64 + 64);
  assert_non_null(p);
  memset(p, 0x5A, bytes / 64 * 64 + 64);
  return p;
}

static void *pack(gemm_int *g, const product *p, const void *b) {
  const bool bytes = gemm_int_bytes(p->a_type, p->b_type, p->k);
  gemm_int_source s = {b, p->b_type, p->k, p->n, bytes, p->threads, NULL};
  void *plan = NULL;
  if (s.bytes) {
    plan = aligned(gemm_int_plan_bytes(&s));
    gemm_int_plan(&s, plan);
    s.plan = plan;
  }
  void *to = aligned(gemm_int_pack_bytes(&s));
  gemm_int_pack(&s, to);
  free(plan);
  g->bytes = s.bytes;
  return to;
}

static void check(const product *p) {
  const int64_t a_at[] = {0, p->m * p->k}, b_at[] = {0, p->k * p->n};
  gemm_int g = {.m = p->m, .n = p->n, .k = p->k, .batch = p->batch, .a_at = a_at, .b_at = b_at};
  g.a_type = p->a_type;
  g.b_type = p->b_type;
  g.a_zeros = p->a_zero == EACH ? p->m : p->a_zero;
  g.b_zeros = p->b_zero == EACH ? p->n : p->b_zero;
  g.b_centred = !p->b_zero && gemm_int_centre(p->b_type) == 0;
  g.out_bytes = sizeof(int32_t);
  void *in[] = {numbers(p->a_type, p->batch * p->m * p->k, p->fill),
                numbers(p->b_type, p->batch * p->k * p->n, p->fill),
                numbers(p->a_type, p->m, ANY), numbers(p->b_type, p->n, ANY)};
  void *weights = p->packed ? pack(&g, p, in[1]) : NULL;
  g.weights = weights;
  size_t scratch;
  gemm_int_prepare(&g, p->threads, &scratch);
  cpu_run run = {aligned(scratch), p->threads};
  int32_t *out = aligned((size_t)(p->batch * p->m * p->n) * sizeof *out);
  assert_int_equal(gemm_int_run(&g, &run, (const void *const *)in, (void *[]){out}), RLX_OK);
  for (int64_t i = 0; i < p->batch * p->m * p->n; i++)
    assert_int_equal(out[i], expected(p, in, i / p->n / p->m, i / p->n % p->m, i % p->n));
  for (size_t i = 0; i < 4; i++) free(in[i]);
  free(weights);
  free(run.scratch);
  free(out);
}

static void test_products(void **state) {
  (void)state;
  static const rlx_dtype types[] = {RLX_U8, RLX_I8, RLX_U16, RLX_I16};
  static const int64_t sizes[][3] = {{1, 1, 1},   {2, 3, 5},   {17, 9, 33}, {5, 64, 32},
                                     {3, 130, 70}, {70, 8, 40}, {1, 0, 3}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (size_t i = 0; i < 16; i++)
      for (int zeros = 0; zeros < ZEROS * ZEROS; zeros++)
        for (int fill = 0; fill < 2 * FILLS; fill++) {
          product p = {sizes[s][0], sizes[s][1], sizes[s][2], 1, types[i / 4], types[i % 4]};
          p.a_zero = (enum zeros)(zeros / ZEROS);
          p.b_zero = (enum zeros)(zeros % ZEROS);
          p.fill = (enum fill)(fill / 2);
          p.packed = fill % 2;
          p.threads = 1;
          check(&p);
        }
}

/* Enough work for several threads, many panels and blocks of rows. */
static void test_threads(void **state) {
  (void)state;
  for (uint32_t threads = 1; threads <= 3; threads++)
    for (int packed = 0; packed < 2; packed++) {
      check(&(product){70, 96, 550, 1, RLX_U8, RLX_I8, ONE, NONE, packed, SMALL, threads});
      check(&(product){20, 520, 300, 1, RLX_U8, RLX_I8, ONE, NONE, packed, ANY, threads});
      check(&(product){130, 250, 100, 1, RLX_I8, RLX_U8, EACH, EACH, packed, ANY, threads});
    }
  check(&(product){65, 100, 250, 2, RLX_U8, RLX_I8, ONE, ONE, false, ANY, 2});
}

/* --- quantisation */

static void check_quantize(const float *x, int64_t n, uint32_t threads) {
  float low = 0, high = 0, nan = 0;
  for (int64_t i = 0; i < n; i++) {
    low = fminf(low, x[i]);
    high = fmaxf(high, x[i]);
    if (isnan(x[i])) nan = x[i];
  }
  const float step = (high - low) / 255 + nan, scale = step == 0 ? 1 : step;
  const float zero = fminf(fmaxf(rintf(-low / scale), 0), 255);
  quantize_dynamic p = {n, threads};
  size_t scratch;
  quantize_dynamic_prepare(&p, threads, &scratch);
  cpu_run run = {aligned(scratch), threads};
  uint8_t *q = aligned((size_t)n), got_zero;
  float got_scale;
  void *out[] = {q, &got_scale, &got_zero};
  assert_int_equal(quantize_dynamic_run(&p, &run, (const void *[]){x}, out), RLX_OK);
  assert_true(isnan(scale) ? isnan(got_scale) : scale == got_scale);
  assert_int_equal(got_zero, isnan(scale) ? 0 : (int)zero);
  for (int64_t i = 0; i < n; i++) {
    const float v = rintf(x[i] / scale) + zero; /* NaN is 0 */
    assert_int_equal(q[i], v > 0 ? (v < 255 ? (int)v : 255) : 0);
  }
  free(run.scratch);
  free(q);
}

static void test_quantize(void **state) {
  (void)state;
  enum { MOST_OF = 50000 };
  static float x[MOST_OF];
  static const float bounds[][2] = {{-1, 3}, {0, 255}, {-127.5f, 127.5f}, {2, 9}, {-1e-41f, 1e-40f},
                                    {-5, -1}, {-3e38f, 3e38f}};
  static const float special[] = {0, NAN, INFINITY, -INFINITY, 1e30f};
  for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
    const float step = bounds[b][1] / 1e6f - bounds[b][0] / 1e6f;
    for (int64_t i = 0; i < MOST_OF; i++) x[i] = bounds[b][0] + (float)(kernel_draw() % 1000001) * step;
    for (uint32_t threads = 1; threads <= 3; threads++) check_quantize(x, MOST_OF, threads);
    for (int64_t n = 0; n < 70; n++) check_quantize(x, n, 1);
  }
  for (size_t s = 0; s < sizeof special / sizeof *special; s++)
    for (int64_t i = 0; i < 40; i += 13) {
      float few[40] = {0};
      few[i] = special[s];
      few[39] = -1;
      check_quantize(few, 40, 1);
    }
  for (int64_t i = 0; i < 512; i++) x[i] = (float)(i - 256) / 2; /* ties, at a scale of 1 */
  x[512] = 255 - 128;
  x[0] = -128;
  check_quantize(x, 513, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_products),
                                     cmocka_unit_test(test_threads),
                                     cmocka_unit_test(test_quantize)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
