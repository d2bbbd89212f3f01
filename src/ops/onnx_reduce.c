/* ops/onnx_reduce.c: importers of reductions, scans and orderings. */
#include "ops/onnx.h"

/* --- Reduce*: an operation between what comes before and after it */

typedef rlx_val (*unary)(rlx_graph *g, rlx_val x);

/* The attribute structs of all reductions are alike. An op of NULL: log_sum_exp below. */
static const struct reduce_row {
  const char *name, *op;
  unary before, after;
} reduce_rows[] = {
    {"ReduceSum", "reduce_sum", NULL, NULL},
    {"ReduceMean", "reduce_mean", NULL, NULL},
    {"ReduceMax", "reduce_max", NULL, NULL},
    {"ReduceMin", "reduce_min", NULL, NULL},
    {"ReduceProd", "reduce_prod", NULL, NULL},
    {"ReduceL1", "reduce_sum", rlx_abs, NULL},
    {"ReduceL2", "reduce_sum", rlx_square, rlx_sqrt},
    {"ReduceSumSquare", "reduce_sum", rlx_square, NULL},
    {"ReduceLogSum", "reduce_sum", NULL, rlx_log},
    {"ReduceLogSumExp", NULL, NULL, NULL},
};

static const struct reduce_row *reduce_find(const char *name) {
  for (size_t i = 0; i < sizeof reduce_rows / sizeof reduce_rows[0]; i++)
    if (strcmp(reduce_rows[i].name, name) == 0) return &reduce_rows[i];
  return NULL;
}

/* log(sum(exp(x))) from the largest element down, so that nothing overflows. */
static rlx_val log_sum_exp(onnx_node *n, rlx_val x, const rlx_reduce_sum_attrs *a,
                           const onnx_bind *axes) {
  rlx_graph *g = n->g;
  rlx_reduce_max_attrs top = rlx_reduce_max_init();
  top.axes = a->axes;
  top.keep = true;
  rlx_val most = onnx_add(n, "reduce_max", &x, 1, &top, axes, 1);
  most = rlx_where(g, rlx_is_inf(g, most), onnx_scalar(n, most, 0), most);
  top.keep = a->keep;
  x = rlx_exp(g, rlx_sub(g, x, most));
  rlx_val sum = onnx_add(n, "reduce_sum", &x, 1, a, axes, 1);
  rlx_val back = onnx_add(n, "reduce_max", &most, 1, &top, axes, 1);
  return rlx_add(g, rlx_log(g, sum), back);
}

rlx_status import_reduce(onnx_node *n) {
  const struct reduce_row *row = reduce_find(n->op);
  if (!row) return status_set(RLX_ERROR_INTERNAL, "no row for %s", n->op);
  rlx_val x = onnx_in(n, 0);
  rlx_reduce_sum_attrs a = rlx_reduce_sum_init();
  const onnx_list axes = onnx_list_of(n, "axes", 1, strcmp(n->op, "ReduceSum") == 0 ? 13 : 18);
  a.axes = axes.ints;
  a.keep = onnx_int(n, "keepdims", 1) != 0;
  rlx_dtype dtype = onnx_dtype_of(n, x);
  bool none = onnx_int(n, "noop_with_empty_axes", 0) && axes.empty;
  bool whole = dtype != RLX_DTYPE_COUNT && dtype_kind(dtype) != RLX_KIND_FLOAT;
  bool real = whole && (row->after || !row->op); /* roots and logarithms are computed in reals */
  rlx_dtype in = dtype == RLX_BOOL ? RLX_U8 : real ? RLX_F64 : dtype;
  x = onnx_cast(n, x, in);
  if (row->before) x = row->before(n->g, x);
  if (!none)
    x = row->op ? onnx_add(n, row->op, &x, 1, &a, &axes.bind, 1)
                : log_sum_exp(n, x, &a, &axes.bind);
  if (row->after) x = row->after(n->g, x);
  n->out[0] = onnx_cast(n, x, dtype);
  return RLX_OK;
}

rlx_status import_arg_extreme(onnx_node *n) {
  rlx_argmax_attrs a = rlx_argmax_init();
  a.axis = onnx_int(n, "axis", 0);
  a.keep = onnx_int(n, "keepdims", 1) != 0;
  a.last = onnx_int(n, "select_last_index", 0) != 0;
  const char *op = strcmp(n->op, "ArgMax") == 0 ? "argmax" : "argmin";
  n->out[0] = rlx_graph_add(n->g, op, n->in, n->n_in, &a);
  return RLX_OK;
}

/* --- softmax and its kin: before opset 13 over all axes from `axis` on, seen as one */

/* x as a matrix whose rows are what is normalised. */
static rlx_status rows_of(onnx_node *n, rlx_val x, int64_t axis, rlx_val *out_rows) {
  RLX_TRY(onnx_axis(axis, onnx_rank(n, x) ? onnx_rank(n, x) : 1, &axis));
  rlx_flatten_attrs f = rlx_flatten_init();
  f.axis = axis;
  *out_rows = rlx_flatten(n->g, x, &f);
  return RLX_OK;
}

rlx_status import_softmax(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), y;
  rlx_ints dims = onnx_dims(n, x);
  RLX_TRY(rows_of(n, x, onnx_int(n, "axis", 1), &y));
  y = rlx_graph_add(n->g, strcmp(n->op, "Softmax") == 0 ? "softmax" : "log_softmax", &y, 1, NULL);
  n->out[0] = onnx_reshape(n, y, dims.data, dims.n);
  return RLX_OK;
}

rlx_status import_hardmax(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), y = x;
  rlx_ints dims = onnx_dims(n, x);
  int64_t axis = onnx_int(n, "axis", n->opset < 13 ? 1 : -1);
  if (n->opset < 13) {
    RLX_TRY(rows_of(n, x, axis, &y));
    axis = 1;
  }
  size_t rank = onnx_rank(n, y);
  rlx_argmax_attrs most = rlx_argmax_init();
  rlx_range_attrs places = rlx_range_init();
  RLX_TRY(onnx_axis(axis, rank, &most.axis));
  most.keep = true;
  places.count = (rlx_ints){&onnx_dims(n, y).data[most.axis], 1};
  rlx_val at = onnx_along(n, rlx_range(n->g, &places), (size_t)most.axis, rank);
  y = rlx_eq(n->g, rlx_argmax(n->g, y, &most), at);
  n->out[0] = onnx_reshape(n, onnx_cast(n, y, onnx_dtype_of(n, x)), dims.data, dims.n);
  return RLX_OK;
}

/* --- order and scans */

rlx_status import_topk(onnx_node *n) {
  rlx_topk_attrs a = rlx_topk_init();
  a.axis = onnx_int(n, "axis", -1);
  a.smallest = !onnx_int(n, "largest", 1);
  a.k = onnx_int(n, "k", 1);
  onnx_bind k = {"k", n->opset < 10 ? RLX_NIL : onnx_in(n, 1)};
  onnx_outputs(n, onnx_add(n, "topk", n->in, 1, &a, &k, 1));
  return RLX_OK;
}

rlx_status import_cumulate(onnx_node *n) {
  rlx_cumsum_attrs a = rlx_cumsum_init();
  onnx_bind axis = {"axis", onnx_in(n, 1)};
  a.exclusive = onnx_int(n, "exclusive", 0) != 0;
  a.reverse = onnx_int(n, "reverse", 0) != 0;
  bool sum = strcmp(n->op, "CumSum") == 0;
  n->out[0] = onnx_add(n, sum ? "cumsum" : "cumprod", n->in, 1, &a, &axis, 1);
  return RLX_OK;
}
