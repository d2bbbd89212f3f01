/* cpu/loops/half.h: half-width floats to f32 and back, as straight-line code that the compiler
 * vectorises. To be included by files of this folder only.
 *
 * Laws: widening is exact; narrowing rounds to the nearest, ties to even; NaN stays NaN. */
#ifndef CPU_LOOPS_HALF_H
#define CPU_LOOPS_HALF_H

#include "cpu/loops/vmath.h"

V_INLINE float from_bf16(uint16_t h) { return v_float((uint32_t)h << 16); }

V_INLINE uint32_t to_bf16(float x) {
  const uint32_t bits = v_bits(x), rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return x == x ? rounded : bits >> 16 | 0x40u;
}

/* Shifted into place the exponent is 112 too small, which a product mends, of subnormals too. */
V_INLINE float from_f16(uint16_t h) {
  const uint32_t size = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
  const uint32_t finite = v_bits(v_float(size) * 0x1p112f);
  return v_float((size >= 0x0f800000u ? size | 0x7f800000u : finite) | sign);
}

/* Subnormals: 0.5 has its last place where theirs is, so adding it rounds. */
V_INLINE uint32_t to_f16(float x) {
  const uint32_t bits = v_bits(x), size = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
  const uint32_t normal = (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
  const uint32_t small = v_bits(v_float(size) + 0.5f) - 0x3f000000u;
  uint32_t r = size < 0x38800000u ? small : normal;
  r = size >= 0x477ff000u ? 0x7c00u : r;
  r = size > 0x7f800000u ? 0x7e00u : r;
  return r | sign;
}

#endif
