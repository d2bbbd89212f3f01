/* ops/order.c: operations that compare elements along an axis: argmax, argmin, sort, argsort, topk.
 *
 * Laws: one order for all of them. Equal elements keep their order (-0 equals 0). NaN comes last
 * when sorting, in both directions, and wins as the largest and as the smallest. */
#include <stdlib.h>

#include "cpu/kernels.h"
#include "ops/block.h"
#include "ops/reduce.h"

/* --- argmax, argmin */

static rlx_status arg_infer(ir_infer *c, int64_t *axis, bool keep) {
  RLX_TRY(infer_along(c, axis, KINDS_NUMBER));
  const ir_type *x = &c->in[0];
  if (x->dims[*axis] == 0)
    return infer_fail(c, RLX_ERROR_SHAPE, "axis %lld has no elements, wanted 1 or more",
                      (long long)*axis);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, RLX_I64, keep ? x->rank : x->rank - 1, &dims));
  for (uint32_t i = 0; i < x->rank; i++) {
    if (i != *axis) *dims++ = x->dims[i];
    else if (keep) *dims++ = 1;
  }
  return RLX_OK;
}

static rlx_status arg_ref(ref_call *c, int64_t axis, bool last, bool smallest) {
  const rlx_tensor *x = c->in[0];
  int64_t outer, n, inner;
  ref_around(x, axis, &outer, &n, &inner);
  for (int64_t lane = 0; lane < outer * inner; lane++) {
    int64_t base = ref_lane(lane, n, inner), best = 0;
    uint64_t best_key = ref_order(x, base, smallest);
    for (int64_t i = 1; i < n; i++) {
      uint64_t key = ref_order(x, base + i * inner, smallest);
      if (key < best_key || (key == best_key && !last)) continue;
      best = i;
      best_key = key;
    }
    tensor_set_int(c->out[0], lane, best);
  }
  return RLX_OK;
}

static mx reversed(lower_call *c, mx x, const ir_type *t, int64_t axis) {
  int64_t starts[RLX_MAX_RANK] = {0}, steps[RLX_MAX_RANK];
  for (uint32_t i = 0; i < t->rank; i++) steps[i] = 1;
  starts[axis] = t->dims[axis] - 1;
  steps[axis] = -1;
  return lower_cut(c, x, t->rank, starts, t->dims, steps);
}

typedef mx arg_fn(mx_ctx *m, mx a, int axis, bool keep);

static void arg_lower(lower_call *c, arg_fn *f, int64_t axis, bool keep, bool last) {
  const ir_type *in = lower_in_type(c, 0);
  mx x = c->in[0];
  if (last) x = reversed(c, x, in, axis);
  x = mx_cast(c->m, f(c->m, x, (int)axis, keep), RLX_I64);
  if (last) x = mx_sub(c->m, mx_scalar(c->m, RLX_I64, (double)(in->dims[axis] - 1)), x);
  c->out[0] = x;
}

#define ARG(name, mlx, smallest)                                                        \
  static rlx_status name##_infer(ir_infer *c) {                                         \
    return arg_infer(c, &OWN_ATTRS(name)->axis, ATTRS(name)->keep);                     \
  }                                                                                     \
  static rlx_status name##_ref(ref_call *c) {                                           \
    return arg_ref(c, ATTRS(name)->axis, ATTRS(name)->last, smallest);                  \
  }                                                                                     \
  static void name##_lower(lower_call *c) {                                             \
    const rlx_##name##_attrs *a = c->attrs;                                             \
    arg_lower(c, mlx, a->axis, a->keep, a->last);                                       \
  }                                                                                     \
  static rlx_status name##_prepare(kernel_call *c) {                                    \
    reduce_spec spec = {.op = smallest ? FOLD_MIN : FOLD_MAX, .find = true};            \
    spec.last = ATTRS(name)->last;                                                      \
    return reduce_kernel_prepare(c, (rlx_ints){&ATTRS(name)->axis, 1}, &spec, #name);   \
  }                                                                                     \
  static const ir_kernel name##_kernel = {reduce_covers, name##_prepare, {ORDER_ANY},   \
                                          ORDER_ANY, false};                            \
  RLX_BLOCK(name) = {                                                                   \
      .infer = name##_infer,                                                            \
      .ref = name##_ref,                                                                \
      .lower = name##_lower,                                                            \
      .kernel = &name##_kernel,                                                         \
      .no_grad = "its result is an index",                                              \
      .cases = CASES("f32[2,3,4]; f32[2,3,4] axis=0; f32[2,3,4] axis=1 keep=true;"      \
                     "i32[3,9] axis=1; i32[3,9] axis=1 last=true; u8[9,3] axis=0 last=true;" \
                     "f32[5]{1,nan,3,nan,-inf}; f32[5]{1,nan,3,nan,-inf} last=true;"    \
                     "f16[3,4]; bf16[3,4]; f64[3,4]; i64[3,4]; u64[2]{1,18446744073709551615};" \
                     "f32[4]{-0.0,0,-0.0,-1}; f32[0,4]; f32[0,4] last=true; f32[1];"    \
                     "f32[4,0] !shape; f32[] !shape; f32[3] axis=1 !shape; c64[3] !dtype"), \
  }

