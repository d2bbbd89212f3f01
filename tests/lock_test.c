/* tests/lock_test.c: the runtime lock and what it promises: entries and errors, frees beside a run,
 * forks, threads that come and go. */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/span.h"
#include "mlx/lock.h"
#include "mlx/shim.h"
#include "sanitizers.h"

/* Sanitizers keep freed memory for a while. */
#if defined(UNDER_TSAN) || defined(UNDER_ASAN)
#define SLACK_KILOBYTES (1 << 20)
#else
#define SLACK_KILOBYTES 8192
#endif

enum { SIDE = 64, LINKS = 8, FREES = 4000, THREADS = 1000 };

/* --- a small computation: x ^ (LINKS + 1) + x, matrix products, each element of x being 1/SIDE */

static mx matrix(mx_ctx *m) {
  static float data[SIDE * SIDE];
  const int64_t dims[] = {SIDE, SIDE};
  for (int i = 0; i < SIDE * SIDE; i++) data[i] = 1.0f / SIDE;
  return mx_from_data(m, RLX_F32, 2, dims, data);
}

/* Under the lock: an array that nobody has evaluated, with a reference to drop. */
static mx unevaluated(mx_ctx *m) {
  mx x = matrix(m), y = x;
  for (int i = 0; i < LINKS; i++) y = mx_matmul(m, y, x);
  y = mx_keep(mx_add(m, y, x));
  mx_ctx_reset(m);
  return y;
}

/* Takes the lock itself; drops the array. */
static rlx_status evaluate(mx_ctx *m, mx y, float *out) {
  mx_event *event = NULL;
  const void *data = NULL;
  rlx_status status = lock_enter();
  if (status != RLX_OK) return status;
  status = mx_schedule(m, &y, 1, &event);
  lock_leave();
  if (status == RLX_OK) status = mx_event_wait(event);
  if (lock_enter() != RLX_OK) return RLX_ERROR_INTERNAL;
  if (status == RLX_OK) status = mx_host_data(m, y, &data);
  if (status == RLX_OK) *out = ((const float *)data)[SIDE + 1];
  mx_drop(y);
  mx_ctx_reset(m);
  lock_leave();
  return status;
}

/* A whole life: context, run, free. The right answer is 2/SIDE. */
static bool runs_well(void) {
  mx_ctx *m = NULL;
  float got = 0;
  if (lock_enter() != RLX_OK) return false;
  rlx_status status = mx_ctx_create(MX_CPU, &m);
  mx y = status == RLX_OK ? unevaluated(m) : NULL;
  lock_leave();
  if (status == RLX_OK) status = evaluate(m, y, &got);
  if (lock_enter() != RLX_OK) return false;
  mx_ctx_free(m);
  lock_leave();
  return status == RLX_OK && got > 1.999f / SIDE && got < 2.001f / SIDE;
}

static void *run_in_thread(void *ok) {
  if (!runs_well()) atomic_store((atomic_bool *)ok, false);
  return NULL;
}

/* --- entries */

static void test_entries(void **state) {
  (void)state;
  assert_false(lock_held());
  for (int i = 0; i < 3; i++) assert_int_equal(lock_enter(), RLX_OK);
  assert_true(lock_try());
  assert_true(lock_held());
  for (int i = 0; i < 4; i++) assert_int_equal(lock_leave(), RLX_OK);
  assert_false(lock_held());
}

static void *try_in_thread(void *got) {
  *(bool *)got = lock_try();
  if (*(bool *)got) lock_leave();
  return NULL;
}

static bool another_thread_gets_it(void) {
  pthread_t thread;
  bool got = false;
  assert_int_equal(pthread_create(&thread, NULL, try_in_thread, &got), 0);
  pthread_join(thread, NULL);
  return got;
}

static void test_excludes(void **state) {
  (void)state;
  assert_int_equal(lock_enter(), RLX_OK);
  assert_int_equal(lock_enter(), RLX_OK);
  assert_false(another_thread_gets_it());
  lock_leave();
  assert_false(another_thread_gets_it());
  lock_leave();
  assert_true(another_thread_gets_it());
}

static void *enter_in_thread(void *ok) {
  *(bool *)ok = lock_enter() == RLX_OK && lock_leave() == RLX_OK;
  return NULL;
}

/* The other thread may be slow to come, so the wait is looked for more than once. */
static void test_waits_are_recorded(void **state) {
  (void)state;
  const span_record *r = NULL;
  for (int attempt = 0; attempt < 100 && !r; attempt++) {
    pthread_t thread;
    bool ok = false;
    span_start();
    assert_int_equal(lock_enter(), RLX_OK);
    assert_int_equal(pthread_create(&thread, NULL, enter_in_thread, &ok), 0);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    lock_leave();
    pthread_join(thread, NULL);
    span_stop();
    assert_true(ok);
    (void)span_at(0, &r);
  }
  assert_non_null(r);
  assert_string_equal(r->category, "lock");
  assert_true(r->nanoseconds > 0);
}

