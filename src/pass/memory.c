/* pass/memory.c: offsets in the arena: the largest buffers first, each at the lowest place that is
 * free while it is needed. */
#include <stdlib.h>

#include "pass/layout.h"

enum { ALIGNMENT = 64 };

static size_t buffer_bytes(const layout_buffer *b) {
  const size_t bytes = (size_t)view_count(&b->view) * dtype_bytes(b->view.dtype);
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static layout_buffer *base_of(const layout *l, uint32_t buffer) {
  return &l->buffers.data[l->buffers.data[buffer].base];
}

static void find_lifetimes(const layout *l) {
  for (uint32_t k = 0; k < l->ops.n; k++) {
    const layout_op *op = &l->ops.data[k];
    for (uint32_t i = 0; i < op->n_in + op->n_out; i++) {
      layout_buffer *b = base_of(l, l->operands.data[op->first + i].buffer);
      if (i >= op->n_in) b->made = k;
      b->last = k;
    }
  }
}

static bool same_view(const cpu_view *a, const cpu_view *b) {
  if (a->rank != b->rank || dtype_bytes(a->dtype) != dtype_bytes(b->dtype)) return false;
  for (uint32_t i = 0; i < a->rank; i++)
    if (a->dims[i] != b->dims[i] || (a->dims[i] != 1 && a->strides[i] != b->strides[i]))
      return false;
  return true;
}

/* Can a region write its result over this operand? Nobody may need it later, nor read it now at
 * other places. */
static bool may_overwrite(const layout *l, uint32_t k, uint32_t operand,
                          const layout_buffer *result) {
  const layout_op *op = &l->ops.data[k];
  const struct layout_operand *operands = &l->operands.data[op->first];
  const layout_buffer *b = &l->buffers.data[operands[operand].buffer];
  const layout_buffer *base = &l->buffers.data[b->base];
  if (base->place != PLACE_ARENA || base->last != k || b->offset ||
      !same_view(&b->view, &result->view))
    return false;
  for (uint32_t i = 0; i < op->n_in; i++) {
    const layout_buffer *other = &l->buffers.data[operands[i].buffer];
    if (other->base == b->base && (other->offset || !same_view(&other->view, &b->view)))
      return false;
  }
  return true;
}

static void compute_in_place(const plan *p, layout *l) {
  for (uint32_t k = 0; k < l->ops.n; k++) {
    const layout_op *op = &l->ops.data[k];
    if (op->step == LAYOUT_COPY || p->steps[op->step].kind != STEP_REGION) continue;
    const uint32_t id = l->operands.data[op->first + op->n_in].buffer;
    layout_buffer *result = &l->buffers.data[id];
    if (result->place != PLACE_ARENA || result->base != id) continue;
    for (uint32_t i = 0; i < op->n_in; i++) {
      if (!may_overwrite(l, k, i, result)) continue;
      const uint32_t base = l->buffers.data[l->operands.data[op->first + i].buffer].base;
      l->buffers.data[base].last = result->last;
      for (size_t b = 0; b < l->buffers.n; b++)
        if (l->buffers.data[b].base == id) l->buffers.data[b].base = base;
      break;
    }
  }
}

/* A buffer's bytes of the arena. */
typedef struct extent {
  uint32_t buffer;
  size_t at, bytes;
} extent;

static int by_size(const void *a, const void *b) {
  const extent *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
  return x->buffer < y->buffer ? -1 : 1;
}

static int by_place(const void *a, const void *b) {
  const extent *x = a, *y = b;
  return (x->at > y->at) - (x->at < y->at);
}

/* The lowest offset where buffer `n` fits beside those placed before that live at the same time.
 * `taken`: room for them. */
static size_t free_place(const layout *l, const extent *list, size_t n, extent *taken) {
  const layout_buffer *b = &l->buffers.data[list[n].buffer];
  size_t count = 0, at = 0;
  for (size_t i = 0; i < n; i++) {
    const layout_buffer *other = &l->buffers.data[list[i].buffer];
    if (other->last < b->made || b->last < other->made) continue;
    taken[count++] = list[i];
  }
  qsort(taken, count, sizeof *taken, by_place);
  for (size_t i = 0; i < count; i++) {
    if (taken[i].at >= at + list[n].bytes) break;
    const size_t end = taken[i].at + taken[i].bytes;
    if (end > at) at = end;
  }
  return at;
}

rlx_status layout_place_buffers(const plan *p, layout *l) {
  find_lifetimes(l);
  compute_in_place(p, l);
  extent *list = mem_new(l->buffers.n + 1, sizeof *list);
  extent *taken = mem_new(l->buffers.n + 1, sizeof *taken);
  size_t n = 0;
  for (uint32_t i = 1; list && taken && i < l->buffers.n; i++) {
    const layout_buffer *b = &l->buffers.data[i];
    if (b->base == i && b->place == PLACE_ARENA) list[n++] = (extent){i, 0, buffer_bytes(b)};
  }
  if (list && taken && n) qsort(list, n, sizeof *list, by_size);
  for (size_t i = 0; i < n; i++) {
    const size_t at = list[i].at = free_place(l, list, i, taken);
    l->buffers.data[list[i].buffer].at = at;
    if (at + list[i].bytes > l->arena_bytes) l->arena_bytes = at + list[i].bytes;
  }
  const rlx_status status = list && taken ? RLX_OK : status_memory(l->buffers.n * sizeof *list);
  mem_free(list);
  mem_free(taken);
  return status;
}
