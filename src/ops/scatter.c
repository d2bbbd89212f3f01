/* ops/scatter.c: writing by index: scatter_elements, scatter_nd, scatter_add, dynamic_update_slice.
 *
 * Laws: without a reduction the last write to an element wins; with one, updates fold into x in
 * their order. */
#include <math.h>
#include <string.h>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/kernel.h"

/* --- reductions; the place in the table is the shim's number */

static const struct {
  const char *word;
  const elementwise_row *row; /* NULL: replace */
} reductions[] = {
    {"none", NULL},        {"add", &row_add},     {"mul", &row_mul},
    {"max", &row_maximum}, {"min", &row_minimum},
};

static int reduction_of(const char *word) {
  int i = 0;
  while (strcmp(reductions[i].word, word) != 0) i++; /* the row lists the same words */
  return i;
}

static bool is_ordered(int reduction) {
  return reductions[reduction].row == &row_maximum || reductions[reduction].row == &row_minimum;
}

static rlx_status reduction_infer(ir_infer *c, const char *word) {
  const elementwise_row *row = reductions[reduction_of(word)].row;
  return infer_kinds(c, 0, row ? row->kinds : KINDS_PLAIN);
}

/* What a reference writes into: the output, or wide elements that are rounded once at the end. */
typedef struct target {
  rlx_tensor *out;
  const elementwise_row *row;
  ref_scalar *wide;
} target;

static rlx_status target_begin(target *t, rlx_tensor *out, const char *word) {
  *t = (target){.out = out, .row = reductions[reduction_of(word)].row};
  if (!t->row) return RLX_OK;
  t->wide = mem_new((size_t)out->count + 1, sizeof *t->wide);
  if (!t->wide) return status_memory((size_t)out->count * sizeof *t->wide);
  for (int64_t i = 0; i < out->count; i++) t->wide[i] = ref_get(out, i);
  return RLX_OK;
}

static void target_write(target *t, int64_t i, const rlx_tensor *from, int64_t j) {
  if (t->row) t->wide[i] = elementwise_apply(t->row, NULL, t->wide[i], ref_get(from, j));
  else ref_copy(t->out, i, from, j);
}

static void target_end(target *t) {
  for (int64_t i = 0; i < t->out->count && t->wide; i++) ref_put(t->out, i, t->wide[i]);
  mem_free(t->wide);
}

/* x [outer, rows, inner], updates [outer, n, inner] at the rows `at` [n]; shaped as the output. */
static mx scatter_rows(lower_call *c, mx x, int64_t outer, int64_t rows, int64_t inner, mx at,
                       mx updates, int64_t n, int reduction) {
  const ir_type *out = lower_out_type(c, 0);
  if (n == 0) return x;
  x = mx_reshape(c->m, x, 3, (const int64_t[]){outer, rows, inner});
  at = mx_reshape(c->m, at, 1, &n);
  updates = mx_reshape(c->m, updates, 3, (const int64_t[]){outer, n, inner});
  updates = mx_transpose(c->m, updates, (const int[]){1, 0, 2}, 3);
  updates = mx_reshape(c->m, updates, 4, (const int64_t[]){n, outer, 1, inner});
  mx y = mx_scatter(c->m, x, &at, 1, updates, (const int[]){1}, reduction);
  if (is_ordered(reduction) && dtype_kind(out->dtype) == RLX_KIND_FLOAT) {
    /* MLX loses a NaN that meets a number: where there were any is scattered beside. */
    const mx before = mx_cast(c->m, mx_is_nan(c->m, x), out->dtype);
    const mx among = mx_cast(c->m, mx_is_nan(c->m, updates), out->dtype);
    const mx any = mx_scatter(c->m, before, &at, 1, among, (const int[]){1}, reduction_of("max"));
    y = mx_where(c->m, mx_cast(c->m, any, RLX_BOOL), mx_scalar(c->m, out->dtype, NAN), y);
  }
  return mx_reshape(c->m, y, out->rank, out->dims);
}

/* --- kernels: x, or zeros, copied; then the updates. Sums are in the element type, one after the
 * other; half-width floats and complex numbers are left to MLX */

typedef struct scatter_state {
  cpu_copy copy; /* of operand 0, or of a 0 */
  index_moves moves;
  size_t width;
  index_fold fold;
  uint32_t index, updates; /* operands */
} scatter_state;

