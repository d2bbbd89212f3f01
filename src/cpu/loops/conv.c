/* cpu/loops/conv.c: tiles of convolutions: a few places times a few vectors of channels, all held
 * in registers while the taps go by. */
#include "cpu/conv.h"
#include "cpu/loops/loops.h"

#if defined __AVX512F__
enum { LANES = 16 };
#define TILE_ROWS {0, 12, 12, 8}
#elif defined __AVX2__
enum { LANES = 8 };
#define TILE_ROWS {0, 12, 6, 4}
#else
enum { LANES = 4 };
#define TILE_ROWS {0, 12, 6, 4}
#endif
enum { MOST_ROWS = 12, MOST_VECTORS = 3, DEPTH_ROWS = 6 };

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
  static const int64_t rows[] = TILE_ROWS;
  return vectors ? rows[vectors] : DEPTH_ROWS;
}

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void store(float *p, vec v) { *(loose *)p = v; }

/* to[m] = bias + sum over taps and depth of x w, for `rows` places and `vectors` vectors. */
INLINE void dense(const conv_tile *t, int rows, int vectors) {
  vec acc[MOST_ROWS][MOST_VECTORS];
  const int64_t last = t->places - 1, panel = vectors * LANES;
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = load(t->bias + v * LANES);
  for (int64_t i = 0; i < t->taps; i++) {
    const float *x[MOST_ROWS];
    UNROLL for (int m = 0; m < rows; m++)
      x[m] = t->rows[(m < last ? m : last) * t->taps + i] + t->shift;
    const float *w = t->weights + t->at[i * t->step] * panel;
    for (int64_t k = 0; k < t->depth; k++, w += panel) {
      vec f[MOST_VECTORS];
      UNROLL for (int v = 0; v < vectors; v++) f[v] = load(w + v * LANES);
      UNROLL for (int m = 0; m < rows; m++)
        UNROLL for (int v = 0; v < vectors; v++) acc[m][v] += x[m][k] * f[v];
    }
  }
  if (t->width == panel) {
    UNROLL for (int m = 0; m < rows; m++)
      if (m <= last)
        UNROLL for (int v = 0; v < vectors; v++) store(t->to[m] + t->column + v * LANES, acc[m][v]);
    return;
  }
  float edge[MOST_ROWS][MOST_VECTORS * LANES];
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int v = 0; v < vectors; v++) store(edge[m] + v * LANES, acc[m][v]);
  for (int m = 0; m < rows && m <= last; m++)
    for (int64_t j = 0; j < t->width; j++) t->to[m][t->column + j] = edge[m][j];
}

/* A switch, so that each is compiled with its numbers. */
void LOOP_NAME(conv_dense)(const conv_tile *t) {
  static const int rows[] = TILE_ROWS;
  switch (t->vectors * 2 + (t->places == 1)) {
    case 2: dense(t, rows[1], 1); break;
    case 3: dense(t, 1, 1); break;
    case 4: dense(t, rows[2], 2); break;
    case 5: dense(t, 1, 2); break;
    case 6: dense(t, rows[3], 3); break;
    default: dense(t, 1, 3); break;
  }
}

/* One channel a group: to[m] = bias + sum over taps of x w, for the vectors from channel c on. */
INLINE void depth(const conv_tile *t, int64_t c, int vectors) {
  vec acc[DEPTH_ROWS][MOST_VECTORS];
  const int64_t last = t->places - 1;
  UNROLL for (int m = 0; m < DEPTH_ROWS; m++)
    UNROLL for (int v = 0; v < vectors; v++) acc[m][v] = load(t->bias + c + v * LANES);
  for (int64_t i = 0; i < t->taps; i++) {
    const float *w = t->weights + t->at[i] * t->width + c;
    vec f[MOST_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) f[v] = load(w + v * LANES);
    UNROLL for (int m = 0; m < DEPTH_ROWS; m++) {
      const float *x = t->rows[(m < last ? m : last) * t->taps + i] + c;
      UNROLL for (int v = 0; v < vectors; v++) acc[m][v] += load(x + v * LANES) * f[v];
    }
  }
  UNROLL for (int m = 0; m < DEPTH_ROWS; m++)
    if (m <= last)
      UNROLL for (int v = 0; v < vectors; v++) store(t->to[m] + c + v * LANES, acc[m][v]);
}

/* The last vector begins where it ends with the channels: some are computed twice. */
void LOOP_NAME(conv_depth)(const conv_tile *t) {
  int64_t c = 0;
  for (; c + 2 * LANES <= t->width; c += 2 * LANES) depth(t, c, 2);
  for (; c + LANES <= t->width; c += LANES) depth(t, c, 1);
  if (c == t->width) return;
  if (t->width >= LANES) {
    depth(t, t->width - LANES, 1);
    return;
  }
  for (int64_t m = 0; m < t->places; m++)
    for (c = 0; c < t->width; c++) {
      float sum = t->bias[c];
      for (int64_t i = 0; i < t->taps; i++)
        sum += t->rows[m * t->taps + i][c] * t->weights[t->at[i] * t->width + c];
      t->to[m][c] = sum;
    }
}
