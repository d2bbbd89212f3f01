/* load/onnx_build.c: an opened ONNX model to a graph: initialisers, inputs, nodes, outputs.
 *
 * Calls of the model's own functions are replaced by their bodies.
 * Laws: nodes are taken in the file's order, which must be topological; the number of nodes built,
 * functions unfolded, is bounded by the limits; sentences name the node. */

#include "load/onnx_build.h"

/* --- leaves */

rlx_status build_initializer(builder *b, body *in, pb_span proto, arena *mem) {
  proto_tensor p = {0};
  const char *name;
  rlx_tensor *t;
  RLX_TRY(pb_decode(&proto_tensor_table, proto, mem, &p));
  RLX_TRY(pb_text(p.name, mem, &name));
  RLX_TRY(tensor_pb_make(&p, b->m->file, &b->m->external, mem, &t));
  graph_label(b->g, name);
  rlx_val v = rlx_constant(b->g, t);
  rlx_tensor_free(t);
  RLX_TRY(rlx_graph_status(b->g));
  return scope_bind(&in->scope, p.name, v);
}

/* An input whose value the caller knows. */
static rlx_status add_value(builder *b, body *in, const proto_value_info *info, const rlx_dim *dims,
                            size_t rank, rlx_dtype dtype, rlx_tensor *value) {
  bool fits = rlx_tensor_dtype(value) == dtype && rlx_tensor_rank(value) == rank;
  for (size_t i = 0; fits && i < rank; i++)
    fits = !rlx_dim_is_known(dims[i]) || dims[i] == rlx_tensor_dims(value)[i];
  if (!fits) return status_set(RLX_ERROR_SHAPE, "the value given is of another type or shape");
  rlx_val v = rlx_constant(b->g, value);
  RLX_TRY(rlx_graph_status(b->g));
  return scope_bind(&in->scope, info->name, v);
}

static rlx_status add_input(builder *b, body *in, const proto_value_info *info, const char *name,
                            arena *mem) {
  proto_type type = {0};
  proto_tensor_type tensor = {0};
  proto_shape shape = {0};
  rlx_dim dims[RLX_MAX_RANK];
  RLX_TRY(pb_decode(&proto_type_table, info->type, mem, &type));
  if (!type.tensor.data) return status_set(RLX_ERROR_UNSUPPORTED, "not a tensor");
  RLX_TRY(pb_decode(&proto_tensor_type_table, type.tensor, mem, &tensor));
  rlx_dtype dtype = tensor_pb_dtype(tensor.dtype);
  if (dtype == RLX_DTYPE_COUNT) return tensor_pb_unsupported(tensor.dtype);
  if (!tensor.shape.data) return status_set(RLX_ERROR_UNSUPPORTED, "the rank is not given");
  RLX_TRY(pb_decode(&proto_shape_table, tensor.shape, mem, &shape));
  if (shape.dims.n > RLX_MAX_RANK) {
    return status_set(RLX_ERROR_LIMIT, "%zu dims, at most %d are possible", shape.dims.n,
                      RLX_MAX_RANK);
  }
  for (size_t i = 0; i < shape.dims.n; i++) {
    RLX_TRY(dim_names_get(&b->dims, b->g, shape.dims.data[i], dims, i));
  }
  const rlx_tensors *values = b->m->limits.values;
  rlx_tensor *value = values ? rlx_tensors_get(values, name) : NULL;
  if (value) return add_value(b, in, info, dims, shape.dims.n, dtype, value);
  rlx_val v = rlx_input(b->g, name, dtype, shape.dims.n, dims);
  RLX_TRY(rlx_graph_status(b->g));
  return scope_bind(&in->scope, info->name, v);
}

