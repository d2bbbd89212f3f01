/* load/onnx_body.c: the sub-graphs of a model: built in place, as closed graphs, or together with
 * all that follows them.
 *
 * A sub-graph sees the names of the graphs around it. In a closed graph a constant of theirs is a
 * constant again, another value an input: the capture. */
#include <string.h>

#include "load/onnx_build.h"

/* --- names */

/* A size of the outer graph in the closed graph g. Names of the file mean the same there. An
 * invented name or an expression becomes a size of its own, equal ones the same: inventions of two
 * graphs have nothing to do with each other, and no input may tell the names in an expression. */
static rlx_status inner_size(rlx_graph *g, body *in, rlx_dim outer, rlx_dim *out) {
  const char *name = dim_name(&in->outer_graph->dims, outer);
  uint64_t own;
  *out = outer;
  if (dim_known(outer)) return RLX_OK;
  if (name && name[0] != '?') *out = dim_named(&g->dims, name);
  else if (map_get_u64(&in->sizes, (uint64_t)outer, &own)) *out = (rlx_dim)own;
  else {
    *out = dim_fresh(&g->dims);
    if (!map_put_u64(&in->sizes, (uint64_t)outer, (uint64_t)*out)) return status_memory(0);
  }
  return RLX_OK;
}

static rlx_status inner_type(rlx_graph *g, body *in, const ir_type *type, ir_type *out) {
  rlx_dim *dims = arena_new(&g->mem, type->rank + 1u, sizeof *dims);
  if (!dims) return status_memory(type->rank * sizeof *dims);
  for (uint32_t k = 0; k < type->rank; k++) RLX_TRY(inner_size(g, in, type->dims[k], &dims[k]));
  *out = (ir_type){type->dtype, type->rank, dims};
  return RLX_OK;
}

/* `v` of the outer graph in the closed graph g: a constant again, else an input. */
static rlx_status capture(rlx_graph *g, body *in, pb_span name, rlx_val v, rlx_val *out) {
  const rlx_graph *outer = in->outer_graph;
  rlx_tensor *constant = graph_constant(outer, v);
  const char *text;
  RLX_TRY(pb_text(name, &in->scope.mem, &text));
  const char *label = g->label; /* of the node that is being built there */
  graph_label(g, NULL);
  if (constant) {
    *out = rlx_constant(g, constant);
  } else {
    ir_type t;
    const onnx_capture c = {v, arena_strdup(&in->outer_graph->mem, text)}; /* g may fail */
    RLX_TRY(inner_type(g, in, &graph_value(outer, v)->type, &t));
    *out = rlx_input(g, text, t.dtype, t.rank, t.dims);
    if (!c.name || !vec_push(in->captures, c)) return status_memory(sizeof c);
  }
  g->label = label;
  RLX_TRY(rlx_graph_status(g));
  return scope_bind(&in->scope, name, *out);
}

rlx_status build_find(rlx_graph *g, body *in, pb_span name, arena *mem, rlx_val *out) {
  if (!in->outer || scope_has(&in->scope, name, mem)) return scope_find(&in->scope, name, mem, out);
  RLX_TRY(build_find(in->outer_graph, in->outer, name, mem, out));
  return out->id && g != in->outer_graph ? capture(g, in, name, *out, out) : RLX_OK;
}

rlx_status build_outputs(const pb_spans *infos, arena *mem, pb_spans *out_names) {
  *out_names = (pb_spans){arena_new(mem, infos->n + 1, sizeof *out_names->data), infos->n};
  if (!out_names->data) return status_memory(infos->n * sizeof *out_names->data);
  for (size_t i = 0; i < infos->n; i++) {
    proto_value_info info = {0};
    RLX_TRY(pb_decode(&proto_value_info_table, infos->data[i], mem, &info));
    out_names->data[i] = info.name;
  }
  return RLX_OK;
}

/* --- bodies */

