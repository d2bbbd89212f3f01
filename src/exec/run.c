/* exec/run.c: one run: check the inputs, run stage after stage, hand out the outputs. */
#include <string.h>

#include "base/span.h"
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

bool run_overlaps(const rlx_tensor *a, const rlx_tensor *b) {
  const uintptr_t x = (uintptr_t)a->data, y = (uintptr_t)b->data;
  return x < y + b->bytes && y < x + a->bytes;
}

bool run_shares_input(const rlx_graph *g, rlx_tensor *const *inputs, const rlx_tensor *t) {
  for (size_t i = 0; i < g->inputs.n; i++)
    if (run_overlaps(inputs[i], t)) return true;
  return false;
}

/* --- outputs */

static rlx_status copy_of(const rlx_tensor *t, rlx_tensor **out) {
  RLX_TRY(rlx_tensor_create(t->dtype, t->rank, t->dims, out));
  memcpy((*out)->data, t->data, t->bytes);
  return RLX_OK;
}

/* Can the tensor that the caller gave take this output? */
static rlx_status check_given(const run *r, size_t i, const rlx_tensor *t, rlx_tensor *given) {
  const char *name = r->e->graph->outputs.data[i].name;
  char wanted[160], got[160];
  if (run_shares_input(r->e->graph, r->inputs, given))
    return status_set(RLX_ERROR_ARGUMENT, "output '%s': the tensor given for it overlaps an input",
                      name);
  if (!rlx_tensor_mutable(given))
    return status_set(RLX_ERROR_ARGUMENT, "output '%s': the tensor given for it is read-only",
                      name);
  if (given->dtype == t->dtype && given->rank == t->rank &&
      memcmp(given->dims, t->dims, t->rank * sizeof t->dims[0]) == 0)
    return RLX_OK;
  type_text(r->e->graph, &(ir_type){t->dtype, t->rank, t->dims}, wanted, sizeof wanted);
  type_text(r->e->graph, &(ir_type){given->dtype, given->rank, given->dims}, got, sizeof got);
  return status_set(RLX_ERROR_SHAPE, "output '%s' is %s, the tensor given for it is %s", name,
                    wanted, got);
}

static const cell *output_cell(const run *r, size_t i) {
  return &r->cells[r->e->graph->outputs.data[i].value.id];
}

/* Gives out tensors of the outputs' values: all or nothing. What others hold and what shares memory
 * with an input is copied: the caller may change the input, or the output, after the run. */
static rlx_status hand_out(run *r, rlx_tensor **outputs) {
  const rlx_graph *g = r->e->graph;
  rlx_status status = RLX_OK;
  rlx_tensor **made = mem_new(g->outputs.n, sizeof *made);
  if (!made) return status_memory(g->outputs.n * sizeof *made);
  for (size_t i = 0; i < g->outputs.n && status == RLX_OK; i++) {
    const cell *c = output_cell(r, i);
    if (outputs[i]) status = check_given(r, i, c->tensor, outputs[i]);
    else if (c->shared || run_shares_input(g, r->inputs, c->tensor))
      status = copy_of(c->tensor, &made[i]);
    else made[i] = rlx_tensor_retain(c->tensor);
  }
  for (size_t i = 0; i < g->outputs.n; i++) {
    const rlx_tensor *t = output_cell(r, i)->tensor;
    if (status != RLX_OK) rlx_tensor_free(made[i]);
    else if (made[i]) outputs[i] = made[i];
    else if (t->bytes) memcpy(outputs[i]->data, t->data, t->bytes);
  }
  mem_free(made);
  return status;
}

/* --- the run */

void exec_drop_params(const rlx_exec *e, resident **params) {
  for (size_t i = 0; i < e->graph->params.n; i++) resident_free(params[i]);
  mem_free(params);
}

rlx_status exec_take_params(rlx_exec *e, resident ***out_params) {
  const rlx_graph *g = e->graph;
  resident **params = mem_new(g->params.n + 1, sizeof *params);
  if (!params) return status_memory(g->params.n * sizeof *params);
  size_t missing = g->params.n;
  pthread_mutex_lock(&e->mutex);
  for (size_t i = 0; i < g->params.n; i++) {
    params[i] = resident_retain(e->params[i]);
    if (!params[i] && missing == g->params.n) missing = i;
  }
  pthread_mutex_unlock(&e->mutex);
  if (missing == g->params.n) {
    *out_params = params;
    return RLX_OK;
  }
  exec_drop_params(e, params);
  return status_set(RLX_ERROR_STATE, "param '%s' has not been set", g->params.data[missing].name);
}

static void hold_constant(run *r, rlx_val v) {
  rlx_tensor *constant = graph_constant(r->e->graph, v);
  cell *c = &r->cells[v.id];
  if (constant && !c->tensor) *c = (cell){.tensor = rlx_tensor_retain(constant), .shared = true};
}

