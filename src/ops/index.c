/* ops/index.c: elements of x by index: gather, gather_elements, gather_nd; and one_hot. */
#include "ops/index.h"

#include "ops/kernel.h"

/* --- what gathers and scatters share */

/* Index i is into an axis of sizes[i % n]: fails for those that are known and out of range. */
static rlx_status check_known(ir_infer *c, size_t operand, const rlx_dim *sizes, size_t n) {
  const rlx_tensor *t = graph_constant(c->g, c->val[operand]);
  const rlx_dim *content = graph_value(c->g, c->val[operand])->content;
  int64_t dims[RLX_MAX_RANK];
  if (!type_sizes(&c->in[operand], dims)) return RLX_OK;
  const int64_t count = ref_product(dims, c->in[operand].rank);
  for (size_t k = 0; k < n && count; k++)
    if (sizes[k] == 0)
      return infer_fail(c, RLX_ERROR_INDEX, "there are indices into an axis without elements");
  if (!t && !content) return RLX_OK;
  for (int64_t i = 0; i < count; i++) {
    const rlx_dim index = t ? tensor_int(t, i) : content[i], size = sizes[(size_t)i % n];
    int64_t at;
    if (dim_known(size) && (t || dim_known(index))) RLX_TRY(ref_index(index, size, &at));
  }
  return RLX_OK;
}

rlx_status index_infer(ir_infer *c, size_t operand, rlx_dim n) {
  RLX_TRY(infer_index_dtype(c, operand));
  return check_known(c, operand, &n, 1);
}

rlx_status index_infer_tuples(ir_infer *c, size_t operand, const rlx_dim *sizes, size_t room,
                              size_t *out_n) {
  const ir_type *t = &c->in[operand];
  RLX_TRY(infer_index_dtype(c, operand));
  RLX_TRY(infer_rank(c, operand, 1, RLX_MAX_RANK));
  const rlx_dim n = t->dims[t->rank - 1];
  if (!dim_known(n) || n < 1 || n > (rlx_dim)room)
    return infer_fail(c, RLX_ERROR_SHAPE,
                      "the last axis of operand %zu must be a known number of 1 to %zu indices",
                      operand, room);
  *out_n = (size_t)n;
  return check_known(c, operand, sizes, *out_n);
}

rlx_status index_position(const rlx_tensor *t, int64_t i, const int64_t *sizes, int64_t n,
                          int64_t *out_position) {
  int64_t position = 0;
  for (int64_t k = 0; k < n; k++) {
    int64_t at;
    RLX_TRY(ref_index(tensor_int(t, i * n + k), sizes[k], &at));
    position = position * sizes[k] + at;
  }
  *out_position = position;
  return RLX_OK;
}

mx index_positions(lower_call *c, size_t operand, const int64_t *sizes) {
  const ir_type *t = lower_in_type(c, operand);
  const int64_t n = t->dims[t->rank - 1];
  int64_t strides[RLX_MAX_RANK];
  ref_strides((size_t)n, sizes, strides);
  const mx tuples = mx_cast(c->m, lower_tuples(c, operand, sizes), RLX_I64);
  const mx steps = mx_from_data(c->m, RLX_I64, 1, &n, strides);
  return mx_reduce_sum(c->m, mx_mul(c->m, tuples, steps), (const int[]){(int)t->rank - 1}, 1,
                       false);
}

index_plan index_vector(const cpu_view *index, int64_t n, int64_t step) {
  return (index_plan){
      .dtype = index->dtype, .tuple = 1, .count = view_count(index), .sizes = {n}, .step = {step}};
}

index_moves index_tuples(const cpu_view *index, const int64_t *sizes, int64_t inner) {
  index_moves m = {.at = index_vector(index, 0, 0), .outer = 1, .bytes = (size_t)inner};
  m.at.tuple = (uint32_t)index->dims[index->rank - 1];
  m.at.count /= m.at.tuple;
  ref_strides(m.at.tuple, sizes, m.at.step);
  for (uint32_t t = 0; t < m.at.tuple; t++) {
    m.at.sizes[t] = sizes[t];
    m.at.step[t] *= inner;
  }
  return m;
}

