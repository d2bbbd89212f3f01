/* tests/kernel_conv_test.c: convolutions and pools as CPU kernels against the reference device: odd
 * channels and places, tails of tiles and panels, edges, phases, epilogues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernel_help.h"

static void dense(void **state) {
  (void)state;
  kernel_check("f32[2,5,9,13], f32[41,5,3,3], f32[41]",
               "%9 = conv(%1, %2, %3) pads=[1,1,1,1] return %9 \"y\"", 1e-6);
  kernel_check("f32[1,64,12,12], f32[24,64,3,3], f32[24]",
               "%9 = conv(%1, %2, %3) pads=[1,1,1,1] %10 = hard_swish(%9) return %10 \"y\"", 1e-6);
  kernel_check("f32[1,3,17,19], f32[16,3,3,3], f32[16]",
               "%9 = conv(%1, %2, %3) strides=[2,2] pads=[1,1,1,1] return %9 \"y\"", 1e-6);
  kernel_check("f32[1,12,7,7], f32[21,4,3,3]",
               "%9 = conv(%1, %2) groups=3 dilations=[2,1] pads=[2,2,2,2] return %9 \"y\"", 1e-6);
}

static void depthwise(void **state) {
  (void)state;
  kernel_check("f32[1,3,9,9], f32[3,1,3,3], f32[3]",
               "%9 = conv(%1, %2, %3) groups=3 pads=[1,1,1,1] return %9 \"y\"", 1e-6);
  kernel_check("f32[2,45,9,9], f32[45,1,5,5], f32[45]",
               "%9 = conv(%1, %2, %3) groups=45 strides=[2,1] pads=[2,2,2,2] %10 = relu(%9) "
               "return %10 \"y\"",
               1e-6);
}

static void transposed(void **state) {
  (void)state;
  kernel_check("f32[1,24,7,9], f32[24,1,2,2], f32[1]",
               "%9 = conv_transpose(%1, %2, %3) strides=[2,2] %10 = sigmoid(%9) return %10 \"y\"",
               1e-6);
  kernel_check("f32[2,6,5,4], f32[6,7,4,3], f32[7]",
               "%9 = conv_transpose(%1, %2, %3) strides=[2,2] pads=[1,1,1,1] %10 = relu(%9) "
               "return %10 \"y\"",
               1e-6);
}

static void pools(void **state) {
  (void)state;
  kernel_check("f32[2,37,9,11]", "%9 = max_pool(%1) kernel=[3,3] strides=[2,2] pads=[1,1,1,1] "
                                 "return %9 \"y\"", 0);
  kernel_check("f32[2,37,9,11]", "%9 = avg_pool(%1) kernel=[3,2] strides=[2,2] pads=[1,0,1,0] "
                                 "count_pad=true return %9 \"y\"", 1e-6);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(dense), cmocka_unit_test(depthwise),
                                     cmocka_unit_test(transposed), cmocka_unit_test(pools)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
