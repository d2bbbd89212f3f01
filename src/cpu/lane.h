/* cpu/lane.h: the types in which lanes of any dtype are computed. */
#ifndef CPU_LANE_H
#define CPU_LANE_H

#include <rlx/dtype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each holds every value of the dtypes that lane_load takes to it. */
typedef enum lane_type {
  LANE_F32, /* f16, bf16, f32 */
  LANE_F64, /* all floats */
  LANE_I64, /* signed integers */
  LANE_U64, /* bool and unsigned integers */
} lane_type;

/* A product of f32 is folded in f64 lanes. */
typedef enum lane_fold { FOLD_SUM, FOLD_PROD, FOLD_MAX, FOLD_MIN } lane_fold;

/* One element of any type. */
typedef union lane_value {
  float f32;
  double f64;
  int64_t i64;
  uint64_t u64;
} lane_value;

enum { ROWS_LANES = 64 }; /* lanes side by side at most, in softmax and scans */

typedef struct softmax_how {
  bool logarithm;
} softmax_how;

typedef struct scan_how {
  lane_fold fold;
  lane_type type; /* not f32 */
  bool exclusive, reverse;
  lane_value start; /* of an exclusive one; changes nothing in others */
} scan_how;

static inline size_t lane_bytes(lane_type t) { return t == LANE_F32 ? 4 : 8; }

/* The dtype that needs no conversion. */
static inline rlx_dtype lane_dtype(lane_type t) {
  static const rlx_dtype dtypes[] = {RLX_F32, RLX_F64, RLX_I64, RLX_U64};
  return dtypes[t];
}

/* What elements of a dtype are computed in; `f`: f32 and halves, for which there is a choice.
 * False: complex and block types. */
static inline bool lane_of(rlx_dtype dtype, lane_type f, lane_type *out_type) {
  const rlx_dtype_info *info = rlx_dtype_get(dtype);
  if (!info || info->kind > RLX_KIND_FLOAT) return false;
  *out_type = info->kind == RLX_KIND_INT ? LANE_I64 : LANE_U64;
  if (info->kind == RLX_KIND_FLOAT) *out_type = dtype == RLX_F64 ? LANE_F64 : f;
  return true;
}

/* What elements of a type are folded into. */
static inline lane_type fold_type(lane_fold op, lane_type type) {
  return op == FOLD_SUM && type == LANE_F32 ? LANE_F64 : type;
}

/* The fold of no elements of a dtype, which changes nothing in others. */
lane_value lane_start(lane_fold op, rlx_dtype dtype, lane_type acc);

static inline void lane_fill(lane_type t, lane_value v, void *to, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (t == LANE_F32) ((float *)to)[i] = v.f32;
    else ((uint64_t *)to)[i] = v.u64;
}

#endif