index_moves index_elements(const cpu_view *index, const cpu_view *x, int64_t axis) {
  const size_t width = dtype_bytes(x->dtype);
  index_moves m = {.at = index_vector(index, x->dims[axis], 0), .outer = 1, .bytes = width};
  m.at.rank = x->rank;
  ref_strides(x->rank, x->dims, m.at.along);
  for (uint32_t i = 0; i < x->rank; i++) {
    m.at.dims[i] = index->dims[i];
    m.at.along[i] *= (int64_t)width;
  }
  m.at.step[0] = m.at.along[axis];
  m.at.along[axis] = 0;
  return m;
}

/* --- gather */

static rlx_status gather_run(const void *state, const cpu_run *run, const void *const *in,
                             void *const *out) {
  return index_gather(state, in[1], in[0], out[0], run->threads);
}

static rlx_status gather_kernel_of(kernel_call *c, const char *name, const index_moves *m) {
  index_moves *state = kernel_state(c, sizeof *state);
  if (!state) return status_memory(sizeof *state);
  *state = *m;
  c->state = state;
  c->run = gather_run;
  c->name = name;
  return RLX_OK;
}

static rlx_status gather_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *index = &c->in[1];
  int64_t *axis = &OWN_ATTRS(gather)->axis;
  RLX_TRY(infer_axis_of(c, axis, x->rank));
  RLX_TRY(index_infer(c, 1, x->dims[*axis]));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank - 1 + index->rank, &dims));
  for (int64_t i = 0; i < *axis; i++) *dims++ = x->dims[i];
  for (uint32_t i = 0; i < index->rank; i++) *dims++ = index->dims[i];
  for (int64_t i = *axis + 1; i < (int64_t)x->rank; i++) *dims++ = x->dims[i];
  return RLX_OK;
}

/* x [outer, n, inner], indices [m]: out [outer, m, inner] */
static rlx_status gather_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0], *index = c->in[1];
  const int64_t m = index->count;
  int64_t outer, n, inner, at;
  ref_around(x, ATTRS(gather)->axis, &outer, &n, &inner);
  for (int64_t j = 0; j < m; j++) {
    RLX_TRY(ref_index(tensor_int(index, j), n, &at));
    for (int64_t o = 0; o < outer; o++)
      for (int64_t i = 0; i < inner; i++)
        ref_copy(c->out[0], (o * m + j) * inner + i, x, (o * n + at) * inner + i);
  }
  return RLX_OK;
}

static void gather_lower(lower_call *c) {
  const int64_t axis = ATTRS(gather)->axis;
  const mx index = lower_indices(c, 1, lower_in_type(c, 0)->dims[axis]);
  c->out[0] = mx_take(c->m, c->in[0], index, (int)axis);
}

static rlx_status gather_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0];
  const uint32_t axis = (uint32_t)ATTRS(gather)->axis;
  const int64_t bytes =
      ref_product(x->dims + axis + 1, x->rank - axis - 1) * (int64_t)dtype_bytes(x->dtype);
  index_moves m = {.outer = ref_product(x->dims, axis),
                   .named_outer = x->dims[axis] * bytes,
                   .bytes = (size_t)bytes};
  m.at = index_vector(&c->in[1], x->dims[axis], bytes);
  return gather_kernel_of(c, "gather", &m);
}

static const ir_kernel gather_kernel = {.prepare = gather_prepare};

