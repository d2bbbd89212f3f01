/* ops/shape.c: the same elements under another shape, joined or cut; and shapes as values.
 *
 * Laws: inference leaves canonical attributes behind (axes positive, -1 resolved), so that
 * references and lowerings read them as they are and a node keeps its meaning once sizes are
 * bound. */
#include <string.h>

#include "ops/block.h"
#include "ops/kernel.h"
#include "ops/view.h"

/* --- row-major order kept: reshape, squeeze, unsqueeze, flatten */

static rlx_status same_elements_ref(ref_call *c) {
  ref_copy_all(c->out[0], c->in[0]);
  return RLX_OK;
}

static void same_elements_lower(lower_call *c) {
  const ir_type *t = lower_out_type(c, 0);
  c->out[0] = mx_reshape(c->m, c->in[0], t->rank, t->dims);
}

#define SAME_ELEMENTS                                                                     \
  .ref = same_elements_ref, .lower = same_elements_lower, .view = view_reshape,           \
  .no_grad = NO_GRAD_YET

static rlx_status reshape_infer(ir_infer *c) {
  const rlx_ints want = ATTRS(reshape)->dims;
  rlx_dim *dims;
  RLX_TRY(infer_result(c, c->in[0].dtype, want.n, &dims));
  size_t open = want.n;
  for (size_t i = 0; i < want.n; i++) {
    dims[i] = want.data[i];
    if (dims[i] != -1) continue;
    if (open < want.n)
      return infer_fail(c, RLX_ERROR_SHAPE,
                        "dims has -1 at %zu and at %zu, only one size can be inferred", open, i);
    open = i;
    dims[i] = 1;
  }
  const rlx_dim total = dim_product(&c->g->dims, c->in[0].dims, c->in[0].rank);
  const rlx_dim rest = dim_product(&c->g->dims, dims, want.n);
  if (open < want.n) {
    if (rest == 0)
      return infer_fail(c, RLX_ERROR_SHAPE, "beside a size of 0 nothing can be inferred from -1");
    if (dim_known(total) && dim_known(rest) && total % rest != 0)
      return infer_fail(c, RLX_ERROR_SHAPE, "%lld elements do not fill a shape of %lld times -1",
                        (long long)total, (long long)rest);
    dims[open] = dim_combine(&c->g->dims, RLX_DIM_FLOORDIV, total, rest);
  } else if (infer_differ(total, rest)) {
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld elements do not fill a shape of %lld",
                      (long long)total, (long long)rest);
  }
  OWN_ATTRS(reshape)->dims.data = dims;
  return RLX_OK;
}

RLX_BLOCK(reshape) = {
    .infer = reshape_infer,
    SAME_ELEMENTS,
    .cases = CASES(
        "f32[2,3,4] dims=[4,-1]; f32[2,3] dims=[3,2]; i64[1] dims=[]; bool[4] dims=[2,1,2];"
        "f32[0,3] dims=[3,0,2]; f32[0,3] dims=[-1,3]; u8[] dims=[1,1]; f32[6] dims=[-1,-1] !shape;"
        "f32[6] dims=[4,-1] !shape; f32[6] dims=[4] !shape; f32[0] dims=[0,-1] !shape;"
        "f32[6] dims=[-2,-3] !shape"),
};

/* Keeps the axes that are not dropped. */
static rlx_status squeeze_result(ir_infer *c, const bool *drop, size_t n_drop) {
  const ir_type *x = &c->in[0];
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank - n_drop, &dims));
  for (size_t i = 0; i < x->rank; i++)
    if (!drop[i]) *dims++ = x->dims[i];
  return RLX_OK;
}

/* Without named axes it drops those that are known to be 1, and names them: sizes that are bound to
 * 1 later must not change the rank. */
static rlx_status squeeze_infer(ir_infer *c) {
  const ir_type *x = &c->in[0];
  rlx_ints *axes = &OWN_ATTRS(squeeze)->axes;
  bool drop[RLX_MAX_RANK] = {0}, all_known = true;
  RLX_TRY(infer_axes_of(c, axes, x->rank, drop));
  int64_t *dropped = infer_dims(c, x->rank);
  if (!dropped) return status_memory(x->rank * sizeof *dropped);
  size_t n = 0;
  for (uint32_t i = 0; i < x->rank; i++) {
    if (!dim_known(x->dims[i])) all_known = false;
    if (axes->n == 0) drop[i] = x->dims[i] == 1;
    if (drop[i] && infer_differ(x->dims[i], 1))
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %u has the size %lld, not 1", i,
                        (long long)x->dims[i]);
    if (drop[i]) dropped[n++] = i;
  }
  if (n == 0 && !all_known)
    return infer_fail(c, RLX_ERROR_SHAPE, "no size is known to be 1: name the axes");
  *axes = (rlx_ints){dropped, n};
  return squeeze_result(c, drop, n);
}

