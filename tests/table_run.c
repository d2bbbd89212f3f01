/* tests/table_run.c: the same case on every road: reference, lazy, eager, compiled, through views, with
 * constants, empty and symbolic sizes, and from two threads at once. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ref.h"
#include "table.h"

/* --- one run */

/* The tensor with its axes reversed. */
static rlx_tensor *turned(const rlx_tensor *t) {
  int64_t dims[RLX_MAX_RANK], coord[RLX_MAX_RANK] = {0};
  for (uint32_t k = 0; k < t->rank; k++) dims[k] = t->dims[t->rank - 1 - k];
  rlx_tensor *r;
  table_need(rlx_tensor_create(t->dtype, t->rank, dims, &r));
  for (int64_t i = 0; i < t->count; i++) {
    int64_t at = 0;
    for (uint32_t k = 0; k < t->rank; k++) at = at * dims[k] + coord[t->rank - 1 - k];
    ref_copy(r, at, t, i);
    ref_next(t->rank, t->dims, coord);
  }
  return r;
}

/* The graph's inputs are called x0, x1, .. by operand, without constants and absent ones. */
static size_t collect_inputs(const rlx_graph *g, table_variant v, rlx_tensor *const *values,
                             rlx_tensor **in) {
  size_t n = rlx_graph_input_count(g);
  for (size_t i = 0; i < n; i++) {
    rlx_tensor *value = values[strtoul(rlx_graph_input_name(g, i) + 1, NULL, 10)];
    in[i] = v.views ? turned(value) : rlx_tensor_retain(value);
  }
  return n;
}

static void result_failed(table_result *r, rlx_status status) {
  r->status = status;
  snprintf(r->error, sizeof r->error, "%s: %s", rlx_status_name(status), rlx_last_error());
}

static rlx_status compile(const rlx_graph *g, rlx_device device, rlx_mode mode, rlx_exec **out) {
  rlx_exec_options options = RLX_OPTIONS(rlx_exec_options);
  options.device = device;
  options.mode = mode;
  return rlx_compile(g, &options, out);
}

table_result case_run(const rlx_graph *g, rlx_device device, rlx_mode mode, table_variant v,
                      rlx_tensor *const *values) {
  table_result r = {.n = rlx_graph_output_count(g)};
  rlx_tensor *in[TABLE_IN] = {0};
  size_t n = collect_inputs(g, v, values, in);
  rlx_exec *exec = NULL;
  rlx_status status = compile(g, device, mode, &exec);
  if (status == RLX_OK) status = rlx_exec_call(exec, in, n, r.out, r.n);
  if (status != RLX_OK) result_failed(&r, status);
  rlx_exec_free(exec);
  values_free(in, n);
  return r;
}

void result_free(table_result *r) {
  for (size_t i = 0; i < r->n; i++) rlx_tensor_free(r->out[i]);
  memset(r, 0, sizeof *r);
}

static double default_tolerance(rlx_dtype dtype) {
  switch (dtype) {
    case RLX_F16: return 1e-2;
    case RLX_BF16: return 2e-2;
    case RLX_F32:
    case RLX_C64: return 1e-5;
    case RLX_F64: return 1e-12;
    default: return 0;
  }
}

bool result_check(const table_case *c, const char *what, const table_result *got,
                  const table_result *want) {
  if (got->status != want->status) {
    table_fail(c, what, "got %s, want %s", got->status ? got->error : "a result",
               want->status ? want->error : "a result");
    return false;
  }
  bool fine = true;
  for (size_t i = 0; i < want->n && want->status == RLX_OK; i++) {
    rlx_difference d;
    rlx_dtype dtype = rlx_tensor_dtype(want->out[i]);
    double tolerance = default_tolerance(dtype);
    if (c->tolerance >= 0 && tolerance > 0) tolerance = c->tolerance;
    rlx_status status = rlx_tensor_compare(got->out[i], want->out[i], &d);
    if (status != RLX_OK) {
      fine = false;
      table_fail(c, what, "output %zu: %s", i, rlx_last_error());
    } else if (!(d.error <= tolerance)) {
      fine = false;
      table_fail(c, what, "output %zu (%s): error %g over %g; at %lld got %.9g, want %.9g", i,
                 dtype_name(dtype), d.error, tolerance, (long long)d.where, d.got, d.want);
    }
  }
  return fine;
}