static rlx_status scatter_run(const void *state, const cpu_run *run, const void *const *in,
                              void *const *out) {
  static const uint64_t zero = 0;
  const scatter_state *s = state;
  copy_run(&s->copy, s->updates ? in[0] : &zero, out[0], run->threads);
  return index_scatter(&s->moves, in[s->index], in[s->updates], out[0], s->width, s->fold);
}

static bool reduction_covers(const ir_infer *c, const char *word) {
  return !reductions[reduction_of(word)].row || index_fold_of(word, c->in[0].dtype);
}

/* updates: the operand; with 0 the result starts as zeros. */
static rlx_status scatter_kernel_of(kernel_call *c, const char *name, const index_moves *m,
                                    const char *reduction, uint32_t updates) {
  static const int64_t zeros[RLX_MAX_RANK];
  const cpu_view *x = &c->in[0], *out = &c->out[0];
  scatter_state *s = kernel_state(c, sizeof *s);
  if (!s) return status_memory(sizeof *s);
  s->moves = *m;
  s->width = dtype_bytes(x->dtype);
  s->fold = index_fold_of(reduction, x->dtype);
  s->index = 1;
  s->updates = updates;
  copy_make(&s->copy, s->width, out->rank, out->dims, updates ? x->strides : zeros, out->strides);
  c->state = s;
  c->run = scatter_run;
  c->name = name;
  return RLX_OK;
}

/* --- scatter_elements */

static rlx_status scatter_elements_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *index = &c->in[1], *updates = &c->in[2];
  rlx_scatter_elements_attrs *a = OWN_ATTRS(scatter_elements);
  RLX_TRY(reduction_infer(c, a->reduction));
  RLX_TRY(infer_same_dtype(c, 0, 2));
  RLX_TRY(infer_axis_of(c, &a->axis, x->rank));
  RLX_TRY(infer_rank(c, 1, x->rank, x->rank));
  RLX_TRY(infer_rank(c, 2, x->rank, x->rank));
  RLX_TRY(index_infer(c, 1, x->dims[a->axis]));
  for (int64_t i = 0; i < (int64_t)x->rank; i++) {
    const rlx_dim n = infer_either(index->dims[i], updates->dims[i]);
    if (infer_differ(index->dims[i], updates->dims[i]))
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %lld has %lld indices and %lld updates",
                        (long long)i, (long long)index->dims[i], (long long)updates->dims[i]);
    if (i != a->axis && infer_differ(n, x->dims[i]) && n > x->dims[i])
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %lld has %lld updates, x only %lld", (long long)i,
                        (long long)n, (long long)x->dims[i]);
  }
  return infer_same(c);
}

static rlx_status scatter_elements_ref(ref_call *c) {
  const rlx_scatter_elements_attrs *a = c->attrs;
  const rlx_tensor *x = c->in[0], *index = c->in[1];
  int64_t strides[RLX_MAX_RANK], coord[RLX_MAX_RANK] = {0}, at;
  target t;
  ref_copy_all(c->out[0], x);
  RLX_TRY(target_begin(&t, c->out[0], a->reduction));
  ref_strides(x->rank, x->dims, strides);
  rlx_status status = RLX_OK;
  for (int64_t i = 0; i < index->count; i++, ref_next(index->rank, index->dims, coord)) {
    status = ref_index(tensor_int(index, i), x->dims[a->axis], &at);
    if (status != RLX_OK) break;
    int64_t to = (at - coord[a->axis]) * strides[a->axis];
    for (uint32_t k = 0; k < x->rank; k++) to += coord[k] * strides[k];
    target_write(&t, to, c->in[2], i);
  }
  target_end(&t);
  return status;
}

/* Every update as a position in all of x. */
static void scatter_elements_lower(lower_call *c) {
  const rlx_scatter_elements_attrs *a = c->attrs;
  const ir_type *x = lower_in_type(c, 0), *index = lower_in_type(c, 1);
  int64_t strides[RLX_MAX_RANK], shape[RLX_MAX_RANK];
  ref_strides(x->rank, x->dims, strides);
  mx at = mx_cast(c->m, lower_indices(c, 1, x->dims[a->axis]), RLX_I64);
  at = mx_mul(c->m, at, mx_scalar(c->m, RLX_I64, (double)strides[a->axis]));
  for (uint32_t i = 0; i < x->rank; i++) {
    if (i == a->axis) continue;
    for (uint32_t k = 0; k < x->rank; k++) shape[k] = k == i ? index->dims[i] : 1;
    const mx along = mx_arange(c->m, 0, (double)strides[i], index->dims[i], RLX_I64);
    at = mx_add(c->m, at, mx_reshape(c->m, along, x->rank, shape));
  }
  c->out[0] = scatter_rows(c, c->in[0], 1, ref_product(x->dims, x->rank), 1, at, c->in[2],
                           ref_product(index->dims, index->rank), reduction_of(a->reduction));
}

