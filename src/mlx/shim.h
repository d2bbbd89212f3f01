/* mlx/shim.h: a C ABI over MLX: the only door to it.
 *
 * mx: a counted handle of an MLX array.
 *   Owner:   a context owns the handles made through it until mx_ctx_reset; mx_keep takes a
 *            reference that lives until mx_drop. mx_drop never blocks: without the lock at hand the
 *            handle is put on a list that the next holder drains.
 *            A reference keeps the buffer of an intermediate alive: keep the results and reset the
 *            context before they are scheduled, then MLX frees and reuses the others as it goes.
 *   Threads: all calls but mx_drop, mx_trace_free and mx_event_wait need the runtime lock (lock.h).
 *   Errors:  sticky in the context: after the first failure calls return NULL and do nothing.
 *            Nothing throws out of here. */
#ifndef MLX_SHIM_H
#define MLX_SHIM_H

#include <rlx/dtype.h>

#ifdef __cplusplus
#define MX_NOEXCEPT noexcept
extern "C" {
#else
#define MX_NOEXCEPT
#endif

typedef struct mx_array *mx;
typedef struct mx_ctx mx_ctx;
typedef enum mx_device { MX_CPU, MX_GPU } mx_device;

rlx_status mx_ctx_create(mx_device device, mx_ctx **out_ctx) MX_NOEXCEPT;
void mx_ctx_free(mx_ctx *m) MX_NOEXCEPT;
/* Releases the handles made since the last reset and clears the status. */
void mx_ctx_reset(mx_ctx *m) MX_NOEXCEPT;
rlx_status mx_ctx_status(const mx_ctx *m) MX_NOEXCEPT; /* the sentence is in rlx_last_error */
mx_device mx_ctx_device(const mx_ctx *m) MX_NOEXCEPT;
/* Makes the context fail with the thread's sentence; returns NULL. */
mx mx_fail(mx_ctx *m, rlx_status status) MX_NOEXCEPT;
mx mx_keep(mx a) MX_NOEXCEPT; /* NULL stays NULL; from any thread that has a reference */
void mx_drop(mx a) MX_NOEXCEPT;

/* --- arrays and host memory */
/* Copies `data`, row-major. */
mx mx_from_data(mx_ctx *m, rlx_dtype dtype, size_t rank, const int64_t *dims,
                const void *data) MX_NOEXCEPT;
/* The same for memory laid out as ir/tensor.h says (its byte count in the size_t before it), which
 * an MLX for CPUs borrows and never writes to. release(owner) is called exactly once, on any
 * thread: when MLX no longer needs the memory; at once if it was copied or on failure. */
mx mx_from_owned(mx_ctx *m, rlx_dtype dtype, size_t rank, const int64_t *dims, void *data,
                 void (*release)(void *), void *owner) MX_NOEXCEPT;
/* For integers the value is truncated and wraps. */
mx mx_scalar(mx_ctx *m, rlx_dtype dtype, double value) MX_NOEXCEPT;
size_t mx_rank(mx a) MX_NOEXCEPT;
int64_t mx_dim(mx a, size_t axis) MX_NOEXCEPT;
rlx_dtype mx_dtype(mx a) MX_NOEXCEPT;

/* --- evaluation: schedule under the lock, wait without it, read under it */
typedef struct mx_event mx_event;
/* Schedules the arrays and gives an event to wait on (NULL: nothing to wait for). Arrays that are
 * not row-major are made so; their handles then stand for the row-major ones. */
rlx_status mx_schedule(mx_ctx *m, mx *arrays, size_t n, mx_event **out_event) MX_NOEXCEPT;
/* Frees the event. Best called without the lock, so that others can use it meanwhile. */
rlx_status mx_event_wait(mx_event *event) MX_NOEXCEPT;
/* After the wait: a pointer to row-major data on the host, valid while a reference is kept. */
rlx_status mx_host_data(mx_ctx *m, mx a, const void **out_data) MX_NOEXCEPT;

/* --- traces: a computation recorded once and replayed with new inputs
 *
 * mx_trace: build on placeholders as on any arrays, under any context of the device;
 * mx_trace_create records how `out` comes from `in`, fused by MLX's compiler where that is real
 * (mx_trace_fuses).
 *   Owner:   whoever made it; mx_trace_free never blocks, also while a replay of it is under way.
 *   Threads: made, replayed and freed on any thread, the first two with the runtime lock: a trace
 *            belongs to no thread and to no cache of MLX. It never changes, so replays may overlap.
 *   Errors:  of building: the context's, as ever; then no trace is made. */
typedef struct mx_trace mx_trace;
/* Stands for an input of a trace. Scheduling it, or what comes from it, fails. */
mx mx_placeholder(mx_ctx *m, rlx_dtype dtype, size_t rank, const int64_t *dims) MX_NOEXCEPT;
/* `in`: distinct placeholders. Other arrays that `out` comes from (params, constants) are held by
 * the trace: what must differ between replays has to be an input. Fails if the context has
 * failed. */
rlx_status mx_trace_create(mx_ctx *m, const mx *in, size_t n_in, const mx *out, size_t n_out,
                           mx_trace **out_trace) MX_NOEXCEPT;
/* The same computation on other inputs, of the placeholders' shapes and dtypes (else a status).
 * `out` receives n_out arrays: unscheduled, the context's, as from any operation. */
rlx_status mx_trace_run(mx_ctx *m, const mx_trace *trace, const mx *in, size_t n_in, mx *out,
                        size_t n_out) MX_NOEXCEPT;
void mx_trace_free(mx_trace *trace) MX_NOEXCEPT;
/* Does MLX fuse what a trace holds? On a GPU yes. On a CPU its compiler would call g++ at run time
 * and load what it finds in a shared folder: only if RLX_MLX_TRACE=cpu, for tests, in a private
 * one. */
bool mx_trace_fuses(mx_device device) MX_NOEXCEPT;

/* --- work of ours as one operation of MLX's, on a CPU: run(owner, ..) on MLX's thread when the
 * results are evaluated, on dense row-major data; what fails in it is its own to remember.
 * release(owner) is called exactly once, on any thread, also if the job never ran. */
typedef struct mx_job {
  void (*run)(void *owner, const void *const *in, void *const *out);
  void (*release)(void *owner);
  void *owner;
} mx_job;
typedef struct mx_type {
  rlx_dtype dtype;
  size_t rank;
  const int64_t *dims;
} mx_type;
void mx_run_job(mx_ctx *m, mx_job job, const mx *in, size_t n_in, const mx_type *types,
                size_t n_out, mx *out) MX_NOEXCEPT; /* out[i] is of types[i] */

/* --- the process */
bool mx_gpu_available(void) MX_NOEXCEPT;
const char *mx_version(void) MX_NOEXCEPT;
const char *mx_device_name(mx_device device) MX_NOEXCEPT;
/* Waits until nothing that was scheduled on the CPU is left. */
void mx_settle(void) MX_NOEXCEPT;
void mx_memory(uint64_t *active, uint64_t *cache, uint64_t *peak) MX_NOEXCEPT;
const char *mx_library_path(void) MX_NOEXCEPT; /* the file of the MLX in use, "" if unknown */
/* For lock.c: makes the shared streams, once, and binds them to the calling thread as its defaults;
 * frees the handles that were dropped without the lock. */
rlx_status mx_start(void) MX_NOEXCEPT;
void mx_drain(void) MX_NOEXCEPT;

/* --- operations: regular ones by class, from shim_ops.def */
#define UNARY(name, mlx_name) mx mx_##name(mx_ctx *m, mx a) MX_NOEXCEPT;
#define BINARY(name, mlx_name) mx mx_##name(mx_ctx *m, mx a, mx b) MX_NOEXCEPT;
#define REDUCE(name, mlx_name) \
  mx mx_##name(mx_ctx *m, mx a, const int *axes, size_t n_axes, bool keep) MX_NOEXCEPT;
#define SCAN(name, mlx_name) \
  mx mx_##name(mx_ctx *m, mx a, int axis, bool reverse, bool inclusive) MX_NOEXCEPT;
#include "mlx/shim_ops.def"

/* --- and by hand. Axes are non-negative. */
/* A list as the ints that MLX takes, owned by the context until its reset. */
const int *mx_ints(mx_ctx *m, const int64_t *v, size_t n) MX_NOEXCEPT;
mx mx_cast(mx_ctx *m, mx a, rlx_dtype dtype) MX_NOEXCEPT;
mx mx_view(mx_ctx *m, mx a, rlx_dtype dtype) MX_NOEXCEPT; /* the same bits, of the same width */
mx mx_where(mx_ctx *m, mx cond, mx a, mx b) MX_NOEXCEPT;
mx mx_reshape(mx_ctx *m, mx a, size_t rank, const int64_t *dims) MX_NOEXCEPT;
mx mx_broadcast_to(mx_ctx *m, mx a, size_t rank, const int64_t *dims) MX_NOEXCEPT;
mx mx_transpose(mx_ctx *m, mx a, const int *perm, size_t n) MX_NOEXCEPT;
mx mx_slice(mx_ctx *m, mx a, const int *starts, const int *stops, const int *steps,
            size_t rank) MX_NOEXCEPT;
mx mx_slice_update(mx_ctx *m, mx a, mx update, const int *starts, const int *stops,
                   const int *steps, size_t rank) MX_NOEXCEPT;
/* start: [1] index */
mx mx_slice_update_at(mx_ctx *m, mx a, mx update, mx start, int axis) MX_NOEXCEPT;
mx mx_concat(mx_ctx *m, const mx *arrays, size_t n, int axis) MX_NOEXCEPT;
mx mx_pad(mx_ctx *m, mx a, const int *before, const int *after, size_t rank, mx value) MX_NOEXCEPT;
mx mx_tile(mx_ctx *m, mx a, const int *reps, size_t rank) MX_NOEXCEPT;
mx mx_contiguous(mx_ctx *m, mx a) MX_NOEXCEPT;
mx mx_arange(mx_ctx *m, double start, double step, int64_t count, rlx_dtype dtype) MX_NOEXCEPT;
mx mx_softmax(mx_ctx *m, mx a, int axis) MX_NOEXCEPT;
mx mx_argmax(mx_ctx *m, mx a, int axis, bool keep) MX_NOEXCEPT;
mx mx_argmin(mx_ctx *m, mx a, int axis, bool keep) MX_NOEXCEPT;
mx mx_sort(mx_ctx *m, mx a, int axis) MX_NOEXCEPT;
mx mx_argsort(mx_ctx *m, mx a, int axis) MX_NOEXCEPT;
mx mx_take(mx_ctx *m, mx a, mx indices, int axis) MX_NOEXCEPT;
mx mx_take_along_axis(mx_ctx *m, mx a, mx indices, int axis) MX_NOEXCEPT;
/* reduction: 0 set, 1 add, 2 mul, 3 max, 4 min */
mx mx_scatter(mx_ctx *m, mx a, const mx *indices, size_t n_indices, mx updates, const int *axes,
              int reduction) MX_NOEXCEPT;
mx mx_matmul(mx_ctx *m, mx a, mx b) MX_NOEXCEPT;
mx mx_addmm(mx_ctx *m, mx a, mx b, mx c) MX_NOEXCEPT; /* a b + c */
mx mx_gather_mm(mx_ctx *m, mx a, mx b, mx lhs_indices, mx rhs_indices) MX_NOEXCEPT;
/* Over the last axis; the scale w and the bias b may be NULL. */
mx mx_layer_norm(mx_ctx *m, mx a, mx w, mx b, double eps) MX_NOEXCEPT;
mx mx_rms_norm(mx_ctx *m, mx a, mx w, double eps) MX_NOEXCEPT;
/* Attention of q [B,H,T,D] over k, v [B,K,S,..], H a multiple of K; the mask (NULL: none)
 * broadcasts to [B,H,T,S]: a bool keeps, a number is added; causal: the last query sees all
 * keys. */
mx mx_attention(mx_ctx *m, mx q, mx k, mx v, double scale, bool causal, mx mask) MX_NOEXCEPT;
/* channels last: x [N,..,C], w [O,..,C/groups]; n spatial axes; lists of n */
mx mx_conv(mx_ctx *m, mx x, mx w, const int *strides, const int *pads_before, const int *pads_after,
           const int *kernel_dilation, const int *input_dilation, size_t n, int groups) MX_NOEXCEPT;
mx mx_as_strided(mx_ctx *m, mx a, const int *dims, const int64_t *strides, size_t rank,
                 int64_t offset) MX_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
