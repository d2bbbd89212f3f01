/* ops/resize.c: resampling by nearest, linear and cubic interpolation.
 *
 * Axes are independent: element o of an axis of the result is a weighted sum of a few elements of
 * the operand's axis. One routine (axis_taps) finds them; the reference sums them directly,
 * `expand` makes a gather per tap. */
#include "ops/block.h"
#include "ops/copy.h"

enum { MAX_TAPS = 1 << 12 };
/* Places beyond it are as good as it; it fits int64. */
static const double farthest = 1e15;

/* The rule for one axis. */
typedef struct resize_axis {
  const rlx_resize_attrs *a;
  int64_t in, out;
  double scale, start, end; /* start, end: of the part that is taken, 0 to 1 being all of it */
  int64_t taps;
} resize_axis;

static bool word_is(const char *word, const char *want) { return strcmp(word, want) == 0; }

static bool crops(const rlx_resize_attrs *a) {
  return word_is(a->coordinate, "tf_crop_and_resize");
}

/* --- shapes */

/* in * scale rounded down, as the f32 product that files were made with. */
static int64_t scaled_size(int64_t in, double scale) {
  float size = floorf((float)in * (float)scale);
  return size < (float)INT32_MAX ? (int64_t)size : INT64_MAX;
}

static rlx_dim scaled(ir_infer *c, rlx_dim in, double scale) {
  dim_table *t = &c->g->dims;
  if (dim_known(in)) return scaled_size(in, scale);
  if (scale == floor(scale)) return infer_mul(c, in, (int64_t)scale);
  if (1 / scale == floor(1 / scale) && 1 / scale <= INT32_MAX)
    return dim_combine(t, RLX_DIM_FLOORDIV, in, (int64_t)(1 / scale));
  return dim_fresh(t);
}

static rlx_status check_scales(ir_infer *c, rlx_reals scales) {
  for (size_t i = 0; i < scales.n; i++)
    if (!(scales.data[i] > 0 && scales.data[i] <= INT32_MAX))
      return infer_fail(c, RLX_ERROR_ARGUMENT, "scale %g is not positive", scales.data[i]);
  return RLX_OK;
}

static rlx_status resize_infer(ir_infer *c) {
  rlx_resize_attrs *a = OWN_ATTRS(resize);
  const ir_type *x = &c->in[0];
  size_t rank = x->rank, n = a->axes.n ? a->axes.n : rank;
  bool nearest = word_is(a->mode, "nearest");
  RLX_TRY(infer_kinds(c, 0, nearest ? KINDS_PLAIN : KINDS_FLOAT));
  RLX_TRY(infer_axes_for(c, &a->axes, rank, n));
  if (a->sizes.n == 0 && a->scales.n == 0 && n != 0)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "no sizes and no scales, wanted one of them");
  if ((a->sizes.n && a->sizes.n != n) || (a->scales.n && a->scales.n != n))
    return infer_fail(c, RLX_ERROR_SHAPE, "%zu sizes and %zu scales for %zu axes", a->sizes.n,
                      a->scales.n, n);
  RLX_TRY(check_scales(c, a->scales));
  if (a->roi.n != (crops(a) ? 2 * n : 0))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "roi has %zu entries, wanted %zu", a->roi.n,
                      crops(a) ? 2 * n : 0);
  if (!infer_fits(x->dtype, a->outside))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%s cannot hold the value %g outside",
                      dtype_name(x->dtype), a->outside);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, rank, &dims));
  for (size_t i = 0; i < rank; i++) dims[i] = x->dims[i];
  for (size_t i = 0; i < n; i++) {
    int64_t axis = a->axes.data[i];
    rlx_dim in = x->dims[axis];
    rlx_dim out = a->sizes.n ? a->sizes.data[i] : scaled(c, in, a->scales.data[i]);
    if (dim_known(out) && (out < 0 || out > INT32_MAX || (in == 0 && out != 0)))
      return infer_fail(c, RLX_ERROR_SHAPE, "axis %lld cannot be resized to %lld", (long long)axis,
                        (long long)out);
    dims[axis] = out;
  }
  return RLX_OK;
}

/* --- where the elements of the result come from */

/* The place in the operand of element o of the result; in f32, as everybody computes it: what is
 * nearest hangs on the last bit. */
