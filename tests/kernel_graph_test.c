/* tests/kernel_graph_test.c: kernels together: chains, epilogues, views between them, several
 * outputs, empty values, special values. The bounds are those of sums of a few hundred products. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "kernel_help.h"
#include "table.h"

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

/* --- weights: params are packed once */

static rlx_tensor *number_tensor(const char *words, uint64_t seed) {
  table_operand o;
  assert_true(operand_read(words, &o));
  return operand_value(&o, seed);
}

/* `weight`: the param w, `inputs`: x0 and x1; `body` knows them as %1, %2, %3 and makes %8, %9. */
static void check_weight(const char *weight, const char *const inputs[2], const char *body) {
  const char *const names[] = {"w", "x0", "x1"}, *const words[] = {weight, inputs[0], inputs[1]};
  rlx_tensor *values[3], *got[2][2] = {{NULL}};
  str text = {0};
  str_add(&text, "graph \"weights\" {\n");
  for (size_t i = 0; i < 3; i++) {
    const rlx_tensor *t = values[i] = number_tensor(words[i], i);
    str_addf(&text, "%%%zu = %s name=\"%s\" dtype=%s dims=[", i + 1, i ? "input" : "param",
             names[i], dtype_name(t->dtype));
    for (uint32_t k = 0; k < t->rank; k++)
      str_addf(&text, "%s%lld", k ? "," : "", (long long)t->dims[k]);
    str_add(&text, "]\n");
  }
  str_addf(&text, "%s\nreturn %%8 \"y\", %%9 \"z\"\n}\n", body);
  for (size_t k = 0; k < 2; k++) {
    rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
    rlx_graph *g;
    rlx_exec *e;
    o.device = k ? RLX_DEVICE_CPU : RLX_DEVICE_REFERENCE;
    table_need(rlx_graph_parse(text.data, NULL, &g));
    table_need(rlx_compile(g, &o, &e));
    table_need(rlx_exec_set_param(e, "w", values[0]));
    table_need(rlx_exec_call(e, values + 1, 2, got[k], 2));
    rlx_exec_free(e);
    rlx_graph_free(g);
  }
  for (size_t i = 0; i < 2; i++) {
    rlx_difference d;
    table_need(rlx_tensor_compare(got[1][i], got[0][i], &d));
    assert_true(d.error < 1e-5);
    rlx_tensor_free(got[0][i]);
    rlx_tensor_free(got[1][i]);
  }
  for (size_t i = 0; i < 3; i++) rlx_tensor_free(values[i]);
  str_free(&text);
}

/* Views of a weight begin at the same address; so do the weights of different cells. */
static void test_weight_seen_twice(void **state) {
  (void)state;
  check_weight("i8[3,4]", (const char *[]){"i8[2,3]", "i8[2,4]"},
               "%4 = reshape(%1) dims=[4,3]\n%8 = int_matmul(%2, %1)\n%9 = int_matmul(%3, %4)");
  check_weight("f32[2,3,4,5]", (const char *[]){"f32[2,3,7,4]", "f32[3,2,7,4]"},
               "%4 = transpose(%1) perm=[1,0,2,3]\n%8 = matmul(%2, %1)\n%9 = matmul(%3, %4)");
  check_weight("f32[64,32,1,1]", (const char *[]){"f32[1,32,3,3]", "f32[1,64,3,3]"},
               "%4 = reshape(%1) dims=[32,64,1,1]\n%8 = conv(%2, %1)\n%9 = conv(%3, %4)");
  check_weight("f32[128,128]", (const char *[]){"f32[2,2,128]", "f32[128,32]"},
               "%4:3 = lstm(%2, %1, %3)\n%7:2 = rnn(%2, %1, %1)\n%9 = relu(%4)");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_elementwise_chain),
      cmocka_unit_test(test_product_and_what_follows),
      cmocka_unit_test(test_views_between),
      cmocka_unit_test(test_image),
      cmocka_unit_test(test_to_the_last_place),
      cmocka_unit_test(test_weight_seen_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