static rlx_status squeeze_infer_late(ir_infer *c) {
  const size_t gone = ATTRS(squeeze)->axes.n, rank = c->in[0].rank;
  if (gone > rank)
    return infer_fail(c, RLX_ERROR_SHAPE, "%zu axes to drop, there are %zu", gone, rank);
  return infer_fresh_result(c, rank - gone);
}

RLX_BLOCK(squeeze) = {
    .infer = squeeze_infer,
    .infer_late = squeeze_infer_late,
    SAME_ELEMENTS,
    .cases = CASES(
        "f32[1,3,1]; f32[1,3,1] axes=[-1]; i32[1,1]; f32[2,3]; f32[]; f32[1,0] axes=[0];"
        "f32[1,3] axes=[1] !shape; f32[1,3] axes=[2] !shape; f32[1,3] axes=[0,-2] !argument"),
};

static rlx_status unsqueeze_infer(ir_infer *c) {
  const ir_type *x = &c->in[0];
  rlx_ints *axes = &OWN_ATTRS(unsqueeze)->axes;
  if (axes->n == 0) return infer_fail(c, RLX_ERROR_ARGUMENT, "axes must be given");
  rlx_dim *dims;
  bool added[RLX_MAX_RANK] = {0};
  const size_t rank = x->rank + axes->n;
  RLX_TRY(infer_result(c, x->dtype, rank, &dims));
  RLX_TRY(infer_axes_of(c, axes, rank, added));
  for (size_t i = 0, from = 0; i < rank; i++) dims[i] = added[i] ? 1 : x->dims[from++];
  return RLX_OK;
}

static rlx_status unsqueeze_infer_late(ir_infer *c) {
  return infer_fresh_result(c, c->in[0].rank + ATTRS(unsqueeze)->axes.n);
}

RLX_BLOCK(unsqueeze) = {
    .infer = unsqueeze_infer,
    .infer_late = unsqueeze_infer_late,
    SAME_ELEMENTS,
    .cases = CASES("f32[2,3] axes=[0]; f32[2,3] axes=[-1,1]; i8[] axes=[0,1]; f32[0] axes=[1];"
                   "f32[2,3] axes=[3] !shape; f32[2,3] axes=[0,0] !argument; f32[2] !argument;"
                   "f32[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] axes=[0] !limit"),
};

static rlx_status flatten_infer(ir_infer *c) {
  const ir_type *x = &c->in[0];
  int64_t *axis = &OWN_ATTRS(flatten)->axis;
  const int64_t rank = x->rank;
  if (*axis < -rank || *axis > rank)
    return infer_fail(c, RLX_ERROR_SHAPE, "axis %lld is not in [-%lld, %lld]", (long long)*axis,
                      (long long)rank, (long long)rank);
  if (*axis < 0) *axis += rank;
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, 2, &dims));
  dims[0] = dim_product(&c->g->dims, x->dims, (size_t)*axis);
  dims[1] = dim_product(&c->g->dims, x->dims + *axis, (size_t)(rank - *axis));
  return RLX_OK;
}

RLX_BLOCK(flatten) = {
    .infer = flatten_infer,
    SAME_ELEMENTS,
    .onnx = "Flatten-1 axis",
    .cases = CASES(
        "f32[2,3,4]; f32[2,3,4] axis=0; f32[2,3,4] axis=3; i32[2,3,4] axis=-1; f32[0,3] axis=1;"
        "f32[] axis=0; f32[2,3] axis=3 !shape"),
};

/* --- transpose */

static rlx_status transpose_infer(ir_infer *c) {
  const ir_type *x = &c->in[0];
  rlx_ints *perm = &OWN_ATTRS(transpose)->perm;
  rlx_dim *dims;
  bool seen[RLX_MAX_RANK] = {0};
  int64_t reversed[RLX_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++) reversed[i] = x->rank - 1 - i;
  if (perm->n == 0) *perm = (rlx_ints){reversed, x->rank};
  if (perm->n != x->rank)
    return infer_fail(c, RLX_ERROR_SHAPE, "perm has %zu entries, wanted %u", perm->n, x->rank);
  RLX_TRY(infer_axes_of(c, perm, x->rank, seen));
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  for (uint32_t i = 0; i < x->rank; i++) dims[i] = x->dims[perm->data[i]];
  return RLX_OK;
}

