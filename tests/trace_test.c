/* tests/trace_test.c: recordings by the public API: calls at the wrong time, and what a trace of
 * several threads holds. */
#include <pthread.h>
#include <rlx/rlx.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 3, RUNS = 4 };

/* y = exp(x) for x [n] */
static rlx_exec *some_exec(void) {
  rlx_graph *g = NULL;
  rlx_exec *e = NULL;
  assert_int_equal(rlx_graph_create("traced", &g), RLX_OK);
  const rlx_dim dims[] = {rlx_dim_named(g, "n")};
  rlx_graph_output(g, "y", rlx_exp(g, rlx_input(g, "x", RLX_F32, 1, dims)));
  assert_int_equal(rlx_compile(g, NULL, &e), RLX_OK);
  rlx_graph_free(g);
  return e;
}

static bool run(rlx_exec *e) {
  const int64_t dims[] = {100};
  rlx_tensor *in = NULL, *out = NULL;
  rlx_status status = rlx_tensor_create(RLX_F32, 1, dims, &in);
  if (status == RLX_OK) status = rlx_exec_call(e, &in, 1, &out, 1);
  rlx_tensor_free(in);
  rlx_tensor_free(out);
  return status == RLX_OK;
}

static void *run_often(void *exec) {
  bool ok = true;
  for (int i = 0; i < RUNS; i++) ok = run(exec) && ok;
  return ok ? exec : NULL;
}

static void wrong_times(void **state) {
  (void)state;
  rlx_trace_event event;
  assert_int_equal(rlx_trace_stop(NULL), RLX_ERROR_STATE);
  assert_false(rlx_trace_at(0, &event));
  assert_int_equal(rlx_trace_start(), RLX_OK);
  assert_int_equal(rlx_trace_start(), RLX_ERROR_STATE);
  rlx_exec_free(some_exec());
  assert_false(rlx_trace_at(0, &event)); /* not while recording */
  assert_int_equal(rlx_trace_stop("no/such/folder/t.json"), RLX_ERROR_IO);
  assert_true(rlx_trace_at(0, NULL)); /* it has ended all the same */
  assert_int_equal(rlx_trace_start(), RLX_OK);
  assert_int_equal(rlx_trace_stop(NULL), RLX_OK);
  assert_false(rlx_trace_at(0, &event)); /* the last one is gone */
}

static void threads_are_told_apart(void **state) {
  (void)state;
  rlx_exec *e = some_exec();
  pthread_t threads[THREADS];
  size_t runs = 0, nodes = 0, variants = 0;
  bool seen[THREADS + 2] = {false};
  assert_int_equal(rlx_trace_start(), RLX_OK);
  for (int i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, run_often, e), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    void *ok;
    pthread_join(threads[i], &ok);
    assert_non_null(ok);
  }
  assert_int_equal(rlx_trace_stop(NULL), RLX_OK);
  rlx_trace_event event;
  for (size_t i = 0; rlx_trace_at(i, &event); i++) {
    const bool is_run = strcmp(event.category, "run") == 0 && strcmp(event.name, "run") == 0;
    assert_true(event.start_us >= 0 && event.us >= 0);
    assert_in_range(event.thread, 1, UINT32_MAX);
    runs += is_run;
    nodes += strcmp(event.category, "node") == 0 && strcmp(event.name, "exp") == 0;
    variants += strcmp(event.name, "variant") == 0;
    if (is_run) assert_string_equal(event.detail, "traced");
    if (is_run && event.thread < THREADS + 2) seen[event.thread] = true;
  }
  assert_int_equal(runs, THREADS * RUNS);
  assert_int_equal(nodes, THREADS * RUNS);
  assert_in_range(variants, 1, THREADS); /* two threads may prepare it at once */
  for (int i = 0; i < THREADS; i++) assert_true(seen[2 + i]); /* 1 is this thread, seen before */
  rlx_exec_free(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(wrong_times),
                                     cmocka_unit_test(threads_are_told_apart)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
