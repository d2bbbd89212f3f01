/* ops/onnx_shape.c: importers of constants and of operators that only change shapes. */
#include "ops/onnx.h"

/* --- constants */

static rlx_status constant_vector(onnx_node *n, rlx_dtype dtype, size_t rank, size_t count,
                                  const double *reals, const int64_t *ints) {
  rlx_tensor *t;
  int64_t dims[1] = {(int64_t)count};
  RLX_TRY(rlx_tensor_create(dtype, rank, dims, &t));
  for (int64_t i = 0; i < (int64_t)count; i++) {
    if (reals) tensor_set_real(t, i, reals[i]);
    else tensor_set_int(t, i, ints[i]);
  }
  n->out[0] = rlx_constant(n->g, t);
  rlx_tensor_free(t);
  return RLX_OK;
}

rlx_status import_constant(onnx_node *n) {
  if (n->n_attrs != 1 || n->n_out != 1)
    return status_set(RLX_ERROR_FORMAT, "a Constant has one attribute and one output");
  const onnx_attr *a = onnx_find(n, n->attrs[0].name);
  if (strcmp(a->name, "value") == 0 && a->type == ONNX_TENSOR) {
    n->out[0] = rlx_constant(n->g, a->t);
    return RLX_OK;
  }
  if (strcmp(a->name, "value_float") == 0 && a->type == ONNX_FLOAT)
    return constant_vector(n, RLX_F32, 0, 1, &a->f, NULL);
  if (strcmp(a->name, "value_int") == 0 && a->type == ONNX_INT)
    return constant_vector(n, RLX_I64, 0, 1, NULL, &a->i);
  if (strcmp(a->name, "value_floats") == 0 && a->type == ONNX_FLOATS)
    return constant_vector(n, RLX_F32, 1, a->floats.n, a->floats.data, NULL);
  if (strcmp(a->name, "value_ints") == 0 && a->type == ONNX_INTS)
    return constant_vector(n, RLX_I64, 1, a->ints.n, NULL, a->ints.data);
  return status_set(RLX_ERROR_UNSUPPORTED, "attribute '%s' is not covered", a->name);
}

rlx_status import_constant_of_shape(onnx_node *n) {
  const onnx_attr *value = onnx_find(n, "value");
  rlx_val v = value && value->t ? onnx_reshape(n, rlx_constant(n->g, value->t), NULL, 0)
                                : rlx_scalar(n->g, RLX_F32, 0);
  n->out[0] = onnx_add(n, "expand", &v, 1, NULL, &(onnx_bind){"dims", onnx_in(n, 0)}, 1);
  return RLX_OK;
}

/* --- sizes */

rlx_status import_identity(onnx_node *n) {
  n->out[0] = onnx_in(n, 0);
  return RLX_OK;
}

rlx_status import_shape(onnx_node *n) {
  rlx_shape_of_attrs a = rlx_shape_of_init();
  a.start = onnx_int(n, "start", a.start);
  a.stop = onnx_int(n, "end", a.stop);
  n->out[0] = rlx_shape_of(n->g, onnx_in(n, 0), &a);
  return RLX_OK;
}

rlx_status import_size(onnx_node *n) {
  n->out[0] = rlx_reduce_prod(n->g, rlx_shape_of(n->g, onnx_in(n, 0), NULL), NULL);
  return RLX_OK;
}

/* The wanted shape with x's sizes in place of its zeros, as a value: where the content of the shape
 * is not known. */
static rlx_val shape_without_zeros(onnx_node *n, rlx_val x, rlx_val shape) {
  int64_t rank = (int64_t)onnx_rank(n, x), ones[RLX_MAX_RANK];
  rlx_ints dims = onnx_dims(n, shape);
  if (dims.n != 1 || !dim_known(dims.data[0]) || dims.data[0] > RLX_MAX_RANK) return shape;
  int64_t count = dims.data[0], own = rank < count ? rank : count;
  for (int64_t i = 0; i < count; i++) ones[i] = 1;
  rlx_shape_of_attrs a = rlx_shape_of_init();
  a.stop = own;
  rlx_val parts[2] = {rlx_shape_of(n->g, x, &a), onnx_vector(n, ones, (size_t)(count - own))};
  rlx_val sizes = rlx_concat(n->g, parts, 2, NULL);
  shape = onnx_cast(n, shape, RLX_I64);
  return rlx_where(n->g, rlx_eq(n->g, shape, onnx_scalar(n, shape, 0)), sizes, shape);
}