/* Until IR version 4 each initialiser was an input too: those are constants, no inputs. */
static rlx_status add_inputs(builder *b, body *in, arena *mem) {
  const pb_spans *inputs = &b->m->graph.inputs;
  graph_label(b->g, NULL);
  for (size_t i = 0; i < inputs->n; i++) {
    proto_value_info info = {0};
    const char *name;
    RLX_TRY(pb_decode(&proto_value_info_table, inputs->data[i], mem, &info));
    RLX_TRY(pb_text(info.name, mem, &name));
    uint64_t id;
    if (map_get(&in->scope.values, name, &id) && graph_constant(b->g, (rlx_val){(uint32_t)id})) {
      continue;
    }
    rlx_status status = add_input(b, in, &info, name, mem);
    if (status != RLX_OK) return status_at(status, "input '%s'", name);
  }
  return RLX_OK;
}

static rlx_status add_outputs(builder *b, body *in, arena *mem) {
  const pb_spans *outputs = &b->m->graph.outputs;
  for (size_t i = 0; i < outputs->n; i++) {
    proto_value_info info = {0};
    const char *name;
    rlx_val v;
    RLX_TRY(pb_decode(&proto_value_info_table, outputs->data[i], mem, &info));
    RLX_TRY(pb_text(info.name, mem, &name));
    rlx_status status = name[0] ? scope_find(&in->scope, info.name, mem, &v)
                                : status_set(RLX_ERROR_FORMAT, "it has no name");
    if (status == RLX_OK) {
      rlx_graph_output(b->g, name, v);
      status = rlx_graph_status(b->g);
    }
    if (status != RLX_OK) return status_at(status, "output '%s'", name);
  }
  return RLX_OK;
}

/* --- nodes */

typedef struct step { /* one node while it is built */
  proto_node p;
  onnx_head head;
  onnx_attrs attrs;
  rlx_val *in, *out;
  size_t n_in;
  arena mem;
} step;

static rlx_status read_step(builder *b, body *in, pb_span proto, step *s) {
  RLX_TRY(pb_decode(&proto_node_table, proto, &s->mem, &s->p));
  RLX_TRY(onnx_read_head(b->m, in->opsets, &s->p, &s->mem, &s->head));
  RLX_TRY(onnx_attrs_read(&s->attrs, b->m, &s->p.attrs, in->attrs, false));
  const size_t n = s->p.inputs.n, n_out = s->p.outputs.n;
  s->in = arena_new(&s->mem, n, sizeof *s->in);
  s->out = arena_new(&s->mem, n_out, sizeof *s->out);
  if (!s->in || !s->out) return status_memory((n + n_out) * sizeof *s->in);
  for (size_t i = 0; i < n; i++) {
    RLX_TRY(build_find(b->g, in, s->p.inputs.data[i], &s->mem, &s->in[i]));
    if (s->in[i].id) s->n_in = i + 1;
  }
  return RLX_OK;
}

static rlx_status build_operator(builder *b, body *in, step *s) {
  body_place at = {b, in, &s->p};
  const onnx_reader reader = {body_splice, body_close, body_split, &at};
  onnx_node n = {.g = b->g,
                 .op = s->head.op,
                 .domain = s->head.domain,
                 .name = s->head.name,
                 .opset = s->head.opset,
                 .attrs = s->attrs.list.data,
                 .n_attrs = s->attrs.list.n,
                 .in = s->in,
                 .n_in = s->n_in,
                 .out = s->out,
                 .n_out = s->p.outputs.n,
                 .reader = &reader};
  graph_label(b->g, s->head.label);
  RLX_TRY(onnx_import(&n));
  return rlx_graph_status(b->g);
}

