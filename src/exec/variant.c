/* exec/variant.c: the prepared forms of an executable's stages, one per set of shapes; the least
 * recently used goes when there are too many.
 *
 * The first stage is told by the shapes of all inputs. A later one is told by the variant of the
 * stage before it, the shapes that its cuts made, and the contents that come by value. */
#include <string.h>

#include "base/room.h"
#include "base/span.h"
#include "exec/exec.h"

void variant_free(variant *v) {
  if (!v || atomic_fetch_sub(&v->refs, 1) != 1) return;
  for (size_t i = 0; v->constants && i < v->graph->values.n; i++) resident_free(v->constants[i]);
  mem_free(v->constants);
  for (size_t i = 0; v->directs && i < v->plan.n_segments; i++) direct_free(v->directs[i]);
  mem_free(v->directs);
  shortcut_free(v->shortcut);
  for (size_t i = 0; v->fixed && i < v->graph->params.n; i++) resident_free(v->fixed[i]);
  mem_free(v->fixed);
  recordings_free(v);
  plan_free(&v->plan);
  rlx_graph_free(v->graph);
  map_free(&v->names.names);
  variant_free(v->parent);
  mem_free(v->params);
  mem_free(v->key);
  mem_free(v);
}

/* Constants that came through unchanged share the executable's resident. */
static rlx_status gather_constants(rlx_exec *e, variant *v) {
  v->constants = mem_new(v->graph->values.n, sizeof *v->constants);
  if (!v->constants) return status_memory(v->graph->values.n * sizeof *v->constants);
  for (uint32_t id = 1; id < v->graph->values.n; id++) {
    rlx_tensor *t = graph_constant(v->graph, (rlx_val){id});
    uint64_t shared;
    if (!t) continue;
    if (map_get_u64(&e->constants, (uint64_t)(uintptr_t)t, &shared))
      v->constants[id] = resident_retain((resident *)(uintptr_t)shared);
    else
      RLX_TRY(resident_create(t, &v->constants[id]));
  }
  return RLX_OK;
}

static uint64_t value_bytes(const rlx_graph *g, uint32_t id) {
  const ir_type *t = &g->values.data[id].type;
  int64_t sizes[RLX_MAX_RANK], count;
  size_t bytes = 0;
  return type_sizes(t, sizes) && tensor_size(t->dtype, t->rank, sizes, &count, &bytes) ? bytes : 0;
}

static rlx_status too_large(const rlx_graph *g, const ir_node *n, const char *which,
                            uint64_t bytes) {
  char what[256];
  graph_describe(g, n, what, sizeof what);
  return status_set(RLX_ERROR_MEMORY, "%s: %s %llu bytes, this process can have %llu", what, which,
                    (unsigned long long)bytes, (unsigned long long)room_bytes());
}

/* Refuses a run that cannot fit: one of its results does not, or all its outputs together. Leaves
 * are there already, and moved elements may be views of others. */
static rlx_status check_room(const rlx_graph *g, const plan *p) {
  uint64_t outputs = 0;
  bool *counted = mem_new(g->values.n, sizeof *counted);
  if (!counted) return status_memory(g->values.n);
  for (size_t i = 0; i < g->outputs.n; i++) counted[g->outputs.data[i].value.id] = true;
  rlx_status status = RLX_OK;
  for (uint32_t s = 0; s < p->n_steps && status == RLX_OK; s++) {
    const ir_node *n = &g->nodes.data[p->steps[s].last];
    for (uint32_t i = 0; i < n->n_out && status == RLX_OK; i++) {
      const uint64_t bytes = value_bytes(g, n->out.id + i);
      if (!room_for(bytes)) status = too_large(g, n, "the result has", bytes);
      if (!counted[n->out.id + i] || n->op->traits & IR_MOVE) continue;
      if (__builtin_add_overflow(outputs, bytes, &outputs)) outputs = UINT64_MAX;
      if (status == RLX_OK && !room_for(outputs))
        status = too_large(g, n, "the outputs up to this one have", outputs);
    }
  }
  mem_free(counted);
  return status;
}

/* --- preparing */

static rlx_status find_params(const rlx_exec *e, variant *v) {
  const rlx_graph *g = v->graph;
  v->params = mem_new(g->params.n + 1, sizeof *v->params);
  if (!v->params) return status_memory(g->params.n * sizeof *v->params);
  for (size_t i = 0; i < g->params.n; i++)
    while (strcmp(e->graph->params.data[v->params[i]].name, g->params.data[i].name) != 0)
      v->params[i]++;
  return RLX_OK;
}

/* Values that the cuts of a stage made. */
static rlx_status each_made(const run *r, size_t index,
                            rlx_status (*f)(void *ctx, const cell *c, rlx_val v), void *ctx) {
  const rlx_exec *e = r->e;
  for (size_t i = 0; i < e->stages.data[index].cuts.n; i++) {
    const ir_node *n = &e->graph->nodes.data[e->stages.data[index].cuts.data[i]];
    for (uint32_t k = 0; k < n->n_out; k++)
      RLX_TRY(f(ctx, &r->cells[n->out.id + k], rlx_nth(n->out, k)));
  }
  return RLX_OK;
}

