/* cpu/reduce.h: folds over axes, and places of extremes. */
#ifndef CPU_REDUCE_H
#define CPU_REDUCE_H

#include "base/mem.h"
#include "cpu/cpu.h"

typedef struct reduce_spec {
  const cpu_view *x, *y; /* y has x's rank, with size 1 along the axes that go */
  const bool *gone;      /* of x's axes */
  lane_fold op;
  bool mean;       /* of FOLD_SUM: divides in the end */
  bool find, last; /* the i64 place of the extreme along the one axis that goes; the last one */
} reduce_spec;

/* Can elements be folded? */
bool reduce_takes(rlx_dtype dtype);
/* Any strides; the result is not empty. Owner: the state is `mem`'s. */
rlx_status reduce_prepare(const reduce_spec *spec, uint32_t threads, arena *mem,
                          const void **out_state, size_t *out_scratch);
rlx_status reduce_run(const void *state, const cpu_run *run, const void *const *in,
                      void *const *out);

#endif
