/* ops/move.c: elements taken from other places of the same tensor: slice, reverse, roll, pad, tile,
 * trilu.
 *
 * Laws: as in shape.c, inference leaves canonical attributes behind; references copy elements as
 * bytes, since the graph also runs them on sizes that have no value yet. */
#include <string.h>

#include "ops/block.h"
#include "ops/copy.h"
#include "ops/view.h"

static void fill(int64_t *list, size_t n, int64_t value) {
  for (size_t i = 0; i < n; i++) list[i] = value;
}

/* --- slice and reverse: element i of an axis comes from start + i * step */

static rlx_status strided_ref(ref_call *c, const int64_t *starts, const int64_t *steps) {
  const rlx_tensor *x = c->in[0];
  rlx_tensor *y = c->out[0];
  int64_t strides[RLX_MAX_RANK], coord[RLX_MAX_RANK] = {0};
  ref_strides(x->rank, x->dims, strides);
  for (int64_t i = 0; i < y->count; i++, ref_next(y->rank, y->dims, coord)) {
    int64_t from = 0;
    for (uint32_t k = 0; k < y->rank; k++) from += (starts[k] + coord[k] * steps[k]) * strides[k];
    ref_copy(y, i, x, from);
  }
  return RLX_OK;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) {
  return v < low ? low : v > high ? high : v;
}

/* ONNX's slice of n elements: the number taken; *start becomes the first. Unlike Python's a start
 * before all elements is the first one for negative steps too. */
static int64_t slice_count(int64_t n, int64_t *start, int64_t stop, int64_t step) {
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  *start = clamp(*start < 0 ? *start + n : *start, 0, high);
  stop = clamp(stop < 0 ? stop + n : stop, low, high);
  if (n == 0 || (step > 0 ? stop <= *start : stop >= *start)) return 0;
  return (stop - *start - (step > 0 ? 1 : -1)) / step + 1;
}

/* Exporters write INT32_MAX, too, for "to the end". */
static bool is_end(rlx_dim d) { return dim_known(d) && d >= INT32_MAX; }

/* Is it known to be no negative number? Sizes that come from a value ("?0") may be anything. */
static bool not_negative(ir_infer *c, rlx_dim d) {
  const char *name = dim_name(&c->g->dims, d);
  return !(name && name[0] == '?') && dim_combine(&c->g->dims, RLX_DIM_MAX, d, 0) == d;
}

/* Where a bound falls in an axis of n elements, n or the bound being symbolic; -1: nobody knows. */
static rlx_dim slice_bound(ir_infer *c, rlx_dim n, rlx_dim bound) {
  dim_table *t = &c->g->dims;
  if (is_end(bound)) return n;
  if (not_negative(c, bound)) return dim_combine(t, RLX_DIM_MIN, bound, n);
  if (dim_known(bound)) return dim_combine(t, RLX_DIM_MAX, infer_add(c, n, bound), 0);
  return -1;
}

/* The same as slice_count for symbolic sizes. */
static rlx_dim slice_extent(ir_infer *c, rlx_dim n, rlx_dim start, rlx_dim stop, int64_t step) {
  dim_table *t = &c->g->dims;
  if (step < 0) { /* only the whole axis, backwards */
    const bool whole = (start == -1 || is_end(start)) && dim_known(stop) && stop <= -INT32_MAX;
    return whole && step != INT64_MIN ? dim_combine(t, RLX_DIM_CEILDIV, n, -step) : dim_fresh(t);
  }
  rlx_dim extent;
  if (is_end(stop) && dim_known(start) && start < 0) {
    extent = dim_combine(t, RLX_DIM_MIN, infer_sub(c, 0, start), n);
  } else { /* a negative number means none: a start at or after 0 needs no bound beside it */
    const bool plain = not_negative(c, start), back = dim_known(stop) && stop < 0;
    const rlx_dim from = plain ? start : slice_bound(c, n, start);
    const rlx_dim to = plain && back ? infer_add(c, n, stop) : slice_bound(c, n, stop);
    if (from == -1 || to == -1) return dim_fresh(t); /* a whole size: nodes tell names */
    extent = dim_combine(t, RLX_DIM_MAX, infer_sub(c, to, from), 0);
  }
  return dim_combine(t, RLX_DIM_CEILDIV, extent, step);
}

