/* cpu/gemm_int_pack.h: how factors of integer products are packed, for cpu/gemm_int.c. */
#ifndef CPU_GEMM_INT_PACK_H
#define CPU_GEMM_INT_PACK_H

#include "cpu/gemm_int.h"

/* A panel of b. */
typedef struct gemm_int_weights {
  const int32_t *sums;   /* of its columns */
  gemm_int8_panel panel; /* for the loop for 8 bits */
  const int16_t *wide;   /* for the other */
} gemm_int_weights;

/* Panel `i` of a packed matrix. */
void gemm_int_open(const void *packed, bool bytes, int64_t k, int64_t n, int64_t i,
                   gemm_int_weights *out);
/* The panel of b [k][n] from that column on, for the loop for 16 bits: gemm_int_panel_bytes. */
size_t gemm_int_panel_bytes(int64_t k);
void gemm_int_pack_panel(const void *b, rlx_dtype type, int64_t k, int64_t n, int64_t column,
                         void *to, gemm_int_weights *out);

static inline size_t gemm_int_width(rlx_dtype d) { return d == RLX_U8 || d == RLX_I8 ? 1 : 2; }

/* n neighbours, less `centre`. */
void gemm_int_widen(rlx_dtype type, const void *from, int32_t centre, int64_t n, int16_t *to);
int32_t gemm_int_a_centre(rlx_dtype a_type); /* a's factors are shifted by it, b's by .._centre */

#endif
