/* cpu/tile.h: programs of elementwise steps that run on tiles of a result small enough for the
 * first cache: by themselves (a region), or at the end of a kernel, on what it has just computed.
 *
 * A program is made by ops/region.h. It never changes and may run on many threads at once. */
#ifndef CPU_TILE_H
#define CPU_TILE_H

#include "cpu/cpu.h"

struct arena; /* base/mem.h */
typedef struct tile_program tile_program;

/* As an epilogue. The result is seen as rows of its innermost axis in memory: of those that have
 * the least stride, one of size 1, if there is. Applies the program to `n` neighbouring elements of
 * row `row` from column `col`: acc holds the kernel's own result for them (of the dtype that the
 * node has: f32 for f32 and half-width floats, i32 for integer products) and `to` gets elements of
 * the result's dtype; they may be the same memory where the widths are the same. `in`: all operands
 * of the kernel's call. */
void tile_finish(const tile_program *p, const void *const *in, int64_t row, int64_t col, int64_t n,
                 const void *acc, void *to);
/* The same for `n` elements from element `first` on, in the order of memory, whatever the rows:
 * faster where rows are short. */
void tile_finish_span(const tile_program *p, const void *const *in, int64_t first, int64_t n,
                      const void *acc, void *to);

/* --- running by itself: a cpu_kernel whose state is the program */
rlx_status tile_compute(const void *program, const cpu_run *run, const void *const *in,
                        void *const *out);

/* --- making one: values are numbered from 0 as they are made */

/* Elements are computed in one of these: f16, bf16 and f32 in f32; bool and integers of up to 32
 * bits in i32; u32 in i64. They are brought into their dtype's range after each step. */
typedef enum tile_class {
  TILE_F32,
  TILE_F64,
  TILE_I32,
  TILE_I64,
  TILE_U64,
  TILE_CLASSES /* none: what programs do not take */
} tile_class;
tile_class tile_class_of(rlx_dtype dtype);

typedef struct tile_maker tile_maker;
typedef uint32_t tile_value;
enum { TILE_VALUES = 224 }; /* more are RLX_ERROR_LIMIT */

/* A program with this result, which is not empty, and these operands, which broadcast to it, in
 * arena memory. An epilogue keeps the result's rows apart. The maker's calls are sticky: tile_make
 * reports. */
rlx_status tile_start(struct arena *mem, const cpu_view *out, const cpu_view *in, size_t n_in,
                      bool epilogue, tile_maker **out_maker);
/* Operand i; constant: its one element, where it has one and that is always the same, else NULL. */
tile_value tile_operand(tile_maker *m, size_t i, const void *constant);
/* What an epilogue finds in its accumulators for a node of that dtype. */
tile_value tile_base(tile_maker *m, rlx_dtype dtype);
/* A step whose result has that dtype; p: two parameters or NULL; unused operands repeat x. */
tile_value tile_step(tile_maker *m, cpu_step step, rlx_dtype result, const tile_value xyz[3],
                     const double *p);
/* x, of dtype `from`, as `to`: what the operation cast says. */
tile_value tile_cast(tile_maker *m, tile_value x, rlx_dtype from, rlx_dtype to);
rlx_status tile_make(tile_maker *m, tile_value result, const tile_program **out_program);

#endif
