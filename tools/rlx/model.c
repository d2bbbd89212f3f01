/* rlx/model.c: from a command line to an executable, and one run of it. */
#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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
static const char *const mode_names[] = {"default", "lazy", "eager", "compiled"};
const char *device_name(rlx_device device) { return device_names[device]; }
const char *mode_name(rlx_mode mode) { return mode_names[mode]; }

static bool is_async(const args *a) {
  const char *mode = args_value(a, FLAG_MODE);
  return mode && strcmp(mode, "async") == 0;
}

const char *run_mode_name(const args *a, const rlx_exec *exec) {
  return is_async(a) ? "async" : mode_name(rlx_exec_mode(exec));
}

/* Compiled runs show each kernel; where MLX runs everything only eager ones show each node. */
static rlx_mode profile_mode(const args *a) {
  const rlx_device device = (rlx_device)args_word(a, FLAG_DEVICE);
  rlx_runtime_info info = RLX_OPTIONS(rlx_runtime_info);
  const bool asked = device == RLX_DEVICE_DEFAULT && rlx_runtime_query(&info) == RLX_OK;
  const bool gpu = device == RLX_DEVICE_GPU || (asked && info.gpu);
  return gpu || args_word(a, FLAG_KERNELS) == 2 ? RLX_MODE_EAGER : RLX_MODE_COMPILED;
}

void model_options(const args *a, rlx_exec_options *out_options) {
  *out_options = (rlx_exec_options)RLX_OPTIONS(rlx_exec_options);
  out_options->device = (rlx_device)args_word(a, FLAG_DEVICE);
  out_options->mode = is_async(a) ? RLX_MODE_DEFAULT : (rlx_mode)args_word(a, FLAG_MODE);
  out_options->strict = args_has(a, FLAG_STRICT);
  out_options->no_rules = a->no_rules;
  out_options->n_no_rules = a->n_no_rules;
  if (args_has(a, FLAG_PROFILE) && !args_has(a, FLAG_MODE)) out_options->mode = profile_mode(a);
  out_options->threads = (uint32_t)args_whole(a, FLAG_THREADS, 0);
  out_options->no_kernels = args_word(a, FLAG_KERNELS) == 2;
  if (args_word(a, FLAG_KERNELS) == 1) host_set("RLX_KERNELS", "on"); /* the flag goes first */
  if (args_word(a, FLAG_PRECISION) == 2) out_options->precision = RLX_PRECISION_BF16;
  out_options->keep_f32 = a->keep_f32;
  out_options->n_keep_f32 = a->n_keep_f32;
}

rlx_status model_compile(const model *m, const rlx_exec_options *options, rlx_exec **out_exec) {
  rlx_status status = rlx_compile(m->graph, options, out_exec);
  for (size_t i = 0; status == RLX_OK && i < rlx_tensors_count(m->params); i++) {
    const char *name = rlx_tensors_name(m->params, i);
    status = rlx_exec_set_param(*out_exec, name, rlx_tensors_at(m->params, i));
  }
  return status;
}

/* Before the work, not after it. */
static int check_files(const args *a) {
  static const flag_id written[] = {FLAG_OUTPUT, FLAG_TRACE};
  for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
    const char *path = args_value(a, written[i]);
    if (path && !host_can_write(path)) return fail("%s: cannot write: %s", path, strerror(errno));
  }
  return EXIT_OK;
}

int model_open(const args *a, model *out) {
  *out = (model){0};
  int code = check_files(a);
  if (code == EXIT_OK) code = recording_start(a);
  if (code) return code;
  host_progress("reading the model");
  double start = host_now_ms();
  rlx_status status = rlx_model_load(a->operands[0], NULL, &out->graph);
  if (status != RLX_OK) return fail_status(status);
  out->load_ms = host_now_ms() - start;

  host_progress("gathering inputs");
  code = inputs_gather(a, out->graph, &out->inputs, &out->params);
  if (code) return code;
  host_progress("compiling");
  start = host_now_ms();
  rlx_exec_options options;
  model_options(a, &options);
  status = model_compile(out, &options, &out->exec);
  out->load_ms += host_now_ms() - start;
  return status == RLX_OK ? EXIT_OK : fail_status(status);
}

/* --- runs */

bound bound_make(const model *m) {
  bound b = {.n_inputs = rlx_tensors_count(m->inputs),
             .n_outputs = rlx_graph_output_count(m->graph)};
  b.inputs = must_alloc(b.n_inputs, sizeof *b.inputs);
  b.outputs = must_alloc(b.n_outputs, sizeof *b.outputs);
  for (size_t i = 0; i < b.n_inputs; i++) b.inputs[i] = rlx_tensors_at(m->inputs, i);
  return b;
}

void bound_drop(bound *b) {
  for (size_t i = 0; i < b->n_outputs; i++) {
    rlx_tensor_free(b->outputs[i]);
    b->outputs[i] = NULL;
  }
}

void bound_free(bound *b) {
  bound_drop(b);
  free(b->inputs);
  free(b->outputs);
}

rlx_status run_exec(const args *a, rlx_exec *exec, rlx_tensor *const *inputs, size_t n_inputs,
                    rlx_tensor **outputs, size_t n_outputs) {
  if (!is_async(a)) return rlx_exec_call(exec, inputs, n_inputs, outputs, n_outputs);
  rlx_ticket *ticket = NULL;
  rlx_status status = rlx_exec_submit(exec, inputs, n_inputs, outputs, n_outputs, &ticket);
  if (status == RLX_OK) status = rlx_ticket_wait(ticket, -1);
  for (size_t i = 0; status == RLX_OK && i < n_outputs; i++) {
    status = rlx_ticket_read(ticket, i, &outputs[i]);
  }
  rlx_ticket_free(ticket);
  return status;
}

static rlx_status name_outputs(const model *m, const bound *b, rlx_tensors **out_outputs) {
  rlx_status status = rlx_tensors_create(out_outputs);
  for (size_t i = 0; status == RLX_OK && i < b->n_outputs; i++) {
    status = rlx_tensors_set(*out_outputs, rlx_graph_output_name(m->graph, i), b->outputs[i]);
  }
  return status;
}

int model_run(const args *a, const model *m, rlx_tensors **out_outputs, double *out_ms) {
  host_progress("running");
  bound b = bound_make(m);
  double start = host_now_ms();
  rlx_status status = run_exec(a, m->exec, b.inputs, b.n_inputs, b.outputs, b.n_outputs);
  *out_ms = host_now_ms() - start;
  if (status == RLX_OK) status = name_outputs(m, &b, out_outputs);
  bound_free(&b);
  const char *path = args_value(a, FLAG_OUTPUT);
  if (status == RLX_OK && path) {
    host_hold_interrupts();
    status = rlx_tensors_save(*out_outputs, path);
    host_release_interrupts();
  }
  return status == RLX_OK ? EXIT_OK : fail_status(status);
}

void model_close(model *m) {
  rlx_tensors_free(m->inputs);
  rlx_tensors_free(m->params);
  rlx_exec_free(m->exec);
  rlx_graph_free(m->graph);
}
