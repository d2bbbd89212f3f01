/* pass/bind.c: rebuilds a graph: all of it with its sizes as they are, or one stage with numbers.
 *
 * Names get their numbers from the shapes of the inputs and of what cuts made; a name that
 * inference had to invent gets its number when the node that it came from has a concrete type. */
#include <stdio.h>

#include "pass/pass.h"

/* --- the numbers of names */

static rlx_dim number_of_name(void *ctx, const char *name) {
  const size_names *s = ctx;
  uint64_t size;
  return map_get(&s->names, name, &size) ? (rlx_dim)size : dim_fresh(s->dims);
}

static rlx_dim number_of(void *ctx, rlx_dim d) {
  size_names *s = ctx;
  return dim_substitute(s->dims, &s->src->dims, d, number_of_name, s);
}

static rlx_status mismatch(const size_names *s, const char *what, const ir_type *t,
                           const int64_t *sizes) {
  char declared[160], got[160];
  type_text(s->src, t, declared, sizeof declared);
  type_text(s->src, &(ir_type){t->dtype, t->rank, sizes}, got, sizeof got);
  return status_set(RLX_ERROR_SHAPE, "%s is declared %s, got %s", what, declared, got);
}

/* Plain names take their numbers. */
static rlx_status learn(size_names *s, const char *what, const ir_type *t, const int64_t *sizes) {
  for (uint32_t k = 0; k < t->rank; k++) {
    const char *name = dim_name(&s->src->dims, t->dims[k]);
    uint64_t known;
    if (!name) continue;
    if (!map_get(&s->names, name, &known)) {
      if (!map_put(&s->names, name, (uint64_t)sizes[k])) return status_memory(0);
    } else if ((int64_t)known != sizes[k]) {
      return status_at(mismatch(s, what, t, sizes), "'%s' is already %lld", name, (long long)known);
    }
  }
  return RLX_OK;
}

static rlx_status agree(size_names *s, const char *what, const ir_type *t, const int64_t *sizes) {
  arena mem = {0};
  dim_table scratch = {.mem = &mem};
  bool same = true;
  s->dims = &scratch;
  for (uint32_t k = 0; k < t->rank; k++) same = same && number_of(s, t->dims[k]) == sizes[k];
  s->dims = NULL;
  dim_table_free(&scratch);
  arena_free(&mem);
  return same ? RLX_OK : mismatch(s, what, t, sizes);
}

static const char *input_text(const rlx_graph *g, size_t i, char *buf, size_t size) {
  snprintf(buf, size, "input '%.100s'", g->inputs.data[i].name);
  return buf;
}

rlx_status pass_name_inputs(size_names *s, const int64_t *const *sizes) {
  const rlx_graph *g = s->src;
  char what[128];
  for (size_t i = 0; i < g->inputs.n; i++)
    RLX_TRY(learn(s, input_text(g, i, what, sizeof what),
                  &graph_value(g, g->inputs.data[i].value)->type, sizes[i]));
  for (size_t i = 0; i < g->inputs.n; i++)
    RLX_TRY(agree(s, input_text(g, i, what, sizeof what),
                  &graph_value(g, g->inputs.data[i].value)->type, sizes[i]));
  return RLX_OK;
}

rlx_status pass_name_value(size_names *s, rlx_val v, const int64_t *sizes) {
  const ir_type *t = &graph_value(s->src, v)->type;
  char what[256];
  graph_describe(s->src, graph_node_of(s->src, v), what, sizeof what);
  RLX_TRY(learn(s, what, t, sizes));
  return agree(s, what, t, sizes);
}

/* --- rebuilding */

typedef struct binder {
  const rlx_graph *src;
  rlx_graph *out;
  size_names *names; /* NULL: sizes stay symbolic */
  map renamed;       /* then: names that src invented -> what they are in out */
  rlx_val *vals;     /* value of src -> value of out */
  uint32_t *uses;    /* by value of src: how often it is read; NULL: everything is live */
} binder;

static rlx_dim named_dim(void *ctx, const char *name) {
  binder *b = ctx;
  uint64_t renamed;
  return map_get(&b->renamed, name, &renamed) ? (rlx_dim)renamed : dim_named(&b->out->dims, name);
}

static rlx_dim same_dim(void *ctx, rlx_dim d) {
  binder *b = ctx;
  return dim_substitute(&b->out->dims, &b->src->dims, d, named_dim, b);
}

