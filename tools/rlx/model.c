/* rlx/model.c: from a command line to an executable, and one run of it. */
#include "model.h"

#include <inttypes.h>
#include <stdlib.h>

#include "host.h"

void text_add_type(text *t, const rlx_graph *g, rlx_val value) {
  size_t n = rlx_val_type_text(g, value, NULL, 0);
  char *type = must_alloc(n + 1, 1);
  rlx_val_type_text(g, value, type, n + 1);
  text_add_safe(t, type);
  free(type);
}

void text_add_shape(text *t, rlx_dtype dtype, size_t rank, const int64_t *dims) {
  text_addf(t, "%s[", rlx_dtype_get(dtype)->name);
  for (size_t i = 0; i < rank; i++) text_addf(t, "%s%" PRId64, i ? "," : "", dims[i]);
  text_add(t, "]");
}

/* Indexed by rlx_device and rlx_mode; the flags' word lists have the same order. */
static const char *const device_names[] = {"default", "cpu", "gpu", "reference"};
static const char *const mode_names[] = {"default", "lazy", "eager"};
const char *device_name(rlx_device device) { return device_names[device]; }
const char *mode_name(rlx_mode mode) { return mode_names[mode]; }

rlx_status model_options(const args *a, rlx_exec_options *out_options) {
  *out_options = (rlx_exec_options)RLX_OPTIONS(rlx_exec_options);
  out_options->device = (rlx_device)args_word(a, FLAG_DEVICE);
  out_options->mode = (rlx_mode)args_word(a, FLAG_MODE);
  if (!args_has(a, FLAG_THREADS)) return RLX_OK;
  return rlx_runtime_set_threads((uint32_t)args_whole(a, FLAG_THREADS, 0));
}

static rlx_status compile(const args *a, const rlx_tensors *params, model *m) {
  rlx_exec_options options;
  rlx_status status = model_options(a, &options);
  if (status == RLX_OK) status = rlx_compile(m->graph, &options, &m->exec);
  for (size_t i = 0; status == RLX_OK && i < rlx_tensors_count(params); i++) {
    status = rlx_exec_set_param(m->exec, rlx_tensors_name(params, i), rlx_tensors_at(params, i));
  }
  return status;
}

int model_open(const args *a, model *out) {
  *out = (model){0};
  host_progress("reading the model");
  double start = host_now_ms();
  rlx_status status = rlx_model_load(a->operands[0], NULL, &out->graph);
  if (status != RLX_OK) return fail_status(status);
  out->load_ms = host_now_ms() - start;

  host_progress("gathering inputs");
  rlx_tensors *params = NULL;
  int code = inputs_gather(a, out->graph, &out->inputs, &params);
  if (code == EXIT_OK) {
    host_progress("compiling");
    start = host_now_ms();
    status = compile(a, params, out);
    out->load_ms += host_now_ms() - start;
    if (status != RLX_OK) code = fail_status(status);
  }
  rlx_tensors_free(params);
  return code;
}

int model_run(const args *a, const model *m, rlx_tensors **out_outputs, double *out_ms) {
  host_progress("running");
  double start = host_now_ms();
  rlx_status status = rlx_exec_run(m->exec, m->inputs, out_outputs);
  *out_ms = host_now_ms() - start;
  const char *path = args_value(a, FLAG_OUTPUT);
  if (status == RLX_OK && path) {
    host_hold_interrupts();
    status = rlx_tensors_save_npz(*out_outputs, path);
    host_release_interrupts();
  }
  return status == RLX_OK ? EXIT_OK : fail_status(status);
}

void model_close(model *m) {
  rlx_tensors_free(m->inputs);
  rlx_exec_free(m->exec);
  rlx_graph_free(m->graph);
}
