/* cpu/loops/gemm_tile.h: blocks of a product, cut into tiles; for a file that defines REAL, the
 * type of the sums, and sums_run.
 *
 * A tile of up to ROWS x COLUMNS sums stays in registers while k runs: two vectors of b and one
 * number of a at a time. Each shape of a tile is a function of its own, whose loops over the tile
 * are unrolled. Sums run in order of k; those of tiles of less than four rows, which would wait for
 * each addition, may run in `parts` that are added at the end. */
#include <string.h>

#include "cpu/gemm.h"
#include "cpu/loops/loops.h"

#if defined(__AVX512F__)
#define TILE_TALL
enum { VECTOR = 64 / sizeof(REAL) };
#elif defined(__AVX2__)
enum { VECTOR = 32 / sizeof(REAL) };
#else
enum { VECTOR = 16 / sizeof(REAL) };
#endif
enum { COLUMNS = 2 * VECTOR };
typedef REAL vector __attribute__((vector_size(sizeof(REAL) * VECTOR), aligned(sizeof(REAL))));

#define INLINED static inline __attribute__((always_inline))

INLINED vector vector_get(const REAL *p, int i) {
  return *(const vector *)(const void *)(p + i * VECTOR);
}
INLINED void vector_set(REAL *p, int i, vector v) { *(vector *)(void *)(p + i * VECTOR) = v; }

typedef struct sums_place {
  const REAL *a, *bias;
  const void *b;
  REAL *c;
  int64_t c_row;
  const char *next; /* this tile's share of the panel to come */
  int64_t next_step;
} sums_place;

/* c = bias, 0 or c + a b, of rows x (vectors * VECTOR) */
INLINED void sums_run(int rows, int vectors, int parts, const gemm_block *p, const sums_place *t);

/* A panel is read once while its predecessor is multiplied, in the shares of the tiles: neither
 * waits for memory. */
INLINED void next_fetch(const sums_place *t, int64_t l) {
  enum { LINE = 64, LINES = (COLUMNS * sizeof(REAL) + LINE - 1) / LINE };
  for (int j = 0; j < LINES; j++) __builtin_prefetch(t->next + l * t->next_step + j * LINE, 0, 2);
}

INLINED void sums_start(const int rows, const int vectors, const gemm_block *p, const sums_place *t,
                        vector (*sum)[2]) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++) {
      sum[i][j] = (vector){0};
      if (p->add) {
        sum[i][j] = vector_get(t->c + i * t->c_row, j);
      } else if (t->bias) {
        sum[i][j] = vector_get(t->bias, j);
      }
    }
}

INLINED void sums_end(const int rows, const int vectors, const sums_place *t, vector (*sum)[2]) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++) vector_set(t->c + i * t->c_row, j, sum[i][j]);
}

typedef void (*sums_function)(const gemm_block *p, const sums_place *t);

#define TILE(rows, half_parts, parts)                                 \
  static void half_##rows(const gemm_block *p, const sums_place *t) { \
    sums_run(rows, 1, half_parts, p, t);                              \
  }                                                                   \
  static void tile_##rows(const gemm_block *p, const sums_place *t) { \
    sums_run(rows, 2, parts, p, t);                                   \
  }
TILE(1, 4, 4)
TILE(2, 4, 2)
TILE(3, 2, 2)
TILE(4, 1, 1)
TILE(5, 1, 1)
TILE(6, 1, 1)
#ifdef TILE_TALL
TILE(7, 1, 1)
TILE(8, 1, 1)
TILE(9, 1, 1)
TILE(10, 1, 1)
TILE(11, 1, 1)
TILE(12, 1, 1)
#endif
#undef TILE

/* [0]: up to VECTOR columns; [1]: more */
static const sums_function tiles[2][12] = {
    {half_1, half_2, half_3, half_4, half_5, half_6,
#ifdef TILE_TALL
     half_7, half_8, half_9, half_10, half_11, half_12
#endif
    },
    {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6,
#ifdef TILE_TALL
     tile_7, tile_8, tile_9, tile_10, tile_11, tile_12
#endif
    },
};
#ifdef TILE_TALL
enum { ROWS = 12 };
#else
enum { ROWS = 6 };
#endif

/* A tile whose columns are not whole vectors, by way of one where they are. */
static void sums_edge(const gemm_block *p, const sums_place *t, sums_function f, int64_t rows,
                      int64_t n) {
  REAL c[ROWS * COLUMNS], bias[COLUMNS];
  memset(c, 0, sizeof c);
  memset(bias, 0, sizeof bias);
  for (int64_t i = 0; i < rows && p->add; i++)
    memcpy(c + i * COLUMNS, t->c + i * t->c_row, (size_t)n * sizeof *c);
  if (t->bias) memcpy(bias, t->bias, (size_t)n * sizeof *bias);
  sums_place dense = *t;
  dense.c = c;
  dense.c_row = COLUMNS;
  if (t->bias) dense.bias = bias;
  f(p, &dense);
  for (int64_t i = 0; i < rows; i++)
    memcpy(t->c + i * t->c_row, c + i * COLUMNS, (size_t)n * sizeof *c);
}

/* Panel by panel: its rows, cut evenly. */
INLINED void block_run(const gemm_block *p, const int64_t panel_bytes) {
  const int64_t parts = (p->m + ROWS - 1) / ROWS;
  const int64_t step = p->b_step == COLUMNS ? COLUMNS * panel_bytes : 0; /* 0: fetch nothing new */
  sums_place t = {.b = p->b, .bias = p->bias, .c_row = p->c_row};
  t.next_step = parts ? (step + parts - 1) / parts : 0;
  for (int64_t col = 0; col < p->n; col += COLUMNS) {
    const int64_t n = p->n - col;
    const sums_function *f = tiles[n > VECTOR];
    const char *next = t.b;
    if (n > COLUMNS && step) next += p->b_panel * panel_bytes;
    else if (p->next) next = p->next;
    for (int64_t i = 0, row = 0, rows; i < parts; i++, row += rows) {
      rows = i + 1 == parts ? p->m - row : p->m * (i + 1) / parts - row;
      t.next = next + p->k * step * i / parts;
      t.a = (const REAL *)p->a + row * p->a_row;
      t.c = (REAL *)p->c + row * p->c_row + col;
      if (n == VECTOR || n >= COLUMNS) {
        f[rows - 1](p, &t);
      } else {
        sums_edge(p, &t, f[rows - 1], rows, n);
      }
    }
    t.b = (const char *)t.b + p->b_panel * panel_bytes;
    if (t.bias) t.bias += COLUMNS;
  }
}
