/* ir/tensor.h: host tensors from the inside, and reading single elements of any dtype. */
#ifndef IR_TENSOR_H
#define IR_TENSOR_H

#include <complex.h>
#include <rlx/tensor.h>
#include <stdatomic.h>

#include "base/status.h"

/* Data that the library allocates stands 64 bytes after the start of its block, with its byte count
 * in the size_t just before it: the layout of MLX's own CPU buffers, so that MLX can borrow it. */
struct rlx_tensor {
  atomic_uint refs;
  rlx_dtype dtype;
  uint32_t rank;
  bool own;       /* data was allocated here, in the layout above */
  bool read_only; /* data is somebody else's */
  int64_t count;
  size_t bytes;
  void *data;
  void (*release)(void *owner);
  void *owner;
  int64_t dims[RLX_MAX_RANK];
};

/* Bytes that a tensor of this shape takes; false if a dim is negative or the product overflows. */
bool tensor_size(rlx_dtype dtype, size_t rank, const int64_t *dims, int64_t *out_count,
                 size_t *out_bytes);
/* rlx_tensor_create with data that is still to be written, every byte. */
rlx_status tensor_create_unset(rlx_dtype dtype, size_t rank, const int64_t *dims,
                               rlx_tensor **out_tensor);
bool tensor_equal(const rlx_tensor *a, const rlx_tensor *b); /* dtype, shape and bits */

/* Elements by row-major index, plain dtypes only. Getters of another kind convert as C does;
 * setters round once, integers wrap, bool is != 0. */
double tensor_real(const rlx_tensor *t, int64_t i);
int64_t tensor_int(const rlx_tensor *t, int64_t i); /* u64 as its bits */
double complex tensor_complex(const rlx_tensor *t, int64_t i);
void tensor_set_real(rlx_tensor *t, int64_t i, double v);
void tensor_set_int(rlx_tensor *t, int64_t i, int64_t v);
void tensor_set_complex(rlx_tensor *t, int64_t i, double complex v);

static inline rlx_dtype_kind dtype_kind(rlx_dtype d) { return rlx_dtype_get(d)->kind; }
static inline const char *dtype_name(rlx_dtype d) { return rlx_dtype_get(d)->name; }
static inline size_t dtype_bytes(rlx_dtype d) { return rlx_dtype_get(d)->block_bytes; }

#endif
