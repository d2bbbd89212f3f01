/* cpu/places.h: a result whose axes say, element by element, where in the operand's axis they come
 * from: padding, repetition, rotation, resampling by nearest neighbours.
 *
 * The innermost axes that stay as they are become one block that is copied as a whole, the one next
 * to them a list of runs; the others are tables. */
#ifndef CPU_PLACES_H
#define CPU_PLACES_H

#include <rlx/tensor.h>

#include "base/mem.h"
#include "cpu/cpu.h"

/* The operand's element for element j of an axis of the result, or NO_PLACE: the fill. */
typedef int64_t (*places_of)(const void *ctx, uint32_t axis, int64_t j);
#define NO_PLACE INT64_MIN

typedef struct places_stretch {
  int64_t n, from, step, to; /* n blocks, in bytes of the operand and of the result's row */
} places_stretch;

typedef struct cpu_places {
  size_t width;
  int64_t block, row, n; /* bytes of a block and of a row of n blocks */
  int64_t rows;
  uint32_t axes; /* of the rows */
  int64_t dims[RLX_MAX_RANK];
  const int64_t *from[RLX_MAX_RANK]; /* bytes */
  const int64_t *blocks;             /* of a row, bytes; NULL: it is made of runs */
  const places_stretch *runs;
  size_t n_runs;
  char fill[16];
} cpu_places;

/* The result is dense, in any order of its axes, and not empty. False: out of memory. */
bool places_make(cpu_places *p, const cpu_view *in, const cpu_view *out, size_t width,
                 places_of place, const void *ctx, const void *fill, arena *mem);
void places_move(const cpu_places *p, const void *in, void *out, uint32_t threads);

#endif
