/* cpu/loops/scan.c: running sums, products and extremes.
 *
 * Laws: NaN wins; integers wrap; an element is the fold of those up to it, one after the other. */
#include <string.h>

#include "cpu/loops/folds.h"
#include "cpu/loops/loops.h"

/* One row by itself keeps its accumulator in a register. */
#define SCAN(name, T, OP)                                                                     \
  static void name(const scan_how *how, const T *x, int64_t x_step, T *y, int64_t y_step,     \
                   int64_t n, int64_t lanes) {                                                \
    T acc[ROWS_LANES], start;                                                                 \
    memcpy(&start, &how->start, sizeof start);                                                \
    for (int64_t j = 0; j < lanes; j++) acc[j] = start;                                       \
    const int64_t from = how->reverse && n ? n - 1 : 0, step = how->reverse ? -1 : 1;         \
    x += from * x_step;                                                                       \
    y += from * y_step;                                                                       \
    for (int64_t k = 0; k < n && lanes == 1; k++) {                                           \
      const T before = start;                                                                 \
      start = OP(before, x[k * step]);                                                        \
      y[k * step] = how->exclusive ? before : start;                                          \
    }                                                                                         \
    for (int64_t k = 0; k < n && lanes > 1; k++) {                                            \
      const T *row = x + k * step * x_step;                                                   \
      T *to = y + k * step * y_step;                                                          \
      _Pragma("omp simd") for (int64_t j = 0; j < lanes; j++) {                               \
        const T before = acc[j], after = OP(before, row[j]);                                  \
        to[j] = how->exclusive ? before : after;                                              \
        acc[j] = after;                                                                       \
      }                                                                                       \
    }                                                                                         \
  }

SCAN(sum_f64, double, ADD)
SCAN(prod_f64, double, MUL)
SCAN(max_f64, double, LARGER_REAL)
SCAN(min_f64, double, SMALLER_REAL)
SCAN(max_i64, int64_t, LARGER)
SCAN(min_i64, int64_t, SMALLER)
SCAN(sum_u64, uint64_t, ADD)
SCAN(prod_u64, uint64_t, MUL)
SCAN(max_u64, uint64_t, LARGER)
SCAN(min_u64, uint64_t, SMALLER)

void LOOP_NAME(scan_rows)(const void *how, const void *x, int64_t x_step, void *y, int64_t y_step,
                          int64_t n, int64_t lanes) {
  const scan_how *h = how;
  switch (PAIR(h->fold, h->type)) {
#define CASE(op, type, name) \
  case PAIR(FOLD_##op, LANE_##type): name(h, x, x_step, y, y_step, n, lanes); return;
    CASE(SUM, F64, sum_f64)
    CASE(SUM, I64, sum_u64)
    CASE(SUM, U64, sum_u64)
    CASE(PROD, F64, prod_f64)
    CASE(PROD, I64, prod_u64)
    CASE(PROD, U64, prod_u64)
    CASE(MAX, F64, max_f64)
    CASE(MAX, I64, max_i64)
    CASE(MAX, U64, max_u64)
    CASE(MIN, F64, min_f64)
    CASE(MIN, I64, min_i64)
    CASE(MIN, U64, min_u64)
#undef CASE
    default: return;
  }
}
