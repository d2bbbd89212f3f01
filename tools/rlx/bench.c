/* rlx/bench.c: `rlx bench`: the time of a run, and of nothing else: inputs are bound by position
 * before, outputs are freed after the clock has stopped. */
#include <math.h>
#include <stdlib.h>

#include "host.h"
#include "model.h"

enum { LEAST_RUNS = 3, WARM_UP_PART = 10 /* of --min-seconds */ };
#define MOST_RUNS ((size_t)10000000)

typedef struct timing {
  double *ms;
  size_t n, room;
} timing;

static void timing_add(timing *t, double ms) {
  t->ms = must_grow(t->ms, t->n, &t->room, sizeof *t->ms);
  t->ms[t->n++] = ms;
}

/* Runs for `ms` milliseconds, and LEAST_RUNS times at least. */
static rlx_status run_for(const args *a, const model *m, bound *b, double ms, timing *times) {
  double begin = host_now_ms(), now = begin;
  for (size_t n = 0; n < LEAST_RUNS || (now - begin < ms && n < MOST_RUNS); n++) {
    double start = host_now_ms();
    rlx_status status = run_exec(a, m->exec, b->inputs, b->n_inputs, b->outputs, b->n_outputs);
    now = host_now_ms();
    if (status != RLX_OK) return status;
    timing_add(times, now - start);
    bound_drop(b);
  }
  return RLX_OK;
}

/* The recording ends with the warm-up, so that it costs the timed runs nothing. */
static int measure(const args *a, const model *m, timing *times) {
  bound b = bound_make(m);
  double ms = args_real(a, FLAG_MIN_SECONDS, 1) * 1e3;
  host_progress("warming up");
  rlx_status status = run_for(a, m, &b, ms / WARM_UP_PART, times);
  int code = status == RLX_OK ? recording_stop(a) : fail_status(status);
  times->n = 0;
  host_progress("timing");
  if (code == EXIT_OK) {
    status = run_for(a, m, &b, ms, times);
    code = status == RLX_OK ? EXIT_OK : fail_status(status);
  }
  bound_free(&b);
  return code;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The times are sorted. */
static double percentile(const timing *t, size_t percent) {
  return t->ms[(t->n * percent + 99) / 100 - 1];
}

static double mean(const timing *t) {
  double sum = 0;
  for (size_t i = 0; i < t->n; i++) sum += t->ms[i];
  return sum / (double)t->n;
}

/* Of the runs as a sample: LEAST_RUNS keeps n - 1 above 0. */
static double standard_deviation(const timing *t, double centre) {
  double sum = 0;
  for (size_t i = 0; i < t->n; i++) sum += (t->ms[i] - centre) * (t->ms[i] - centre);
  return sqrt(sum / (double)(t->n - 1));
}

static void report(const args *a, const model *m, double first_ms, timing *t, text *out) {
  qsort(t->ms, t->n, sizeof *t->ms, by_size);
  double median = (t->ms[t->n / 2] + t->ms[(t->n - 1) / 2]) / 2, average = mean(t);
  const struct {
    const char *key, *label, *unit;
    double value;
  } rows[] = {
      {"median_us", "median", " us", median * 1e3},
      {"min_us", "fastest", " us", t->ms[0] * 1e3},
      {"mean_us", "mean", " us", average * 1e3},
      {"stddev_us", "standard deviation", " us", standard_deviation(t, average) * 1e3},
      {"p90_us", "90th percentile", " us", percentile(t, 90) * 1e3},
      {"p99_us", "99th percentile", " us", percentile(t, 99) * 1e3},
      {"n", "runs", "", (double)t->n},
      {"load_ms", "read and compile", " ms", m->load_ms},
      {"first_run_ms", "first run", " ms", first_ms},
      {"peak_rss_mb", "peak memory", " MiB", host_peak_rss_mb()},
  };
  bool as_json = args_has(a, FLAG_JSON);
  const char *device = device_name(rlx_exec_device(m->exec));
  const char *mode = run_mode_name(a, m->exec);
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
    if (args_has(a, FLAG_PROFILE)) profile_json(&j);
    json_close(&j, '}');
    text_add(out, "\n");
  } else if (args_has(a, FLAG_PROFILE)) {
    profile_text(out);
  }
}

/* What --output gets is that of the last run, which replays what others recorded. */
static int rewrite_output(const args *a, const model *m) {
  rlx_tensors *outputs = NULL;
  double ms = 0;
  int code = model_run(a, m, &outputs, &ms);
  rlx_tensors_free(outputs);
  return code;
}

int cmd_bench(const args *a, text *out) {
  model m;
  timing times = {0};
  rlx_tensors *outputs = NULL;
  double first_ms = 0;
  int code = model_open(a, &m);
  if (code == EXIT_OK) code = model_run(a, &m, &outputs, &first_ms);
  if (code == EXIT_OK) code = measure(a, &m, &times);
  if (code == EXIT_OK && args_has(a, FLAG_OUTPUT)) code = rewrite_output(a, &m);
  if (code == EXIT_OK) report(a, &m, first_ms, &times, out);
  free(times.ms);
  rlx_tensors_free(outputs);
  model_close(&m);
  return code;
}