static rlx_status transpose_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0];
  rlx_tensor *y = c->out[0];
  int64_t strides[RLX_MAX_RANK], coord[RLX_MAX_RANK] = {0};
  ref_strides(x->rank, x->dims, strides);
  for (int64_t i = 0; i < y->count; i++, ref_next(y->rank, y->dims, coord)) {
    int64_t from = 0;
    for (uint32_t k = 0; k < y->rank; k++)
      from += coord[k] * strides[ATTRS(transpose)->perm.data[k]];
    ref_copy(y, i, x, from);
  }
  return RLX_OK;
}

static void transpose_lower(lower_call *c) {
  const rlx_ints perm = ATTRS(transpose)->perm;
  c->out[0] = mx_transpose(c->m, c->in[0], mx_ints(c->m, perm.data, perm.n), perm.n);
}

static bool transpose_view(view_call *c) {
  for (uint32_t i = 0; i < c->in.rank; i++)
    c->strides[i] = c->in.strides[ATTRS(transpose)->perm.data[i]];
  return true;
}

RLX_BLOCK(transpose) = {
    .infer = transpose_infer,
    .ref = transpose_ref,
    .lower = transpose_lower,
    .view = transpose_view,
    .no_grad = NO_GRAD_YET,
    .onnx = "Transpose-1 perm",
    .cases = CASES(
        "f32[2,3,4]; f32[2,3,4] perm=[1,0,2]; c64[2,3]; i8[2,3,4] perm=[-1,0,1]; f32[0,3]; f32[];"
        "f32[2,1,2,1,2,1,2,3] perm=[7,0,6,1,5,2,4,3]; f32[2,3] perm=[0] !shape;"
        "f32[2,3] perm=[0,0] !argument; f32[2,3] perm=[0,2] !shape"),
};

/* --- expand */

static rlx_status expand_infer(ir_infer *c) {
  const rlx_ints want = ATTRS(expand)->dims;
  for (size_t i = 0; i < want.n; i++)
    if (dim_known(want.data[i]) && want.data[i] < 0)
      return infer_fail(c, RLX_ERROR_SHAPE, "dims has the size %lld", (long long)want.data[i]);
  const ir_type shape = {c->in[0].dtype, (uint32_t)want.n, want.data};
  return infer_broadcast_dims(c, &c->in[0], &shape, &c->out[0]);
}

static rlx_status expand_ref(ref_call *c) {
  rlx_tensor *y = c->out[0];
  int64_t coord[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < y->count; i++, ref_next(y->rank, y->dims, coord))
    ref_copy(y, i, c->in[0], ref_broadcast_index(c->in[0], y->rank, coord));
  return RLX_OK;
}

static void expand_lower(lower_call *c) {
  const ir_type *t = lower_out_type(c, 0);
  c->out[0] = mx_broadcast_to(c->m, c->in[0], t->rank, t->dims);
}

static bool expand_view(view_call *c) {
  const uint32_t added = view_type(c)->rank - c->in.rank; /* their strides stay 0 */
  for (uint32_t i = 0; i < c->in.rank; i++)
    c->strides[added + i] = c->in.dims[i] == 1 ? 0 : c->in.strides[i];
  return true;
}

RLX_BLOCK(expand) = {
    .infer = expand_infer,
    .ref = expand_ref,
    .lower = expand_lower,
    .view = expand_view,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[3,1] dims=[2,3,4]; f32[3] dims=[3]; f32[2,3] dims=[3]; bool[] dims=[2,2];"
        "f32[1] dims=[0]; f32[0,3] dims=[1,3]; f32[2,3] dims=[4] !shape; f32[1] dims=[-1] !shape"),
};

/* --- concat and split: x seen as [outer, n, inner], the pieces lie one after the other along n */

