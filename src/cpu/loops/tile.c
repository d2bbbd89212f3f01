/* cpu/loops/tile.c: the steps of tile programs: each line of tile_ops.def as a loop for each class
 * of elements. */
#include <math.h>
#include <string.h>

#include "cpu/loops/loops.h"
#include "cpu/loops/vmath.h"
#include "cpu/tile.h"

static inline double wide_clamp(double x, double min, double max) {
  if (x < min) x = min;
  return x > max ? max : x;
}

static inline double wide_mod(double x, double y) {
  const double m = fmod(x, y);
  return m != 0 && (m < 0) != (y < 0) ? m + y : m;
}

static inline double wide_gelu_tanh(double x) {
  return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

/* A bound as an integer: the nearest that the type has. */
static int64_t bound_int(double v, int64_t least, int64_t most) {
  if (v <= (double)least) return least;
  return v >= (double)most ? most : (int64_t)v;
}
static int32_t bound_i32(double v) { return (int32_t)bound_int(v, INT32_MIN, INT32_MAX); }
static int64_t bound_i64(double v) { return bound_int(v, INT64_MIN, INT64_MAX); }
static uint64_t bound_u64(double v) {
  if (v <= 0) return 0;
  return v >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)v;
}

/* What integers take a function for. One formula serves signed and unsigned, where `x < 0` is never
 * true. */
#pragma GCC diagnostic ignored "-Wtype-limits"
#ifdef __clang__ /* some steps call libm or branch: they are not vectorised, and need not be */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif
#define WHOLE(s, T, U)                                                                 \
  static inline T mod_##s(T x, T y) {                                                  \
    if (y == 0 || (y == (T)-1 && (T)-1 < 0)) return 0;                                 \
    const T m = x % y;                                                                 \
    return m != 0 && (m < 0) != (y < 0) ? m + y : m;                                   \
  }                                                                                    \
  static inline T pow_##s(T x, T y) {                                                  \
    U r = 1, factor = (U)x;                                                            \
    if (y < 0) return x == (T)-1 ? (y & 1 ? x : 1) : x == 1;                           \
    for (; y; y >>= 1, factor *= factor)                                               \
      if (y & 1) r *= factor;                                                          \
    return (T)r;                                                                       \
  }
WHOLE(i32, int32_t, uint32_t)
WHOLE(i64, int64_t, uint64_t)
WHOLE(u64, uint64_t, uint64_t)

#define whole_mod(x, y) BY_TYPE(mod, x)(x, y)
#define whole_pow(x, y) BY_TYPE(pow, x)(x, y)
#define BY_TYPE(name, x) \
  _Generic((x), int32_t: name##_i32, int64_t: name##_i64, uint64_t: name##_u64)

/* --- loops: `to` may be an operand: elements go in order, by themselves or in vectors */

#define HEAD(name)                                                                     \
  static void step_##name(void *to, const void *xs, const void *ys, const void *zs,    \
                          const double *p, int64_t n)
#define STEP(name, result, type, params, formula)                                      \
  HEAD(name) {                                                                         \
    params;                                                                            \
    (void)p;                                                                           \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                              \
      const type x = ((const type *)xs)[i], y = ((const type *)ys)[i];                 \
      const type z = ((const type *)zs)[i];                                            \
      (void)x, (void)y, (void)z;                                                       \
      ((result *)to)[i] = (result)(formula);                                           \
    }                                                                                  \
  }
