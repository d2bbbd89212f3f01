/* ops/reduce.h: what operations that fold along axes share as kernels. */
#ifndef OPS_REDUCE_H
#define OPS_REDUCE_H

#include "ops/kernel.h"

bool reduce_covers(const ir_infer *c);
/* Fills in the views of the spec and the call's answer; the first result may lack the axes that
 * go. */
rlx_status reduce_kernel_prepare(kernel_call *c, rlx_ints axes, reduce_spec *spec,
                                 const char *name);

#endif
