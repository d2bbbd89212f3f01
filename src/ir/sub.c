/* ir/sub.c: sub-graphs seen from the graph around them: other names of values, sizes across the
 * border, and a sub-graph built in place. */

#include "ir/graph.h"

rlx_val graph_alias(rlx_graph *g, const rlx_val *vals, size_t n) {
  if (g->status != RLX_OK) return RLX_NIL;
  if (n == 1) return vals[0];
  const rlx_val first = {(uint32_t)g->values.n};
  if (g->values.n + n >= UINT32_MAX) {
    graph_fail(g, status_set(RLX_ERROR_LIMIT, "more than 2^32 values"));
    return RLX_NIL;
  }
  for (size_t i = 0; i < n; i++) {
    const ir_value same = *graph_value(g, vals[i]);
    if (vec_push(&g->values, same)) continue;
    graph_fail(g, status_memory(sizeof same));
    return RLX_NIL;
  }
  return first;
}

/* --- sizes */

static rlx_dim size_of_name(void *ctx, const char *name) {
  graph_sizes *s = ctx;
  uint64_t known;
  if (map_get(&s->names, name, &known)) return (rlx_dim)known;
  const rlx_dim fresh = dim_fresh(&s->g->dims);
  return map_put(&s->names, name, (uint64_t)fresh) ? fresh : RLX_DIM_BAD;
}

rlx_dim graph_sizes_of(void *sizes, rlx_dim d) {
  graph_sizes *s = sizes;
  return dim_substitute(&s->g->dims, &s->sub->dims, d, size_of_name, s);
}

/* What stands for a name of `inner` is the size in `outer`; `anew`: whatever was thought of it. */
static rlx_status learn(graph_sizes *s, const ir_type *inner, const ir_type *outer, bool anew) {
  for (uint32_t k = 0; k < inner->rank && k < outer->rank; k++) {
    const char *name = dim_name(&s->sub->dims, inner->dims[k]);
    if (name && (anew || !map_get(&s->names, name, &(uint64_t){0})) &&
        !map_put(&s->names, name, (uint64_t)outer->dims[k]))
      return status_memory(0);
  }
  return RLX_OK;
}

/* The names that a copied node invented for its results and for sizes that it takes from values. */
static rlx_status learn_node(graph_sizes *s, const ir_node *n, const rlx_val *vals) {
  for (uint32_t i = 0; i < n->n_dynamic; i++) {
    const rlx_ints dims = attr_dims(&n->op->attrs[n->dynamic[i].attr], n->attrs);
    for (size_t k = 0; k < dims.n; k++) {
      const char *name = dim_name(&s->sub->dims, dims.data[k]);
      int64_t number;
      if (name && graph_number(s->g, vals[n->dynamic[i].value.id], (int64_t)k, &number) &&
          !map_put(&s->names, name, (uint64_t)number))
        return status_memory(0);
    }
  }
  for (uint32_t k = 0; k < n->n_out; k++) /* last: a -1 stands for another size */
    RLX_TRY(learn(s, &s->sub->values.data[n->out.id + k].type,
                  &graph_value(s->g, vals[n->out.id + k])->type, true));
  return RLX_OK;
}

rlx_status graph_sizes_learn(graph_sizes *s, const ir_type *in, size_t n) {
  for (size_t i = 0; i < n && i < s->sub->inputs.n; i++)
    RLX_TRY(learn(s, &graph_value(s->sub, s->sub->inputs.data[i].value)->type, &in[i], false));
  return RLX_OK;
}

static rlx_dim same_name(void *ctx, const char *name) {
  rlx_graph *to = ctx;
  return dim_named(&to->dims, name);
}

rlx_status graph_foreign_type(rlx_graph *to, const rlx_graph *from, const ir_type *t,
                              ir_type *out) {
  rlx_dim *dims = arena_new(&to->mem, t->rank + 1u, sizeof *dims);
  if (!dims) return status_memory(t->rank * sizeof *dims);
  for (uint32_t k = 0; k < t->rank; k++)
    dims[k] = dim_substitute(&to->dims, &from->dims, t->dims[k], same_name, to);
  *out = (ir_type){t->dtype, t->rank, dims};
  return RLX_OK;
}

/* --- in place */

rlx_val graph_copy_node(rlx_graph *g, const ir_node *n, rlx_val *vals,
                        rlx_dim (*dim)(void *, rlx_dim), void *ctx) {
  arena scratch = {0};
  rlx_val *in = arena_new(&scratch, n->n_in + 1u, sizeof *in), v = RLX_NIL;
  ir_dynamic *dynamic = arena_new(&scratch, n->n_dynamic + 1u, sizeof *dynamic);
  const void *attrs = n->attrs ? attrs_map_dims(n->op, n->attrs, &scratch, dim, ctx) : NULL;
  if (in && dynamic && (!n->attrs || attrs)) {
    for (uint32_t i = 0; i < n->n_in; i++) in[i] = vals[n->in[i].id];
    for (uint32_t i = 0; i < n->n_dynamic; i++)
      dynamic[i] = (ir_dynamic){n->dynamic[i].attr, vals[n->dynamic[i].value.id]};
    if (*n->name || g->label) graph_label(g, n->name);
    v = graph_add(g, n->op, in, n->n_in, attrs, dynamic, n->n_dynamic);
  } else {
    graph_fail(g, status_memory(0));
  }
  for (uint32_t i = 0; v.id && i < n->n_out; i++) vals[n->out.id + i] = rlx_nth(v, i);
  arena_free(&scratch);
  return v;
}

static rlx_status splice(graph_sizes *s, rlx_val *vals, const rlx_val *in, rlx_val *out) {
  const rlx_graph *sub = s->sub;
  ir_type *types = arena_new(&s->g->mem, sub->inputs.n + 1, sizeof *types);
  if (!types || !vals) return status_memory(sub->values.n * sizeof *vals);
  for (size_t i = 0; i < sub->inputs.n; i++) {
    types[i] = graph_value(s->g, in[i])->type;
    vals[sub->inputs.data[i].value.id] = in[i];
  }
  RLX_TRY(graph_sizes_learn(s, types, sub->inputs.n));
  for (size_t i = 0; i < sub->nodes.n; i++) {
    const ir_node *n = &sub->nodes.data[i];
    if (n->op->traits & IR_INPUT) continue;
    if (!graph_copy_node(s->g, n, vals, graph_sizes_of, s).id) return rlx_graph_status(s->g);
    RLX_TRY(learn_node(s, n, vals));
  }
  for (size_t i = 0; i < sub->outputs.n; i++) out[i] = vals[sub->outputs.data[i].value.id];
  return RLX_OK;
}

rlx_status graph_splice(rlx_graph *g, const rlx_graph *sub, const rlx_val *in, rlx_val *out) {
  graph_sizes sizes = {.g = g, .sub = sub};
  rlx_val *vals = mem_new(sub->values.n, sizeof *vals);
  const rlx_status status = splice(&sizes, vals, in, out);
  map_free(&sizes.names);
  mem_free(vals);
  return status;
}