/* `dim` is what stands for a name of src. */
static rlx_status learn_name(binder *b, const char *name, rlx_dim dim) {
  map *known = b->names ? &b->names->names : &b->renamed;
  return !name || map_put_new(known, name, (uint64_t)dim) ? RLX_OK : status_memory(0);
}

/* Names that src invented for these outputs have numbers now, or are other names. */
static rlx_status learn_outputs(binder *b, const ir_node *n) {
  for (uint32_t i = 0; i < n->n_out; i++) {
    const ir_type *declared = &graph_value(b->src, rlx_nth(n->out, i))->type;
    const ir_type *actual = &graph_value(b->out, b->vals[n->out.id + i])->type;
    if (b->names && !type_sizes(actual, (int64_t[RLX_MAX_RANK]){0})) {
      char what[256];
      graph_describe(b->src, n, what, sizeof what);
      return status_set(RLX_ERROR_UNSUPPORTED, "%s: its shape depends on data", what);
    }
    for (uint32_t k = 0; k < declared->rank && k < actual->rank; k++) {
      RLX_TRY(learn_name(b, dim_name(&b->src->dims, declared->dims[k]), actual->dims[k]));
    }
  }
  return RLX_OK;
}

/* The same for sizes that the node takes from values: after the outputs', a -1 there is none. */
static rlx_status learn_bound(binder *b, const ir_node *n) {
  for (uint32_t i = 0; i < n->n_dynamic; i++) {
    const rlx_ints dims = attr_dims(&n->op->attrs[n->dynamic[i].attr], n->attrs);
    for (size_t k = 0; k < dims.n; k++) {
      int64_t number;
      if (graph_number(b->out, b->vals[n->dynamic[i].value.id], (int64_t)k, &number))
        RLX_TRY(learn_name(b, dim_name(&b->src->dims, dims.data[k]), number));
    }
  }
  return RLX_OK;
}

static rlx_status rebuild(binder *b, uint32_t index) {
  const ir_node *n = &b->src->nodes.data[index];
  const rlx_val v = b->names ? graph_copy_node(b->out, n, b->vals, number_of, b->names)
                             : graph_copy_node(b->out, n, b->vals, same_dim, b);
  if (!v.id) return rlx_graph_status(b->out);
  for (uint32_t i = 0; b->out->rules && i < n->n_out; i++)
    RLX_TRY(rules_note_uses(b->out->rules, b->vals[n->out.id + i], b->uses[n->out.id + i]));
  RLX_TRY(learn_outputs(b, n));
  return learn_bound(b, n);
}

static rlx_status bind_input(binder *b, const stage_input *in, rlx_tensor *by_value) {
  const ir_node *n = graph_node_of(b->src, in->value);
  const ir_type *t = &graph_value(b->src, in->value)->type;
  rlx_dim dims[RLX_MAX_RANK];
  char name[24];
  for (uint32_t k = 0; k < t->rank; k++) dims[k] = number_of(b->names, t->dims[k]);
  snprintf(name, sizeof name, "%u", in->value.id);
  graph_label(b->out, n->name);
  b->vals[in->value.id] =
      by_value ? rlx_constant(b->out, by_value) : rlx_input(b->out, name, t->dtype, t->rank, dims);
  return rlx_graph_status(b->out);
}

static rlx_status bind_stage(binder *b, const stage *s, rlx_tensor *const *by_value) {
  char name[24];
  b->names->dims = &b->out->dims;
  for (size_t i = 0; i < s->in.n; i++) RLX_TRY(bind_input(b, &s->in.data[i], by_value[i]));
  for (size_t i = 0; i < s->leaves.n; i++) RLX_TRY(rebuild(b, s->leaves.data[i]));
  for (size_t i = 0; i < s->nodes.n; i++) RLX_TRY(rebuild(b, s->nodes.data[i]));
  for (size_t i = 0; i < s->out.n; i++) {
    snprintf(name, sizeof name, "%u", s->out.data[i].value.id);
    rlx_graph_output(b->out, name, b->vals[s->out.data[i].value.id]);
  }
  return rlx_graph_status(b->out);
}

/* Is it read by what an output needs? Inputs and params stay in any case. */
static bool is_live(const ir_node *n, const uint32_t *uses) {
  bool live = n->op->traits & (IR_INPUT | IR_PARAM);
  for (uint32_t i = 0; i < n->n_out && !live; i++) live = uses[n->out.id + i] != 0;
  return live;
}

static rlx_status note_maker(const rlx_graph *g, rlx_ints dims, rlx_val maker, map *out) {
  for (size_t i = 0; i < dims.n; i++) {
    const char *name = dim_name(&g->dims, dims.data[i]);
    if (name && !map_put_new(out, name, maker.id)) return status_memory(0);
  }
  return RLX_OK;
}

