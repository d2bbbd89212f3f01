/* tests/ticket_test.c: submitted runs: each gives what its own inputs and params say, whoever
 * waits, frees or ends the process meanwhile. */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <rlx/rlx.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mlx/lock.h"
#include "sanitizers.h"

enum { THREADS = 8, ROUNDS = 10, FLIGHT = 6, SIDE = 96, LINKS = 12 };

static rlx_tensor *filled(size_t rank, const int64_t *dims, float value) {
  rlx_tensor *t;
  assert_int_equal(rlx_tensor_create(RLX_F32, rank, dims, &t), RLX_OK);
  float *data = rlx_tensor_mutable(t);
  for (int64_t i = 0; i < rlx_tensor_count(t); i++) data[i] = value;
  return t;
}

/* Every element; NAN-free, so that one comparison tells. */
static bool all_are(const rlx_tensor *t, float value) {
  const float *data = rlx_tensor_data(t);
  bool same = rlx_tensor_count(t) > 0;
  for (int64_t i = 0; i < rlx_tensor_count(t); i++) same = same && data[i] == value;
  return same;
}

/* y = x p0 p0 .. + p1, all of them [SIDE,SIDE], p0 being full of 1/SIDE: it keeps a constant x as
 * it is, and takes its time. So y = x + p1. */
static rlx_exec *adder_of(const rlx_exec_options *o, float p1) {
  rlx_graph *g;
  rlx_exec *e;
  const rlx_dim dims[] = {SIDE, SIDE};
  assert_int_equal(rlx_graph_create("adder", &g), RLX_OK);
  rlx_val y = rlx_input(g, "x", RLX_F32, 2, dims);
  const rlx_val p = rlx_param(g, "p0", RLX_F32, 2, dims);
  const rlx_val q = rlx_param(g, "p1", RLX_F32, 2, dims);
  for (int i = 0; i < LINKS; i++) y = rlx_matmul(g, y, p);
  rlx_graph_output(g, "y", rlx_add(g, y, q));
  assert_int_equal(rlx_compile(g, o, &e), RLX_OK);
  rlx_graph_free(g);
  const int64_t sizes[] = {SIDE, SIDE};
  rlx_tensor *mean = filled(2, sizes, 1.0f / SIDE), *term = filled(2, sizes, p1);
  assert_int_equal(rlx_exec_set_param(e, "p0", mean), RLX_OK);
  assert_int_equal(rlx_exec_set_param(e, "p1", term), RLX_OK);
  rlx_tensor_free(mean);
  rlx_tensor_free(term);
  return e;
}

static rlx_exec *adder(rlx_device device, float p1) {
  rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
  o.device = device;
  return adder_of(&o, p1);
}

static bool near(const rlx_tensor *t, float value) {
  const float d = ((const float *)rlx_tensor_data(t))[SIDE + 1] - value;
  return rlx_tensor_count(t) == SIDE * SIDE && d < 1e-2f && d > -1e-2f;
}

/* Drops the input at once: the ticket keeps it. */
static rlx_ticket *submit(rlx_exec *e, float x, rlx_tensor *output) {
  const int64_t dims[] = {SIDE, SIDE};
  rlx_tensor *in = filled(2, dims, x);
  rlx_ticket *t = NULL;
  assert_int_equal(rlx_exec_submit(e, &in, 1, output ? &output : NULL, 1, &t), RLX_OK);
  rlx_tensor_free(in);
  return t;
}

static bool reads(rlx_ticket *t, float value) {
  rlx_tensor *y = NULL;
  const bool well = rlx_ticket_read(t, 0, &y) == RLX_OK && near(y, value);
  rlx_tensor_free(y);
  return well;
}

/* --- tests */

static void test_many_in_flight(void **state) {
  (void)state;
  const rlx_device devices[] = {RLX_DEVICE_DEFAULT, RLX_DEVICE_REFERENCE};
  for (size_t d = 0; d < 2; d++) {
    rlx_exec *e = adder(devices[d], 5);
    rlx_ticket *t[FLIGHT];
    for (int i = 0; i < FLIGHT; i++) t[i] = submit(e, (float)i, NULL);
    rlx_exec_free(e); /* before they have ended */
    for (int i = FLIGHT; i-- > 0;) assert_true(reads(t[i], (float)i + 5));
    for (int i = 0; i < FLIGHT; i++) {
      assert_true(rlx_ticket_poll(t[i]));
      assert_int_equal(rlx_ticket_wait(t[i], 0), RLX_OK);
      assert_true(reads(t[i], (float)i + 5)); /* again: nothing was overwritten */
      rlx_ticket_free(t[i]);
    }
  }
}