static rlx_status slice_steps(ir_infer *c, rlx_ints *steps, size_t n) {
  if (steps->n && steps->n != n)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "steps has %zu entries, wanted %zu", steps->n, n);
  for (size_t i = 0; i < steps->n; i++)
    if (steps->data[i] == 0) return infer_fail(c, RLX_ERROR_ARGUMENT, "steps has 0 at %zu", i);
  if (steps->n) return RLX_OK;
  int64_t *ones = infer_dims(c, n);
  if (!ones) return status_memory(n * sizeof *ones);
  fill(ones, n, 1);
  *steps = (rlx_ints){ones, n};
  return RLX_OK;
}

static rlx_status slice_infer(ir_infer *c) {
  rlx_slice_attrs *a = OWN_ATTRS(slice);
  const ir_type *x = &c->in[0];
  if (a->starts.n != a->stops.n)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%zu starts and %zu stops", a->starts.n, a->stops.n);
  RLX_TRY(infer_axes_for(c, &a->axes, x->rank, a->starts.n));
  RLX_TRY(slice_steps(c, &a->steps, a->starts.n));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  for (uint32_t i = 0; i < x->rank; i++) dims[i] = x->dims[i];
  for (size_t i = 0; i < a->starts.n; i++) {
    rlx_dim *n = &dims[a->axes.data[i]], start = a->starts.data[i], stop = a->stops.data[i];
    *n = dim_known(*n) && dim_known(start) && dim_known(stop)
             ? slice_count(*n, &start, stop, a->steps.data[i])
             : slice_extent(c, *n, start, stop, a->steps.data[i]);
  }
  return RLX_OK;
}

static void slice_plan(const rlx_slice_attrs *a, size_t rank, const int64_t *dims, int64_t *starts,
                       int64_t *steps) {
  fill(starts, rank, 0);
  fill(steps, rank, 1);
  for (size_t i = 0; i < a->axes.n; i++) {
    const int64_t axis = a->axes.data[i];
    starts[axis] = a->starts.data[i];
    steps[axis] = a->steps.data[i];
    slice_count(dims[axis], &starts[axis], a->stops.data[i], steps[axis]);
  }
}

static rlx_status slice_ref(ref_call *c) {
  int64_t starts[RLX_MAX_RANK], steps[RLX_MAX_RANK];
  slice_plan(ATTRS(slice), c->in[0]->rank, c->in[0]->dims, starts, steps);
  return strided_ref(c, starts, steps);
}

static void slice_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0);
  int64_t starts[RLX_MAX_RANK], steps[RLX_MAX_RANK];
  slice_plan(ATTRS(slice), x->rank, x->dims, starts, steps);
  c->out[0] = lower_cut(c, c->in[0], x->rank, starts, lower_out_type(c, 0)->dims, steps);
}

static bool slice_view(view_call *c) {
  int64_t starts[RLX_MAX_RANK], steps[RLX_MAX_RANK];
  slice_plan(ATTRS(slice), c->in.rank, c->in.dims, starts, steps);
  return view_strided(c, starts, steps);
}

RLX_BLOCK(slice) = {
    .infer = slice_infer,
    .infer_late = infer_fresh, /* axes or steps */
    .ref = slice_ref,
    .lower = slice_lower,
    .view = slice_view,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[5,4] starts=[1] stops=[4];"
        "f32[5,4] starts=[-3,0] stops=[9223372036854775807,-1] axes=[1,0];"
        "i8[7] starts=[-1] stops=[-100] steps=[-2]; f32[7] starts=[5] stops=[1] steps=[-3];"
        "f32[7] starts=[1] stops=[7] steps=[4]; f32[4] starts=[3] stops=[3];"
        "f32[4] starts=[-9] stops=[9]; f32[4] starts=[9] stops=[-9] steps=[-9223372036854775808];"
        "c64[3,2] starts=[1] stops=[2]; f32[0,3] starts=[0,1] stops=[5,2];"
        "f32[0] starts=[-1] stops=[-9] steps=[-1]; f32[3,2];"
        "f32[1] starts=[-2] stops=[-5] steps=[-2];"
        "f32[5] starts=[1] stops=[-4611686018427387904];"
        "f32[0] starts=[0] stops=[-9] steps=[-1];"
        "f32[4] starts=[0] stops=[1] steps=[0] !argument; f32[4] starts=[0,0] stops=[1,1] !shape;"
        "f32[4] starts=[0] stops=[1,2] !argument;"
        "f32[4,4] starts=[0,0] stops=[1,1] axes=[0,-2] !argument"),
};

