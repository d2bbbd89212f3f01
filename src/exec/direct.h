/* exec/direct.h: a segment of kernel steps on planned buffers.
 *
 * A direct is prepared once per variant; runs of it may overlap: each takes a frame (its pointers)
 * and a block (arena and scratch), which are kept for the next one. */
#ifndef EXEC_DIRECT_H
#define EXEC_DIRECT_H

#include <stdatomic.h>

#include "ops/pack.h"
#include "pass/layout.h"

/* Memory for runs, one after another, of any variant of an executable. */
enum { BLOCKS = 8 };
typedef struct blocks {
  _Atomic(struct block *) free[BLOCKS];
} blocks;
void blocks_free(blocks *b);

typedef struct direct direct;
struct rlx_exec;
struct direct_constant {
  const void *data; /* NULL: it may differ from run to run */
  bool lasting;     /* it lives as long as the executable: what is made of it is shared */
};
/* What preparing needs to know. */
typedef struct direct_setup {
  const struct rlx_exec *e;
  const rlx_graph *g;
  const plan *p;
  const plan_segment *s;
  const struct direct_constant *constants; /* by value */
} direct_setup;
rlx_status direct_create(const direct_setup *setup, direct **out_direct);
void direct_free(direct *d); /* after all its runs */
/* Values from outside but for constants, and those that go there: in the order of direct_run. */
size_t direct_inputs(const direct *d, const rlx_val **out);
size_t direct_outputs(const direct *d, const rlx_val **out);
size_t direct_bytes(const direct *d); /* of a block */
/* Data is dense and row-major. Errors: RLX_ERROR_MEMORY, or what a kernel says, with its node. */
rlx_status direct_run(const direct *d, blocks *b, const void *const *in, void *const *out);

#endif