#define PARAMS(type, a_, b_) const type a = a_, b = b_; (void)a, (void)b
#define PARAMS_f32 PARAMS(float, (float)p[0], (float)p[1])
#define PARAMS_f64 PARAMS(double, p[0], p[1])
#define PARAMS_OF(s, signed_, unsigned_)                                               \
  typedef signed_ T;                                                                   \
  typedef unsigned_ U;                                                                 \
  (void)(U)0;                                                                          \
  PARAMS(T, bound_##s(ceil(p[0])), bound_##s(floor(p[1])))
#define PARAMS_i32 PARAMS_OF(i32, int32_t, uint32_t)
#define PARAMS_i64 PARAMS_OF(i64, int64_t, uint64_t)
#define PARAMS_u64 PARAMS_OF(u64, uint64_t, uint64_t)

#define FLOAT(name, f32, f64)                                                          \
  STEP(name##_f32, float, float, PARAMS_f32, f32)                                      \
  STEP(name##_f64, double, double, PARAMS_f64, f64)
#define TRIED(name, ordinary, f32, f32_any, f64)                                       \
  STEP(name##_fast, float, float, PARAMS_f32, f32)                                     \
  STEP(name##_any, float, float, PARAMS_f32, f32_any)                                  \
  STEP(name##_f64, double, double, PARAMS_f64, f64)                                    \
  HEAD(name##_f32) {                                                                   \
    uint32_t all = 1;                                                                  \
    _Pragma("omp simd reduction(& : all)") for (int64_t i = 0; i < n; i++) {           \
      const float x = ((const float *)xs)[i], y = ((const float *)ys)[i];              \
      (void)y;                                                                         \
      all &= (uint32_t)(ordinary);                                                              \
    }                                                                                  \
    (all ? step_##name##_fast : step_##name##_any)(to, xs, ys, zs, p, n);              \
  }
#define FLOAT_TEST(name, f32, f64)                                                     \
  STEP(name##_f32_test, int32_t, float, (void)0, f32)                                  \
  STEP(name##_f64_test, int32_t, double, (void)0, f64)
#define INTEGER(name, integer)                                                         \
  STEP(name##_i32, int32_t, int32_t, PARAMS_i32, integer)                              \
  STEP(name##_i64, int64_t, int64_t, PARAMS_i64, integer)                              \
  STEP(name##_u64, uint64_t, uint64_t, PARAMS_u64, integer)
#define INTEGER_TEST(name, integer)                                                    \
  STEP(name##_i32_test, int32_t, int32_t, (void)0, integer)                            \
  STEP(name##_i64_test, int32_t, int64_t, (void)0, integer)                            \
  STEP(name##_u64_test, int32_t, uint64_t, (void)0, integer)
#define SELECTED(name, type, any)                                                      \
  HEAD(name) {                                                                         \
    (void)p;                                                                           \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                              \
      const int32_t x = ((const int32_t *)xs)[i];                                      \
      const type y = ((const type *)ys)[i], z = ((const type *)zs)[i];                 \
      ((type *)to)[i] = any;                                                           \
    }                                                                                  \
  }
#define SELECT(name, any)                                                              \
  SELECTED(name##_32, uint32_t, any)                                                   \
  SELECTED(name##_64, uint64_t, any)
#include "cpu/tile_ops.def"

/* --- by name */

static const struct {
  const char *name;
  cpu_step of[TILE_CLASSES];
} steps[] = {
#define FLOAT(name, f32, f64) \
  {#name, {[TILE_F32] = step_##name##_f32, [TILE_F64] = step_##name##_f64}},
#define TRIED(name, ordinary, f32, f32_any, f64) FLOAT(name, f32, f64)
#define FLOAT_TEST(name, f32, f64) \
  {#name, {[TILE_F32] = step_##name##_f32_test, [TILE_F64] = step_##name##_f64_test}},
#define INTEGER(name, integer)                                                         \
  {#name,                                                                              \
   {[TILE_I32] = step_##name##_i32,                                                    \
    [TILE_I64] = step_##name##_i64,                                                    \
    [TILE_U64] = step_##name##_u64}},
#define INTEGER_TEST(name, integer)                                                    \
  {#name,                                                                              \
   {[TILE_I32] = step_##name##_i32_test,                                               \
    [TILE_I64] = step_##name##_i64_test,                                               \
    [TILE_U64] = step_##name##_u64_test}},
#define SELECT(name, any)                                                              \
  {#name,                                                                              \
   {[TILE_F32] = step_##name##_32,                                                     \
    [TILE_F64] = step_##name##_64,                                                     \
    [TILE_I32] = step_##name##_32,                                                     \
    [TILE_I64] = step_##name##_64,                                                     \
    [TILE_U64] = step_##name##_64}},
#include "cpu/tile_ops.def"
};

/* The step of an operation on elements of a class; NULL: there is none. */
cpu_step LOOP_NAME(tile_step)(const char *name, int of) {
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
    if (steps[i].of[of] && strcmp(steps[i].name, name) == 0) return steps[i].of[of];
  return NULL;
}
