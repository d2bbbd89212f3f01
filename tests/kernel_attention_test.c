/* tests/kernel_attention_test.c: attention over many keys and on several threads against sums in
 * double; op_table compares the small cases with the reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/attention.h"
#include "kernel_help.h"

/* Heads lie inside rows, as a linear layer leaves them: [T,H,D]. */
static attention shape(int64_t heads, int64_t queries, int64_t keys, int64_t width) {
  const int64_t row = heads * width;
  attention a = {.dtype = RLX_F32,
                 .mask_dtype = RLX_DTYPE_COUNT,
                 .batch = 1,
                 .heads = heads,
                 .group = 1,
                 .queries = queries,
                 .keys = keys,
                 .width = width,
                 .values = width,
                 .scale = 1};
  int64_t *const strides[] = {a.q, a.k, a.v, a.out};
  for (size_t i = 0; i < 4; i++)
    memcpy(strides[i], (int64_t[]){0, width, row, 1}, 4 * sizeof(int64_t));
  return a;
}

static size_t run(attention a, uint32_t threads, const void *const *in, float *out) {
  const size_t bytes = attention_plan(&a, threads);
  const cpu_run how = {aligned_alloc(64, (bytes + 63) / 64 * 64), threads};
  assert_int_equal(attention_run(&a, &how, in, (void *[]){out}), RLX_OK);
  free(how.scratch);
  return bytes;
}

/* Row t of head h in double. */
static void row_of(const attention *a, const float *const *in, int64_t h, int64_t t, double *y) {
  const int64_t last = a->causal ? t + a->keys - a->queries : a->keys - 1;
  double sum = 0, *p = calloc((size_t)a->keys, sizeof *p), top = -INFINITY;
  assert_non_null(p);
  for (int64_t s = 0; s <= last; s++) {
    for (int64_t i = 0; i < a->width; i++)
      p[s] += (double)in[0][t * a->q[2] + h * a->q[1] + i] *
              (double)in[1][s * a->k[2] + h * a->k[1] + i];
    top = fmax(top, p[s]);
  }
  for (int64_t i = 0; i < a->values; i++) y[i] = 0;
  for (int64_t s = 0; s <= last; s++) {
    const double weight = exp(p[s] - top);
    sum += weight;
    for (int64_t i = 0; i < a->values; i++)
      y[i] += weight * (double)in[2][s * a->v[2] + h * a->v[1] + i];
  }
  for (int64_t i = 0; i < a->values; i++) y[i] /= sum;
  free(p);
}

static void check(const attention *a, const float *const *in, const float *got, double bound) {
  double want[64];
  for (int64_t h = 0; h < a->heads; h++)
    for (int64_t t = 0; t < a->queries; t++) {
      row_of(a, in, h, t, want);
      for (int64_t i = 0; i < a->values; i++)
        assert_true(fabs((double)got[t * a->out[2] + h * a->out[1] + i] - want[i]) < bound);
    }
}

/* Scores of 100003 keys would fill 400 kB a row. */
static void many_keys(void **state) {
  (void)state;
  attention a = shape(1, 3, 100003, 8);
  float *in[] = {kernel_floats(a.queries * 8, 4), kernel_floats(a.keys * 8, 1),
                 kernel_floats(a.keys * 8, 1)};
  float *out = kernel_floats(a.queries * 8, 0);
  assert_true(run(a, 1, (const void *const *)in, out) < 64 << 10);
  check(&a, (const float *const *)in, out, 1e-5);
  a.causal = true;
  run(a, 1, (const void *const *)in, out);
  check(&a, (const float *const *)in, out, 1e-5);
  a.queries = 1; /* by itself */
  run(a, 2, (const void *const *)in, out);
  check(&a, (const float *const *)in, out, 1e-5);
  for (size_t i = 0; i < 3; i++) free(in[i]);
  free(out);
}

static void threads_agree(void **state) {
  (void)state;
  attention a = shape(5, 150, 300, 20);
  float *in[] = {kernel_floats(150 * 100, 1), kernel_floats(300 * 100, 1),
                 kernel_floats(300 * 100, 1)};
  float *first = kernel_floats(150 * 100, 0), *out = kernel_floats(150 * 100, 0);
  for (int causal = 0; causal < 2; causal++) {
    a.causal = causal != 0;
    run(a, 1, (const void *const *)in, first);
    check(&a, (const float *const *)in, first, 1e-6);
    for (uint32_t threads = 2; threads < 4; threads++) {
      run(a, threads, (const void *const *)in, out);
      assert_memory_equal(out, first, 150 * 100 * sizeof *out);
    }
  }
  for (size_t i = 0; i < 3; i++) free(in[i]);
  free(first);
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(many_keys), cmocka_unit_test(threads_agree)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