RLX_BLOCK(gather) = {
    .infer = gather_infer,
    .ref = gather_ref,
    .lower = gather_lower,
    .kernel = &gather_kernel,
    .no_grad = NO_GRAD_YET,
    .onnx = "Gather-1 axis",
    .cases = CASES(
        "f32[5,3], i64[4]{0,-1,2,-5}; f32[5,3], i64[]{2} axis=1; i8[4], i32[2,3]{-4:4};"
        "f32[2,3,4], i64[2]{0:3} axis=-2; bool[3], i64[1]{0}; c64[3,2], i32[2]{-1,0};"
        "f32[3,0], i64[2]{0:3}; f32[3], i64[0]; f32[0], i64[0]; f32[3], i64[1]{3} !index;"
        "f32[3], i64[2]{0,-4} !index; f32[0], i64[1]{0} !index; f32[3], f32[1] !dtype;"
        "f32[], i64[1] !shape; f32[3], i64[1] axis=1 !shape"),
};

/* --- gather_elements */

static rlx_status gather_elements_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *index = &c->in[1];
  int64_t *axis = &OWN_ATTRS(gather_elements)->axis;
  RLX_TRY(infer_axis_of(c, axis, x->rank));
  RLX_TRY(infer_rank(c, 1, x->rank, x->rank));
  RLX_TRY(index_infer(c, 1, x->dims[*axis]));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  for (int64_t i = 0; i < (int64_t)x->rank; i++) {
    dims[i] = index->dims[i];
    if (i != *axis && infer_differ(dims[i], x->dims[i]) && dims[i] > x->dims[i])
      return infer_fail(c, RLX_ERROR_SHAPE,
                        "axis %lld of the indices has the size %lld, x only %lld", (long long)i,
                        (long long)dims[i], (long long)x->dims[i]);
  }
  return RLX_OK;
}

static rlx_status gather_elements_ref(ref_call *c) {
  const int64_t axis = ATTRS(gather_elements)->axis;
  const rlx_tensor *x = c->in[0], *index = c->in[1];
  int64_t strides[RLX_MAX_RANK], coord[RLX_MAX_RANK] = {0}, at;
  ref_strides(x->rank, x->dims, strides);
  for (int64_t i = 0; i < index->count; i++, ref_next(index->rank, index->dims, coord)) {
    RLX_TRY(ref_index(tensor_int(index, i), x->dims[axis], &at));
    int64_t from = (at - coord[axis]) * strides[axis];
    for (uint32_t k = 0; k < x->rank; k++) from += coord[k] * strides[k];
    ref_copy(c->out[0], i, x, from);
  }
  return RLX_OK;
}

/* MLX wants the other axes to be equal: x is cut to those of the indices. */
static void gather_elements_lower(lower_call *c) {
  const int64_t axis = ATTRS(gather_elements)->axis;
  const ir_type *x = lower_in_type(c, 0), *index = lower_in_type(c, 1);
  int64_t zeros[RLX_MAX_RANK] = {0}, counts[RLX_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++) counts[i] = i == axis ? x->dims[i] : index->dims[i];
  const mx part = lower_cut(c, c->in[0], x->rank, zeros, counts, NULL);
  c->out[0] = mx_take_along_axis(c->m, part, lower_indices(c, 1, x->dims[axis]), (int)axis);
}

static rlx_status gather_elements_prepare(kernel_call *c) {
  const index_moves m = index_elements(&c->in[1], &c->in[0], ATTRS(gather_elements)->axis);
  return gather_kernel_of(c, "gather_elements", &m);
}

static const ir_kernel gather_elements_kernel = {.prepare = gather_elements_prepare};

RLX_BLOCK(gather_elements) = {
    .infer = gather_elements_infer,
    .ref = gather_elements_ref,
    .lower = gather_elements_lower,
    .kernel = &gather_elements_kernel,
    .no_grad = NO_GRAD_YET,
    .onnx = "GatherElements-11 axis",
    .cases = CASES(
        "f32[3,3], i64[2,3]{-3:3}; f32[2,4], i32[2,5]{0:4} axis=1;"
        "f32[4,4], i64[2,2]{-4:4} axis=-1; i64[3], i64[4]{0,-1,2,1};"
        "c64[2,3,2], i64[2,1,2]{0:3} axis=1; bool[2,2], i64[2,2]{0:2}; f32[3,2], i64[0,2];"
        "f32[3], i64[1]{-4} !index; f32[0,2], i64[1,2]{0:1} !index; f32[2,2], i64[2,3]{0:2} !shape;"
        "f32[2,2], i64[2]{0:2} !shape; f32[2], u8[2] !dtype"),
};

