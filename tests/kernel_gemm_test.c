/* tests/kernel_gemm_test.c: products of matrices against sums in long double, within the bound of
 * cpu/gemm.h: sizes that fill no panel, transposed operands, batches, biases, constants, one to
 * three threads; NaN and infinities; and matmul, linear and dot_general with what is fused behind
 * them against the reference. Which CPU level runs is RLX_CPU_LEVEL's business. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "cpu/gemm.h"
#include "kernel_help.h"

typedef struct product {
  rlx_dtype dtype;
  int64_t batch, m, n, k;
  bool narrow, a_turned, b_turned, b_moves, bias, constant;
  uint32_t threads;
} product;

static size_t width(rlx_dtype d) { return rlx_dtype_get(d)->block_bytes; }

static double get(const void *p, rlx_dtype d, int64_t i) {
  switch (d) {
    case RLX_F64: return ((const double *)p)[i];
    case RLX_F32: return (double)((const float *)p)[i];
    case RLX_F16: return half_to_double(((const uint16_t *)p)[i]);
    default: return bf16_to_double(((const uint16_t *)p)[i]);
  }
}

static void put(void *p, rlx_dtype d, int64_t i, double v) {
  switch (d) {
    case RLX_F64: ((double *)p)[i] = v; return;
    case RLX_F32: ((float *)p)[i] = (float)v; return;
    case RLX_F16: ((uint16_t *)p)[i] = half_from_double(v); return;
    default: ((uint16_t *)p)[i] = bf16_from_double(v);
  }
}

static void *room(size_t bytes) {
  void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
  assert_non_null(p);
  memset(p, 0x77, bytes + 1);
  return p;
}

static void *numbers(rlx_dtype d, int64_t n) {
  void *to = room((size_t)n * width(d));
  for (int64_t i = 0; i < n; i++) put(to, d, i, (double)kernel_draw() / 8388608 - 1);
  return to;
}

static gemm planned(const product *p) {
  gemm g = {.dtype = p->dtype,
            .out_dtype = p->dtype,
            .narrow = p->narrow,
            .m = p->m,
            .n = p->n,
            .k = p->k,
            .a_row = p->a_turned ? 1 : p->k,
            .a_col = p->a_turned ? p->m : 1,
            .b_row = p->b_turned ? 1 : p->n,
            .b_col = p->b_turned ? p->k : 1,
            .c_row = p->n,
            .n_batch = 1,
            .batch = {p->batch},
            .a_step = {p->m * p->k},
            .b_step = {p->b_moves ? p->k * p->n : 0},
            .c_step = {p->m * p->n},
            .bias = p->bias,
            .constant = p->constant,
            .c_width = p->n,
            .threads = p->threads};
  gemm_plan(&g);
  return g;
}

static void *computed(const product *p, const void *const *in) {
  const size_t bytes = (size_t)(p->batch * p->m * p->n) * width(p->dtype);
  gemm g = planned(p);
  void *packed = room(g.pack_bytes), *scratch = room(g.scratch), *c = room(bytes);
  if (g.pack_bytes) gemm_pack(&g, in[1], packed);
  g.packed = packed;
  const void *const kept[] = {in[0], g.pack_bytes ? NULL : in[1], in[2]};
  const cpu_run run = {scratch, p->threads};
  assert_int_equal(gemm_run(&g, &run, kept, (void *const[]){c}), RLX_OK);
  assert_int_equal(((unsigned char *)c)[bytes], 0x77);
  free(packed);
  free(scratch);
  return c;
}

static double factor(const product *p, const void *from, int64_t i) {
  const double v = get(from, p->dtype, i);
  return p->narrow ? bf16_to_double(bf16_from_double(v)) : v;
}

static void check_element(const product *p, const void *const *in, const void *c, int64_t batch,
                          int64_t i, int64_t j) {
  const int64_t a = batch * p->m * p->k, b = p->b_moves ? batch * p->k * p->n : 0;
  long double sum = p->bias ? (long double)get(in[2], p->dtype, j) : 0, size = fabsl(sum);
  for (int64_t l = 0; l < p->k; l++) {
    const double x = factor(p, in[0], a + (p->a_turned ? i + l * p->m : i * p->k + l));
    const double y = factor(p, in[1], b + (p->b_turned ? j * p->k + l : l * p->n + j));
    sum += (long double)x * y;
    size += fabsl((long double)x * y);
  }
  const double last = p->dtype == RLX_F16 ? 0x1p-11 : p->dtype == RLX_BF16 ? 0x1p-8 : 0;
  const long double ulp = p->dtype == RLX_F64 ? 0x1p-53L : 0x1p-24L;
  const long double bound =
      (long double)(p->k + 1) * ulp * size * (1 + last) + last * fabsl(sum) + 0x1p-25L * (last > 0);
  const long double error = fabsl(get(c, p->dtype, (batch * p->m + i) * p->n + j) - sum);
  if (!(error <= bound))
    fail_msg("%s [%lld,%lld,%lld] x %lld: element [%lld,%lld,%lld] is off by %Lg",
             rlx_dtype_get(p->dtype)->name, (long long)p->batch, (long long)p->m, (long long)p->k,
             (long long)p->n, (long long)batch, (long long)i, (long long)j, error);
}

static void check(const product *p) {
  void *const in[] = {numbers(p->dtype, p->batch * p->m * p->k),
                      numbers(p->dtype, (p->b_moves ? p->batch : 1) * p->k * p->n),
                      numbers(p->dtype, p->n)};
  void *c = computed(p, (const void *const *)in);
  const int64_t rows = p->batch * p->m, step = p->m * p->n * p->k / 100000 + 1;
  for (int64_t at = 0; at < rows * p->n; at += 1 + kernel_draw() % (2 * step - 1))
    check_element(p, (const void *const *)in, c, at / p->n / p->m, at / p->n % p->m, at % p->n);
  for (int i = 0; i < 3; i++) free(in[i]);
  free(c);
}

static void test_sizes(void **state) {
  (void)state;
  static const int64_t ms[] = {1, 2, 3, 4, 6, 13, 97}, ns[] = {1, 3, 16, 33, 64, 300},
                       ks[] = {0, 1, 2, 5, 64, 385};
  static const rlx_dtype dtypes[] = {RLX_F32, RLX_F32, RLX_F64, RLX_F16, RLX_BF16};
  for (size_t i = 0; i < 7 * 6 * 6 * 5; i++) {
    const uint32_t bits = kernel_draw();
    check(&(product){.dtype = dtypes[i % 5],
                     .narrow = i % 5 == 1,
                     .m = ms[i / 5 % 7],
                     .n = ns[i / 35 % 6],
                     .k = ks[i / 210],
                     .batch = 1 + bits % 3,
                     .a_turned = bits >> 4 & 1,
                     .b_turned = bits >> 5 & 1,
                     .b_moves = bits >> 6 & 1,
                     .bias = bits >> 7 & 1,
                     .constant = bits >> 8 & 1,
                     .threads = 1 + (bits >> 9) % 3});
  }
}

/* Several blocks of rows, columns and k of a packed factor: copies of rows are made once for all. */
static void test_blocks(void **state) {
  (void)state;
  static const rlx_dtype dtypes[] = {RLX_F32, RLX_F32, RLX_F64, RLX_F16, RLX_BF16};
  for (uint32_t i = 0; i < 2 * 5; i++)
    check(&(product){.dtype = dtypes[i % 5],
                     .narrow = i % 5 == 1,
                     .batch = 1 + i / 5,
                     .m = 301,
                     .n = 530,
                     .k = 791,
                     .a_turned = i % 2,
                     .b_moves = i / 5,
                     .bias = true,
                     .constant = true,
                     .threads = 1 + i / 5 * 2});
}

