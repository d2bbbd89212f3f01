/* tests/replay_test.c: MLX traces: a replay is the computation that was recorded, whoever replays
 * it and whatever was recorded and freed before. Run three times: as it is, with MLX's compiler on
 * the CPU (RLX_MLX_TRACE=cpu), and so without g++ (replay.sh). */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "mlx/lock.h"
#include "mlx/shim.h"

enum { SIDE = 8, N = SIDE * SIDE, OUTPUTS = 4, REMADE = 200, THREADS = 4, REPLAYS = 100 };

static const int64_t dims[] = {SIDE, SIDE};

/* --- all below with the lock held */

static mx_ctx *open_context(void) {
  mx_ctx *m = NULL;
  assert_int_equal(lock_enter(), RLX_OK);
  assert_int_equal(mx_ctx_create(MX_CPU, &m), RLX_OK);
  return m;
}

static void close_context(mx_ctx *m) {
  mx_ctx_free(m);
  assert_int_equal(lock_leave(), RLX_OK);
}

static mx matrix(mx_ctx *m, float first) {
  float data[N];
  for (int i = 0; i < N; i++) data[i] = first + (float)(i % 7) / 8;
  return mx_from_data(m, RLX_F32, 2, dims, data);
}

/* Chains to fuse, a product and a row-wise operation between them, a result that is an input and
 * one that is a constant. `c` makes each computation another. (Not as a scalar: those go into the
 * code that MLX's compiler writes, and each would cost a run of g++.) */
static void compute(mx_ctx *m, mx x, mx y, float c, mx *out) {
  mx constant = matrix(m, c), half = mx_scalar(m, RLX_F32, 0.5);
  mx chain = mx_tanh(m, mx_mul(m, mx_add(m, x, half), mx_exp(m, mx_neg(m, y))));
  out[0] = mx_softmax(m, mx_matmul(m, chain, constant), 1);
  out[1] = mx_add(m, mx_mul(m, out[0], x), mx_mul(m, chain, constant));
  out[2] = y;
  out[3] = constant;
}

static mx_trace *record(mx_ctx *m, float c) {
  mx in[] = {mx_placeholder(m, RLX_F32, 2, dims), mx_placeholder(m, RLX_F32, 2, dims)};
  mx out[OUTPUTS];
  mx_trace *trace = NULL;
  compute(m, in[0], in[1], c, out);
  assert_int_equal(mx_trace_create(m, in, 2, out, OUTPUTS, &trace), RLX_OK);
  return trace;
}

/* Schedules under the lock, waits without it; false on any failure. */
static bool read_all(mx_ctx *m, mx *arrays, float (*to)[N]) {
  mx_event *event = NULL;
  if (mx_schedule(m, arrays, OUTPUTS, &event) != RLX_OK || lock_leave() != RLX_OK) return false;
  const rlx_status status = mx_event_wait(event);
  if (lock_enter() != RLX_OK || status != RLX_OK) return false;
  for (size_t i = 0; i < OUTPUTS; i++) {
    const void *data = NULL;
    if (mx_host_data(m, arrays[i], &data) != RLX_OK) return false;
    memcpy(to[i], data, sizeof to[i]);
  }
  return true;
}

/* Is a replay what a fresh build gives? A compiler may keep more digits. */
static bool replays_well(mx_ctx *m, const mx_trace *trace, float c, float first) {
  float want[OUTPUTS][N], got[OUTPUTS][N];
  mx in[] = {matrix(m, first), matrix(m, first / 2)}, out[OUTPUTS];
  compute(m, in[0], in[1], c, out);
  bool well = read_all(m, out, want);
  well = well && mx_trace_run(m, trace, in, 2, out, OUTPUTS) == RLX_OK && read_all(m, out, got);
  for (size_t i = 0; well && i < OUTPUTS * N; i++) {
    const float difference = want[i / N][i % N] - got[i / N][i % N];
    well = difference < 1e-5f && difference > -1e-5f;
  }
  mx_ctx_reset(m);
  return well;
}

/* --- tests */

static void test_replay(void **state) {
  (void)state;
  mx_ctx *m = open_context();
  mx_trace *trace = record(m, 0.5f);
  mx_ctx_reset(m);
  for (int i = 0; i < 20; i++) assert_true(replays_well(m, trace, 0.5f, (float)i / 16));
  mx_trace_free(trace);
  mx_trace_free(NULL);
  close_context(m);
}

static void test_never_mixed(void **state) {
  (void)state;
  mx_ctx *m = open_context();
  mx_trace *kept = record(m, 3);
  for (int i = 0; i < REMADE; i++) {
    const float c = (float)i / REMADE;
    mx_trace *trace = record(m, c);
    mx_ctx_reset(m);
    assert_true(replays_well(m, trace, c, 0.25f));
    mx_trace_free(trace);
    assert_true(replays_well(m, kept, 3, 0.75f));
  }
  mx_trace_free(kept);
  close_context(m);
}

static void test_results_outlive_the_trace(void **state) {
  (void)state;
  float want[OUTPUTS][N], got[OUTPUTS][N];
  mx_ctx *m = open_context();
  mx_trace *trace = record(m, 2);
  mx in[] = {matrix(m, 0), matrix(m, 1)}, out[OUTPUTS];
  compute(m, in[0], in[1], 2, out);
  assert_true(read_all(m, out, want));
  assert_int_equal(mx_trace_run(m, trace, in, 2, out, OUTPUTS), RLX_OK);
  mx_trace_free(trace);
  assert_true(read_all(m, out, got));
  for (size_t i = 0; i < OUTPUTS * N; i++)
    assert_float_equal(got[i / N][i % N], want[i / N][i % N], 1e-5f);
  close_context(m);
}

