/* exec/variant.c: the prepared forms of an executable, one per set of input shapes; the least
 * recently used goes when there are too many. */
#include <string.h>

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

static rlx_status prepare(rlx_exec *e, rlx_tensor *const *inputs, variant *v) {
  const bool host = e->device == RLX_DEVICE_REFERENCE;
  const int64_t **sizes = mem_new(e->graph->inputs.n + 1, sizeof *sizes);
  if (!sizes) return status_memory(0);
  for (size_t i = 0; i < e->graph->inputs.n; i++) sizes[i] = inputs[i]->dims;
  const rlx_status status = pass_bind(e->graph, sizes, host ? pass_fold : pass_legal, &v->graph);
  mem_free(sizes);
  RLX_TRY(status);
  RLX_TRY(plan_make(v->graph, host, &v->plan));
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
