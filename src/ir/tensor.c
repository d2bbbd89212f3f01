/* ir/tensor.c: host tensors: memory, single elements, filling and comparing.
 *
 * Data may be unaligned (a tensor inside a mapped file), so elements are copied in and out. */
#include "ir/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/mem.h"
#include "base/room.h"

/* --- memory */

#define BLOCK_ALIGN ((size_t)64)
#define BLOCK_HEAD BLOCK_ALIGN
#define BLOCK_SPARE BLOCK_ALIGN /* wide loads may run past the end */

bool tensor_size(rlx_dtype dtype, size_t rank, const int64_t *dims, int64_t *out_count,
                 size_t *out_bytes) {
  const rlx_dtype_info *info = rlx_dtype_get(dtype);
  /* Zero sizes count as one here, so that strides of empty tensors do not overflow either. */
  int64_t count = 1, bytes;
  bool empty = false;
  for (size_t i = 0; i < rank; i++) {
    if (dims[i] < 0 || !size_mul(count, dims[i] ? dims[i] : 1, &count)) return false;
    empty = empty || dims[i] == 0;
  }
  int64_t last = rank ? dims[rank - 1] : 1;
  if (last % info->block_elems != 0) return false;
  if (!size_mul(count, info->block_bytes, &bytes)) return false;
  if (bytes > PTRDIFF_MAX - (int64_t)(BLOCK_HEAD + 2 * BLOCK_SPARE)) return false;
  *out_count = empty ? 0 : count;
  *out_bytes = empty ? 0 : (size_t)bytes / info->block_elems;
  return true;
}

