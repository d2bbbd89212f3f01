/* ir/graph.c: adding nodes: complete attributes, infer types, follow small integer contents.
 *
 * Laws: a node is checked completely before it is added, so whatever is in a graph is right; the
 * first failure is kept and ends all building. */
#include "ir/graph.h"

#include <stdio.h>
#include <string.h>

/* --- life and errors */

rlx_status rlx_graph_create(const char *name, rlx_graph **out_graph) {
  if (!out_graph) return status_set(RLX_ERROR_ARGUMENT, "rlx_graph_create: out_graph is NULL");
  *out_graph = NULL;
  rlx_graph *g = mem_new(1, sizeof *g);
  if (!g) return status_memory(sizeof *g);
  atomic_init(&g->refs, 1);
  g->dims.mem = &g->mem;
  g->name = arena_strdup(&g->mem, name ? name : "");
  if (!g->name || !vec_push(&g->values, (ir_value){0})) {
    rlx_graph_free(g);
    return status_memory(sizeof *g);
  }
  *out_graph = g;
  return RLX_OK;
}

void rlx_graph_free(rlx_graph *g) {
  if (!g || atomic_fetch_sub(&g->refs, 1) != 1) return;
  for (size_t i = 0; i < g->tensors.n; i++) rlx_tensor_free(g->tensors.data[i]);
  for (size_t i = 0; i < g->graphs.n; i++) rlx_graph_free(g->graphs.data[i]);
  vec_free(&g->tensors);
  vec_free(&g->graphs);
  vec_free(&g->nodes);
  vec_free(&g->values);
  vec_free(&g->inputs);
  vec_free(&g->params);
  vec_free(&g->outputs);
  map_free(&g->leaf_names);
  map_free(&g->output_names);
  dim_table_free(&g->dims);
  mem_free(g->error);
  arena_free(&g->mem);
  mem_free(g);
}

rlx_status graph_fail(rlx_graph *g, rlx_status status) {
  if (g->status == RLX_OK) {
    g->status = status;
    g->error = mem_strdup(rlx_last_error());
  }
  return status;
}

rlx_status rlx_graph_status(const rlx_graph *g) {
  return g ? g->status : status_set(RLX_ERROR_ARGUMENT, "rlx_graph_status: graph is NULL");
}

const char *rlx_graph_error(const rlx_graph *g) { return g && g->error ? g->error : ""; }

void graph_label(rlx_graph *g, const char *name) {
  g->label = name && *name ? arena_strdup(&g->mem, name) : NULL;
}

/* --- dims and types */

rlx_dim rlx_dim_named(rlx_graph *g, const char *name) {
  if (!g || g->status != RLX_OK) return 0;
  const size_t n = name ? strlen(name) : 0;
  const bool digit = n && name[0] >= '0' && name[0] <= '9';
  if (n == 0 || n > 128 || digit ||
      strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.?") != n) {
    graph_fail(g, status_set(RLX_ERROR_ARGUMENT,
                             "dimension name '%s': wanted 1 to 128 letters, digits, '_', '.' or "
                             "'?', not starting with a digit",
                             name ? name : "(NULL)"));
    return 0;
  }
  const rlx_dim d = dim_named(&g->dims, name);
  if (d == RLX_DIM_BAD) graph_fail(g, status_memory(0));
  return d;
}

rlx_dim rlx_dim_combine(rlx_graph *g, rlx_dim_op op, rlx_dim a, rlx_dim b) {
  if (!g || g->status != RLX_OK) return 0;
  if (!dim_valid(&g->dims, a) || !dim_valid(&g->dims, b)) {
    graph_fail(g, status_set(RLX_ERROR_ARGUMENT, "dimension of another graph"));
    return 0;
  }
  if ((unsigned)op > RLX_DIM_MAX) {
    graph_fail(g, status_set(RLX_ERROR_ARGUMENT, "rlx_dim_combine: %d is no operation", (int)op));
    return 0;
  }
  const rlx_dim d = dim_combine(&g->dims, op, a, b);
  if (d == RLX_DIM_BAD) graph_fail(g, status_memory(0));
  return d;
}