static rlx_status reverse_infer(ir_infer *c) {
  rlx_ints *axes = &OWN_ATTRS(reverse)->axes;
  const size_t rank = c->in[0].rank;
  RLX_TRY(infer_axes_for(c, axes, rank, axes->n ? axes->n : rank));
  return infer_same(c);
}

static void reverse_plan(rlx_ints axes, size_t rank, const int64_t *dims, int64_t *starts,
                         int64_t *steps) {
  fill(starts, rank, 0);
  fill(steps, rank, 1);
  for (size_t i = 0; i < axes.n; i++) {
    starts[axes.data[i]] = dims[axes.data[i]] - 1;
    steps[axes.data[i]] = -1;
  }
}

static rlx_status reverse_ref(ref_call *c) {
  int64_t starts[RLX_MAX_RANK], steps[RLX_MAX_RANK];
  reverse_plan(ATTRS(reverse)->axes, c->in[0]->rank, c->in[0]->dims, starts, steps);
  return strided_ref(c, starts, steps);
}

static void reverse_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0);
  int64_t starts[RLX_MAX_RANK], steps[RLX_MAX_RANK];
  reverse_plan(ATTRS(reverse)->axes, x->rank, x->dims, starts, steps);
  c->out[0] = lower_cut(c, c->in[0], x->rank, starts, x->dims, steps);
}

static bool reverse_view(view_call *c) {
  int64_t starts[RLX_MAX_RANK], steps[RLX_MAX_RANK];
  reverse_plan(ATTRS(reverse)->axes, c->in.rank, c->in.dims, starts, steps);
  return view_strided(c, starts, steps);
}

RLX_BLOCK(reverse) = {
    .infer = reverse_infer,
    .ref = reverse_ref,
    .lower = reverse_lower,
    .view = reverse_view,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[2,3]; f32[2,3] axes=[-1]; i64[4] axes=[0]; c64[2,1,3] axes=[2,0]; f32[]; f32[0,2];"
        "f32[2] axes=[1] !shape; f32[2,3] axes=[1,-1] !argument"),
};

/* --- roll */

static rlx_status roll_infer(ir_infer *c) {
  rlx_roll_attrs *a = OWN_ATTRS(roll);
  RLX_TRY(infer_axes_for(c, &a->axes, c->in[0].rank, a->shifts.n));
  return infer_same(c);
}

/* A shift as a number of places in [0, n). */
static int64_t roll_places(int64_t shift, int64_t n) {
  const int64_t places = n ? shift % n : 0;
  return places < 0 ? places + n : places;
}

static rlx_status roll_ref(ref_call *c) {
  const rlx_roll_attrs *a = c->attrs;
  const rlx_tensor *x = c->in[0];
  rlx_tensor *y = c->out[0];
  int64_t places[RLX_MAX_RANK] = {0}, coord[RLX_MAX_RANK] = {0};
  for (size_t i = 0; i < a->axes.n; i++)
    places[a->axes.data[i]] = roll_places(a->shifts.data[i], x->dims[a->axes.data[i]]);
  for (int64_t i = 0; i < y->count; i++, ref_next(y->rank, y->dims, coord)) {
    int64_t from = 0;
    for (uint32_t k = 0; k < y->rank; k++) {
      const int64_t at = coord[k] - places[k];
      from = from * x->dims[k] + (at < 0 ? at + x->dims[k] : at);
    }
    ref_copy(y, i, x, from);
  }
  return RLX_OK;
}