static rlx_status name_made(void *ctx, const cell *c, rlx_val v) {
  return pass_name_value(ctx, v, c->tensor->dims);
}

static rlx_status learn_names(const run *r, variant *v) {
  v->names.src = r->e->graph;
  if (v->parent) {
    if (!map_copy(&v->parent->names.names, &v->names.names)) return status_memory(0);
    return each_made(r, v->stage - 1, name_made, &v->names);
  }
  const int64_t **sizes = mem_new(r->e->graph->inputs.n + 1, sizeof *sizes);
  if (!sizes) return status_memory(0);
  for (size_t i = 0; i < r->e->graph->inputs.n; i++) sizes[i] = r->inputs[i]->dims;
  const rlx_status status = pass_name_inputs(&v->names, sizes);
  mem_free(sizes);
  return status;
}

static rlx_status bind_stage(const run *r, variant *v, ir_normal normal) {
  const stage *s = &r->e->stages.data[v->stage];
  rlx_tensor **by_value = mem_new(s->in.n + 1, sizeof *by_value);
  if (!by_value) return status_memory(s->in.n * sizeof *by_value);
  for (size_t i = 0; i < s->in.n; i++)
    if (s->in.data[i].by_value) by_value[i] = r->cells[s->in.data[i].value.id].tensor;
  const rlx_status status = pass_bind(&v->names, s, by_value, normal, &v->graph);
  mem_free(by_value);
  return status;
}

plan_choice exec_choice(const rlx_exec *e) {
  if (e->device == RLX_DEVICE_REFERENCE) return (plan_choice){.runner = PLAN_HOST};
  const bool fuses = e->mode == RLX_MODE_COMPILED &&
                     mx_trace_fuses(e->device == RLX_DEVICE_GPU ? MX_GPU : MX_CPU);
  return (plan_choice){.runner = fuses ? PLAN_TRACE : PLAN_MLX,
                       .kernels = e->kernels && !fuses,
                       .alone = e->mode == RLX_MODE_EAGER};
}

/* Params that have been set once are constants, until they are set again. */
static rlx_status fix_params(const run *r, variant *v, struct direct_constant *constants) {
  v->fixed = mem_new(v->graph->params.n + 1, sizeof *v->fixed);
  if (!v->fixed) return status_memory(v->graph->params.n * sizeof *v->fixed);
  pthread_mutex_lock(&r->e->mutex);
  for (size_t i = 0; i < v->graph->params.n; i++) {
    resident *p = r->params[v->params[i]];
    if (r->e->changing[v->params[i]]) continue;
    v->fixed[i] = resident_retain(p);
    constants[v->graph->params.data[i].value.id] = (struct direct_constant){p->tensor->data, true};
  }
  pthread_mutex_unlock(&r->e->mutex);
  return RLX_OK;
}

static rlx_status find_constants(const run *r, variant *v, struct direct_constant *constants) {
  for (uint32_t id = 1; id < v->graph->values.n; id++) {
    if (!v->constants[id]) continue;
    rlx_tensor *t = v->constants[id]->tensor;
    constants[id] = (struct direct_constant){
        t->data, map_get_u64(&r->e->constants, (uint64_t)(uintptr_t)t, &(uint64_t){0})};
  }
  return fix_params(r, v, constants);
}

static rlx_status prepare_directs(const run *r, variant *v) {
  direct_setup setup = {.e = r->e, .g = v->graph, .p = &v->plan};
  struct direct_constant *constants = mem_new(v->graph->values.n, sizeof *constants);
  v->directs = mem_new(v->plan.n_segments + 1, sizeof *v->directs);
  rlx_status status = constants && v->directs ? RLX_OK : status_memory(v->graph->values.n);
  if (status == RLX_OK) status = find_constants(r, v, constants);
  setup.constants = constants;
  for (size_t i = 0; i < v->plan.n_segments && status == RLX_OK; i++) {
    setup.s = &v->plan.segments[i];
    if (setup.s->runner == PLAN_DIRECT) status = direct_create(&setup, &v->directs[i]);
  }
  mem_free(constants);
  return status;
}

static rlx_status prepare(const run *r, variant *v) {
  rlx_exec *e = r->e;
  const plan_choice choice = exec_choice(e);
  RLX_TRY(learn_names(r, v));
  uint64_t begin = span_begin();
  RLX_TRY(bind_stage(r, v,
                     choice.kernels ? pass_kernels
                     : choice.runner == PLAN_HOST ? pass_fold
                                                  : pass_legal));
  span_end(begin, "compile", "bind", v->graph->name);
  begin = span_begin();
  RLX_TRY(plan_make(v->graph, choice, &v->plan));
  RLX_TRY(check_room(v->graph, &v->plan));
  span_end(begin, "compile", "plan", v->graph->name);
  RLX_TRY(find_params(e, v));
  RLX_TRY(gather_constants(e, v));
  if (!choice.kernels) return RLX_OK;
  begin = span_begin();
  RLX_TRY(prepare_directs(r, v));
  span_end(begin, "compile", "kernels", v->graph->name);
  return shortcut_create(e, v, &v->shortcut);
}

