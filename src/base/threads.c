/* base/threads.c: the pool.
 *
 * A call takes one of a few slots. Its ticket is one word: the generation of the slot, how many
 * helpers have joined, how many tasks nobody has taken yet. Whoever changes it from t to t - 1 has
 * that task, and while tasks are left the fields of the slot cannot change; a helper that was
 * asleep meanwhile fails at the generation. So there is no list, no registration and no lock, and
 * the caller waits only for helpers that did take tasks. Locks are held only to fall asleep and to
 * wake.
 *
 * Spinning pays while calls follow each other and costs much when the cores have other work: after
 * a sleep that was short a longer spin follows, after a long one (no call, or a helper that lost
 * its core) a shorter. */
#define _GNU_SOURCE /* clock_gettime, pthread_sigmask */
#include "base/threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum { SLOTS = 32 };
enum { SPIN_LEAST_NS = 500, HELPER_SPIN_NS = 20000, CALLER_SPIN_NS = 50000 };

typedef void (*task)(void *ctx, size_t i, size_t worker);

/* ticket: generation << 32 | helpers that joined << 24 | tasks left */
#define LEFT(t) ((size_t)((t)&0xffffff))
#define JOINED(t) ((uint32_t)((t) >> 24 & 0xff))
#define ONE_JOINED ((uint64_t)1 << 24)
#define NEXT_GENERATION(t) ((((t) >> 32) + 1) << 32)
enum { TASKS_MAX = 0xffffff };

#define WAITING 0x80000000u /* in `done`: the caller sleeps */

typedef struct slot {
  alignas(64) atomic_bool taken;
  _Atomic uint32_t helpers; /* at most so many */
  _Atomic uint64_t ticket;
  _Atomic(task) f;
  _Atomic(void *) ctx;
  _Atomic size_t n;
  alignas(64) _Atomic uint32_t done; /* tasks that helpers have done, once they find none left */
  uint32_t spin;                     /* the caller's */
  pthread_mutex_t mutex;
  pthread_cond_t finished;
} slot;

static slot slots[SLOTS];
static alignas(64) _Atomic uint32_t epoch; /* calls so far: what idle helpers watch */
static alignas(64) _Atomic uint32_t spinning, sleeping;
static _Atomic uint32_t slots_used; /* the first so many have ever been taken */
static _Atomic uint32_t n_helpers;
static uint32_t pauses_per_us;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* for n_helpers, and to fall asleep */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local bool inside; /* a task */

/* --- spinning */

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The quickest of a few tries: the others were disturbed. */
static uint32_t measure_pauses(void) {
  enum { TRIES = 4, PAUSES = 50 };
  uint64_t least = UINT64_MAX;
  for (int k = 0; k < TRIES; k++) {
    const uint64_t begin = now();
    for (int i = 0; i < PAUSES; i++) relax();
    const uint64_t took = now() - begin;
    if (took < least) least = took;
  }
  const uint64_t n = least ? PAUSES * 1000 / least : PAUSES;
  return n ? (uint32_t)n : 1;
}

/* Until *word is `value` (or is not), for `spin` nanoseconds. */
static bool spin_until(const _Atomic uint32_t *word, uint32_t value, bool equal, uint32_t spin) {
  const uint64_t pauses = (uint64_t)spin * pauses_per_us / 1000;
  for (uint64_t i = 0; i <= pauses; i++) {
    if ((atomic_load_explicit(word, memory_order_acquire) == value) == equal) return true;
    relax();
  }
  return false;
}

/* The next spin after one in vain and a sleep since `begin`: was it nearly enough? */
static uint32_t adapt(uint32_t spin, uint32_t most, uint64_t begin) {
  if (now() - begin < most) return spin * 2 < most ? spin * 2 : most;
  return spin / 2 > SPIN_LEAST_NS ? spin / 2 : SPIN_LEAST_NS;
}

/* --- helpers */

/* Joins and works until no task is left. */
static void help(slot *s) {
  uint64_t t = atomic_load_explicit(&s->ticket, memory_order_acquire);
  uint32_t did = 0, place = 0;
  while (LEFT(t) > 0) {
    const task f = atomic_load_explicit(&s->f, memory_order_acquire);
    void *const ctx = atomic_load_explicit(&s->ctx, memory_order_acquire);
    const size_t n = atomic_load_explicit(&s->n, memory_order_acquire);
    if (!did && JOINED(t) >= atomic_load_explicit(&s->helpers, memory_order_acquire)) return;
    const uint64_t taken = t - 1 + (did ? 0 : ONE_JOINED);
    if (!atomic_compare_exchange_weak_explicit(&s->ticket, &t, taken, memory_order_acq_rel,
                                               memory_order_acquire))
      continue;
    if (!did) place = JOINED(taken);
    f(ctx, n - LEFT(t), place);
    did++;
    t = taken;
  }
  if (!did) return;
  if (!(atomic_fetch_add_explicit(&s->done, did, memory_order_acq_rel) & WAITING)) return;
  pthread_mutex_lock(&s->mutex);
  pthread_mutex_unlock(&s->mutex);
  pthread_cond_signal(&s->finished);
}

static void sleep_until_after(uint32_t seen) {
  pthread_mutex_lock(&mutex);
  atomic_fetch_add(&sleeping, 1);
  while (atomic_load(&epoch) == seen) pthread_cond_wait(&wake, &mutex);
  atomic_fetch_sub(&sleeping, 1);
  pthread_mutex_unlock(&mutex);
}

