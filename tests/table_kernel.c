/* tests/table_kernel.c: the same case on its operation's own CPU kernel, or as a view: operands and
 * results in every order of memory that it accepts, on one to three threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "ops/kernel.h"
#include "ops/pack.h"
#include "ops/ref.h"
#include "ops/view.h"
#include "table.h"

enum { PLAIN, TURNED, GAPS, LAYOUTS };
static const char *const layout_names[] = {"row-major", "axes turned", "gaps and backwards"};

/* A tensor laid out with other strides. */
typedef struct laid {
  cpu_view view;
  int64_t strides[RLX_MAX_RANK];
  char *memory, *first;
} laid;

static char *memory_new(size_t bytes) {
  char *memory = aligned_alloc(64, (bytes + 64) / 64 * 64);
  if (!memory) exit(2);
  memset(memory, 0x5b, bytes);
  return memory;
}

/* The order of the axes, outermost first. */
static void axes_of(kernel_order order, int layout, const laid *like, uint32_t rank,
                    uint32_t *axes) {
  for (uint32_t i = 0; i < rank; i++) axes[i] = i;
  if (order == ORDER_LAST && rank > 2) {
    for (uint32_t i = 1; i + 1 < rank; i++) axes[i] = i + 1;
    axes[rank - 1] = 1;
  }
  if (order == ORDER_ANY && layout == TURNED)
    for (uint32_t i = 0; i < rank; i++) axes[i] = rank - 1 - i;
  if (order != ORDER_SAME || !like || like->view.rank != rank) return;
  for (uint32_t i = 1; i < rank; i++) /* as the first operand's strides say */
    for (uint32_t k = i; k > 0; k--) {
      const int64_t a = like->strides[axes[k - 1]], b = like->strides[axes[k]];
      if ((a < 0 ? -a : a) >= (b < 0 ? -b : b)) break;
      const uint32_t swap = axes[k];
      axes[k] = axes[k - 1];
      axes[k - 1] = swap;
    }
}

static void lay(laid *l, const rlx_tensor *t, kernel_order order, int layout, const laid *like) {
  uint32_t axes[RLX_MAX_RANK];
  int64_t step = 1, lowest = 0;
  const bool gaps = layout == GAPS && like == NULL;
  axes_of(order, layout, like, t->rank, axes);
  for (uint32_t i = t->rank; i-- > 0;) {
    const bool inner = i + 1 == t->rank;
    if (gaps && (order == ORDER_ANY || (order == ORDER_UNIT && !inner))) step = 2 * step + 1;
    l->strides[axes[i]] = step;
    step *= t->dims[axes[i]] ? t->dims[axes[i]] : 1;
    if (!gaps || order != ORDER_ANY || axes[i] % 2 == 0) continue;
    l->strides[axes[i]] *= -1;
    lowest += l->strides[axes[i]] * (t->dims[axes[i]] ? t->dims[axes[i]] - 1 : 0);
  }
  const int64_t width = (int64_t)dtype_bytes(t->dtype);
  l->view = (cpu_view){t->dtype, t->rank, t->dims, l->strides};
  l->memory = memory_new((size_t)(step * width));
  l->first = l->memory - lowest * width;
}

static char *element(const laid *l, const int64_t *coord) {
  int64_t at = 0;
  for (uint32_t k = 0; k < l->view.rank; k++) at += coord[k] * l->strides[k];
  return l->first + at * (int64_t)dtype_bytes(l->view.dtype);
}

/* Elements between a tensor and a layout of it. */
static void exchange(const laid *l, rlx_tensor *t, bool to_tensor) {
  int64_t coord[RLX_MAX_RANK] = {0};
  const size_t width = dtype_bytes(t->dtype);
  for (int64_t i = 0; i < t->count; i++, ref_next(t->rank, t->dims, coord)) {
    char *row = (char *)t->data + (size_t)i * width, *there = element(l, coord);
    if (to_tensor) memcpy(row, there, width);
    else memcpy(there, row, width);
  }
}

/* --- kernels */

typedef struct kernel_case {
  const table_case *c;
  const rlx_graph *g;
  const ir_node *n;
  rlx_tensor *const *values;
  const table_result *want;
} kernel_case;

static bool covered(const kernel_case *k) {
  ir_type types[TABLE_IN + TABLE_OUT];
  for (uint32_t i = 0; i < k->n->n_in; i++)
    types[i] = k->n->in[i].id ? graph_value(k->g, k->n->in[i])->type
                              : (ir_type){.dtype = RLX_DTYPE_COUNT};
  for (uint32_t i = 0; i < k->n->n_out; i++)
    types[TABLE_IN + i] = graph_value(k->g, rlx_nth(k->n->out, i))->type;
  const ir_infer c = {(rlx_graph *)(uintptr_t)k->g,
                      k->n->op,
                      (void *)(uintptr_t)k->n->attrs,
                      k->n->in,
                      types,
                      k->n->n_in,
                      types + TABLE_IN,
                      k->n->n_out};
  return kernel_covers(&c);
}