ARG(argmax, mx_argmax, false);
ARG(argmin, mx_argmin, true);

/* --- sort, argsort, topk */

typedef struct entry {
  uint64_t key;
  int64_t index;
} entry;

static int compare_entries(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

/* The first k of each lane in order: elements into `values`, places into `indices` (or NULL). */
static rlx_status order_ref(const rlx_tensor *x, int64_t axis, bool descending, int64_t k,
                            rlx_tensor *values, rlx_tensor *indices) {
  int64_t outer, n, inner;
  ref_around(x, axis, &outer, &n, &inner);
  entry *entries = mem_new((size_t)n + 1, sizeof *entries);
  if (!entries) return status_memory((size_t)n * sizeof *entries);
  for (int64_t lane = 0; lane < outer * inner; lane++) {
    int64_t from = ref_lane(lane, n, inner), to = ref_lane(lane, k, inner);
    for (int64_t i = 0; i < n; i++)
      entries[i] = (entry){ref_order(x, from + i * inner, descending), i};
    qsort(entries, (size_t)n, sizeof *entries, compare_entries);
    for (int64_t i = 0; i < k; i++) {
      int64_t index = entries[i].index;
      if (values) ref_copy(values, to + i * inner, x, from + index * inner);
      if (indices) tensor_set_int(indices, to + i * inner, index);
    }
  }
  mem_free(entries);
  return RLX_OK;
}

/* x with its order turned round: the complement of integers, which unlike -x never overflows. */
static mx turned(lower_call *c, mx x) {
  if (dtype_kind(lower_in_type(c, 0)->dtype) == RLX_KIND_FLOAT) return mx_neg(c->m, x);
  return mx_bit_not(c->m, x);
}

static mx order_of(lower_call *c, int64_t axis, bool descending) {
  return mx_argsort(c->m, descending ? turned(c, c->in[0]) : c->in[0], (int)axis);
}

/* The results that are asked for are c->out[0] and on, values before places. */
static rlx_status order_kernel_prepare(kernel_call *c, int64_t axis, int64_t k, bool descending,
                                       bool values, bool places, const char *name) {
  order_spec spec = {.x = &c->in[0], .axis = (uint32_t)axis, .k = k, .descending = descending};
  spec.places_at = values && places;
  if (values) spec.values = &c->out[0];
  if (places) spec.places = &c->out[spec.places_at];
  c->run = order_run;
  c->name = name;
  return order_prepare(&spec, c->threads, c->mem, &c->state, &c->scratch);
}

static rlx_status sort_infer(ir_infer *c) {
  return infer_along(c, &OWN_ATTRS(sort)->axis, KINDS_NUMBER);
}

static rlx_status sort_ref(ref_call *c) {
  const rlx_sort_attrs *a = c->attrs;
  return order_ref(c->in[0], a->axis, a->descending, c->in[0]->dims[a->axis], c->out[0], NULL);
}

static void sort_lower(lower_call *c) {
  const rlx_sort_attrs *a = c->attrs;
  mx x = a->descending ? turned(c, c->in[0]) : c->in[0];
  x = mx_sort(c->m, x, (int)a->axis);
  c->out[0] = a->descending ? turned(c, x) : x;
}

#define SORT_CASES                                                                             \
  "f32[2,3,4]; f32[2,3,4] axis=0; f32[2,3,4] axis=1 descending=true; i32[3,9] axis=1;"         \
  "i32[3,9] axis=1 descending=true; u8[9,3] axis=0 descending=true; i8[4]{-128,127,0,-128};"   \
  "i8[4]{-128,127,0,-128} descending=true; u64[3]{1,18446744073709551615,0} descending=true;"  \
  "f32[6]{1,nan,3,-inf,nan,inf}; f32[6]{1,nan,3,-inf,nan,inf} descending=true;"                \
  "f16[3,4]; bf16[3,4] descending=true; f64[3,4]; i64[3,4]; u32[5]; i16[5]; u16[5];"           \
  "f32[4,0]; f32[0,4]; f32[1]; f32[300]; i32[300] descending=true;"                            \
  "f32[] !shape; f32[3] axis=1 !shape; c64[3] !dtype"

static rlx_status sort_prepare(kernel_call *c) {
  const rlx_sort_attrs *a = c->attrs;
  const int64_t k = c->in[0].dims[a->axis];
  return order_kernel_prepare(c, a->axis, k, a->descending, true, false, "sort");
}
static const ir_kernel sort_kernel = {NULL, sort_prepare, {ORDER_ANY}, ORDER_ROWS, false};

RLX_BLOCK(sort) = {
    .infer = sort_infer,
    .ref = sort_ref,
    .lower = sort_lower,
    .kernel = &sort_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(SORT_CASES),
};

static rlx_status argsort_infer(ir_infer *c) {
  RLX_TRY(infer_along(c, &OWN_ATTRS(argsort)->axis, KINDS_NUMBER));
  c->out[0].dtype = RLX_I64;
  return RLX_OK;
}

static rlx_status argsort_ref(ref_call *c) {
  const rlx_argsort_attrs *a = c->attrs;
  return order_ref(c->in[0], a->axis, a->descending, c->in[0]->dims[a->axis], NULL, c->out[0]);
}

static void argsort_lower(lower_call *c) {
  const rlx_argsort_attrs *a = c->attrs;
  c->out[0] = mx_cast(c->m, order_of(c, a->axis, a->descending), RLX_I64);
}

static rlx_status argsort_prepare(kernel_call *c) {
  const rlx_argsort_attrs *a = c->attrs;
  const int64_t k = c->in[0].dims[a->axis];
  return order_kernel_prepare(c, a->axis, k, a->descending, false, true, "argsort");
}
static const ir_kernel argsort_kernel = {NULL, argsort_prepare, {ORDER_ANY}, ORDER_ROWS, false};

RLX_BLOCK(argsort) = {
    .infer = argsort_infer,
    .ref = argsort_ref,
    .lower = argsort_lower,
    .kernel = &argsort_kernel,
    .no_grad = "its result is an index",
    .cases = CASES(SORT_CASES),
};

static rlx_status topk_infer(ir_infer *c) {
  rlx_topk_attrs *a = OWN_ATTRS(topk);
  RLX_TRY(infer_along(c, &a->axis, KINDS_NUMBER));
  const ir_type *x = &c->in[0];
  rlx_dim n = x->dims[a->axis];
  if (dim_known(a->k) && a->k < 0)
    return infer_fail(c, RLX_ERROR_SHAPE, "k is %lld, wanted 0 or more", (long long)a->k);
  if (infer_differ(n, a->k) && a->k > n)
    return infer_fail(c, RLX_ERROR_SHAPE, "k is %lld, axis %lld has %lld elements", (long long)a->k,
                      (long long)a->axis, (long long)n);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  for (uint32_t i = 0; i < x->rank; i++) dims[i] = i == a->axis ? a->k : x->dims[i];
  c->out[1] = (ir_type){RLX_I64, x->rank, dims};
  return RLX_OK;
}

static rlx_status topk_ref(ref_call *c) {
  const rlx_topk_attrs *a = c->attrs;
  return order_ref(c->in[0], a->axis, !a->smallest, a->k, c->out[0], c->out[1]);
}

static void topk_lower(lower_call *c) {
  const rlx_topk_attrs *a = c->attrs;
  const ir_type *out = lower_out_type(c, 0);
  const int64_t starts[RLX_MAX_RANK] = {0};
  mx order = order_of(c, a->axis, !a->smallest);
  order = lower_cut(c, order, out->rank, starts, out->dims, NULL);
  c->out[0] = mx_take_along_axis(c->m, c->in[0], order, (int)a->axis);
  c->out[1] = mx_cast(c->m, order, RLX_I64);
}

static rlx_status topk_prepare(kernel_call *c) {
  const rlx_topk_attrs *a = c->attrs;
  const int64_t k = c->out[0].dims[a->axis];
  return order_kernel_prepare(c, a->axis, k, !a->smallest, true, true, "topk");
}
static const ir_kernel topk_kernel = {NULL, topk_prepare, {ORDER_ANY}, ORDER_ROWS, false};

RLX_BLOCK(topk) = {
    .infer = topk_infer,
    .ref = topk_ref,
    .lower = topk_lower,
    .kernel = &topk_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[5] k=3; f32[2,3,4] k=2; f32[2,3,4] k=3 axis=1;"
                   "f32[3,4] k=2 axis=0 smallest=true;"
                   "i32[3,9] k=5; i32[3,9] k=5 smallest=true; u8[9] k=4; i64[9] k=9; f64[6] k=2;"
                   "f16[6] k=2; bf16[6] k=2; f32[5]{1,nan,3,nan,-inf} k=3;"
                   "f32[5]{1,nan,3,nan,-inf} k=4 smallest=true; f32[4] k=0; f32[0,4] k=2;"
                   "f32[4] k=5 !shape; f32[4] k=-1 !shape; f32[] !shape; bool[4] !dtype"),
};
