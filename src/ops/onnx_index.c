/* ops/onnx_index.c: importers of operators that cut, pad and rearrange. */
#include "ops/onnx.h"

/* --- Slice */

rlx_status import_slice(onnx_node *n) {
  rlx_slice_attrs a = rlx_slice_init();
  onnx_bind binds[4] = {
      {"starts", RLX_NIL}, {"stops", RLX_NIL}, {"axes", RLX_NIL}, {"steps", RLX_NIL}};
  if (n->opset < 10) {
    a.starts = onnx_ints(n, "starts");
    a.stops = onnx_ints(n, "ends");
    a.axes = onnx_ints(n, "axes");
  } else {
    for (size_t i = 0; i < 4; i++) binds[i].value = onnx_in(n, 1 + i);
  }
  n->out[0] = onnx_add(n, "slice", n->in, 1, &a, binds, 4);
  return RLX_OK;
}

/* --- Split */

/* Equal pieces, the last one smaller if it must be. */
static rlx_status split_evenly(onnx_node *n, rlx_dim size, rlx_dim *sizes, size_t count) {
  dim_table *t = &n->g->dims;
  int64_t k = (int64_t)count;
  if (dim_known(size) && size % k != 0 && n->opset < 18)
    return status_set(RLX_ERROR_SHAPE, "an axis of %lld elements in %zu equal parts",
                      (long long)size, count);
  rlx_dim each = dim_combine(t, RLX_DIM_CEILDIV, size, k);
  for (size_t i = 0; i < count; i++) sizes[i] = each;
  rlx_dim others = dim_combine(t, RLX_DIM_MUL, each, k - 1);
  sizes[count - 1] = dim_combine(t, RLX_DIM_SUB, size, others);
  return RLX_OK;
}

rlx_status import_split(onnx_node *n) {
  rlx_val x = onnx_in(n, 0);
  rlx_split_attrs a = rlx_split_init();
  onnx_bind bind = {"sizes", RLX_NIL};
  size_t parts = (size_t)onnx_int(n, "num_outputs", (int64_t)n->n_out);
  rlx_dim sizes[INFER_MAX_OUT];
  RLX_TRY(onnx_axis(onnx_int(n, "axis", 0), onnx_rank(n, x), &a.axis));
  if (parts == 0 || parts > INFER_MAX_OUT || n->n_out > parts)
    return status_set(RLX_ERROR_LIMIT, "%zu pieces, wanted 1 to %d", parts, INFER_MAX_OUT);
  if (n->opset < 13) {
    a.sizes = onnx_ints(n, "split");
  } else if (onnx_in(n, 1).id && !onnx_content(n, onnx_in(n, 1), &a.sizes)) {
    bind.value = onnx_in(n, 1);
  }
  if (!a.sizes.n && !bind.value.id) {
    RLX_TRY(split_evenly(n, onnx_dims(n, x).data[a.axis], sizes, parts));
    a.sizes = (rlx_ints){sizes, parts};
  }
  onnx_outputs(n, onnx_add(n, "split", &x, 1, &a, &bind, 1));
  return RLX_OK;
}

/* --- Pad: ONNX has all begins and then all ends in one list */

static rlx_status pad_lists(rlx_ints pads, rlx_ints axes, size_t rank, rlx_dim *before,
                            rlx_dim *after) {
  size_t count = axes.n ? axes.n : rank;
  if (pads.n != 2 * count)
    return status_set(RLX_ERROR_SHAPE, "%zu pads for %zu axes", pads.n, count);
  for (size_t i = 0; i < rank; i++) before[i] = after[i] = 0;
  for (size_t i = 0; i < count; i++) {
    int64_t axis = (int64_t)i;
    if (axes.n) RLX_TRY(onnx_axis(axes.data[i], rank, &axis));
    before[axis] = pads.data[i];
    after[axis] = pads.data[count + i];
  }
  return RLX_OK;
}

/* x padded with a value that is not known before the run: padded with zeros, then those are
 * replaced, told by a mask that is padded alike. */
static rlx_val pad_with(onnx_node *n, rlx_val x, const rlx_pad_attrs *a, const onnx_bind *binds,
                        rlx_val value) {
  rlx_expand_attrs all = rlx_expand_init();
  all.dims = onnx_dims(n, x);
  rlx_val inside = rlx_expand(n->g, rlx_scalar(n->g, RLX_BOOL, 1), &all);
  inside = onnx_add(n, "pad", &inside, 1, a, binds, 2);
  rlx_val padded = onnx_add(n, "pad", &x, 1, a, binds, 2);
  return rlx_where(n->g, inside, padded, onnx_reshape(n, value, NULL, 0));
}

/* The pads before (0) or after (1) each axis as a value. */
static rlx_val pads_value(onnx_node *n, int64_t half, size_t rank) {
  static const int64_t zeros[RLX_MAX_RANK];
  const rlx_val axes = onnx_in(n, 3);
  const rlx_ints named = onnx_dims(n, axes);
  const int64_t count = named.n == 1 && dim_known(named.data[0]) ? named.data[0] : (int64_t)rank;
  const rlx_val pads = onnx_slice(n, onnx_in(n, 1), 0, half * count, (half + 1) * count, 1);
  return axes.id ? rlx_scatter_elements(n->g, onnx_vector(n, zeros, rank), axes, pads, NULL) : pads;
}

