/* cpu/loops/index.c: index t of n tuples, of i32 or i64 (cpu/index.h). */
#include "cpu/loops/loops.h"

/* Are all of them in [-size, size)? */
#define ALL_FINE(type)                                                            \
  for (int64_t i = 0; i < n; i++)                                                 \
    bad |= (uint64_t)(int64_t)((const type *)index)[i * tuple] + (uint64_t)size >= \
           2 * (uint64_t)size;

bool LOOP_NAME(index_fine)(rlx_dtype dtype, const void *index, int64_t tuple, int64_t n,
                           int64_t size) {
  bool bad = false;
  if (tuple == 1 && dtype == RLX_I64) {
    tuple = 1; /* known to the compiler */
    ALL_FINE(int64_t)
  } else if (dtype == RLX_I64) {
    ALL_FINE(int64_t)
  } else {
    ALL_FINE(int32_t)
  }
  return !bad;
}
#undef ALL_FINE

/* Adds their places, `step` bytes each, to `out`. */
#define ADD_PLACES(type)                                                          \
  for (int64_t i = 0; i < n; i++) {                                               \
    const int64_t at = ((const type *)index)[i * tuple];                          \
    out[i] += (at + (at < 0 ? size : 0)) * step;                                  \
  }

void LOOP_NAME(index_add)(rlx_dtype dtype, const void *index, int64_t tuple, int64_t n,
                          int64_t size, int64_t step, int64_t *restrict out) {
  if (tuple == 1 && dtype == RLX_I64) {
    tuple = 1;
    ADD_PLACES(int64_t)
  } else if (dtype == RLX_I64) {
    ADD_PLACES(int64_t)
  } else {
    ADD_PLACES(int32_t)
  }
}
#undef ADD_PLACES
