/* load/onnx_check.c: the preflight: types of inputs and outputs, then all nodes that cannot be
 * imported, in one message. */

#include "base/str.h"
#include "load/onnx_model.h"
#include "ops/onnx.h"

typedef struct check {
  onnx_model *m;
  uint64_t seen, unmapped;
  lines list;
  arena mem;
  map dtypes; /* value name -> TensorProto.DataType, filled when first asked for */
  bool dtypes_read;
} check;

/* --- element types of the main graph's values, as far as the file says */

static rlx_status note_dtype(check *c, pb_span name, int64_t dtype) {
  const char *key;
  RLX_TRY(pb_text(name, &c->mem, &key));
  return map_put(&c->dtypes, key, (uint64_t)dtype) ? RLX_OK : status_memory(name.n);
}

static rlx_status note_infos(check *c, const pb_spans *infos) {
  for (size_t i = 0; i < infos->n; i++) {
    proto_value_info info = {0};
    proto_type type = {0};
    proto_tensor_type tensor = {0};
    RLX_TRY(pb_decode(&proto_value_info_table, infos->data[i], &c->mem, &info));
    RLX_TRY(pb_decode(&proto_type_table, info.type, &c->mem, &type));
    RLX_TRY(pb_decode(&proto_tensor_type_table, type.tensor, &c->mem, &tensor));
    RLX_TRY(note_dtype(c, info.name, tensor.dtype));
  }
  return RLX_OK;
}

static rlx_status read_dtypes(check *c) {
  if (c->dtypes_read) return RLX_OK;
  c->dtypes_read = true;
  const proto_graph *g = &c->m->graph;
  RLX_TRY(note_infos(c, &g->value_infos));
  RLX_TRY(note_infos(c, &g->outputs));
  RLX_TRY(note_infos(c, &g->inputs));
  for (size_t i = 0; i < g->initializers.n; i++) {
    proto_tensor t = {0};
    RLX_TRY(pb_decode(&proto_tensor_table, g->initializers.data[i], &c->mem, &t));
    RLX_TRY(note_dtype(c, t.name, t.dtype));
  }
  return RLX_OK;
}

/* --- types of the main graph's inputs and outputs */

static rlx_status check_type(const proto_type *t, arena *mem) {
  const struct {
    pb_span given;
    const char *what;
  } others[] = {{t->sequence, "a sequence"},
                {t->map, "a map"},
                {t->optional, "an optional"},
                {t->sparse, "a sparse tensor"}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (others[i].given.data)
      return status_set(RLX_ERROR_UNSUPPORTED, "it is %s", others[i].what);
  }
  proto_tensor_type tensor = {0};
  RLX_TRY(pb_decode(&proto_tensor_type_table, t->tensor, mem, &tensor));
  bool known = !tensor.dtype || tensor_pb_dtype(tensor.dtype) != RLX_DTYPE_COUNT;
  return known ? RLX_OK : tensor_pb_unsupported(tensor.dtype);
}

static rlx_status check_types(check *c, const pb_spans *infos, const char *kind) {
  for (size_t i = 0; i < infos->n; i++) {
    proto_value_info info = {0};
    proto_type type = {0};
    const char *name;
    RLX_TRY(pb_decode(&proto_value_info_table, infos->data[i], &c->mem, &info));
    RLX_TRY(pb_decode(&proto_type_table, info.type, &c->mem, &type));
    RLX_TRY(pb_text(info.name, &c->mem, &name));
    rlx_status status = check_type(&type, &c->mem);
    if (status != RLX_OK) return status_at(status, "%s '%s'", kind, name);
  }
  return RLX_OK;
}

/* --- the list */

/* Element type of a node's first input, where the file says it. */
static rlx_status first_dtype(check *c, const proto_node *p, arena *mem, const char **out_text) {
  const char *input;
  uint64_t dtype;
  RLX_TRY(read_dtypes(c));
  RLX_TRY(pb_text(p->inputs.n ? p->inputs.data[0] : (pb_span){NULL, 0}, mem, &input));
  if (map_get(&c->dtypes, input, &dtype) && dtype) *out_text = tensor_pb_dtype_text((int64_t)dtype);
  return RLX_OK;
}

