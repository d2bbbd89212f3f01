/* ir/leaf.c: the builders of leaves and the reading side of a graph. */
#include <rlx/ops.h>

#include "ir/graph.h"

/* --- leaves */

static rlx_val add_leaf(rlx_graph *g, const char *kind, const char *name, rlx_dtype dtype,
                        size_t rank, const rlx_dim *dims) {
  const rlx_input_attrs attrs = {(uint32_t)sizeof attrs, name, dtype, {dims, rank}};
  return rlx_graph_add(g, kind, NULL, 0, &attrs);
}

rlx_val rlx_input(rlx_graph *g, const char *name, rlx_dtype dtype, size_t rank,
                  const rlx_dim *dims) {
  return add_leaf(g, "input", name, dtype, rank, dims);
}

rlx_val rlx_param(rlx_graph *g, const char *name, rlx_dtype dtype, size_t rank,
                  const rlx_dim *dims) {
  return add_leaf(g, "param", name, dtype, rank, dims); /* its attributes are those of an input */
}

rlx_val rlx_constant(rlx_graph *g, rlx_tensor *value) {
  const rlx_constant_attrs attrs = {(uint32_t)sizeof attrs, value};
  return rlx_graph_add(g, "constant", NULL, 0, &attrs);
}

/* Does the dtype hold the value? Floats round; integers and bools must be exact. */
static bool holds(const rlx_tensor *t, double value) {
  const rlx_dtype_kind kind = dtype_kind(t->dtype);
  if (kind == RLX_KIND_FLOAT || kind == RLX_KIND_COMPLEX) return true;
  if (kind == RLX_KIND_UINT && t->dtype == RLX_U64)
    return value >= 0 && value < 0x1p64 && (double)(uint64_t)tensor_int(t, 0) == value;
  return value >= -0x1p63 && value < 0x1p63 && (double)tensor_int(t, 0) == value;
}

rlx_val rlx_scalar(rlx_graph *g, rlx_dtype dtype, double value) {
  rlx_tensor *t = NULL;
  if (!g || g->status != RLX_OK) return RLX_NIL;
  rlx_status status = rlx_tensor_create(dtype, 0, NULL, &t);
  if (status == RLX_OK && dtype_kind(dtype) == RLX_KIND_BLOCK)
    status =
        status_set(RLX_ERROR_DTYPE, "rlx_scalar: %s holds no single number", dtype_name(dtype));
  if (status == RLX_OK) {
    tensor_set_real(t, 0, value);
    if (!holds(t, value))
      status =
          status_set(RLX_ERROR_ARGUMENT, "rlx_scalar: %s cannot hold %g", dtype_name(dtype), value);
  }
  if (status != RLX_OK) graph_fail(g, status);
  const rlx_val v = rlx_constant(g, t);
  rlx_tensor_free(t);
  return v;
}

/* --- reading */

const char *rlx_graph_name(const rlx_graph *g) { return g ? g->name : NULL; }

#define PORTS(kind, list)                                                                  \
  size_t rlx_graph_##kind##_count(const rlx_graph *g) { return g ? g->list.n : 0; }        \
  const char *rlx_graph_##kind##_name(const rlx_graph *g, size_t i) {                      \
    return g && i < g->list.n ? g->list.data[i].name : NULL;                               \
  }                                                                                        \
  rlx_val rlx_graph_##kind##_value(const rlx_graph *g, size_t i) {                         \
    return g && i < g->list.n ? g->list.data[i].value : RLX_NIL;                           \
  }
PORTS(input, inputs)
PORTS(param, params)
PORTS(output, outputs)
#undef PORTS

static const ir_type *type_of(const rlx_graph *g, rlx_val v) {
  return g && v.id && v.id < g->values.n ? &g->values.data[v.id].type : NULL;
}

rlx_dtype rlx_val_dtype(const rlx_graph *g, rlx_val v) {
  const ir_type *t = type_of(g, v);
  return t ? t->dtype : RLX_DTYPE_COUNT;
}

size_t rlx_val_rank(const rlx_graph *g, rlx_val v) {
  const ir_type *t = type_of(g, v);
  return t ? t->rank : 0;
}

rlx_dim rlx_val_dim(const rlx_graph *g, rlx_val v, size_t axis) {
  const ir_type *t = type_of(g, v);
  return t && axis < t->rank ? t->dims[axis] : 0;
}

size_t rlx_val_type_text(const rlx_graph *g, rlx_val v, char *buf, size_t size) {
  const ir_type *t = type_of(g, v);
  if (!buf) size = 0;
  if (t) return type_text(g, t, buf, size);
  if (size) buf[0] = 0;
  return 0;
}

size_t rlx_graph_node_count(const rlx_graph *g) { return g ? g->nodes.n : 0; }

bool rlx_graph_node(const rlx_graph *g, size_t index, rlx_node_info *out) {
  if (!g || !out || index >= g->nodes.n) return false;
  const ir_node *n = &g->nodes.data[index];
  *out = (rlx_node_info){.op = n->op->name,
                         .name = n->name,
                         .inputs = n->in,
                         .n_inputs = n->n_in,
                         .first_output = n->out,
                         .n_outputs = n->n_out};
  return true;
}

const rlx_graph *rlx_node_graph(const rlx_graph *g, size_t node, size_t index,
                                const char **out_name) {
  if (!g || node >= g->nodes.n) return NULL;
  const ir_node *n = &g->nodes.data[node];
  for (size_t i = 0; i < n->op->n_attrs; i++) {
    const ir_attr *a = &n->op->attrs[i];
    if (a->type != IR_GRAPH || index--) continue;
    if (out_name) *out_name = a->name;
    return *(rlx_graph *const *)attr_at(a, n->attrs);
  }
  return NULL;
}