/* With views and results in place. */
static rlx_status call_kernel(kernel_call *call, const void *const *in, void *const *out) {
  RLX_TRY(call->node->op->hooks->kernel->prepare(call));
  char *scratch = call->scratch ? memory_new(call->scratch) : NULL;
  const rlx_status status = call->run(call->state, &(cpu_run){scratch, call->threads}, in, out);
  free(scratch);
  return status;
}

static void run_kernel(const kernel_case *k, int layout, uint32_t threads, bool constants,
                       table_result *got) {
  const ir_kernel *kernel = k->n->op->hooks->kernel;
  laid in[TABLE_IN] = {0}, out[TABLE_OUT] = {0};
  cpu_view views[TABLE_IN + TABLE_OUT];
  const void *from[TABLE_IN] = {0}, *constant[TABLE_IN] = {0};
  void *to[TABLE_OUT] = {0};
  bool lasting[TABLE_IN] = {false};
  arena mem = {NULL};
  kernel_packs *packs;
  table_need(packs_create(&packs));
  got->n = k->want->n;
  for (uint32_t i = 0; i < k->n->n_in; i++) {
    const uint32_t nth = i < KERNEL_ORDERS ? i : KERNEL_ORDERS - 1;
    views[i] = (cpu_view){.dtype = RLX_DTYPE_COUNT};
    if (!k->values[i]) continue;
    lay(&in[i], k->values[i], kernel->in[nth], layout, NULL);
    exchange(&in[i], k->values[i], false);
    views[i] = in[i].view;
    from[i] = in[i].first;
    if (constants && i) constant[i] = from[i];
    lasting[i] = i % 2; /* shared, and its own */
  }
  for (size_t i = 0; i < got->n; i++) {
    const rlx_tensor *t = k->want->out[i];
    table_need(rlx_tensor_create(t->dtype, t->rank, t->dims, &got->out[i]));
    lay(&out[i], t, kernel->out, layout, &in[0]);
    views[TABLE_IN + i] = out[i].view;
    to[i] = out[i].first;
  }
  kernel_call call = {.g = k->g,
                      .node = k->n,
                      .attrs = k->n->attrs,
                      .in = views,
                      .n_in = k->n->n_in,
                      .out = views + TABLE_IN,
                      .n_out = k->n->n_out,
                      .constant = constant,
                      .lasting = lasting,
                      .threads = threads,
                      .precision = RLX_F32,
                      .mem = &mem,
                      .packs = packs};
  got->status = call_kernel(&call, from, to);
  if (got->status != RLX_OK) snprintf(got->error, sizeof got->error, "%s", rlx_last_error());
  for (size_t i = 0; i < got->n; i++) exchange(&out[i], got->out[i], true);
  for (size_t i = 0; i < TABLE_IN; i++) free(in[i].memory);
  for (size_t i = 0; i < TABLE_OUT; i++) free(out[i].memory);
  arena_free(&mem);
  packs_free(packs);
}

/* --- views */

static void check_view(const kernel_case *k, int layout) {
  laid in = {0};
  lay(&in, k->values[0], ORDER_ANY, layout, NULL);
  exchange(&in, k->values[0], false);
  for (size_t i = 0; i < k->want->n; i++) {
    const rlx_tensor *t = k->want->out[i];
    laid out = {.view = {t->dtype, t->rank, t->dims, out.strides}};
    int64_t offset;
    if (!view_make(k->g, k->n, i, &in.view, out.strides, &offset)) {
      if (layout == PLAIN) table_fail(k->c, "view", "none of a row-major operand");
      continue;
    }
    table_result got = {.n = 1}, want = {.n = 1, .out = {k->want->out[i]}};
    table_need(rlx_tensor_create(t->dtype, t->rank, t->dims, &got.out[0]));
    out.first = in.first + offset * (int64_t)dtype_bytes(t->dtype);
    exchange(&out, got.out[0], true);
    result_check(k->c, layout_names[layout], &got, &want);
    result_free(&got);
  }
  free(in.memory);
}

void check_kernel(const table_case *c, const rlx_graph *g, rlx_tensor *const *values,
                  const table_result *want) {
  const kernel_case k = {c, g, case_node(g), values, want};
  int64_t results = 0; /* kernels are not asked for empty ones */
  for (size_t i = 0; i < want->n && want->status == RLX_OK; i++) results += want->out[i]->count;
  if (k.n->op->traits & IR_LEAF || want->status != RLX_OK) return;
  for (int layout = 0; layout < LAYOUTS && k.n->op->hooks->view; layout++) check_view(&k, layout);
  if (!k.n->op->hooks->kernel || !covered(&k) || results == 0) return;
  for (int i = 0; i < 3 * LAYOUTS; i++) {
    const int layout = i % LAYOUTS;
    const uint32_t threads = (uint32_t)i / LAYOUTS + 1;
    char what[80];
    snprintf(what, sizeof what, "kernel, %s, %u threads%s", layout_names[layout],
             (unsigned)threads, threads == 2 ? ", constants" : "");
    table_result got = {0};
    run_kernel(&k, layout, threads, threads == 2, &got);
    result_check(c, what, &got, want);
    result_free(&got);
  }
}