rlx_status import_reshape(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), shape = onnx_in(n, 1);
  bool copy_zeros = !onnx_int(n, "allowzero", 0);
  rlx_ints want, own = onnx_dims(n, x);
  if (!onnx_content(n, shape, &want)) {
    if (copy_zeros) shape = shape_without_zeros(n, x, shape);
    n->out[0] = onnx_add(n, "reshape", &x, 1, NULL, &(onnx_bind){"dims", shape}, 1);
    return RLX_OK;
  }
  rlx_dim dims[RLX_MAX_RANK];
  if (want.n > RLX_MAX_RANK)
    return status_set(RLX_ERROR_LIMIT, "a shape of %zu axes, at most %d are possible", want.n,
                      RLX_MAX_RANK);
  for (size_t i = 0; i < want.n; i++) {
    dims[i] = want.data[i];
    if (dims[i] != 0 || !copy_zeros) continue;
    if (i >= own.n)
      return status_set(RLX_ERROR_SHAPE, "the shape copies axis %zu of an operand of %zu axes", i,
                        own.n);
    dims[i] = own.data[i];
  }
  n->out[0] = onnx_reshape(n, x, dims, want.n);
  return RLX_OK;
}

rlx_status import_squeeze(onnx_node *n) {
  const onnx_list axes = onnx_list_of(n, "axes", 1, 13);
  rlx_squeeze_attrs a = rlx_squeeze_init();
  a.axes = axes.ints;
  n->out[0] = axes.given && axes.empty ? onnx_in(n, 0)
                                       : onnx_add(n, "squeeze", n->in, 1, &a, &axes.bind, 1);
  return RLX_OK;
}

rlx_status import_unsqueeze(onnx_node *n) {
  const onnx_list axes = onnx_list_of(n, "axes", 1, 13);
  rlx_unsqueeze_attrs a = rlx_unsqueeze_init();
  a.axes = axes.ints;
  if (!axes.given) return status_set(RLX_ERROR_FORMAT, "the axes are missing");
  n->out[0] = axes.empty ? onnx_in(n, 0) : onnx_add(n, "unsqueeze", n->in, 1, &a, &axes.bind, 1);
  return RLX_OK;
}

static rlx_status import_bound(onnx_node *n, const char *op, const char *attr) {
  n->out[0] = onnx_add(n, op, n->in, 1, NULL, &(onnx_bind){attr, onnx_in(n, 1)}, 1);
  return RLX_OK;
}
rlx_status import_expand(onnx_node *n) { return import_bound(n, "expand", "dims"); }
rlx_status import_tile(onnx_node *n) { return import_bound(n, "tile", "reps"); }

rlx_status import_concat(onnx_node *n) {
  rlx_concat_attrs a = rlx_concat_init();
  if (!onnx_find(n, "axis")) return status_set(RLX_ERROR_FORMAT, "there is no axis");
  a.axis = onnx_int(n, "axis", 0);
  n->out[0] = rlx_concat(n->g, n->in, n->n_in, &a);
  return RLX_OK;
}

/* --- ranges and triangles */

/* The number of steps as a value: ceil((limit - start) / delta), not below 0. */
static rlx_val range_count(onnx_node *n) {
  rlx_graph *g = n->g;
  rlx_val start = onnx_cast(n, onnx_in(n, 0), RLX_F64);
  rlx_val limit = onnx_cast(n, onnx_in(n, 1), RLX_F64);
  rlx_val steps = rlx_div(g, rlx_sub(g, limit, start), onnx_cast(n, onnx_in(n, 2), RLX_F64));
  steps = rlx_ceil(g, rlx_maximum(g, steps, onnx_scalar(n, steps, 0)));
  return onnx_reshape(n, onnx_cast(n, steps, RLX_I64), (rlx_dim[]){1}, 1);
}

/* The same as a dim, where start, limit and delta are integers that are known as far as needed. */
static bool range_dim(onnx_node *n, rlx_dim *out_count) {
  rlx_ints start, limit, delta;
  dim_table *t = &n->g->dims;
  if (!onnx_content(n, onnx_in(n, 0), &start) || !onnx_content(n, onnx_in(n, 1), &limit) ||
      !onnx_content(n, onnx_in(n, 2), &delta) || start.n != 1 || limit.n != 1 || delta.n != 1)
    return false;
  int64_t step = delta.data[0];
  if (!dim_known(step) || step == 0) return false;
  rlx_dim way = step > 0 ? dim_combine(t, RLX_DIM_SUB, limit.data[0], start.data[0])
                         : dim_combine(t, RLX_DIM_SUB, start.data[0], limit.data[0]);
  *out_count = dim_combine(t, RLX_DIM_CEILDIV, way, step > 0 ? step : -step);
  if (dim_known(*out_count) && *out_count < 0) *out_count = 0;
  return true;
}

static bool range_known(const onnx_node *n, rlx_val v, double *out) {
  const rlx_tensor *t = graph_constant(n->g, v);
  if (t && t->count == 1) *out = tensor_real(t, 0);
  return t && t->count == 1;
}

