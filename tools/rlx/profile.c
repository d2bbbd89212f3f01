/* rlx/profile.c: --trace and --profile: one recording of the library's, written as a timeline and
 * summed up by operation and by node. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

enum { TOP_NODES = 10 };

static bool is_wanted(const args *a) {
  return args_has(a, FLAG_TRACE) || args_has(a, FLAG_PROFILE);
}

int recording_start(const args *a) {
  if (!is_wanted(a)) return EXIT_OK;
  const char *mode = args_value(a, FLAG_MODE);
  if (args_has(a, FLAG_PROFILE) && mode && strcmp(mode, "eager") != 0 &&
      strcmp(mode, "compiled") != 0)
    return fail_usage(a->command, "--profile runs compiled or eagerly: leave out --mode %s", mode);
  rlx_status status = rlx_trace_start();
  return status == RLX_OK ? EXIT_OK : fail_status(status);
}

int recording_stop(const args *a) {
  if (!is_wanted(a)) return EXIT_OK;
  rlx_status status = rlx_trace_stop(args_value(a, FLAG_TRACE));
  return status == RLX_OK ? EXIT_OK : fail_status(status);
}

/* --- the sums */

typedef struct sum {
  const char *op, *node; /* node: NULL in the sums by operation */
  size_t calls;
  double us;
} sum;

typedef struct profile {
  sum *nodes, *ops; /* largest first; their calls and times are those of all runs */
  size_t n_nodes, n_ops, runs;
  double us;
} profile;

static int by_node(const void *a, const void *b) {
  const sum *x = a, *y = b;
  int order = strcmp(x->op, y->op);
  return order || !x->node ? order : strcmp(x->node, y->node);
}

static int by_time(const void *a, const void *b) {
  const sum *x = a, *y = b;
  return x->us == y->us ? by_node(a, b) : x->us < y->us ? 1 : -1;
}

/* Adds up equal rows; the rest ends up largest first. */
static size_t merge(sum *rows, size_t n) {
  qsort(rows, n, sizeof *rows, by_node);
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    if (kept && by_node(&rows[kept - 1], &rows[i]) == 0) {
      rows[kept - 1].calls += rows[i].calls;
      rows[kept - 1].us += rows[i].us;
    } else {
      rows[kept++] = rows[i];
    }
  }
  qsort(rows, kept, sizeof *rows, by_time);
  return kept;
}

static bool is_run(const rlx_trace_event *e) {
  return strcmp(e->category, "run") == 0 && strcmp(e->name, "run") == 0;
}

/* Counts runs; the event after the first of several, 0 if there is one. */
static size_t find_runs(profile *p, size_t *out_events) {
  rlx_trace_event e;
  size_t after_first = 0, i = 0;
  for (; rlx_trace_at(i, &e); i++) {
    if (is_run(&e) && p->runs++ == 0) after_first = i + 1;
  }
  *out_events = i;
  if (p->runs < 2) {
    p->runs = 1; /* also if the recording was full before it ended */
    return 0;
  }
  p->runs--;
  return after_first;
}

static profile make_profile(void) {
  profile p = {0};
  rlx_trace_event e;
  size_t n_events;
  size_t first = find_runs(&p, &n_events);
  p.nodes = must_alloc(n_events, sizeof *p.nodes);
  for (size_t i = first; rlx_trace_at(i, &e); i++) {
    if (strcmp(e.category, "node") != 0) continue;
    p.nodes[p.n_nodes++] = (sum){e.name, e.detail, 1, e.us};
    p.us += e.us;
  }
  p.n_nodes = merge(p.nodes, p.n_nodes);
  p.ops = must_alloc(p.n_nodes, sizeof *p.ops);
  for (size_t i = 0; i < p.n_nodes; i++) {
    p.ops[i] = p.nodes[i];
    p.ops[i].node = NULL;
  }
  p.n_ops = merge(p.ops, p.n_nodes);
  if (p.n_nodes > TOP_NODES) p.n_nodes = TOP_NODES;
  return p;
}

static void profile_free(profile *p) {
  free(p->nodes);
  free(p->ops);
}

/* --- shown */

static double share(const profile *p, const sum *s) { return p->us > 0 ? s->us / p->us : 0; }

static void text_row(text *out, const profile *p, const char *name, const sum *s) {
  size_t start = out->n;
  double runs = (double)p->runs;
  text_add_safe(out, name);
  text_pad(out, start, 24);
  text_addf(out, "%8.6g %12.4f %7.1f%% %12.2f\n", (double)s->calls / runs, s->us / runs / 1e3,
            share(p, s) * 100, s->us / (double)s->calls);
}

void profile_text(text *out) {
  profile p = make_profile();
  if (p.runs > 1) text_addf(out, "\nmeans of %zu runs", p.runs);
  text_addf(out, "\n%-24s%8s %12s %8s %12s\n", "operation", "calls", "ms", "share", "us a call");
  sum all = {.us = p.us};
  for (size_t i = 0; i < p.n_ops; i++) {
    text_row(out, &p, p.ops[i].op, &p.ops[i]);
    all.calls += p.ops[i].calls;
  }
  if (all.calls) text_row(out, &p, "all", &all);
  text_addf(out, "\n%12s %8s  %s\n", "ms", "share", "slowest nodes");
  for (size_t i = 0; i < p.n_nodes; i++) {
    const sum *s = &p.nodes[i];
    text_addf(out, "%12.4f %7.1f%%  ", s->us / (double)p.runs / 1e3, share(&p, s) * 100);
    text_add_safe(out, s->node);
    text_add(out, "\n");
  }
  profile_free(&p);
}

static void json_row(json *j, const profile *p, const sum *s) {
  json_open(j, NULL, '{');
  json_text(j, "op", s->op);
  if (s->node) json_text(j, "node", s->node);
  json_real(j, "calls", (double)s->calls / (double)p->runs);
  json_real(j, "ms", s->us / (double)p->runs / 1e3);
  json_real(j, "share", share(p, s));
  json_close(j, '}');
}

void profile_json(json *j) {
  profile p = make_profile();
  json_open(j, "profile", '{');
  json_int(j, "runs", (int64_t)p.runs);
  json_open(j, "operations", '[');
  for (size_t i = 0; i < p.n_ops; i++) json_row(j, &p, &p.ops[i]);
  json_close(j, ']');
  json_open(j, "nodes", '[');
  for (size_t i = 0; i < p.n_nodes; i++) json_row(j, &p, &p.nodes[i]);
  json_close(j, ']');
  json_close(j, '}');
  profile_free(&p);
}