/* `in_main` tells whether names are those of the main graph. */
static rlx_status list_node(check *c, const onnx_head *head, const proto_node *p, bool in_main,
                            arena *mem) {
  const char *dtype = "dtype unknown";
  c->unmapped++;
  if (in_main) RLX_TRY(first_dtype(c, p, mem, &dtype));
  lines_addf(&c->list, "%.80s '%.120s' (%.80s, opset %lld, %s)", head->op, head->label,
             head->domain[0] ? head->domain : "ai.onnx", (long long)head->opset, dtype);
  return RLX_OK;
}

static rlx_status check_nodes(check *c, const pb_spans *nodes, const onnx_opsets *opsets,
                              size_t depth, bool in_main);

static rlx_status check_subgraph(check *c, pb_span graph, const onnx_opsets *opsets, size_t depth,
                                 arena *mem) {
  proto_graph p = {0};
  RLX_TRY(pb_decode(&proto_graph_table, graph, mem, &p));
  return check_nodes(c, &p.nodes, opsets, depth + 1, false);
}

static rlx_status check_attrs(check *c, const proto_node *p, const onnx_opsets *opsets,
                              size_t depth, arena *mem) {
  for (size_t i = 0; i < p->attrs.n; i++) {
    proto_attr attr = {0};
    RLX_TRY(pb_decode(&proto_attr_table, p->attrs.data[i], mem, &attr));
    if (attr.graph.data) RLX_TRY(check_subgraph(c, attr.graph, opsets, depth, mem));
    for (size_t j = 0; j < attr.graphs.n; j++) {
      RLX_TRY(check_subgraph(c, attr.graphs.data[j], opsets, depth, mem));
    }
  }
  return RLX_OK;
}

static rlx_status check_node(check *c, pb_span in, const onnx_opsets *opsets, size_t depth,
                             bool in_main, arena *mem) {
  proto_node p = {0};
  onnx_head head;
  RLX_TRY(pb_decode(&proto_node_table, in, mem, &p));
  RLX_TRY(onnx_read_head(c->m, opsets, &p, mem, &head));
  if (!head.function && !onnx_known(head.domain, head.op, head.opset)) {
    RLX_TRY(list_node(c, &head, &p, in_main, mem));
    return check_attrs(c, &p, opsets, depth, mem);
  }
  RLX_TRY(check_attrs(c, &p, opsets, depth, mem));
  if (!head.function || head.function->checked) return RLX_OK;
  head.function->checked = true;
  return check_nodes(c, &head.function->p.nodes, &head.function->opsets, depth + 1, false);
}

static rlx_status check_nodes(check *c, const pb_spans *nodes, const onnx_opsets *opsets,
                              size_t depth, bool in_main) {
  if (depth > c->m->limits.max_depth) {
    return status_set(RLX_ERROR_LIMIT, "sub-graphs or functions are nested deeper than %u",
                      c->m->limits.max_depth);
  }
  c->seen += nodes->n;
  if (c->seen > c->m->limits.max_nodes) {
    return status_set(RLX_ERROR_LIMIT, "more than %llu nodes",
                      (unsigned long long)c->m->limits.max_nodes);
  }
  rlx_status status = RLX_OK;
  for (size_t i = 0; i < nodes->n && status == RLX_OK; i++) {
    arena mem = {0};
    status = check_node(c, nodes->data[i], opsets, depth, in_main, &mem);
    arena_free(&mem);
  }
  return status;
}

rlx_status onnx_preflight(onnx_model *m) {
  check c = {.m = m};
  rlx_status status = check_types(&c, &m->graph.inputs, "input");
  if (status == RLX_OK) status = check_types(&c, &m->graph.outputs, "output");
  if (status == RLX_OK) status = check_nodes(&c, &m->graph.nodes, &m->opsets, 1, true);
  if (status == RLX_OK && c.unmapped) {
    status = status_set(RLX_ERROR_UNSUPPORTED, "%llu of %llu nodes have no mapping:%s",
                        (unsigned long long)c.unmapped, (unsigned long long)c.seen,
                        lines_end(&c.list));
  }
  lines_free(&c.list);
  map_free(&c.dtypes);
  arena_free(&c.mem);
  return status;
}
