/* cpu/norm.h: layer norm and RMS norm over the last axis. */
#ifndef CPU_NORM_H
#define CPU_NORM_H

#include "base/mem.h"
#include "cpu/tile.h"

typedef struct norm_spec {
  const cpu_view *x, *y; /* x: dense along the last axis; y: rows, or what the epilogue makes */
  rlx_dtype dtype;       /* of x, scale and bias: a float */
  bool scale, bias;      /* operands 1 and 2: one row each */
  bool centred;          /* the mean is taken away first */
  double eps;
  const tile_program *epilogue; /* or NULL */
} norm_spec;

/* Owner: the state is `mem`'s. */
rlx_status norm_prepare(const norm_spec *spec, uint32_t threads, arena *mem, const void **out_state,
                        size_t *out_scratch);
rlx_status norm_run(const void *state, const cpu_run *run, const void *const *in, void *const *out);

#endif
