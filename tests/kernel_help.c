/* tests/kernel_help.c: a graph, its inputs, its runs, and what is printed where they part. */
#include "kernel_help.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "table.h"

typedef struct sample {
  rlx_graph *graph;
  rlx_tensor *in[TABLE_IN];
  size_t n_in, n_out;
  double bound;
  bool ulps; /* what `bound` counts */
} sample;

void table_need(rlx_status status) {
  if (status != RLX_OK) fail_msg("%s: %s", rlx_status_name(status), rlx_last_error());
}

/* --- the graph */

static void add_input(sample *s, str *text, const char *word) {
  table_operand o;
  if (s->n_in == TABLE_IN || !operand_read(word, &o)) fail_msg("cannot read '%s'", word);
  str_addf(text, "%%%zu = input name=\"x%zu\" dtype=%s dims=[", s->n_in + 1, s->n_in,
           dtype_name(o.dtype));
  for (size_t k = 0; k < o.rank; k++) str_addf(text, "%s%lld", k ? "," : "", (long long)o.dims[k]);
  str_add(text, "]\n");
  s->in[s->n_in] = operand_value(&o, hash_u64(HASH_START, s->n_in));
  s->n_in++;
}

static void make(sample *s, const char *inputs, const char *body) {
  str text = {0};
  str_add(&text, "graph \"kernel\" {\n");
  for (const char *p = inputs; *p;) {
    char word[400];
    const size_t n = operand_length(p);
    snprintf(word, sizeof word, "%.*s", (int)n, p);
    if (n) add_input(s, &text, word);
    p += n + (p[n] != 0);
  }
  str_addf(&text, "%s\n}\n", body);
  table_need(rlx_graph_parse(text.data, NULL, &s->graph));
  s->n_out = rlx_graph_output_count(s->graph);
  str_free(&text);
}

/* --- what is wrong */

static void leave_files(const sample *s, rlx_device device, rlx_mode mode, uint32_t threads) {
  static const char *const modes[] = {"default", "lazy", "eager", "compiled"};
  rlx_tensors *inputs;
  table_need(rlx_tensors_create(&inputs));
  for (size_t i = 0; i < s->n_in; i++)
    table_need(rlx_tensors_set(inputs, rlx_graph_input_name(s->graph, i), s->in[i]));
  table_need(rlx_graph_save(s->graph, "kernel_failed.rlx"));
  table_need(rlx_tensors_save(inputs, "kernel_failed.npz"));
  rlx_tensors_free(inputs);
  char *text;
  table_need(rlx_graph_print(s->graph, &text, NULL));
  print_error(
      "%srlx compare kernel_failed.rlx --inputs kernel_failed.npz --bisect --device %s "
      "--mode %s --threads %u\n",
      text, device == RLX_DEVICE_REFERENCE ? "reference" : "cpu", modes[mode], threads);
  rlx_string_free(text);
}

/* The distance of floats of this dtype around x. */
static double unit_at(rlx_dtype dtype, double x) {
  static const struct {
    int bits, least; /* of the mantissa; exponent of the smallest number */
  } forms[] = {[RLX_F16] = {10, -24},
               [RLX_BF16] = {7, -133},
               [RLX_F32] = {23, -149},
               [RLX_F64] = {52, -1074}};
  int e;
  frexp(x, &e);
  e -= 1 + forms[dtype].bits;
  return ldexp(1, e > forms[dtype].least ? e : forms[dtype].least);
}

static double distance(const rlx_tensor *got, const rlx_tensor *want, int64_t i) {
  const double a = tensor_real(got, i), b = tensor_real(want, i);
  if (a == b || (isnan(a) && isnan(b))) return 0;
  return isfinite(a) && isfinite(b) ? fabs(a - b) / unit_at(want->dtype, b) : INFINITY;
}