/* What nodes inside the node at `at` see; `leave` frees it. */
static rlx_status enter(const body_place *at, body *out) {
  const builder *b = at->b;
  *out = (body){.opsets = at->in->opsets,
                .attrs = at->in->attrs,
                .depth = at->in->depth + 1,
                .outer = at->in,
                .outer_graph = b->g};
  if (out->depth <= b->m->limits.max_depth) return RLX_OK;
  return status_set(RLX_ERROR_LIMIT, "sub-graphs are nested deeper than %u",
                    b->m->limits.max_depth);
}

static void leave(body *in) {
  scope_free(&in->scope);
  map_free(&in->sizes);
}

static rlx_status enter_body(const body_place *at, const onnx_body *of, size_t n_in, body *out) {
  RLX_TRY(enter(at, out));
  out->nodes = &of->graph.nodes;
  RLX_TRY(build_outputs(&of->graph.outputs, &out->scope.mem, &out->outputs));
  if (of->graph.inputs.n == n_in) return RLX_OK;
  return status_set(RLX_ERROR_FORMAT, "a sub-graph has %zu inputs, its node gives it %zu",
                    of->graph.inputs.n, n_in);
}

/* The values of the outputs; `rest` from node `first` on is built before. */
static rlx_status build_rest(builder *b, body *in, size_t first, rlx_val *out) {
  RLX_TRY(build_nodes(b, in, in->nodes, first));
  for (size_t i = 0; i < in->outputs.n; i++) {
    RLX_TRY(build_find(b->g, in, in->outputs.data[i], &in->scope.mem, &out[i]));
    if (!out[i].id)
      return status_set(RLX_ERROR_FORMAT, "output %zu of a sub-graph has no value", i);
  }
  return RLX_OK;
}

static rlx_status build_body(builder *b, body *in, const onnx_body *of, rlx_val *out,
                             size_t n_out) {
  if (in->outputs.n != n_out)
    return status_set(RLX_ERROR_FORMAT, "a sub-graph has %zu outputs, its node wants %zu",
                      in->outputs.n, n_out);
  for (size_t i = 0; i < of->graph.initializers.n; i++)
    RLX_TRY(build_initializer(b, in, of->graph.initializers.data[i], &in->scope.mem));
  return build_rest(b, in, 0, out);
}

static rlx_status splice(const body_place *at, const onnx_body *of, const rlx_val *in, size_t n_in,
                         rlx_val *out, size_t n_out, body *inner) {
  pb_spans names;
  RLX_TRY(enter_body(at, of, n_in, inner));
  RLX_TRY(build_outputs(&of->graph.inputs, &inner->scope.mem, &names));
  for (size_t i = 0; i < n_in; i++) RLX_TRY(scope_bind(&inner->scope, names.data[i], in[i]));
  return build_body(at->b, inner, of, out, n_out);
}

rlx_status body_splice(onnx_node *n, const onnx_body *of, const rlx_val *in, size_t n_in,
                       rlx_val *out, size_t n_out) {
  body inner = {0};
  const rlx_status status = splice(n->reader->ctx, of, in, n_in, out, n_out, &inner);
  leave(&inner);
  return status;
}

/* --- closed graphs */

static rlx_status add_input(rlx_graph *g, body *inner, pb_span name, const ir_type *type) {
  const char *text;
  ir_type t;
  RLX_TRY(pb_text(name, &inner->scope.mem, &text));
  RLX_TRY(inner_type(g, inner, type, &t));
  const rlx_val v = rlx_input(g, text, t.dtype, t.rank, t.dims);
  RLX_TRY(rlx_graph_status(g));
  return scope_bind(&inner->scope, name, v);
}

/* Those that an earlier branch captured: this graph has them too. */
static rlx_status add_captures(rlx_graph *g, body *inner) {
  for (size_t i = 0; i < inner->captures->n; i++) {
    const onnx_capture *c = &inner->captures->data[i];
    const pb_span name = {(const uint8_t *)c->name, strlen(c->name)};
    RLX_TRY(add_input(g, inner, name, &graph_value(inner->outer_graph, c->value)->type));
  }
  return RLX_OK;
}