rlx_status import_range(onnx_node *n) {
  rlx_val start = onnx_in(n, 0), delta = onnx_in(n, 2);
  if (!start.id || !onnx_in(n, 1).id || !delta.id)
    return status_set(RLX_ERROR_FORMAT, "wants start, limit and delta");
  rlx_range_attrs a = rlx_range_init();
  onnx_bind bind = {"count", RLX_NIL};
  rlx_dim count;
  double limit;
  a.dtype = onnx_dtype_of(n, start);
  bool known = range_known(n, start, &a.start) && range_known(n, delta, &a.step);
  if (range_dim(n, &count)) {
    a.count = (rlx_ints){&count, 1};
  } else if (known && range_known(n, onnx_in(n, 1), &limit)) {
    double steps = ceil((limit - a.start) / a.step);
    if (!(steps < (double)INT32_MAX))
      return status_set(RLX_ERROR_LIMIT, "a range of %g steps", steps);
    count = steps > 0 ? (int64_t)steps : 0;
    a.count = (rlx_ints){&count, 1};
  } else {
    bind.value = range_count(n);
  }
  if (!known) {
    a.start = 0;
    a.step = 1;
  }
  rlx_val r = onnx_add(n, "range", NULL, 0, &a, &bind, 1);
  n->out[0] = known ? r
                    : rlx_add(n->g, rlx_mul(n->g, r, onnx_reshape(n, delta, NULL, 0)),
                              onnx_reshape(n, start, NULL, 0));
  return RLX_OK;
}

rlx_status import_eye_like(onnx_node *n) {
  rlx_ints dims = onnx_dims(n, onnx_in(n, 0));
  if (dims.n != 2) return status_set(RLX_ERROR_SHAPE, "wants a matrix");
  rlx_dtype dtype = onnx_dtype_of(n, onnx_in(n, 0));
  if (onnx_find(n, "dtype")) RLX_TRY(onnx_dtype(onnx_int(n, "dtype", 0), &dtype));
  rlx_val row = onnx_iota(n, dims.data[0], (double)onnx_int(n, "k", 0));
  rlx_val column = onnx_iota(n, dims.data[1], 0);
  n->out[0] = onnx_cast(n, rlx_eq(n->g, onnx_along(n, row, 0, 2), column), dtype);
  return RLX_OK;
}

rlx_status import_trilu(onnx_node *n) {
  rlx_trilu_attrs a = rlx_trilu_init();
  a.upper = onnx_int(n, "upper", 1) != 0;
  n->out[0] = onnx_add(n, "trilu", n->in, 1, &a, &(onnx_bind){"diagonal", onnx_in(n, 1)}, 1);
  return RLX_OK;
}

/* --- windows of signal processing: a - b cos t + c cos 2t, with t from 0 to 2 pi */

static const struct window_row {
  const char *name;
  double a, b, c;
} window_rows[] = {
    {"HannWindow", 0.5, 0.5, 0},
    {"HammingWindow", 25.0 / 46, 21.0 / 46, 0},
    {"BlackmanWindow", 0.42, 0.5, 0.08},
};

rlx_status import_window(onnx_node *n) {
  const struct window_row *row = window_rows;
  while (strcmp(row->name, n->op) != 0) row++;
  rlx_graph *g = n->g;
  rlx_dtype dtype;
  RLX_TRY(onnx_dtype(onnx_int(n, "output_datatype", 1), &dtype));
  rlx_range_attrs a = rlx_range_init();
  a.dtype = RLX_F32;
  rlx_val t = onnx_add(n, "range", NULL, 0, &a, &(onnx_bind){"count", onnx_in(n, 0)}, 1);
  rlx_val one = onnx_scalar(n, t, 1);
  rlx_val steps = onnx_cast(n, onnx_reshape(n, onnx_in(n, 0), NULL, 0), RLX_F32);
  if (!onnx_int(n, "periodic", 1)) steps = rlx_sub(g, steps, one);
  const rlx_val turn = onnx_scalar(n, t, 6.28318530717958647692);
  t = rlx_mul(g, t, rlx_div(g, turn, rlx_maximum(g, steps, one)));
  rlx_val two_t = rlx_mul(g, t, onnx_scalar(n, t, 2));
  rlx_val first = rlx_mul(g, rlx_cos(g, t), onnx_scalar(n, t, row->b));
  rlx_val second = rlx_mul(g, rlx_cos(g, two_t), onnx_scalar(n, t, row->c));
  rlx_val y = rlx_add(g, rlx_sub(g, onnx_scalar(n, t, row->a), first), second);
  n->out[0] = onnx_cast(n, y, dtype);
  return RLX_OK;
}