static void find_worst(const rlx_tensor *got, const rlx_tensor *want, rlx_difference *d) {
  for (int64_t i = 0; i < want->count; i++) {
    const double error = distance(got, want, i);
    if (error <= d->error && d->where >= 0) continue;
    *d = (rlx_difference){error, i, tensor_real(got, i), tensor_real(want, i)};
  }
}

/* False after a line that says how far they are apart. */
static bool agrees(const sample *s, const rlx_tensor *got, const rlx_tensor *want) {
  rlx_difference d = {.where = -1};
  table_need(rlx_tensor_compare(got, want, &d));
  const bool real = dtype_kind(want->dtype) == RLX_KIND_FLOAT;
  if (s->ulps && real) {
    d = (rlx_difference){.where = -1};
    find_worst(got, want, &d);
  }
  const double bound = real || dtype_kind(want->dtype) == RLX_KIND_COMPLEX ? s->bound : 0;
  if (d.error <= bound) return true;
  print_error("error %g over %g %s; at %lld got %.9g, want %.9g\n", d.error, bound,
              s->ulps ? "ulps" : "of the largest", (long long)d.where, d.got, d.want);
  return false;
}

/* --- runs */

static rlx_exec *compile(const sample *s, rlx_device device, rlx_mode mode, uint32_t threads) {
  rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
  rlx_exec *exec;
  o.device = device;
  o.mode = mode;
  o.threads = threads;
  table_need(rlx_compile(s->graph, &o, &exec));
  return exec;
}

static void drop(rlx_tensor **values, size_t n) {
  for (size_t i = 0; i < n; i++) rlx_tensor_free(values[i]);
  memset(values, 0, n * sizeof *values);
}

/* The second run of an executable may take another way than the first. */
static void check_road(const sample *s, rlx_mode mode, uint32_t threads, rlx_tensor *const *want) {
  rlx_tensor *got[TABLE_OUT] = {0};
  rlx_exec *exec = compile(s, RLX_DEVICE_CPU, mode, threads);
  for (int round = 0; round < 2; round++) {
    table_need(rlx_exec_call(exec, s->in, s->n_in, got, s->n_out));
    for (size_t i = 0; i < s->n_out; i++) {
      if (agrees(s, got[i], want[i])) continue;
      leave_files(s, RLX_DEVICE_CPU, mode, threads);
      fail_msg("output %zu of run %d", i, round + 1);
    }
    drop(got, s->n_out);
  }
  rlx_exec_free(exec);
}

static void check(sample *s, const char *inputs, const char *body) {
  rlx_tensor *want[TABLE_OUT] = {0};
  make(s, inputs, body);
  rlx_exec *oracle = compile(s, RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT, 0);
  table_need(rlx_exec_call(oracle, s->in, s->n_in, want, s->n_out));
  for (uint32_t threads = 1; threads <= 3; threads++)
    check_road(s, RLX_MODE_COMPILED, threads, want);
  check_road(s, RLX_MODE_LAZY, 2, want);
  rlx_exec_free(oracle);
  drop(want, s->n_out);
  drop(s->in, s->n_in);
  rlx_graph_free(s->graph);
}

/* How exact MLX is, is none of a kernel's business. */
static void need_kernels(void) {
  const char *kernels = getenv("RLX_KERNELS");
  if (kernels && strcmp(kernels, "off") == 0) skip();
}

void kernel_check(const char *inputs, const char *body, double bound) {
  need_kernels();
  check(&(sample){.bound = bound}, inputs, body);
}

void kernel_check_ulps(const char *inputs, const char *body, double ulps) {
  need_kernels();
  check(&(sample){.bound = ulps, .ulps = true}, inputs, body);
}

/* --- numbers */

uint32_t kernel_draw(void) {
  static uint32_t seed = 1;
  seed = seed * 1664525u + 1013904223u;
  return seed >> 8;
}

float *kernel_floats(int64_t n, double scale) {
  float *to = calloc((size_t)n, sizeof *to);
  assert_non_null(to);
  for (int64_t i = 0; i < n; i++) to[i] = (float)(scale * ((double)kernel_draw() / 8388608 - 1));
  return to;
}
