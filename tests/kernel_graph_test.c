/* tests/kernel_graph_test.c: kernels together: chains, epilogues, views between them, several
 * outputs, empty values, special values. The bounds are those of sums of a few hundred products. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel_help.h"

static void test_elementwise_chain(void **state) {
  (void)state;
  const char *body = "%4 = mul(%1, %2)\n%5 = add(%4, %3)\n%6 = tanh(%5)\n%7 = mul(%6, %1)\n"
                     "return %7 \"y\", %5 \"z\"";
  kernel_check("f32[3,65], f32[65], f32[3,1]", body, 1e-6);
  kernel_check("f32[0,5], f32[5], f32[1]", body, 0);
  kernel_check("f32[], f32[], f32[]", body, 1e-6);
  kernel_check("f64[7,3], f64[1,3], f64[]", body, 1e-14);
  kernel_check("f16[2,40], f16[40], f16[]", body, 2e-3);
  kernel_check("bf16[2,40], bf16[40], bf16[]", body, 2e-2);
  kernel_check("f32[7]{nan,inf,-inf,0,-0,60,-60}, f32[1]{0:2}, f32[1]", body, 1e-6);
}

static void test_product_and_what_follows(void **state) {
  (void)state;
  const char *body = "%4 = matmul(%1, %2)\n%5 = add(%4, %3)\n%6 = relu(%5)\n%7 = add(%6, %1)\n"
                     "%8 = softmax(%7) axis=-1\nreturn %8 \"y\"";
  kernel_check("f32[1,16], f32[16,16], f32[16]", body, 1e-5);
  kernel_check("f32[37,64], f32[64,64], f32[64]", body, 1e-5);
  kernel_check("f32[3,17,96], f32[96,96], f32[96]", body, 1e-5);
  kernel_check("f64[9,10], f64[10,10], f64[10]", body, 1e-13);
}

static void test_views_between(void **state) {
  (void)state;
  const char *body = "%3 = transpose(%1) perm=[0,2,1]\n%4 = matmul(%3, %2)\n"
                     "%5 = reshape(%4) dims=[2,-1]\n%6 = reduce_sum(%5) axes=[1] keep=true\n"
                     "%7 = sub(%5, %6)\nreturn %7 \"y\", %3 \"turned\"";
  kernel_check("f32[2,24,40], f32[24,8]", body, 1e-5);
}

static void test_image(void **state) {
  (void)state;
  const char *body = "%3 = conv(%1, %2) pads=[1,1,1,1]\n%4 = relu(%3)\n%5 = add(%4, %1)\n"
                     "return %5 \"y\"";
  kernel_check("f32[1,8,13,11], f32[8,8,3,3]", body, 1e-5);
  kernel_check("f32[2,24,9,9], f32[24,24,3,3]", body, 1e-5);
}

static void test_to_the_last_place(void **state) {
  (void)state;
  kernel_check_ulps("f32[1000]{-80:80}, f32[1000]{0.5:2}",
                    "%3 = exp(%1)\n%4 = div(%3, %2)\nreturn %4 \"y\"", 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_elementwise_chain),
      cmocka_unit_test(test_product_and_what_follows),
      cmocka_unit_test(test_views_between),
      cmocka_unit_test(test_image),
      cmocka_unit_test(test_to_the_last_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