static void roll_lower(lower_call *c) {
  const rlx_roll_attrs *a = c->attrs;
  const ir_type *x = lower_in_type(c, 0);
  const int64_t zeros[RLX_MAX_RANK] = {0};
  c->out[0] = c->in[0];
  for (size_t i = 0; i < a->axes.n; i++) {
    const int64_t axis = a->axes.data[i], n = x->dims[axis];
    const int64_t places = roll_places(a->shifts.data[i], n);
    if (places == 0) continue;
    int64_t starts[RLX_MAX_RANK] = {0}, counts[RLX_MAX_RANK];
    memcpy(counts, x->dims, x->rank * sizeof *counts);
    starts[axis] = n - places;
    counts[axis] = places;
    const mx head = lower_cut(c, c->out[0], x->rank, starts, counts, NULL);
    counts[axis] = n - places;
    const mx tail = lower_cut(c, c->out[0], x->rank, zeros, counts, NULL);
    c->out[0] = mx_concat(c->m, (const mx[]){head, tail}, 2, (int)axis);
  }
}

static int64_t roll_place(const void *ctx, uint32_t axis, int64_t j) {
  const kernel_call *c = ctx;
  const rlx_roll_attrs *a = c->attrs;
  const int64_t n = c->in[0].dims[axis];
  for (size_t i = 0; i < a->axes.n; i++)
    if (a->axes.data[i] == axis) return roll_places(j - roll_places(a->shifts.data[i], n), n);
  return j;
}

static rlx_status roll_prepare(kernel_call *c) {
  return places_prepare(c, "roll", roll_place, c, 0);
}

static const ir_kernel roll_kernel = {
    .prepare = roll_prepare, .in = {ORDER_ANY}, .out = ORDER_SAME};

RLX_BLOCK(roll) = {
    .infer = roll_infer,
    .ref = roll_ref,
    .lower = roll_lower,
    .kernel = &roll_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[5] shifts=[2]; f32[3,4] shifts=[-1,9] axes=[1,0]; i32[3,4] shifts=[3];"
                   "f32[0,2] shifts=[1]; f32[2,3]; bool[4] shifts=[-9223372036854775808];"
                   "f32[3] shifts=[1,1] !shape; f32[3,3] shifts=[1,1] axes=[0,0] !argument;"
                   "f32[3] shifts=[1,1] axes=[0] !argument"),
};

/* --- pad: negative amounts cut first, the mode continues what is left */

/* What is left of an axis: m elements from lo on. */
typedef struct pad_core {
  int64_t lo, m;
} pad_core;

static pad_core pad_core_of(int64_t n, int64_t before, int64_t after) {
  const int64_t lo = before < 0 ? -before : 0, cut = after < 0 ? -after : 0;
  return (pad_core){lo, n - lo - cut};
}

/* The element of the axis that stands at place j of the padded one, relative to the core's first;
 * -1: the constant. The mode is told by its first letter. */
static int64_t pad_source(char mode, pad_core core, int64_t j) {
  const int64_t m = core.m, period = mode == 'r' ? 2 * (m - 1) : m;
  if (j >= 0 && j < m) return core.lo + j;
  if (mode == 'c') return -1;
  if (mode == 'e') return core.lo + (j < 0 ? 0 : m - 1);
  int64_t k = period ? j % period : 0;
  if (k < 0) k += period;
  return core.lo + (k < m ? k : period - k);
}

static rlx_status pad_infer(ir_infer *c) {
  const rlx_pad_attrs *a = c->attrs;
  const ir_type *x = &c->in[0];
  if (a->before.n != x->rank || a->after.n != x->rank)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "before has %zu entries and after %zu, wanted %u each",
                      a->before.n, a->after.n, x->rank);
  if (!infer_fits(x->dtype, a->value))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%s cannot hold the value %g", dtype_name(x->dtype),
                      a->value);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  for (uint32_t i = 0; i < x->rank; i++) {
    const rlx_dim n = x->dims[i], before = a->before.data[i], after = a->after.data[i];
    dims[i] = infer_add(c, infer_add(c, n, before), after);
    if (!dim_known(n) || !dim_known(before) || !dim_known(after)) continue;
    if (!size_add(n, before, &dims[i]) || !size_add(dims[i], after, &dims[i]))
      return infer_fail(c, RLX_ERROR_LIMIT, "axis %u of %lld would grow by %lld and %lld", i,
                        (long long)n, (long long)before, (long long)after);
    const pad_core core = pad_core_of(n, before, after);
    if (core.lo > n || core.m < 0)
      return infer_fail(c, RLX_ERROR_SHAPE, "%lld and %lld cut more than the %lld of axis %u",
                        (long long)before, (long long)after, (long long)n, i);
    if (core.m == 0 && a->mode[0] != 'c' && (before > 0 || after > 0))
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %u is empty, mode %s has nothing to repeat", i,
                        a->mode);
  }
  return RLX_OK;
}

