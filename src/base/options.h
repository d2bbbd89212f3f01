/* base/options.h: reading the sized option structs of the public API. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <string.h>

#include "base/status.h"

/* Fills *dst (dst_size bytes) from what a caller compiled against another version may have passed:
 * fields that it does not know are zero, fields that we do not know must be zero. `src` may be
 * NULL: all zero. Its struct_size becomes ours, so that *dst can be handed on.
 * Errors: RLX_ERROR_ARGUMENT. */
static inline rlx_status options_read(void *dst, size_t dst_size, const void *src) {
  const uint32_t known = (uint32_t)dst_size;
  uint32_t given = sizeof given;
  memset(dst, 0, dst_size);
  if (src) memcpy(&given, src, sizeof given);
  if (given < sizeof given || given > 4096) {
    return status_set(RLX_ERROR_ARGUMENT,
                      "options: struct_size is %u; start with RLX_OPTIONS(type)", given);
  }
  if (src) memcpy(dst, src, given < dst_size ? given : dst_size);
  memcpy(dst, &known, sizeof known);
  for (size_t i = dst_size; i < given; i++) {
    if (((const unsigned char *)src)[i]) {
      return status_set(RLX_ERROR_ARGUMENT,
                        "options: byte %zu is set, this library knows %zu bytes", i, dst_size);
    }
  }
  return RLX_OK;
}

/* Fills what a caller asked for: as many bytes of *src as its struct at `dst` has (dst's
 * struct_size stays). Errors: RLX_ERROR_ARGUMENT. */
static inline rlx_status options_write(void *dst, const void *src, size_t src_size) {
  uint32_t given = 0;
  if (!dst) return status_set(RLX_ERROR_ARGUMENT, "result: the struct to fill is NULL");
  memcpy(&given, dst, sizeof given);
  if (given < sizeof given || given > 4096) {
    return status_set(RLX_ERROR_ARGUMENT, "result: struct_size is %u; start with RLX_OPTIONS(type)",
                      given);
  }
  memset(dst, 0, given);
  memcpy(dst, src, given < src_size ? given : src_size);
  memcpy(dst, &given, sizeof given);
  return RLX_OK;
}

#endif
