/* cpu/walk.h: nested loops over the axes of two strided buffers, and how many tasks they make. */
#ifndef CPU_WALK_H
#define CPU_WALK_H

#include <rlx/tensor.h>

#include "cpu/cpu.h"

typedef struct cpu_axis {
  int64_t n, x, y; /* the size, and the step in each buffer in elements */
} cpu_axis;

/* Outermost first. Axes that walk_of made have no size of 1, and no two of them could be one. */
typedef struct cpu_walk {
  uint32_t rank;
  int64_t count; /* of all places */
  cpu_axis axis[RLX_MAX_RANK];
} cpu_walk;

typedef struct cpu_place {
  int64_t x, y; /* elements from the first one */
  int64_t at[RLX_MAX_RANK];
} cpu_place;

/* Loops in the order in which x lies in memory. */
void walk_of(cpu_walk *w, const cpu_axis *axes, size_t n);
/* Takes an axis out. */
cpu_axis walk_take(cpu_walk *w, uint32_t axis);
/* The place of step i, which is below the count. */
void walk_seek(const cpu_walk *w, int64_t i, cpu_place *p);

static inline void walk_next(const cpu_walk *w, cpu_place *p) {
  for (uint32_t i = w->rank; i-- > 0;) {
    const cpu_axis *a = &w->axis[i];
    p->x += a->x;
    p->y += a->y;
    if (++p->at[i] < a->n) return;
    p->at[i] = 0;
    p->x -= a->n * a->x;
    p->y -= a->n * a->y;
  }
}

/* Into how many tasks `count` steps of so many nanoseconds are cut. Task i of n does those from
 * i * count / n to (i + 1) * count / n. At least 1. */
size_t walk_tasks(uint32_t threads, int64_t count, double ns);
#define WALK_BYTE_NS 0.08 /* what a byte costs that is moved from memory to memory */

#endif
