/* cpu/gemm_int.c: products of integers: tasks, and what each does between packing and loops.
 *
 * Laws: exact modulo 2^32. Factors are shifted by the centre of their dtype so that the loops see
 * a in u8 and b in i8 (or both in i16); zero points, shifted the same way, are taken out by sums:
 *   sum (a - za)(b - zb) = sum a b - za sum b - zb (sum a - k za). */
#include "cpu/gemm_int.h"

#include <string.h>

#include "base/threads.h"
#include "cpu/gemm_int_pack.h"

enum {
  ROWS = 64, /* of a task, and columns: their sums stay in the first cache */
  COLUMNS_MOST = 128,
  COLUMNS_LEAST = 64,
  TASKS = 4,                /* for each thread */
  WORK_ALONE = 3 * 1000000, /* products that are not worth waking a thread for */
};

static int64_t up_to(int64_t v, int64_t unit) { return (v + unit - 1) / unit * unit; }
static int64_t parts(int64_t v, int64_t size) { return (v + size - 1) / size; }

/* How far the rows of a are apart for the loop. */
static int64_t a_step(const gemm_int *p) { return up_to(p->k, p->bytes ? 4 : 2); }

/* Can the loop read a where it is? */
static bool in_place(const gemm_int *p) {
  return p->bytes && p->a_type == RLX_U8 && p->k % 4 == 0;
}

void gemm_int_prepare(gemm_int *p, uint32_t threads, size_t *out_scratch) {
  const double work = (double)p->batch * (double)p->m * (double)p->n * (double)p->k;
  p->threads = work < WORK_ALONE ? 1 : threads;
  p->rows = p->m < ROWS ? p->m : ROWS;
  p->columns = p->n < COLUMNS_MOST ? up_to(p->n, GEMM_INT_COLUMNS) : COLUMNS_MOST;
  while (p->threads > 1 && p->columns > COLUMNS_LEAST &&
         p->batch * parts(p->m, p->rows) * parts(p->n, p->columns) < TASKS * p->threads)
    p->columns = up_to(p->columns / 2, GEMM_INT_COLUMNS);
  size_t at = (size_t)(p->rows * p->columns) * sizeof(int32_t);
  p->sums_offset = at;
  at += (size_t)up_to(p->rows, 16) * sizeof(int32_t);
  p->a_offset = at;
  if (!in_place(p))
    at += (size_t)up_to(p->rows * a_step(p) * (p->bytes ? 1 : 2), 64);
  p->b_offset = at;
  if (!p->weights) at += gemm_int_panel_bytes(p->k);
  p->worker_bytes = at;
  *out_scratch = at * p->threads;
}

/* --- one task */

typedef struct job {
  const gemm_int *p;
  const cpu_run *run;
  const void *const *in;
  void *out;
} job;

typedef struct block {
  int64_t batch, m, rows, n, columns;
} block;

/* Rows of a as the loop wants them. */
static const void *rows_of_a(const gemm_int *p, const void *a, const block *b, char *work) {
  const size_t width = gemm_int_width(p->a_type);
  const char *from = (const char *)a + (size_t)(p->a_at[b->batch] + b->m * p->k) * width;
  if (in_place(p)) return from;
  const int64_t step = a_step(p);
  char *to = work + p->a_offset;
  for (int64_t r = 0; r < b->rows; r++, from += (size_t)p->k * width)
    if (p->bytes) {
      uint8_t *row = (uint8_t *)to + r * step;
      const uint8_t flip = p->a_type == RLX_I8 ? 0x80 : 0;
      for (int64_t i = 0; i < p->k; i++) row[i] = (uint8_t)((const uint8_t *)from)[i] ^ flip;
      memset(row + p->k, 0, (size_t)(step - p->k));
    } else {
      int16_t *row = (int16_t *)(void *)to + r * step;
      gemm_int_widen(p->a_type, from, gemm_int_a_centre(p->a_type), p->k, row);
      memset(row + p->k, 0, (size_t)(step - p->k) * sizeof *row);
    }
  return to;
}

/* Element i of zero points, shifted. */
static int32_t zero_at(const void *zeros, int64_t count, rlx_dtype type, int64_t i,
                       int32_t centre) {
  if (count == 0) return -centre;
  int16_t v;
  const char *at = (const char *)zeros + (size_t)(count == 1 ? 0 : i) * gemm_int_width(type);
  gemm_int_widen(type, at, centre, 1, &v);
  return v;
}

static int32_t a_zero(const gemm_int *p, const void *const *in, int64_t row) {
  return zero_at(p->a_zeros ? in[2] : NULL, p->a_zeros, p->a_type, row,
                 gemm_int_a_centre(p->a_type));
}