static void test_params_are_of_the_submit(void **state) {
  (void)state;
  const int64_t dims[] = {SIDE, SIDE};
  rlx_exec *e = adder(RLX_DEVICE_DEFAULT, 0);
  rlx_ticket *t[FLIGHT];
  for (int i = 0; i < FLIGHT; i++) {
    rlx_tensor *term = filled(2, dims, (float)i * 10);
    assert_int_equal(rlx_exec_set_param(e, "p1", term), RLX_OK);
    rlx_tensor_free(term);
    t[i] = submit(e, 1, NULL);
  }
  for (int i = 0; i < FLIGHT; i++) {
    assert_true(reads(t[i], (float)i * 10 + 1));
    rlx_ticket_free(t[i]);
  }
  rlx_exec_free(e);
}

static void test_given_outputs(void **state) {
  (void)state;
  const int64_t dims[] = {SIDE, SIDE}, wrong_dims[] = {SIDE};
  rlx_exec *e = adder(RLX_DEVICE_DEFAULT, 2);
  rlx_tensor *out[FLIGHT], *got, *wrong = filled(1, wrong_dims, 0);
  rlx_ticket *t[FLIGHT];
  for (int i = 0; i < FLIGHT; i++) t[i] = submit(e, (float)i, out[i] = filled(2, dims, -1));
  assert_int_equal(rlx_ticket_read(t[0], 0, &got), RLX_OK);
  assert_ptr_equal(got, out[0]);
  rlx_tensor_free(got);
  for (int i = 0; i < FLIGHT; i++) {
    rlx_ticket_free(t[i]); /* waits: nobody writes to the tensor after this */
    assert_true(near(out[i], (float)i + 2));
    rlx_tensor_free(out[i]);
  }
  rlx_ticket *bad = submit(e, 0, wrong);
  assert_int_equal(rlx_ticket_wait(bad, -1), RLX_ERROR_SHAPE);
  assert_non_null(strstr(rlx_last_error(), "output 'y'"));
  assert_true(all_are(wrong, 0));
  rlx_ticket_free(bad);
  rlx_tensor_free(wrong);
  rlx_exec_free(e);
}

static void test_errors(void **state) {
  (void)state;
  const int64_t dims[] = {3, 3};
  rlx_exec *e = adder(RLX_DEVICE_DEFAULT, 0);
  rlx_tensor *small = filled(2, dims, 0), *none = NULL, *out = small;
  rlx_ticket *t = NULL;
  char kept[256];
  assert_int_equal(rlx_exec_submit(NULL, &small, 1, NULL, 1, &t), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_exec_submit(e, NULL, 1, NULL, 1, &t), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_exec_submit(e, &small, 1, &out, 2, &t), RLX_ERROR_ARGUMENT);
  assert_null(t);
  assert_int_equal(rlx_exec_submit(e, &none, 1, NULL, 1, &t), RLX_OK); /* a run's error */
  assert_int_equal(rlx_ticket_wait(t, -1), RLX_ERROR_ARGUMENT);
  rlx_ticket_free(t);
  assert_int_equal(rlx_exec_submit(e, &small, 1, NULL, 1, &t), RLX_OK);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(rlx_ticket_wait(t, -1), RLX_ERROR_SHAPE);
    assert_non_null(strstr(rlx_last_error(), "input 'x'"));
    assert_int_equal(rlx_ticket_wait(NULL, 0), RLX_ERROR_ARGUMENT);
    assert_int_equal(rlx_ticket_read(t, 0, &out), RLX_ERROR_SHAPE);
    assert_null(out);
  }
  assert_true(rlx_exec_error(e, kept, sizeof kept) > 0);
  rlx_ticket_free(t);
  rlx_ticket_free(NULL);
  t = submit(e, 4, NULL);
  assert_int_equal(rlx_ticket_wait(t, -1), RLX_OK); /* nothing is poisoned */
  assert_int_equal(rlx_ticket_read(t, 1, &out), RLX_ERROR_INDEX);
  rlx_ticket_free(t);
  rlx_tensor_free(small);
  rlx_exec_free(e);
}

/* With the lock held no run on MLX can end: a wait must say so, and a free must not hang. */
static void test_under_the_lock(void **state) {
  (void)state;
  const int64_t dims[] = {SIDE, SIDE};
  rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
  o.no_kernels = true;
  rlx_exec *e = adder_of(&o, 0);
  rlx_tensor *out = filled(2, dims, -1);
  assert_int_equal(rlx_runtime_lock(), RLX_OK);
  rlx_ticket *t = submit(e, 1, NULL), *borrows = submit(e, 2, out);
  assert_false(rlx_ticket_poll(t));
  assert_int_equal(rlx_ticket_wait(t, 0), RLX_ERROR_TIMEOUT);
  assert_int_equal(rlx_ticket_wait(t, -1), RLX_ERROR_STATE);
  rlx_ticket_free(borrows);
  rlx_runtime_unlock();
  assert_true(reads(t, 1));
  rlx_ticket_free(t);
  rlx_tensor_free(out); /* the run that was let go of has its own reference */
  rlx_exec_free(e);
}