/* Whatever threads there are, bit by bit. */
static void test_threads(void **state) {
  (void)state;
  product p = {.dtype = RLX_F32, .batch = 1, .m = 200, .n = 90, .k = 500};
  void *const in[] = {numbers(p.dtype, p.m * p.k), numbers(p.dtype, p.k * p.n), NULL};
  p.threads = 1;
  void *one = computed(&p, (const void *const *)in);
  for (p.threads = 2; p.threads < 8; p.threads++) {
    void *more = computed(&p, (const void *const *)in);
    assert_memory_equal(one, more, (size_t)(p.m * p.n) * sizeof(float));
    free(more);
  }
  free(one);
  free(in[0]);
  free(in[1]);
}

/* A row with an infinity, a column with a NaN, zeros elsewhere: 0 x inf is NaN. */
static void test_special(void **state) {
  (void)state;
  for (int64_t m = 2; m < 30; m += 9) {
    const product p = {.dtype = RLX_F32, .batch = 1, .m = m, .n = 19, .k = 40, .threads = 1};
    float *a = room((size_t)(p.m * p.k) * 4), *b = room((size_t)(p.k * p.n) * 4);
    memset(a, 0, (size_t)(p.m * p.k) * 4);
    for (int64_t i = 0; i < p.k * p.n; i++) b[i] = i % p.n == 7 ? 0 : 1;
    a[p.k + 39] = INFINITY;
    b[39 * p.n + 18] = NAN;
    float *c = computed(&p, (const void *const[]){a, b, NULL});
    for (int64_t i = 0; i < p.m; i++)
      for (int64_t j = 0; j < p.n; j++) {
        const float v = c[i * p.n + j];
        if (j == 18 || (i == 1 && j == 7)) assert_true(isnan(v));
        else assert_true(v == (i == 1 ? INFINITY : 0.0f));
      }
    free(a);
    free(b);
    free(c);
  }
}

static void test_fused(void **state) {
  (void)state;
  kernel_check("f32[37,70], f32[70,45], f32[45], f32[37,45]",
               "%9 = linear(%1, %2, %3) %10 = add(%9, %4) %11 = tanh(%10) return %11 \"y\"", 1e-5);
  kernel_check("f32[3,37,70], f32[70], f32[37]",
               "%9 = matmul(%1, %2) %10 = mul(%9, %3) return %10 \"y\"", 1e-5);
  kernel_check("f32[2,3,9,20], f32[2,3,9,20], f32[9,1]",
               "%9 = transpose(%2) perm=[0,1,3,2] %10 = matmul(%1, %9) %11 = add(%10, %3) "
               "return %11 \"y\"",
               1e-5);
  kernel_check("f16[5,33], f16[33,18], f16[18]",
               "%9 = matmul(%1, %2) %10 = add(%9, %3) return %10 \"y\"", 2e-3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),   cmocka_unit_test(test_blocks), cmocka_unit_test(test_threads),
      cmocka_unit_test(test_special), cmocka_unit_test(test_fused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
