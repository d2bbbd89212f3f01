/* cpu/cpu.h: CPU kernels: plain buffers in, plain buffers out.
 *
 * A kernel is prepared once for given shapes, strides and threads (ops/kernel.h) and then runs on
 * pointers: re-entrant, without allocation, without a lock, single-threaded inside but for
 * threads_run.
 *
 * Loops: the innermost loops stand in cpu/loops/, each file compiled once per CPU level into a
 * table; a level is chosen when the first kernel is prepared: the best that the CPU has, or what
 * RLX_CPU_LEVEL says. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include <rlx/dtype.h>
#include <rlx/status.h>

#include "cpu/lane.h"

/* How an operand or a result lies in memory. */
typedef struct cpu_view {
  rlx_dtype dtype; /* RLX_DTYPE_COUNT: an absent operand */
  uint32_t rank;
  const int64_t *dims;
  const int64_t *strides; /* in elements; 0 along a broadcast axis, negative where it runs back */
} cpu_view;

typedef struct cpu_run {
  void *scratch; /* as many bytes as was asked for, 64-byte aligned; NULL: none were */
  uint32_t threads;
} cpu_run;

/* Operands and results in the order of the views that it was prepared for; absent ones are NULL.
 * Results never overlap operands, unless preparing said so. Errors: with the thread's sentence. */
typedef rlx_status (*cpu_kernel)(const void *state, const cpu_run *run, const void *const *in,
                                 void *const *out);

struct attention;  /* cpu/attention.h */
struct conv_tile;  /* cpu/conv.h */
struct cpu_places; /* cpu/places.h */
struct gemm_block; /* cpu/gemm.h */
struct gemm_dots;
struct gemm_int8_panel; /* cpu/gemm_int.h */
struct rnn;             /* cpu/rnn.h */
struct rnn_step;

/* A step of a tile program (cpu/tile.h) on n elements; `to` may be an operand of its width. */
typedef void (*cpu_step)(void *to, const void *x, const void *y, const void *z, const double *p,
                         int64_t n);

typedef struct cpu_loops {
  const char *level; /* "sse2", "avx2", "avx512", "generic" .. */
#define LOOP(result, name, parameters) result(*name) parameters;
#include "cpu/loops.def"
} cpu_loops;

/* The table in use. Never NULL: cpu_level_check reports what RLX_CPU_LEVEL asks for in vain. */
const cpu_loops *cpu_table(void);
/* Errors: RLX_ERROR_ARGUMENT for a RLX_CPU_LEVEL that does not exist or that this CPU lacks. */
rlx_status cpu_level_check(void);
/* The levels that this CPU has, the best first; NULL behind the last. */
const cpu_loops *cpu_level_at(size_t i);

#endif
