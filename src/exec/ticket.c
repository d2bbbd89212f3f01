/* exec/ticket.c: runs on threads of their own (rlx/async.h).
 *
 * Laws: a few workers, started when there is work for them, take tickets in the order of submission
 * and never end; one mutex guards the queue and the ends of all runs, and is never held during one.
 * What a run needs is let go of before it counts as ended. */
#include <pthread.h>
#include <rlx/async.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/span.h"
#include "exec/exec.h"
#include "mlx/lock.h"

enum { MAX_WORKERS = 4, EXIT_MS = 5000, MAX_WAIT_S = 1 << 30 };

struct rlx_ticket {
  atomic_uint refs; /* the owner's, and the queue's until the run has ended */
  rlx_exec *e;
  resident **params; /* the versions to run with */
  rlx_tensor **inputs, **outputs;
  size_t n_inputs, n_outputs;
  bool borrows;
  atomic_bool ended;
  rlx_status status; /* these two once it has */
  char *error;
  struct rlx_ticket *next; /* in the queue */
};

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t queued, ended;
  rlx_ticket *first, *last;
  size_t n_queued;
  unsigned workers, idle;
  bool closed;    /* the process is ending */
  atomic_int pid; /* of the process that has the workers; 0: there are none */
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER,
          .queued = PTHREAD_COND_INITIALIZER,
          .ended = PTHREAD_COND_INITIALIZER};

/* In a child the workers do not exist, and the mutex may be held by one of them for ever. */
static bool in_child(void) {
  const int pid = atomic_load(&pool.pid);
  return pid != 0 && pid != (int)getpid();
}

/* --- tickets */

static void let_go(rlx_ticket *t) {
  for (size_t i = 0; t->inputs && i < t->n_inputs; i++) rlx_tensor_free(t->inputs[i]);
  mem_free(t->inputs);
  if (t->params) exec_drop_params(t->e, t->params);
  rlx_exec_free(t->e);
  t->inputs = NULL;
  t->params = NULL;
  t->e = NULL;
}

static void release(rlx_ticket *t) {
  if (atomic_fetch_sub(&t->refs, 1) != 1) return;
  let_go(t);
  for (size_t i = 0; t->outputs && i < t->n_outputs; i++) rlx_tensor_free(t->outputs[i]);
  mem_free(t->outputs);
  mem_free(t->error);
  mem_free(t);
}

static rlx_status retain_all(rlx_tensor *const *tensors, size_t n, rlx_tensor ***out) {
  *out = mem_new(n + 1, sizeof **out);
  if (!*out) return status_memory(n * sizeof **out);
  for (size_t i = 0; tensors && i < n; i++) (*out)[i] = rlx_tensor_retain(tensors[i]);
  return RLX_OK;
}

static rlx_status init(rlx_ticket *t, rlx_tensor *const *inputs, rlx_tensor *const *outputs) {
  RLX_TRY(retain_all(inputs, t->n_inputs, &t->inputs));
  RLX_TRY(retain_all(outputs, t->n_outputs, &t->outputs));
  for (size_t i = 0; i < t->n_outputs; i++) t->borrows |= t->outputs[i] != NULL;
  return exec_take_params(t->e, &t->params);
}

static rlx_status create(rlx_exec *e, rlx_tensor *const *inputs, size_t n_inputs,
                         rlx_tensor *const *outputs, rlx_ticket **out) {
  rlx_ticket *t = mem_new(1, sizeof *t);
  if (!t) return status_memory(sizeof *t);
  atomic_init(&t->refs, 1);
  atomic_init(&t->ended, false);
  atomic_fetch_add(&e->refs, 1);
  t->e = e;
  t->n_inputs = n_inputs;
  t->n_outputs = e->graph->outputs.n;
  const rlx_status status = init(t, inputs, outputs);
  if (status != RLX_OK) release(t);
  else *out = t;
  return status;
}

/* --- the workers */

static void run_ticket(rlx_ticket *t) {
  const uint64_t begin = span_begin();
  t->status = exec_call_with(t->e, t->params, t->inputs, t->n_inputs, t->outputs, t->n_outputs);
  span_end(begin, "run", "run", t->e->graph->name);
  if (t->status != RLX_OK) {
    exec_fail(t->e, t->status);
    t->error = mem_strdup(rlx_last_error());
  }
  let_go(t);
}

static void *work(void *unused) {
  (void)unused;
  pthread_mutex_lock(&pool.mutex);
  for (;;) {
    while (!pool.first || pool.closed) {
      pool.idle++;
      pthread_cond_broadcast(&pool.ended); /* for the end of the process */
      pthread_cond_wait(&pool.queued, &pool.mutex);
      pool.idle--;
    }
    rlx_ticket *t = pool.first;
    pool.first = t->next;
    pool.n_queued--;
    pthread_mutex_unlock(&pool.mutex);
    run_ticket(t);
    pthread_mutex_lock(&pool.mutex);
    atomic_store(&t->ended, true);
    pthread_cond_broadcast(&pool.ended);
    pthread_mutex_unlock(&pool.mutex);
    release(t);
    pthread_mutex_lock(&pool.mutex);
  }
  return NULL;
}

static struct timespec in_milliseconds(int64_t ms) {
  struct timespec t;
  (void)timespec_get(&t, TIME_UTC);
  const int64_t seconds = ms / 1000, ns = t.tv_nsec + ms % 1000 * 1000000;
  t.tv_sec += (time_t)(seconds < MAX_WAIT_S ? seconds : MAX_WAIT_S) + (time_t)(ns / 1000000000);
  t.tv_nsec = (long)(ns % 1000000000);
  return t;
}