size_t type_text(const rlx_graph *g, const ir_type *t, char *buf, size_t size) {
  str text = {0};
  if (t->dtype == RLX_DTYPE_COUNT) {
    str_add(&text, "_");
  } else {
    str_addf(&text, "%s[", dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->rank; i++) {
      if (i) str_add(&text, ",");
      dim_print(&g->dims, t->dims[i], &text);
    }
    str_add(&text, "]");
  }
  const size_t n = text.n;
  if (size) snprintf(buf, size, "%s", text.data ? text.data : "");
  str_free(&text);
  return n;
}

bool type_sizes(const ir_type *t, int64_t *out_dims) {
  for (uint32_t i = 0; i < t->rank; i++) {
    if (!dim_known(t->dims[i])) return false;
    out_dims[i] = t->dims[i];
  }
  return true;
}

rlx_dim *infer_dims(ir_infer *c, size_t rank) {
  return arena_new(&c->g->mem, rank ? rank : 1, sizeof(rlx_dim));
}

void graph_describe(const rlx_graph *g, const ir_node *n, char *buf, size_t size) {
  char type[96];
  int at = snprintf(buf, size, "%s %%%u%s%s%s (", n->op->name, n->out.id, *n->name ? " '" : "",
                    n->name, *n->name ? "'" : "");
  for (uint32_t i = 0; i < n->n_in && at >= 0 && (size_t)at < size; i++) {
    type_text(g, &graph_value(g, n->in[i])->type, type, sizeof type);
    at += snprintf(buf + at, size - (size_t)at, "%s%s", i ? ", " : "", n->in[i].id ? type : "_");
  }
  if (at >= 0 && (size_t)at < size) snprintf(buf + at, size - (size_t)at, ")");
}

rlx_tensor *graph_constant(const rlx_graph *g, rlx_val v) {
  if (!v.id) return NULL;
  const ir_node *n = graph_node_of(g, v);
  return n->op->traits & IR_CONSTANT ? *(rlx_tensor *const *)attr_at(&n->op->attrs[0], n->attrs)
                                     : NULL;
}

bool graph_number(const rlx_graph *g, rlx_val v, int64_t i, int64_t *out_number) {
  const rlx_tensor *t = graph_constant(g, v);
  const rlx_dim *content = graph_value(g, v)->content;
  if (!t && !(content && dim_known(content[i]))) return false;
  *out_number = t ? tensor_int(t, i) : content[i];
  if (!dim_known(*out_number)) *out_number = RLX_DIM_HANDLES; /* as good: all uses clamp */
  return true;
}

/* --- contents: the elements of small integer values, where they are known */

static rlx_status content_of_constant(ir_infer *c, rlx_dim *out) {
  const rlx_tensor *t = *(rlx_tensor *const *)attr_at(&c->op->attrs[0], c->attrs);
  for (int64_t i = 0; i < t->count; i++) {
    out[i] = tensor_int(t, i);
    if (!dim_known(out[i])) return RLX_ERROR_UNSUPPORTED;
  }
  return RLX_OK;
}

static rlx_status run_ref(const ir_infer *c, rlx_tensor *const *in, rlx_tensor **result) {
  return c->op->hooks->ref(&(ref_call){
      .op = c->op, .attrs = c->attrs, .in = in, .n_in = c->n_in, .out = result, .n_out = 1});
}

/* Operations that only move elements move dim handles just as well: run the reference on them. */
static rlx_status content_of_move(ir_infer *c, const rlx_dim *const *in, rlx_dim *out,
                                  size_t count) {
  enum { MAX_IN = 64 };
  rlx_tensor *ins[MAX_IN] = {0}, *result = NULL;
  int64_t sizes[RLX_MAX_RANK];
  rlx_status status = c->n_in > MAX_IN ? RLX_ERROR_UNSUPPORTED : RLX_OK;
  for (size_t i = 0; i < c->n_in && status == RLX_OK; i++) {
    int64_t n;
    size_t bytes;
    type_sizes(&c->in[i], sizes); /* known and small, as the content is */
    tensor_size(RLX_I64, c->in[i].rank, sizes, &n, &bytes);
    status = rlx_tensor_wrap(RLX_I64, c->in[i].rank, sizes, in[i], bytes, NULL, NULL, &ins[i]);
  }
  if (status == RLX_OK && type_sizes(&c->out[0], sizes))
    status = rlx_tensor_create(RLX_I64, c->out[0].rank, sizes, &result);
  if (status == RLX_OK) status = run_ref(c, ins, &result);
  if (status == RLX_OK) memcpy(out, result->data, count * sizeof *out);
  for (size_t i = 0; i < c->n_in && i < MAX_IN; i++) rlx_tensor_free(ins[i]);
  rlx_tensor_free(result);
  return status;
}

