/* rlx/exec.h: from a graph to answers.
 *
 * rlx_exec: a graph checked, planned and ready to run on one device.
 *   Owner:   the creator; rlx_exec_free, at any time from any thread, also while a run is under way
 *            elsewhere (that run keeps what it needs).
 *   Threads: every call from any thread; runs of one executable may overlap.
 *   Errors:  statuses; nothing is poisoned, the next call works. */
#ifndef RLX_EXEC_H
#define RLX_EXEC_H

#include <rlx/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlx_exec rlx_exec;

typedef enum rlx_device {
  RLX_DEVICE_DEFAULT = 0, /* a GPU if MLX has one, else the CPU */
  RLX_DEVICE_CPU,
  RLX_DEVICE_GPU,
  RLX_DEVICE_REFERENCE /* naive C, one operation at a time: slow, the oracle */
} rlx_device;

typedef enum rlx_mode {
  RLX_MODE_DEFAULT = 0, /* what RLX_MLX_MODE says, else compiled */
  RLX_MODE_LAZY,        /* build everything, evaluate the outputs once */
  RLX_MODE_EAGER,       /* evaluate and check after each step: an error names its step */
  RLX_MODE_COMPILED     /* CPU: kernels on planned memory; GPU: traces that MLX has compiled */
} rlx_mode;

typedef enum rlx_precision {
  RLX_PRECISION_F32 = 0, /* as the graph says */
  RLX_PRECISION_BF16     /* f32 factors of matrix products are rounded to bf16; CPU kernels sum in f32
                          * and keep the sum, MLX rounds it to bf16 too. All else, convolutions and
                          * attention too, stays as the graph says */
} rlx_precision;

typedef struct rlx_exec_options {
  uint32_t struct_size;
  rlx_device device;
  rlx_mode mode;
  uint32_t max_variants; /* input shapes kept prepared, least recently used goes; default 32 */
  bool strict;           /* no rewrite rules that may change rounding */
  const char *const *no_rules; /* names of rewrite rules to leave out */
  size_t n_no_rules;
  uint32_t threads; /* of a run on a CPU; 0: RLX_THREADS, else as many as cores */
  bool no_kernels;  /* MLX runs everything, as with RLX_KERNELS=off: no CPU kernels of our own */
  rlx_precision precision;
  const char *const *keep_f32; /* operations or nodes, as `rlx explain` names them, to leave alone */
  size_t n_keep_f32;
} rlx_exec_options;

/* Checks the whole graph and prepares it. `options` may be NULL. The graph may be freed after.
 * Errors: the graph's own sticky status; RLX_ERROR_UNSUPPORTED lists every node that the device
 * cannot run; RLX_ERROR_DEVICE. */
RLX_API RLX_MUST_USE rlx_status rlx_compile(const rlx_graph *graph, const rlx_exec_options *options,
                                            rlx_exec **out_exec);
RLX_API void rlx_exec_free(rlx_exec *exec);
RLX_API rlx_device rlx_exec_device(const rlx_exec *exec); /* the one chosen */
RLX_API rlx_mode rlx_exec_mode(const rlx_exec *exec);
/* The sentence of the last failure of this executable, copied into buf; returns its length. */
RLX_API size_t rlx_exec_error(const rlx_exec *exec, char *buf, size_t size);
/* The executable's inputs, params and outputs: owned by it, alive as long as it. */
RLX_API const rlx_graph *rlx_exec_graph(const rlx_exec *exec);

/* Sets a param from now on; runs that have started keep the old value. Retains the tensor, which
 * must not change. Name, dtype and shape are checked here. */
RLX_API RLX_MUST_USE rlx_status rlx_exec_set_param(rlx_exec *exec, const char *name,
                                                   rlx_tensor *value);

/* Runs. Inputs are matched by name: each exactly once, with the declared dtype and a shape that
 * fits the declared one. The result is a named list of the outputs in graph order; the tensors may
 * be views of device memory that live until freed. RLX_ERROR_MEMORY: a result has more bytes than
 * this process can have (memory and swap, container and process limits). */
RLX_API RLX_MUST_USE rlx_status rlx_exec_run(rlx_exec *exec, const rlx_tensors *inputs,
                                             rlx_tensors **out_outputs);
/* The same by position, without a list: inputs in graph order; `outputs` receives one owned
 * reference per output, or, where it holds a tensor already, that tensor is filled (dtype and shape
 * must match, and it must not share memory with an input). */
RLX_API RLX_MUST_USE rlx_status rlx_exec_call(rlx_exec *exec, rlx_tensor *const *inputs,
                                              size_t n_inputs, rlx_tensor **outputs,
                                              size_t n_outputs);

#ifdef __cplusplus
}
#endif
#endif
