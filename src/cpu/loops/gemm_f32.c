/* cpu/loops/gemm_f32.c: products of f32 matrices. */
#define REAL float
#define LOOP_REAL(name) LOOP_NAME(name##_f32)
#include "cpu/loops/gemm_real.h"