static bool all_known(const rlx_dim *content, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (!dim_known(content[i])) return false;
  return true;
}

static int64_t content_count(const ir_type *t);

static rlx_status tensor_of_content(const ir_type *t, const rlx_dim *content, rlx_tensor **out) {
  int64_t sizes[RLX_MAX_RANK];
  type_sizes(t, sizes); /* known and small, as the content is */
  RLX_TRY(rlx_tensor_create(t->dtype, t->rank, sizes, out));
  for (int64_t i = 0; content && i < (*out)->count; i++) tensor_set_int(*out, i, content[i]);
  return RLX_OK;
}

/* Operands that are all numbers: the reference computes the result, whatever the operation. */
static rlx_status content_of_numbers(ir_infer *c, const rlx_dim *const *in, rlx_dim *out) {
  rlx_tensor **ins = arena_new(&c->g->mem, c->n_in + 1, sizeof *ins), *result = NULL;
  rlx_status status = ins ? tensor_of_content(&c->out[0], NULL, &result) : status_memory(0);
  for (size_t i = 0; i < c->n_in && status == RLX_OK; i++)
    status = all_known(in[i], content_count(&c->in[i]))
                 ? tensor_of_content(&c->in[i], in[i], &ins[i])
                 : RLX_ERROR_UNSUPPORTED;
  if (status == RLX_OK) status = run_ref(c, ins, &result);
  for (int64_t i = 0; status == RLX_OK && i < result->count; i++) out[i] = tensor_int(result, i);
  for (size_t i = 0; ins && i < c->n_in; i++) rlx_tensor_free(ins[i]);
  rlx_tensor_free(result);
  return status;
}

/* References read attributes as numbers. */
static bool attrs_known(const ir_infer *c) {
  for (size_t i = 0; i < c->op->n_attrs; i++) {
    const rlx_ints dims = attr_dims(&c->op->attrs[i], c->attrs);
    for (size_t k = 0; k < dims.n; k++)
      if (!dim_known(dims.data[k])) return false;
  }
  return true;
}

/* Elements of a value whose content can be followed, else -1. */
static int64_t content_count(const ir_type *t) {
  int64_t sizes[RLX_MAX_RANK], count = 1;
  if (t->dtype != RLX_I64 && t->dtype != RLX_I32 && t->dtype != RLX_BOOL) return -1;
  if (!type_sizes(t, sizes)) return -1;
  for (uint32_t i = 0; i < t->rank; i++)
    if (!size_mul(count, sizes[i], &count)) return -1;
  return count <= IR_CONTENT_MAX ? count : -1;
}

/* NULL where it is not known: that is no failure. */
static const rlx_dim *content_of(ir_infer *c) {
  const ir_hooks *hooks = c->op->hooks;
  const int64_t count = c->n_out == 1 ? content_count(&c->out[0]) : -1;
  if (count < 0) return NULL;
  const rlx_dim **in = arena_new(&c->g->mem, c->n_in + 1, sizeof *in);
  rlx_dim *out = arena_new(&c->g->mem, (size_t)count + 1, sizeof *out);
  if (!in || !out) return NULL;
  bool all = c->n_in > 0;
  for (size_t i = 0; i < c->n_in; i++)
    if (!(in[i] = graph_value(c->g, c->val[i])->content)) all = false;
  rlx_status status = RLX_ERROR_UNSUPPORTED;
  if (c->op->traits & IR_CONSTANT) status = content_of_constant(c, out);
  else if (hooks->content) status = hooks->content(c, in, out);
  else if (all && (c->op->traits & IR_MOVE) && hooks->ref && attrs_known(c))
    status = content_of_move(c, in, out, (size_t)count);
  else if (all && !(c->op->traits & IR_CUT) && hooks->ref && attrs_known(c))
    status = content_of_numbers(c, in, out);
  return status == RLX_OK ? out : NULL;
}

/* --- adding */

static bool is_size(const ir_attr *a) { return a->type == IR_DIM || a->type == IR_DIMS; }
static bool is_real(const ir_attr *a) { return a->type == IR_F64 || a->type == IR_REALS; }
static bool is_list(const ir_attr *a) {
  return a->type == IR_INTS || a->type == IR_DIMS || a->type == IR_REALS;
}