/* Copies `count` of n slices between a whole (from slice `at` on) and a piece. */
static void piece_copy(char *whole, int64_t n, int64_t at, char *piece, int64_t count,
                       int64_t outer, size_t slice, bool to_piece) {
  const size_t bytes = (size_t)count * slice;
  for (int64_t o = 0; o < outer && bytes; o++) {
    char *a = whole + (size_t)(o * n + at) * slice, *b = piece + (size_t)o * bytes;
    if (to_piece) memcpy(b, a, bytes);
    else memcpy(a, b, bytes);
  }
}

static rlx_status concat_infer(ir_infer *c) {
  const ir_type *x = &c->in[0];
  int64_t *axis = &OWN_ATTRS(concat)->axis;
  RLX_TRY(infer_axis_of(c, axis, x->rank));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  memcpy(dims, x->dims, x->rank * sizeof *dims);
  for (size_t k = 1; k < c->n_in; k++) {
    const ir_type *y = &c->in[k];
    RLX_TRY(infer_same_dtype(c, 0, k));
    RLX_TRY(infer_rank(c, k, x->rank, x->rank));
    for (int64_t i = 0; i < (int64_t)x->rank; i++) {
      if (i != *axis && infer_differ(dims[i], y->dims[i]))
        return infer_fail(c, RLX_ERROR_SHAPE,
                          "axis %lld of operand %zu has the size %lld, wanted %lld", (long long)i,
                          k, (long long)y->dims[i], (long long)dims[i]);
      dims[i] = i == *axis ? infer_add(c, dims[i], y->dims[i]) : infer_either(dims[i], y->dims[i]);
    }
  }
  return RLX_OK;
}

static rlx_status concat_ref(ref_call *c) {
  const int64_t axis = ATTRS(concat)->axis;
  rlx_tensor *y = c->out[0];
  int64_t outer, n, inner, at = 0;
  ref_around(y, axis, &outer, &n, &inner);
  for (size_t k = 0; k < c->n_in; at += c->in[k]->dims[axis], k++)
    piece_copy(y->data, n, at, c->in[k]->data, c->in[k]->dims[axis], outer,
               (size_t)inner * dtype_bytes(y->dtype), false);
  return RLX_OK;
}

static void concat_lower(lower_call *c) {
  c->out[0] = mx_concat(c->m, c->in, c->n_in, (int)ATTRS(concat)->axis);
}

typedef struct concat_state {
  size_t n;
  struct {
    cpu_copy copy;
    int64_t at; /* bytes */
  } parts[];
} concat_state;

static rlx_status concat_run(const void *state, const cpu_run *run, const void *const *in,
                             void *const *out) {
  const concat_state *s = state;
  for (size_t k = 0; k < s->n; k++)
    copy_run(&s->parts[k].copy, in[k], (char *)out[0] + s->parts[k].at, run->threads);
  return RLX_OK;
}

static rlx_status concat_prepare(kernel_call *c) {
  const int64_t axis = ATTRS(concat)->axis, *to = c->out[0].strides;
  const size_t width = dtype_bytes(c->out[0].dtype);
  const size_t bytes = sizeof(concat_state) + c->n_in * sizeof ((concat_state *)0)->parts[0];
  concat_state *s = kernel_state(c, bytes);
  if (!s) return status_memory(bytes);
  s->n = c->n_in;
  for (size_t k = 0, at = 0; k < c->n_in; k++) {
    const cpu_view *x = &c->in[k];
    copy_make(&s->parts[k].copy, width, x->rank, x->dims, x->strides, to);
    s->parts[k].at = (int64_t)(at * width) * to[axis];
    at += (size_t)x->dims[axis];
  }
  c->state = s;
  c->run = concat_run;
  c->name = "concat";
  return RLX_OK;
}

static const ir_kernel concat_kernel = {.prepare = concat_prepare,
                                        .in = {ORDER_ANY, ORDER_ANY, ORDER_ANY, ORDER_ANY},
                                        .out = ORDER_SAME};

RLX_BLOCK(concat) = {
    .infer = concat_infer,
    .ref = concat_ref,
    .lower = concat_lower,
    .kernel = &concat_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[2,3], f32[1,3]; f32[2,3], f32[2,1], f32[2,0] axis=-1; i64[2];"
                   "c64[1,2], c64[1,2] axis=1; bool[0,3], bool[2,3]; f32[2], i32[2] !dtype;"
                   "f32[2,3], f32[2,4] !shape; f32[2,3], f32[3] !shape; f32[], f32[] !shape;"
                   "f32[2], f32[2] axis=1 !shape"),
};

