/* cpu/loops/order.c: keys of 64 bits in the order of elements, and looking for small ones. */
#include "cpu/loops/loops.h"

/* Lanes of f64, i64 or u64, as bits, become keys: what comes first is less; turned: greater, but
 * NaN is last in any case, and -0 is 0. */
void LOOP_NAME(order_keys)(lane_type type, bool turned, uint64_t *key, int64_t n) {
  const uint64_t top = (uint64_t)1 << 63, infinity = (uint64_t)0x7ff << 52;
  const uint64_t turn = turned ? UINT64_MAX : 0;
  if (type != LANE_F64) {
    const uint64_t flip = (type == LANE_I64 ? top : 0) ^ turn;
    for (int64_t i = 0; i < n; i++) key[i] ^= flip;
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    const uint64_t size = key[i] & ~top, bits = size ? key[i] : 0;
    const uint64_t negative = (int64_t)bits < 0 ? UINT64_MAX : top;
    key[i] = (int64_t)size > (int64_t)infinity ? UINT64_MAX : bits ^ negative ^ turn;
  }
}

/* The first i from `from` on with key[i] < below; n: none. */
int64_t LOOP_NAME(order_below)(const uint64_t *key, int64_t from, int64_t n, uint64_t below) {
  enum { BLOCK = 32 };
  for (; from + BLOCK <= n; from += BLOCK) {
    uint64_t found = 0;
    for (int i = 0; i < BLOCK; i++) found |= key[from + i] < below ? 1 : 0;
    if (found) break;
  }
  while (from < n && key[from] >= below) from++;
  return from;
}