/* --- variants: other graphs of the same case, which must give the same result */

static const table_variant plain;

static bool check_on(const table_case *c, const char *what, const rlx_graph *g, rlx_device device,
                     rlx_mode mode, table_variant v, rlx_tensor *const *values,
                     const table_result *want) {
  table_result got = case_run(g, device, mode, v, values);
  bool fine = result_check(c, what, &got, want);
  result_free(&got);
  return fine;
}

static void check_variant(const table_case *c, const char *what, table_variant v, bool optional,
                          rlx_tensor *const *values, const table_result *want) {
  rlx_graph *g;
  rlx_status status = case_graph(c, v, &g);
  if (status == RLX_OK) {
    check_on(c, what, g, RLX_DEVICE_DEFAULT, RLX_MODE_LAZY, v, values, want);
    rlx_graph_free(g);
  } else if (!optional) {
    table_fail(c, what, "%s", rlx_last_error());
  }
}

static bool has_literal(const table_case *c) {
  for (size_t i = 0; i < c->n_in; i++)
    if (c->in[i].literal[0]) return true;
  return false;
}

static void check_variants(const table_case *c, rlx_tensor *const *values,
                           const table_result *want) {
  check_variant(c, "through views", (table_variant){.views = true}, false, values, want);
  if (has_literal(c))
    check_variant(c, "with constants", (table_variant){.constants = true}, false, values, want);
  /* Some operations need sizes that are known: they refuse this when they are built. */
  check_variant(c, "symbolic sizes", (table_variant){.symbolic = true}, true, values, want);
}

/* --- empty: each size of the operands in turn becomes 0 wherever it stands */

static bool make_empty(table_case *c, int64_t size) {
  bool any = false;
  for (size_t i = 0; i < c->n_in; i++) {
    table_operand *o = &c->in[i];
    for (size_t k = 0; k < o->rank; k++) {
      if (o->dims[k] != size) continue;
      o->dims[k] = 0;
      o->literal[0] = 0;
      any = true;
    }
  }
  return any;
}

static void check_empty(const table_case *c) {
  for (int64_t size = 1; size < 16; size++) {
    table_case e = *c;
    rlx_graph *g;
    if (!make_empty(&e, size) || case_graph(&e, plain, &g) != RLX_OK) continue;
    char what[40];
    snprintf(what, sizeof what, "with size %lld as 0", (long long)size);
    rlx_tensor *values[TABLE_IN] = {0};
    case_values(&e, values);
    table_result want = case_run(g, RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT, plain, values);
    check_on(c, what, g, RLX_DEVICE_DEFAULT, RLX_MODE_LAZY, plain, values, &want);
    check_kernel(&e, g, values, &want);
    result_free(&want);
    values_free(values, e.n_in);
    rlx_graph_free(g);
  }
}

/* --- two threads on one executable */

enum { THREADS = 2, ROUNDS = 3 };

typedef struct worker {
  pthread_t thread;
  rlx_exec *exec;
  rlx_tensor *const *in;
  size_t n_in;
  table_result result; /* of the last round, or of the first that failed */
} worker;

static void *work(void *arg) {
  worker *w = arg;
  size_t n = w->result.n;
  for (int i = 0; i < ROUNDS && w->result.status == RLX_OK; i++) {
    result_free(&w->result);
    w->result.n = n;
    rlx_status status = rlx_exec_call(w->exec, w->in, w->n_in, w->result.out, n);
    if (status != RLX_OK) result_failed(&w->result, status);
  }
  return NULL;
}