/* sum a - k za, for each row. */
static void sum_rows(const gemm_int *p, const void *const *in, const block *b, const void *a,
                     int32_t *to) {
  const int64_t step = a_step(p);
  for (int64_t r = 0; r < b->rows; r++) {
    uint32_t sum = 0;
    for (int64_t i = r * step; i < r * step + p->k; i++) {
      const int32_t v = p->bytes ? ((const uint8_t *)a)[i] : ((const int16_t *)a)[i];
      sum += (uint32_t)v;
    }
    to[r] = (int32_t)(sum - (uint32_t)p->k * (uint32_t)a_zero(p, in, b->m + r));
  }
}

/* Takes zero points out of a panel's sums, where they differ by rows or b has some. */
static void correct(const gemm_int *p, const void *const *in, const block *b, int64_t n,
                    const int32_t *column_sums, const int32_t *row_sums, int32_t *to) {
  int32_t zeros[GEMM_INT_COLUMNS] = {0};
  for (int64_t c = 0; !p->b_centred && c < GEMM_INT_COLUMNS && n + c < p->n; c++)
    zeros[c] = zero_at(p->b_zeros ? in[3] : NULL, p->b_zeros, p->b_type, n + c,
                       gemm_int_centre(p->b_type));
  for (int64_t r = 0; r < b->rows; r++, to += p->columns) {
    const uint32_t za = p->a_zeros > 1 ? (uint32_t)a_zero(p, in, b->m + r) : 0;
    const uint32_t sum = p->b_centred ? 0 : (uint32_t)row_sums[r];
    for (int64_t c = 0; c < GEMM_INT_COLUMNS; c++)
      to[c] = (int32_t)((uint32_t)to[c] - za * (uint32_t)column_sums[c] - (uint32_t)zeros[c] * sum);
  }
}

/* The panel of columns from n on times the block's rows. */
static void multiply(const job *j, const block *b, int64_t n, const void *a, char *work) {
  const gemm_int *p = j->p;
  const int64_t step = a_step(p);
  int32_t *to = (int32_t *)(void *)work + (n - b->n);
  int32_t start[GEMM_INT_COLUMNS];
  gemm_int_weights w;
  if (p->weights) {
    gemm_int_open(p->weights, p->bytes, p->k, p->n, n / GEMM_INT_COLUMNS, &w);
  } else {
    const size_t width = gemm_int_width(p->b_type);
    const char *from = (const char *)j->in[1] + (size_t)p->b_at[b->batch] * width;
    gemm_int_pack_panel(from, p->b_type, p->k, p->n, n, work + p->b_offset, &w);
  }
  const uint32_t za = p->a_zeros > 1 ? 0 : (uint32_t)a_zero(p, j->in, 0);
  for (size_t c = 0; c < GEMM_INT_COLUMNS; c++) start[c] = (int32_t)(0 - za * (uint32_t)w.sums[c]);
  if (p->bytes) cpu_table()->gemm_int8_rows(a, step, b->rows, &w.panel, start, to, p->columns);
  else
    cpu_table()->gemm_int16_rows(a, step, b->rows, w.wide, (p->k + 1) / 2, start, to, p->columns);
  if (p->a_zeros > 1 || !p->b_centred)
    correct(p, j->in, b, n, w.sums, (const int32_t *)(void *)(work + p->sums_offset), to);
}

static void run_block(void *ctx, size_t i, size_t worker) {
  const job *j = ctx;
  const gemm_int *p = j->p;
  const int64_t down = parts(p->m, p->rows), across = parts(p->n, p->columns);
  const int64_t at = (int64_t)i;
  block b = {at / across / down, at / across % down * p->rows, 0, at % across * p->columns, 0};
  b.rows = p->m - b.m < p->rows ? p->m - b.m : p->rows;
  b.columns = p->n - b.n < p->columns ? p->n - b.n : p->columns;
  char *work = (char *)j->run->scratch + worker * p->worker_bytes;
  const void *a = rows_of_a(p, j->in[0], &b, work);
  if (!p->b_centred) sum_rows(p, j->in, &b, a, (int32_t *)(void *)(work + p->sums_offset));
  for (int64_t n = b.n; n < b.n + b.columns; n += GEMM_INT_COLUMNS) multiply(j, &b, n, a, work);
  const int32_t *sums = (const int32_t *)(void *)work;
  for (int64_t r = 0; r < b.rows; r++, sums += p->columns) {
    const int64_t row = b.batch * p->m + b.m + r;
    char *to = (char *)j->out + (size_t)(row * p->n + b.n) * p->out_bytes;
    if (p->epilogue) tile_finish(p->epilogue, j->in, row, b.n, b.columns, sums, to);
    else memcpy(to, sums, (size_t)b.columns * p->out_bytes);
  }
}

rlx_status gemm_int_run(const void *state, const cpu_run *run, const void *const *in,
                        void *const *out) {
  const gemm_int *p = state;
  job j = {p, run, in, out[0]};
  const int64_t tasks = p->batch * parts(p->m, p->rows) * parts(p->n, p->columns);
  threads_run(p->threads, (size_t)tasks, run_block, &j);
  return RLX_OK;
}
