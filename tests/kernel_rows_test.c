/* tests/kernel_rows_test.c: reductions, softmax, norms, orders and scans: odd sizes, strided and
 * broadcast operands, all dtypes, large means, many threads' worth of rows. Bounds are those that
 * the heads of the kernels' files state, over the largest magnitude. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel_help.h"

static void check_all(const char *const *inputs, size_t n, const char *body, double bound) {
  for (size_t i = 0; i < n; i++) kernel_check(inputs[i], body, bound);
}
#define CHECK_ALL(inputs, body, bound) \
  check_all(inputs, sizeof(inputs) / sizeof(inputs)[0], body, bound)

static const char *const singles[] = {"f32[3,7,33,5]", "f32[2,70,3,40]", "f32[1,64,7,9]",
                                      "f32[4,1,1,300]", "f32[2,300,1,3]"};
static const char *const halves[] = {"f16[2,3,37,5]", "bf16[2,3,37,5]"};
static const char *const wholes[] = {"i8[2,3,40,5]{-128:128}", "u8[2,3,40,5]{0:256}",
                                     "i32[2,300,3,1]", "u64[2,3,4,5]", "i64[3,2,20,2]"};

/* All in one graph: along inner, outer and middle axes, of x and of x turned round. */
static const char *const folds =
    "%2 = transpose(%1) perm=[0,2,3,1]\n%3 = reduce_sum(%1) axes=[2,3]\n"
    "%4 = reduce_mean(%2) axes=[1,2]\n%5 = reduce_max(%1) axes=[1] keep=true\n"
    "%6 = reduce_min(%2) axes=[0,3]\n%7 = argmax(%1) axis=1\n%8 = argmin(%2) axis=2 last=true\n"
    "%9 = reduce_sum(%1)\n%10 = slice(%1) starts=[-1] stops=[-1000] axes=[2] steps=[-2]\n"
    "%11 = reduce_max(%10) axes=[2]\n"
    "return %3 \"a\", %4 \"b\", %5 \"c\", %6 \"d\", %7 \"e\", %8 \"f\", %9 \"g\", %11 \"h\"";

static void test_folds(void **state) {
  (void)state;
  CHECK_ALL(singles, folds, 1e-6);
  CHECK_ALL(halves, folds, 4e-3);
  CHECK_ALL(wholes, folds, 0);
  kernel_check("f64[2,3,37,5]", folds, 1e-13);
  const char *body = "%2 = reduce_sum(%1)\n%3 = reduce_mean(%1) axes=[0]\n"
                     "return %2 \"y\", %3 \"z\"";
  kernel_check("f32[700,1001]{0:1}", body, 1e-6); /* in parts */
  const char *product = "%2 = reduce_prod(%1) axes=[1]\nreturn %2 \"y\"";
  kernel_check("f32[3,40]{-2:2}", product, 1e-6);
  kernel_check("i8[3,40]{1:3}", product, 0);
  const char *spread = "%2 = expand(%1) dims=[5,40]\n%3 = reduce_sum(%2) axes=[0]\n"
                       "%4 = reduce_sum(%2) axes=[1]\nreturn %3 \"y\", %4 \"z\"";
  kernel_check("f32[40]", spread, 1e-6);
}

static void test_softmax(void **state) {
  (void)state;
  const char *body = "%2 = transpose(%1) perm=[0,2,3,1]\n%3 = softmax(%1) axis=-1\n"
                     "%4 = softmax(%1) axis=1\n%5 = log_softmax(%2) axis=-1\n"
                     "%6 = log_softmax(%2) axis=1\n"
                     "return %3 \"a\", %4 \"b\", %5 \"c\", %6 \"d\"";
  CHECK_ALL(singles, body, 4e-6);
  CHECK_ALL(halves, body, 8e-3);
  kernel_check("f64[2,3,37,5]", body, 1e-14);
  kernel_check("f32[1,3,1,40]{-200:200}", body, 4e-6);
  const char *row = "%2 = softmax(%1)\nreturn %2 \"y\"";
  kernel_check("f32[3,100003]", row, 4e-6);
  kernel_check("f32[300,17]", row, 4e-6);
  kernel_check("f32[3,3]{-inf,0,1,nan,0,1,-inf,-inf,-inf}", row, 4e-6);
}

static void test_norms(void **state) {
  (void)state;
  const char *body = "%4 = layer_norm(%1, %2, %3)\n%5 = rms_norm(%1, %2)\n%6 = relu(%4)\n"
                     "return %4 \"a\", %5 \"b\", %6 \"c\"";
  kernel_check("f32[5,384], f32[384], f32[384]", body, 2e-6);
  kernel_check("f32[3,2,7], f32[7], f32[7]", body, 2e-6);
  kernel_check("f32[300,65]{10000:10002}, f32[65], f32[65]", body, 4e-6);
  kernel_check("f32[2,5000]{-1e25:1e25}, f32[5000], f32[5000]", body, 4e-6);
  kernel_check("f16[4,40], f16[40], f16[40]", body, 2e-3);
  kernel_check("bf16[4,40], bf16[40], bf16[40]", body, 1e-2);
  kernel_check("f64[4,40], f64[40], f64[40]", body, 1e-13);
  const char *plain = "%2 = transpose(%1) perm=[1,0,2]\n%3 = layer_norm(%2)\n%4 = gelu(%3)\n"
                      "return %4 \"y\"";
  kernel_check("f32[40,30,50]", plain, 4e-6);
}

static void test_orders(void **state) {
  (void)state;
  const char *body = "%2 = sort(%1) axis=2\n%3 = argsort(%1) axis=1 descending=true\n"
                     "%4:2 = topk(%1) k=3 axis=2\n%6 = transpose(%1) perm=[3,2,1,0]\n"
                     "%7:2 = topk(%6) k=2 axis=1 smallest=true\n"
                     "return %2 \"a\", %3 \"b\", %4 \"c\", %5 \"d\", %7 \"e\", %8 \"f\"";
  static const char *const inputs[] = {"f32[3,7,33,5]", "f64[2,3,37,5]", "f16[1,4,90,2]{-3:3}",
                                       "i8[2,3,70,5]{-9:9}", "u64[1,2,300,2]"};
  CHECK_ALL(inputs, body, 0);
  kernel_check("f32[2000]{-9:9}",
               "%2:2 = topk(%1) k=1100\n%4:2 = topk(%1) k=20 smallest=true\n"
               "return %2 \"a\", %3 \"b\", %4 \"c\", %5 \"d\"", 0);
}

static void test_scans(void **state) {
  (void)state;
  const char *body = "%2 = cumsum(%1) axis=1\n%3 = cumsum(%1) axis=3 exclusive=true reverse=true\n"
                     "%4 = cummax(%1) axis=2\n%5 = transpose(%1) perm=[0,2,3,1]\n"
                     "%6 = cummin(%5) axis=3 reverse=true\n"
                     "return %2 \"a\", %3 \"b\", %4 \"c\", %6 \"d\"";
  CHECK_ALL(singles, body, 1e-7);
  CHECK_ALL(halves, body, 4e-3);
  CHECK_ALL(wholes, body, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_folds),  cmocka_unit_test(test_softmax), cmocka_unit_test(test_norms),
      cmocka_unit_test(test_orders), cmocka_unit_test(test_scans),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