static rlx_status close_with(builder *b, body *inner, const onnx_body *of, const ir_type *in,
                             size_t n_in) {
  pb_spans names;
  rlx_val *out = arena_new(&b->g->mem, inner->outputs.n + 1, sizeof *out);
  if (!out) return status_memory(inner->outputs.n * sizeof *out);
  RLX_TRY(build_outputs(&of->graph.inputs, &inner->scope.mem, &names));
  for (size_t i = 0; i < n_in; i++) RLX_TRY(add_input(b->g, inner, names.data[i], &in[i]));
  RLX_TRY(add_captures(b->g, inner));
  RLX_TRY(build_body(b, inner, of, out, inner->outputs.n));
  for (size_t i = 0; i < inner->outputs.n; i++) rlx_graph_output(b->g, NULL, out[i]);
  return rlx_graph_status(b->g);
}

/* Ends the graph in the builder's hands, which was begun while `outer` was. */
static rlx_status end_graph(builder *b, rlx_graph *outer, rlx_status status,
                            rlx_graph **out_graph) {
  graph_label(b->g, NULL);
  *out_graph = status == RLX_OK ? b->g : NULL;
  if (status != RLX_OK) rlx_graph_free(b->g);
  b->g = outer;
  return status;
}

rlx_status body_close(onnx_node *n, const onnx_body *of, const ir_type *in, size_t n_in,
                      onnx_captures *captures, rlx_graph **out_graph) {
  const body_place *at = n->reader->ctx;
  builder *b = at->b;
  rlx_graph *outer = b->g;
  body inner = {0};
  const char *name = NULL;
  *out_graph = NULL;
  rlx_status status = enter_body(at, of, n_in, &inner);
  inner.captures = captures;
  if (status == RLX_OK) status = pb_text(of->graph.name, &inner.scope.mem, &name);
  if (status == RLX_OK) status = rlx_graph_create(name, &b->g);
  if (status == RLX_OK)
    status = end_graph(b, outer, close_with(b, &inner, of, in, n_in), out_graph);
  leave(&inner);
  return status;
}

/* --- the rest in both branches
 *
 * Where the rank of a result depends on the condition (exporters write a squeeze so: if the size is
 * 1 then squeeze, else nothing), what follows differs too. So each branch takes the rest of the
 * graph with it, and only the outputs of the whole must agree. A branch whose rest cannot be built
 * fails when it is run. */

/* The graph of one branch: `rest` is what its nodes and those behind the If see. */
static rlx_status close_rest(builder *b, body *rest, const body_place *at, const onnx_body *of) {
  const body_place inside = {b, rest, at->node};
  body inner = {0};
  const size_t n = at->in->outputs.n;
  rlx_val *made = arena_new(&b->g->mem, at->node->outputs.n + 1, sizeof *made);
  rlx_val *out = arena_new(&b->g->mem, n + 1, sizeof *out);
  if (!made || !out) return status_memory(n * sizeof *out);
  RLX_TRY(add_captures(b->g, rest));
  const rlx_status status = splice(&inside, of, NULL, 0, made, at->node->outputs.n, &inner);
  leave(&inner);
  RLX_TRY(status);
  for (size_t i = 0; i < at->node->outputs.n; i++)
    if (at->node->outputs.data[i].n)
      RLX_TRY(scope_bind(&rest->scope, at->node->outputs.data[i], made[i]));
  RLX_TRY(build_rest(b, rest, at->in->rest, out));
  for (size_t i = 0; i < n; i++) rlx_graph_output(b->g, NULL, out[i]);
  return rlx_graph_status(b->g);
}

