/* cpu/loops/fold.c: sums, products, maxima and minima of rows of lanes.
 *
 * Laws: NaN wins as maximum and as minimum. f32 is summed in f32 for at most 1024 elements, as a
 * tree of at most 42 additions one behind the other, and from there on in f64: the error is at most
 * 42 x 2^-24 of the sum of magnitudes, however many there are.
 * Everything else is folded in its lane's type, integers wrap. */
#include "cpu/loops/folds.h"
#include "cpu/loops/loops.h"

/* Accumulators that stay in registers: four vectors of eight floats, or one. */
enum { TILE = 32, SMALL = 8, LONG = 128 };

/* acc[j] = acc[j] op x[r * step + j] for all rows r and lanes j; a run has one accumulator. */
#define FOLD(name, T, OP)                                                                \
  static void name(T *restrict acc, const T *restrict x, int64_t lanes, int64_t rows,    \
                   int64_t step) {                                                       \
    int64_t j = 0;                                                                       \
    for (; j + TILE <= lanes; j += TILE) {                                               \
      T tile[TILE];                                                                      \
      for (int i = 0; i < TILE; i++) tile[i] = acc[j + i];                               \
      for (int64_t r = 0; r < rows; r++) {                                               \
        const T *row = x + r * step + j;                                                 \
        for (int i = 0; i < TILE; i++) tile[i] = OP(tile[i], row[i]);                    \
      }                                                                                  \
      for (int i = 0; i < TILE; i++) acc[j + i] = tile[i];                               \
    }                                                                                    \
    for (int64_t r = 0; r < rows; r++)                                                   \
      for (int64_t i = j; i < lanes; i++) acc[i] = OP(acc[i], x[r * step + i]);          \
  }                                                                                      \
  static void name##_run(T *acc, const T *x, int64_t n, T start) {                       \
    const int64_t whole = n / TILE * TILE;                                               \
    int64_t k = 0;                                                                       \
    T t[SMALL];                                                                          \
    for (int i = 0; i < SMALL; i++) t[i] = start;                                        \
    if (n >= LONG) {                                                                     \
      T tile[TILE];                                                                      \
      for (int i = 0; i < TILE; i++) tile[i] = start;                                    \
      for (; k < whole; k += TILE)                                                       \
        for (int i = 0; i < TILE; i++) tile[i] = OP(tile[i], x[k + i]);                  \
      for (int j = 0; j < TILE; j += SMALL)                                              \
        for (int i = 0; i < SMALL; i++) t[i] = OP(t[i], tile[j + i]);                    \
    }                                                                                    \
    for (; k + SMALL <= n; k += SMALL)                                                   \
      for (int i = 0; i < SMALL; i++) t[i] = OP(t[i], x[k + i]);                         \
    for (int i = 0; i < n - k; i++) t[i] = OP(t[i], x[k + i]);                           \
    const T a = OP(t[0], t[4]), b = OP(t[1], t[5]), c = OP(t[2], t[6]), d = OP(t[3], t[7]); \
    const T e = OP(a, c), f = OP(b, d), g = OP(e, f);                                    \
    *acc = OP(*acc, g);                                                                  \
  }

FOLD(sum_f32, float, ADD)
FOLD(max_f32, float, LARGER_REAL)
FOLD(min_f32, float, SMALLER_REAL)
FOLD(sum_f64, double, ADD)
FOLD(prod_f64, double, MUL)
FOLD(max_f64, double, LARGER_REAL)
FOLD(min_f64, double, SMALLER_REAL)
FOLD(max_i64, int64_t, LARGER)
FOLD(min_i64, int64_t, SMALLER)
FOLD(sum_u64, uint64_t, ADD)
FOLD(prod_u64, uint64_t, MUL)
FOLD(max_u64, uint64_t, LARGER)
FOLD(min_u64, uint64_t, SMALLER)

/* As sum_f32 into f64, TILE rows of TILE lanes at a time. */
static void sum_f32_wide(double *restrict acc, const float *restrict x, int64_t lanes, int64_t rows,
                         int64_t step) {
  for (int64_t j = 0; j < lanes; j += TILE) {
    const int64_t m = lanes - j < TILE ? lanes - j : TILE;
    for (int64_t r = 0; r < rows; r += TILE) {
      float part[TILE] = {0};
      sum_f32(part, x + r * step + j, m, rows - r < TILE ? rows - r : TILE, step);
      for (int64_t i = 0; i < m; i++) acc[j + i] += (double)part[i];
    }
  }
}

