/* tests/stress_test.c: `stress_test [SECONDS]`: eight threads build, compile, run and free
 * executables, some shared and some their own, on CPU kernels or on MLX, through the public API;
 * every result is compared with what the reference gave beforehand. Ends with 1 after a wrong result
 * or a failed call; a crash or a hang ends it too. Built with src/mlx/lock.c under RLX_NO_LOCK it
 * must fail: that is what makes it worth having. */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <rlx/rlx.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, COLUMNS = 32, SEEDS = 2, MAILBOXES = 16, SHOWN = 10, GRACE = 60 };
static const int64_t row_counts[] = {5, 24}; /* two variants of each executable */
enum { ROW_COUNTS = sizeof row_counts / sizeof row_counts[0] };

/* --- the graphs: x f32[n,COLUMNS], w f32[COLUMNS,COLUMNS] a param, to one output */

static rlx_val chain(rlx_graph *g, rlx_val x, rlx_val w) {
  rlx_val half = rlx_scalar(g, RLX_F32, 0.5), y = x;
  for (int i = 0; i < 24; i++) y = rlx_add(g, rlx_mul(g, rlx_tanh(g, y), half), x);
  return rlx_matmul(g, y, w);
}

static rlx_val attention(rlx_graph *g, rlx_val x, rlx_val w) {
  rlx_val q = rlx_matmul(g, x, w), scores = rlx_matmul(g, q, rlx_transpose(g, x, NULL));
  return rlx_matmul(g, rlx_softmax(g, scores, NULL), x);
}

static rlx_val statistics(rlx_graph *g, rlx_val x, rlx_val w) {
  const int64_t last[] = {1};
  rlx_reduce_mean_attrs mean = rlx_reduce_mean_init();
  rlx_reduce_max_attrs max = rlx_reduce_max_init();
  rlx_concat_attrs join = rlx_concat_init();
  mean.axes = max.axes = (rlx_ints){last, 1};
  mean.keep = max.keep = true;
  join.axis = 1;
  rlx_val y = rlx_matmul(g, x, w);
  const rlx_val parts[] = {rlx_reduce_mean(g, y, &mean), y, rlx_reduce_max(g, y, &max)};
  return rlx_concat(g, parts, 3, &join);
}

/* Matrix products and a scan over strided views, which MLX copies into temporaries of the stream:
 * what two threads without the lock spoil first. The output is strided, too. */
static rlx_val moves(rlx_graph *g, rlx_val x, rlx_val w) {
  const int64_t axes[] = {1};
  rlx_reverse_attrs reverse = rlx_reverse_init();
  reverse.axes = (rlx_ints){axes, 1};
  rlx_val y = x;
  for (int i = 0; i < 8; i++) y = rlx_tanh(g, rlx_matmul(g, rlx_reverse(g, y, &reverse), w));
  return rlx_transpose(g, rlx_cumsum(g, rlx_reverse(g, y, &reverse), NULL), NULL);
}

static rlx_val lookup(rlx_graph *g, rlx_val x, rlx_val w) {
  rlx_argmax_attrs last = rlx_argmax_init();
  last.axis = 1;
  return rlx_add(g, rlx_gather(g, w, rlx_argmax(g, x, &last), NULL), x);
}

typedef rlx_val (*make_graph)(rlx_graph *g, rlx_val x, rlx_val w);
static const make_graph kinds[] = {chain, attention, statistics, moves, lookup};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static rlx_tensor *weights;
static rlx_tensor *inputs[ROW_COUNTS][SEEDS];
static rlx_tensor *expected[KINDS][ROW_COUNTS][SEEDS];
static rlx_exec *shared[KINDS];
/* Outputs put here by one thread are freed by another. */
static _Atomic(rlx_tensor *) mailboxes[MAILBOXES];

static atomic_bool stop;
static atomic_ulong passed, failed;

static void fail(const char *what, size_t kind) {
  if (atomic_fetch_add(&failed, 1) < SHOWN) {
    fprintf(stderr, "graph %zu: %s: %s\n", kind, what, rlx_last_error());
  }
}

static rlx_status build(size_t kind, rlx_device device, rlx_mode mode, bool no_kernels,
                        rlx_exec **out) {
  rlx_exec_options options = RLX_OPTIONS(rlx_exec_options);
  rlx_graph *g = NULL;
  rlx_status status = rlx_graph_create("stress", &g);
  if (status != RLX_OK) return status;
  const rlx_dim x_dims[] = {rlx_dim_named(g, "n"), COLUMNS}, w_dims[] = {COLUMNS, COLUMNS};
  rlx_val x = rlx_input(g, "x", RLX_F32, 2, x_dims), w = rlx_param(g, "w", RLX_F32, 2, w_dims);
  rlx_graph_output(g, "y", kinds[kind](g, x, w));
  options.device = device;
  options.mode = mode;
  options.no_kernels = no_kernels;
  status = rlx_compile(g, &options, out);
  rlx_graph_free(g);
  if (status == RLX_OK) status = rlx_exec_set_param(*out, "w", weights);
  return status;
}

