/* ops/onnx_tools.c: what importers share: known contents, bound attributes, small values. */
#include "ops/onnx.h"

/* --- contents */

/* The integers of a constant, as numbers that cannot be taken for handles: all uses clamp. */
static bool content_of_tensor(const onnx_node *n, const rlx_tensor *t, rlx_ints *out_list) {
  rlx_dtype_kind kind = dtype_kind(t->dtype);
  if (kind != RLX_KIND_INT && kind != RLX_KIND_UINT) return false;
  int64_t *list = arena_new(&n->g->mem, (size_t)t->count + 1, sizeof *list);
  if (!list) return false;
  for (int64_t i = 0; i < t->count; i++) {
    int64_t v = tensor_int(t, i);
    list[i] = dim_known(v) ? v : RLX_DIM_HANDLES;
  }
  *out_list = (rlx_ints){list, (size_t)t->count};
  return true;
}

bool onnx_content(const onnx_node *n, rlx_val v, rlx_ints *out_list) {
  *out_list = (rlx_ints){NULL, 0};
  if (!v.id) return false;
  const ir_value *value = graph_value(n->g, v);
  const rlx_tensor *t = graph_constant(n->g, v);
  if (t) return content_of_tensor(n, t, out_list);
  int64_t sizes[RLX_MAX_RANK], count;
  size_t bytes;
  if (!value->content || !type_sizes(&value->type, sizes) ||
      !tensor_size(value->type.dtype, value->type.rank, sizes, &count, &bytes))
    return false;
  *out_list = (rlx_ints){value->content, (size_t)count};
  return true;
}

bool onnx_sizes(onnx_node *n, rlx_val v, rlx_ints *out_dims) {
  if (onnx_content(n, v, out_dims)) return true;
  const rlx_ints count = onnx_dims(n, v);
  if (count.n != 1 || !dim_known(count.data[0])) return false;
  const rlx_val one = rlx_scalar(n->g, RLX_BOOL, 1);
  *out_dims = onnx_dims(n, onnx_add(n, "expand", &one, 1, NULL, &(onnx_bind){"dims", v}, 1));
  return true;
}

bool onnx_numbers(const onnx_node *n, rlx_val v, rlx_ints *out_list) {
  bool known = onnx_content(n, v, out_list);
  for (size_t i = 0; i < out_list->n; i++) known = known && dim_known(out_list->data[i]);
  return known;
}

rlx_status onnx_known_ints(onnx_node *n, size_t input, rlx_ints *out_list) {
  if (onnx_numbers(n, onnx_in(n, input), out_list)) return RLX_OK;
  return status_set(RLX_ERROR_UNSUPPORTED, "input %zu must be known before the run", input);
}

rlx_status onnx_known_real(onnx_node *n, size_t input, double *out_value) {
  const rlx_tensor *t = graph_constant(n->g, onnx_in(n, input));
  if (!t || t->count != 1)
    return status_set(RLX_ERROR_UNSUPPORTED, "input %zu must be a constant of one element", input);
  *out_value = tensor_real(t, 0);
  return RLX_OK;
}

onnx_list onnx_list_of(const onnx_node *n, const char *attr, size_t input, int64_t since) {
  onnx_list l = {.bind = {attr, RLX_NIL}};
  if (n->opset < since) {
    l.ints = onnx_ints(n, attr);
    l.given = onnx_find(n, attr) != NULL;
    l.empty = !l.ints.n;
  } else {
    const rlx_ints count = onnx_dims(n, onnx_in(n, input));
    l.bind.value = onnx_in(n, input);
    l.given = l.bind.value.id != 0;
    l.empty = !l.given || (count.n == 1 && count.data[0] == 0);
  }
  return l;
}

rlx_status onnx_axis(int64_t axis, size_t rank, int64_t *out_axis) {
  int64_t r = (int64_t)rank;
  if (axis < -r || axis >= r)
    return status_set(RLX_ERROR_SHAPE, "axis %lld is not in [-%zu, %zu)", (long long)axis, rank,
                      rank);
  *out_axis = axis < 0 ? axis + r : axis;
  return RLX_OK;
}

rlx_status onnx_word(const onnx_node *n, const char *name, const char *words, size_t *out_index) {
  const char *given = onnx_string(n, name, NULL);
  *out_index = 0;
  if (!given) return RLX_OK;
  for (const char *w = words;; w++) {
    const size_t length = strcspn(w, "|");
    if (strlen(given) == length && memcmp(given, w, length) == 0) return RLX_OK;
    w += length;
    if (!*w) break;
    ++*out_index;
  }
  return status_set(RLX_ERROR_FORMAT, "attribute '%s' is '%s', wanted one of %s", name, given,
                    words);
}

