/* cpu/index.h: gathers and scatters: places that an operand of indices names.
 *
 * Laws: negative indices wrap; others beyond the range are RLX_ERROR_INDEX, found before anything
 * is moved. Everything but the indices is in row-major order. */
#ifndef CPU_INDEX_H
#define CPU_INDEX_H

#include <rlx/tensor.h>

#include "base/status.h"
#include "cpu/cpu.h"

/* An index value wrapped into [0, n). */
rlx_status index_wrap(int64_t index, int64_t n, int64_t *out_index);

/* Position i, a row-major coordinate in `dims`, names the byte
 * sum of along[a] * coordinate a, and of step[t] * index i * tuple + t. */
typedef struct index_plan {
  rlx_dtype dtype; /* RLX_I32 or RLX_I64 */
  uint32_t rank, tuple;
  int64_t count; /* of positions */
  int64_t dims[RLX_MAX_RANK], along[RLX_MAX_RANK];
  int64_t sizes[RLX_MAX_RANK], step[RLX_MAX_RANK];
} index_plan;

/* Moves: for each of `outer` slices and each position `bytes` neighbouring bytes, between a named
 * place and the next one in order; slices are so many bytes apart. */
typedef struct index_moves {
  index_plan at;
  int64_t outer, named_outer; /* bytes */
  size_t bytes;
} index_moves;

/* Of one position or more. */
rlx_status index_gather(const index_moves *m, const void *index, const void *named, void *to,
                        uint32_t threads);
/* How elements meet: to[i] = to[i] and from[i] for n of them; NULL: they are replaced. */
typedef void (*index_fold)(int64_t n, const void *from, void *to);
index_fold index_fold_of(const char *word, rlx_dtype dtype); /* NULL: there is none */
/* In order: of writes to one place the last one wins. */
rlx_status index_scatter(const index_moves *m, const void *index, const void *from, void *named,
                         size_t width, index_fold fold);

#endif
