/* rlx/trace.h: a recording of what takes time in this process.
 *
 * Categories: "load" (reading files), "compile" (rlx_compile, its passes, the variants), "run"
 * (runs and their segments), "node" (one node: in eager mode and on the reference device its time,
 * in other modes the time to build it), "mlx" (evaluation, waiting for its end), "lock" (waiting
 * for the runtime lock).
 *   Owner:   the process has one recording; strings in it live until the next rlx_trace_start.
 *   Threads: recording covers all threads; start, stop and reading from one at a time. */
#ifndef RLX_TRACE_H
#define RLX_TRACE_H

#include <rlx/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Starts a recording of at most a million events, and drops the last one.
 * Errors: RLX_ERROR_STATE while one is under way. */
RLX_API RLX_MUST_USE rlx_status rlx_trace_start(void);
/* Ends it. With a path it is written there in the JSON that chrome://tracing and Perfetto read.
 * Errors: RLX_ERROR_STATE, RLX_ERROR_IO. */
RLX_API RLX_MUST_USE rlx_status rlx_trace_stop(const char *path);

typedef struct rlx_trace_event {
  const char *category, *name;
  const char *detail; /* of a node: its label, "%7 'name in the file'"; "" if there is none */
  uint32_t thread;    /* 1, 2, .. */
  double start_us, us; /* since the recording started; how long it took */
} rlx_trace_event;
/* An event of the recording that has ended, in the order of their ends. False past the last one and
 * while recording. */
RLX_API bool rlx_trace_at(size_t index, rlx_trace_event *out_event);

#ifdef __cplusplus
}
#endif
#endif