/* --- building */

rlx_val onnx_add(onnx_node *n, const char *op, const rlx_val *in, size_t n_in, const void *attrs,
                 const onnx_bind *binds, size_t n_binds) {
  const ir_op *o = op_find(op);
  ir_dynamic dynamic[4];
  size_t count = 0;
  for (size_t b = 0; o && b < n_binds; b++)
    for (uint32_t i = 0; i < o->n_attrs; i++)
      if (binds[b].value.id && strcmp(o->attrs[i].name, binds[b].attr) == 0 && count < 4)
        dynamic[count++] = (ir_dynamic){i, binds[b].value};
  if (!o) {
    graph_fail(n->g, status_set(RLX_ERROR_INTERNAL, "no operation '%s'", op));
    return RLX_NIL;
  }
  return graph_add(n->g, o, in, n_in, attrs, dynamic, count);
}

void onnx_outputs(onnx_node *n, rlx_val first) {
  size_t made = first.id ? graph_node_of(n->g, first)->n_out : 0;
  for (size_t i = 0; i < n->n_out && i < made; i++) n->out[i] = rlx_nth(first, (uint32_t)i);
}

rlx_ints onnx_dims(const onnx_node *n, rlx_val v) {
  if (!v.id) return (rlx_ints){NULL, 0};
  const ir_type *t = &graph_value(n->g, v)->type;
  return (rlx_ints){t->dims, t->rank};
}

rlx_val onnx_cast(const onnx_node *n, rlx_val v, rlx_dtype to) {
  return expr_cast(n->g, v, to);
}

rlx_val onnx_scalar(const onnx_node *n, rlx_val like, double value) {
  return rlx_scalar(n->g, onnx_dtype_of(n, like), value);
}

rlx_val onnx_reshape(const onnx_node *n, rlx_val v, const rlx_dim *dims, size_t rank) {
  return expr_reshape(n->g, v, dims, rank);
}

rlx_val onnx_transpose(const onnx_node *n, rlx_val v, const int64_t *perm, size_t rank) {
  rlx_transpose_attrs a = rlx_transpose_init();
  a.perm = (rlx_ints){perm, rank};
  return rlx_transpose(n->g, v, &a);
}

rlx_val onnx_slice(const onnx_node *n, rlx_val v, int64_t axis, rlx_dim start, rlx_dim stop,
                   int64_t step) {
  rlx_slice_attrs a = rlx_slice_init();
  a.starts = (rlx_ints){&start, 1};
  a.stops = (rlx_ints){&stop, 1};
  a.axes = (rlx_ints){&axis, 1};
  a.steps = (rlx_ints){&step, 1};
  return rlx_slice(n->g, v, &a);
}

rlx_val onnx_size(const onnx_node *n, rlx_val v, int64_t axis) {
  rlx_shape_of_attrs a = rlx_shape_of_init();
  a.start = axis;
  a.stop = axis + 1;
  return rlx_shape_of(n->g, v, &a);
}

rlx_val onnx_along(const onnx_node *n, rlx_val v, size_t axis, size_t rank) {
  int64_t axes[RLX_MAX_RANK];
  rlx_unsqueeze_attrs a = rlx_unsqueeze_init();
  a.axes.data = axes;
  if (!v.id || onnx_rank(n, v) != 1) return v;
  for (size_t i = axis + 1; i < rank; i++) axes[a.axes.n++] = (int64_t)(i - axis);
  return a.axes.n ? rlx_unsqueeze(n->g, v, &a) : v;
}

rlx_val onnx_vector(const onnx_node *n, const int64_t *items, size_t count) {
  rlx_tensor *t;
  int64_t dims[1] = {(int64_t)count};
  rlx_status status = rlx_tensor_create(RLX_I64, 1, dims, &t);
  if (status != RLX_OK) {
    graph_fail(n->g, status);
    return RLX_NIL;
  }
  for (int64_t i = 0; i < dims[0]; i++) tensor_set_int(t, i, items[i]);
  rlx_val v = rlx_constant(n->g, t);
  rlx_tensor_free(t);
  return v;
}

rlx_val onnx_iota(const onnx_node *n, rlx_dim size, double start) {
  rlx_range_attrs a = rlx_range_init();
  a.start = start;
  a.count = (rlx_ints){&size, 1};
  return rlx_range(n->g, &a);
}
