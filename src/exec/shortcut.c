/* exec/shortcut.c: the run of a graph whose plan is one direct segment: from the caller's tensors
 * to the caller's tensors, without cells, MLX or the runtime lock. Whatever is unusual (a first run
 * of its shapes, an output that does not fit, a result that is an input) takes the long way, which
 * also says what is wrong. */
#include "exec/exec.h"

enum { ROOM = 32 }; /* ports that need no allocation */

/* Which input or param (behind the inputs), and which output, a port of the segment is. */
struct shortcut {
  size_t n_in, n_out;
  uint32_t *in, *out;
};

void shortcut_free(shortcut *s) { mem_free(s); }

static uint32_t port_of(const ir_port *ports, size_t n, rlx_val v) {
  uint32_t i = 0;
  while (i < n && ports[i].value.id != v.id) i++;
  return i;
}

/* The variant's ports are those of its stage, whose values are the executable's. False: a port of
 * the segment is none of the executable's. */
static bool find_ports(const rlx_exec *e, const variant *v, const rlx_val *in, const rlx_val *out,
                       shortcut *s) {
  const rlx_graph *g = v->graph, *whole = e->graph;
  const stage *st = &e->stages.data[0];
  for (size_t i = 0; i < s->n_in; i++) {
    const uint32_t port = port_of(g->inputs.data, g->inputs.n, in[i]);
    const uint32_t param = port_of(g->params.data, g->params.n, in[i]);
    if (port == g->inputs.n && param == g->params.n) return false;
    s->in[i] = port < g->inputs.n
                   ? port_of(whole->inputs.data, whole->inputs.n, st->in.data[port].value)
                   : (uint32_t)whole->inputs.n + v->params[param];
  }
  for (size_t i = 0; i < s->n_out; i++) {
    const uint32_t port = port_of(g->outputs.data, g->outputs.n, out[i]);
    if (port == g->outputs.n) return false;
    s->out[i] = port_of(whole->outputs.data, whole->outputs.n, st->out.data[port].value);
    if (s->out[i] == whole->outputs.n) return false;
  }
  return true;
}

rlx_status shortcut_create(const rlx_exec *e, const variant *v, shortcut **out) {
  const rlx_val *in, *outside;
  *out = NULL;
  if (e->mode != RLX_MODE_COMPILED || e->stages.n != 1 || e->stages.data[0].cuts.n ||
      v->plan.n_segments != 1 || !v->directs[0] || v->graph->inputs.n != e->graph->inputs.n ||
      v->graph->outputs.n != e->graph->outputs.n)
    return RLX_OK;
  const size_t n_in = direct_inputs(v->directs[0], &in);
  const size_t n_out = direct_outputs(v->directs[0], &outside);
  if (n_out != e->graph->outputs.n) return RLX_OK;
  shortcut *s = mem_new(1, sizeof *s + (n_in + n_out) * sizeof *s->in);
  if (!s) return status_memory(0);
  s->n_in = n_in;
  s->n_out = n_out;
  s->in = (uint32_t *)(s + 1);
  s->out = s->in + n_in;
  if (find_ports(e, v, in, outside, s)) *out = s;
  else shortcut_free(s);
  return RLX_OK;
}

/* --- the variant */

static bool has_shapes(const variant *v, rlx_tensor *const *inputs, size_t n) {
  const int64_t *key = v->key;
  for (size_t i = 0; i < n; key += inputs[i++]->rank)
    for (uint32_t k = 0; k < inputs[i]->rank; k++)
      if (key[k] != inputs[i]->dims[k]) return false;
  return true;
}

static variant *find_variant(rlx_exec *e, rlx_tensor *const *inputs) {
  variant *found = NULL;
  pthread_mutex_lock(&e->mutex);
  for (size_t i = 0; i < e->variants.n && !found; i++) {
    variant *v = e->variants.data[i];
    if (v->shortcut && has_shapes(v, inputs, e->graph->inputs.n)) found = v;
  }
  if (found) {
    found->used = ++e->clock;
    atomic_fetch_add(&found->refs, 1);
  }
  pthread_mutex_unlock(&e->mutex);
  return found;
}

/* --- outputs */

/* Can the run write output i of the segment into the tensor that the caller gave? */
static bool fits(const variant *v, const rlx_val *vals, size_t i, rlx_tensor *const *inputs,
                 rlx_tensor *const *outputs) {
  const ir_type *t = &graph_value(v->graph, vals[i])->type;
  const uint32_t port = v->shortcut->out[i];
  const rlx_tensor *given = outputs[port];
  if (!given) return true;
  if (given->read_only || given->dtype != t->dtype || given->rank != t->rank) return false;
  for (uint32_t k = 0; k < t->rank; k++)
    if (given->dims[k] != t->dims[k]) return false;
  if (run_shares_input(v->graph, inputs, given)) return false;
  for (size_t k = 0; k < v->graph->outputs.n; k++)
    if (k != port && outputs[k] && run_overlaps(given, outputs[k])) return false;
  return true;
}

static rlx_status run_into(const rlx_exec *e, const variant *v, resident *const *params,
                           rlx_tensor *const *inputs, rlx_tensor **outputs, void **data) {
  const shortcut *s = v->shortcut;
  const size_t n_inputs = e->graph->inputs.n;
  for (size_t i = 0; i < s->n_in; i++)
    data[i] =
        s->in[i] < n_inputs ? inputs[s->in[i]]->data : params[s->in[i] - n_inputs]->tensor->data;
  for (size_t i = 0; i < s->n_out; i++) data[s->n_in + i] = outputs[s->out[i]]->data;
  return direct_run(v->directs[0], (blocks *)(uintptr_t)&e->blocks, (const void *const *)data,
                    data + s->n_in);
}

/* Makes the outputs that the caller has not given; gives them up again if the run fails. */
static rlx_status run_variant(const rlx_exec *e, const variant *v, const rlx_val *vals,
                              resident *const *params, rlx_tensor *const *inputs,
                              rlx_tensor **outputs) {
  void *room[ROOM], **data = room;
  bool made[ROOM];
  const shortcut *s = v->shortcut;
  rlx_status status = RLX_OK;
  if (s->n_in + s->n_out > ROOM) data = mem_new(s->n_in + s->n_out, sizeof *data);
  if (!data) return status_memory((s->n_in + s->n_out) * sizeof *data);
  for (size_t i = 0; i < s->n_out; i++) {
    const ir_type *t = &graph_value(v->graph, vals[i])->type;
    rlx_tensor **output = &outputs[s->out[i]];
    made[i] = !*output;
    if (made[i] && status == RLX_OK) status = rlx_tensor_create(t->dtype, t->rank, t->dims, output);
  }
  if (status == RLX_OK) status = run_into(e, v, params, inputs, outputs, data);
  for (size_t i = 0; i < s->n_out && status != RLX_OK; i++) {
    if (!made[i]) continue;
    rlx_tensor_free(outputs[s->out[i]]);
    outputs[s->out[i]] = NULL;
  }
  if (data != room) mem_free(data);
  return status;
}

bool run_shortcut(rlx_exec *e, resident *const *params, rlx_tensor *const *inputs,
                  rlx_tensor **outputs, rlx_status *out_status) {
  const rlx_val *vals;
  variant *v = find_variant(e, inputs);
  if (!v) return false;
  const size_t n = direct_outputs(v->directs[0], &vals);
  bool taken = n <= ROOM;
  for (size_t i = 0; taken && i < n; i++) taken = fits(v, vals, i, inputs, outputs);
  if (taken) *out_status = run_variant(e, v, vals, params, inputs, outputs);
  variant_free(v);
  return taken;
}