/* Values that no stage makes: inputs, params, and constants that a cut or the caller reads. */
static rlx_status set_cells(run *r) {
  const rlx_graph *g = r->e->graph;
  r->cells = mem_new(g->values.n, sizeof *r->cells);
  if (!r->cells) return status_memory(g->values.n * sizeof *r->cells);
  for (size_t i = 0; i < g->inputs.n; i++)
    r->cells[g->inputs.data[i].value.id] = (cell){.tensor = rlx_tensor_retain(r->inputs[i])};
  for (size_t i = 0; i < g->params.n; i++)
    r->cells[g->params.data[i].value.id] =
        (cell){.tensor = rlx_tensor_retain(r->params[i]->tensor), .shared = true};
  for (size_t i = 0; i < g->outputs.n; i++) hold_constant(r, g->outputs.data[i].value);
  for (size_t k = 0; k < r->e->stages.n; k++)
    for (size_t i = 0; i < r->e->stages.data[k].cuts.n; i++) {
      const ir_node *n = &g->nodes.data[r->e->stages.data[k].cuts.data[i]];
      for (uint32_t j = 0; j < n->n_in; j++) hold_constant(r, n->in[j]);
    }
  return RLX_OK;
}

static rlx_status run_all(run *r, rlx_tensor **outputs) {
  const rlx_exec *e = r->e;
  variant *parent = NULL;
  rlx_status status = set_cells(r);
  for (size_t k = 0; k < e->stages.n && status == RLX_OK; k++) {
    const stage *s = &e->stages.data[k];
    status = variant_get(r, k, parent, &r->v);
    variant_free(parent);
    parent = status == RLX_OK ? r->v : NULL;
    if (status == RLX_OK) status = run_stage(r);
    for (size_t i = 0; i < s->cuts.n && status == RLX_OK; i++) status = run_cut(r, s->cuts.data[i]);
  }
  variant_free(parent);
  return status == RLX_OK ? hand_out(r, outputs) : status;
}

static void finish(run *r) {
  const rlx_graph *g = r->e->graph;
  const bool locked = r->m && lock_enter() == RLX_OK; /* one entry for all the drops */
  for (size_t i = 0; r->cells && i < g->values.n; i++) {
    mx_drop(r->cells[i].array);
    rlx_tensor_free(r->cells[i].tensor);
  }
  for (size_t i = 0; i < r->jobs.n; i++) lazy_job_free(r->jobs.data[i]);
  vec_free(&r->jobs);
  if (r->m) mx_ctx_free(r->m);
  if (locked) lock_leave();
  mem_free(r->cells);
}

rlx_status exec_call_with(rlx_exec *e, resident **params, rlx_tensor *const *inputs,
                          size_t n_inputs, rlx_tensor **outputs, size_t n_outputs) {
  run r = {.e = e, .inputs = inputs, .params = params};
  RLX_TRY(check_inputs(e->graph, inputs, n_inputs));
  if (n_outputs != e->graph->outputs.n || !outputs)
    return status_set(RLX_ERROR_ARGUMENT, "room for %zu outputs, the graph has %zu",
                      outputs ? n_outputs : 0, e->graph->outputs.n);
  rlx_status status;
  if (run_shortcut(e, params, inputs, outputs, &status)) return status;
  status = run_all(&r, outputs);
  finish(&r);
  return status;
}

/* A run that the caller asked for, not one of a sub-graph. */
static rlx_status run_call(rlx_exec *e, rlx_tensor *const *inputs, size_t n_inputs,
                           rlx_tensor **outputs, size_t n_outputs) {
  const uint64_t begin = span_begin();
  const rlx_status status = exec_call(e, inputs, n_inputs, outputs, n_outputs);
  span_end(begin, "run", "run", e->graph->name);
  return status;
}

rlx_status exec_call(rlx_exec *e, rlx_tensor *const *inputs, size_t n_inputs, rlx_tensor **outputs,
                     size_t n_outputs) {
  resident **params;
  RLX_TRY(exec_take_params(e, &params));
  const rlx_status status = exec_call_with(e, params, inputs, n_inputs, outputs, n_outputs);
  exec_drop_params(e, params);
  return status;
}

rlx_status rlx_exec_call(rlx_exec *e, rlx_tensor *const *inputs, size_t n_inputs,
                         rlx_tensor **outputs, size_t n_outputs) {
  if (!e) return status_set(RLX_ERROR_ARGUMENT, "rlx_exec_call: exec is NULL");
  atomic_fetch_add(&e->refs, 1); /* it may be freed by another thread during the run */
  rlx_status status = run_call(e, inputs, n_inputs, outputs, n_outputs);
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
      return status_set(RLX_ERROR_NOT_FOUND, "there is no input '%s'; the graph has %zu%s%s%s",
                        name, g->inputs.n, g->inputs.n ? ", the first is '" : "",
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
  if (status == RLX_OK) status = run_call(e, inputs, g->inputs.n, outputs, g->outputs.n);
  if (status == RLX_OK) status = name_outputs(g, outputs, out_outputs);
  if (status != RLX_OK) exec_fail(e, status);
  mem_free(inputs);
  mem_free(outputs);
  rlx_exec_free(e);
  return status;
}
