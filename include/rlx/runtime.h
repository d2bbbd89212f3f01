/* rlx/runtime.h: the process-wide runtime: versions, devices, memory, the lock. */
#ifndef RLX_RUNTIME_H
#define RLX_RUNTIME_H

#include <rlx/exec.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RLX_VERSION_MAJOR 0
#define RLX_VERSION_MINOR 1
#define RLX_VERSION_PATCH 0

RLX_API const char *rlx_version(void);     /* "0.1.0" */
RLX_API const char *rlx_mlx_version(void); /* of the MLX that answers, "0.32.4" */

typedef struct rlx_runtime_info {
  uint32_t struct_size;
  uint32_t threads;        /* of a run: RLX_THREADS, else the cores that this process may use */
  bool gpu;                /* MLX has a usable GPU */
  const char *device_name; /* of the GPU, or "cpu" */
  const char *mlx_path;    /* the libmlx file in use, "" if unknown */
  bool mlx_is_ours;        /* false: another copy of MLX was loaded first and is used instead */
  const char *blas;        /* the BLAS's own description, "" if MLX uses the platform's */
  const char *blas_core;   /* the kernel set it chose for this processor */
  bool blas_forced;        /* OPENBLAS_CORETYPE is set and may hold it below what the CPU can do */
  const char *cpu_level;   /* of the CPU kernels: the best that this CPU has, or RLX_CPU_LEVEL */
  const char *cpu_levels[8]; /* all that this CPU has, the best first; NULL behind the last */
} rlx_runtime_info;
/* Starts MLX if it has not started. Strings are static. */
RLX_API RLX_MUST_USE rlx_status rlx_runtime_query(rlx_runtime_info *out_info);

/* Runs a one-element addition on the device and checks the answer. */
RLX_API RLX_MUST_USE rlx_status rlx_runtime_probe(rlx_device device);

typedef struct rlx_memory_info {
  uint32_t struct_size;
  uint64_t active_bytes, cache_bytes, peak_bytes; /* MLX's allocator */
} rlx_memory_info;
RLX_API RLX_MUST_USE rlx_status rlx_runtime_memory(rlx_memory_info *out_info);

/* The lock that guards all of MLX in this process, for programs that also call MLX themselves.
 * Re-entrant: each successful lock needs one unlock on the same thread.
 * Errors: RLX_ERROR_FORKED in a child of a process that had used the runtime;
 * RLX_ERROR_STATE for an unlock that has no lock. */
RLX_API RLX_MUST_USE rlx_status rlx_runtime_lock(void);
RLX_API rlx_status rlx_runtime_unlock(void);

#ifdef __cplusplus
}
#endif
#endif
