/* cpu/rows.h: functions of all elements along one axis that give as many: softmax, scans. */
#ifndef CPU_ROWS_H
#define CPU_ROWS_H

#include "base/mem.h"
#include "cpu/cpu.h"

/* Up to ROWS_LANES rows of n elements side by side, steps in elements from one element of a row to
 * the next; one lane has steps of 1. x and y may be the same. */
typedef void rows_fn(const void *how, const void *x, int64_t x_step, void *y, int64_t y_step,
                     int64_t n, int64_t lanes);

typedef struct rows_spec {
  const cpu_view *x, *y; /* of one dtype and shape */
  uint32_t axis;
  lane_type type; /* that f is for */
  rows_fn *f;
  const void *how;
  double ns; /* that an element costs */
} rows_spec;

/* Any strides. Owner: the state is `mem`'s; `how` must live as long. */
rlx_status rows_prepare(const rows_spec *spec, uint32_t threads, arena *mem, const void **out_state,
                        size_t *out_scratch);
rlx_status rows_run(const void *state, const cpu_run *run, const void *const *in, void *const *out);

rows_fn softmax_f64; /* `how` is a softmax_how; that of f32 is a loop, and so are the scans */

#endif