static rlx_status branch_graph(const body_place *at, const onnx_body *of, onnx_captures *captures,
                               rlx_graph **out_graph) {
  builder *b = at->b;
  rlx_graph *outer = b->g;
  body rest = {0};
  *out_graph = NULL;
  rlx_status status = enter(at, &rest);
  rest.nodes = at->in->nodes;
  rest.outputs = at->in->outputs;
  rest.captures = captures;
  if (status == RLX_OK) status = rlx_graph_create(NULL, &b->g);
  if (status == RLX_OK) status = end_graph(b, outer, close_rest(b, &rest, at, of), out_graph);
  leave(&rest);
  return status;
}

/* A graph with the outputs of `like` that fails with the thread's sentence. */
static rlx_status refusing_graph(const rlx_graph *like, rlx_graph **out_graph) {
  rlx_graph *g;
  RLX_TRY(rlx_graph_create(NULL, &g));
  for (size_t i = 0; i < like->outputs.n; i++) {
    const ir_type *t = &graph_value(like, like->outputs.data[i].value)->type;
    rlx_refuse_attrs a = rlx_refuse_init();
    a.why = rlx_last_error();
    a.dtype = t->dtype;
    a.rank = t->rank;
    rlx_graph_output(g, NULL, rlx_refuse(g, &a));
  }
  const rlx_status status = rlx_graph_status(g);
  if (status != RLX_OK) rlx_graph_free(g);
  else *out_graph = g;
  return status;
}

/* Is it the model that cannot be built so, and not the machine that cannot build it? */
static bool is_refusal(rlx_status status) {
  return status == RLX_ERROR_UNSUPPORTED || status == RLX_ERROR_SHAPE ||
         status == RLX_ERROR_DTYPE || status == RLX_ERROR_ARGUMENT;
}

static rlx_status both_branches(const body_place *at, const onnx_body *then, const onnx_body *other,
                                onnx_captures *captures, rlx_if_attrs *a) {
  rlx_status status = branch_graph(at, then, captures, &a->then_graph);
  if (status == RLX_OK) {
    status = branch_graph(at, other, captures, &a->else_graph);
    return is_refusal(status) ? refusing_graph(a->then_graph, &a->else_graph) : status;
  }
  if (!is_refusal(status)) return status;
  char *why = mem_strdup(rlx_last_error());
  status = branch_graph(at, other, captures, &a->else_graph);
  if (status == RLX_OK) {
    status_set(RLX_ERROR_UNSUPPORTED, "%s", why ? why : "");
    status = refusing_graph(a->else_graph, &a->then_graph);
  }
  mem_free(why);
  return status;
}

static rlx_status add_split(const body_place *at, rlx_val condition, const onnx_captures *captures,
                            const rlx_if_attrs *a) {
  rlx_graph *g = at->b->g;
  rlx_val *in = arena_new(&g->mem, captures->n + 1, sizeof *in);
  if (!in) return status_memory(captures->n * sizeof *in);
  in[0] = condition;
  for (size_t i = 0; i < captures->n; i++) in[1 + i] = captures->data[i].value;
  const rlx_val v = rlx_if(g, in, 1 + captures->n, a);
  RLX_TRY(rlx_graph_status(g));
  at->in->ended = true;
  for (size_t i = 0; i < at->in->outputs.n; i++) {
    const pb_span name = at->in->outputs.data[i];
    if (!scope_has(&at->in->scope, name, &g->mem))
      RLX_TRY(scope_bind(&at->in->scope, name, rlx_nth(v, (uint32_t)i)));
  }
  return RLX_OK;
}

rlx_status body_split(onnx_node *n, const onnx_body *then, const onnx_body *other) {
  const body_place *at = n->reader->ctx;
  onnx_captures captures = {0};
  rlx_if_attrs a = rlx_if_init();
  rlx_status status = both_branches(at, then, other, &captures, &a);
  if (status == RLX_OK) status = add_split(at, n->in[0], &captures, &a);
  n->n_out = 0; /* its outputs stand in the branches */
  vec_free(&captures);
  rlx_graph_free(a.then_graph);
  rlx_graph_free(a.else_graph);
  return status;
}
