/* cpu/copy.h: elements from any strides to any strides.
 *
 * Elements are bytes: only their width counts. A copy is planned once (axes sorted as they lie in
 * the target, joined where both sides allow it) and then runs on pointers. */
#ifndef CPU_COPY_H
#define CPU_COPY_H

#include <rlx/tensor.h>

#include "cpu/cpu.h"

/* Boxes of rows of n elements, all steps in bytes. Boxes are cut into `parts` of `part` rows each,
 * or of `part` elements where there is one row: what one thread does at least. */
typedef struct cpu_copy {
  void (*inner)(size_t width, int64_t rows, int64_t n, const char *from, int64_t from_row,
                int64_t from_step, char *to, int64_t to_row, int64_t to_step);
  size_t width;
  int64_t rows, n, from_row, from_step, to_row, to_step;
  int64_t boxes, part, parts;
  uint32_t axes; /* of the boxes */
  int64_t dims[RLX_MAX_RANK], from[RLX_MAX_RANK], to[RLX_MAX_RANK];
} cpu_copy;

/* Strides in elements of `width` bytes (1, 2, 4, 8 or 16); those of the target are positive where
 * the axis has more than one element, and no element of it is written twice. */
void copy_make(cpu_copy *p, size_t width, uint32_t rank, const int64_t *dims, const int64_t *from,
               const int64_t *to);
/* From the first element to the first element; the memory does not overlap. */
void copy_run(const cpu_copy *p, const void *from, void *to, uint32_t threads);

#endif