/* Elements that an attribute takes from a value. */
static rlx_status bind_count(const ir_attr *a, const ir_type *t, int64_t *out_n) {
  const bool real = is_real(a), list = is_list(a);
  const rlx_dtype_kind kind = dtype_kind(t->dtype);
  if (!real && !list && a->type != IR_I64 && a->type != IR_DIM)
    return status_set(RLX_ERROR_ARGUMENT, "attribute '%s' cannot come from a value", a->name);
  if (real ? kind != RLX_KIND_FLOAT : kind != RLX_KIND_INT && kind != RLX_KIND_UINT)
    return status_set(RLX_ERROR_DTYPE, "attribute '%s' from a value of %s, wanted %s", a->name,
                      dtype_name(t->dtype), real ? "floats" : "integers");
  if (t->rank > 1 || (t->rank == 1 && !dim_known(t->dims[0])))
    return status_set(RLX_ERROR_UNSUPPORTED, "attribute '%s' from a value of unknown length",
                      a->name);
  *out_n = t->rank ? t->dims[0] : 1;
  if (*out_n > IR_CONTENT_MAX || (!list && *out_n != 1))
    return status_set(RLX_ERROR_LIMIT, "attribute '%s' from a value of %lld elements, limit %d",
                      a->name, (long long)*out_n, list ? IR_CONTENT_MAX : 1);
  return RLX_OK;
}

/* Element i of the value as far as it is known; false if that is not all. *item is what stood there
 * before: a size that has a name keeps it. */
static bool bind_element(rlx_graph *g, const ir_attr *a, rlx_val v, int64_t i, int64_t *item) {
  const rlx_tensor *t = graph_constant(g, v);
  const rlx_dim *content = graph_value(g, v)->content;
  if (t && is_real(a)) {
    const double number = tensor_real(t, i);
    memcpy(item, &number, sizeof number);
    return true;
  }
  if (!is_real(a) && graph_number(g, v, i, item)) return true;
  if (is_size(a) && content) *item = content[i];
  else if (!is_size(a)) *item = 0;
  else if (dim_known(*item)) *item = dim_fresh(&g->dims);
  return is_size(a) && content;
}

/* Puts what is known of a dynamic attribute into the struct; *out_known: is that all of it? */
static rlx_status bind_attr(rlx_graph *g, const ir_attr *a, rlx_val v, void *field,
                            bool *out_known) {
  const ir_type *t = &graph_value(g, v)->type;
  int64_t n = 0, *data = field;
  RLX_TRY(bind_count(a, t, &n));
  if (is_list(a)) {
    rlx_ints *list = field;
    if (!(data = arena_new(&g->mem, (size_t)n + 1, sizeof *data))) return status_memory(0);
    if (n && list->n == (size_t)n) memcpy(data, list->data, (size_t)n * sizeof *data);
    *list = (rlx_ints){data, (size_t)n};
  }
  *out_known = true;
  for (int64_t i = 0; i < n; i++) {
    if (bind_element(g, a, v, i, &data[i])) continue;
    *out_known = false;
    if (data[i] == RLX_DIM_BAD) return status_memory(0);
  }
  return RLX_OK;
}

/* *out_late: numbers other than sizes are not known. */
static rlx_status bind_attrs(rlx_graph *g, ir_node *n, char *attrs, const ir_dynamic *dynamic,
                             size_t n_dynamic, bool *out_late) {
  ir_dynamic *left = arena_new(&g->mem, n_dynamic + 1, sizeof *left);
  if (!left) return status_memory(n_dynamic * sizeof *left);
  n->dynamic = left;
  for (size_t i = 0; i < n_dynamic; i++) {
    const ir_attr *a = &n->op->attrs[dynamic[i].attr];
    bool known = false;
    RLX_TRY(bind_attr(g, a, dynamic[i].value, attrs + a->offset, &known));
    if (known) continue;
    left[n->n_dynamic++] = (ir_dynamic){dynamic[i].attr, graph_resolve(g, dynamic[i].value)};
    if (is_size(a)) continue;
    *out_late = true;
    if (!n->op->hooks->infer_late)
      return status_set(RLX_ERROR_UNSUPPORTED, "attribute '%s' must be known before the run",
                        a->name);
  }
  return RLX_OK;
}

