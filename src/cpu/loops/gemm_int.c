/* cpu/loops/gemm_int.c: products of integers on packed panels of GEMM_INT_COLUMNS columns, with the
 * sums in i32 (modulo 2^32, exact).
 *
 * 8 bits: four neighbouring rows of a panel are a group: [column][4] bytes. Without VNNI two
 * products of u8 and i8 are added in 16 bits, which saturates: cpu/gemm_int_pack.c forms quads and
 * pairs of groups whose sums stay within 16 bits whatever a holds.
 * 16 bits: two neighbouring rows are a group: [column][2]. */
#include "cpu/loops/loops.h"

#include <string.h>

#include "cpu/gemm_int.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

enum { COLUMNS = GEMM_INT_COLUMNS, GROUP = 4 * COLUMNS };

#if defined(__AVX512BW__)
typedef __m512i vec;
#define WIDE(f) _mm512_##f
#define WIDE_LOAD(p) _mm512_loadu_si512(p)
#define WIDE_STORE(p, v) _mm512_storeu_si512(p, v)
enum { TILE_ROWS = 16 };
#elif defined(__AVX2__)
typedef __m256i vec;
#define WIDE(f) _mm256_##f
#define WIDE_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define WIDE_STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
enum { TILE_ROWS = 4 };
#elif defined(__SSE2__)
typedef __m128i vec;
#define WIDE(f) _mm_##f
#define WIDE_LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define WIDE_STORE(p, v) _mm_storeu_si128((__m128i *)(p), v)
enum { TILE_ROWS = 2 };
#else
enum { TILE_ROWS = 1 };
#endif

#ifdef __SSE2__
enum { LANES = sizeof(vec) / 4, VECS = COLUMNS / LANES };

/* Four bytes in every lane. */
static inline vec spread(const void *p) {
  int32_t four;
  memcpy(&four, p, 4);
  return WIDE(set1_epi32)(four);
}

static inline void begin(vec acc[][VECS], int rows, const int32_t *start) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < VECS; j++) acc[i][j] = WIDE_LOAD(start + j * LANES);
}

static inline void finish(vec acc[][VECS], int rows, int32_t *to, int64_t ld) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < VECS; j++) WIDE_STORE(to + i * ld + j * LANES, acc[i][j]);
}
#endif

/* --- 8 bits */

#ifdef __AVX2__

/* `n` groups of the same columns times four bytes of a each, added up. */
static inline __attribute__((always_inline)) vec add_groups(vec acc, const vec *a, const int8_t *b,
                                                            int n) {
#ifdef __AVX512VNNI__
  for (int g = 0; g < n; g++) acc = WIDE(dpbusd_epi32)(acc, a[g], WIDE_LOAD(b + g * GROUP));
  return acc;
#else
  vec sum = WIDE(maddubs_epi16)(a[0], WIDE_LOAD(b));
  for (int g = 1; g < n; g++)
    sum = WIDE(add_epi16)(sum, WIDE(maddubs_epi16)(a[g], WIDE_LOAD(b + g * GROUP)));
  return WIDE(add_epi32)(acc, WIDE(madd_epi16)(sum, WIDE(set1_epi16)(1)));
#endif
}

/* `count` times `n` groups. Returns the groups behind them. */
static inline __attribute__((always_inline)) const int8_t *
add_rows8(vec acc[][VECS], const uint8_t *a, int64_t lda, int rows, const int32_t *at,
          const int8_t *b, int64_t count, int n) {
  for (int64_t k = 0; k < count; k++, at += n, b += n * GROUP)
    for (int i = 0; i < rows; i++) {
      vec x[4];
      for (int g = 0; g < n; g++) x[g] = spread(a + i * lda + at[g]);
      for (int j = 0; j < VECS; j++) acc[i][j] = add_groups(acc[i][j], x, b + j * 4 * LANES, n);
    }
  return b;
}

