/* cpu/loops/conv.c: tiles of convolutions: a few places times a few vectors of channels, all held
 * in registers while the taps go by. */
#include "cpu/conv.h"
#include "cpu/loops/loops.h"

#if defined __AVX512F__
enum { LANES = 16 };
enum { ROWS1 = 12, ROWS2 = 12, ROWS3 = 8 };
#elif defined __AVX2__
enum { LANES = 8 };
enum { ROWS1 = 12, ROWS2 = 6, ROWS3 = 4 };
#else
enum { LANES = 4 };
enum { ROWS1 = 12, ROWS2 = 6, ROWS3 = 4 };
#endif
enum { MOST_ROWS = 12, MOST_VECTORS = 3, MOST_CHAINS = 4, DEPTH_ROWS = 6 };

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef float loose __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif

int64_t LOOP_NAME(conv_lanes)(void) { return LANES; }

/* Places of a tile whose panel has that many vectors; 0 vectors: of conv_depth. */
int64_t LOOP_NAME(conv_rows)(int64_t vectors) {
  static const int64_t rows[] = {DEPTH_ROWS, ROWS1, ROWS2, ROWS3};
  return rows[vectors];
}

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void store(float *p, vec v) { *(loose *)p = v; }

INLINE void products(int rows, int vectors, const float *const *x, int64_t k, const float *w,
                     vec (*sums)[MOST_VECTORS]) {
  vec f[MOST_VECTORS];
  UNROLL for (int v = 0; v < vectors; v++) f[v] = load(w + v * LANES);
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int v = 0; v < vectors; v++) sums[m][v] += x[m][k] * f[v];
}

INLINE void store_sums(const conv_tile *t, int rows, int vectors, vec (*sums)[MOST_VECTORS]) {
  if (t->width == vectors * LANES) {
    UNROLL for (int m = 0; m < rows; m++)
      if (m < t->places)
        UNROLL for (int v = 0; v < vectors; v++)
          store(t->to[m] + t->column + v * LANES, sums[m][v]);
    return;
  }
  float edge[MOST_ROWS][MOST_VECTORS * LANES];
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int v = 0; v < vectors; v++) store(edge[m] + v * LANES, sums[m][v]);
  for (int m = 0; m < rows && m < t->places; m++)
    for (int64_t j = 0; j < t->width; j++) t->to[m][t->column + j] = edge[m][j];
}

/* to[m] = bias + sum over taps and depth of x w, for `rows` places and `vectors` vectors; where
 * those are few, the sum is of several chains, so that additions need not wait for each other. */
INLINE void dense(const conv_tile *t, int rows, int vectors, int chains) {
  vec sums[MOST_CHAINS][MOST_ROWS][MOST_VECTORS];
  const int64_t panel = vectors * LANES, pitch = t->delta ? 1 : t->taps;
  UNROLL for (int s = 0; s < chains; s++)
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int v = 0; v < vectors; v++)
        sums[s][m][v] = s ? (vec){0} : load(t->bias + v * LANES);
  for (int64_t i = 0; i < t->taps; i++) {
    const float *const *row = t->delta ? t->rows : t->rows + i, *x[MOST_ROWS];
    const float *w = t->weights + t->at[i * t->step] * panel;
    const int64_t from = t->shift + (t->delta ? t->delta[i * t->step] : 0);
    int64_t k = 0;
    UNROLL for (int m = 0; m < rows; m++) x[m] = row[m * pitch] + from;
    for (; k + chains <= t->depth; k += chains)
      UNROLL for (int s = 0; s < chains; s++, w += panel)
        products(rows, vectors, x, k + s, w, sums[s]);
    for (; k < t->depth; k++, w += panel) products(rows, vectors, x, k, w, sums[0]);
  }
  UNROLL for (int s = 1; s < chains; s++)
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int v = 0; v < vectors; v++) sums[0][m][v] += sums[s][m][v];
  store_sums(t, rows, vectors, sums[0]);
}

/* As many vectors as the panel has, of rows that the panels of its group have: a switch, so that
 * each is compiled with its numbers. */
void LOOP_NAME(conv_dense)(const conv_tile *t) {
  switch (t->places == 1 ? t->vectors : 4 * t->whole + t->vectors) {
    case 1: dense(t, 1, 1, 4); break;
    case 2: dense(t, 1, 2, 4); break;
    case 3: dense(t, 1, 3, 4); break;
    case 5: dense(t, ROWS1, 1, 1); break;
    case 9: dense(t, ROWS2, 1, 2); break;
    case 10: dense(t, ROWS2, 2, 1); break;
    case 13: dense(t, ROWS3, 1, 2); break;
    case 14: dense(t, ROWS3, 2, 1); break;
    default: dense(t, ROWS3, 3, 1); break;
  }
}

/* One channel a group: to[m] = bias + sum over taps of x w, for the vectors from channel c on. */
INLINE void depth(const conv_tile *t, int64_t c, int vectors) {
  const int64_t pitch = t->delta ? 1 : t->taps;
  vec acc[DEPTH_ROWS][MOST_VECTORS];
  UNROLL for (int m = 0; m < DEPTH_ROWS; m++)
    UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = load(t->bias + c + v * LANES);
  for (int64_t i = 0; i < t->taps; i++) {
    const float *w = t->weights + t->at[i] * t->width + c;
    const float *const *row = t->delta ? t->rows : t->rows + i;
    const int64_t from = c + (t->delta ? t->delta[i] : 0);
    vec f[MOST_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) f[v] = load(w + v * LANES);
    UNROLL for (int m = 0; m < DEPTH_ROWS; m++) {
      const float *x = row[m * pitch] + from;
      UNROLL for (int v = 0; v < vectors; v++) acc[m][v] += load(x + v * LANES) * f[v];
    }
  }
  UNROLL for (int m = 0; m < DEPTH_ROWS; m++)
    if (m < t->places)
      UNROLL for (int v = 0; v < vectors; v++) store(t->to[m] + c + v * LANES, acc[m][v]);
}

static void depth_narrow(const conv_tile *t) {
  for (int64_t m = 0; m < t->places; m++)
    for (int64_t c = 0; c < t->width; c++) {
      float sum = t->bias[c];
      for (int64_t i = 0; i < t->taps; i++) {
        const float *x = t->delta ? t->rows[m] + t->delta[i] : t->rows[m * t->taps + i];
        sum += x[c] * t->weights[t->at[i] * t->width + c];
      }
      t->to[m][c] = sum;
    }
}

/* A few channels of all tiles, then the next ones: neighbouring tiles read the same lines of x. The
 * last vector begins where it ends with the channels: some are computed twice. */
void LOOP_NAME(conv_depth)(const conv_tile *tiles, int64_t n) {
  const int64_t width = tiles->width;
  int64_t c = 0;
  for (; c + 2 * LANES <= width; c += 2 * LANES)
    for (int64_t i = 0; i < n; i++) depth(&tiles[i], c, 2);
  for (; c < width && width >= LANES; c += LANES)
    for (int64_t i = 0; i < n; i++) depth(&tiles[i], c + LANES <= width ? c : width - LANES, 1);
  for (int64_t i = 0; i < n && width < LANES; i++) depth_narrow(&tiles[i]);
}
