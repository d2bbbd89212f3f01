/* base/half.c: narrow floats by integer arithmetic on a double's bits, so that the result does not
 * depend on the rounding mode.
 *
 * A narrow float has a sign, an exponent field and `mant` bits of fraction; `bias` is its exponent
 * bias. In both formats the code of a magnitude grows with the magnitude, so that a rounding carry
 * moves on to the next exponent, and at last to infinity, by itself. */
#include "base/half.h"

#include <string.h>

typedef struct format {
  int mant, bias;
} format;
static const format f16 = {10, 15}, bf16 = {7, 127};

static uint16_t narrow(format f, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint64_t sign = bits >> 63 << 15;
  uint64_t fraction = bits & ((1ull << 52) - 1);
  int exponent = (int)(bits >> 52 & 0x7ff);
  uint64_t infinity = ((1ull << 15) - 1) >> f.mant << f.mant;
  if (exponent == 0x7ff) {
    uint64_t quiet = 1ull << (f.mant - 1) | fraction >> (52 - f.mant);
    return (uint16_t)(sign | infinity | (fraction ? quiet : 0));
  }
  /* Doubles below their own normal range are far below half of the smallest narrow number. */
  if (exponent == 0) return (uint16_t)sign;
  int e = exponent - 1023 + f.bias; /* the narrow exponent field, if it fits */
  if (e >= (int)(infinity >> f.mant)) return (uint16_t)(sign | infinity);
  int below = e < 1 ? 1 - e : 0; /* subnormal: this many more bits go */
  int drop = 52 - f.mant + below;
  if (drop > 53) return (uint16_t)sign; /* less than half of the smallest */
  uint64_t m = fraction | 1ull << 52;
  uint64_t kept = m >> drop, rest = m & ((1ull << drop) - 1), half = 1ull << (drop - 1);
  kept += rest > half || (rest == half && (kept & 1));
  /* `kept` has the leading one at bit `mant` when normal, which adds 1 to the exponent field. */
  uint64_t code = ((uint64_t)(below ? 0 : e - 1) << f.mant) + kept;
  return (uint16_t)(sign | code);
}

static double widen(format f, uint16_t bits) {
  uint64_t sign = (uint64_t)(bits >> 15) << 63;
  uint64_t fraction = bits & ((1u << f.mant) - 1);
  int e = (bits & 0x7fff) >> f.mant;
  uint64_t wide;
  if (e == 0x7fff >> f.mant) {
    wide = 0x7ffull << 52 | fraction << (52 - f.mant);
  } else if (e == 0 && fraction == 0) {
    wide = 0;
  } else {
    for (e += e == 0; !(fraction >> f.mant) && (bits & 0x7fff) >> f.mant == 0; e--) fraction <<= 1;
    fraction &= (1ull << f.mant) - 1;
    wide = (uint64_t)(e - f.bias + 1023) << 52 | fraction << (52 - f.mant);
  }
  wide |= sign;
  double value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

double half_to_double(uint16_t bits) { return widen(f16, bits); }
uint16_t half_from_double(double value) { return narrow(f16, value); }
double bf16_to_double(uint16_t bits) { return widen(bf16, bits); }
uint16_t bf16_from_double(double value) { return narrow(bf16, value); }
