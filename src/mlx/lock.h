/* mlx/lock.h: the runtime lock: one per process, re-entrant, guarding all of MLX.
 *
 * Laws: the outermost entry takes the mutex, then raises the depth, so that no failure leaves it
 * wrong; the first entry of a thread binds the shared streams as its defaults; handles dropped
 * without the lock are freed by the next holder; a forked child gets a status, not a hang. */
#ifndef MLX_LOCK_H
#define MLX_LOCK_H

#include <rlx/status.h>

#ifdef __cplusplus
extern "C" {
#endif

rlx_status lock_enter(void);
rlx_status lock_leave(void);
/* Does the calling thread hold the lock? */
bool lock_held(void);
/* Takes the lock only if it is free at once (or held by this thread already). */
bool lock_try(void);
/* Calls into the shim made without the lock; counted in debug and sanitizer builds, else 0. */
uint64_t lock_violations(void);

/* Every function of the shim that needs the lock says so with lock_check(). */
void lock_check_(void);
#ifdef RLX_CHECK_LOCK
#define lock_check() lock_check_()
#else
#define lock_check() ((void)0)
#endif

#ifdef __cplusplus
}
#endif
#endif
