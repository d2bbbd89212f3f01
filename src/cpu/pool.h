/* cpu/pool.h: the largest or the mean element of sliding windows over images that lie channels
 * last, one to three spatial axes, any dtype with lanes.
 *
 * Exactness: maxima are exact and NaN wins; means are sums in f64 of f32 sums of at most 32
 * elements (f64 for f64), divided and rounded once: within 33 x 2^-24 of the sum of magnitudes. */
#ifndef CPU_POOL_H
#define CPU_POOL_H

#include "cpu/conv.h"

typedef struct pool_plan {
  int64_t images, channels;
  conv_axis axis[CONV_AXES]; /* those that are not there come first, all ones */
  int64_t after[CONV_AXES];  /* padding that counts as elements, like what is before; else -1 */
  bool mean;
  rlx_dtype dtype;
  uint32_t threads;
} pool_plan;

bool pool_takes(rlx_dtype dtype);
int64_t pool_scratch(const pool_plan *p); /* bytes */
/* One operand. state: a pool_plan. */
rlx_status pool_run(const void *state, const cpu_run *run, const void *const *in, void *const *out);

#endif
