/* cpu/loops/copy.c: rows of a strided copy (cpu/copy.h): `rows` rows of n elements of `width`
 * bytes, steps in bytes; and lines of bytes from or to given places. */
#include <string.h>

#include "cpu/loops/loops.h"
#include "cpu/places.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

/* --- neighbours to neighbours */

/* Less than two vectors: two pieces that may overlap. */
static inline void copy_short(char *restrict to, const char *restrict from, size_t bytes) {
#define ENDS(size)                                            \
  if (bytes >= size) {                                        \
    memcpy(to, from, size);                                   \
    memcpy(to + bytes - size, from + bytes - size, size);     \
    return;                                                   \
  }
  ENDS(16)
  ENDS(8)
  ENDS(4)
#undef ENDS
  for (size_t i = 0; i < bytes; i++) to[i] = from[i];
}

static inline void copy_line(char *restrict to, const char *restrict from, size_t bytes) {
  if (bytes > 512) {
    memcpy(to, from, bytes);
  } else if (bytes < 32) {
    copy_short(to, from, bytes);
  } else {
    for (size_t i = 0; i + 32 < bytes; i += 32) memcpy(to + i, from + i, 32);
    memcpy(to + bytes - 32, from + bytes - 32, 32);
  }
}

void LOOP_NAME(copy_rows)(size_t width, int64_t rows, int64_t n, const char *from,
                          int64_t from_row, int64_t from_step, char *to, int64_t to_row,
                          int64_t to_step) {
  const size_t bytes = (size_t)n * width;
  (void)from_step, (void)to_step;
  for (int64_t r = 0; r < rows; r++, from += from_row, to += to_row) copy_line(to, from, bytes);
}

/* --- any steps, and one element many times */

typedef struct wide {
  uint64_t half[2];
} wide;

#define EACH_WIDTH(X) X(1, uint8_t) X(2, uint16_t) X(4, uint32_t) X(8, uint64_t) X(16, wide)

#define ELEMENTS(W, type)                                                                      \
  static void elements_##W(int64_t n, const char *from, int64_t from_step, char *to,           \
                           int64_t to_step) {                                                  \
    type v;                                                                                    \
    if (from_step == 0 && to_step == W) {                                                      \
      memcpy(&v, from, W);                                                                     \
      for (int64_t i = 0; i < n; i++) memcpy(to + i * W, &v, W);                               \
      return;                                                                                  \
    }                                                                                          \
    for (int64_t i = 0; i < n; i++, from += from_step, to += to_step) {                        \
      memcpy(&v, from, W);                                                                     \
      memcpy(to, &v, W);                                                                       \
    }                                                                                          \
  }
EACH_WIDTH(ELEMENTS)
#undef ELEMENTS

static inline void elements(size_t width, int64_t n, const char *from, int64_t from_step, char *to,
                            int64_t to_step) {
  switch (width) {
#define CASE(W, type) \
  case W: elements_##W(n, from, from_step, to, to_step); break;
    EACH_WIDTH(CASE)
#undef CASE
  }
}

void LOOP_NAME(copy_elements)(size_t width, int64_t rows, int64_t n, const char *from,
                              int64_t from_row, int64_t from_step, char *to, int64_t to_row,
                              int64_t to_step) {
  for (int64_t r = 0; r < rows; r++, from += from_row, to += to_row)
    elements(width, n, from, from_step, to, to_step);
}

/* --- transposition: neighbours along the rows to neighbours along the elements */

/* 8 x 8 elements: element [i] of line k becomes element [k] of line i. */
#define TILE(W, type)                                                                        \
  static void tile_##W(const char *from, int64_t from_step, char *to, int64_t to_row) {      \
    for (int i = 0; i < 8; i++)                                                              \
      for (int k = 0; k < 8; k++)                                                            \
        memcpy(to + i * to_row + k * W, from + k * from_step + i * W, W);                    \
  }

#ifndef __SSE2__
TILE(1, uint8_t)
TILE(2, uint16_t)
TILE(4, uint32_t)
#else
/* Interleaving the first half of the lines with the second, log2(lines) times, transposes. */
static void tile_1(const char *from, int64_t from_step, char *to, int64_t to_row) {
  __m128i v[4], w[4];
  for (int k = 0; k < 4; k++)
    v[k] = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(from + k * from_step)),
                             _mm_loadl_epi64((const __m128i *)(from + (k + 4) * from_step)));
  for (int k = 0; k < 2; k++) {
    w[2 * k] = _mm_unpacklo_epi8(v[k], v[k + 2]);
    w[2 * k + 1] = _mm_unpackhi_epi8(v[k], v[k + 2]);
  }
  for (int k = 0; k < 2; k++) {
    v[2 * k] = _mm_unpacklo_epi8(w[k], w[k + 2]);
    v[2 * k + 1] = _mm_unpackhi_epi8(w[k], w[k + 2]);
  }
  for (int i = 0; i < 4; i++) {
    _mm_storel_epi64((__m128i *)(to + 2 * i * to_row), v[i]);
    _mm_storel_epi64((__m128i *)(to + (2 * i + 1) * to_row), _mm_srli_si128(v[i], 8));
  }
}

