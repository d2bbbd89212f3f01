/* cpu/loops/tile_cast.c: steps of tile programs that change how elements are kept: from memory to a
 * class of arithmetic and back, between classes, and into the range of a narrower dtype. */
#include <string.h>

#include "cpu/loops/half.h"
#include "cpu/loops/loops.h"
#include "cpu/tile.h"
#ifdef __F16C__
#include <immintrin.h>
#endif
#ifdef __clang__ /* casts between wide integers and floats: most levels have no vectors of them */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

/* --- loops */

#define HEAD(name)                                                                     \
  static void name(void *to, const void *xs, const void *ys, const void *zs,           \
                   const double *p, int64_t n)
#define EACH(name, result, type, params, formula)                                      \
  HEAD(name) {                                                                         \
    params;                                                                            \
    (void)ys, (void)zs, (void)p;                                                       \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                              \
      const type x = ((const type *)xs)[i];                                            \
      ((result *)to)[i] = (result)(formula);                                           \
    }                                                                                  \
  }

/* From memory into the class, back, and rounded or wrapped to the dtype inside the class. */
#define NARROW(s, type, in_class, from, into)                                          \
  EACH(load_##s, in_class, type, (void)0, from(x))                                     \
  EACH(store_##s, type, in_class, (void)0, into(x))                                    \
  EACH(fit_##s, in_class, in_class, (void)0, from((type)into(x)))
#define SAME(x) x
NARROW(bf16, uint16_t, float, from_bf16, to_bf16)
NARROW(i8, int8_t, int32_t, SAME, SAME)
NARROW(i16, int16_t, int32_t, SAME, SAME)
NARROW(u8, uint8_t, int32_t, SAME, SAME)
NARROW(u16, uint16_t, int32_t, SAME, SAME)
NARROW(u32, uint32_t, int64_t, SAME, SAME)
#ifdef __F16C__
/* The tail through a buffer, so that it rounds as the body does. */
#define EIGHTS(name, result, type, body)                                               \
  HEAD(name) {                                                                         \
    (void)ys, (void)zs, (void)p;                                                       \
    const type *x = xs;                                                                \
    result *r = to;                                                                    \
    for (; n >= 8; n -= 8, x += 8, r += 8) body(r, x);                                 \
    if (n == 0) return;                                                                \
    type few[8] = {0};                                                                 \
    result made[8];                                                                    \
    memcpy(few, x, (size_t)n * sizeof *x);                                             \
    body(made, few);                                                                   \
    memcpy(r, made, (size_t)n * sizeof *r);                                            \
  }
#define WIDEN(r, x) _mm256_storeu_ps(r, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(x))))
#define NARROWED(x) _mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT)
#define SHRINK(r, x) _mm_storeu_si128((void *)(r), NARROWED(x))
#define FIT(r, x) _mm256_storeu_ps(r, _mm256_cvtph_ps(NARROWED(x)))
EIGHTS(load_f16, float, uint16_t, WIDEN)
EIGHTS(store_f16, uint16_t, float, SHRINK)
EIGHTS(fit_f16, float, float, FIT)
#else
NARROW(f16, uint16_t, float, from_f16, to_f16)
#endif
EACH(load_bool, int32_t, uint8_t, (void)0, x != 0)
EACH(store_bool, uint8_t, int32_t, (void)0, x)
EACH(copy_32, uint32_t, uint32_t, (void)0, x)
EACH(copy_64, uint64_t, uint64_t, (void)0, x)

static const struct {
  cpu_step load, store, fit;
} kept[RLX_DTYPE_COUNT] = {
#define KEPT(NAME, s) [RLX_##NAME] = {load_##s, store_##s, fit_##s}
    KEPT(F16, f16), KEPT(BF16, bf16), KEPT(I8, i8),   KEPT(I16, i16),
    KEPT(U8, u8),   KEPT(U16, u16),   KEPT(U32, u32), [RLX_BOOL] = {load_bool, store_bool, NULL},
};

/* Steps of a dtype; NULL: as it lies in memory it is what its class holds. */
cpu_step LOOP_NAME(tile_load)(rlx_dtype dtype) { return kept[dtype].load; }
cpu_step LOOP_NAME(tile_store)(rlx_dtype dtype) { return kept[dtype].store; }
cpu_step LOOP_NAME(tile_fit)(rlx_dtype dtype) { return kept[dtype].fit; }

/* --- between classes */

#define CLASSES(X, from, type)                                                         \
  X(from, f32, type, float) X(from, f64, type, double) X(from, i32, type, int32_t)     \
  X(from, i64, type, int64_t) X(from, u64, type, uint64_t)
#define PLAIN(from, into, type, result) EACH(from##_##into, result, type, (void)0, x)

/* Floats to integers saturate: p holds the least value and the first one above the range; NaN
 * becomes 0. */
#define RANGE(type, result)                                                            \
  const type least = (type)p[0], above = (type)p[1];                                   \
  const result low = (result)p[0];                                                     \
  const result most = (result)(p[1] >= 18446744073709551616.0 ? UINT64_MAX             \
                                                              : (uint64_t)p[1] - 1)
#define SATURATED(from, into, type, result)                                            \
  EACH(from##_##into, result, type, RANGE(type, result),                               \
       x >= least ? (x < above ? (result)x : most) : (x < least ? low : 0))
PLAIN(f32, f64, float, double)
PLAIN(f64, f32, double, float)
SATURATED(f32, i32, float, int32_t)
SATURATED(f32, i64, float, int64_t)
SATURATED(f32, u64, float, uint64_t)
SATURATED(f64, i32, double, int32_t)
SATURATED(f64, i64, double, int64_t)
SATURATED(f64, u64, double, uint64_t)
#define WHOLE(from, type)                                                              \
  PLAIN(from, f32, type, float)                                                        \
  PLAIN(from, f64, type, double)                                                       \
  PLAIN(from, i32, type, int32_t)                                                      \
  PLAIN(from, i64, type, int64_t)                                                      \
  PLAIN(from, u64, type, uint64_t)
WHOLE(i32, int32_t)
WHOLE(i64, int64_t)
WHOLE(u64, uint64_t)
EACH(f32_bool, int32_t, float, (void)0, x != 0)
EACH(f64_bool, int32_t, double, (void)0, x != 0)
EACH(i32_bool, int32_t, int32_t, (void)0, x != 0)
EACH(i64_bool, int32_t, int64_t, (void)0, x != 0)
EACH(u64_bool, int32_t, uint64_t, (void)0, x != 0)

static const cpu_step casts[TILE_CLASSES][TILE_CLASSES] = {
#define ROW(s) {s##_f32, s##_f64, s##_i32, s##_i64, s##_u64}
    [TILE_F32] = {copy_32, f32_f64, f32_i32, f32_i64, f32_u64},
    [TILE_F64] = {f64_f32, copy_64, f64_i32, f64_i64, f64_u64},
    [TILE_I32] = ROW(i32),
    [TILE_I64] = ROW(i64),
    [TILE_U64] = ROW(u64),
};
static const cpu_step truths[TILE_CLASSES] = {f32_bool, f64_bool, i32_bool, i64_bool, u64_bool};

/* From one class to another, or to the bools of the second. */
cpu_step LOOP_NAME(tile_cast)(int from, int into) { return casts[from][into]; }
cpu_step LOOP_NAME(tile_truth)(int from) { return truths[from]; }
