/* tests/plan_test.c: what graphs become before kernels run: steps, copies, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pass/layout.h"

typedef struct planned {
  rlx_graph *g;
  plan p;
  layout l; /* of the first segment */
} planned;

static planned make(const char *text) {
  planned m = {0};
  const plan_choice choice = {.runner = PLAN_MLX, .kernels = true};
  if (rlx_graph_parse(text, NULL, &m.g) != RLX_OK || plan_make(m.g, choice, &m.p) != RLX_OK ||
      layout_make(m.g, &m.p, &m.p.segments[0], &m.l) != RLX_OK)
    fail_msg("%s", rlx_last_error());
  return m;
}

static void drop(planned *m) {
  layout_free(&m->l);
  plan_free(&m->p);
  rlx_graph_free(m->g);
}

static size_t copies(const planned *m) {
  size_t n = 0;
  for (size_t i = 0; i < m->l.ops.n; i++) n += m->l.ops.data[i].step == LAYOUT_COPY;
  return n;
}

#define IN(n, dims) "%" #n " = input name=\"x" #n "\" dtype=f32 dims=[" dims "]\n"

/* Operations that run, copies among them; copies; buffers of `bytes` that live at once. */
static void expect(const char *text, size_t ops, size_t n_copies, size_t bytes) {
  planned m = make(text);
  assert_int_equal(m.p.n_segments, 1);
  assert_int_equal(m.l.ops.n, ops);
  assert_int_equal(copies(&m), n_copies);
  assert_int_equal(m.l.arena_bytes, bytes);
  drop(&m);
}

static void test_a_product_takes_what_follows(void **state) {
  (void)state;
  expect("graph \"g\" {\n" IN(1, "16,64") IN(2, "64,64")
         IN(3, "64") "%4 = linear(%1, %2, %3)\n%5 = gelu(%4)\n%6 = add(%5, %1)\n"
         "return %6 \"y\"\n}\n",
         1, 0, 0);
}

/* A value that others read too is not swallowed. */
static void test_what_is_read_twice_is_kept(void **state) {
  (void)state;
  expect("graph \"g\" {\n" IN(1, "16,64") IN(2, "64,64")
         "%3 = matmul(%1, %2)\n%4 = relu(%3)\n%5 = softmax(%3)\n%6 = add(%4, %5)\n"
         "return %6 \"y\"\n}\n",
         3, 0, 8192);
}

static void test_memory_is_used_again(void **state) {
  (void)state;
  expect("graph \"g\" {\n" IN(1, "16,64") "%2 = softmax(%1)\n%3 = softmax(%2)\n"
         "%4 = softmax(%3)\n%5 = softmax(%4)\n%6 = softmax(%5)\nreturn %6 \"y\"\n}\n",
         5, 0, 8192);
}

/* A region may write over an operand that nobody needs any more, unless it reads it turned too. */
static void test_regions_compute_in_place(void **state) {
  (void)state;
  expect("graph \"g\" {\n" IN(1, "32,32") "%2 = softmax(%1)\n%3 = exp(%2)\n"
         "%4 = softmax(%3)\nreturn %4 \"y\"\n}\n",
         3, 0, 4096);
  expect("graph \"g\" {\n" IN(1, "32,32") "%2 = softmax(%1)\n"
         "%3 = transpose(%2) perm=[1,0]\n%4 = add(%2, %3)\n%5 = softmax(%4)\nreturn %5 \"y\"\n}\n",
         3, 0, 8192);
}

/* Heads are views of the product, and the result lies so that joining them is one too. */
static void test_attention_moves_nothing(void **state) {
  (void)state;
  expect("graph \"g\" {\n" IN(1, "1,16,64") IN(2, "64,64")
         "%3 = reshape(%1) dims=[1,16,4,16]\n%4 = transpose(%3) perm=[0,2,1,3]\n"
         "%5 = attention(%4, %4, %4)\n%6 = transpose(%5) perm=[0,2,1,3]\n"
         "%7 = reshape(%6) dims=[1,16,64]\n%8 = matmul(%7, %2)\nreturn %8 \"y\"\n}\n",
         2, 0, 4096);
}

/* A chain of convolutions pays for channels last at its ends only. */
static void test_convolutions_share_a_layout(void **state) {
  (void)state;
  expect("graph \"g\" {\n" IN(1, "1,16,8,8") IN(2, "16,16,3,3")
         "%3 = conv(%1, %2) pads=[1,1,1,1]\n%4 = relu(%3)\n%5 = conv(%4, %2) pads=[1,1,1,1]\n"
         "%6 = max_pool(%5) kernel=[2,2] strides=[2,2]\n%7 = add(%6, %6)\n"
         "return %7 \"y\"\n}\n",
         5, 1, 8192);
}

static void test_outputs_are_written_in_place(void **state) {
  (void)state;
  expect("graph \"g\" {\n" IN(1, "16,64") "%2 = exp(%1)\n%3 = reshape(%2) dims=[64,16]\n"
         "return %2 \"y\", %3 \"z\"\n}\n",
         2, 1, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_product_takes_what_follows),
      cmocka_unit_test(test_what_is_read_twice_is_kept),
      cmocka_unit_test(test_memory_is_used_again),
      cmocka_unit_test(test_regions_compute_in_place),
      cmocka_unit_test(test_attention_moves_nothing),
      cmocka_unit_test(test_convolutions_share_a_layout),
      cmocka_unit_test(test_outputs_are_written_in_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
