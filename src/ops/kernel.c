/* ops/kernel.c: what kernels of operations share. */
#include "ops/kernel.h"

#include "ops/region.h"

bool kernel_covers(const ir_infer *c) {
  const ir_hooks *h = c->op->hooks;
  if (h->kernel) return !h->kernel->covers || h->kernel->covers(c);
  return h->tile && region_takes(c);
}

ir_infer kernel_ask(const rlx_graph *g, const ir_node *n, ir_type *types) {
  for (uint32_t i = 0; i < n->n_in; i++)
    types[i] = n->in[i].id ? graph_value(g, n->in[i])->type : (ir_type){.dtype = RLX_DTYPE_COUNT};
  for (uint32_t i = 0; i < n->n_out; i++)
    types[n->n_in + i] = graph_value(g, rlx_nth(n->out, i))->type;
  return (ir_infer){.g = (rlx_graph *)(uintptr_t)g,
                    .op = n->op,
                    .attrs = (void *)(uintptr_t)n->attrs,
                    .val = n->in,
                    .in = types,
                    .n_in = n->n_in,
                    .out = types + n->n_in,
                    .n_out = n->n_out};
}

void *kernel_state(kernel_call *c, size_t bytes) { return arena_new(c->mem, 1, bytes); }

int64_t view_count(const cpu_view *v) {
  int64_t n = 1;
  for (uint32_t i = 0; i < v->rank; i++) n *= v->dims[i];
  return n;
}

/* Do axes, innermost first, lie without gaps? */
static bool dense(const cpu_view *v, uint32_t (*axis)(const cpu_view *v, uint32_t i)) {
  int64_t step = 1;
  for (uint32_t i = 0; i < v->rank; i++) {
    const uint32_t a = axis(v, i);
    if (v->dims[a] != 1 && v->strides[a] != step) return false;
    step *= v->dims[a];
  }
  return true;
}

static uint32_t row_axis(const cpu_view *v, uint32_t i) { return v->rank - 1 - i; }
static uint32_t last_axis(const cpu_view *v, uint32_t i) {
  if (i == 0) return 1;
  return i == v->rank - 1 ? 0 : v->rank - i;
}

bool view_is_rows(const cpu_view *v) { return dense(v, row_axis); }
bool view_is_last(const cpu_view *v) { return v->rank > 2 && dense(v, last_axis); }