static rlx_status split_infer(ir_infer *c) {
  const ir_type *x = &c->in[0];
  const rlx_ints sizes = ATTRS(split)->sizes;
  int64_t *axis = &OWN_ATTRS(split)->axis;
  RLX_TRY(infer_axis_of(c, axis, x->rank));
  if (sizes.n < 1 || sizes.n > INFER_MAX_OUT)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "sizes has %zu entries, wanted 1 to %d", sizes.n,
                      INFER_MAX_OUT);
  rlx_dim total = 0;
  for (size_t k = sizes.n; k-- > 0;) { /* downwards: each result is made as output 0 */
    rlx_dim *dims;
    RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
    memcpy(dims, x->dims, x->rank * sizeof *dims);
    dims[*axis] = sizes.data[k];
    if (infer_differ(dims[*axis], x->dims[*axis]) && dims[*axis] > x->dims[*axis])
      return infer_fail(c, RLX_ERROR_SHAPE, "size %zu is %lld, axis %lld has %lld", k,
                        (long long)dims[*axis], (long long)*axis, (long long)x->dims[*axis]);
    c->out[k] = c->out[0];
    total = infer_add(c, total, sizes.data[k]);
  }
  if (infer_differ(total, x->dims[*axis]))
    return infer_fail(c, RLX_ERROR_SHAPE, "the sizes add up to %lld, axis %lld has %lld",
                      (long long)total, (long long)*axis, (long long)x->dims[*axis]);
  c->n_out = sizes.n;
  return RLX_OK;
}

static rlx_status split_ref(ref_call *c) {
  const int64_t axis = ATTRS(split)->axis;
  rlx_tensor *x = c->in[0];
  int64_t outer, n, inner, at = 0;
  ref_around(x, axis, &outer, &n, &inner);
  for (size_t k = 0; k < c->n_out; at += c->out[k]->dims[axis], k++)
    piece_copy(x->data, n, at, c->out[k]->data, c->out[k]->dims[axis], outer,
               (size_t)inner * dtype_bytes(x->dtype), true);
  return RLX_OK;
}

static void split_lower(lower_call *c) {
  const int64_t axis = ATTRS(split)->axis;
  const ir_type *x = lower_in_type(c, 0);
  int64_t starts[RLX_MAX_RANK] = {0};
  for (size_t k = 0; k < c->n_out; k++) {
    const rlx_dim *counts = lower_out_type(c, k)->dims;
    c->out[k] = lower_cut(c, c->in[0], x->rank, starts, counts, NULL);
    starts[axis] += counts[axis];
  }
}

static bool split_view(view_call *c) {
  const int64_t axis = ATTRS(split)->axis;
  for (size_t k = 0; k < c->nth; k++)
    c->offset += ATTRS(split)->sizes.data[k] * c->in.strides[axis];
  return view_same(c);
}

RLX_BLOCK(split) = {
    .infer = split_infer,
    .ref = split_ref,
    .lower = split_lower,
    .view = split_view,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[5,2] sizes=[2,3]; f32[2,6] axis=-1 sizes=[1,0,5]; i64[4] sizes=[4];"
                   "f32[0,3] sizes=[0,0]; f32[5] sizes=[2,2] !shape; f32[5] sizes=[6,-1] !shape;"
                   "i8[5] sizes=[4611686018427387904,4611686018427387904] !shape;"
                   "f32[5] !argument; f32[] sizes=[1] !shape"),
};

/* --- shapes as values */

/* A bound of a Python slice of n items, in [0, n]. */
static int64_t bound_of(int64_t bound, int64_t n) {
  if (bound < 0) return bound < -n ? 0 : bound + n;
  return bound < n ? bound : n;
}

static rlx_status shape_of_infer(ir_infer *c) {
  rlx_shape_of_attrs *a = OWN_ATTRS(shape_of);
  a->start = bound_of(a->start, c->in[0].rank);
  a->stop = bound_of(a->stop, c->in[0].rank);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, RLX_I64, 1, &dims));
  dims[0] = a->stop > a->start ? a->stop - a->start : 0;
  return RLX_OK;
}

static rlx_status shape_of_content(ir_infer *c, const rlx_dim *const *in, rlx_dim *out) {
  (void)in;
  memcpy(out, c->in[0].dims + ATTRS(shape_of)->start, (size_t)c->out[0].dims[0] * sizeof *out);
  return RLX_OK;
}