/* Which node invented a name, by its first output: a size in another node's attribute reads it. */
static rlx_status find_makers(const rlx_graph *g, map *out) {
  for (size_t i = 0; i < g->nodes.n; i++) {
    const ir_node *n = &g->nodes.data[i];
    for (uint32_t k = 0; k < n->n_out; k++) {
      const ir_type *t = &g->values.data[n->out.id + k].type;
      RLX_TRY(note_maker(g, (rlx_ints){t->dims, t->rank}, n->out, out));
    }
    for (uint32_t k = 0; k < n->n_dynamic; k++)
      RLX_TRY(note_maker(g, attr_dims(&n->op->attrs[n->dynamic[k].attr], n->attrs), n->out, out));
  }
  return RLX_OK;
}

typedef struct use_count {
  uint32_t *uses, own;
  map makers;
} use_count;

static void use_name(void *ctx, const char *name) {
  use_count *c = ctx;
  uint64_t maker;
  if (map_get(&c->makers, name, &maker) && maker != c->own) c->uses[maker]++;
}

static rlx_status count_uses(const rlx_graph *g, uint32_t *uses) {
  use_count c = {.uses = uses};
  const rlx_status status = find_makers(g, &c.makers);
  for (size_t i = 0; i < g->outputs.n; i++) uses[g->outputs.data[i].value.id]++;
  for (size_t i = g->nodes.n; i-- > 0 && status == RLX_OK;) {
    const ir_node *n = &g->nodes.data[i];
    if (!is_live(n, uses)) continue;
    c.own = n->out.id;
    for (uint32_t k = 0; k < n->n_in; k++) uses[n->in[k].id]++;
    for (uint32_t k = 0; k < n->n_dynamic; k++) uses[n->dynamic[k].value.id]++;
    for (size_t k = 0; k < n->op->n_attrs; k++) {
      const rlx_ints dims = attr_dims(&n->op->attrs[k], n->attrs);
      for (size_t d = 0; d < dims.n; d++) dim_each_name(&g->dims, dims.data[d], use_name, &c);
    }
  }
  map_free(&c.makers);
  return status;
}

static rlx_status rebuild_all(binder *b) {
  const rlx_graph *g = b->src;
  b->uses = mem_new(g->values.n, sizeof *b->uses);
  if (!b->uses) return status_memory(g->values.n * sizeof *b->uses);
  RLX_TRY(count_uses(g, b->uses));
  for (uint32_t i = 0; i < g->nodes.n; i++)
    if (is_live(&g->nodes.data[i], b->uses)) RLX_TRY(rebuild(b, i));
  for (size_t i = 0; i < g->outputs.n; i++)
    rlx_graph_output(b->out, g->outputs.data[i].name, b->vals[g->outputs.data[i].value.id]);
  return rlx_graph_status(b->out);
}

static rlx_status binder_start(binder *b, ir_normal normal) {
  RLX_TRY(rlx_graph_create(b->src->name, &b->out));
  b->out->normal = normal;
  b->out->dims.fresh = b->src->dims.fresh; /* new names are not those of src */
  b->vals = mem_new(b->src->values.n, sizeof *b->vals);
  return b->vals ? RLX_OK : status_memory(b->src->values.n * sizeof *b->vals);
}

static rlx_status binder_end(binder *b, rlx_status status, rlx_graph **out_graph) {
  mem_free(b->vals);
  mem_free(b->uses);
  map_free(&b->renamed);
  b->out->normal = NULL;
  b->out->rules = NULL;
  *out_graph = NULL;
  if (status != RLX_OK) rlx_graph_free(b->out);
  else *out_graph = b->out;
  return status;
}

rlx_status pass_rebuild(const rlx_graph *src, ir_normal normal, pass_rules *rules,
                        rlx_graph **out_graph) {
  binder b = {.src = src};
  rlx_status status = binder_start(&b, normal);
  if (status == RLX_OK) b.out->rules = rules;
  if (status == RLX_OK) status = rebuild_all(&b);
  return binder_end(&b, status, out_graph);
}

rlx_status pass_bind(size_names *names, const stage *s, rlx_tensor *const *by_value,
                     ir_normal normal, rlx_graph **out_graph) {
  binder b = {.src = names->src, .names = names};
  rlx_status status = binder_start(&b, normal);
  if (status == RLX_OK) status = bind_stage(&b, s, by_value);
  names->dims = NULL;
  return binder_end(&b, status, out_graph);
}
