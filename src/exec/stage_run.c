/* exec/stage_run.c: one stage of a run: its leaves come from cells, its outputs go to cells; and
 * the cuts behind it, on the host. */

#include "base/span.h"
#include "exec/exec.h"
#include "mlx/lock.h"
#include "ops/ref.h"

/* --- a stage */

/* What the inputs of the variant's graph hold; a value that arrived lazily stays on the device. */
static void set_inputs(run *r) {
  const stage *s = &r->e->stages.data[r->v->stage];
  size_t port = 0;
  for (size_t i = 0; i < s->in.n; i++) {
    if (s->in.data[i].by_value) continue;
    const cell *c = &r->cells[s->in.data[i].value.id];
    const uint32_t id = r->g->inputs.data[port++].value.id;
    if (c->tensor) r->tensors[id] = rlx_tensor_retain(c->tensor);
    else r->arrays[id] = mx_keep(c->array);
  }
}

static void set_residents(run *r) {
  for (size_t i = 0; i < r->g->params.n; i++)
    r->residents[r->g->params.data[i].value.id] = r->params[r->v->params[i]];
  for (uint32_t id = 1; id < r->g->values.n; id++) {
    if (r->v->constants[id]) r->residents[id] = r->v->constants[id];
    if (r->residents[id]) r->tensors[id] = rlx_tensor_retain(r->residents[id]->tensor);
  }
}

static rlx_status start(run *r) {
  const size_t n = r->g->values.n;
  r->arrays = mem_new(n, sizeof *r->arrays);
  r->tensors = mem_new(n, sizeof *r->tensors);
  r->residents = mem_new(n, sizeof *r->residents);
  if (!r->arrays || !r->tensors || !r->residents) return status_memory(n * sizeof *r->tensors);
  set_inputs(r);
  set_residents(r);
  return RLX_OK;
}

static rlx_status fetch_outputs(run *r, const stage *s) {
  rlx_val *vals = mem_new(s->out.n + 1, sizeof *vals);
  if (!vals) return status_memory(s->out.n * sizeof *vals);
  size_t n = 0;
  for (size_t i = 0; i < s->out.n; i++)
    if (s->out.data[i].host) vals[n++] = r->g->outputs.data[i].value;
  const rlx_status status = run_fetch(r, vals, n);
  mem_free(vals);
  return status;
}

static void set_outputs(run *r, const stage *s) {
  for (size_t i = 0; i < s->out.n; i++) {
    const uint32_t id = r->g->outputs.data[i].value.id;
    r->cells[s->out.data[i].value.id] =
        (cell){.array = r->tensors[id] ? NULL : mx_keep(r->arrays[id]),
               .tensor = rlx_tensor_retain(r->tensors[id]),
               .shared = r->residents[id] != NULL};
  }
}

void run_drop_values(run *r) {
  for (size_t i = 0; i < r->g->values.n; i++) {
    if (r->arrays) mx_drop(r->arrays[i]);
    if (r->tensors) rlx_tensor_free(r->tensors[i]);
  }
  for (size_t i = 0; i < r->checks.n; i++) mx_drop(r->checks.data[i].flag);
  vec_free(&r->checks);
  mem_free(r->arrays);
  mem_free(r->tensors);
}

static void finish(run *r) {
  const bool locked = r->m && lock_enter() == RLX_OK; /* one entry for all the drops */
  run_drop_values(r);
  if (locked) lock_leave();
  mem_free(r->residents);
}

static rlx_status run_segment(run *r, const plan_segment *s) {
  static const struct {
    rlx_status (*run)(run *r, const plan_segment *s);
    const char *name;
  } runners[] = {[PLAN_MLX] = {run_mlx_segment, "mlx segment"},
                 [PLAN_TRACE] = {run_mlx_segment, "trace segment"},
                 [PLAN_DIRECT] = {run_direct_segment, "direct segment"},
                 [PLAN_HOST] = {run_host_segment, "host segment"}};
  const uint64_t begin = span_begin();
  const rlx_status status = runners[s->runner].run(r, s);
  span_end(begin, "run", runners[s->runner].name, "");
  return status;
}

