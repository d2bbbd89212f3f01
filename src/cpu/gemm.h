/* cpu/gemm.h: products of matrices, one or a batch of them: c[m,n] = a[m,k] b[k,n] (+ bias[n]).
 *
 * f64 is summed in f64, everything else in f32 and rounded once at the end.
 * Bound: |error| <= (k + 1) * 2^-24 (f64: 2^-53) * sum |a||b|, with that rounding on top. Asked for
 * bf16, factors are rounded to it first; denormal ones are 0 on a CPU that multiplies bf16.
 * Laws: the order of a sum depends on the shapes alone, never on threads; nothing is skipped, so
 * that NaN and Inf come through; a sum over nothing is 0. */
#ifndef CPU_GEMM_H
#define CPU_GEMM_H

#include "cpu/cpu.h"
#include "cpu/tile.h"

/* --- one block, which the loops of a CPU level work on. Steps are in elements. */

enum { GEMM_K_BLOCK = 384 }; /* k is no more, but for dots */

/* c[m,n] = bias, 0 or c + a[m,k] b[k,n]. Of bf16 k is even, panels of b are what gemm_panel_bf16
 * and rows of a what gemm_rows_bf16 has made. */
typedef struct gemm_block {
  int64_t m, n, k;
  const void *a; /* rows of k neighbours */
  int64_t a_row;
  const void *b; /* panels of gemm_columns neighbours; the last one's columns past n are not used */
  int64_t b_step, b_panel; /* from one k to the next, from panel to panel */
  const void *next;        /* the panel that is likely read after this block, or NULL */
  void *c;
  int64_t c_row;
  const void *bias; /* n of them; NULL: none */
  bool add;         /* to what is in c, in place of a bias */
} gemm_block;

/* c[i,j] = bias[j] + a[i,:] b[j,:], where both have neighbours along k */
typedef struct gemm_dots {
  int64_t m, n, k;
  const void *a, *b;
  int64_t a_row, b_row;
  void *c;
  int64_t c_row;
  const void *bias;
} gemm_dots;

/* --- the whole product */

enum { GEMM_AXES = 16 };

/* How factors are multiplied. Rows of a are of the sums' type, in place or as copies of it. */
typedef struct gemm_kind {
  size_t bytes;       /* of a sum */
  size_t panel_bytes; /* of an element of a panel of b */
  int64_t columns;    /* of a panel */
  void (*block)(const gemm_block *p);
  void (*dots)(const gemm_dots *p);
} gemm_kind;

typedef struct gemm {
  /* the question; the result is not empty, and its columns are neighbours */
  rlx_dtype dtype;     /* of a, b and bias */
  rlx_dtype out_dtype; /* another one only with an epilogue */
  bool narrow;         /* round factors to bf16 */
  int64_t m, n, k;
  int64_t a_row, a_col, b_row, b_col, c_row;
  uint32_t n_batch;
  int64_t batch[GEMM_AXES], a_step[GEMM_AXES], b_step[GEMM_AXES], c_step[GEMM_AXES];
  bool bias, constant;          /* b is the same in all runs */
  const tile_program *epilogue; /* the result is dense then, row-major */
  int64_t c_width;              /* how long its last axis is */
  uint32_t threads;

  /* the answer of gemm_plan */
  gemm_kind kind;
  size_t bytes, out_bytes; /* of elements of the operands and of the result */
  size_t pack_bytes;       /* of the packed form of a constant b; 0: b is not packed once */
  char pack_name[128 + 21 * GEMM_AXES];
  const void *packed; /* for the caller to set, from gemm_pack */
  size_t scratch;
  enum { GEMM_PACKED, GEMM_COPIED, GEMM_IN_PLACE, GEMM_DOTS } form;
  bool copies_a, copies_c;
  int64_t row_parts, col_parts; /* of a matrix: units of work */
  int64_t units, tasks;
  int64_t row_block, col_block, k_block;
  size_t a_at, c_at, bias_at, worker_bytes; /* a worker's scratch: panels of b, then these */
} gemm;

/* Is there a product of these elements? */
bool gemm_takes(rlx_dtype dtype);
void gemm_plan(gemm *g);
const char *gemm_name(const gemm *g);
void gemm_pack(const gemm *g, const void *b, void *to);
/* A cpu_kernel. Operands: a, b, bias. */
rlx_status gemm_run(const void *state, const cpu_run *run, const void *const *in, void *const *out);

#endif
