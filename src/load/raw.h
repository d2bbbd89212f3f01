/* load/raw.h: tensors over bytes of a file. */
#ifndef LOAD_RAW_H
#define LOAD_RAW_H

#include "base/io.h"
#include "ir/tensor.h"

/* A tensor of these bytes, which lie in `file` and must be as many as dtype and shape say. It
 * refers to the file (and retains it) where the data is aligned, else it has a copy; so also
 * without a file (NULL) and for bools, whose bytes are made 0 or 1. */
rlx_status raw_tensor(io_map *file, rlx_dtype dtype, size_t rank, const int64_t *dims,
                      const uint8_t *data, size_t bytes, rlx_tensor **out_tensor);
/* Makes every byte of a bool tensor 0 or 1; leaves others alone. */
void raw_clean_bools(rlx_tensor *t);

#endif
