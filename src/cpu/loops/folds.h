/* cpu/loops/folds.h: what folds and scans do with two elements. NaN wins as an extreme. */
#ifndef CPU_LOOPS_FOLDS_H
#define CPU_LOOPS_FOLDS_H

#define ADD(a, b) ((a) + (b))
#define MUL(a, b) ((a) * (b))
#define LARGER(a, b) ((b) > (a) ? (b) : (a))
#define SMALLER(a, b) ((b) < (a) ? (b) : (a))
#define LARGER_REAL(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a))
#define SMALLER_REAL(a, b) ((((b) < (a)) | ((b) != (b))) ? (b) : (a))

#define PAIR(op, type) ((int)(op) * 4 + (int)(type))

#endif
