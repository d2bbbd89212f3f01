/* load/raw.c: wrapping or copying a file's bytes. */
#include "load/raw.h"

#include <string.h>

void raw_clean_bools(rlx_tensor *t) {
  if (t->dtype != RLX_BOOL) return;
  uint8_t *v = t->data;
  for (size_t i = 0; i < t->bytes; i++) v[i] = v[i] != 0;
}

rlx_status raw_tensor(io_map *file, rlx_dtype dtype, size_t rank, const int64_t *dims,
                      const uint8_t *data, size_t bytes, rlx_tensor **out_tensor) {
  int64_t count;
  size_t wanted;
  if (!tensor_size(dtype, rank, dims, &count, &wanted)) {
    return status_set(RLX_ERROR_FORMAT, "impossible shape");
  }
  if (wanted != bytes) {
    return status_set(RLX_ERROR_FORMAT, "%zu bytes of data, dtype and shape make %zu", bytes,
                      wanted);
  }
  /* No element needs more than 8; a block format is made of bytes. */
  size_t align = dtype_kind(dtype) == RLX_KIND_BLOCK ? 1 : dtype_bytes(dtype);
  if (file && dtype != RLX_BOOL && (uintptr_t)data % align == 0) {
    rlx_status status = rlx_tensor_wrap(dtype, rank, dims, data, bytes, io_map_free,
                                        io_map_retain(file), out_tensor);
    if (status != RLX_OK) io_map_free(file);
    return status;
  }
  RLX_TRY(tensor_create_unset(dtype, rank, dims, out_tensor));
  if (bytes) memcpy((*out_tensor)->data, data, bytes);
  io_forget(data, bytes);
  raw_clean_bools(*out_tensor);
  return RLX_OK;
}
