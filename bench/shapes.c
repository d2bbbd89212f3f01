/* bench/shapes.c: `shapes [MODEL [COUNT]]`: what a new shape costs, and whether many of them leave
 * memory flat.
 *
 * Without MODEL: 10000 shapes of a small graph. With MODEL, whose inputs are i64 [batch,length]:
 * COUNT lengths (100) in a mixed order, each for the first time and then again: what preparing it
 * took by rlx's own recorder, and how much longer the whole run was. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <rlx/rlx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_INPUTS = 4, MOST_OUTPUTS = 4 };
enum { SHAPES = 10000, SIDE = 100, LENGTHS = 100, STEP = 7, AGAIN = 3 };

static void must(bool ok) {
  if (ok) return;
  fprintf(stderr, "shapes: %s\n", rlx_last_error());
  exit(1);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double resident_mb(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
  if (file) fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void report_memory(int runs) {
  rlx_memory_info m = {.struct_size = sizeof m};
  must(rlx_runtime_memory(&m) == RLX_OK);
  printf("after %5d shapes: %.1f MiB resident, MLX holds %.1f MiB and caches %.1f MiB\n", runs,
         resident_mb(), (double)m.active_bytes / (1 << 20), (double)m.cache_bytes / (1 << 20));
}

/* Milliseconds of a run on inputs of ones. */
static double run(rlx_exec *e, rlx_dtype dtype, const int64_t dims[2]) {
  const rlx_graph *g = rlx_exec_graph(e);
  const size_t n_in = rlx_graph_input_count(g), n_out = rlx_graph_output_count(g);
  rlx_tensor *in[MOST_INPUTS] = {0}, *out[MOST_OUTPUTS] = {0};
  if (n_in > MOST_INPUTS || n_out > MOST_OUTPUTS) {
    fprintf(stderr, "shapes: the model has too many inputs or outputs for this program\n");
    exit(1);
  }
  for (size_t i = 0; i < n_in; i++) {
    must(rlx_tensor_create(dtype, 2, dims, &in[i]) == RLX_OK);
    if (dtype == RLX_I64)
      for (int64_t k = 0; k < dims[0] * dims[1]; k++) ((int64_t *)rlx_tensor_mutable(in[i]))[k] = 1;
  }
  const double begin = now_ms();
  must(rlx_exec_call(e, in, n_in, out, n_out) == RLX_OK);
  const double ms = now_ms() - begin;
  for (size_t i = 0; i < n_in; i++) rlx_tensor_free(in[i]);
  for (size_t i = 0; i < n_out; i++) rlx_tensor_free(out[i]);
  return ms;
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static rlx_exec *compiled(rlx_graph *g) {
  rlx_exec *e = NULL;
  must(rlx_compile(g, NULL, &e) == RLX_OK);
  rlx_graph_free(g);
  return e;
}

/* y = relu(x x' + 1) */
static void small_graph(void) {
  rlx_graph *g = NULL;
  must(rlx_graph_create("small", &g) == RLX_OK);
  const rlx_dim dims[] = {rlx_dim_named(g, "n"), rlx_dim_named(g, "m")};
  const rlx_val x = rlx_input(g, "x", RLX_F32, 2, dims);
  const rlx_val product = rlx_matmul(g, x, rlx_transpose(g, x, NULL));
  rlx_graph_output(g, "y", rlx_relu(g, rlx_add(g, product, rlx_scalar(g, RLX_F32, 1))));
  rlx_exec *e = compiled(g);
  for (int i = 0; i < SHAPES; i++) {
    run(e, RLX_F32, (const int64_t[]){i % SIDE + 1, i / SIDE + 1});
    if ((i + 1) % (SHAPES / 5) == 0 || i + 1 == SHAPES / 10) report_memory(i + 1);
  }
  rlx_exec_free(e);
}

/* What the recording that has ended says of making variants, in milliseconds. */
static double recorded_ms(void) {
  rlx_trace_event event;
  double us = 0;
  for (size_t i = 0; rlx_trace_at(i, &event); i++)
    if (strcmp(event.name, "variant") == 0) us += event.us;
  return us / 1e3;
}

static void report_costs(const char *what, double *ms, int count) {
  qsort(ms, (size_t)count, sizeof *ms, by_size);
  printf("a new length, %s: least %.2f ms, median %.2f ms\n", what, ms[0], ms[count / 2]);
}

static void lengths_of(const char *path, int count) {
  rlx_graph *g = NULL;
  must(rlx_model_load(path, NULL, &g) == RLX_OK);
  rlx_exec *e = compiled(g);
  double *preparing = calloc(2 * (size_t)count, sizeof *preparing);
  double *longer = preparing ? preparing + count : NULL;
  for (int i = 0; preparing && i < count; i++) {
    const int64_t dims[] = {1, 4 + (int64_t)i * STEP % count};
    must(rlx_trace_start() == RLX_OK);
    const double first = run(e, RLX_I64, dims);
    must(rlx_trace_stop(NULL) == RLX_OK);
    preparing[i] = recorded_ms();
    double least = run(e, RLX_I64, dims);
    for (int k = 1; k < AGAIN; k++) {
      const double ms = run(e, RLX_I64, dims);
      if (ms < least) least = ms;
    }
    longer[i] = first - least;
    if (count < 5 || (i + 1) % (count / 5) == 0) report_memory(i + 1);
  }
  if (preparing) {
    report_costs("preparing it", preparing, count);
    report_costs("beyond later runs", longer, count);
  }
  free(preparing);
  rlx_exec_free(e);
}

int main(int argc, char **argv) {
  const int count = argc > 2 ? atoi(argv[2]) : LENGTHS;
  if (argc > 1) lengths_of(argv[1], count > 0 ? count : 1);
  else small_graph();
  return 0;
}