static bool scatter_elements_covers(const ir_infer *c) {
  return reduction_covers(c, ATTRS(scatter_elements)->reduction);
}

static rlx_status scatter_elements_prepare(kernel_call *c) {
  const rlx_scatter_elements_attrs *a = c->attrs;
  const index_moves m = index_elements(&c->in[1], &c->out[0], a->axis);
  return scatter_kernel_of(c, "scatter_elements", &m, a->reduction, 2);
}

static const ir_kernel scatter_elements_kernel = {
    .covers = scatter_elements_covers, .prepare = scatter_elements_prepare, .in = {ORDER_ANY}};

RLX_BLOCK(scatter_elements) = {
    .infer = scatter_elements_infer,
    .ref = scatter_elements_ref,
    .lower = scatter_elements_lower,
    .kernel = &scatter_elements_kernel,
    .no_grad = NO_GRAD_YET,
    .onnx = "Scatter-9 axis; ScatterElements-11 axis reduction",
    .cases = CASES(
        "f32[3,3], i64[2,3]{1,0,2,0,-1,1}, f32[2,3]; f32[2,4], i32[2,3]{0:4}, f32[2,3] axis=1;"
        "f32[4], i64[6]{0,1,1,1,-1,3}, f32[6]; bool[4], i64[3]{0,0,2}, bool[3];"
        "c64[3], i64[2]{0,0}, c64[2]; f32[3,4], i64[2,6]{-4:4}, f32[2,6] axis=-1 reduction=add;"
        "i8[4], i64[9]{0:4}, i8[9]{-99:99} reduction=add;"
        "u64[4], i64[9]{0:4}, u64[9] reduction=mul; f16[4], i64[9]{0:4}, f16[9] reduction=mul;"
        "bf16[3], i64[5]{0:3}, bf16[5] reduction=max;"
        "i32[4], i64[9]{0:4}, i32[9]{-9:9} reduction=min;"
        "f64[4], i64[9]{0:4}, f64[9] reduction=max;"
        "i64[4], i32[9]{0:4}, i64[9]{-9:9} reduction=max;"
        "u8[3], i64[5]{0:3}, u8[5]{0:256} reduction=min; i16[3], i64[5]{0:3}, i16[5] reduction=mul;"
        "u32[3], i64[5]{0:3}, u32[5] reduction=add; u16[3], i64[5]{0:3}, u16[5] reduction=max;"
        "c64[3], i64[5]{0:3}, c64[5] reduction=add; c64[3], i64[5]{0:3}, c64[5] reduction=mul;"
        "f32[3], i64[0], f32[0]; f32[3]{1,nan,3}, i64[3]{0,1,2}, f32[3]{nan,5,2} reduction=max;"
        "f32[2]{1,3}, i64[3]{0,0,1}, f32[3]{nan,5,2} reduction=min; f32[0,2], i64[0,2], f32[0,2];"
        "f32[3], i64[2]{0,3}, f32[2] !index; f32[3], i64[2], f32[3] !shape;"
        "f32[3,1], i64[3,2]{0:3}, f32[3,2] !shape; f32[3], i64[2], f64[2] !dtype;"
        "bool[3], i64[2], bool[2] reduction=add !dtype;"
        "c64[3], i64[2], c64[2] reduction=max !dtype; f32[], i64[], f32[] !shape"),
};

/* --- scatter_nd: x [tuple.., inner..], indices [n.., k], updates [n.., inner..] */

static rlx_status scatter_nd_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *index = &c->in[1], *updates = &c->in[2];
  size_t k = 0;
  RLX_TRY(reduction_infer(c, ATTRS(scatter_nd)->reduction));
  RLX_TRY(infer_same_dtype(c, 0, 2));
  RLX_TRY(index_infer_tuples(c, 1, x->dims, x->rank, &k));
  const size_t n_axes = index->rank - 1u;
  RLX_TRY(infer_rank(c, 2, n_axes + x->rank - k, n_axes + x->rank - k));
  for (size_t i = 0; i < updates->rank; i++) {
    const rlx_dim wanted = i < n_axes ? index->dims[i] : x->dims[i - n_axes + k];
    if (infer_differ(wanted, updates->dims[i]))
      return infer_fail(c, RLX_ERROR_SHAPE,
                        "axis %zu of the updates has the size %lld, wanted %lld", i,
                        (long long)updates->dims[i], (long long)wanted);
  }
  return infer_same(c);
}

