/* ops/window.c: the arithmetic of sliding windows, symbolic and concrete. */
#include "ops/window.h"

#include <string.h>

/* What MLX can count to; it also keeps every product below inside int64. */
#define WINDOW_MAX INT32_MAX

rlx_status window_check_list(ir_infer *c, const char *name, rlx_ints list, size_t want,
                             int64_t least) {
  if (list.n != 0 && list.n != want)
    return infer_fail(c, RLX_ERROR_SHAPE, "%s has %zu items, wanted %zu", name, list.n, want);
  for (size_t i = 0; i < list.n; i++)
    if (list.data[i] < least || list.data[i] > WINDOW_MAX)
      return infer_fail(c, RLX_ERROR_ARGUMENT, "%s has an item %lld, wanted %lld to %d", name,
                        (long long)list.data[i], (long long)least, WINDOW_MAX);
  return RLX_OK;
}

rlx_status window_check(ir_infer *c, const window_spec *s, size_t n) {
  if (s->kernel.n != n)
    return infer_fail(c, RLX_ERROR_SHAPE, "a kernel of %zu axes for %zu spatial axes", s->kernel.n,
                      n);
  for (size_t i = 0; i < n; i++)
    if (dim_known(s->kernel.data[i]) && (s->kernel.data[i] < 1 || s->kernel.data[i] > WINDOW_MAX))
      return infer_fail(c, RLX_ERROR_ARGUMENT, "the kernel has the size %lld, wanted 1 to %d",
                        (long long)s->kernel.data[i], WINDOW_MAX);
  RLX_TRY(window_check_list(c, "strides", s->strides, n, 1));
  RLX_TRY(window_check_list(c, "dilations", s->dilations, n, 1));
  return window_check_list(c, "pads", s->pads, 2 * n, 0);
}

static bool same_padding(const window_spec *s) {
  return s->auto_pad && strcmp(s->auto_pad, "none") != 0;
}

/* What the windows of an axis cover must be something that MLX can count. */
static rlx_status check_span(ir_infer *c, const window_spec *s, size_t i, rlx_dim out) {
  rlx_dim kernel = s->kernel.data[i];
  if (!dim_known(out) || !dim_known(kernel)) return RLX_OK;
  if (out <= WINDOW_MAX &&
      (out - 1) * window_item(s->strides, i, 1) + (kernel - 1) * window_item(s->dilations, i, 1) <
          WINDOW_MAX)
    return RLX_OK;
  return infer_fail(c, RLX_ERROR_LIMIT, "spatial axis %zu: the windows cover more than %d elements",
                    i, WINDOW_MAX);
}

rlx_status window_infer(ir_infer *c, const window_spec *s, const rlx_dim *in, size_t n,
                        rlx_dim *out_dims) {
  RLX_TRY(window_check(c, s, n));
  dim_table *t = &c->g->dims;
  for (size_t i = 0; i < n; i++) {
    int64_t before = window_item(s->pads, i, 0), after = window_item(s->pads, n + i, 0);
    int64_t stride = window_item(s->strides, i, 1), dilation = window_item(s->dilations, i, 1);
    if (same_padding(s)) {
      out_dims[i] = dim_combine(t, RLX_DIM_CEILDIV, in[i], stride);
      RLX_TRY(check_span(c, s, i, out_dims[i]));
      continue;
    }
    /* what the window can still move: in + pads - dilation * (kernel - 1) - 1 */
    rlx_dim reach = infer_add(c, infer_mul(c, infer_sub(c, s->kernel.data[i], 1), dilation), 1);
    rlx_dim padded = infer_add(c, in[i], before + after);
    rlx_dim room = infer_sub(c, padded, reach);
    if (dim_known(room) && room < 0)
      return infer_fail(c, RLX_ERROR_SHAPE,
                        "spatial axis %zu: a window over %lld elements does not fit in %lld", i,
                        (long long)reach, (long long)padded);
    out_dims[i] =
        infer_add(c, dim_combine(t, s->ceil ? RLX_DIM_CEILDIV : RLX_DIM_FLOORDIV, room, stride), 1);
    if (s->ceil) { /* no window may start beyond the elements and the padding before them */
      rlx_dim starts = dim_combine(t, RLX_DIM_CEILDIV, infer_add(c, in[i], before), stride);
      out_dims[i] = dim_combine(t, RLX_DIM_MIN, out_dims[i], starts);
    }
    RLX_TRY(check_span(c, s, i, out_dims[i]));
  }
  return RLX_OK;
}

void window_resolve(const window_spec *s, size_t n, const int64_t *in, const int64_t *out,
                    window_axis *out_axes) {
  for (size_t i = 0; i < n; i++) {
    window_axis *w = &out_axes[i];
    *w = (window_axis){in[i],
                       out[i],
                       s->kernel.data[i],
                       window_item(s->strides, i, 1),
                       window_item(s->dilations, i, 1),
                       window_item(s->pads, i, 0),
                       window_item(s->pads, n + i, 0)};
    if (!same_padding(s)) continue;
    int64_t total = (w->out - 1) * w->stride + (w->kernel - 1) * w->dilation + 1 - w->in;
    if (total < 0 || w->in == 0) total = 0;
    int64_t less = total / 2;
    bool upper = strcmp(s->auto_pad, "same_upper") == 0;
    w->before = upper ? less : total - less;
    w->after = total - w->before;
  }
}

void window_axes(const window_axis *w, size_t n, conv_axis *out_axes) {
  for (size_t i = 0; i < CONV_AXES; i++) {
    const size_t missing = CONV_AXES - n;
    out_axes[i] = (conv_axis){1, 1, 1, 1, 1, 0};
    if (i < missing) continue;
    const window_axis *a = &w[i - missing];
    out_axes[i] = (conv_axis){a->in, a->out, a->kernel, a->stride, a->dilation, a->before};
  }
}

int64_t window_index(const window_axis *w, size_t n, const int64_t *place, const int64_t *tap) {
  int64_t index = 0;
  for (size_t i = 0; i < n; i++) {
    int64_t at = place[i] * w[i].stride - w[i].before + tap[i] * w[i].dilation;
    if (at < 0 || at >= w[i].in) return -1;
    index = index * w[i].in + at;
  }
  return index;
}
