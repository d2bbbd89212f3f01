/* cpu/order.h: the first elements of rows in order, and their places. */
#ifndef CPU_ORDER_H
#define CPU_ORDER_H

#include "base/mem.h"
#include "cpu/cpu.h"

typedef struct order_spec {
  const cpu_view *x;
  const cpu_view *values, *places; /* with k elements along the axis; NULL: not wanted */
  size_t values_at, places_at;     /* which results they are */
  uint32_t axis;
  int64_t k; /* 1 or more */
  bool descending;
} order_spec;

/* Any strides, which values and places share. Owner: the state is `mem`'s. */
rlx_status order_prepare(const order_spec *spec, uint32_t threads, arena *mem,
                         const void **out_state, size_t *out_scratch);
rlx_status order_run(const void *state, const cpu_run *run, const void *const *in,
                     void *const *out);

#endif