static void test_timeout(void **state) {
  (void)state;
  rlx_exec *e = adder(RLX_DEVICE_REFERENCE, 1); /* slow */
  rlx_ticket *t = submit(e, 1, NULL);
  rlx_status status = rlx_ticket_wait(t, 1);
  assert_true(status == RLX_ERROR_TIMEOUT || status == RLX_OK);
  while (status == RLX_ERROR_TIMEOUT) status = rlx_ticket_wait(t, 20);
  assert_int_equal(status, RLX_OK);
  assert_true(reads(t, 2));
  rlx_ticket_free(t);
  rlx_exec_free(e);
}

static atomic_bool well = true;

/* Submits, waits in another order, frees some while they are pending. */
static void *use_tickets(void *exec) {
  const int64_t dims[] = {SIDE, SIDE};
  for (int round = 0; round < ROUNDS; round++) {
    rlx_ticket *t[FLIGHT] = {NULL};
    for (int i = 0; i < FLIGHT; i++) {
      rlx_tensor *x = filled(2, dims, (float)(round + i));
      if (rlx_exec_submit(exec, &x, 1, NULL, 1, &t[i]) != RLX_OK) atomic_store(&well, false);
      rlx_tensor_free(x);
    }
    for (int i = FLIGHT; i-- > 0;) {
      if (i % 3 && !reads(t[i], (float)(round + i) + 7)) atomic_store(&well, false);
      rlx_ticket_free(t[i]);
    }
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  rlx_exec *e = adder(RLX_DEVICE_DEFAULT, 7);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, use_tickets, e), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_true(atomic_load(&well));
  rlx_exec_free(e);
}

static void *wait_for_it(void *ticket) {
  if (!reads(ticket, 8)) atomic_store(&well, false);
  return NULL;
}

static void test_many_wait_for_one(void **state) {
  (void)state;
  rlx_exec *e = adder(RLX_DEVICE_DEFAULT, 7);
  rlx_ticket *t = submit(e, 1, NULL);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, t), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_true(atomic_load(&well));
  rlx_ticket_free(t);
  rlx_exec_free(e);
}

#ifndef UNDER_TSAN
static int status_of(pid_t child) {
  int status = -1;
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_fork(void **state) {
  (void)state;
  rlx_exec *e = adder(RLX_DEVICE_REFERENCE, 1);
  rlx_ticket *pending = submit(e, 1, NULL);
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    const int64_t dims[] = {SIDE, SIDE};
    rlx_tensor *x = filled(2, dims, 1);
    rlx_ticket *t = NULL;
    alarm(20);
    const bool refused = rlx_exec_submit(e, &x, 1, NULL, 1, &t) == RLX_ERROR_FORKED &&
                         rlx_ticket_wait(pending, -1) == RLX_ERROR_FORKED;
    rlx_ticket_free(pending);
    _exit(refused ? 17 : 1);
  }
  assert_int_equal(status_of(child), 17);
  assert_true(reads(pending, 2)); /* the parent is as before */
  rlx_ticket_free(pending);
  rlx_exec_free(e);
}

/* A process that ends with runs under way and waiting; `self` with an argument is such a one. */
static void exit_in_flight(rlx_device device) {
  rlx_exec *e = adder(device, 1);
  for (int i = 0; i < 4 * FLIGHT; i++) (void)submit(e, (float)i, NULL);
  nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  exit(17);
}

static const char *self;

static void test_exit(void **state) {
  (void)state;
  for (int i = 0; i < 10; i++) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* an exit leaves all as it is */
      execl(self, self, i % 2 ? "default" : "reference", (char *)NULL);
      _exit(1);
    }
    assert_int_equal(status_of(child), 17);
  }
}
#endif

static void test_no_violations(void **state) {
  (void)state;
  assert_false(lock_held());
  assert_int_equal(lock_violations(), 0);
}

int main(int argc, char **argv) {
#ifndef UNDER_TSAN
  if (argc > 1)
    exit_in_flight(strcmp(argv[1], "default") == 0 ? RLX_DEVICE_DEFAULT : RLX_DEVICE_REFERENCE);
  self = argv[0];
#else
  (void)argc, (void)argv;
#endif
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_many_in_flight),
      cmocka_unit_test(test_params_are_of_the_submit),
      cmocka_unit_test(test_given_outputs),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_under_the_lock),
      cmocka_unit_test(test_timeout),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_many_wait_for_one),
#ifndef UNDER_TSAN
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_exit),
#endif
      cmocka_unit_test(test_no_violations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
