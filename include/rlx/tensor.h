/* rlx/tensor.h: host tensors: what goes into a run and what comes out.
 *
 * rlx_tensor: dtype, shape and row-major little-endian data in host memory.
 *   Owner:   reference counted; create, load and retain own, everything else borrows.
 *   Threads: immutable after it has been filled, then shared freely; the count is atomic.
 *   Errors:  statuses; rlx_last_error() has the sentence. */
#ifndef RLX_TENSOR_H
#define RLX_TENSOR_H

#include <rlx/dtype.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RLX_MAX_RANK 16

typedef struct rlx_tensor rlx_tensor;

/* A new tensor with zeroed data. `dims` may be NULL when rank is 0. */
RLX_API RLX_MUST_USE rlx_status rlx_tensor_create(rlx_dtype dtype, size_t rank, const int64_t *dims,
                                                  rlx_tensor **out_tensor);
/* A view of the caller's memory, `bytes` long (checked against dtype and shape), which must outlive
 * the tensor. If `release` is given it is called with `owner` when the last reference goes. */
RLX_API RLX_MUST_USE rlx_status rlx_tensor_wrap(rlx_dtype dtype, size_t rank, const int64_t *dims,
                                                const void *data, size_t bytes,
                                                void (*release)(void *owner), void *owner,
                                                rlx_tensor **out_tensor);
RLX_API rlx_tensor *rlx_tensor_retain(rlx_tensor *tensor);
RLX_API void rlx_tensor_free(rlx_tensor *tensor); /* drops one reference; NULL is fine */

/* Of NULL: RLX_DTYPE_COUNT, 0, NULL, NaN. */
RLX_API rlx_dtype rlx_tensor_dtype(const rlx_tensor *tensor);
RLX_API size_t rlx_tensor_rank(const rlx_tensor *tensor);
RLX_API const int64_t *rlx_tensor_dims(const rlx_tensor *tensor);
RLX_API int64_t rlx_tensor_count(const rlx_tensor *tensor); /* elements */
RLX_API size_t rlx_tensor_bytes(const rlx_tensor *tensor);
RLX_API const void *rlx_tensor_data(const rlx_tensor *tensor);
/* Writable data; NULL when the tensor is a view of read-only memory. */
RLX_API void *rlx_tensor_mutable(rlx_tensor *tensor);
/* One element by row-major index: as a double (of a c64 the real part), as an integer (u64 as its
 * bits). NaN and 0 past the end and for block formats. */
RLX_API double rlx_tensor_real(const rlx_tensor *tensor, int64_t index);
RLX_API int64_t rlx_tensor_int(const rlx_tensor *tensor, int64_t index);
/* Fills with reproducible values: floats uniform in [-1, 1), integers in [0, 2), bools 0 or 1. */
RLX_API RLX_MUST_USE rlx_status rlx_tensor_random(rlx_tensor *tensor, uint64_t seed);

typedef struct rlx_difference {
  double error;       /* max |got - want| / max |want|; for integers 0 or 1 (any element differs) */
  int64_t where;      /* index of the largest difference in row-major order, -1 if none */
  double got, want;   /* the values there */
} rlx_difference;
/* The project's one error measure. A NaN in one and not in the other is an infinite error; equal
 * infinities agree. Dtype and shape must be the same (RLX_ERROR_DTYPE, RLX_ERROR_SHAPE). */
RLX_API RLX_MUST_USE rlx_status rlx_tensor_compare(const rlx_tensor *got, const rlx_tensor *want,
                                                   rlx_difference *out_difference);

/* A named list of tensors: an npz file, the inputs or the outputs of a run.
 *   Owner: the caller; holds a reference on each tensor.  Threads: one at a time. */
typedef struct rlx_tensors rlx_tensors;
RLX_API RLX_MUST_USE rlx_status rlx_tensors_create(rlx_tensors **out_tensors);
RLX_API void rlx_tensors_free(rlx_tensors *tensors);
/* Appends, retaining the tensor; a name that is there already is replaced. */
RLX_API RLX_MUST_USE rlx_status rlx_tensors_set(rlx_tensors *tensors, const char *name,
                                                rlx_tensor *tensor);
RLX_API size_t rlx_tensors_count(const rlx_tensors *tensors);
RLX_API const char *rlx_tensors_name(const rlx_tensors *tensors, size_t index); /* or NULL */
RLX_API rlx_tensor *rlx_tensors_at(const rlx_tensors *tensors, size_t index); /* borrowed */
RLX_API rlx_tensor *rlx_tensors_get(const rlx_tensors *tensors, const char *name); /* or NULL */

/* Files. NumPy's .npy and .npz (format 1 to 3, both byte orders, C and Fortran order, zip64; names
 * are kept verbatim without the ".npy"), and ONNX TensorProto ".pb". Saving writes aside and
 * renames, so that a failure leaves no half file. bf16 is stored in npy as its bits in '<V2'. */
RLX_API RLX_MUST_USE rlx_status rlx_tensor_load_npy(const char *path, rlx_tensor **out_tensor);
RLX_API RLX_MUST_USE rlx_status rlx_tensor_save_npy(const rlx_tensor *tensor, const char *path);
RLX_API RLX_MUST_USE rlx_status rlx_tensors_load_npz(const char *path, rlx_tensors **out_tensors);
RLX_API RLX_MUST_USE rlx_status rlx_tensors_save_npz(const rlx_tensors *tensors, const char *path);
/* safetensors. What is read refers to the mapped file: it must not change while a tensor lives. */
RLX_API RLX_MUST_USE rlx_status rlx_tensors_load_safetensors(const char *path,
                                                             rlx_tensors **out_tensors);
RLX_API RLX_MUST_USE rlx_status rlx_tensors_save_safetensors(const rlx_tensors *tensors,
                                                             const char *path);
/* The one of the two that the path's end names, ".npz" or ".safetensors". */
RLX_API RLX_MUST_USE rlx_status rlx_tensors_load(const char *path, rlx_tensors **out_tensors);
RLX_API RLX_MUST_USE rlx_status rlx_tensors_save(const rlx_tensors *tensors, const char *path);
/* `out_name` may be NULL; else it receives the proto's name, to be freed with rlx_string_free. */
RLX_API RLX_MUST_USE rlx_status rlx_tensor_load_pb(const char *path, rlx_tensor **out_tensor,
                                                   char **out_name);
RLX_API RLX_MUST_USE rlx_status rlx_tensor_save_pb(const rlx_tensor *tensor, const char *name,
                                                   const char *path);
RLX_API void rlx_string_free(char *string);

#ifdef __cplusplus
}
#endif
#endif
