/* exec/compile.c: making, configuring and freeing executables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/span.h"
#include "exec/exec.h"

/* --- residents */

rlx_status resident_create(rlx_tensor *tensor, resident **out) {
  *out = mem_new(1, sizeof **out);
  if (!*out) return status_memory(sizeof **out);
  atomic_init(&(*out)->refs, 1);
  (*out)->tensor = rlx_tensor_retain(tensor);
  return RLX_OK;
}

resident *resident_retain(resident *r) {
  if (r) atomic_fetch_add(&r->refs, 1);
  return r;
}

void resident_free(resident *r) {
  if (!r || atomic_fetch_sub(&r->refs, 1) != 1) return;
  mx_drop(r->array);
  rlx_tensor_free(r->tensor);
  mem_free(r);
}

/* --- checks before anything runs */

static bool runnable(const ir_op *op, rlx_device device) {
  const ir_hooks *h = op->hooks;
  if (op->traits & IR_LEAF || h->ref || h->control) return true;
  return device == RLX_DEVICE_REFERENCE ? h->expand != NULL : h->lower || h->expand;
}

/* Lists every node that the device cannot run. */
static rlx_status preflight(const rlx_exec *e) {
  lines list = {0};
  size_t n = 0;
  for (size_t i = 0; i < e->graph->nodes.n; i++) {
    const ir_node *node = &e->graph->nodes.data[i];
    char what[256];
    if (runnable(node->op, e->device)) continue;
    n++;
    graph_describe(e->graph, node, what, sizeof what);
    lines_addf(&list, "%s: %s", what, node->op->hooks->no_ref ? node->op->hooks->no_ref : "");
  }
  rlx_status status = RLX_OK;
  if (n)
    status = status_set(RLX_ERROR_UNSUPPORTED, "%zu node%s cannot run on this device:%s", n,
                        n == 1 ? "" : "s", lines_end(&list));
  lines_free(&list);
  return status;
}

/* --- rewriting */

static rlx_status switch_off(pass_rules *r, const char *name) {
  size_t i = 0;
  while (i < rule_count && (!name || strcmp(rule_table[i].name, name) != 0)) i++;
  if (i == rule_count)
    return status_set(RLX_ERROR_NOT_FOUND, "options: there is no rule '%s'",
                      name ? name : "(NULL)");
  r->off[i] = true;
  return RLX_OK;
}

/* The reference device is the oracle: it runs what the graph says. */
static rlx_status optimise(rlx_exec *e, const rlx_graph *graph, const rlx_exec_options *o) {
  if (o->n_no_rules && !o->no_rules)
    return status_set(RLX_ERROR_ARGUMENT, "options: %zu rules to leave out, the list is NULL",
                      o->n_no_rules);
  for (size_t i = 0; i < rule_count; i++) e->rules.off[i] = o->strict && rule_table[i].inexact;
  for (size_t i = 0; i < o->n_no_rules; i++) RLX_TRY(switch_off(&e->rules, o->no_rules[i]));
  return e->device == RLX_DEVICE_REFERENCE ? pass_rebuild(graph, pass_fold, NULL, &e->graph)
                                           : pass_optimise(graph, &e->rules, &e->graph);
}

/* --- sub-graphs */

/* Those of nodes run through executables of their own, or dissolve. From now on the node holds the
 * graph as it was prepared; nobody else has seen it yet, so it may change once more. */
static rlx_status compile(const rlx_graph *graph, const rlx_exec_options *o, rlx_exec **out);

static rlx_status compile_subgraph(rlx_exec *e, const void *field, const rlx_exec_options *o) {
  rlx_graph **sub = (rlx_graph **)(uintptr_t)field;
  rlx_exec *made;
  RLX_TRY(compile(*sub, o, &made));
  *sub = made->graph;
  if (vec_push(&e->subs, made)) return RLX_OK;
  rlx_exec_free(made);
  return status_memory(sizeof made);
}

static rlx_status compile_subgraphs(rlx_exec *e, const rlx_exec_options *o) {
  for (size_t i = 0; i < e->graph->nodes.n; i++) {
    const ir_node *n = &e->graph->nodes.data[i];
    for (size_t k = 0; k < n->op->n_attrs; k++) {
      const ir_attr *a = &n->op->attrs[k];
      const rlx_status status =
          a->type == IR_GRAPH ? compile_subgraph(e, attr_at(a, n->attrs), o) : RLX_OK;
      if (status != RLX_OK) return status_at(run_fail_at(e->graph, n, status), "%s", a->name);
    }
  }
  return RLX_OK;
}