static rlx_status check_inputs(const rlx_graph *g, const ir_op *op, const rlx_val *in, size_t n) {
  if (n < op->min_in || (op->max_in != IR_ANY && n > op->max_in))
    return status_set(RLX_ERROR_ARGUMENT, "%zu operands, wanted %u%s", n, op->min_in,
                      op->max_in == IR_ANY            ? " or more"
                      : op->max_in == op->min_in      ? ""
                      : op->max_in == op->min_in + 1u ? " or one more"
                                                      : " or a few more");
  for (size_t i = 0; i < n; i++) {
    if (in[i].id >= g->values.n)
      return status_set(RLX_ERROR_ARGUMENT, "operand %zu is not a value of this graph", i);
    if (!in[i].id && i < op->min_in)
      return status_set(RLX_ERROR_ARGUMENT, "operand %zu is missing (RLX_NIL)", i);
    const rlx_dtype dtype = graph_value(g, in[i])->type.dtype;
    if (in[i].id && dtype_kind(dtype) == RLX_KIND_BLOCK)
      return status_set(RLX_ERROR_DTYPE, "operand %zu is %s: no operation takes blocks yet", i,
                        dtype_name(dtype));
  }
  return RLX_OK;
}

/* Inputs and params are found by name; outputs and constants need no registration. */
static rlx_status register_leaf(rlx_graph *g, const ir_node *n) {
  if (!(n->op->traits & (IR_INPUT | IR_PARAM))) return RLX_OK;
  const char *name = *(const char *const *)attr_at(&n->op->attrs[0], n->attrs);
  if (map_get(&g->leaf_names, name, &(uint64_t){0}))
    return status_set(RLX_ERROR_ARGUMENT, "the name '%s' is taken by another input or param", name);
  const ir_port port = {name, n->out};
  const bool kept =
      n->op->traits & IR_INPUT ? vec_push(&g->inputs, port) : vec_push(&g->params, port);
  return kept && map_put(&g->leaf_names, name, n->out.id) ? RLX_OK : status_memory(sizeof port);
}

static rlx_status append(rlx_graph *g, ir_node *n, const ir_infer *c) {
  const uint32_t index = (uint32_t)g->nodes.n;
  if (g->values.n + c->n_out >= UINT32_MAX || g->nodes.n + 1 >= UINT32_MAX)
    return status_set(RLX_ERROR_LIMIT, "more than 2^32 values");
  n->out.id = (uint32_t)g->values.n;
  n->n_out = (uint32_t)c->n_out;
  for (uint32_t i = 0; i < n->n_out; i++) {
    const ir_value v = {.node = index, .nth = i, .type = c->out[i]};
    if (!vec_push(&g->values, v)) return status_memory(sizeof v);
  }
  if (!vec_push(&g->nodes, *n)) return status_memory(sizeof *n);
  return register_leaf(g, n);
}

static rlx_status check_output(const ir_infer *c, size_t i) {
  const ir_type *t = &c->out[i];
  int64_t sizes[RLX_MAX_RANK], count;
  size_t bytes;
  if (t->rank > RLX_MAX_RANK)
    return status_set(RLX_ERROR_LIMIT, "result of rank %u, the limit is %d", t->rank, RLX_MAX_RANK);
  for (uint32_t k = 0; k < t->rank; k++) {
    if (t->dims[k] == RLX_DIM_BAD) return status_memory(0);
    if (dim_known(t->dims[k]) && t->dims[k] < 0)
      return status_set(RLX_ERROR_SHAPE, "axis %u of the result has the size %lld", k,
                        (long long)t->dims[k]);
  }
  if (type_sizes(t, sizes) && !tensor_size(t->dtype, t->rank, sizes, &count, &bytes))
    return status_set(RLX_ERROR_LIMIT, "the result's size does not fit 64 bits");
  return RLX_OK;
}