static void test_errors_leave_it_usable(void **state) {
  (void)state;
  mx_ctx *m = NULL;
  const int64_t dims[] = {3, 5}, huge[] = {INT64_MAX};
  float data[15] = {0};
  assert_int_equal(lock_leave(), RLX_ERROR_STATE);
  assert_false(lock_held());
  assert_int_equal(lock_enter(), RLX_OK);
  assert_int_equal(mx_ctx_create(MX_CPU, &m), RLX_OK);
  mx a = mx_from_data(m, RLX_F32, 2, dims, data);
  assert_null(mx_matmul(m, a, a));
  assert_int_equal(mx_ctx_status(m), RLX_ERROR_ARGUMENT);
  assert_null(mx_add(m, a, a)); /* sticky until the reset */
  mx_ctx_reset(m);
  assert_null(mx_from_data(m, RLX_F32, 1, huge, data));
  assert_int_equal(mx_ctx_status(m), RLX_ERROR_LIMIT);
  mx_ctx_reset(m);
  assert_null(mx_from_data(m, RLX_Q4_0, 2, dims, data));
  assert_int_equal(mx_ctx_status(m), RLX_ERROR_DTYPE);
  mx_ctx_free(m);
  lock_leave();
  assert_true(runs_well());
  assert_true(another_thread_gets_it());
}

/* --- frees */

static uint64_t active_bytes(void) {
  uint64_t active = 0, cache = 0, peak = 0;
  assert_int_equal(lock_enter(), RLX_OK);
  mx_settle(); /* the CPU stream lets go of its buffers last */
  mx_memory(&active, &cache, &peak);
  lock_leave();
  return active;
}

static void *drop_in_thread(void *array) {
  mx_drop(array);
  return NULL;
}

static void test_free_is_deferred(void **state) {
  (void)state;
  const uint64_t before = active_bytes();
  pthread_t thread;
  mx_ctx *m = NULL;
  assert_int_equal(lock_enter(), RLX_OK);
  assert_int_equal(mx_ctx_create(MX_CPU, &m), RLX_OK);
  mx a = mx_keep(matrix(m));
  mx_ctx_reset(m);
  assert_int_equal(pthread_create(&thread, NULL, drop_in_thread, a), 0);
  pthread_join(thread, NULL); /* it did not wait for the lock, which is ours */
  assert_true(active_bytes() > before);
  lock_leave();
  assert_int_equal(active_bytes(), before);
  assert_int_equal(lock_enter(), RLX_OK);
  mx_ctx_free(m);
  lock_leave();
}

/* What one thread builds and the other drops, while the first evaluates. */
typedef struct mailbox {
  _Atomic(mx) slot[64];
  atomic_bool done;
} mailbox;

static void *drop_what_comes(void *box) {
  mailbox *b = box;
  for (bool last = false; !last;) {
    last = atomic_load(&b->done);
    for (size_t i = 0; i < 64; i++) mx_drop(atomic_exchange(&b->slot[i], NULL));
  }
  return NULL;
}

static void test_free_beside_a_run(void **state) {
  (void)state;
  const uint64_t before = active_bytes();
  static mailbox box;
  pthread_t thread;
  mx_ctx *m = NULL;
  float got = 0;
  assert_int_equal(lock_enter(), RLX_OK);
  assert_int_equal(mx_ctx_create(MX_CPU, &m), RLX_OK);
  lock_leave();
  assert_int_equal(pthread_create(&thread, NULL, drop_what_comes, &box), 0);
  for (size_t i = 0; i < FREES; i++) {
    assert_int_equal(lock_enter(), RLX_OK);
    mx y = unevaluated(m);
    mx_drop(atomic_exchange(&box.slot[i % 64], mx_keep(y))); /* shared with the run */
    mx_drop(atomic_exchange(&box.slot[(i + 32) % 64], unevaluated(m)));
    lock_leave();
    assert_int_equal(evaluate(m, y, &got), RLX_OK);
    assert_true(got > 1.999f / SIDE && got < 2.001f / SIDE);
  }
  atomic_store(&box.done, true);
  pthread_join(thread, NULL);
  assert_int_equal(lock_enter(), RLX_OK);
  mx_ctx_free(m);
  lock_leave();
  assert_int_equal(active_bytes(), before);
}

/* --- borrowed memory */

static atomic_int released;

