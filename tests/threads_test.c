/* tests/threads_test.c: the pool: each task once, on no more threads than asked for; many callers,
 * callers while all helpers are stuck, nested calls, forks, signals. */
#define _GNU_SOURCE /* sched_setaffinity */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/threads.h"
#include "sanitizers.h"

enum { TASKS = 500, THREADS = 8 };

/* --- a call that looks at itself */

typedef struct call {
  uint32_t threads;
  size_t n;
  int runs[TASKS]; /* not atomic: each is written by one thread, and read after the call */
  atomic_bool busy[THREADS];
  atomic_int clashes; /* two tasks with one worker number at a time, or a number too high */
} call;

static void pause_ns(long ns) { nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); }

static void work(void *ctx, size_t i, size_t worker) {
  call *c = ctx;
  if (worker >= c->threads || atomic_exchange(&c->busy[worker], true)) {
    atomic_fetch_add(&c->clashes, 1);
    return;
  }
  c->runs[i]++;
  if (i % 37 == 0) pause_ns(1000);
  atomic_store(&c->busy[worker], false);
}

static bool runs_well(uint32_t threads, size_t n) {
  call c = {.threads = threads, .n = n};
  threads_run(threads, n, work, &c);
  bool fine = atomic_load(&c.clashes) == 0;
  for (size_t i = 0; i < TASKS; i++) fine = fine && c.runs[i] == (i < n);
  return fine;
}

static void test_each_task_once(void **state) {
  (void)state;
  const size_t counts[] = {0, 1, 2, 3, 7, 16, 100, TASKS};
  for (uint32_t threads = 1; threads <= THREADS; threads++)
    for (int round = 0; round < 20; round++)
      for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++)
        assert_true(runs_well(threads, counts[k]));
}

/* Calls after pauses of any length meet helpers that spin, sleep, or are just falling asleep. */
static void test_after_pauses(void **state) {
  (void)state;
  for (long k = 0; k < 300; k++) {
    assert_true(runs_well(3, 5));
    pause_ns(k * 200);
  }
}

/* --- several callers */

static void *call_often(void *ctx) {
  bool *fine = ctx;
  *fine = true;
  for (uint32_t k = 0; k < 200; k++) *fine = runs_well(2 + k % 3, 1 + k % 50) && *fine;
  return NULL;
}

static void test_many_callers(void **state) {
  (void)state;
  enum { CALLERS = 40 };
  pthread_t threads[CALLERS];
  bool fine[CALLERS];
  for (size_t i = 0; i < CALLERS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, call_often, &fine[i]), 0);
  for (size_t i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
  for (size_t i = 0; i < CALLERS; i++) assert_true(fine[i]);
}

typedef struct gate {
  atomic_int inside;
  atomic_bool open;
} gate;

static void wait_at(void *ctx, size_t i, size_t worker) {
  gate *g = ctx;
  (void)i, (void)worker;
  atomic_fetch_add(&g->inside, 1);
  while (!atomic_load(&g->open)) pause_ns(100000);
}

static void *call_gate(void *ctx) {
  threads_run(THREADS, THREADS, wait_at, ctx);
  return NULL;
}

static void stick(gate *g, pthread_t *thread) {
  assert_int_equal(pthread_create(thread, NULL, call_gate, g), 0);
  while (atomic_load(&g->inside) < THREADS) pause_ns(100000);
}

static void test_progress_while_helpers_are_stuck(void **state) {
  (void)state;
  gate g = {0};
  pthread_t stuck;
  stick(&g, &stuck);
  for (int i = 0; i < 50; i++) assert_true(runs_well(THREADS, 100));
  atomic_store(&g.open, true);
  pthread_join(stuck, NULL);
}

/* --- a task that calls: alone, in order */

static void nest(void *ctx, size_t i, size_t worker) {
  (void)worker;
  ((bool *)ctx)[i] = runs_well(THREADS, 20);
}

static void test_nested(void **state) {
  (void)state;
  bool fine[50] = {false};
  threads_run(4, 50, nest, fine);
  for (size_t i = 0; i < 50; i++) assert_true(fine[i]);
  assert_true(runs_well(4, 100));
}

/* --- processes */

#ifndef UNDER_TSAN
/* A hang ends by the alarm. */
static void check_in_a_child(void) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    bool fine = true;
    for (int i = 0; i < 50; i++) fine = runs_well(4, 100) && fine;
    _exit(fine ? 0 : 1);
  }
  int status = -1;
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_fork(void **state) {
  (void)state;
  gate g = {0};
  pthread_t stuck;
  for (int i = 0; i < 20; i++) {
    assert_true(runs_well(4, 100));
    check_in_a_child();
    pause_ns(i * 10000);
  }
  stick(&g, &stuck);
  check_in_a_child();
  atomic_store(&g.open, true);
  pthread_join(stuck, NULL);
  assert_true(runs_well(THREADS, 100));
}

static atomic_bool strange; /* a task ran in a process that did not ask for it */
static atomic_uint calls;

static void stay(void *ctx, size_t i, size_t worker) {
  (void)i, (void)worker;
  if (getpid() != *(const pid_t *)ctx) atomic_store(&strange, true);
  pause_ns(2000000);
}
static void *call_stay(void *parent) {
  atomic_fetch_add(&calls, 1);
  threads_run(THREADS, 100, stay, parent);
  return NULL;
}

/* Of other threads' calls the child has neither the threads nor the tasks. */
static void test_fork_while_others_call(void **state) {
  (void)state;
  pid_t parent = getpid();
  pthread_t callers[2];
  for (size_t i = 0; i < 2; i++) pthread_create(&callers[i], NULL, call_stay, &parent);
  while (atomic_load(&calls) < 2) pause_ns(1000);
  pause_ns(10000000);
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    for (int i = 0; i < 20; i++) {
      runs_well(4, 100);
      pause_ns(1000000);
    }
    _exit(atomic_load(&strange));
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  for (size_t i = 0; i < 2; i++) pthread_join(callers[i], NULL);
}
#endif

/* The program waits for a signal with all its threads blocking it, as far as it knows them. */
static void test_helpers_take_no_signals(void **state) {
  (void)state;
  sigset_t set, pending;
  assert_true(runs_well(4, 100));
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  kill(getpid(), SIGUSR1);
  pause_ns(5000000);
  sigpending(&pending);
  assert_true(sigismember(&pending, SIGUSR1));
  assert_int_equal(sigwait(&set, &(int){0}), 0);
}

static void test_default(void **state) {
  (void)state;
  const uint32_t n = threads_default();
  assert_in_range(n, 1, THREADS_MAX);
#if defined(__linux__)
  cpu_set_t all, one;
  CPU_ZERO(&one);
  CPU_SET((size_t)sched_getcpu(), &one);
  assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
  assert_true(n <= (uint32_t)CPU_COUNT(&all));
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  assert_int_equal(threads_default(), 1);
  assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_default),
      cmocka_unit_test(test_each_task_once),
      cmocka_unit_test(test_after_pauses),
      cmocka_unit_test(test_many_callers),
      cmocka_unit_test(test_progress_while_helpers_are_stuck),
      cmocka_unit_test(test_nested),
#ifndef UNDER_TSAN
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_fork_while_others_call),
#endif
      cmocka_unit_test(test_helpers_take_no_signals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