static rlx_status shape_of_ref(ref_call *c) {
  for (int64_t i = 0; i < c->out[0]->count; i++)
    tensor_set_int(c->out[0], i, c->in[0]->dims[ATTRS(shape_of)->start + i]);
  return RLX_OK;
}

static void shape_of_lower(lower_call *c) {
  c->out[0] = mx_from_data(c->m, RLX_I64, 1, lower_out_type(c, 0)->dims,
                           lower_in_type(c, 0)->dims + ATTRS(shape_of)->start);
}

RLX_BLOCK(shape_of) = {
    .infer = shape_of_infer,
    .ref = shape_of_ref,
    .lower = shape_of_lower,
    .content = shape_of_content,
    .no_grad = "it does not depend on the elements",
    .cases = CASES(
        "f32[2,3,4]; f32[2,3,4] start=1; f32[2,3,4] start=-2 stop=-1; f32[]; bool[0,5] stop=1;"
        "f32[2,3] start=2 stop=1; f32[2,3] start=-9 stop=9"),
};

static rlx_status range_infer(ir_infer *c) {
  const rlx_range_attrs *a = c->attrs;
  const rlx_dtype_kind kind = dtype_kind(a->dtype);
  if (!(KINDS_NUMBER >> kind & 1u))
    return infer_fail(c, RLX_ERROR_DTYPE, "dtype is %s, wanted integer or float",
                      dtype_name(a->dtype));
  if (kind != RLX_KIND_FLOAT && !(infer_fits(RLX_I64, a->start) && infer_fits(RLX_I64, a->step)))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "a range of %s cannot start at %g and step by %g",
                      dtype_name(a->dtype), a->start, a->step);
  if (a->count.n != 1)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "count has %zu entries, wanted 1", a->count.n);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, a->dtype, 1, &dims));
  dims[0] = a->count.data[0];
  return RLX_OK;
}

/* Element i of an integer range, which wraps. */
static int64_t range_at(const rlx_range_attrs *a, int64_t i) {
  return (int64_t)((uint64_t)(int64_t)a->start + (uint64_t)(int64_t)a->step * (uint64_t)i);
}

static rlx_status range_content(ir_infer *c, const rlx_dim *const *in, rlx_dim *out) {
  (void)in;
  for (int64_t i = 0; i < c->out[0].dims[0]; i++) {
    out[i] = range_at(ATTRS(range), i);
    if (!dim_known(out[i])) return RLX_ERROR_UNSUPPORTED;
  }
  return RLX_OK;
}

static rlx_status range_ref(ref_call *c) {
  const rlx_range_attrs *a = c->attrs;
  rlx_tensor *y = c->out[0];
  for (int64_t i = 0; i < y->count; i++)
    if (dtype_kind(y->dtype) == RLX_KIND_FLOAT)
      tensor_set_real(y, i, a->start + (double)i * a->step);
    else tensor_set_int(y, i, range_at(a, i));
  return RLX_OK;
}

/* Counted in whole numbers and scaled in a wide type: MLX's own arange adds the step again and
 * again in the element type. */
static void range_lower(lower_call *c) {
  const rlx_range_attrs *a = c->attrs;
  const bool real = dtype_kind(a->dtype) == RLX_KIND_FLOAT;
  const rlx_dtype wide = !real ? RLX_I64 : mx_ctx_device(c->m) == MX_CPU ? RLX_F64 : RLX_F32;
  mx i = mx_arange(c->m, 0, 1, lower_out_type(c, 0)->dims[0], wide);
  i = mx_mul(c->m, i, mx_scalar(c->m, wide, a->step));
  c->out[0] = mx_cast(c->m, mx_add(c->m, i, mx_scalar(c->m, wide, a->start)), a->dtype);
}

RLX_BLOCK(range) = {
    .infer = range_infer,
    .ref = range_ref,
    .lower = range_lower,
    .content = range_content,
    .no_grad = "it has no operands",
    .cases = CASES(
        "count=[5]; start=3 step=-2 count=[4] dtype=i32; start=0.5 step=0.1 count=[300] dtype=f32;"
        "step=0.25 count=[9] dtype=bf16; count=[0]; count=[300] dtype=u8; count=[7] dtype=f64;"
        "start=0.5 step=0.1 count=[4200000] dtype=f32; start=-3 step=7 count=[4200000] dtype=i16;"
        "count=[-1] !shape; !argument; step=0.5 count=[2] !argument; dtype=bool count=[2] !dtype"),
};