static double source(const resize_axis *r, int64_t o) {
  const char *how = r->a->coordinate;
  float at = (float)o, in = (float)r->in, out = (float)r->out, scale = (float)r->scale;
  if (word_is(how, "asymmetric")) return at / scale;
  if (word_is(how, "align_corners")) return r->out > 1 ? at * (in - 1) / (out - 1) : 0;
  if (word_is(how, "pytorch_half_pixel") && r->out <= 1) return 0;
  if (crops(r->a)) {
    float start = (float)r->start, end = (float)r->end;
    if (r->out <= 1) return 0.5f * (start + end) * (in - 1);
    return start * (in - 1) + at * (end - start) * (in - 1) / (out - 1);
  }
  float half = (at + 0.5f) / scale - 0.5f;
  if (word_is(how, "half_pixel_symmetric")) return in / 2 * (1 - out / (scale * in)) + half;
  return half;
}

/* Keys' cubic kernel. */
static double cubic(double d, double a) {
  d = fabs(d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

static int64_t nearest(const char *how, double at) {
  if (word_is(how, "floor")) return (int64_t)floor(at);
  if (word_is(how, "ceil")) return (int64_t)ceil(at);
  if (word_is(how, "round_prefer_ceil")) return (int64_t)floor(at + 0.5);
  return (int64_t)ceil(at - 0.5);
}

static int64_t into_range(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* How far the kernel is stretched: below 1 when shrinking with antialias. */
static double stretch(const resize_axis *r) {
  return r->a->antialias && r->scale < 1 ? r->scale : 1;
}

/* Element o is the sum of weight[t] * x[index[t]]; the indices are -1 if it is outside of x, which
 * a gather takes for the last element. */
static void axis_taps(const resize_axis *r, int64_t o, int64_t *index, double *weight) {
  const rlx_resize_attrs *a = r->a;
  double at = fmax(-farthest, fmin(farthest, source(r, o))), sum = 0, s = stretch(r);
  if (crops(a) && (at < 0 || at > (double)(r->in - 1))) {
    for (int64_t t = 0; t < r->taps; t++) index[t] = -1;
    return;
  }
  if (word_is(a->mode, "nearest")) {
    index[0] = into_range(nearest(a->nearest, at), r->in);
    weight[0] = 1;
    return;
  }
  bool linear = word_is(a->mode, "linear");
  int64_t first = (int64_t)floor(at) - r->taps / 2 + 1;
  for (int64_t t = 0; t < r->taps; t++) {
    double d = ((double)(first + t) - at) * s;
    bool inside = first + t >= 0 && first + t < r->in;
    weight[t] = linear ? fmax(0, 1 - fabs(d)) : cubic(d, a->cubic_a);
    if (a->exclude_outside && !inside) weight[t] = 0;
    index[t] = into_range(first + t, r->in);
    sum += weight[t];
  }
  if ((a->exclude_outside || s < 1) && sum != 0)
    for (int64_t t = 0; t < r->taps; t++) weight[t] /= sum;
}

/* The rule of one axis, of `in` elements now; false if that axis stays as it is. */
static bool axis_rule(const rlx_resize_attrs *a, size_t axis, int64_t in, resize_axis *r) {
  size_t nth = 0;
  *r = (resize_axis){a, in, in, 1, 0, 1, 1};
  while (nth < a->axes.n && a->axes.data[nth] != (int64_t)axis) nth++;
  if (nth == a->axes.n) return false;
  r->out = a->sizes.n ? a->sizes.data[nth] : scaled_size(in, a->scales.data[nth]);
  r->scale = a->scales.n ? a->scales.data[nth] : (double)r->out / (double)in;
  int64_t radius = word_is(a->mode, "nearest") ? 0 : word_is(a->mode, "linear") ? 1 : 2;
  if (radius && r->out) r->taps = 2 * (int64_t)fmin(MAX_TAPS, ceil((double)radius / stretch(r)));
  if (crops(a)) {
    r->start = a->roi.data[nth];
    r->end = a->roi.data[a->axes.n + nth];
  }
  return in != r->out || r->scale != 1 || r->start != 0 || r->end != 1;
}

typedef struct axis_table { /* the taps of all elements of one axis of the result */
  int64_t *index;
  double *weight;
  int64_t taps, out;
  bool changes; /* false: the axis stays as it is */
} axis_table;

static bool is_outside(const axis_table *t, int64_t o) { return t->index[o * t->taps] < 0; }

static void tables_free(axis_table *tables, size_t n) {
  for (size_t i = 0; i < n; i++) {
    mem_free(tables[i].index);
    mem_free(tables[i].weight);
  }
}

static rlx_status table_make(const rlx_resize_attrs *a, size_t axis, int64_t in, axis_table *t) {
  resize_axis r;
  t->changes = axis_rule(a, axis, in, &r);
  t->taps = t->changes ? r.taps : 1;
  t->out = r.out;
  if (t->taps > MAX_TAPS)
    return status_set(RLX_ERROR_LIMIT, "axis %zu shrinks from %lld to %lld elements: too far", axis,
                      (long long)in, (long long)r.out);
  t->index = mem_new((size_t)(t->out * t->taps), sizeof *t->index);
  t->weight = mem_new((size_t)(t->out * t->taps), sizeof *t->weight);
  if (!t->index || !t->weight) return status_memory((size_t)(t->out * t->taps) * 8);
  for (int64_t o = 0; o < t->out; o++) {
    if (t->changes) {
      axis_taps(&r, o, t->index + o * t->taps, t->weight + o * t->taps);
    } else {
      t->index[o] = o;
      t->weight[o] = 1;
    }
  }
  return RLX_OK;
}

/* --- reference */

/* The sum over all combinations of taps for the element at `at`. */
static double resize_element(const rlx_tensor *x, const axis_table *tables, const int64_t *at) {
  int64_t taps[RLX_MAX_RANK], tap[RLX_MAX_RANK] = {0};
  for (size_t i = 0; i < x->rank; i++) taps[i] = tables[i].taps;
  double sum = 0;
  do {
    int64_t from = 0;
    double weight = 1;
    for (size_t i = 0; i < x->rank; i++) {
      int64_t k = at[i] * taps[i] + tap[i];
      from = from * x->dims[i] + tables[i].index[k];
      weight *= tables[i].weight[k];
    }
    if (weight != 0) sum += weight * tensor_real(x, from);
  } while (ref_next(x->rank, taps, tap));
  return sum;
}

static rlx_status resize_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0];
  rlx_tensor *y = c->out[0];
  rlx_status status = RLX_OK;
  axis_table tables[RLX_MAX_RANK] = {{0}};
  int64_t at[RLX_MAX_RANK] = {0};
  for (size_t i = 0; i < x->rank; i++)
    RLX_TRY_OR_FAIL(table_make(c->attrs, i, x->dims[i], &tables[i]));
  for (int64_t k = 0; k < y->count; k++) {
    bool outside = false;
    for (size_t i = 0; i < x->rank; i++) outside = outside || is_outside(&tables[i], at[i]);
    if (outside) {
      tensor_set_real(y, k, ATTRS(resize)->outside);
    } else if (word_is(ATTRS(resize)->mode, "nearest")) {
      int64_t from = 0;
      for (size_t i = 0; i < x->rank; i++) from = from * x->dims[i] + tables[i].index[at[i]];
      ref_copy(y, k, x, from);
    } else {
      tensor_set_real(y, k, resize_element(x, tables, at));
    }
    ref_next(y->rank, y->dims, at);
  }
fail:
  tables_free(tables, x->rank);
  return status;
}

/* --- as other operations */

/* A constant vector shaped to broadcast before `trailing` axes. What it holds of a tap goes by the
 * dtype: i32 indices, weights, or as bools which elements are inside. */
static rlx_val axis_vector(rlx_graph *g, rlx_dtype dtype, size_t trailing, const axis_table *t,
                           int64_t tap) {
  int64_t dims[RLX_MAX_RANK];
  rlx_tensor *v;
  dims[0] = t->out;
  for (size_t i = 1; i <= trailing; i++) dims[i] = 1;
  rlx_status status = rlx_tensor_create(dtype, 1 + trailing, dims, &v);
  if (status != RLX_OK) {
    graph_fail(g, status);
    return RLX_NIL;
  }
  for (int64_t o = 0; o < t->out; o++) {
    if (dtype == RLX_BOOL) tensor_set_int(v, o, !is_outside(t, o));
    else if (dtype == RLX_I32) tensor_set_int(v, o, t->index[o * t->taps + tap]);
    else tensor_set_real(v, o, t->weight[o * t->taps + tap]);
  }
  rlx_val val = rlx_constant(g, v);
  rlx_tensor_free(v);
  return val;
}

/* Does each element simply repeat `*factor` times? */
static bool axis_repeats(const axis_table *t, int64_t in, int64_t *factor) {
  if (t->taps != 1 || in == 0 || t->out == 0 || t->out % in != 0) return false;
  *factor = t->out / in;
  for (int64_t o = 0; o < t->out; o++)
    if (t->index[o] != o / *factor) return false;
  return true;
}

static rlx_val axis_repeat(rlx_graph *g, rlx_val x, size_t axis, int64_t factor) {
  size_t rank = rlx_val_rank(g, x);
  rlx_dim wide[RLX_MAX_RANK + 1], joined[RLX_MAX_RANK];
  int64_t at = (int64_t)axis + 1;
  for (size_t i = 0; i < rank; i++)
    wide[i <= axis ? i : i + 1] = joined[i] = rlx_val_dim(g, x, i);
  wide[axis + 1] = factor;
  joined[axis] *= factor;
  rlx_unsqueeze_attrs u = rlx_unsqueeze_init();
  rlx_expand_attrs e = rlx_expand_init();
  u.axes = (rlx_ints){&at, 1};
  e.dims = (rlx_ints){wide, rank + 1};
  return expr_reshape(g, rlx_expand(g, rlx_unsqueeze(g, x, &u), &e), joined, rank);
}

/* Resamples one axis by its table. */
static rlx_val axis_apply(rlx_graph *g, rlx_val x, size_t axis, const axis_table *t) {
  size_t rank = rlx_val_rank(g, x);
  int64_t factor;
  bool blends = t->taps > 1;
  if (rank < RLX_MAX_RANK && axis_repeats(t, rlx_val_dim(g, x, axis), &factor))
    return axis_repeat(g, x, axis, factor);
  rlx_gather_attrs a = rlx_gather_init();
  a.axis = (int64_t)axis;
  rlx_val sum = RLX_NIL;
  for (int64_t tap = 0; tap < t->taps; tap++) {
    rlx_val term = rlx_gather(g, x, axis_vector(g, RLX_I32, 0, t, tap), &a);
    if (blends)
      term = rlx_mul(g, term, axis_vector(g, rlx_val_dtype(g, x), rank - 1 - axis, t, tap));
    sum = sum.id ? rlx_add(g, sum, term) : term;
  }
  return sum;
}

static rlx_val resize_expand(expr_call *c) {
  rlx_graph *g = c->b;
  rlx_val x = c->in[0], y = x;
  rlx_dtype dtype = rlx_val_dtype(g, x);
  bool blends = !word_is(ATTRS(resize)->mode, "nearest");
  bool half = blends && dtype_bytes(dtype) < sizeof(float);
  if (half) y = expr_cast(g, y, RLX_F32);
  size_t rank = rlx_val_rank(g, x);
  rlx_val inside[RLX_MAX_RANK] = {{0}};
  for (size_t i = 0; i < rank; i++) {
    axis_table t = {0};
    rlx_status status = table_make(c->attrs, i, rlx_val_dim(g, x, i), &t);
    if (status != RLX_OK) graph_fail(g, status);
    if (status == RLX_OK && t.changes) y = axis_apply(g, y, i, &t);
    if (status == RLX_OK && crops(c->attrs))
      inside[i] = axis_vector(g, RLX_BOOL, rank - 1 - i, &t, 0);
    tables_free(&t, 1);
  }
  rlx_val outside = rlx_scalar(g, rlx_val_dtype(g, y), ATTRS(resize)->outside);
  for (size_t i = 0; i < rank; i++)
    if (inside[i].id) y = rlx_where(g, inside[i], y, outside);
  return expr_cast(g, y, dtype);
}

/* --- kernel: nearest neighbours */

static int64_t table_place(const void *ctx, uint32_t axis, int64_t j) {
  const int64_t place = ((const axis_table *)ctx)[axis].index[j];
  return place < 0 ? NO_PLACE : place;
}

static bool resize_covers(const ir_infer *c) { return word_is(ATTRS(resize)->mode, "nearest"); }

static rlx_status resize_prepare(kernel_call *c) {
  const cpu_view *x = &c->in[0];
  axis_table tables[RLX_MAX_RANK] = {{0}};
  rlx_status status = RLX_OK;
  for (uint32_t i = 0; i < x->rank && status == RLX_OK; i++)
    status = table_make(c->attrs, i, x->dims[i], &tables[i]);
  if (status == RLX_OK)
    status = places_prepare(c, "resize", table_place, tables, ATTRS(resize)->outside);
  tables_free(tables, x->rank);
  return status;
}

static const ir_kernel resize_kernel = {
    .covers = resize_covers, .prepare = resize_prepare, .in = {ORDER_ANY}, .out = ORDER_SAME};

RLX_BLOCK(resize) = {
    .infer = resize_infer,
    .kernel = &resize_kernel,
    .infer_late = infer_fresh, /* scales */
    .ref = resize_ref,
    .expand = resize_expand,
    .cases = CASES(
        "f32[1,2,3,4] sizes=[1,2,6,8]; f32[1,2,3,4] scales=[1,1,2,3] coordinate=asymmetric "
        "nearest=floor;"
        "f32[2,5,7] scales=[0.6,1.3] axes=[1,2] nearest=ceil; i32[2,5,7] sizes=[3] axes=[-1];"
        "f32[2,5,7] sizes=[3,9] axes=[1,2] nearest=round_prefer_ceil coordinate=align_corners;"
        "f32[1,2,3,4] sizes=[5,7] axes=[2,3] mode=linear;"
        "f32[1,2,3,4] sizes=[5,2] axes=[2,3] mode=linear coordinate=align_corners;"
        "f32[1,2,6,4] sizes=[3,1] axes=[2,3] mode=linear coordinate=pytorch_half_pixel;"
        "f32[1,2,6,4] scales=[0.7,1.9] axes=[2,3] mode=linear coordinate=half_pixel_symmetric;"
        "f32[1,1,8,8] scales=[0.4,0.6] axes=[2,3] mode=linear antialias=true;"
        "f32[1,1,5,6] sizes=[9,4] axes=[2,3] mode=cubic; f64[1,1,5,6] sizes=[9] axes=[2] "
        "mode=cubic;"
        "f32[1,1,5,6] scales=[1.5,0.5] axes=[2,3] mode=cubic cubic_a=-0.5 exclude_outside=true;"
        "f32[1,1,9,9] sizes=[4,5] axes=[2,3] mode=cubic antialias=true;"
        "f32[1,4,4] sizes=[3,5] axes=[1,2] mode=linear coordinate=tf_crop_and_resize "
        "roi=[0.4,-0.2,0.6,1.1] outside=10;"
        "f64[1,4,4] sizes=[5,1] axes=[2,1] mode=cubic coordinate=tf_crop_and_resize "
        "roi=[-0.5,0.2,1.5,1]; i32[5,4] scales=[1.5,2] coordinate=tf_crop_and_resize "
        "roi=[0,0.3,1,1.2] outside=-7; f16[4] sizes=[4] mode=linear "
        "coordinate=tf_crop_and_resize roi=[1,0];"
        "f32[4] sizes=[4] coordinate=tf_crop_and_resize roi=[1] !argument;"
        "f32[4] sizes=[8] roi=[0,1] !argument; i8[4] sizes=[8] outside=0.5 !argument;"
        "f32[3,4] sizes=[3,4] mode=linear; f16[3,4] sizes=[6,8] mode=linear; f32[0,4] sizes=[0,8];"
        "f32[5000] sizes=[1] mode=linear antialias=true !limit;"
        "f32[]; f32[3] sizes=[0]; f32[3] sizes=[0] mode=linear antialias=true;"
        "f32[3] sizes=[2,2] axes=[0,-1] !argument; f32[3] sizes=[2] axes=[1] !shape;"
        "f32[2,3] !argument; f32[2,3] sizes=[4] !shape; f32[2,3] scales=[1,0] !argument;"
        "f32[0,3] sizes=[2,3] !shape; i32[2,3] sizes=[4,6] mode=linear !dtype"),
};