rlx_status import_pad(onnx_node *n) {
  rlx_val x = onnx_in(n, 0), value = RLX_NIL;
  size_t rank = onnx_rank(n, x);
  rlx_pad_attrs a = rlx_pad_init();
  rlx_ints pads, axes = {0};
  rlx_dim before[RLX_MAX_RANK], after[RLX_MAX_RANK];
  onnx_bind binds[2] = {{"before", RLX_NIL}, {"after", RLX_NIL}};
  a.mode = onnx_string(n, "mode", "constant");
  a.value = onnx_float(n, "value", 0);
  bool known = true;
  if (n->opset < 11) {
    pads = onnx_ints(n, "pads");
  } else {
    if (strcmp(a.mode, "constant") == 0) value = onnx_in(n, 2);
    known = onnx_content(n, onnx_in(n, 1), &pads) &&
            (!onnx_in(n, 3).id || onnx_numbers(n, onnx_in(n, 3), &axes));
  }
  if (graph_constant(n->g, value)) {
    RLX_TRY(onnx_known_real(n, 2, &a.value));
    value = RLX_NIL;
  }
  if (known) {
    RLX_TRY(pad_lists(pads, axes, rank, before, after));
    a.before = (rlx_ints){before, rank};
    a.after = (rlx_ints){after, rank};
  } else {
    binds[0].value = pads_value(n, 0, rank);
    binds[1].value = pads_value(n, 1, rank);
  }
  if (rank == 0) n->out[0] = x;
  else if (value.id) n->out[0] = pad_with(n, x, &a, binds, value);
  else n->out[0] = onnx_add(n, "pad", &x, 1, &a, binds, 2);
  return RLX_OK;
}

/* --- blocks of pixels and channels */

static rlx_status block_operand(const onnx_node *n, rlx_val x, int64_t *block) {
  *block = onnx_int(n, "blocksize", 0);
  if (onnx_rank(n, x) != 4 || *block < 1 || *block > INT32_MAX)
    return status_set(RLX_ERROR_SHAPE, "wants four axes and a blocksize of 1 or more");
  return RLX_OK;
}

rlx_status import_depth_to_space(onnx_node *n) {
  static const int64_t depth_first[] = {0, 3, 4, 1, 5, 2}, columns_first[] = {0, 1, 4, 2, 5, 3};
  rlx_val x = onnx_in(n, 0);
  int64_t b;
  RLX_TRY(block_operand(n, x, &b));
  dim_table *t = &n->g->dims;
  const rlx_dim *d = onnx_dims(n, x).data;
  rlx_dim deep = dim_combine(t, RLX_DIM_FLOORDIV, d[1], b * b);
  size_t columns;
  RLX_TRY(onnx_word(n, "mode", "DCR|CRD", &columns));
  rlx_dim apart[6] = {d[0], columns ? deep : b, b, columns ? b : deep, d[2], d[3]};
  rlx_dim joined[4] = {d[0], deep, dim_combine(t, RLX_DIM_MUL, d[2], b),
                       dim_combine(t, RLX_DIM_MUL, d[3], b)};
  rlx_val y = onnx_reshape(n, x, apart, 6);
  y = onnx_transpose(n, y, columns ? columns_first : depth_first, 6);
  n->out[0] = onnx_reshape(n, y, joined, 4);
  return RLX_OK;
}

rlx_status import_space_to_depth(onnx_node *n) {
  static const int64_t blocks_first[] = {0, 3, 5, 1, 2, 4};
  static const int64_t channels_first[] = {0, 1, 3, 5, 2, 4};
  rlx_val x = onnx_in(n, 0);
  int64_t b;
  RLX_TRY(block_operand(n, x, &b));
  dim_table *t = &n->g->dims;
  const rlx_dim *d = onnx_dims(n, x).data;
  size_t columns;
  RLX_TRY(onnx_word(n, "mode", "DCR|CRD", &columns));
  rlx_dim rows = dim_combine(t, RLX_DIM_FLOORDIV, d[2], b);
  rlx_dim cols = dim_combine(t, RLX_DIM_FLOORDIV, d[3], b);
  rlx_dim apart[6] = {d[0], d[1], rows, b, cols, b};
  rlx_dim joined[4] = {d[0], dim_combine(t, RLX_DIM_MUL, d[1], b * b), rows, cols};
  rlx_val y = onnx_reshape(n, x, apart, 6);
  y = onnx_transpose(n, y, columns ? channels_first : blocks_first, 6);
  n->out[0] = onnx_reshape(n, y, joined, 4);
  return RLX_OK;
}

/* --- OneHot: indices, depth, [off, on] */

/* Element i of a vector as a scalar. */
static rlx_val pick(onnx_node *n, rlx_val v, int64_t i) {
  return onnx_reshape(n, onnx_slice(n, v, 0, i, i + 1, 1), NULL, 0);
}

rlx_status import_one_hot(onnx_node *n) {
  rlx_one_hot_attrs a = rlx_one_hot_init();
  rlx_val indices = onnx_cast(n, onnx_in(n, 0), RLX_I64), values = onnx_in(n, 2);
  double depth;
  onnx_bind bind = {"depth", RLX_NIL};
  rlx_ints count = onnx_dims(n, values);
  if (count.n != 1 || (dim_known(count.data[0]) && count.data[0] != 2))
    return status_set(RLX_ERROR_SHAPE, "the values must be two: off and on");
  if (graph_constant(n->g, onnx_in(n, 1))) {
    RLX_TRY(onnx_known_real(n, 1, &depth));
    if (!(depth >= 0 && depth <= INT32_MAX))
      return status_set(RLX_ERROR_ARGUMENT, "depth %g", depth);
    a.depth = (int64_t)depth;
  } else {
    bind.value = onnx_cast(n, onnx_in(n, 1), RLX_I64);
  }
  a.axis = onnx_int(n, "axis", -1);
  a.dtype = RLX_BOOL;
  rlx_val mask = onnx_add(n, "one_hot", &indices, 1, &a, &bind, 1);
  n->out[0] = rlx_where(n->g, mask, pick(n, values, 1), pick(n, values, 0));
  return RLX_OK;
}
