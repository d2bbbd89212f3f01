/* tests/kernel_rnn_test.c: recurrent kernels against steps in double, where they are large enough
 * for threads; op_table compares the small cases with the reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/rnn.h"
#include "kernel_help.h"

enum { STEPS = 5, BATCH = 3, INPUTS = 40, HIDDEN = 333, ROWS = 4 * HIDDEN };

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* One sequence of an LSTM: h of all steps. */
static void lstm(const void *const *in, int64_t b, double *y) {
  const float *x = in[0], *w = in[1], *r = in[2], *bias = in[3];
  double h[HIDDEN] = {0}, c[HIDDEN] = {0}, sum[ROWS];
  for (int64_t t = 0; t < STEPS; t++) {
    for (int64_t i = 0; i < ROWS; i++) {
      sum[i] = (double)bias[i] + (double)bias[ROWS + i];
      for (int64_t k = 0; k < INPUTS; k++)
        sum[i] += (double)w[i * INPUTS + k] * (double)x[(t * BATCH + b) * INPUTS + k];
      for (int64_t k = 0; k < HIDDEN; k++) sum[i] += (double)r[i * HIDDEN + k] * h[k];
    }
    for (int64_t k = 0; k < HIDDEN; k++) {
      c[k] = sigmoid(sum[2 * HIDDEN + k]) * c[k] + sigmoid(sum[k]) * tanh(sum[3 * HIDDEN + k]);
      h[k] = sigmoid(sum[HIDDEN + k]) * tanh(c[k]);
      y[t * HIDDEN + k] = h[k];
    }
  }
}

/* Packs the constants before the run, or leaves that to it. */
static float *run(rnn p, const void *const *in, uint32_t threads, bool packed) {
  float *own[3] = {NULL}, *y = kernel_floats(STEPS * BATCH * HIDDEN, 0),
        *last = kernel_floats(BATCH * HIDDEN, 0);
  rnn_plan(&p, threads);
  if (packed) {
    const int64_t floats[] = {rnn_packed(&p, INPUTS), rnn_packed(&p, HIDDEN), rnn_packed_bias(&p)};
    for (size_t i = 0; i < 3; i++) own[i] = aligned_alloc(64, (size_t)floats[i] * sizeof(float));
    rnn_pack(&p, INPUTS, in[1], own[0]);
    rnn_pack(&p, HIDDEN, in[2], own[1]);
    rnn_pack_bias(&p, in[3], own[2]);
    p.w = own[0], p.r = own[1], p.bias = own[2];
  }
  const size_t bytes = rnn_plan(&p, threads);
  const cpu_run how = {aligned_alloc(64, (bytes + 63) / 64 * 64), threads};
  assert_int_equal(rnn_run(&p, &how, in, (void *[]){y, last, NULL}), RLX_OK);
  assert_memory_equal(last, y + (STEPS - 1) * BATCH * HIDDEN, BATCH * HIDDEN * sizeof *y);
  for (size_t i = 0; i < 3; i++) free(own[i]);
  free(how.scratch);
  free(last);
  return y;
}

static void large_lstm(void **state) {
  (void)state;
  const rnn p = {.kind = RNN_LSTM,
                 .dtype = RLX_F32,
                 .gates = 4,
                 .steps = STEPS,
                 .batch = BATCH,
                 .inputs = INPUTS,
                 .hidden = HIDDEN,
                 .clip = INFINITY,
                 .f = {{RNN_SIGMOID, 0, 0}, {RNN_TANH, 0, 0}, {RNN_TANH, 0, 0}},
                 .n_in = 4};
  void *in[] = {kernel_floats(STEPS * BATCH * INPUTS, 1), kernel_floats(ROWS * INPUTS, 0.2),
                kernel_floats(ROWS * HIDDEN, 0.1), kernel_floats(2 * ROWS, 1)};
  double want[STEPS * HIDDEN];
  float *first = run(p, (const void *const *)in, 1, true);
  for (int64_t b = 0; b < BATCH; b++) {
    lstm((const void *const *)in, b, want);
    for (int64_t i = 0; i < STEPS * HIDDEN; i++) {
      const double got = (double)first[(i / HIDDEN * BATCH + b) * HIDDEN + i % HIDDEN];
      assert_true(fabs(got - want[i]) < 2e-6);
    }
  }
  for (uint32_t threads = 1; threads <= 3; threads++) { /* the same bits */
    float *y = run(p, (const void *const *)in, threads, threads == 2);
    assert_memory_equal(y, first, STEPS * BATCH * HIDDEN * sizeof *y);
    free(y);
  }
  for (size_t i = 0; i < 4; i++) free(in[i]);
  free(first);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(large_lstm)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