static rlx_status pad_ref(ref_call *c) {
  const rlx_pad_attrs *a = c->attrs;
  const rlx_tensor *x = c->in[0];
  rlx_tensor *y = c->out[0];
  int64_t coord[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < y->count; i++, ref_next(y->rank, y->dims, coord)) {
    int64_t from = 0;
    for (uint32_t k = 0; k < y->rank && from >= 0; k++) {
      const pad_core core = pad_core_of(x->dims[k], a->before.data[k], a->after.data[k]);
      const int64_t before = a->before.data[k] > 0 ? a->before.data[k] : 0;
      const int64_t at = pad_source(a->mode[0], core, coord[k] - before);
      from = at < 0 ? -1 : from * x->dims[k] + at;
    }
    if (from < 0) tensor_set_real(y, i, a->value);
    else ref_copy(y, i, x, from);
  }
  return RLX_OK;
}

/* Another order of an axis, with repetitions. */
static mx pad_axis(lower_call *c, mx x, int axis, int64_t n, int64_t before, int64_t after) {
  const pad_core core = pad_core_of(n, before, after);
  const int64_t count = n + before + after, first = before > 0 ? before : 0;
  int32_t *from = mem_new((size_t)count, sizeof *from);
  if (!from && count) return mx_fail(c->m, status_memory((size_t)count * sizeof *from));
  for (int64_t i = 0; i < count; i++)
    from[i] = (int32_t)pad_source(ATTRS(pad)->mode[0], core, i - first);
  x = mx_take(c->m, x, mx_from_data(c->m, RLX_I32, 1, &count, from), axis);
  mem_free(from);
  return x;
}

static void pad_lower(lower_call *c) {
  const rlx_pad_attrs *a = c->attrs;
  const ir_type *x = lower_in_type(c, 0);
  c->out[0] = c->in[0];
  if (a->mode[0] != 'c') {
    for (uint32_t i = 0; i < x->rank; i++)
      if (a->before.data[i] || a->after.data[i])
        c->out[0] = pad_axis(c, c->out[0], (int)i, x->dims[i], a->before.data[i], a->after.data[i]);
    return;
  }
  int64_t starts[RLX_MAX_RANK], counts[RLX_MAX_RANK];
  int64_t before[RLX_MAX_RANK], after[RLX_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++) {
    const pad_core core = pad_core_of(x->dims[i], a->before.data[i], a->after.data[i]);
    starts[i] = core.lo;
    counts[i] = core.m;
    before[i] = a->before.data[i] > 0 ? a->before.data[i] : 0;
    after[i] = a->after.data[i] > 0 ? a->after.data[i] : 0;
  }
  const mx core = lower_cut(c, c->in[0], x->rank, starts, counts, NULL);
  c->out[0] = mx_pad(c->m, core, mx_ints(c->m, before, x->rank), mx_ints(c->m, after, x->rank),
                     x->rank, mx_scalar(c->m, x->dtype, a->value));
}

static int64_t pad_place(const void *ctx, uint32_t axis, int64_t j) {
  const kernel_call *c = ctx;
  const rlx_pad_attrs *a = c->attrs;
  const int64_t before = a->before.data[axis];
  const pad_core core = pad_core_of(c->in[0].dims[axis], before, a->after.data[axis]);
  const int64_t at = pad_source(a->mode[0], core, j - (before > 0 ? before : 0));
  return at < 0 ? NO_PLACE : at;
}

static rlx_status pad_prepare(kernel_call *c) {
  return places_prepare(c, "pad", pad_place, c, ATTRS(pad)->value);
}

