/* cpu/tile.h: programs of elementwise steps that run on tiles of a result small enough for the
 * first cache: by themselves (a region), or at the end of a kernel, on what it has just computed.
 *
 * A program is made by ops/region.h. It never changes and may run on many threads at once. */
#ifndef CPU_TILE_H
#define CPU_TILE_H

#include "cpu/cpu.h"

typedef struct tile_program tile_program;

/* As an epilogue. The result is seen as rows of its innermost (in memory) axis. Applies the program
 * to `n` neighbouring elements of row `row` from column `col`: acc holds the kernel's own result for
 * them (of the dtype that the node has: f32 for f32 and half-width floats, i32 for integer products)
 * and `to` gets elements of the result's dtype; they may be the same memory where the widths are the same. `in`: all
 * operands of the kernel's call. */
void tile_finish(const tile_program *p, const void *const *in, int64_t row, int64_t col, int64_t n,
                 const void *acc, void *to);

#endif