/* Binds what the call gives, builds the body, takes what it returns. */
static rlx_status unfold(builder *b, body *in, const proto_function *f, step *s) {
  if (s->n_in > f->inputs.n || s->p.outputs.n > f->outputs.n) {
    return status_set(RLX_ERROR_FORMAT, "%zu inputs and %zu outputs, the function has %zu and %zu",
                      s->n_in, s->p.outputs.n, f->inputs.n, f->outputs.n);
  }
  for (size_t i = 0; i < f->inputs.n; i++) {
    RLX_TRY(scope_bind(&in->scope, f->inputs.data[i], i < s->n_in ? s->in[i] : RLX_NIL));
  }
  in->nodes = &f->nodes;
  in->outputs = f->outputs;
  RLX_TRY(build_nodes(b, in, &f->nodes, 0));
  for (size_t i = 0; i < s->p.outputs.n; i++) {
    RLX_TRY(build_find(b->g, in, f->outputs.data[i], &s->mem, &s->out[i]));
  }
  return RLX_OK;
}

static rlx_status build_call(builder *b, const body *caller, step *s) {
  onnx_function *f = s->head.function;
  if (caller->depth >= b->m->limits.max_depth) {
    return status_set(RLX_ERROR_LIMIT, "functions call each other deeper than %u",
                      b->m->limits.max_depth);
  }
  RLX_TRY(onnx_attrs_read(&s->attrs, b->m, &f->p.defaults, NULL, true));
  body inner = {.opsets = &f->opsets, .attrs = &s->attrs, .depth = caller->depth + 1};
  rlx_status status = unfold(b, &inner, &f->p, s);
  scope_free(&inner.scope);
  return status;
}

static rlx_status build_step(builder *b, body *in, pb_span proto, step *s) {
  RLX_TRY(read_step(b, in, proto, s));
  if (++b->built > b->m->limits.max_nodes) {
    return status_set(RLX_ERROR_LIMIT, "more than %llu nodes with all functions unfolded",
                      (unsigned long long)b->m->limits.max_nodes);
  }
  RLX_TRY(s->head.function ? build_call(b, in, s) : build_operator(b, in, s));
  for (size_t i = 0; i < s->p.outputs.n && !in->ended; i++) {
    if (s->p.outputs.data[i].n == 0) continue;
    RLX_TRY(scope_bind_output(&in->scope, s->p.outputs.data[i], s->out[i]));
  }
  return RLX_OK;
}

rlx_status build_nodes(builder *b, body *in, const pb_spans *nodes, size_t first) {
  rlx_status status = RLX_OK;
  for (size_t i = first; i < nodes->n && !in->ended && status == RLX_OK; i++) {
    step s = {0};
    in->rest = i + 1;
    status = build_step(b, in, nodes->data[i], &s);
    if (status != RLX_OK) {
      status = status_at(status, "node %zu '%s' (%s)", i, s.head.label ? s.head.label : "",
                         s.head.op ? s.head.op : "?");
    }
    onnx_attrs_free(&s.attrs);
    arena_free(&s.mem);
  }
  return status;
}

/* --- the whole */

static rlx_status build(builder *b, body *in, arena *mem) {
  const proto_graph *p = &b->m->graph;
  const char *name;
  RLX_TRY(pb_text(p->name, mem, &name));
  RLX_TRY(rlx_graph_create(name, &b->g));
  for (size_t i = 0; i < p->initializers.n; i++) {
    RLX_TRY(build_initializer(b, in, p->initializers.data[i], mem));
  }
  RLX_TRY(add_inputs(b, in, mem));
  RLX_TRY(build_outputs(&p->outputs, mem, &in->outputs));
  in->nodes = &p->nodes;
  RLX_TRY(build_nodes(b, in, &p->nodes, 0));
  return add_outputs(b, in, mem);
}

rlx_status onnx_build(onnx_model *m, rlx_graph **out_graph) {
  builder b = {.m = m};
  body main_body = {.opsets = &m->opsets, .depth = 1};
  rlx_status status = build(&b, &main_body, &m->mem);
  if (status == RLX_OK) {
    graph_label(b.g, NULL);
    *out_graph = b.g;
  } else {
    rlx_graph_free(b.g);
  }
  scope_free(&main_body.scope);
  dim_names_free(&b.dims);
  return status;
}