static rlx_status run(rlx_exec *exec, size_t rows, size_t seed, rlx_tensor **out) {
  *out = NULL;
  return rlx_exec_call(exec, &inputs[rows][seed], 1, out, 1);
}

/* --- one thread */

static size_t pick(uint64_t *random, size_t n) {
  *random ^= *random << 13;
  *random ^= *random >> 7;
  *random ^= *random << 17;
  return (size_t)(*random % n);
}

static void run_and_check(rlx_exec *exec, size_t kind, uint64_t *random) {
  const size_t rows = pick(random, ROW_COUNTS), seed = pick(random, SEEDS);
  rlx_tensor *got = NULL;
  rlx_difference d = {0};
  if (run(exec, rows, seed, &got) != RLX_OK) {
    fail("run", kind);
  } else if (rlx_tensor_compare(got, expected[kind][rows][seed], &d) != RLX_OK || d.error > 1e-4) {
    fail("wrong result", kind);
  } else {
    atomic_fetch_add(&passed, 1);
  }
  rlx_tensor_free(atomic_exchange(&mailboxes[pick(random, MAILBOXES)], got));
}

static const rlx_mode modes[] = {RLX_MODE_LAZY, RLX_MODE_LAZY, RLX_MODE_EAGER, RLX_MODE_COMPILED};

static void *work(void *seed) {
  uint64_t random = 0x9e3779b97f4a7c15u * *(const uint64_t *)seed;
  while (!atomic_load(&stop)) {
    const size_t kind = pick(&random, KINDS);
    if (pick(&random, 2) == 0) {
      run_and_check(shared[kind], kind, &random);
      continue;
    }
    rlx_exec *own = NULL;
    const rlx_mode mode = modes[pick(&random, sizeof modes / sizeof *modes)];
    const bool no_kernels = pick(&random, 2);
    if (build(kind, RLX_DEVICE_DEFAULT, mode, no_kernels, &own) != RLX_OK) fail("compile", kind);
    for (int i = 0; own != NULL && i < 3; i++) run_and_check(own, kind, &random);
    rlx_exec_free(own);
  }
  return NULL;
}

/* --- before and after */

static rlx_status expect(size_t kind) {
  rlx_exec *reference = NULL;
  rlx_status status = build(kind, RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT, false, &reference);
  for (size_t r = 0; r < ROW_COUNTS; r++) {
    for (size_t s = 0; s < SEEDS && status == RLX_OK; s++) {
      status = run(reference, r, s, &expected[kind][r][s]);
    }
  }
  rlx_exec_free(reference);
  return status;
}

static rlx_status random_tensor(int64_t rows, uint64_t seed, rlx_tensor **out) {
  const int64_t dims[] = {rows, COLUMNS};
  rlx_status status = rlx_tensor_create(RLX_F32, 2, dims, out);
  return status == RLX_OK ? rlx_tensor_random(*out, seed) : status;
}

static rlx_status prepare(void) {
  rlx_status status = random_tensor(COLUMNS, 1, &weights);
  for (size_t r = 0; r < ROW_COUNTS; r++) {
    for (size_t s = 0; s < SEEDS && status == RLX_OK; s++) {
      status = random_tensor(row_counts[r], 2 + s, &inputs[r][s]);
    }
  }
  for (size_t k = 0; k < KINDS && status == RLX_OK; k++) {
    status = expect(k);
    const bool no_kernels = k % 2;
    const rlx_mode mode = no_kernels ? RLX_MODE_LAZY : RLX_MODE_COMPILED;
    if (status == RLX_OK) status = build(k, RLX_DEVICE_DEFAULT, mode, no_kernels, &shared[k]);
  }
  return status;
}

static void clean_up(void) {
  for (size_t i = 0; i < MAILBOXES; i++) rlx_tensor_free(mailboxes[i]);
  for (size_t k = 0; k < KINDS; k++) {
    rlx_exec_free(shared[k]);
    for (size_t i = 0; i < ROW_COUNTS * SEEDS; i++) {
      rlx_tensor_free(expected[k][i / SEEDS][i % SEEDS]);
    }
  }
  for (size_t i = 0; i < ROW_COUNTS * SEEDS; i++) rlx_tensor_free(inputs[i / SEEDS][i % SEEDS]);
  rlx_tensor_free(weights);
}

int main(int argc, char **argv) {
  const long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 5;
  pthread_t threads[THREADS];
  uint64_t seeds[THREADS];
  alarm((unsigned)seconds + GRACE);
  if (prepare() != RLX_OK) {
    fprintf(stderr, "cannot start: %s\n", rlx_last_error());
    return 1;
  }
  for (size_t i = 0; i < THREADS; i++) {
    seeds[i] = i + 1;
    if (pthread_create(&threads[i], NULL, work, &seeds[i]) != 0) return 1;
  }
  nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
  atomic_store(&stop, true);
  for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  clean_up();
  printf("%lu passed, %lu failed\n", atomic_load(&passed), atomic_load(&failed));
  return atomic_load(&failed) != 0 || atomic_load(&passed) == 0;
}
