/* cpu/lane.c: what folds begin with. */
#include "cpu/lane.h"

#include <math.h>

lane_value lane_start(lane_fold op, rlx_dtype dtype, lane_type acc) {
  const rlx_dtype_info *info = rlx_dtype_get(dtype);
  const unsigned bits = info->kind == RLX_KIND_BOOL ? 1 : 8 * info->block_bytes;
  const uint64_t top = (uint64_t)1 << (bits - 1), ones = top | (top - 1);
  lane_value v = {.u64 = op == FOLD_PROD};
  const bool extreme = op == FOLD_MAX || op == FOLD_MIN;
  if (extreme && acc == LANE_U64) v.u64 = op == FOLD_MIN ? ones : 0;
  if (extreme && acc == LANE_I64)
    v.i64 = op == FOLD_MIN ? (int64_t)(top - 1) : -(int64_t)(top - 1) - 1;
  if (acc == LANE_F64) v.f64 = op == FOLD_PROD;
  if (extreme && acc == LANE_F64) v.f64 = op == FOLD_MIN ? INFINITY : -INFINITY;
  if (acc == LANE_F32) v.f32 = op == FOLD_MIN ? INFINITY : -INFINITY;
  return v;
}
