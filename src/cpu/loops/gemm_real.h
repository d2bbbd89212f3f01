/* cpu/loops/gemm_real.h: products of matrices of REAL, for the file that defines it and
 * LOOP_REAL(name). */
#include "cpu/loops/gemm_tile.h"

INLINED void sums_run(const int rows, const int vectors, const int parts, const gemm_block *p,
                      const sums_place *t) {
  vector sum[4][12][2];
  const int64_t a_row = p->a_row, b_step = p->b_step, k = p->k;
  const REAL *a = t->a, *b = t->b;
  sums_start(rows, vectors, p, t, sum[0]);
  for (int w = 1; w < parts; w++)
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < vectors; j++) sum[w][i][j] = (vector){0};
  int64_t l = 0;
  for (; l + parts <= k; l += parts)
    for (int w = 0; w < parts; w++, b += b_step) {
      next_fetch(t, l + w);
      vector right[2];
      for (int j = 0; j < vectors; j++) right[j] = vector_get(b, j);
      for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) sum[w][i][j] += a[i * a_row + l + w] * right[j];
    }
  for (; l < k; l++, b += b_step)
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < vectors; j++) sum[0][i][j] += a[i * a_row + l] * vector_get(b, j);
  for (int w = 1; w < parts; w++)
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < vectors; j++) sum[0][i][j] += sum[w][i][j];
  sums_end(rows, vectors, t, sum[0]);
}

void LOOP_REAL(gemm_block)(const gemm_block *p) { block_run(p, sizeof(REAL)); }

int64_t LOOP_REAL(gemm_columns)(void) { return COLUMNS; }

/* out[i] = x[i * step ..] y[..], for i below `count` */
INLINED void dots(const int count, int64_t k, const REAL *x, int64_t step, const REAL *y,
                  REAL *out) {
  vector sum[4][2];
  for (int i = 0; i < count; i++) sum[i][0] = sum[i][1] = (vector){0};
  int64_t l = 0;
  for (; l + COLUMNS <= k; l += COLUMNS)
    for (int i = 0; i < count; i++)
      for (int j = 0; j < 2; j++)
        sum[i][j] += vector_get(x + i * step + l, j) * vector_get(y + l, j);
  for (int i = 0; i < count; i++) {
    const vector both = sum[i][0] + sum[i][1];
    REAL total = 0;
    for (int j = 0; j < VECTOR; j++) total += both[j];
    for (int64_t r = l; r < k; r++) total += x[i * step + r] * y[r];
    out[i] = total;
  }
}

/* The longer side is taken four at a time. */
void LOOP_REAL(gemm_dots)(const gemm_dots *p) {
  const bool down = p->m > p->n;
  const REAL *x = down ? p->a : p->b, *y = down ? p->b : p->a, *bias = p->bias;
  const int64_t x_row = down ? p->a_row : p->b_row, y_row = down ? p->b_row : p->a_row;
  const int64_t many = down ? p->m : p->n, few = down ? p->n : p->m;
  for (int64_t i = 0, count; i < many; i += count) {
    count = many - i < 4 ? 1 : 4;
    for (int64_t j = 0; j < few; j++) {
      REAL sums[4];
      if (count == 4) {
        dots(4, p->k, x + i * x_row, x_row, y + j * y_row, sums);
      } else {
        dots(1, p->k, x + i * x_row, x_row, y + j * y_row, sums);
      }
      for (int64_t s = 0; s < count; s++) {
        const int64_t row = down ? i + s : j, col = down ? j : i + s;
        ((REAL *)p->c)[row * p->c_row + col] = sums[s] + (bias ? bias[col] : 0);
      }
    }
  }
}