rlx_exec *exec_of_graph(const rlx_exec *e, const rlx_graph *sub) {
  rlx_exec *found = NULL;
  for (size_t i = 0; i < e->subs.n && !found; i++)
    found = e->subs.data[i]->graph == sub ? e->subs.data[i] : exec_of_graph(e->subs.data[i], sub);
  return found;
}

/* --- constants */

/* Of the constants of `from`, which is e or the executable of a sub-graph. */
static rlx_status add_residents(rlx_exec *e, const rlx_exec *from) {
  const rlx_graph *g = from->graph;
  for (size_t i = 0; i < g->tensors.n; i++) {
    const uint64_t key = (uint64_t)(uintptr_t)g->tensors.data[i];
    resident *r;
    if (map_get_u64(&e->constants, key, &(uint64_t){0})) continue;
    RLX_TRY(resident_create(g->tensors.data[i], &r));
    if (!vec_push(&e->residents, r)) {
      resident_free(r);
      return status_memory(sizeof r);
    }
    if (!map_put_u64(&e->constants, key, (uint64_t)(uintptr_t)r)) return status_memory(0);
  }
  for (size_t i = 0; i < from->subs.n; i++) RLX_TRY(add_residents(e, from->subs.data[i]));
  return RLX_OK;
}

/* --- life */

static rlx_status init(rlx_exec *e, const rlx_graph *graph, const rlx_exec_options *o) {
  if (rlx_graph_status(graph) != RLX_OK)
    return status_set(rlx_graph_status(graph), "%s", rlx_graph_error(graph));
  if (graph->outputs.n == 0)
    return status_set(RLX_ERROR_ARGUMENT, "rlx_compile: graph '%s' has no outputs", graph->name);
  RLX_TRY(exec_choose(e, o));
  RLX_TRY(packs_create(&e->packs));
  RLX_TRY(optimise(e, graph, o));
  RLX_TRY(preflight(e));
  RLX_TRY(compile_subgraphs(e, o));
  RLX_TRY(stages_make(e->graph, &e->stages));
  e->params = mem_new(e->graph->params.n + 1, sizeof *e->params);
  e->changing = mem_new(e->graph->params.n + 1, sizeof *e->changing);
  if (!e->params || !e->changing) return status_memory(0);
  return add_residents(e, e);
}

static rlx_status compile(const rlx_graph *graph, const rlx_exec_options *o, rlx_exec **out) {
  rlx_exec *e = mem_new(1, sizeof *e);
  if (!e) return status_memory(sizeof *e);
  atomic_init(&e->refs, 1);
  pthread_mutex_init(&e->mutex, NULL);
  const uint64_t begin = span_begin();
  const rlx_status status = init(e, graph, o);
  span_end(begin, "compile", "compile", graph->name);
  if (status != RLX_OK) rlx_exec_free(e);
  else *out = e;
  return status;
}

rlx_status rlx_compile(const rlx_graph *graph, const rlx_exec_options *options,
                       rlx_exec **out_exec) {
  rlx_exec_options o;
  rlx_exec *e;
  if (!graph || !out_exec)
    return status_set(RLX_ERROR_ARGUMENT, "rlx_compile: %s is NULL", graph ? "out_exec" : "graph");
  *out_exec = NULL;
  RLX_TRY(options_read(&o, sizeof o, options));
  RLX_TRY(compile(graph, &o, &e));
  const rlx_status status = exec_check_kept(e);
  if (status != RLX_OK) rlx_exec_free(e);
  else *out_exec = e;
  return status;
}

void rlx_exec_free(rlx_exec *e) {
  if (!e || atomic_fetch_sub(&e->refs, 1) != 1) return;
  for (size_t i = 0; i < e->variants.n; i++) variant_free(e->variants.data[i]);
  vec_free(&e->variants);
  for (size_t i = 0; e->params && i < e->graph->params.n; i++) resident_free(e->params[i]);
  mem_free(e->params);
  mem_free(e->changing);
  for (size_t i = 0; i < e->residents.n; i++) resident_free(e->residents.data[i]);
  vec_free(&e->residents);
  map_free(&e->constants);
  for (size_t i = 0; i < e->subs.n; i++) rlx_exec_free(e->subs.data[i]);
  vec_free(&e->subs);
  stages_free(&e->stages);
  packs_free(e->packs);
  blocks_free(&e->blocks);
  rlx_graph_free(e->graph);
  arena_free(&e->mem);
  mem_free(e->error);
  pthread_mutex_destroy(&e->mutex);
  mem_free(e);
}

