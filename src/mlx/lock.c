/* mlx/lock.c: see lock.h. Compiled with RLX_NO_LOCK it keeps the books but excludes nobody: for the
 * test that shows that the lock matters. */
#include "mlx/lock.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/span.h"
#include "base/status.h"
#include "mlx/shim.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int fork_watch; /* what pthread_atfork said */
static atomic_bool forked;
static atomic_ullong violations;
static _Thread_local unsigned depth; /* entries of this thread that have not been left */
static _Thread_local bool started;   /* this thread has the shared streams as its defaults */

#ifdef RLX_NO_LOCK
static void mutex_lock(void) { (void)mutex; }
static bool mutex_try(void) { return true; }
static void mutex_unlock(void) {}
#else
static void mutex_lock(void) { pthread_mutex_lock(&mutex); }
static bool mutex_try(void) { return pthread_mutex_trylock(&mutex) == 0; }
static void mutex_unlock(void) { pthread_mutex_unlock(&mutex); }
#endif

/* MLX's threads do not exist in a child, and the mutex may be held by a thread that does not. */
static void after_fork(void) {
  atomic_store(&forked, true);
  depth = 0;
}

static void watch_forks(void) { fork_watch = pthread_atfork(NULL, NULL, after_fork); }

static rlx_status start_thread(void) {
  pthread_once(&once, watch_forks);
  if (fork_watch != 0) return status_memory(sizeof(void *));
  RLX_TRY(mx_start());
  started = true;
  return RLX_OK;
}

/* The rest of an outermost entry, with the mutex just taken. */
static rlx_status enter_first(void) {
  depth = 1;
  rlx_status status = started ? RLX_OK : start_thread();
  if (status != RLX_OK) {
    depth = 0;
    mutex_unlock();
    return status;
  }
  mx_drain();
  return RLX_OK;
}

rlx_status lock_enter(void) {
  if (atomic_load_explicit(&forked, memory_order_relaxed)) {
    return status_set(RLX_ERROR_FORKED,
                      "the runtime was in use before fork(): a child must exec before it uses it");
  }
  if (depth > 0) {
    depth++;
    return RLX_OK;
  }
  if (!mutex_try()) {
    const uint64_t begin = span_begin();
    mutex_lock();
    span_end(begin, "lock", "wait", "");
  }
  return enter_first();
}

bool lock_try(void) {
  if (depth > 0) {
    depth++;
    return true;
  }
  if (atomic_load_explicit(&forked, memory_order_relaxed) || !mutex_try()) return false;
  return enter_first() == RLX_OK;
}

rlx_status lock_leave(void) {
  if (depth == 0) {
    return status_set(RLX_ERROR_STATE, "unlock: this thread does not hold the runtime lock");
  }
  if (depth == 1) mx_drain();
  if (--depth == 0) mutex_unlock();
  return RLX_OK;
}

bool lock_held(void) { return depth > 0; }

void lock_check_(void) {
  if (depth == 0) atomic_fetch_add_explicit(&violations, 1, memory_order_relaxed);
}

uint64_t lock_violations(void) { return atomic_load_explicit(&violations, memory_order_relaxed); }
