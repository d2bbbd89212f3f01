/* cpu/loops/gemm_f64.c: products of f64 matrices. */
#define REAL double
#define LOOP_REAL(name) LOOP_NAME(name##_f64)
#include "cpu/loops/gemm_real.h"