static void sum_f32_wide_run(double *acc, const float *x, int64_t n, float start) {
  for (int64_t i = 0; i < n; i += TILE * TILE) {
    float part = 0;
    sum_f32_run(&part, x + i, n - i < TILE * TILE ? n - i : TILE * TILE, start);
    *acc += (double)part;
  }
}

/* X(fold, lane type, member of lane_value, function) */
#define FOLDS(X)                    \
  X(SUM, F32, f32, sum_f32_wide)    \
  X(SUM, F64, f64, sum_f64)         \
  X(SUM, I64, u64, sum_u64)         \
  X(SUM, U64, u64, sum_u64)         \
  X(PROD, F64, f64, prod_f64)       \
  X(PROD, I64, u64, prod_u64)       \
  X(PROD, U64, u64, prod_u64)       \
  X(MAX, F32, f32, max_f32)         \
  X(MAX, F64, f64, max_f64)         \
  X(MAX, I64, i64, max_i64)         \
  X(MAX, U64, u64, max_u64)         \
  X(MIN, F32, f32, min_f32)         \
  X(MIN, F64, f64, min_f64)         \
  X(MIN, I64, i64, min_i64)         \
  X(MIN, U64, u64, min_u64)

void LOOP_NAME(fold_rows)(lane_fold fold, lane_type type, const void *x, int64_t lanes,
                          int64_t rows, int64_t step, void *acc) {
  switch (PAIR(fold, type)) {
#define X(op_, type_, member, name) \
  case PAIR(FOLD_##op_, LANE_##type_): name(acc, x, lanes, rows, step); return;
    FOLDS(X)
#undef X
    default: return;
  }
}

/* All of n neighbours into one accumulator; `start`, of x's type, changes nothing. */
void LOOP_NAME(fold_run)(lane_fold fold, lane_type type, const void *x, int64_t n, lane_value start,
                         void *acc) {
  switch (PAIR(fold, type)) {
#define X(op_, type_, member, name) \
  case PAIR(FOLD_##op_, LANE_##type_): name##_run(acc, x, n, start.member); return;
    FOLDS(X)
#undef X
    default: return;
  }
}

#define EQUAL(a, b) ((a) == (b))
#define EQUAL_REAL(a, b) (((a) == (b)) | (((a) != (a)) & ((b) != (b))))

/* Of lanes side by side all rows are looked at, the wanted one last; of one dense lane blocks, up
 * to the first that has it. */
#define FIND(name, T, IS)                                                                      \
  static void name(const T *restrict x, const T *restrict best, int64_t lanes, int64_t rows,   \
                   int64_t step, bool last, int64_t base, int64_t *restrict index) {           \
    for (int64_t k = 0; k < rows; k++) {                                                       \
      const int64_t r = last ? k : rows - 1 - k;                                               \
      const T *row = x + r * step;                                                             \
      for (int64_t j = 0; j < lanes; j++) index[j] = IS(row[j], best[j]) ? base + r : index[j]; \
    }                                                                                          \
  }                                                                                            \
  static void name##_run(const T *x, T best, int64_t n, bool last, int64_t base,               \
                         int64_t *index) {                                                     \
    enum { BLOCK = 64 };                                                                       \
    for (int64_t k = 0; k < n; k += BLOCK) {                                                   \
      const int64_t m = n - k < BLOCK ? n - k : BLOCK, from = last ? n - k - m : k;            \
      int found = 0;                                                                           \
      for (int64_t i = from; i < from + m; i++) found |= IS(x[i], best);                       \
      if (!found) continue;                                                                    \
      name(x + from, &best, 1, m, 1, last, base + from, index);                                \
      return;                                                                                  \
    }                                                                                          \
  }

FIND(find_f32, float, EQUAL_REAL)
FIND(find_f64, double, EQUAL_REAL)
FIND(find_u64, uint64_t, EQUAL)

/* index[j] = base + the first (or last) row whose element of lane j is best[j], NaN being equal to
 * NaN; the same as before where there is none. */
void LOOP_NAME(fold_find)(lane_type type, const void *x, const void *best, int64_t lanes,
                          int64_t rows, int64_t step, bool last, int64_t base, int64_t *index) {
  const bool run = lanes == 1 && step == 1;
#define CASE(name, T)                                                      \
  {                                                                        \
    if (run) name##_run(x, *(const T *)best, rows, last, base, index);     \
    else name(x, best, lanes, rows, step, last, base, index);              \
    return;                                                                \
  }
  switch (type) {
    case LANE_F32: CASE(find_f32, float)
    case LANE_F64: CASE(find_f64, double)
    default: CASE(find_u64, uint64_t)
  }
#undef CASE
}
