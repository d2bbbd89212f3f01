/* rlx/async.h: runs that go on while the caller does something else.
 *
 * rlx_ticket: one run that was submitted, and its results once it has ended. It keeps all that it
 * needs, the params as they were set when it was submitted too, so any number of tickets may be in
 * flight, of one executable or of many; their runs overlap as far as the device allows.
 *   Owner:   the submitter; rlx_ticket_free at any time. The executable may be freed before.
 *   Threads: every call from any thread, several may wait for one ticket. A thread that holds the
 *            runtime lock cannot wait: RLX_ERROR_STATE.
 *   Errors:  a submit checks its pointers and the number of outputs. All else, wrong inputs too, is
 *            how the run failed: kept on the ticket and said by each wait and read.
 *            RLX_ERROR_FORKED in a child of a process that had submitted something.
 * At exit a process waits some seconds for runs under way; what has not begun never does. */
#ifndef RLX_ASYNC_H
#define RLX_ASYNC_H

#include <rlx/exec.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlx_ticket rlx_ticket;

/* rlx_exec_call, begun. The inputs are retained, and must not change before the run has ended.
 * `outputs`: NULL, or a list with NULL where a tensor is to be made; the tensors in it are borrowed
 * until the run has ended, whoever else retains them. */
RLX_API RLX_MUST_USE rlx_status rlx_exec_submit(rlx_exec *exec, rlx_tensor *const *inputs,
                                                size_t n_inputs, rlx_tensor *const *outputs,
                                                size_t n_outputs, rlx_ticket **out_ticket);

/* Waits until the run has ended, at most so many milliseconds (negative: as long as it takes), and
 * says how it ended; RLX_ERROR_TIMEOUT if it has not. */
RLX_API RLX_MUST_USE rlx_status rlx_ticket_wait(rlx_ticket *ticket, int64_t timeout_ms);
/* Has the run ended, well or not? Never waits. */
RLX_API bool rlx_ticket_poll(const rlx_ticket *ticket);
/* A reference of output `index`, the caller's. Waits for the end. */
RLX_API RLX_MUST_USE rlx_status rlx_ticket_read(rlx_ticket *ticket, size_t index,
                                                rlx_tensor **out_tensor);
/* Before the run has ended: waits for it if it borrows tensors (with the runtime lock held it
 * cannot wait, and they stay borrowed), else leaves it to end by itself. */
RLX_API void rlx_ticket_free(rlx_ticket *ticket);

#ifdef __cplusplus
}
#endif
#endif
