/* cpu/loops/lane.c: elements of any dtype to and from the few types that lanes are computed in.
 *
 * Laws: loading is exact; storing rounds once (to nearest even; f64 to halves too), integers wrap.
 * NaN stays NaN. */
#include "cpu/loops/half.h"
#include "cpu/loops/loops.h"

/* To the neighbour with an odd last bit where it is not exact: rounding that once more is as
 * rounding once. */
static inline float to_odd(double d) {
  const float f = (float)d;
  const uint32_t bits = v_bits(f), size = bits & 0x7fffffffu;
  const double af = (double)v_float(size), ad = d < 0 ? -d : d;
  const bool inexact = af != ad && size < 0x7f800000u && !(bits & 1);
  return v_float(inexact ? (af < ad ? bits + 1 : bits - 1) : bits);
}

#define SAME(v) (v)
#define BOOL_OF(v) ((v) != 0)
#define DOUBLE_FROM_HALF(v) ((double)from_f16(v))
#define DOUBLE_FROM_BF16(v) ((double)from_bf16(v))
#define DOUBLE_TO_HALF(v) to_f16(to_odd(v))
#define DOUBLE_TO_BF16(v) to_bf16(to_odd(v))

/* X(lane type, its C type, dtype, its C type, to the lane, from the lane) */
#define PAIRS(X)                                                        \
  X(F32, float, F32, float, SAME, SAME)                                 \
  X(F32, float, F16, uint16_t, from_f16, to_f16)                        \
  X(F32, float, BF16, uint16_t, from_bf16, to_bf16)                     \
  X(F64, double, F64, double, SAME, SAME)                               \
  X(F64, double, F32, float, SAME, SAME)                                \
  X(F64, double, F16, uint16_t, DOUBLE_FROM_HALF, DOUBLE_TO_HALF)       \
  X(F64, double, BF16, uint16_t, DOUBLE_FROM_BF16, DOUBLE_TO_BF16)      \
  X(I64, int64_t, I64, int64_t, SAME, SAME)                             \
  X(I64, int64_t, I32, int32_t, SAME, SAME)                             \
  X(I64, int64_t, I16, int16_t, SAME, SAME)                             \
  X(I64, int64_t, I8, int8_t, SAME, SAME)                               \
  X(U64, uint64_t, U64, uint64_t, SAME, SAME)                           \
  X(U64, uint64_t, U32, uint32_t, SAME, SAME)                           \
  X(U64, uint64_t, U16, uint16_t, SAME, SAME)                           \
  X(U64, uint64_t, U8, uint8_t, SAME, SAME)                             \
  X(U64, uint64_t, BOOL, uint8_t, BOOL_OF, BOOL_OF)

#define PAIR(lane, dtype) ((int)(lane) * RLX_DTYPE_COUNT + (int)(dtype))

/* One loop for neighbours, which becomes vectors, and one for the rest. */
#define CONVERT(A, B, f)                                             \
  {                                                                  \
    const A *restrict from = x;                                      \
    B *restrict to = y;                                              \
    if (x_step == 1 && y_step == 1)                                  \
      for (int64_t i = 0; i < n; i++) to[i] = (B)f(from[i]);         \
    else                                                             \
      for (int64_t i = 0; i < n; i++) to[i * y_step] = (B)f(from[i * x_step]); \
    return;                                                          \
  }

void LOOP_NAME(lane_load)(lane_type lane, rlx_dtype dtype, const void *x, int64_t x_step,
                          int64_t n, void *y) {
  enum { y_step = 1 };
  switch (PAIR(lane, dtype)) {
#define X(lane_, L, dtype_, T, load, store) \
  case PAIR(LANE_##lane_, RLX_##dtype_): CONVERT(T, L, load)
    PAIRS(X)
#undef X
    default: return;
  }
}

void LOOP_NAME(lane_store)(lane_type lane, const void *x, rlx_dtype dtype, void *y, int64_t y_step,
                           int64_t n) {
  enum { x_step = 1 };
  switch (PAIR(lane, dtype)) {
#define X(lane_, L, dtype_, T, load, store) \
  case PAIR(LANE_##lane_, RLX_##dtype_): CONVERT(L, T, store)
    PAIRS(X)
#undef X
    default: return;
  }
}