static rlx_status run_segments(run *r) {
  const stage *s = &r->e->stages.data[r->v->stage];
  r->g = r->v->graph;
  rlx_status status = start(r);
  for (size_t i = 0; i < r->v->plan.n_segments && status == RLX_OK; i++)
    status = run_segment(r, &r->v->plan.segments[i]);
  if (status == RLX_OK) status = fetch_outputs(r, s);
  if (status == RLX_OK) set_outputs(r, s);
  finish(r);
  return status;
}

rlx_status run_stage(run *r) {
  const rlx_status status = run_segments(r);
  return status == RLX_ERROR_BACKEND && run_untrace(r) ? run_segments(r) : status;
}

/* --- cuts */

static rlx_status run_subgraph(void *ctx, const rlx_graph *graph, rlx_tensor *const *in,
                               rlx_tensor **out, size_t n_out) {
  run *r = ctx;
  rlx_exec *sub = exec_of_graph(r->e, graph);
  if (!sub) return status_set(RLX_ERROR_INTERNAL, "a sub-graph has no executable");
  return exec_call(sub, in, graph->inputs.n, out, n_out);
}

rlx_status run_on_host(run *r, const ir_node *n, rlx_tensor *const *in, rlx_tensor **out) {
  if (!n->op->hooks->control) return ref_eval(n->op, n->attrs, in, n->n_in, out, n->n_out);
  control_call c = {.op = n->op,
                    .attrs = n->attrs,
                    .in = in,
                    .n_in = n->n_in,
                    .out = out,
                    .n_out = n->n_out,
                    .run = run_subgraph,
                    .ctx = r};
  return n->op->hooks->control(&c);
}

/* What arrives must be what was declared: the stages behind rely on it. */
static rlx_status check_cut(const run *r, const ir_node *n, rlx_tensor *const *out) {
  for (uint32_t i = 0; i < n->n_out; i++) {
    const ir_type *t = &graph_value(r->e->graph, rlx_nth(n->out, i))->type;
    char wanted[96], got[96];
    if (out[i] && out[i]->dtype == t->dtype && out[i]->rank == t->rank) continue;
    type_text(r->e->graph, t, wanted, sizeof wanted);
    if (out[i])
      type_text(r->e->graph, &(ir_type){out[i]->dtype, out[i]->rank, out[i]->dims}, got,
                sizeof got);
    return status_set(RLX_ERROR_SHAPE, "output %u is %s, declared %s", i, out[i] ? got : "missing",
                      wanted);
  }
  return RLX_OK;
}

rlx_status run_cut(run *r, uint32_t index) {
  const ir_node *n = &r->e->graph->nodes.data[index];
  rlx_tensor **in = mem_new(n->n_in + 1u, sizeof *in), **out = mem_new(n->n_out + 1u, sizeof *out);
  rlx_status status = in && out ? RLX_OK : status_memory(n->n_in * sizeof *in);
  const uint64_t begin = span_begin();
  for (uint32_t i = 0; in && i < n->n_in; i++) in[i] = r->cells[n->in[i].id].tensor;
  if (status == RLX_OK) status = run_on_host(r, n, in, out);
  if (status == RLX_OK) status = check_cut(r, n, out);
  for (uint32_t i = 0; out && i < n->n_out; i++) {
    if (status == RLX_OK) r->cells[n->out.id + i] = (cell){.tensor = out[i]};
    else rlx_tensor_free(out[i]);
  }
  if (status != RLX_OK) status = run_fail_at(r->e->graph, n, status);
  /* The nodes inside have the time of a control operation. */
  run_note(r->e->graph, n, n->op->hooks->control ? "run" : "node", begin);
  mem_free(in);
  mem_free(out);
  return status;
}