static rlx_status add_checked(rlx_graph *g, ir_node *n, const rlx_val *in, size_t n_in,
                              const void *attrs, const ir_dynamic *dynamic, size_t n_dynamic) {
  RLX_TRY(check_inputs(g, n->op, in, n_in));
  n->n_in = (uint32_t)n_in;
  rlx_val *operands = arena_copy(&g->mem, in, n_in * sizeof *in);
  if (!operands) return status_memory(0);
  for (size_t i = 0; i < n_in; i++) operands[i] = graph_resolve(g, operands[i]);
  n->in = operands;
  void *own = NULL;
  RLX_TRY(attrs_complete(g, n->op, attrs, &own));
  n->attrs = own;
  bool late = false;
  RLX_TRY(bind_attrs(g, n, own, dynamic, n_dynamic, &late));
  ir_type *types = arena_new(&g->mem, n_in + 1, sizeof *types);
  if (!types) return status_memory(n_in * sizeof *types);
  for (size_t i = 0; i < n_in; i++)
    types[i] = in[i].id ? graph_value(g, n->in[i])->type : (ir_type){.dtype = RLX_DTYPE_COUNT};
  ir_type out[INFER_MAX_OUT] = {0};
  ir_infer c = {.g = g,
                .op = n->op,
                .attrs = own,
                .val = n->in,
                .in = types,
                .n_in = n_in,
                .out = out,
                .n_out = n->op->n_out == IR_ANY ? 0 : n->op->n_out};
  RLX_TRY(late ? n->op->hooks->infer_late(&c) : n->op->hooks->infer(&c));
  for (size_t i = 0; i < c.n_out; i++) RLX_TRY(check_output(&c, i));
  const rlx_dim *content = late ? NULL : content_of(&c);
  if (g->normal) RLX_TRY(g->normal(&c, content, n));
  if (n->out.id) return RLX_OK;
  RLX_TRY(append(g, n, &c));
  g->values.data[n->out.id].content = content;
  return RLX_OK;
}

rlx_val graph_add(rlx_graph *g, const ir_op *op, const rlx_val *in, size_t n_in, const void *attrs,
                  const ir_dynamic *dynamic, size_t n_dynamic) {
  if (!g || g->status != RLX_OK) return RLX_NIL;
  ir_node n = {.op = op, .name = g->label ? g->label : ""};
  const rlx_status status = add_checked(g, &n, in, n_in, attrs, dynamic, n_dynamic);
  if (status == RLX_OK) return n.out;
  str where = {0};
  str_addf(&where, "%s(", op->name);
  for (size_t i = 0; i < n_in && i < 8; i++) {
    char type[96] = "?";
    if (in[i].id && in[i].id < g->values.n)
      type_text(g, &graph_value(g, in[i])->type, type, sizeof type);
    str_addf(&where, "%s%s", i ? ", " : "", in[i].id ? type : "_");
  }
  str_addf(&where, "%s)%s%s%s", n_in > 8 ? ", .." : "", *n.name ? " '" : "", n.name,
           *n.name ? "'" : "");
  graph_fail(g, status_at(status, "%s", where.data ? where.data : op->name));
  str_free(&where);
  return RLX_NIL;
}

rlx_val rlx_graph_add(rlx_graph *g, const char *name, const rlx_val *in, size_t n_in,
                      const void *attrs) {
  if (!g || g->status != RLX_OK) return RLX_NIL;
  const ir_op *op = name ? op_find(name) : NULL;
  if (!op) {
    graph_fail(
        g, status_set(RLX_ERROR_NOT_FOUND, "there is no operation '%s'", name ? name : "(NULL)"));
    return RLX_NIL;
  }
  if (n_in && !in) {
    graph_fail(g,
               status_set(RLX_ERROR_ARGUMENT, "%s: %zu operands but the list is NULL", name, n_in));
    return RLX_NIL;
  }
  return graph_add(g, op, in, n_in, attrs, NULL, 0);
}

void rlx_graph_output(rlx_graph *g, const char *name, rlx_val value) {
  if (!g || g->status != RLX_OK) return;
  char given[32];
  snprintf(given, sizeof given, "output_%zu", g->outputs.n);
  if (!name) name = given;
  if (!value.id || value.id >= g->values.n)
    graph_fail(g, status_set(RLX_ERROR_ARGUMENT, "output '%s' is not a value of this graph", name));
  else if (map_get(&g->output_names, name, &(uint64_t){0}))
    graph_fail(g, status_set(RLX_ERROR_ARGUMENT, "two outputs are called '%s'", name));
  else {
    const ir_port port = {arena_strdup(&g->mem, name), graph_resolve(g, value)};
    if (!port.name || !vec_push(&g->outputs, port) ||
        !map_put(&g->output_names, port.name, value.id))
      graph_fail(g, status_memory(sizeof port));
  }
}
