/* exec/run.c: one run: check the inputs, take a variant, run its segments, hand out the outputs. */
#include <string.h>

#include "exec/exec.h"
#include "mlx/lock.h"

/* --- inputs */

static rlx_status check_input(const rlx_graph *g, size_t i, const rlx_tensor *t) {
  const ir_port *port = &g->inputs.data[i];
  const ir_type *type = &graph_value(g, port->value)->type;
  char declared[160];
  if (t && t->dtype == type->dtype && t->rank == type->rank) return RLX_OK; /* sizes: pass_bind */
  type_text(g, type, declared, sizeof declared);
  if (!t)
    return status_set(RLX_ERROR_ARGUMENT, "input '%s' (%s) is missing", port->name, declared);
  if (t->dtype != type->dtype)
    return status_set(RLX_ERROR_DTYPE, "input '%s' is declared %s, got %s", port->name, declared,
                      dtype_name(t->dtype));
  return status_set(RLX_ERROR_SHAPE, "input '%s' is declared %s, got rank %u", port->name, declared,
                    t->rank);
}

static rlx_status check_inputs(const rlx_graph *g, rlx_tensor *const *inputs, size_t n) {
  if (n != g->inputs.n)
    return status_set(RLX_ERROR_ARGUMENT, "%zu inputs, the graph has %zu", n, g->inputs.n);
  if (n && !inputs) return status_set(RLX_ERROR_ARGUMENT, "%zu inputs but the list is NULL", n);
  for (size_t i = 0; i < n; i++) RLX_TRY(check_input(g, i, inputs[i]));
  return RLX_OK;
}

static bool overlap(const rlx_tensor *a, const void *data, size_t bytes) {
  const uintptr_t x = (uintptr_t)a->data, y = (uintptr_t)data;
  return x < y + bytes && y < x + a->bytes;
}

static bool shares_input(const rlx_graph *g, rlx_tensor *const *inputs, const void *data,
                         size_t bytes) {
  for (size_t i = 0; i < g->inputs.n; i++)
    if (overlap(inputs[i], data, bytes)) return true;
  return false;
}

/* --- outputs */

static rlx_status copy_of(const rlx_tensor *t, rlx_tensor **out) {
  RLX_TRY(rlx_tensor_create(t->dtype, t->rank, t->dims, out));
  memcpy((*out)->data, t->data, t->bytes);
  return RLX_OK;
}

static rlx_status fill(const run *r, size_t i, const rlx_tensor *t, rlx_tensor *out) {
  const char *name = r->g->outputs.data[i].name;
  char wanted[160], got[160];
  if (out->dtype != t->dtype || out->rank != t->rank ||
      memcmp(out->dims, t->dims, t->rank * sizeof t->dims[0]) != 0) {
    type_text(r->g, &(ir_type){t->dtype, t->rank, t->dims}, wanted, sizeof wanted);
    type_text(r->g, &(ir_type){out->dtype, out->rank, out->dims}, got, sizeof got);
    return status_set(RLX_ERROR_SHAPE, "output '%s' is %s, the tensor given for it is %s", name,
                      wanted, got);
  }
  if (!rlx_tensor_mutable(out))
    return status_set(RLX_ERROR_ARGUMENT, "output '%s': the tensor given for it is read-only", name);
  memcpy(out->data, t->data, t->bytes);
  return RLX_OK;
}

/* Gives out tensors of the outputs' values. Constants, params and what shares memory with an input
 * are copied: the caller may change the input, or the output, after the run. */
static rlx_status hand_out(run *r, rlx_tensor **outputs) {
  const size_t n = r->g->outputs.n;
  for (size_t i = 0; i < n; i++) {
    const rlx_tensor *t = r->tensors[r->g->outputs.data[i].value.id];
    if (outputs[i] && shares_input(r->g, r->inputs, outputs[i]->data, outputs[i]->bytes))
      return status_set(RLX_ERROR_ARGUMENT, "output '%s': the tensor given for it overlaps an input",
                        r->g->outputs.data[i].name);
    if (outputs[i]) RLX_TRY(fill(r, i, t, outputs[i]));
  }
  for (size_t i = 0; i < n; i++) {
    const uint32_t id = r->g->outputs.data[i].value.id;
    rlx_tensor *t = r->tensors[id];
    if (outputs[i]) continue;
    rlx_status status = RLX_OK;
    if (r->residents[id] || shares_input(r->g, r->inputs, t->data, t->bytes)) status = copy_of(t, &outputs[i]);
    else outputs[i] = rlx_tensor_retain(t);
    if (status == RLX_OK) continue;
    while (i-- > 0) { /* all or nothing; given tensors stay the caller's */
      rlx_tensor_free(outputs[i]);
      outputs[i] = NULL;
    }
    return status;
  }
  return RLX_OK;
}