/* --- gather_nd: x [batch.., tuple.., inner..], indices [batch.., n.., k] */

static rlx_status gather_nd_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *index = &c->in[1];
  const int64_t batch = ATTRS(gather_nd)->batch;
  if (batch < 0 || batch >= (int64_t)x->rank || batch >= (int64_t)index->rank)
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld batch axes, wanted fewer than either operand has",
                      (long long)batch);
  size_t k = 0;
  RLX_TRY(index_infer_tuples(c, 1, x->dims + batch, x->rank - (size_t)batch, &k));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, index->rank - 1 + x->rank - (size_t)batch - k, &dims));
  for (uint32_t i = 0; i + 1 < index->rank; i++) {
    if (i < batch && infer_differ(index->dims[i], x->dims[i]))
      return infer_fail(c, RLX_ERROR_SHAPE, "batch axis %u has the sizes %lld and %lld", i,
                        (long long)x->dims[i], (long long)index->dims[i]);
    *dims++ = i < batch ? infer_either(index->dims[i], x->dims[i]) : index->dims[i];
  }
  for (size_t i = (size_t)batch + k; i < x->rank; i++) *dims++ = x->dims[i];
  return RLX_OK;
}

/* The sizes of the merged axes: x [batch, places, inner], indices [batch, n, k]. */
typedef struct nd_plan {
  int64_t batch, places, inner, n, k;
} nd_plan;

static nd_plan nd_plan_of(int64_t batch, size_t x_rank, const int64_t *x, size_t index_rank,
                          const int64_t *index) {
  const size_t b = (size_t)batch, k = (size_t)index[index_rank - 1];
  return (nd_plan){.batch = ref_product(x, b),
                   .places = ref_product(x + b, k),
                   .inner = ref_product(x + b + k, x_rank - b - k),
                   .n = ref_product(index + b, index_rank - 1 - b),
                   .k = (int64_t)k};
}

static rlx_status gather_nd_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0], *index = c->in[1];
  const int64_t batch = ATTRS(gather_nd)->batch;
  const nd_plan p = nd_plan_of(batch, x->rank, x->dims, index->rank, index->dims);
  for (int64_t i = 0; i < p.batch * p.n; i++) {
    int64_t at;
    RLX_TRY(index_position(index, i, x->dims + batch, p.k, &at));
    for (int64_t j = 0; j < p.inner; j++)
      ref_copy(c->out[0], i * p.inner + j, x, (i / p.n * p.places + at) * p.inner + j);
  }
  return RLX_OK;
}

static void gather_nd_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0), *index = lower_in_type(c, 1), *out = lower_out_type(c, 0);
  const int64_t batch = ATTRS(gather_nd)->batch;
  const nd_plan p = nd_plan_of(batch, x->rank, x->dims, index->rank, index->dims);
  mx at =
      mx_reshape(c->m, index_positions(c, 1, x->dims + batch), 2, (const int64_t[]){p.batch, p.n});
  mx first = mx_arange(c->m, 0, (double)p.places, p.batch, RLX_I64);
  at = mx_add(c->m, at, mx_reshape(c->m, first, 2, (const int64_t[]){p.batch, 1}));
  const mx rows = mx_reshape(c->m, c->in[0], 2, (const int64_t[]){p.batch * p.places, p.inner});
  c->out[0] = mx_reshape(c->m, mx_take(c->m, rows, at, 0), out->rank, out->dims);
}