static rlx_status scatter_nd_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0], *index = c->in[1];
  const int64_t k = index->dims[index->rank - 1], n = index->count / k;
  const int64_t inner = ref_product(x->dims + k, x->rank - (size_t)k);
  target t;
  ref_copy_all(c->out[0], x);
  RLX_TRY(target_begin(&t, c->out[0], ATTRS(scatter_nd)->reduction));
  rlx_status status = RLX_OK;
  for (int64_t i = 0, at; i < n; i++) {
    status = index_position(index, i, x->dims, k, &at);
    if (status != RLX_OK) break;
    for (int64_t j = 0; j < inner; j++) target_write(&t, at * inner + j, c->in[2], i * inner + j);
  }
  target_end(&t);
  return status;
}

static void scatter_nd_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0), *index = lower_in_type(c, 1);
  const size_t k = (size_t)index->dims[index->rank - 1];
  c->out[0] = scatter_rows(c, c->in[0], 1, ref_product(x->dims, k),
                           ref_product(x->dims + k, x->rank - k), index_positions(c, 1, x->dims),
                           c->in[2], ref_product(index->dims, index->rank - 1),
                           reduction_of(ATTRS(scatter_nd)->reduction));
}

static bool scatter_nd_covers(const ir_infer *c) {
  return reduction_covers(c, ATTRS(scatter_nd)->reduction);
}

static rlx_status scatter_nd_prepare(kernel_call *c) {
  const cpu_view *x = &c->out[0], *index = &c->in[1];
  const size_t k = (size_t)index->dims[index->rank - 1];
  const int64_t inner = ref_product(x->dims + k, x->rank - k) * (int64_t)dtype_bytes(x->dtype);
  const index_moves m = index_tuples(index, x->dims, inner);
  return scatter_kernel_of(c, "scatter_nd", &m, ATTRS(scatter_nd)->reduction, 2);
}

static const ir_kernel scatter_nd_kernel = {
    .covers = scatter_nd_covers, .prepare = scatter_nd_prepare, .in = {ORDER_ANY}};

RLX_BLOCK(scatter_nd) = {
    .infer = scatter_nd_infer,
    .ref = scatter_nd_ref,
    .lower = scatter_nd_lower,
    .kernel = &scatter_nd_kernel,
    .no_grad = NO_GRAD_YET,
    .onnx = "ScatterND-11 reduction",
    .cases = CASES(
        "f32[5], i64[3,1]{1,-1,1}, f32[3]; f32[4,3], i64[2,1]{2,0}, f32[2,3];"
        "f32[2,3,4], i64[3,2]{0,2,-1,0,1,1}, f32[3,4];"
        "f32[3,2], i32[2,2,1]{0,1,1,-1}, f32[2,2,2] reduction=add;"
        "i32[4,2], i64[6,1]{-4:4}, i32[6,2]{-9:9} reduction=mul;"
        "f64[2,3], i64[5,2]{0:2}, f64[5] reduction=max; u8[4], i64[5,1]{0:4}, u8[5] reduction=min;"
        "f16[3], i64[5,1]{0:3}, f16[5] reduction=add; bool[3], i64[2,1]{0,2}, bool[2];"
        "c64[3], i64[3,1]{0,0,2}, c64[3] reduction=add; f32[3,2], i64[0,1], f32[0,2];"
        "f32[2], i64[1]{1}, f32[]; f32[0], i64[0,1], f32[0]; f32[3], i64[1,1]{3}, f32[1] !index;"
        "f32[3,2], i64[1,1]{0}, f32[1] !shape; f32[3], i64[1,2], f32[1] !shape;"
        "f32[3,2], i64[2,1]{0:3}, f32[1,2] !shape; f32[3], f32[1,1], f32[1] !dtype"),
};

/* --- scatter_add */

