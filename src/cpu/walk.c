/* cpu/walk.c: loops over axes, in memory order and as few as possible. */
#include "cpu/walk.h"

#include <stdlib.h>

static bool outside(const cpu_axis *a, const cpu_axis *b) {
  const int64_t x = llabs(a->x), y = llabs(b->x);
  return x != y ? x > y : llabs(a->y) > llabs(b->y);
}

void walk_of(cpu_walk *w, const cpu_axis *axes, size_t n) {
  cpu_axis sorted[RLX_MAX_RANK];
  size_t kept = 0;
  w->count = 1;
  for (size_t i = 0; i < n; i++) {
    w->count *= axes[i].n;
    if (axes[i].n == 1) continue;
    size_t at = kept++;
    for (; at > 0 && outside(&axes[i], &sorted[at - 1]); at--) sorted[at] = sorted[at - 1];
    sorted[at] = axes[i];
  }
  w->rank = 0;
  for (size_t i = 0; i < kept; i++) {
    const cpu_axis *a = &sorted[i];
    cpu_axis *last = w->rank ? &w->axis[w->rank - 1] : NULL;
    if (last && last->x == a->n * a->x && last->y == a->n * a->y)
      *last = (cpu_axis){last->n * a->n, a->x, a->y};
    else w->axis[w->rank++] = *a;
  }
}

cpu_axis walk_take(cpu_walk *w, uint32_t axis) {
  const cpu_axis taken = w->axis[axis];
  w->rank--;
  for (uint32_t i = axis; i < w->rank; i++) w->axis[i] = w->axis[i + 1];
  w->count = 1;
  for (uint32_t i = 0; i < w->rank; i++) w->count *= w->axis[i].n;
  return taken;
}

void walk_seek(const cpu_walk *w, int64_t i, cpu_place *p) {
  p->x = p->y = 0;
  for (uint32_t k = w->rank; k-- > 0;) {
    const cpu_axis *a = &w->axis[k];
    p->at[k] = i % a->n;
    i /= a->n;
    p->x += p->at[k] * a->x;
    p->y += p->at[k] * a->y;
  }
}

size_t walk_tasks(uint32_t threads, int64_t count, double ns) {
  enum { WORTH_IT_NS = 20000, LEAST_NS = 5000, PER_THREAD = 4 };
  const double total = (double)count * ns;
  if (threads < 2 || total < WORTH_IT_NS) return 1;
  int64_t n = (int64_t)threads * PER_THREAD;
  if ((double)n > total / LEAST_NS) n = (int64_t)(total / LEAST_NS);
  if (n > count) n = count;
  return (size_t)n;
}