/* Data in the layout of ir/tensor.h, or NULL. */
static void *data_new(size_t bytes, bool zeroed) {
  size_t rounded = (bytes + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
  if (!room_for(rounded)) return NULL;
  char *block = aligned_alloc(BLOCK_ALIGN, BLOCK_HEAD + rounded + BLOCK_SPARE);
  if (!block) return NULL;
  if (zeroed) memset(block + BLOCK_HEAD, 0, rounded + BLOCK_SPARE);
  memcpy(block + BLOCK_HEAD - sizeof bytes, &bytes, sizeof bytes);
  return block + BLOCK_HEAD;
}

static void data_free(void *data) { free((char *)data - BLOCK_HEAD); }

/* A tensor without data; everything about its type is checked here. */
static rlx_status header_new(rlx_dtype dtype, size_t rank, const int64_t *dims,
                             rlx_tensor **out_tensor) {
  const rlx_dtype_info *info = rlx_dtype_get(dtype);
  if (!info) return status_set(RLX_ERROR_ARGUMENT, "tensor: %d is no dtype", (int)dtype);
  if (rank > RLX_MAX_RANK || (rank && !dims)) {
    return status_set(RLX_ERROR_ARGUMENT, "tensor: rank %zu %s", rank,
                      dims ? "is over the limit of 16" : "without dims");
  }
  int64_t count;
  size_t bytes;
  if (!tensor_size(dtype, rank, dims, &count, &bytes)) {
    return status_set(RLX_ERROR_SHAPE,
                      "tensor: a dim is negative, not whole blocks of %s, or the "
                      "size overflows",
                      info->name);
  }
  rlx_tensor *t = mem_new(1, sizeof *t);
  if (!t) return status_memory(sizeof *t);
  atomic_init(&t->refs, 1);
  t->dtype = dtype;
  t->rank = (uint32_t)rank;
  t->count = count;
  t->bytes = bytes;
  if (rank) memcpy(t->dims, dims, rank * sizeof *dims);
  *out_tensor = t;
  return RLX_OK;
}

static rlx_status create(rlx_dtype dtype, size_t rank, const int64_t *dims, bool zeroed,
                         rlx_tensor **out_tensor) {
  if (!out_tensor) return status_set(RLX_ERROR_ARGUMENT, "tensor: out_tensor is NULL");
  *out_tensor = NULL;
  rlx_tensor *t = NULL;
  RLX_TRY(header_new(dtype, rank, dims, &t));
  t->own = true;
  t->data = data_new(t->bytes, zeroed);
  if (!t->data) {
    size_t bytes = t->bytes;
    mem_free(t);
    return status_memory(bytes);
  }
  *out_tensor = t;
  return RLX_OK;
}

rlx_status rlx_tensor_create(rlx_dtype dtype, size_t rank, const int64_t *dims,
                             rlx_tensor **out_tensor) {
  return create(dtype, rank, dims, true, out_tensor);
}

rlx_status tensor_create_unset(rlx_dtype dtype, size_t rank, const int64_t *dims,
                               rlx_tensor **out_tensor) {
  return create(dtype, rank, dims, false, out_tensor);
}

rlx_status rlx_tensor_wrap(rlx_dtype dtype, size_t rank, const int64_t *dims, const void *data,
                           size_t bytes, void (*release)(void *owner), void *owner,
                           rlx_tensor **out_tensor) {
  if (!out_tensor) return status_set(RLX_ERROR_ARGUMENT, "tensor: out_tensor is NULL");
  *out_tensor = NULL;
  rlx_tensor *t = NULL;
  RLX_TRY(header_new(dtype, rank, dims, &t));
  if (bytes != t->bytes || (bytes && !data)) {
    rlx_status status =
        status_set(RLX_ERROR_SHAPE, "tensor: %zu bytes%s given, the shape takes %zu", bytes,
                   data ? "" : " at NULL", t->bytes);
    mem_free(t);
    return status;
  }
  static const char nothing[1];
  t->read_only = true;
  t->data = (void *)(uintptr_t)(data ? data : nothing);
  t->release = release;
  t->owner = owner;
  *out_tensor = t;
  return RLX_OK;
}

rlx_tensor *rlx_tensor_retain(rlx_tensor *tensor) {
  if (tensor) atomic_fetch_add_explicit(&tensor->refs, 1, memory_order_relaxed);
  return tensor;
}

void rlx_tensor_free(rlx_tensor *tensor) {
  if (!tensor || atomic_fetch_sub_explicit(&tensor->refs, 1, memory_order_acq_rel) != 1) return;
  if (tensor->own) data_free(tensor->data);
  if (tensor->release) tensor->release(tensor->owner);
  mem_free(tensor);
}

void rlx_string_free(char *string) { mem_free(string); }

rlx_dtype rlx_tensor_dtype(const rlx_tensor *tensor) {
  return tensor ? tensor->dtype : RLX_DTYPE_COUNT;
}
size_t rlx_tensor_rank(const rlx_tensor *tensor) { return tensor ? tensor->rank : 0; }
const int64_t *rlx_tensor_dims(const rlx_tensor *tensor) { return tensor ? tensor->dims : NULL; }
int64_t rlx_tensor_count(const rlx_tensor *tensor) { return tensor ? tensor->count : 0; }
size_t rlx_tensor_bytes(const rlx_tensor *tensor) { return tensor ? tensor->bytes : 0; }
const void *rlx_tensor_data(const rlx_tensor *tensor) { return tensor ? tensor->data : NULL; }
void *rlx_tensor_mutable(rlx_tensor *tensor) {
  return tensor && !tensor->read_only ? tensor->data : NULL;
}

static bool same_shape(const rlx_tensor *a, const rlx_tensor *b) {
  return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

bool tensor_equal(const rlx_tensor *a, const rlx_tensor *b) {
  return a->dtype == b->dtype && same_shape(a, b) && memcmp(a->data, b->data, a->bytes) == 0;
}

/* --- single elements */

/* X(NAME, C type): the dtypes that C has itself. */
#define INTEGERS(X) \
  X(BOOL, uint8_t)  \
  X(U8, uint8_t)    \
  X(U16, uint16_t)  \
  X(U32, uint32_t)  \
  X(U64, uint64_t)  \
  X(I8, int8_t)     \
  X(I16, int16_t)   \
  X(I32, int32_t)   \
  X(I64, int64_t)
#define REALS(X) X(F32, float) X(F64, double)

static char *element(const rlx_tensor *t, int64_t i, size_t size) {
  return (char *)t->data + (size_t)i * size;
}

/* C leaves out-of-range conversions undefined; here they saturate, and NaN is 0. */
static int64_t real_to_int(double v) {
  if (isnan(v)) return 0;
  if (v >= 0x1p63) return INT64_MAX;
  return v < -0x1p63 ? INT64_MIN : (int64_t)v;
}
static uint64_t real_to_uint(double v) {
  if (!(v >= 0x1p63)) return (uint64_t)real_to_int(v);
  return v >= 0x1p64 ? UINT64_MAX : (uint64_t)v;
}

/* Element i of t as a T; where the data lies, it need not be aligned for one. */
#define GET(T) (*(T *)memcpy(&(T){0}, element(t, i, sizeof(T)), sizeof(T)))
#define SET(T, v) memcpy(element(t, i, sizeof(T)), &(T){(T)(v)}, sizeof(T))

double tensor_real(const rlx_tensor *t, int64_t i) {
  switch (t->dtype) {
#define X(NAME, T) case RLX_##NAME: return (double)GET(T);
    INTEGERS(X)
    REALS(X)
#undef X
    case RLX_F16: return half_to_double(GET(uint16_t));
    case RLX_BF16: return bf16_to_double(GET(uint16_t));
    case RLX_C64: return creal(tensor_complex(t, i));
    default: return 0;
  }
}

int64_t tensor_int(const rlx_tensor *t, int64_t i) {
  switch (t->dtype) {
#define X(NAME, T) case RLX_##NAME: return (int64_t)GET(T);
    INTEGERS(X)
#undef X
    default: return real_to_int(tensor_real(t, i));
  }
}

double complex tensor_complex(const rlx_tensor *t, int64_t i) {
  if (t->dtype != RLX_C64) return tensor_real(t, i);
  float v[2];
  memcpy(v, element(t, i, sizeof v), sizeof v);
  double complex z; /* by parts: x + y * I would spoil infinities */
  memcpy(&z, (double[2]){v[0], v[1]}, sizeof z);
  return z;
}

static bool readable(const rlx_tensor *t, int64_t i) {
  return t && i >= 0 && i < t->count && dtype_kind(t->dtype) != RLX_KIND_BLOCK;
}
double rlx_tensor_real(const rlx_tensor *tensor, int64_t index) {
  return readable(tensor, index) ? tensor_real(tensor, index) : (double)NAN;
}
int64_t rlx_tensor_int(const rlx_tensor *tensor, int64_t index) {
  return readable(tensor, index) ? tensor_int(tensor, index) : 0;
}

void tensor_set_real(rlx_tensor *t, int64_t i, double v) {
  switch (t->dtype) {
#define X(NAME, T) case RLX_##NAME: SET(T, v); return;
    REALS(X)
#undef X
    case RLX_F16: SET(uint16_t, half_from_double(v)); return;
    case RLX_BF16: SET(uint16_t, bf16_from_double(v)); return;
    case RLX_C64: tensor_set_complex(t, i, v); return;
    case RLX_U64: tensor_set_int(t, i, (int64_t)real_to_uint(v)); return;
    case RLX_BOOL: tensor_set_int(t, i, v != 0); return;
    default: tensor_set_int(t, i, real_to_int(v)); return;
  }
}

void tensor_set_int(rlx_tensor *t, int64_t i, int64_t v) {
  if (t->dtype == RLX_BOOL) v = v != 0;
  switch (t->dtype) {
#define X(NAME, T) case RLX_##NAME: SET(T, v); return;
    INTEGERS(X)
    REALS(X)
#undef X
    case RLX_F16:
    case RLX_BF16:
    case RLX_C64: tensor_set_real(t, i, (double)v); return;
    default: return;
  }
}

void tensor_set_complex(rlx_tensor *t, int64_t i, double complex v) {
  if (t->dtype != RLX_C64) {
    tensor_set_real(t, i, creal(v));
    return;
  }
  float r[2] = {(float)creal(v), (float)cimag(v)};
  memcpy(element(t, i, sizeof r), r, sizeof r);
}
#undef GET
#undef SET

/* --- filling */

/* splitmix64 */
static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

/* Uniform in [-1, 1) with so many bits that no rounding reaches 1. */
static double next_real(uint64_t *state, rlx_dtype dtype) {
  int bits = dtype == RLX_BF16 ? 8 : dtype == RLX_F16 ? 11 : 24;
  return ldexp((double)(next_random(state) >> (64 - bits)), 1 - bits) - 1;
}

rlx_status rlx_tensor_random(rlx_tensor *tensor, uint64_t seed) {
  if (!tensor || tensor->read_only)
    return status_set(RLX_ERROR_ARGUMENT, "random: the tensor is %s",
                      tensor ? "read-only" : "NULL");
  rlx_dtype_kind kind = dtype_kind(tensor->dtype);
  if (kind == RLX_KIND_BLOCK) {
    return status_set(RLX_ERROR_DTYPE, "random: not for %s", dtype_name(tensor->dtype));
  }
  for (int64_t i = 0; i < tensor->count; i++) {
    if (kind == RLX_KIND_FLOAT) {
      tensor_set_real(tensor, i, next_real(&seed, tensor->dtype));
    } else if (kind == RLX_KIND_COMPLEX) {
      double re = next_real(&seed, tensor->dtype), im = next_real(&seed, tensor->dtype);
      memcpy(element(tensor, i, 8), (float[2]){(float)re, (float)im}, 8);
    } else {
      tensor_set_int(tensor, i, (int64_t)(next_random(&seed) >> 63));
    }
  }
  return RLX_OK;
}

/* --- comparing */

/* Distance of two reals: equal infinities and two NaNs agree, one NaN is infinitely far. */
static double distance(double got, double want) {
  if (isnan(got) || isnan(want)) return isnan(got) && isnan(want) ? 0 : INFINITY;
  return got == want ? 0 : fabs(got - want);
}

static double element_distance(const rlx_tensor *got, const rlx_tensor *want, int64_t i,
                               rlx_dtype_kind kind) {
  if (kind == RLX_KIND_BLOCK) {
    size_t size = dtype_bytes(got->dtype);
    return memcmp(element(got, i, size), element(want, i, size), size) != 0;
  }
  if (kind == RLX_KIND_FLOAT) return distance(tensor_real(got, i), tensor_real(want, i));
  if (kind != RLX_KIND_COMPLEX) return tensor_int(got, i) != tensor_int(want, i);
  double complex a = tensor_complex(got, i), b = tensor_complex(want, i);
  return hypot(distance(creal(a), creal(b)), distance(cimag(a), cimag(b)));
}

/* max |want| over finite elements, 1 where errors are absolute. */
static double scale_of(const rlx_tensor *want, rlx_dtype_kind kind) {
  if (kind != RLX_KIND_FLOAT && kind != RLX_KIND_COMPLEX) return 1;
  double scale = 0;
  for (int64_t i = 0; i < want->count; i++) {
    double v = cabs(tensor_complex(want, i));
    if (isfinite(v) && v > scale) scale = v;
  }
  return scale > 0 ? scale : 1;
}

rlx_status rlx_tensor_compare(const rlx_tensor *got, const rlx_tensor *want,
                              rlx_difference *out_difference) {
  if (!got || !want || !out_difference)
    return status_set(RLX_ERROR_ARGUMENT, "compare: %s is NULL",
                      !got ? "got" : !want ? "want" : "out_difference");
  if (got->dtype != want->dtype) {
    return status_set(RLX_ERROR_DTYPE, "compare: got %s, want %s", dtype_name(got->dtype),
                      dtype_name(want->dtype));
  }
  if (!same_shape(got, want)) {
    return status_set(RLX_ERROR_SHAPE, "compare: the shapes differ (ranks %u and %u)", got->rank,
                      want->rank);
  }
  rlx_dtype_kind kind = dtype_kind(got->dtype);
  rlx_difference d = {0, -1, 0, 0};
  int64_t n = got->count / (int64_t)rlx_dtype_get(got->dtype)->block_elems;
  for (int64_t i = 0; i < n; i++) {
    double error = element_distance(got, want, i, kind);
    if (error > d.error) d.error = error, d.where = i;
  }
  if (d.where >= 0 && kind != RLX_KIND_BLOCK) {
    d.got = tensor_real(got, d.where);
    d.want = tensor_real(want, d.where);
  }
  d.error /= scale_of(want, kind);
  *out_difference = d;
  return RLX_OK;
}
