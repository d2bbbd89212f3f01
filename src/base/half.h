/* base/half.h: f16 and bf16 as bits, to and from double with one rounding (to nearest even). */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>

double half_to_double(uint16_t bits);
uint16_t half_from_double(double value);
double bf16_to_double(uint16_t bits);
uint16_t bf16_from_double(double value);

#endif