typedef struct shared {
  mx_trace *trace;
  atomic_bool well;
} shared;

/* Replays the shared trace, and makes and frees traces of its own. */
static void *replay_in_thread(void *argument) {
  shared *s = argument;
  mx_ctx *m = NULL;
  if (lock_enter() != RLX_OK) return NULL;
  bool well = mx_ctx_create(MX_CPU, &m) == RLX_OK;
  for (int i = 0; well && i < REPLAYS; i++) {
    mx_trace *own = record(m, (float)i);
    mx_ctx_reset(m);
    well = replays_well(m, s->trace, 1, (float)i / REPLAYS) && replays_well(m, own, (float)i, 0.5f);
    lock_leave();
    mx_trace_free(own); /* while others build, replay and wait */
    well = lock_enter() == RLX_OK && well;
  }
  mx_ctx_free(m);
  lock_leave();
  if (!well) atomic_store(&s->well, false);
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  mx_ctx *m = open_context();
  shared s = {.trace = record(m, 1)};
  atomic_init(&s.well, true);
  close_context(m);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, replay_in_thread, &s), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_true(atomic_load(&s.well));
  mx_trace_free(s.trace);
}

static void test_errors(void **state) {
  (void)state;
  const int64_t other[] = {SIDE};
  mx_event *event = NULL;
  mx_trace *trace = NULL, *none = NULL;
  mx_ctx *m = open_context();
  mx p = mx_keep(mx_placeholder(m, RLX_F32, 2, dims)), q = mx_placeholder(m, RLX_F32, 1, other);
  mx y = mx_keep(mx_exp(m, p)), foreign = mx_add(m, p, q), twice[] = {p, p};
  assert_int_equal(mx_trace_create(m, &p, 1, &foreign, 1, &none), RLX_ERROR_ARGUMENT);
  assert_non_null(strstr(rlx_last_error(), "none of its inputs"));
  assert_int_equal(mx_trace_create(m, &p, 1, &y, 1, &none), RLX_ERROR_ARGUMENT); /* sticky */
  mx_ctx_reset(m);
  assert_int_equal(mx_trace_create(m, twice, 2, &y, 1, &none), RLX_ERROR_ARGUMENT);
  mx_ctx_reset(m);
  assert_null(none);
  assert_int_not_equal(mx_schedule(m, &y, 1, &event), RLX_OK);
  mx_ctx_reset(m);
  assert_int_equal(mx_trace_create(m, &p, 1, &y, 1, &trace), RLX_OK);
  mx scalar = mx_keep(mx_scalar(m, RLX_F32, 1)), x = mx_keep(matrix(m, 0));
  mx integers = mx_keep(mx_cast(m, x, RLX_I32)), out;
  assert_int_equal(mx_trace_run(m, trace, &scalar, 1, &out, 1), RLX_ERROR_SHAPE);
  assert_non_null(strstr(rlx_last_error(), "input 0"));
  mx_ctx_reset(m);
  assert_int_equal(mx_trace_run(m, trace, &integers, 1, &out, 1), RLX_ERROR_SHAPE);
  mx_ctx_reset(m);
  assert_int_equal(mx_trace_run(m, trace, &x, 0, &out, 1), RLX_ERROR_ARGUMENT);
  mx_ctx_reset(m);
  assert_int_equal(mx_trace_run(m, trace, &x, 1, &out, 1), RLX_OK); /* nothing is poisoned */
  mx_trace_free(trace);
  mx dropped[] = {p, y, scalar, x, integers};
  for (size_t i = 0; i < 5; i++) mx_drop(dropped[i]);
  close_context(m);
}

/* A chain that is too deep for MLX's compiler is replayed as it was recorded. */
static void test_deep(void **state) {
  (void)state;
  enum { DEEP = 100000 };
  float got[OUTPUTS][N];
  mx_trace *trace = NULL;
  mx_ctx *m = open_context();
  mx one = mx_keep(mx_scalar(m, RLX_F32, 1)), p = mx_keep(mx_placeholder(m, RLX_F32, 2, dims));
  mx y = mx_keep(p);
  for (int i = 0; i < DEEP; i++) {
    mx next = mx_keep(mx_add(m, y, one));
    mx_drop(y);
    y = next;
    mx_ctx_reset(m);
  }
  assert_int_equal(mx_trace_create(m, &p, 1, &y, 1, &trace), RLX_OK);
  mx_drop(y);
  mx_drop(one);
  mx_drop(p);
  mx x = matrix(m, 1), out[OUTPUTS];
  assert_int_equal(mx_trace_run(m, trace, &x, 1, out, 1), RLX_OK);
  mx_trace_free(trace);
  for (int i = 1; i < OUTPUTS; i++) out[i] = out[0];
  assert_true(read_all(m, out, got));
  assert_true(got[0][0] == DEEP + 1);
  close_context(m);
}

/* What MLX's compiler loads lies where nobody else can write. */
static void test_private_folder(void **state) {
  (void)state;
  struct stat s;
  const char *folder = getenv("TMPDIR");
  if (!mx_trace_fuses(MX_CPU)) return;
  assert_non_null(folder);
  assert_int_equal(stat(folder, &s), 0);
  assert_int_equal(s.st_mode & 0777, 0700);
  assert_non_null(strstr(folder, "rlx-trace-"));
}

static void test_no_violations(void **state) {
  (void)state;
  assert_false(lock_held());
  assert_int_equal(lock_violations(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_replay),
      cmocka_unit_test(test_never_mixed),
      cmocka_unit_test(test_results_outlive_the_trace),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_deep),
      cmocka_unit_test(test_private_folder),
      cmocka_unit_test(test_no_violations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
