/* pass/bind.c: rebuilds a graph: dead nodes left out, symbolic sizes replaced by numbers.
 *
 * Names get their numbers from the input shapes; a name that inference had to invent gets its number
 * when the node that it came from has a concrete type. */
#include <string.h>

#include "pass/pass.h"

typedef struct binder {
  const rlx_graph *src;
  rlx_graph *out;
  bool concrete;
  map sizes;     /* name in src -> its number */
  rlx_val *vals; /* value of src -> value of out */
  bool *live;    /* by node of src */
  arena scratch; /* of one node */
} binder;

static rlx_dim dim_of_name(void *ctx, const char *name) {
  binder *b = ctx;
  uint64_t size;
  if (!b->concrete) return dim_named(&b->out->dims, name);
  return map_get(&b->sizes, name, &size) ? (rlx_dim)size : dim_fresh(&b->out->dims);
}

static rlx_dim bind_dim(void *ctx, rlx_dim d) {
  binder *b = ctx;
  return dim_substitute(&b->out->dims, &b->src->dims, d, dim_of_name, b);
}

/* --- input shapes */

static rlx_status input_mismatch(const binder *b, size_t i, const int64_t *sizes) {
  char declared[160];
  str got = {0};
  const ir_type *t = &graph_value(b->src, b->src->inputs.data[i].value)->type;
  type_text(b->src, t, declared, sizeof declared);
  for (uint32_t k = 0; k < t->rank; k++) str_addf(&got, "%s%lld", k ? "," : "", (long long)sizes[k]);
  const rlx_status status =
      status_set(RLX_ERROR_SHAPE, "input '%s' is declared %s, got the shape [%s]",
                 b->src->inputs.data[i].name, declared, got.data ? got.data : "");
  str_free(&got);
  return status;
}

/* First pass: plain names take their numbers. Second: everything must agree. */
static rlx_status bind_input(binder *b, size_t i, const int64_t *sizes, bool check) {
  const ir_type *t = &graph_value(b->src, b->src->inputs.data[i].value)->type;
  for (uint32_t k = 0; k < t->rank; k++) {
    const char *name = dim_name(&b->src->dims, t->dims[k]);
    uint64_t known;
    if (check) {
      if (bind_dim(b, t->dims[k]) != sizes[k]) return input_mismatch(b, i, sizes);
    } else if (name) {
      if (map_get(&b->sizes, name, &known) && (int64_t)known != sizes[k])
        return status_at(input_mismatch(b, i, sizes), "'%s' is already %lld", name, (long long)known);
      if (!map_put(&b->sizes, name, (uint64_t)sizes[k])) return status_memory(0);
    }
  }
  return RLX_OK;
}

static rlx_status bind_inputs(binder *b, const int64_t *const *sizes) {
  for (int check = 0; check < 2; check++)
    for (size_t i = 0; i < b->src->inputs.n; i++) RLX_TRY(bind_input(b, i, sizes[i], check));
  return RLX_OK;
}

/* --- nodes */

static void mark_live(binder *b) {
  const rlx_graph *g = b->src;
  for (size_t i = 0; i < g->outputs.n; i++)
    b->live[graph_value(g, g->outputs.data[i].value)->node] = true;
  for (size_t i = g->nodes.n; i-- > 0;) {
    const ir_node *n = &g->nodes.data[i];
    if (n->op->traits & (IR_INPUT | IR_PARAM)) b->live[i] = true;
    if (!b->live[i]) continue;
    for (uint32_t k = 0; k < n->n_in; k++) b->live[graph_value(g, n->in[k])->node] |= n->in[k].id != 0;
    for (uint32_t k = 0; k < n->n_dynamic; k++)
      b->live[graph_value(g, n->dynamic[k].value)->node] = true;
  }
}