static rlx_status gather_nd_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0], *index = &c->in[1];
  const int64_t batch = ATTRS(gather_nd)->batch;
  const nd_plan p = nd_plan_of(batch, x->rank, x->dims, index->rank, index->dims);
  index_moves m = index_tuples(index, x->dims + batch, p.inner * (int64_t)dtype_bytes(x->dtype));
  m.at.rank = 2;
  m.at.dims[0] = p.batch;
  m.at.dims[1] = p.n;
  m.at.along[0] = p.places * (int64_t)m.bytes;
  return gather_kernel_of(c, "gather_nd", &m);
}

static const ir_kernel gather_nd_kernel = {.prepare = gather_nd_prepare};

RLX_BLOCK(gather_nd) = {
    .infer = gather_nd_infer,
    .ref = gather_nd_ref,
    .lower = gather_nd_lower,
    .kernel = &gather_nd_kernel,
    .no_grad = NO_GRAD_YET,
    .onnx = "GatherND-11 batch=batch_dims",
    .cases = CASES(
        "f32[2,3], i64[2,2]{0,2,-1,-3}; f32[2,3], i64[4,1]{-2:2};"
        "f32[2,3,4], i64[2,1,1]{-3:3} batch=1; i32[2,2,3], i32[2,2,1]{0:3} batch=2;"
        "bool[3], i64[1]{1}; c64[2,3], i64[1,1]{1}; f32[2,3], i64[0,2]; f32[2,0], i64[2,1]{0:2};"
        "f32[4,3,2], i64[3,2,2]{0:3}; f32[2,3], i64[1,2]{0,3} !index; f32[2,3], i64[1,3] !shape;"
        "f32[2,3], i64[1,0] !shape; f32[2,3], i64[3,1]{0:2} batch=1 !shape;"
        "f32[2,3], i64[2] batch=2 !shape; f32[2], f32[1] !dtype"),
};

/* --- one_hot */

static rlx_status one_hot_infer(ir_infer *c) {
  rlx_one_hot_attrs *a = OWN_ATTRS(one_hot);
  const ir_type *index = &c->in[0];
  RLX_TRY(infer_index_dtype(c, 0));
  if (!(KINDS_PLAIN >> dtype_kind(a->dtype) & 1u))
    return infer_fail(c, RLX_ERROR_DTYPE, "dtype is %s, a block format", dtype_name(a->dtype));
  if (!infer_fits(a->dtype, a->on) || !infer_fits(a->dtype, a->off))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%s cannot hold %g and %g", dtype_name(a->dtype),
                      a->on, a->off);
  if (dim_known(a->depth) && a->depth < 0)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "depth is %lld, wanted 0 or more",
                      (long long)a->depth);
  RLX_TRY(infer_axis_of(c, &a->axis, index->rank + 1u));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, a->dtype, index->rank + 1u, &dims));
  for (int64_t i = 0, from = 0; i <= (int64_t)index->rank; i++)
    dims[i] = i == a->axis ? a->depth : index->dims[from++];
  return RLX_OK;
}

/* indices [outer, inner], out [outer, depth, inner] */
static rlx_status one_hot_ref(ref_call *c) {
  const rlx_one_hot_attrs *a = c->attrs;
  int64_t outer, depth, inner;
  ref_around(c->out[0], a->axis, &outer, &depth, &inner);
  for (int64_t i = 0; i < c->out[0]->count; i++) {
    const int64_t place = i / inner % depth;
    int64_t index = tensor_int(c->in[0], i / inner / depth * inner + i % inner);
    if (index < 0) index += depth;
    tensor_set_real(c->out[0], i, index == place ? a->on : a->off);
  }
  return RLX_OK;
}