static const ir_kernel pad_kernel = {
    .prepare = pad_prepare, .in = {ORDER_ANY}, .out = ORDER_SAME};

RLX_BLOCK(pad) = {
    .infer = pad_infer,
    .ref = pad_ref,
    .lower = pad_lower,
    .kernel = &pad_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[2,3] before=[1,0] after=[0,2]; f32[2,3] before=[1,2] after=[2,1] mode=reflect;"
        "f32[2,3] before=[1,2] after=[3,4] mode=edge; f32[3,2] before=[2,1] after=[4,0] mode=wrap;"
        "f32[4] before=[-1] after=[2] value=7; i64[5] before=[-2] after=[3] mode=reflect;"
        "f32[5,4] before=[3,-1] after=[-2,-1] mode=edge; f32[5] before=[-1] after=[4] mode=wrap;"
        "i8[3] before=[1] after=[1] value=-5; bool[2] before=[1] after=[0] value=1;"
        "f16[2] before=[1] after=[1] value=0.1; f32[1] before=[2] after=[2] mode=reflect;"
        "f32[] before=[] after=[]; f32[0] before=[2] after=[1] value=3;"
        "f32[0,3] before=[0,1] after=[0,1] mode=edge; f32[3] before=[-2] after=[-1];"
        "c64[2] before=[1] after=[1]; f32[0] before=[1] after=[0] mode=wrap !shape;"
        "f32[3] before=[-4] after=[2] !shape; f32[3] before=[-2] after=[-2] !shape;"
        "f32[3] before=[1] !argument; i8[1] before=[1] after=[0] value=300 !argument;"
        "i8[3] before=[9223372036854775807] after=[1] !limit;"
        "i32[1] before=[1] after=[0] value=nan !argument"),
};

/* --- tile */

static rlx_status tile_infer(ir_infer *c) {
  const rlx_ints reps = ATTRS(tile)->reps;
  const ir_type *x = &c->in[0];
  if (reps.n != x->rank)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "reps has %zu entries, wanted %u", reps.n, x->rank);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  for (uint32_t i = 0; i < x->rank; i++) {
    if (dim_known(reps.data[i]) && reps.data[i] < 0)
      return infer_fail(c, RLX_ERROR_ARGUMENT, "reps has %lld at %u", (long long)reps.data[i], i);
    if (dim_known(x->dims[i]) && dim_known(reps.data[i]) &&
        !size_mul(x->dims[i], reps.data[i], &dims[i]))
      return infer_fail(c, RLX_ERROR_LIMIT, "axis %u would have %lld times %lld elements", i,
                        (long long)x->dims[i], (long long)reps.data[i]);
    dims[i] = infer_mul(c, x->dims[i], reps.data[i]);
  }
  return RLX_OK;
}

static rlx_status tile_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0];
  rlx_tensor *y = c->out[0];
  int64_t coord[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < y->count; i++, ref_next(y->rank, y->dims, coord)) {
    int64_t from = 0;
    for (uint32_t k = 0; k < y->rank; k++) from = from * x->dims[k] + coord[k] % x->dims[k];
    ref_copy(y, i, x, from);
  }
  return RLX_OK;
}

static void tile_lower(lower_call *c) {
  const rlx_ints reps = ATTRS(tile)->reps;
  c->out[0] = mx_tile(c->m, c->in[0], mx_ints(c->m, reps.data, reps.n), reps.n);
}

static int64_t tile_place(const void *ctx, uint32_t axis, int64_t j) {
  return j % ((const kernel_call *)ctx)->in[0].dims[axis];
}

static rlx_status tile_prepare(kernel_call *c) {
  return places_prepare(c, "tile", tile_place, c, 0);
}

static const ir_kernel tile_kernel = {
    .prepare = tile_prepare, .in = {ORDER_ANY}, .out = ORDER_SAME};

RLX_BLOCK(tile) = {
    .infer = tile_infer,
    .ref = tile_ref,
    .lower = tile_lower,
    .kernel = &tile_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[2,3] reps=[2,1]; f32[2,3] reps=[1,3]; i64[1] reps=[4]; f32[] reps=[]; f32[2] reps=[0];"
        "f32[0,2] reps=[2,2]; f32[2] reps=[-1] !argument; f32[2] reps=[1,2] !argument;"
        "i8[2] reps=[9223372036854775807] !limit"),
};

