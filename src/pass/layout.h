/* pass/layout.h: where the values of a direct segment lie in memory, and what runs in which order.
 *
 * Laws: a view is an alias with strides of its own; where a kernel cannot read a value as it lies,
 * a copy is made before it, once; what comes from outside and what goes there is dense row-major;
 * two buffers share bytes of the arena only if they are never needed at the same time, or if a
 * region computes in place. */
#ifndef PASS_LAYOUT_H
#define PASS_LAYOUT_H

#include "ops/kernel.h"
#include "pass/pass.h"

typedef enum layout_place {
  PLACE_ARENA,
  PLACE_IN, /* comes from outside: an input, a param, a constant, a value of another segment */
  PLACE_OUT /* goes there */
} layout_place;

typedef struct layout_buffer {
  cpu_view view;
  uint32_t base;  /* the buffer in whose memory it lies: itself, or one that is no alias */
  int64_t offset; /* elements from the base's start */
  /* of a base */
  layout_place place;
  uint32_t index;      /* in `in` or `out` */
  size_t at;           /* bytes from the arena's start */
  uint32_t made, last; /* operations that write it first and read it last */
} layout_buffer;

/* A kernel's call: its operands and then its results are buffers, 0 being an absent operand. */
typedef struct layout_op {
  uint32_t step; /* of the plan; LAYOUT_COPY: a copy */
  uint32_t first, n_in, n_out;
} layout_op;
#define LAYOUT_COPY UINT32_MAX

typedef struct layout {
  arena mem;
  VEC(layout_buffer) buffers;
  VEC(layout_op) ops;
  VEC(struct layout_operand {
    uint32_t buffer;
    rlx_val value; /* what it holds; nil for an inserted copy's result */
  }) operands;
  VEC(rlx_val) in, out;
  size_t arena_bytes;
} layout;

rlx_status layout_make(const rlx_graph *g, const plan *p, const plan_segment *s, layout *out);
void layout_free(layout *l);
/* (memory.c) Places the buffers of the arena. */
rlx_status layout_place_buffers(const plan *p, layout *l);

#endif