static void one_hot_lower(lower_call *c) {
  const rlx_one_hot_attrs *a = c->attrs;
  const ir_type *out = lower_out_type(c, 0);
  int64_t column[RLX_MAX_RANK], places[RLX_MAX_RANK];
  for (uint32_t i = 0; i < out->rank; i++) {
    column[i] = i == a->axis ? 1 : out->dims[i];
    places[i] = i == a->axis ? a->depth : 1;
  }
  const mx zero = mx_scalar(c->m, RLX_I64, 0), depth = mx_scalar(c->m, RLX_I64, (double)a->depth);
  const mx index = mx_cast(c->m, c->in[0], RLX_I64);
  const mx wrapped = mx_where(c->m, mx_lt(c->m, index, zero), mx_add(c->m, index, depth), index);
  const mx place = mx_reshape(c->m, mx_arange(c->m, 0, 1, a->depth, RLX_I64), out->rank, places);
  const mx hot = mx_eq(c->m, mx_reshape(c->m, wrapped, out->rank, column), place);
  c->out[0] =
      mx_where(c->m, hot, mx_scalar(c->m, a->dtype, a->on), mx_scalar(c->m, a->dtype, a->off));
}

typedef struct one_hot_state {
  rlx_dtype index;
  size_t width;
  int64_t outer, depth, inner;
  uint64_t on, off; /* elements */
  cpu_copy fill;
} one_hot_state;

static rlx_status one_hot_run(const void *state, const cpu_run *run, const void *const *in,
                              void *const *out) {
  const one_hot_state *s = state;
  copy_run(&s->fill, &s->off, out[0], run->threads);
  for (int64_t i = 0; i < s->outer * s->inner; i++) {
    int64_t at = s->index == RLX_I64 ? ((const int64_t *)in[0])[i] : ((const int32_t *)in[0])[i];
    if (at < 0) at += s->depth;
    if (at < 0 || at >= s->depth) continue;
    const int64_t to = ref_lane(i, s->depth, s->inner) + at * s->inner;
    memcpy((char *)out[0] + (size_t)to * s->width, &s->on, s->width);
  }
  return RLX_OK;
}

static rlx_status one_hot_prepare(kernel_call *c) {
  const rlx_one_hot_attrs *a = c->attrs;
  const cpu_view *out = &c->out[0];
  const uint32_t axis = (uint32_t)a->axis;
  const int64_t still = 0, count = view_count(out);
  one_hot_state *s = kernel_state(c, sizeof *s);
  if (!s) return status_memory(sizeof *s);
  s->index = c->in[0].dtype;
  s->width = dtype_bytes(out->dtype);
  s->outer = ref_product(out->dims, axis);
  s->depth = out->dims[axis];
  s->inner = ref_product(out->dims + axis + 1, out->rank - axis - 1);
  tensor_set_real(&(rlx_tensor){.dtype = out->dtype, .data = &s->on}, 0, a->on);
  tensor_set_real(&(rlx_tensor){.dtype = out->dtype, .data = &s->off}, 0, a->off);
  copy_make(&s->fill, s->width, 1, &count, &still, &(int64_t){1});
  c->state = s;
  c->run = one_hot_run;
  c->name = "one_hot";
  return RLX_OK;
}

static const ir_kernel one_hot_kernel = {.prepare = one_hot_prepare};

RLX_BLOCK(one_hot) = {
    .infer = one_hot_infer,
    .ref = one_hot_ref,
    .lower = one_hot_lower,
    .kernel = &one_hot_kernel,
    .no_grad = "indices have none",
    .cases = CASES(
        "i64[3]{0,-1,5} depth=4; i32[2,2]{-5:5} depth=3 axis=0 on=5 off=-1;"
        "i64[2,3]{0:4} depth=4 axis=1 dtype=i8; i64[]{1} depth=2 dtype=bool; i64[0] depth=3;"
        "i64[2]{0:2} depth=0; i64[2]{0:2} depth=2 dtype=c64 on=0.5;"
        "i64[3]{0:2} depth=2 dtype=f16 on=0.1; i64[2] depth=-1 !argument; i64[2] depth=2 dtype=u8 "
        "off=-1 !argument;"
        "i64[2] depth=2 axis=2 !shape; f32[2] depth=2 !dtype; i64[2] depth=2 dtype=q4_0 !dtype"),
};