/* --- finding */

typedef VEC(int64_t) key_list;

static rlx_status add_shape(void *ctx, const cell *c, rlx_val v) {
  key_list *key = ctx;
  (void)v;
  for (uint32_t k = 0; k < c->tensor->rank; k++)
    if (!vec_push(key, c->tensor->dims[k])) return status_memory(sizeof *key->data);
  return RLX_OK;
}

/* Shape and elements; the last word is filled up with zeros. */
static rlx_status add_content(key_list *key, const cell *c) {
  const rlx_tensor *t = c->tensor;
  RLX_TRY(add_shape(key, c, RLX_NIL));
  for (size_t at = 0; at < t->bytes; at += sizeof(int64_t)) {
    int64_t word = 0;
    const size_t left = t->bytes - at;
    memcpy(&word, (const char *)t->data + at, left < sizeof word ? left : sizeof word);
    if (!vec_push(key, word)) return status_memory(t->bytes);
  }
  return RLX_OK;
}

static rlx_status make_key(const run *r, size_t stage_index, key_list *key) {
  const stage *s = &r->e->stages.data[stage_index];
  for (size_t i = 0; stage_index == 0 && i < r->e->graph->inputs.n; i++)
    RLX_TRY(add_shape(key, &r->cells[r->e->graph->inputs.data[i].value.id], RLX_NIL));
  if (stage_index > 0) RLX_TRY(each_made(r, stage_index - 1, add_shape, key));
  for (size_t i = 0; i < s->in.n; i++)
    if (s->in.data[i].by_value) RLX_TRY(add_content(key, &r->cells[s->in.data[i].value.id]));
  return RLX_OK;
}

static rlx_status variant_create(const run *r, size_t stage_index, variant *parent, key_list *key,
                                 variant **out) {
  variant *v = mem_new(1, sizeof *v);
  if (!v) return status_memory(sizeof *v);
  atomic_init(&v->refs, 1);
  v->stage = stage_index;
  v->parent = parent;
  if (parent) atomic_fetch_add(&parent->refs, 1);
  v->key = key->data;
  v->n_key = key->n;
  *key = (key_list){0};
  const uint64_t begin = span_begin();
  const rlx_status status = prepare(r, v);
  span_end(begin, "compile", "variant", r->e->graph->name);
  if (status != RLX_OK) variant_free(v);
  else *out = v;
  return status;
}

/* With the mutex held. Gives a reference, or NULL. */
static variant *find(rlx_exec *e, size_t stage_index, const variant *parent, const int64_t *key,
                     size_t n_key) {
  for (size_t i = 0; i < e->variants.n; i++) {
    variant *v = e->variants.data[i];
    if (v->stage != stage_index || v->parent != parent || v->n_key != n_key ||
        (n_key && memcmp(v->key, key, n_key * sizeof *key) != 0))
      continue;
    v->used = ++e->clock;
    atomic_fetch_add(&v->refs, 1);
    return v;
  }
  return NULL;
}

/* With the mutex held: puts `v` in, and returns the one that had to go, or NULL. */
static variant *insert(rlx_exec *e, variant *v) {
  v->used = ++e->clock;
  atomic_fetch_add(&v->refs, 1);
  if (e->variants.n < e->max_variants && vec_push(&e->variants, v)) return NULL;
  size_t oldest = 0;
  for (size_t i = 1; i < e->variants.n; i++)
    if (e->variants.data[i]->used < e->variants.data[oldest]->used) oldest = i;
  if (e->variants.n == 0) return v; /* no memory for the list: only this run has it */
  variant *old = e->variants.data[oldest];
  e->variants.data[oldest] = v;
  return old;
}

/* With the mutex held: has it no constant that was a param and is another one by now? */
static bool is_current(const rlx_exec *e, const variant *v) {
  for (size_t i = 0; v->fixed && i < v->graph->params.n; i++)
    if (v->fixed[i] && v->fixed[i] != e->params[v->params[i]]) return false;
  return true;
}

/* Keeps a new variant, unless another thread has made an equal one meanwhile: then that one. */
static variant *keep(rlx_exec *e, variant *v) {
  pthread_mutex_lock(&e->mutex);
  variant *same = find(e, v->stage, v->parent, v->key, v->n_key);
  variant *surplus = same ? v : is_current(e, v) ? insert(e, v) : NULL;
  pthread_mutex_unlock(&e->mutex);
  variant_free(surplus);
  return same ? same : v;
}

rlx_status variant_get(const run *r, size_t stage_index, variant *parent, variant **out) {
  rlx_exec *e = r->e;
  key_list key = {0};
  *out = NULL;
  rlx_status status = make_key(r, stage_index, &key);
  if (status == RLX_OK) {
    pthread_mutex_lock(&e->mutex);
    *out = find(e, stage_index, parent, key.data, key.n);
    pthread_mutex_unlock(&e->mutex);
  }
  if (status == RLX_OK && !*out) {
    status = variant_create(r, stage_index, parent, &key, out);
    if (status == RLX_OK) *out = keep(e, *out);
  }
  vec_free(&key);
  return status;
}