/* With the mutex held. False: the time is over. */
static bool next_end(int64_t ms, const struct timespec *deadline) {
  if (ms < 0) return pthread_cond_wait(&pool.ended, &pool.mutex) == 0;
  return pthread_cond_timedwait(&pool.ended, &pool.mutex, deadline) == 0;
}

/* Libraries take down what they need when the process ends: no run should be under way then. One
 * that waits for a lock held by the thread that ends the process cannot be waited for. */
static void close_pool(void) {
  if (in_child() || lock_held()) return;
  const struct timespec deadline = in_milliseconds(EXIT_MS);
  pthread_mutex_lock(&pool.mutex);
  pool.closed = true;
  while (pool.idle < pool.workers && next_end(EXIT_MS, &deadline)) continue;
  pthread_mutex_unlock(&pool.mutex);
}

/* With the mutex held: sees to it that somebody will take one more ticket. */
static rlx_status add_worker(void) {
  pthread_t thread;
  if (pool.workers == MAX_WORKERS || pool.n_queued < pool.idle) return RLX_OK;
  if (pool.workers == 0 && atomic_load(&pool.pid) == 0) {
    if (atexit(close_pool) != 0) return status_memory(sizeof(void *));
    atomic_store(&pool.pid, (int)getpid());
  }
  if (pthread_create(&thread, NULL, work, NULL) == 0) {
    pthread_detach(thread);
    pool.workers++;
  }
  if (pool.workers > 0) return RLX_OK;
  return status_set(RLX_ERROR_LIMIT, "a thread for submitted runs cannot be started");
}

static rlx_status enqueue(rlx_ticket *t) {
  pthread_mutex_lock(&pool.mutex);
  const rlx_status status = add_worker();
  if (status == RLX_OK) {
    atomic_fetch_add(&t->refs, 1);
    if (pool.first) pool.last->next = t;
    else pool.first = t;
    pool.last = t;
    pool.n_queued++;
    pthread_cond_signal(&pool.queued);
  }
  pthread_mutex_unlock(&pool.mutex);
  return status;
}

/* --- the public calls */

rlx_status rlx_exec_submit(rlx_exec *e, rlx_tensor *const *inputs, size_t n_inputs,
                           rlx_tensor *const *outputs, size_t n_outputs, rlx_ticket **out_ticket) {
  if (!e || !out_ticket || (n_inputs && !inputs))
    return status_set(RLX_ERROR_ARGUMENT, "rlx_exec_submit: %s is NULL",
                      !e ? "exec" : !out_ticket ? "out_ticket" : "inputs");
  *out_ticket = NULL;
  if (outputs && n_outputs != e->graph->outputs.n)
    return status_set(RLX_ERROR_ARGUMENT, "rlx_exec_submit: %zu outputs, the graph has %zu",
                      n_outputs, e->graph->outputs.n);
  if (in_child())
    return status_set(RLX_ERROR_FORKED, "rlx_exec_submit: runs were submitted before fork()");
  rlx_ticket *t = NULL;
  RLX_TRY(create(e, inputs, n_inputs, outputs, &t));
  const rlx_status status = enqueue(t);
  if (status != RLX_OK) release(t);
  else *out_ticket = t;
  return status;
}

static rlx_status await(rlx_ticket *t, int64_t timeout_ms) {
  if (atomic_load(&t->ended)) return RLX_OK;
  if (in_child()) return status_set(RLX_ERROR_FORKED, "this ticket's run is in the parent process");
  if (lock_held() && timeout_ms != 0)
    return status_set(RLX_ERROR_STATE,
                      "a thread that holds the runtime lock cannot wait for a run");
  const struct timespec deadline = in_milliseconds(timeout_ms);
  pthread_mutex_lock(&pool.mutex);
  while (!atomic_load(&t->ended) && next_end(timeout_ms, &deadline)) continue;
  pthread_mutex_unlock(&pool.mutex);
  if (atomic_load(&t->ended)) return RLX_OK;
  return status_set(RLX_ERROR_TIMEOUT, "the run has not ended after %lld ms",
                    (long long)timeout_ms);
}

rlx_status rlx_ticket_wait(rlx_ticket *t, int64_t timeout_ms) {
  if (!t) return status_set(RLX_ERROR_ARGUMENT, "rlx_ticket_wait: ticket is NULL");
  RLX_TRY(await(t, timeout_ms));
  return t->status == RLX_OK ? RLX_OK : status_set(t->status, "%s", t->error ? t->error : "");
}

bool rlx_ticket_poll(const rlx_ticket *t) { return t && atomic_load(&t->ended); }

rlx_status rlx_ticket_read(rlx_ticket *t, size_t index, rlx_tensor **out_tensor) {
  if (!t || !out_tensor)
    return status_set(RLX_ERROR_ARGUMENT, "rlx_ticket_read: %s is NULL",
                      t ? "out_tensor" : "ticket");
  *out_tensor = NULL;
  RLX_TRY(rlx_ticket_wait(t, -1));
  if (index >= t->n_outputs)
    return status_set(RLX_ERROR_INDEX, "output %zu, the graph has %zu", index, t->n_outputs);
  *out_tensor = rlx_tensor_retain(t->outputs[index]);
  return RLX_OK;
}

void rlx_ticket_free(rlx_ticket *t) {
  if (!t) return;
  if (t->borrows) (void)await(t, -1);
  release(t);
}
