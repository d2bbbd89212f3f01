/* tests/kernel_move_test.c: operations that move elements, where they are large enough for threads
 * and for tiles; op_table compares the small cases with the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel_help.h"

#define RETURN " return %9 \"y\""

static void test_copies(void **state) {
  (void)state;
  static const char *const operands[] = {"f32[2,67,41,43]", "bf16[2,67,41,43]", "i8[2,67,41,43]",
                                         "f64[2,67,41,43]"};
  for (size_t i = 0; i < sizeof operands / sizeof operands[0]; i++) {
    kernel_check(operands[i], "%9 = transpose(%1) perm=[0,2,3,1]" RETURN, 0);
    kernel_check(operands[i], "%9 = transpose(%1) perm=[3,1,0,2]" RETURN, 0);
    kernel_check(operands[i], "%8 = reverse(%1) %9 = reshape(%8) dims=[67,-1]" RETURN, 0);
  }
  kernel_check("f32[1,300,1]", "%9 = expand(%1) dims=[40,300,30]" RETURN, 0);
}

static void test_places(void **state) {
  (void)state;
  kernel_check("f32[1,37,64,63]",
               "%9 = pad(%1) before=[0,0,2,1] after=[0,0,1,3] value=2" RETURN, 0);
  kernel_check("f16[1,37,64,63]",
               "%9 = pad(%1) before=[0,0,2,1] after=[0,0,1,3] mode=reflect" RETURN, 0);
  kernel_check("f32[1,8,50,50], f32[1,9,50,50]", "%9 = concat(%1, %2) axis=1" RETURN, 0);
  kernel_check("f32[2,8,50,50]", "%9 = tile(%1) reps=[1,2,3,1]" RETURN, 0);
}

static void test_indices(void **state) {
  (void)state;
  kernel_check("f32[500,200], i64[700]{-500:500}", "%9 = gather(%1, %2)" RETURN, 0);
  kernel_check("f32[300,400], i32[300,300]{-400:400}",
               "%9 = gather_elements(%1, %2) axis=1" RETURN, 0);
  kernel_check("f32[300,400], i64[600]{0:400}", "%9 = gather(%1, %2) axis=1" RETURN, 0);
  kernel_check("f32[300,400], i64[600,1]{0:300}, f32[600,400]",
               "%9 = scatter_nd(%1, %2, %3) reduction=max" RETURN, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_copies), cmocka_unit_test(test_places),
                                     cmocka_unit_test(test_indices)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