static void count_release(void *owner) {
  (void)owner;
  atomic_fetch_add(&released, 1);
}

static void test_borrowed_memory(void **state) {
  (void)state;
  enum { N = 4096 };
  const int64_t n = N;
  const int start = 0, stop = N, step = 1;
  const void *out[3];
  mx_event *event = NULL;
  mx_ctx *m = NULL;
  char *block = mem_new(1, 64 + N * sizeof(float));
  float *data = (float *)(void *)(block + 64);
  *(size_t *)(void *)(block + 64 - sizeof(size_t)) = N * sizeof(float);
  for (int i = 0; i < N; i++) data[i] = (float)i;
  assert_int_equal(lock_enter(), RLX_OK);
  assert_int_equal(mx_ctx_create(MX_CPU, &m), RLX_OK);
  mx a = mx_from_owned(m, RLX_F32, 1, &n, data, count_release, NULL);
  mx y[] = {mx_keep(mx_neg(m, a)), /* operations that reuse what they may */
            mx_keep(mx_slice_update(m, a, mx_scalar(m, RLX_F32, -1), &start, &stop, &step, 1)),
            mx_keep(mx_exp(m, mx_add(m, a, mx_scalar(m, RLX_F32, 1))))};
  mx_ctx_reset(m);
  assert_int_equal(mx_schedule(m, y, 3, &event), RLX_OK);
  assert_int_equal(mx_event_wait(event), RLX_OK);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(mx_host_data(m, y[i], &out[i]), RLX_OK);
    assert_ptr_not_equal(out[i], data);
    mx_drop(y[i]);
  }
  for (int i = 0; i < N; i++) assert_true(data[i] == (float)i);
  mx_settle();
  assert_int_equal(atomic_load(&released), 1);
  /* a context that has failed takes nothing, and still releases */
  assert_null(mx_from_owned(m, RLX_Q8_0, 1, &n, data, count_release, NULL));
  assert_null(mx_from_owned(m, RLX_F32, 1, &n, data, count_release, NULL));
  assert_int_equal(atomic_load(&released), 3);
  mx_ctx_free(m);
  lock_leave();
  mem_free(block);
}

/* --- processes and threads */

#ifndef UNDER_TSAN
/* The child's exit status is the status that an entry gives there. A hang ends by the alarm. */
static int entry_in_a_child(void) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit((int)lock_enter());
  }
  int status = -1;
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_fork(void **state) {
  (void)state;
  assert_true(runs_well());
  assert_int_equal(entry_in_a_child(), RLX_ERROR_FORKED);
  assert_int_equal(lock_enter(), RLX_OK);
  assert_int_equal(entry_in_a_child(), RLX_ERROR_FORKED);
  lock_leave();
  assert_true(runs_well()); /* the parent is as before */
}
#endif

/* A number from /proc/self/status; -1 where there is none. */
static long process_says(const char *what) {
  char line[256];
  long value = -1;
  FILE *f = fopen("/proc/self/status", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL) {
    if (strncmp(line, what, strlen(what)) == 0) (void)sscanf(line + strlen(what), ": %ld", &value);
  }
  if (f != NULL) fclose(f);
  return value;
}

static void test_threads_that_come_and_go(void **state) {
  (void)state;
  atomic_bool ok = true;
  long threads = 0, kilobytes = 0;
  for (int i = 0; i < THREADS; i++) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &ok), 0);
    pthread_join(thread, NULL);
    if (i != THREADS / 10) continue;
    threads = process_says("Threads");
    kilobytes = process_says("VmRSS");
  }
  assert_true(atomic_load(&ok));
  assert_true(process_says("Threads") <= threads + 4); /* an ended one may still be counted */
  assert_true(process_says("VmRSS") <= kilobytes + SLACK_KILOBYTES);
}

/* --- last: all of the above held the lock wherever it is needed */

static void test_no_violations(void **state) {
  (void)state;
  assert_int_equal(lock_violations(), 0);
#ifdef RLX_CHECK_LOCK
  assert_int_equal(mx_rank(NULL), 0);
  assert_int_equal(lock_violations(), 1);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_entries),
      cmocka_unit_test(test_excludes),
      cmocka_unit_test(test_waits_are_recorded),
      cmocka_unit_test(test_errors_leave_it_usable),
      cmocka_unit_test(test_free_is_deferred),
      cmocka_unit_test(test_free_beside_a_run),
      cmocka_unit_test(test_borrowed_memory),
#ifndef UNDER_TSAN
      cmocka_unit_test(test_fork),
#endif
      cmocka_unit_test(test_threads_that_come_and_go),
      cmocka_unit_test(test_no_violations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
