/* cpu/tile.c: programs of elementwise steps. */
#include "cpu/tile.h"

void tile_finish(const tile_program *p, const void *const *in, int64_t row, int64_t col, int64_t n,
                 const void *acc, void *to) {
  (void)p, (void)in, (void)row, (void)col, (void)n, (void)acc, (void)to;
}
