/* rlx/bench.c: `rlx bench`: the time of a run, and of nothing else: inputs are bound by position
 * before, outputs are freed after the clock has stopped. */
#include <stdlib.h>

#include "host.h"
#include "model.h"

enum { LEAST_RUNS = 3, WARM_UP_PART = 10 /* of --min-seconds */ };
#define MOST_RUNS ((size_t)10000000)

typedef struct timing {
  double *ms;
  size_t n, cap;
} timing;

static void timing_add(timing *t, double ms) {
  if (t->n == t->cap) {
    double *more = must_alloc(2 * t->cap + 1024, sizeof *more);
    for (size_t i = 0; i < t->n; i++) more[i] = t->ms[i];
    free(t->ms);
    t->ms = more;
    t->cap = 2 * t->cap + 1024;
  }
  t->ms[t->n++] = ms;
}

/* Positional arguments of rlx_exec_call. */
typedef struct bound {
  rlx_tensor **inputs, **outputs;
  size_t n_inputs, n_outputs;
} bound;

/* Runs for `ms` milliseconds, and LEAST_RUNS times at least. */
static rlx_status run_for(const model *m, bound *b, double ms, timing *times) {
  double begin = host_now_ms(), now = begin;
  for (size_t n = 0; n < LEAST_RUNS || (now - begin < ms && n < MOST_RUNS); n++) {
    double start = host_now_ms();
    rlx_status status = rlx_exec_call(m->exec, b->inputs, b->n_inputs, b->outputs, b->n_outputs);
    now = host_now_ms();
    if (status != RLX_OK) return status;
    timing_add(times, now - start);
    for (size_t i = 0; i < b->n_outputs; i++) {
      rlx_tensor_free(b->outputs[i]);
      b->outputs[i] = NULL;
    }
  }
  return RLX_OK;
}

static rlx_status measure(const args *a, const model *m, timing *times) {
  bound b = {.n_inputs = rlx_tensors_count(m->inputs),
             .n_outputs = rlx_graph_output_count(m->graph)};
  b.inputs = must_alloc(b.n_inputs, sizeof *b.inputs);
  b.outputs = must_alloc(b.n_outputs, sizeof *b.outputs);
  for (size_t i = 0; i < b.n_inputs; i++) b.inputs[i] = rlx_tensors_at(m->inputs, i);
  double ms = args_real(a, FLAG_MIN_SECONDS, 1) * 1e3;
  host_progress("warming up");
  rlx_status status = run_for(m, &b, ms / WARM_UP_PART, times);
  times->n = 0;
  host_progress("timing");
  if (status == RLX_OK) status = run_for(m, &b, ms, times);
  free(b.inputs);
  free(b.outputs);
  return status;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void report(const args *a, const model *m, double first_ms, timing *t, text *out) {
  qsort(t->ms, t->n, sizeof *t->ms, by_size);
  double median = (t->ms[t->n / 2] + t->ms[(t->n - 1) / 2]) / 2;
  const struct {
    const char *key, *label, *unit;
    double value;
  } rows[] = {
      {"median_us", "median", " us", median * 1e3},
      {"min_us", "fastest", " us", t->ms[0] * 1e3},
      {"p99_us", "99th percentile", " us", t->ms[(t->n * 99 + 99) / 100 - 1] * 1e3},
      {"n", "runs", "", (double)t->n},
      {"load_ms", "read and compile", " ms", m->load_ms},
      {"first_run_ms", "first run", " ms", first_ms},
      {"peak_rss_mb", "peak memory", " MiB", host_peak_rss_mb()},
  };
  bool as_json = args_has(a, FLAG_JSON);
  const char *device = device_name(rlx_exec_device(m->exec));
  const char *mode = mode_name(rlx_exec_mode(m->exec));
  json j = {out, false};
  if (as_json) {
    json_open(&j, NULL, '{');
  } else {
    text_addf(out, "device, mode        %s, %s\n", device, mode);
  }
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (as_json) {
      json_real(&j, rows[i].key, rows[i].value);
      continue;
    }
    size_t start = out->n;
    text_addf(out, "%s", rows[i].label);
    text_pad(out, start, 20);
    text_addf(out, "%.6g%s\n", rows[i].value, rows[i].unit);
  }
  if (as_json) {
    json_text(&j, "device", device);
    json_text(&j, "mode", mode);
    json_close(&j, '}');
    text_add(out, "\n");
  }
}

int cmd_bench(const args *a, text *out) {
  model m;
  timing times = {0};
  rlx_tensors *outputs = NULL;
  double first_ms = 0;
  int code = model_open(a, &m);
  if (code == EXIT_OK) code = model_run(a, &m, &outputs, &first_ms);
  if (code == EXIT_OK) {
    rlx_status status = measure(a, &m, &times);
    code = status == RLX_OK ? EXIT_OK : fail_status(status);
  }
  if (code == EXIT_OK) report(a, &m, first_ms, &times, out);
  free(times.ms);
  rlx_tensors_free(outputs);
  model_close(&m);
  return code;
}