static rlx_status scatter_add_infer(ir_infer *c) {
  rlx_scatter_add_attrs *a = OWN_ATTRS(scatter_add);
  const ir_type *x = &c->in[0];
  RLX_TRY(reduction_infer(c, "add"));
  RLX_TRY(infer_axis_of(c, &a->axis, x->rank));
  RLX_TRY(infer_rank(c, 1, 1, 1));
  if (a->size.n != 1)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "size has %zu entries, wanted 1", a->size.n);
  RLX_TRY(index_infer(c, 1, a->size.data[0]));
  if (infer_differ(c->in[1].dims[0], x->dims[a->axis]))
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld indices for %lld slices",
                      (long long)c->in[1].dims[0], (long long)x->dims[a->axis]);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  memcpy(dims, x->dims, x->rank * sizeof *dims);
  dims[a->axis] = a->size.data[0];
  return RLX_OK;
}

static rlx_status scatter_add_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0];
  const int64_t axis = ATTRS(scatter_add)->axis, size = c->out[0]->dims[axis];
  int64_t outer, n, inner, at;
  target t;
  ref_around(x, axis, &outer, &n, &inner);
  RLX_TRY(target_begin(&t, c->out[0], "add"));
  rlx_status status = RLX_OK;
  for (int64_t j = 0; j < n; j++) {
    status = ref_index(tensor_int(c->in[1], j), size, &at);
    if (status != RLX_OK) break;
    for (int64_t o = 0; o < outer; o++)
      for (int64_t i = 0; i < inner; i++)
        target_write(&t, (o * size + at) * inner + i, x, (o * n + j) * inner + i);
  }
  target_end(&t);
  return status;
}

static void scatter_add_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0), *out = lower_out_type(c, 0);
  const size_t axis = (size_t)ATTRS(scatter_add)->axis;
  c->out[0] = scatter_rows(c, lower_zeros(c), ref_product(x->dims, axis), out->dims[axis],
                           ref_product(x->dims + axis + 1, x->rank - axis - 1),
                           lower_indices(c, 1, out->dims[axis]), c->in[0], x->dims[axis],
                           reduction_of("add"));
}

static bool scatter_add_covers(const ir_infer *c) { return reduction_covers(c, "add"); }

static rlx_status scatter_add_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0], *out = &c->out[0];
  const size_t axis = (size_t)ATTRS(scatter_add)->axis;
  const int64_t inner =
      ref_product(x->dims + axis + 1, x->rank - axis - 1) * (int64_t)dtype_bytes(x->dtype);
  const index_moves m = {.at = index_vector(&c->in[1], out->dims[axis], inner),
                         .outer = ref_product(x->dims, axis),
                         .named_outer = out->dims[axis] * inner,
                         .bytes = (size_t)inner};
  return scatter_kernel_of(c, "scatter_add", &m, "add", 0);
}

static const ir_kernel scatter_add_kernel = {.covers = scatter_add_covers,
                                             .prepare = scatter_add_prepare};

RLX_BLOCK(scatter_add) = {
    .infer = scatter_add_infer,
    .ref = scatter_add_ref,
    .lower = scatter_add_lower,
    .kernel = &scatter_add_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[5,2], i64[5]{0,2,2,-1,0} size=[4]; f32[2,3,2], i64[3]{0:5} axis=1 size=[5];"
        "i8[2,4], i32[4]{-3:3} axis=-1 size=[3]; c64[3], i64[3]{0,0,1} size=[2];"
        "f16[9,2], i64[9]{0:3} size=[3]; u64[4], i64[4]{0:2} size=[2]; f32[0,2], i64[0] size=[3];"
        "f32[2,0], i64[2]{0:2} size=[2]; f32[0], i64[0] size=[0];"
        "f32[2], i64[2]{0,2} size=[2] !index; f32[2], i64[3] size=[2] !shape;"
        "f32[2], i64[2,1] size=[2] !shape; f32[2], i64[2] !argument;"
        "bool[2], i64[2] size=[2] !dtype"),
};

/* --- dynamic_update_slice */

static rlx_status dynamic_update_slice_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *y = &c->in[1], *start = &c->in[2];
  int64_t *axis = &OWN_ATTRS(dynamic_update_slice)->axis;
  RLX_TRY(infer_same_dtype(c, 0, 1));
  RLX_TRY(infer_index_dtype(c, 2));
  RLX_TRY(infer_axis_of(c, axis, x->rank));
  RLX_TRY(infer_rank(c, 1, x->rank, x->rank));
  if (infer_differ(dim_product(&c->g->dims, start->dims, start->rank), 1))
    return infer_fail(c, RLX_ERROR_SHAPE, "operand 2 is where to start, wanted a single element");
  for (int64_t i = 0; i < (int64_t)x->rank; i++)
    if (infer_differ(y->dims[i], x->dims[i]) && (i != *axis || y->dims[i] > x->dims[i]))
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %lld of y has the size %lld, x %lld",
                        (long long)i, (long long)y->dims[i], (long long)x->dims[i]);
  return infer_same(c);
}

