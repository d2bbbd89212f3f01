/* exec/variant.c: the prepared forms of an executable, one per set of input shapes; the least
 * recently used goes when there are too many. */
#include <string.h>

#include "base/room.h"
#include "exec/exec.h"

void variant_free(variant *v) {
  if (!v || atomic_fetch_sub(&v->refs, 1) != 1) return;
  for (size_t i = 0; v->constants && i < v->graph->values.n; i++) resident_free(v->constants[i]);
  mem_free(v->constants);
  plan_free(&v->plan);
  rlx_graph_free(v->graph);
  mem_free(v->sizes);
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
    const ir_node *n = &g->nodes.data[p->steps[s].node];
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

static rlx_status prepare(rlx_exec *e, rlx_tensor *const *inputs, variant *v) {
  const bool host = e->device == RLX_DEVICE_REFERENCE;
  const int64_t **sizes = mem_new(e->graph->inputs.n + 1, sizeof *sizes);
  if (!sizes) return status_memory(0);
  for (size_t i = 0; i < e->graph->inputs.n; i++) sizes[i] = inputs[i]->dims;
  const rlx_status status = pass_bind(e->graph, sizes, host ? pass_fold : pass_legal, &v->graph);
  mem_free(sizes);
  RLX_TRY(status);
  RLX_TRY(plan_make(v->graph, host, &v->plan));
  RLX_TRY(check_room(v->graph, &v->plan));
  return gather_constants(e, v);
}

static void join_sizes(const rlx_exec *e, rlx_tensor *const *inputs, int64_t *out) {
  for (size_t i = 0; i < e->graph->inputs.n; i++) {
    memcpy(out, inputs[i]->dims, inputs[i]->rank * sizeof *out);
    out += inputs[i]->rank;
  }
}

/* Takes ownership of `sizes`. */
static rlx_status variant_create(rlx_exec *e, rlx_tensor *const *inputs, int64_t *sizes,
                                 variant **out) {
  variant *v = mem_new(1, sizeof *v);
  if (!v) {
    mem_free(sizes);
    return status_memory(sizeof *v);
  }
  atomic_init(&v->refs, 1);
  v->sizes = sizes;
  const rlx_status status = prepare(e, inputs, v);
  if (status != RLX_OK) variant_free(v);
  else *out = v;
  return status;
}

/* With the mutex held. Gives a reference, or NULL. */
static variant *find(rlx_exec *e, const int64_t *sizes) {
  for (size_t i = 0; i < e->variants.n; i++) {
    variant *v = e->variants.data[i];
    if (memcmp(v->sizes, sizes, e->n_sizes * sizeof *sizes) != 0) continue;
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
  if (e->variants.n == 0) return v; /* no memory for the list: this run's reference is the only one */
  variant *old = e->variants.data[oldest];
  e->variants.data[oldest] = v;
  return old;
}

/* Two threads may prepare the same shapes at once: one of the two is dropped after its run. */
rlx_status variant_get(rlx_exec *e, rlx_tensor *const *inputs, variant **out) {
  int64_t *sizes = mem_new(e->n_sizes + 1, sizeof *sizes);
  if (!sizes) return status_memory(e->n_sizes * sizeof *sizes);
  join_sizes(e, inputs, sizes);
  pthread_mutex_lock(&e->mutex);
  *out = find(e, sizes);
  pthread_mutex_unlock(&e->mutex);
  if (*out) {
    mem_free(sizes);
    return RLX_OK;
  }
  RLX_TRY(variant_create(e, inputs, sizes, out));
  pthread_mutex_lock(&e->mutex);
  variant *evicted = insert(e, *out);
  pthread_mutex_unlock(&e->mutex);
  variant_free(evicted);
  return RLX_OK;
}