static void *helper_main(void *unused) {
  uint32_t spin = HELPER_SPIN_NS;
  inside = true;
  for (;;) {
    const uint32_t seen = atomic_load(&epoch);
    const uint32_t used = atomic_load(&slots_used);
    for (uint32_t i = 0; i < used; i++) help(&slots[i]);
    atomic_fetch_add(&spinning, 1);
    const bool called = spin_until(&epoch, seen, false, spin);
    atomic_fetch_sub(&spinning, 1);
    if (called) continue;
    const uint64_t begin = now();
    sleep_until_after(seen);
    spin = adapt(spin, HELPER_SPIN_NS, begin);
  }
  return unused;
}

/* A child of fork has none of the helpers, and no other thread's calls: nor are their tasks its. */
static void forget(void) {
  for (size_t i = 0; i < SLOTS; i++) {
    slots[i].spin = CALLER_SPIN_NS;
    pthread_mutex_init(&slots[i].mutex, NULL);
    pthread_cond_init(&slots[i].finished, NULL);
    atomic_store(&slots[i].ticket, 0);
    atomic_store(&slots[i].taken, false);
  }
  pthread_mutex_init(&mutex, NULL);
  pthread_cond_init(&wake, NULL);
  atomic_store(&spinning, 0);
  atomic_store(&sleeping, 0);
  atomic_store(&n_helpers, 0);
}

static void start(void) {
  pauses_per_us = measure_pauses();
  forget();
  pthread_atfork(NULL, NULL, forget);
}

/* Helpers take no signals: those are the program's. Fewer than wanted will do. */
static void start_helpers(uint32_t wanted) {
  sigset_t all, old;
  pthread_t thread;
  sigfillset(&all);
  pthread_mutex_lock(&mutex);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  uint32_t n = atomic_load(&n_helpers);
  for (; n < wanted && pthread_create(&thread, NULL, helper_main, NULL) == 0; n++)
    pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  atomic_store(&n_helpers, n);
  pthread_mutex_unlock(&mutex);
}

/* --- callers */

static slot *take_slot(void) {
  for (uint32_t i = 0; i < SLOTS; i++) {
    if (atomic_load_explicit(&slots[i].taken, memory_order_relaxed)) continue;
    if (atomic_exchange_explicit(&slots[i].taken, true, memory_order_acq_rel)) continue;
    uint32_t used = atomic_load(&slots_used);
    while (used <= i && !atomic_compare_exchange_weak(&slots_used, &used, i + 1)) continue;
    return &slots[i];
  }
  return NULL;
}

/* Helpers that spin see the epoch; of those that sleep as many are woken as lack. */
static void call_helpers(uint32_t wanted) {
  atomic_fetch_add(&epoch, 1);
  const uint32_t asleep = atomic_load(&sleeping);
  if (asleep == 0) return;
  const uint32_t awake = atomic_load(&spinning);
  if (awake >= wanted) return;
  pthread_mutex_lock(&mutex); /* whoever saw the old epoch waits by now */
  pthread_mutex_unlock(&mutex);
  if (wanted - awake >= asleep) pthread_cond_broadcast(&wake);
  else
    for (uint32_t i = awake; i < wanted; i++) pthread_cond_signal(&wake);
}

static void wait_for_helpers(slot *s, uint32_t tasks) {
  if (spin_until(&s->done, tasks, true, s->spin)) return;
  const uint64_t begin = now();
  pthread_mutex_lock(&s->mutex);
  atomic_fetch_or(&s->done, WAITING);
  while (atomic_load(&s->done) != (tasks | WAITING)) pthread_cond_wait(&s->finished, &s->mutex);
  pthread_mutex_unlock(&s->mutex);
  s->spin = adapt(s->spin, CALLER_SPIN_NS, begin);
}

static void run_shared(slot *s, uint32_t helpers, size_t n, task f, void *ctx) {
  uint64_t t = atomic_load_explicit(&s->ticket, memory_order_relaxed);
  uint32_t did = 0;
  atomic_store_explicit(&s->done, 0, memory_order_relaxed);
  atomic_store_explicit(&s->helpers, helpers, memory_order_release);
  atomic_store_explicit(&s->f, f, memory_order_release);
  atomic_store_explicit(&s->ctx, ctx, memory_order_release);
  atomic_store_explicit(&s->n, n, memory_order_release);
  t = NEXT_GENERATION(t) | n;
  atomic_store_explicit(&s->ticket, t, memory_order_release);
  call_helpers(helpers < n - 1 ? helpers : (uint32_t)(n - 1));
  while (LEFT(t) > 0) {
    if (!atomic_compare_exchange_weak_explicit(&s->ticket, &t, t - 1, memory_order_acq_rel,
                                               memory_order_acquire))
      continue;
    f(ctx, n - LEFT(t), 0);
    did++;
    t--;
  }
  wait_for_helpers(s, (uint32_t)n - did);
}

static void run_alone(size_t first, size_t end, task f, void *ctx) {
  for (size_t i = first; i < end; i++) f(ctx, i, 0);
}

void threads_run(uint32_t threads, size_t n, task f, void *ctx) {
  if (threads > THREADS_MAX) threads = THREADS_MAX;
  slot *s = NULL;
  if (threads > 1 && n > 1 && n <= TASKS_MAX && !inside) {
    pthread_once(&once, start);
    s = take_slot();
  }
  if (!s) {
    run_alone(0, n, f, ctx);
    return;
  }
  if (atomic_load_explicit(&n_helpers, memory_order_relaxed) < threads - 1)
    start_helpers(threads - 1);
  inside = true;
  run_shared(s, threads - 1, n, f, ctx);
  inside = false;
  atomic_store_explicit(&s->taken, false, memory_order_release);
}
