/* cpu/quantize.h: dynamic quantisation: f32 to u8 by a scale that the numbers themselves give. */
#ifndef CPU_QUANTIZE_H
#define CPU_QUANTIZE_H

#include "cpu/cpu.h"

typedef struct quantize_dynamic {
  int64_t n;
  uint32_t threads;
} quantize_dynamic;

void quantize_dynamic_prepare(quantize_dynamic *p, uint32_t threads, size_t *out_scratch);
/* in: x; out: q (u8), scale (f32), zero point (u8), of which the last ones may be absent. */
rlx_status quantize_dynamic_run(const void *state, const cpu_run *run, const void *const *in,
                                void *const *out);

#endif