/* Names that src invented for this output have numbers now. */
static rlx_status learn(binder *b, const ir_type *declared, const ir_type *actual) {
  for (uint32_t k = 0; k < declared->rank && k < actual->rank; k++) {
    const char *name = dim_name(&b->src->dims, declared->dims[k]);
    if (name && dim_known(actual->dims[k]) && !map_get(&b->sizes, name, &(uint64_t){0}) &&
        !map_put(&b->sizes, name, (uint64_t)actual->dims[k]))
      return status_memory(0);
  }
  return RLX_OK;
}

static rlx_status rebuilt(binder *b, const ir_node *n, rlx_val v) {
  for (uint32_t i = 0; i < n->n_out; i++) {
    const ir_type *actual = &graph_value(b->out, rlx_nth(v, i))->type;
    b->vals[n->out.id + i] = rlx_nth(v, i);
    if (!b->concrete) continue;
    RLX_TRY(learn(b, &graph_value(b->src, rlx_nth(n->out, i))->type, actual));
    int64_t sizes[RLX_MAX_RANK];
    if (!type_sizes(actual, sizes)) {
      char what[256];
      graph_describe(b->src, n, what, sizeof what);
      return status_set(RLX_ERROR_UNSUPPORTED, "%s: its shape depends on data", what);
    }
  }
  return RLX_OK;
}

static rlx_status rebuild(binder *b, const ir_node *n) {
  rlx_val *in = arena_new(&b->scratch, n->n_in + 1u, sizeof *in);
  ir_dynamic *dynamic = arena_new(&b->scratch, n->n_dynamic + 1u, sizeof *dynamic);
  const void *attrs = n->attrs;
  if (attrs) attrs = attrs_map_dims(n->op, attrs, &b->scratch, bind_dim, b);
  if (!in || !dynamic || (n->attrs && !attrs)) return status_memory(0);
  for (uint32_t i = 0; i < n->n_in; i++) in[i] = b->vals[n->in[i].id];
  for (uint32_t i = 0; i < n->n_dynamic; i++)
    dynamic[i] = (ir_dynamic){n->dynamic[i].attr, b->vals[n->dynamic[i].value.id]};
  if (*n->name || b->out->label) graph_label(b->out, n->name);
  const rlx_val v = graph_add(b->out, n->op, in, n->n_in, attrs, dynamic, n->n_dynamic);
  return v.id ? rebuilt(b, n, v) : rlx_graph_status(b->out);
}

static rlx_status rebuild_all(binder *b) {
  const rlx_graph *g = b->src;
  mark_live(b);
  for (size_t i = 0; i < g->nodes.n; i++) {
    if (!b->live[i]) continue;
    RLX_TRY(rebuild(b, &g->nodes.data[i]));
    arena_free(&b->scratch);
  }
  for (size_t i = 0; i < g->outputs.n; i++)
    rlx_graph_output(b->out, g->outputs.data[i].name, b->vals[g->outputs.data[i].value.id]);
  return rlx_graph_status(b->out);
}

rlx_status pass_bind(const rlx_graph *src, const int64_t *const *sizes, ir_normal normal,
                     rlx_graph **out_graph) {
  binder b = {.src = src, .concrete = sizes != NULL};
  *out_graph = NULL;
  rlx_status status = rlx_graph_create(src->name, &b.out);
  if (status != RLX_OK) return status;
  b.out->normal = normal;
  b.vals = mem_new(src->values.n, sizeof *b.vals);
  b.live = mem_new(src->nodes.n + 1, sizeof *b.live);
  if (!b.vals || !b.live) status = status_memory(src->values.n * sizeof *b.vals);
  if (status == RLX_OK && sizes) status = bind_inputs(&b, sizes);
  if (status == RLX_OK) status = rebuild_all(&b);
  map_free(&b.sizes);
  arena_free(&b.scratch);
  mem_free(b.vals);
  mem_free(b.live);
  if (status != RLX_OK) rlx_graph_free(b.out);
  else *out_graph = b.out;
  return status;
}
