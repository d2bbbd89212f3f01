/* ops/window.h: windows that slide over spatial axes: what convolutions and pools share.
 *
 * Tensors are channels first: [N, C, spatial...]. The window at place `o` of an axis covers the
 * elements o * stride - before + t * dilation for t below kernel; what lies outside is padding. */
#ifndef OPS_WINDOW_H
#define OPS_WINDOW_H

#include "cpu/kernels.h"
#include "ops/block.h"

/* As the attributes say it; empty lists mean 1, pads 0. */
typedef struct window_spec {
  rlx_ints kernel; /* one size per spatial axis; they may be dim handles while inferring */
  rlx_ints strides, pads, dilations;
  const char *auto_pad;
  bool ceil;
} window_spec;

/* One spatial axis with everything resolved. */
typedef struct window_axis {
  int64_t in, out, kernel, stride, dilation, before, after;
} window_axis;

/* The end of the last window, counted from the first element: how far x must reach. */
static inline int64_t window_end(const window_axis *w) {
  return (w->out - 1) * w->stride - w->before + (w->kernel - 1) * w->dilation + 1;
}

/* A list of numbers is empty or has `want` items from `least` up. */
rlx_status window_check_list(ir_infer *c, const char *name, rlx_ints list, size_t want,
                             int64_t least);
/* Checks the lists against n spatial axes. */
rlx_status window_check(ir_infer *c, const window_spec *s, size_t n);
/* Checks, and gives the sizes of the result for the spatial sizes `in` of the first operand. */
rlx_status window_infer(ir_infer *c, const window_spec *s, const rlx_dim *in, size_t n,
                        rlx_dim *out_dims);
/* From concrete sizes of operand and result. */
void window_resolve(const window_spec *s, size_t n, const int64_t *in, const int64_t *out,
                    window_axis *out_axes);
/* For a CPU kernel: n axes behind as many as are missing to CONV_AXES. */
void window_axes(const window_axis *w, size_t n, conv_axis *out_axes);
/* Row-major index of the element under tap `tap` of the window at `place`; -1 in the padding. */
int64_t window_index(const window_axis *w, size_t n, const int64_t *place, const int64_t *tap);

/* Item i of a list that may be empty. */
static inline int64_t window_item(rlx_ints list, size_t i, int64_t missing) {
  return i < list.n ? list.data[i] : missing;
}

#endif