/* --- trilu */

static rlx_status trilu_infer(ir_infer *c) {
  RLX_TRY(infer_rank(c, 0, 2, RLX_MAX_RANK));
  return infer_same(c);
}

static rlx_status trilu_ref(ref_call *c) {
  const rlx_trilu_attrs *a = c->attrs;
  rlx_tensor *y = c->out[0];
  const int64_t rows = y->dims[y->rank - 2], cols = y->dims[y->rank - 1];
  for (int64_t i = 0; i < y->count; i++) {
    const int64_t over = i % cols - i / cols % rows; /* places above the diagonal */
    if (a->upper ? over >= a->diagonal : over <= a->diagonal) ref_copy(y, i, c->in[0], i);
  }
  return RLX_OK;
}

static void trilu_lower(lower_call *c) {
  const rlx_trilu_attrs *a = c->attrs;
  const ir_type *x = lower_in_type(c, 0);
  const int64_t rows = x->dims[x->rank - 2], cols = x->dims[x->rank - 1];
  const int64_t first = clamp(a->diagonal, -rows, cols);
  const mx i = mx_arange(c->m, (double)first, 1, rows, RLX_I64);
  const mx j = mx_arange(c->m, 0, 1, cols, RLX_I64);
  const mx edge = mx_reshape(c->m, i, 2, (const int64_t[]){rows, 1});
  const mx keep = a->upper ? mx_ge(c->m, j, edge) : mx_le(c->m, j, edge);
  c->out[0] = mx_where(c->m, keep, c->in[0], mx_scalar(c->m, x->dtype, 0));
}

typedef struct trilu_state {
  int64_t matrices, rows, cols, width, diagonal;
  bool upper;
} trilu_state;

/* Of each row a part from one end on is kept. */
static rlx_status trilu_run(const void *state, const cpu_run *run, const void *const *in,
                            void *const *out) {
  const trilu_state *s = state;
  const size_t bytes = (size_t)(s->cols * s->width);
  const char *x = in[0];
  char *y = out[0];
  (void)run;
  for (int64_t r = 0; r < s->matrices * s->rows && bytes; r++, x += bytes, y += bytes) {
    const int64_t edge = r % s->rows + s->diagonal; /* the column on the diagonal */
    const size_t head = (size_t)(clamp(edge + !s->upper, 0, s->cols) * s->width);
    if (s->upper) memset(y, 0, head);
    else memcpy(y, x, head);
    if (s->upper) memcpy(y + head, x + head, bytes - head);
    else memset(y + head, 0, bytes - head);
  }
  return RLX_OK;
}

static rlx_status trilu_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0];
  trilu_state *s = kernel_state(c, sizeof *s);
  if (!s) return status_memory(sizeof *s);
  s->matrices = ref_product(x->dims, x->rank - 2);
  s->rows = x->dims[x->rank - 2];
  s->cols = x->dims[x->rank - 1];
  s->width = (int64_t)dtype_bytes(x->dtype);
  s->diagonal = clamp(ATTRS(trilu)->diagonal, -s->rows - 1, s->cols + 1); /* no row beyond */
  s->upper = ATTRS(trilu)->upper;
  c->state = s;
  c->run = trilu_run;
  c->name = "trilu";
  return RLX_OK;
}

static const ir_kernel trilu_kernel = {.prepare = trilu_prepare};

RLX_BLOCK(trilu) = {
    .infer = trilu_infer,
    .infer_late = trilu_infer,
    .ref = trilu_ref,
    .lower = trilu_lower,
    .kernel = &trilu_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[3,4]; f32[3,4] upper=false; f32[2,4,3] diagonal=1; i64[3,3] upper=false diagonal=-1;"
        "bool[3,3]; f32[2,2] diagonal=9223372036854775807;"
        "f32[2,2] upper=false diagonal=-9223372036854775808; f32[0,3]; f32[3,0]; f32[3] !shape"),
};
