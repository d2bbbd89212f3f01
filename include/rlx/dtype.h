/* rlx/dtype.h: element types, in one table. */
#ifndef RLX_DTYPE_H
#define RLX_DTYPE_H

#include <rlx/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, text, kind, elements per block, bytes per block). Plain types are blocks of one element.
 * c64 is a pair of f32 (real, imaginary). Block formats follow ggml's layouts (ggml-common.h):
 * shapes stay logical, a block runs along the last axis, only quantized operations take them.
 * Values are stable: new types go at the end. */
#define RLX_DTYPE_LIST(X)              \
  X(BOOL, "bool", BOOL, 1, 1)          \
  X(U8, "u8", UINT, 1, 1)              \
  X(U16, "u16", UINT, 1, 2)            \
  X(U32, "u32", UINT, 1, 4)            \
  X(U64, "u64", UINT, 1, 8)            \
  X(I8, "i8", INT, 1, 1)               \
  X(I16, "i16", INT, 1, 2)             \
  X(I32, "i32", INT, 1, 4)             \
  X(I64, "i64", INT, 1, 8)             \
  X(F16, "f16", FLOAT, 1, 2)           \
  X(BF16, "bf16", FLOAT, 1, 2)         \
  X(F32, "f32", FLOAT, 1, 4)           \
  X(F64, "f64", FLOAT, 1, 8)           \
  X(C64, "c64", COMPLEX, 1, 8)         \
  X(I4, "i4", BLOCK, 2, 1)             \
  X(U4, "u4", BLOCK, 2, 1)             \
  X(Q4_0, "q4_0", BLOCK, 32, 18)       \
  X(Q4_1, "q4_1", BLOCK, 32, 20)       \
  X(Q5_0, "q5_0", BLOCK, 32, 22)       \
  X(Q5_1, "q5_1", BLOCK, 32, 24)       \
  X(Q8_0, "q8_0", BLOCK, 32, 34)       \
  X(Q2_K, "q2_k", BLOCK, 256, 84)      \
  X(Q3_K, "q3_k", BLOCK, 256, 110)     \
  X(Q4_K, "q4_k", BLOCK, 256, 144)     \
  X(Q5_K, "q5_k", BLOCK, 256, 176)     \
  X(Q6_K, "q6_k", BLOCK, 256, 210)     \
  X(MXFP4, "mxfp4", BLOCK, 32, 17)     \
  X(NVFP4, "nvfp4", BLOCK, 64, 36)

typedef enum rlx_dtype {
#define X(NAME, text, kind, elems, bytes) RLX_##NAME,
  RLX_DTYPE_LIST(X)
#undef X
  RLX_DTYPE_COUNT
} rlx_dtype;

typedef enum rlx_dtype_kind {
  RLX_KIND_BOOL,
  RLX_KIND_UINT,
  RLX_KIND_INT,
  RLX_KIND_FLOAT,
  RLX_KIND_COMPLEX,
  RLX_KIND_BLOCK
} rlx_dtype_kind;

typedef struct rlx_dtype_info {
  const char *name; /* "f32" */
  rlx_dtype_kind kind;
  uint32_t block_elems, block_bytes;
} rlx_dtype_info;

/* NULL for a value that is no dtype. Static data. */
RLX_API const rlx_dtype_info *rlx_dtype_get(rlx_dtype dtype);
/* The dtype of that name, or RLX_DTYPE_COUNT. */
RLX_API rlx_dtype rlx_dtype_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
