/* load/npy.h: NumPy's array format, from and to any stream of bytes. */
#ifndef LOAD_NPY_H
#define LOAD_NPY_H

#include "base/str.h"
#include "ir/tensor.h"

/* Bytes in order. */
typedef struct npy_source {
  /* Fills buf with the next n bytes; RLX_ERROR_FORMAT if there are not as many. */
  rlx_status (*read)(struct npy_source *s, void *buf, size_t n);
  uint64_t bytes; /* in all, as the container says; checked against the header before allocating */
  void *ctx;
  uint64_t at;
} npy_source;

bool npy_is(const uint8_t *start, size_t n); /* the magic of a .npy file? */
rlx_status npy_read(npy_source *s, rlx_tensor **out_tensor);
/* What stands before the tensor's data in a file. */
rlx_status npy_header(const rlx_tensor *t, str *out);

#endif