/* --- the run */

static rlx_status set_leaves(run *r) {
  for (size_t i = 0; i < r->g->inputs.n; i++)
    r->tensors[r->g->inputs.data[i].value.id] = rlx_tensor_retain(r->inputs[i]);
  for (size_t i = 0; i < r->g->params.n; i++) {
    if (!r->params[i])
      return status_set(RLX_ERROR_STATE, "param '%s' has not been set", r->g->params.data[i].name);
    r->residents[r->g->params.data[i].value.id] = r->params[i];
  }
  for (uint32_t id = 1; id < r->g->values.n; id++) {
    if (r->v->constants[id]) r->residents[id] = r->v->constants[id];
    if (r->residents[id]) r->tensors[id] = rlx_tensor_retain(r->residents[id]->tensor);
  }
  return RLX_OK;
}

/* The params as they are now. */
static rlx_status snapshot_params(run *r) {
  r->params = mem_new(r->g->params.n + 1, sizeof *r->params);
  if (!r->params) return status_memory(r->g->params.n * sizeof *r->params);
  pthread_mutex_lock(&r->e->mutex);
  for (size_t i = 0; i < r->g->params.n; i++) r->params[i] = resident_retain(r->e->params[i]);
  pthread_mutex_unlock(&r->e->mutex);
  return RLX_OK;
}

static rlx_status start(run *r) {
  r->arrays = mem_new(r->g->values.n, sizeof *r->arrays);
  r->tensors = mem_new(r->g->values.n, sizeof *r->tensors);
  r->residents = mem_new(r->g->values.n, sizeof *r->residents);
  if (!r->arrays || !r->tensors || !r->residents) return status_memory(r->g->values.n * sizeof *r->tensors);
  RLX_TRY(snapshot_params(r));
  RLX_TRY(set_leaves(r));
  if (r->e->device == RLX_DEVICE_REFERENCE) return RLX_OK;
  RLX_TRY(lock_enter());
  const rlx_status status = mx_ctx_create(r->e->device == RLX_DEVICE_GPU ? MX_GPU : MX_CPU, &r->m);
  lock_leave();
  return status;
}

static rlx_status run_all(run *r, rlx_tensor **outputs) {
  RLX_TRY(start(r));
  for (size_t i = 0; i < r->v->plan.n_segments; i++) {
    const plan_segment *s = &r->v->plan.segments[i];
    RLX_TRY(s->runner == PLAN_MLX ? run_mlx_segment(r, s) : run_host_segment(r, s));
  }
  rlx_val *vals = mem_new(r->g->outputs.n + 1, sizeof *vals);
  if (!vals) return status_memory(r->g->outputs.n * sizeof *vals);
  for (size_t i = 0; i < r->g->outputs.n; i++) vals[i] = r->g->outputs.data[i].value;
  rlx_status status = run_fetch(r, vals, r->g->outputs.n);
  mem_free(vals);
  if (status == RLX_OK) status = hand_out(r, outputs);
  return status;
}

static void finish(run *r) {
  const bool locked = r->m && lock_enter() == RLX_OK; /* one entry for all the drops */
  for (size_t i = 0; i < r->g->values.n; i++) {
    if (r->arrays) mx_drop(r->arrays[i]);
    if (r->tensors) rlx_tensor_free(r->tensors[i]);
  }
  for (size_t i = 0; i < r->checks.n; i++) mx_drop(r->checks.data[i].flag);
  if (r->m) mx_ctx_free(r->m);
  if (locked) lock_leave();
  for (size_t i = 0; r->params && i < r->g->params.n; i++) resident_free(r->params[i]);
  vec_free(&r->checks);
  mem_free(r->arrays);
  mem_free(r->tensors);
  mem_free(r->residents);
  mem_free(r->params);
}

