/* cpu/gemm_int.h: matrix products of 8- and 16-bit integers with the sums in i32. */
#ifndef CPU_GEMM_INT_H
#define CPU_GEMM_INT_H

#include "cpu/cpu.h"
#include "cpu/tile.h"

/* --- what the loops work on */

enum { GEMM_INT_COLUMNS = 16 }; /* of a panel; a product's last one is filled up with zeros */

typedef enum gemm_int8_how {
  GEMM_INT8_NONE,      /* there is no loop for 8 bits */
  GEMM_INT8_SATURATES, /* sums within groups that go together must stay within 16 bits */
  GEMM_INT8_EXACT,
} gemm_int8_how;

typedef struct gemm_int8_panel {
  const int32_t *at;  /* for each group, the first of its four rows: quads, pairs, singles */
  const int8_t *data; /* the groups */
  int64_t quads, pairs, singles;
} gemm_int8_panel;

/* --- a product: sums over k of (a[m][k] - a zero point) (b[k][n] - b zero point), modulo 2^32 */

typedef struct gemm_int {
  int64_t m, n, k, batch;
  const int64_t *a_at, *b_at;     /* the first element of each batch's matrices, row-major */
  rlx_dtype a_type, b_type;       /* of 8 or 16 bits; zero points have the same */
  int64_t a_zeros, b_zeros;       /* 0: none; 1: for all; m: each row's; n: each column's */
  bool b_centred;                 /* b's zero points are those that packing makes disappear */
  const void *weights;            /* b, packed by gemm_int_pack; NULL: packed as it runs */
  bool bytes;                     /* .. for the loop for 8 bits */
  const tile_program *epilogue;
  size_t out_bytes; /* of an element of the result */
  /* made by gemm_int_prepare */
  int64_t rows, columns; /* of a task */
  uint32_t threads;
  size_t worker_bytes, a_offset, b_offset, sums_offset; /* of a worker's scratch */
} gemm_int;

/* Fills what is left; *out_scratch: bytes for a run. */
void gemm_int_prepare(gemm_int *p, uint32_t threads, size_t *out_scratch);
/* in: a, b, zero points of a, of b, then what else the epilogue reads. */
rlx_status gemm_int_run(const void *state, const cpu_run *run, const void *const *in,
                        void *const *out);

/* The value that the zero point of a dtype must have to disappear in packing b. */
int32_t gemm_int_centre(rlx_dtype b_type);

/* Packing b [k][n] that does not change. With the loop for 8 bits (`bytes`) first a plan of
 * gemm_int_plan_bytes, made by gemm_int_plan; the plan then says how large the packed matrix is.
 * Else the plan is NULL. */
typedef struct gemm_int_source {
  const void *b;
  rlx_dtype type;
  int64_t k, n;
  bool bytes;
  uint32_t threads;
  const void *plan;
} gemm_int_source;
/* Is there a loop for 8 bits for these factors and this depth? */
bool gemm_int_bytes(rlx_dtype a, rlx_dtype b, int64_t k);
size_t gemm_int_plan_bytes(const gemm_int_source *s);
void gemm_int_plan(const void *source, void *to);
size_t gemm_int_pack_bytes(const gemm_int_source *s);
void gemm_int_pack(const void *source, void *to);

#endif