static void tile_2(const char *from, int64_t from_step, char *to, int64_t to_row) {
  __m128i v[8], w[8];
  for (int k = 0; k < 8; k++) v[k] = _mm_loadu_si128((const __m128i *)(from + k * from_step));
  for (int round = 0; round < 3; round++) {
    for (int k = 0; k < 4; k++) {
      w[2 * k] = _mm_unpacklo_epi16(v[k], v[k + 4]);
      w[2 * k + 1] = _mm_unpackhi_epi16(v[k], v[k + 4]);
    }
    for (int k = 0; k < 8; k++) v[k] = w[k];
  }
  for (int i = 0; i < 8; i++) _mm_storeu_si128((__m128i *)(to + i * to_row), v[i]);
}

static void tile_4(const char *from, int64_t from_step, char *to, int64_t to_row) {
  for (int i = 0; i < 8; i += 4)
    for (int k = 0; k < 8; k += 4) {
      __m128 v[4];
      for (int h = 0; h < 4; h++)
        v[h] = _mm_loadu_ps((const float *)(from + (k + h) * from_step + i * 4));
      _MM_TRANSPOSE4_PS(v[0], v[1], v[2], v[3]);
      for (int h = 0; h < 4; h++) _mm_storeu_ps((float *)(to + (i + h) * to_row + k * 4), v[h]);
    }
}
#endif

TILE(8, uint64_t)
TILE(16, wide)
#undef TILE

#define TRANSPOSED(W, type)                                                                    \
  static void transposed_##W(int64_t rows, int64_t n, const char *from, int64_t from_step,     \
                             char *to, int64_t to_row) {                                       \
    const int64_t whole_rows = rows & ~(int64_t)7, whole = n & ~(int64_t)7;                    \
    for (int64_t r0 = 0; r0 < whole_rows; r0 += 16)                                            \
      for (int64_t c0 = 0; c0 < whole; c0 += 16)                                               \
        for (int64_t r = r0; r < r0 + 16 && r < whole_rows; r += 8)                            \
          for (int64_t c = c0; c < c0 + 16 && c < whole; c += 8)                               \
            tile_##W(from + c * from_step + r * W, from_step, to + r * to_row + c * W,         \
                     to_row);                                                                  \
    for (int64_t c = whole; c < n; c++)                                                        \
      elements_##W(whole_rows, from + c * from_step, W, to + c * W, to_row);                   \
    for (int64_t r = whole_rows; r < rows; r++)                                                \
      elements_##W(n, from + r * W, from_step, to + r * to_row, W);                            \
  }
EACH_WIDTH(TRANSPOSED)
#undef TRANSPOSED

void LOOP_NAME(copy_transposed)(size_t width, int64_t rows, int64_t n, const char *from,
                                int64_t from_row, int64_t from_step, char *to, int64_t to_row,
                                int64_t to_step) {
  (void)from_row, (void)to_step;
  switch (width) {
#define CASE(W, type) \
  case W: transposed_##W(rows, n, from, from_step, to, to_row); break;
    EACH_WIDTH(CASE)
#undef CASE
  }
}

/* --- n lines of `bytes` bytes, from the places `at` (bytes) to the next ones in order, and back */

void LOOP_NAME(copy_gather)(size_t bytes, int64_t n, const int64_t *at, const char *from,
                            char *to) {
  switch (bytes) {
#define CASE(W, type)                                                            \
  case W:                                                                        \
    for (int64_t i = 0; i < n; i++) memcpy(to + i * W, from + at[i], W);         \
    return;
    EACH_WIDTH(CASE)
#undef CASE
  }
  for (int64_t i = 0; i < n; i++) copy_line(to + i * (int64_t)bytes, from + at[i], bytes);
}
#undef EACH_WIDTH

void LOOP_NAME(copy_scatter)(size_t bytes, int64_t n, const int64_t *at, const char *from,
                             char *to) {
  for (int64_t i = 0; i < n; i++) copy_line(to + at[i], from + i * (int64_t)bytes, bytes);
}

/* A row of stretches of a result that says where its elements come from (cpu/places.h). */
void LOOP_NAME(copy_stretches)(const cpu_places *p, const char *from, char *to) {
  const int64_t width = (int64_t)p->width, block = p->block;
  for (size_t i = 0; i < p->n_runs; i++) {
    const places_stretch *s = &p->runs[i];
    const char *x = s->from == NO_PLACE ? p->fill : from + s->from;
    char *y = to + s->to;
    if (x == p->fill) elements(p->width, s->n * block / width, x, 0, y, width);
    else if (s->step == block) copy_line(y, x, (size_t)(s->n * block));
    else if (block == width) elements(p->width, s->n, x, s->step, y, width);
    else
      for (int64_t k = 0; k < s->n; k++) copy_line(y + k * block, x + k * s->step, (size_t)block);
  }
}