static rlx_status dynamic_update_slice_ref(ref_call *c) {
  const rlx_tensor *y = c->in[1];
  int64_t outer, n, inner, at = tensor_int(c->in[2], 0);
  ref_around(c->in[0], ATTRS(dynamic_update_slice)->axis, &outer, &n, &inner);
  const int64_t m = y->dims[ATTRS(dynamic_update_slice)->axis];
  if (at > n - m) at = n - m;
  if (at < 0) at = 0;
  ref_copy_all(c->out[0], c->in[0]);
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < m * inner; i++)
      ref_copy(c->out[0], (o * n + at) * inner + i, y, o * m * inner + i);
  return RLX_OK;
}

static void dynamic_update_slice_lower(lower_call *c) {
  const int64_t axis = ATTRS(dynamic_update_slice)->axis, m = lower_in_type(c, 1)->dims[axis];
  const int64_t last = lower_in_type(c, 0)->dims[axis] - m;
  c->out[0] = c->in[0];
  if (m == 0) return;
  mx at = mx_cast(c->m, mx_reshape(c->m, c->in[2], 1, (const int64_t[]){1}), RLX_I64);
  at = mx_minimum(c->m, at, mx_scalar(c->m, RLX_I64, (double)last));
  at = mx_maximum(c->m, at, mx_scalar(c->m, RLX_I64, 0));
  c->out[0] = mx_slice_update_at(c->m, c->in[0], c->in[1], mx_cast(c->m, at, RLX_I32), (int)axis);
}

typedef struct update_state {
  cpu_copy all, part;
  rlx_dtype index;
  int64_t last, step; /* where the part can start at most; bytes of a place */
} update_state;

static rlx_status update_run(const void *state, const cpu_run *run, const void *const *in,
                             void *const *out) {
  const update_state *s = state;
  int64_t at = s->index == RLX_I64 ? *(const int64_t *)in[2] : *(const int32_t *)in[2];
  if (at > s->last) at = s->last;
  if (at < 0) at = 0;
  copy_run(&s->all, in[0], out[0], run->threads);
  copy_run(&s->part, in[1], (char *)out[0] + at * s->step, run->threads);
  return RLX_OK;
}

static rlx_status dynamic_update_slice_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0], *y = &c->in[1], *out = &c->out[0];
  const size_t axis = (size_t)ATTRS(dynamic_update_slice)->axis, width = dtype_bytes(x->dtype);
  update_state *s = kernel_state(c, sizeof *s);
  if (!s) return status_memory(sizeof *s);
  copy_make(&s->all, width, x->rank, x->dims, x->strides, out->strides);
  copy_make(&s->part, width, y->rank, y->dims, y->strides, out->strides);
  s->index = c->in[2].dtype;
  s->last = x->dims[axis] - y->dims[axis];
  s->step = out->strides[axis] * (int64_t)width;
  c->state = s;
  c->run = update_run;
  c->name = "dynamic_update_slice";
  return RLX_OK;
}

static const ir_kernel dynamic_update_slice_kernel = {.prepare = dynamic_update_slice_prepare,
                                                      .in = {ORDER_ANY, ORDER_ANY, ORDER_ROWS},
                                                      .out = ORDER_SAME};

RLX_BLOCK(dynamic_update_slice) = {
    .infer = dynamic_update_slice_infer,
    .ref = dynamic_update_slice_ref,
    .lower = dynamic_update_slice_lower,
    .kernel = &dynamic_update_slice_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[5,2], f32[2,2], i64[1]{1}; f32[2,5], f32[2,3], i32[]{9} axis=-1;"
                   "i8[4], i8[2], i64[1,1]{-3}; f32[3], f32[2], i64[1]{-9223372036854775808};"
                   " c64[3], c64[3], i64[]{0};"
                   "bool[2,3,2], bool[2,1,2], i64[1]{2} axis=1; f32[3], f32[0], i64[1]{1};"
                   "f32[0,2], f32[0,2], i64[]{4}; f32[2], f32[3], i64[1] !shape;"
                   "f32[2,2], f32[1,1], i64[1] !shape; f32[2], f32[1], i64[2] !shape;"
                   "f32[2], f32[1], f32[1] !dtype; f32[2], i32[1], i64[1] !dtype"),
};