static rlx_status call(rlx_exec *e, rlx_tensor *const *inputs, size_t n_inputs, rlx_tensor **outputs,
                       size_t n_outputs) {
  run r = {.e = e, .inputs = inputs};
  RLX_TRY(check_inputs(e->graph, inputs, n_inputs));
  if (n_outputs != e->graph->outputs.n || !outputs)
    return status_set(RLX_ERROR_ARGUMENT, "room for %zu outputs, the graph has %zu",
                      outputs ? n_outputs : 0, e->graph->outputs.n);
  RLX_TRY(variant_get(e, inputs, &r.v));
  r.g = r.v->graph;
  const rlx_status status = run_all(&r, outputs);
  finish(&r);
  variant_free(r.v);
  return status;
}

rlx_status rlx_exec_call(rlx_exec *e, rlx_tensor *const *inputs, size_t n_inputs, rlx_tensor **outputs,
                         size_t n_outputs) {
  if (!e) return status_set(RLX_ERROR_ARGUMENT, "rlx_exec_call: exec is NULL");
  atomic_fetch_add(&e->refs, 1); /* it may be freed by another thread during the run */
  rlx_status status = call(e, inputs, n_inputs, outputs, n_outputs);
  if (status != RLX_OK) exec_fail(e, status);
  rlx_exec_free(e);
  return status;
}

/* --- the run by name */

static rlx_status order_inputs(const rlx_graph *g, const rlx_tensors *given, rlx_tensor **inputs) {
  for (size_t i = 0; i < g->inputs.n; i++)
    inputs[i] = given ? rlx_tensors_get(given, g->inputs.data[i].name) : NULL;
  for (size_t k = 0; given && k < rlx_tensors_count(given); k++) {
    const char *name = rlx_tensors_name(given, k);
    size_t i = 0;
    while (i < g->inputs.n && strcmp(g->inputs.data[i].name, name) != 0) i++;
    if (i == g->inputs.n)
      return status_set(RLX_ERROR_NOT_FOUND, "there is no input '%s'; the graph has %zu%s%s%s", name,
                        g->inputs.n, g->inputs.n ? ", the first is '" : "",
                        g->inputs.n ? g->inputs.data[0].name : "", g->inputs.n ? "'" : "");
  }
  return RLX_OK;
}

static rlx_status name_outputs(const rlx_graph *g, rlx_tensor **outputs, rlx_tensors **out) {
  rlx_status status = rlx_tensors_create(out);
  for (size_t i = 0; i < g->outputs.n; i++) {
    if (status == RLX_OK) status = rlx_tensors_set(*out, g->outputs.data[i].name, outputs[i]);
    rlx_tensor_free(outputs[i]);
  }
  if (status != RLX_OK) {
    rlx_tensors_free(*out);
    *out = NULL;
  }
  return status;
}

rlx_status rlx_exec_run(rlx_exec *e, const rlx_tensors *given, rlx_tensors **out_outputs) {
  if (!e || !out_outputs)
    return status_set(RLX_ERROR_ARGUMENT, "rlx_exec_run: %s is NULL", e ? "out_outputs" : "exec");
  *out_outputs = NULL;
  atomic_fetch_add(&e->refs, 1);
  const rlx_graph *g = e->graph;
  rlx_tensor **inputs = mem_new(g->inputs.n + 1, sizeof *inputs);
  rlx_tensor **outputs = mem_new(g->outputs.n + 1, sizeof *outputs);
  rlx_status status = inputs && outputs ? order_inputs(g, given, inputs) : status_memory(0);
  if (status != RLX_OK) exec_fail(e, status);
  else status = rlx_exec_call(e, inputs, g->inputs.n, outputs, g->outputs.n);
  if (status == RLX_OK) status = name_outputs(g, outputs, out_outputs);
  mem_free(inputs);
  mem_free(outputs);
  rlx_exec_free(e);
  return status;
}
