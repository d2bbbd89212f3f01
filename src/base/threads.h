/* base/threads.h: the one pool of threads of the process: kernels, packing, everything.
 *
 * Laws: the caller works too and never waits for a worker that has not started a task; a task is
 * run by exactly one thread, results never depend on which; no more than `threads` threads work on
 * one call, however many calls are under way; a task may not call threads_run. Workers start when
 * they are needed first, spin for a moment, then sleep. */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#include <stddef.h>
#include <stdint.h>

enum { THREADS_MAX = 256 };

/* As many as this process has cores: affinity and container limits count. At least 1. */
uint32_t threads_default(void);

/* Calls f(ctx, i, worker) for each i below n, and returns when all have returned. worker: below
 * `threads`, different for tasks that run at the same time: which piece of scratch is theirs. */
void threads_run(uint32_t threads, size_t n, void (*f)(void *ctx, size_t i, size_t worker),
                 void *ctx);

#endif