static void check_threads(const table_case *c, const rlx_graph *g, rlx_tensor *const *values,
                          const table_result *want) {
  rlx_tensor *in[TABLE_IN] = {0};
  worker w[THREADS] = {0};
  size_t n = collect_inputs(g, plain, values, in);
  rlx_exec *exec;
  if (compile(g, RLX_DEVICE_DEFAULT, RLX_MODE_LAZY, &exec) == RLX_OK) {
    for (int i = 0; i < THREADS; i++) {
      w[i] = (worker){.exec = exec, .in = in, .n_in = n, .result = {.n = want->n}};
      if (pthread_create(&w[i].thread, NULL, work, &w[i]) != 0) table_need(RLX_ERROR_INTERNAL);
    }
    for (int i = 0; i < THREADS; i++) {
      pthread_join(w[i].thread, NULL);
      result_check(c, "from two threads", &w[i].result, want);
      result_free(&w[i].result);
    }
    rlx_exec_free(exec);
  }
  values_free(in, n);
}

/* --- all of them */

void check_runs(const table_case *c) {
  rlx_graph *g;
  if (case_graph(c, plain, &g) != RLX_OK) {
    table_fail(c, "graph", "%s", rlx_last_error());
    return;
  }
  rlx_tensor *values[TABLE_IN] = {0};
  case_values(c, values);
  const bool ref = c->op->hooks->ref != NULL;
  const rlx_device oracle = ref ? RLX_DEVICE_REFERENCE : RLX_DEVICE_DEFAULT;
  table_result want = case_run(g, oracle, RLX_MODE_EAGER, plain, values);
  if (want.status != RLX_OK) {
    table_fail(c, ref ? "reference" : "eager", "%s", want.error);
  } else if (check_on(c, "lazy", g, RLX_DEVICE_DEFAULT, RLX_MODE_LAZY, plain, values, &want)) {
    /* The others would only say the same again. */
    check_on(c, "eager", g, RLX_DEVICE_DEFAULT, RLX_MODE_EAGER, plain, values, &want);
    check_on(c, "compiled", g, RLX_DEVICE_DEFAULT, RLX_MODE_COMPILED, plain, values, &want);
    check_kernel(c, g, values, &want);
    check_variants(c, values, &want);
    check_threads(c, g, values, &want);
    if (ref) check_empty(c);
  }
  result_free(&want);
  values_free(values, c->n_in);
  rlx_graph_free(g);
}

static void check_refused(const table_case *c, const char *what, rlx_status got) {
  if (got != c->expected)
    table_fail(c, what, "got %s, want %s", rlx_status_name(got), rlx_status_name(c->expected));
}

void check_refusal(const table_case *c) {
  rlx_graph *g;
  rlx_status status = case_graph(c, plain, &g);
  if (status != RLX_OK) {
    check_refused(c, "graph", status);
    return;
  }
  static const struct {
    const char *name;
    rlx_device device;
    rlx_mode mode;
  } roads[] = {{"reference", RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT},
               {"lazy", RLX_DEVICE_DEFAULT, RLX_MODE_LAZY},
               {"eager", RLX_DEVICE_DEFAULT, RLX_MODE_EAGER},
               {"compiled", RLX_DEVICE_DEFAULT, RLX_MODE_COMPILED}};
  rlx_tensor *values[TABLE_IN] = {0};
  case_values(c, values);
  for (size_t i = 0; i < sizeof roads / sizeof roads[0]; i++) {
    /* What MLX cannot do the reference may. */
    if (c->expected == RLX_ERROR_UNSUPPORTED && i == 0) continue;
    table_result r = case_run(g, roads[i].device, roads[i].mode, plain, values);
    check_refused(c, roads[i].name, r.status);
    result_free(&r);
  }
  values_free(values, c->n_in);
  rlx_graph_free(g);
}