/* --- questions */

rlx_device rlx_exec_device(const rlx_exec *e) { return e ? e->device : RLX_DEVICE_DEFAULT; }
rlx_mode rlx_exec_mode(const rlx_exec *e) { return e ? e->mode : RLX_MODE_DEFAULT; }
const rlx_graph *rlx_exec_graph(const rlx_exec *e) { return e ? e->graph : NULL; }

rlx_status exec_fail(rlx_exec *e, rlx_status status) {
  char *copy = mem_strdup(rlx_last_error());
  pthread_mutex_lock(&e->mutex);
  char *old = e->error;
  e->error = copy;
  pthread_mutex_unlock(&e->mutex);
  mem_free(old);
  return status;
}

size_t rlx_exec_error(const rlx_exec *e, char *buf, size_t size) {
  if (!buf) size = 0;
  if (size) buf[0] = 0;
  if (!e) return 0;
  pthread_mutex_t *mutex = (pthread_mutex_t *)&e->mutex; /* the lock is no part of the value */
  pthread_mutex_lock(mutex);
  const char *text = e->error ? e->error : "";
  const size_t n = strlen(text);
  if (size) snprintf(buf, size, "%s", text);
  pthread_mutex_unlock(mutex);
  return n;
}

/* --- params */

static rlx_status check_param(const rlx_graph *g, const char *name, const rlx_tensor *value,
                              size_t *out_index) {
  size_t i = 0;
  while (i < g->params.n && strcmp(g->params.data[i].name, name) != 0) i++;
  if (i == g->params.n)
    return status_set(RLX_ERROR_NOT_FOUND, "there is no param '%s'; the graph has %zu", name,
                      g->params.n);
  const ir_type *t = &graph_value(g, g->params.data[i].value)->type;
  bool same = t->dtype == value->dtype && t->rank == value->rank;
  for (uint32_t k = 0; same && k < t->rank; k++)
    same = !dim_known(t->dims[k]) || t->dims[k] == value->dims[k];
  char wanted[160], got[160];
  if (!same) {
    type_text(g, t, wanted, sizeof wanted);
    type_text(g, &(ir_type){value->dtype, value->rank, value->dims}, got, sizeof got);
    return status_set(t->dtype == value->dtype ? RLX_ERROR_SHAPE : RLX_ERROR_DTYPE,
                      "param '%s': wanted %s, got %s", name, wanted, got);
  }
  *out_index = i;
  return RLX_OK;
}

/* With the mutex held. What kernels made of the old value is found by its address, so it stays. */
static rlx_status replace_param(rlx_exec *e, size_t index, resident *fresh, resident **out_old) {
  resident *old = e->params[index];
  const bool constant = old && e->kernels && !e->changing[index];
  if (constant && !vec_push(&e->residents, old)) return status_memory(sizeof old);
  e->params[index] = fresh;
  if (constant && e->variants.n) e->changing[index] = true;
  *out_old = constant ? NULL : old;
  return RLX_OK;
}

/* Variants that hold the old value as a constant go with it. */
static rlx_status set_param(rlx_exec *e, size_t index, resident *fresh) {
  resident *old = NULL;
  variant **stale = NULL;
  size_t n_stale = 0;
  pthread_mutex_lock(&e->mutex);
  const bool constant = e->params[index] && !e->changing[index];
  const rlx_status status = replace_param(e, index, fresh, &old);
  if (constant && status == RLX_OK) {
    stale = e->variants.data;
    n_stale = e->variants.n;
    e->variants.data = NULL;
    e->variants.n = e->variants.cap = 0;
  }
  pthread_mutex_unlock(&e->mutex);
  for (size_t i = 0; i < n_stale; i++) variant_free(stale[i]);
  mem_free(stale);
  resident_free(status == RLX_OK ? old : fresh);
  return status;
}

rlx_status rlx_exec_set_param(rlx_exec *e, const char *name, rlx_tensor *value) {
  size_t index;
  resident *r;
  if (!e || !name || !value)
    return status_set(RLX_ERROR_ARGUMENT, "rlx_exec_set_param: an argument is NULL");
  rlx_status status = check_param(e->graph, name, value, &index);
  if (status == RLX_OK) status = resident_create(value, &r);
  if (status == RLX_OK) status = set_param(e, index, r);
  return status == RLX_OK ? RLX_OK : exec_fail(e, status);
}
