/* ops/region.h: nodes of elementwise operations made into tile programs (cpu/tile.h). */
#ifndef OPS_REGION_H
#define OPS_REGION_H

#include "ops/kernel.h"

/* Can a node be a step of a program? */
bool region_takes(const ir_infer *c);

/* Steps `members` (nodes of c->g in order, the last makes c->out[0]) as a program. Its operands are
 * c->in, which stand for the values `operands` (c->n_in of them); `base`: the value that an
 * epilogue finds in its accumulators; RLX_NIL: a region by itself. All views of c are those of the
 * whole step, in the order that the planner chose; operands that are smaller broadcast. The result
 * is dense in some order of its axes. */
rlx_status region_build(kernel_call *c, const uint32_t *members, size_t n, const rlx_val *operands,
                        rlx_val base, const tile_program **out_program);
/* The kernel of a region by itself. A result may be the same memory as an operand with an equal
 * view. */
rlx_status region_prepare(kernel_call *c, const tile_program *program);

enum { REGION_STEPS = 48, REGION_OPERANDS = 24 };

#endif