static inline __attribute__((always_inline)) void rows8(const uint8_t *a, int64_t lda, int rows,
                                                        const gemm_int8_panel *panel,
                                                        const int32_t *start, int32_t *to,
                                                        int64_t ld) {
  const int32_t *at = panel->at, *pairs = at + 4 * panel->quads;
  vec acc[TILE_ROWS][VECS];
  begin(acc, rows, start);
  const int8_t *b = add_rows8(acc, a, lda, rows, at, panel->data, panel->quads, 4);
  b = add_rows8(acc, a, lda, rows, pairs, b, panel->pairs, 2);
  add_rows8(acc, a, lda, rows, pairs + 2 * panel->pairs, b, panel->singles, 1);
  finish(acc, rows, to, ld);
}

int LOOP_NAME(gemm_int8_kind)(void) {
#ifdef __AVX512VNNI__
  return GEMM_INT8_EXACT;
#else
  return GEMM_INT8_SATURATES;
#endif
}

/* to[rows][columns of the panel] = start + a times the panel. */
void LOOP_NAME(gemm_int8_rows)(const uint8_t *a, int64_t lda, int64_t rows,
                               const gemm_int8_panel *panel, const int32_t *start, int32_t *to,
                               int64_t ld) {
  int64_t i = 0;
  for (; i + TILE_ROWS <= rows; i += TILE_ROWS)
    rows8(a + i * lda, lda, TILE_ROWS, panel, start, to + i * ld, ld);
  for (; i < rows; i++) rows8(a + i * lda, lda, 1, panel, start, to + i * ld, ld);
}

#else

int LOOP_NAME(gemm_int8_kind)(void) { return GEMM_INT8_NONE; }

void LOOP_NAME(gemm_int8_rows)(const uint8_t *a, int64_t lda, int64_t rows,
                               const gemm_int8_panel *panel, const int32_t *start, int32_t *to,
                               int64_t ld) {
  (void)a, (void)lda, (void)rows, (void)panel, (void)start, (void)to, (void)ld;
}

#endif

/* --- 16 bits */

#ifdef __SSE2__

static inline __attribute__((always_inline)) void rows16(const int16_t *a, int64_t lda, int rows,
                                                         const int16_t *b, int64_t groups,
                                                         const int32_t *start, int32_t *to,
                                                         int64_t ld) {
  vec acc[TILE_ROWS][VECS];
  begin(acc, rows, start);
  for (int64_t k = 0; k < groups; k++, b += 2 * COLUMNS)
    for (int i = 0; i < rows; i++) {
      const vec x = spread(a + i * lda + 2 * k);
      for (int j = 0; j < VECS; j++)
        acc[i][j] =
            WIDE(add_epi32)(acc[i][j], WIDE(madd_epi16)(x, WIDE_LOAD(b + j * 2 * LANES)));
    }
  finish(acc, rows, to, ld);
}

#else

static inline void rows16(const int16_t *a, int64_t lda, int rows, const int16_t *b,
                          int64_t groups, const int32_t *start, int32_t *to, int64_t ld) {
  for (int i = 0; i < rows; i++, a += lda, to += ld) {
    uint32_t sum[COLUMNS];
    memcpy(sum, start, sizeof sum);
    for (int64_t k = 0; k < groups; k++)
      for (int j = 0; j < COLUMNS; j++)
        for (int half = 0; half < 2; half++)
          sum[j] += (uint32_t)(a[2 * k + half] * b[(k * COLUMNS + j) * 2 + half]);
    memcpy(to, sum, sizeof sum);
  }
}

#endif

/* The same as gemm_int8_rows for a panel of `groups` groups of 16-bit factors. */
void LOOP_NAME(gemm_int16_rows)(const int16_t *a, int64_t lda, int64_t rows, const int16_t *b,
                                int64_t groups, const int32_t *start, int32_t *to, int64_t ld) {
  int64_t i = 0;
  for (; i + TILE_ROWS <= rows; i += TILE_ROWS)
    rows16(a + i * lda, lda, TILE_ROWS, b, groups, start, to + i * ld, ld);
  for (; i < rows; i++) rows16(a + i * lda, lda, 1, b, groups, start, to + i * ld, ld);
}
