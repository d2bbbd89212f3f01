/* ops/copy.h: kernels that only move elements, made of strided copies. */
#ifndef OPS_COPY_H
#define OPS_COPY_H

#include "ops/kernel.h"

/* The kernel that brings operand 0, in any strides, into the order of output 0, of its shape. */
rlx_status copy_prepare(kernel_call *c);

/* The kernel of a result whose axes say where they come from. */
rlx_status places_prepare(kernel_call *c, const char *name, places_of place, const void *ctx,
                          double fill);

#endif
