/* pass/layout.c: buffers, views and copies of a direct segment. */
#include "pass/layout.h"

#include "ops/view.h"

typedef struct laying {
  const rlx_graph *g;
  const plan *p;
  const plan_segment *s;
  layout *l;
  uint32_t *of;     /* by value: its buffer; 0: none yet */
  uint8_t *escapes; /* by value: somebody outside reads what this segment makes */
  map copies;       /* buffer and order -> the copy */
} laying;

void layout_free(layout *l) {
  arena_free(&l->mem);
  vec_free(&l->buffers);
  vec_free(&l->ops);
  vec_free(&l->operands);
  vec_free(&l->in);
  vec_free(&l->out);
}

/* --- orders */

/* Strides of a dense tensor whose axes lie in this order, outermost first. */
static void dense_strides(const int64_t *dims, uint32_t rank, const uint32_t *order,
                          int64_t *strides) {
  int64_t step = 1;
  for (uint32_t i = rank; i-- > 0;) {
    strides[order[i]] = step;
    step *= dims[order[i]];
  }
}

static void order_rows(uint32_t rank, uint32_t *order) {
  for (uint32_t i = 0; i < rank; i++) order[i] = i;
}
static void order_last(uint32_t rank, uint32_t *order) {
  order_rows(rank, order);
  for (uint32_t i = 1; i + 1 < rank; i++) order[i] = i + 1;
  if (rank > 2) order[rank - 1] = 1;
}

/* Axes by stride, the widest first; false where that says nothing: gaps, broadcast or reversed. */
static bool order_of(const cpu_view *v, uint32_t *order) {
  int64_t strides[RLX_MAX_RANK];
  for (uint32_t i = 0; i < v->rank; i++) {
    uint32_t at = i;
    if (v->dims[i] != 1 && v->strides[i] <= 0) return false;
    while (at > 0 && v->dims[i] != 1 && v->dims[order[at - 1]] != 1 &&
           v->strides[order[at - 1]] < v->strides[i]) {
      order[at] = order[at - 1];
      at--;
    }
    order[at] = i;
  }
  dense_strides(v->dims, v->rank, order, strides);
  for (uint32_t i = 0; i < v->rank; i++)
    if (v->dims[i] != 1 && v->strides[i] != strides[i]) return false;
  return true;
}

static bool is_last(const cpu_view *v) { return v->rank > 2 ? view_is_last(v) : view_is_rows(v); }

static bool suits(const cpu_view *v, kernel_order wanted) {
  const uint32_t end = v->rank - 1;
  switch (wanted) {
    case ORDER_ROWS: return view_is_rows(v);
    case ORDER_LAST: return is_last(v);
    case ORDER_UNIT: return v->rank == 0 || v->dims[end] == 1 || v->strides[end] == 1;
    default: return true;
  }
}

/* The order of a dense copy or result. */
static void order_for(kernel_order wanted, const cpu_view *like, uint32_t rank, uint32_t *order) {
  if (wanted == ORDER_LAST) {
    order_last(rank, order);
    return;
  }
  if (wanted == ORDER_SAME && like && like->rank == rank) {
    if (is_last(like) && !view_is_rows(like)) {
      order_last(rank, order);
      return;
    }
    if (!view_is_rows(like) && order_of(like, order)) return;
  }
  order_rows(rank, order);
}

/* --- buffers */

static uint32_t add_buffer(laying *w, layout_buffer b, const int64_t *strides) {
  const uint32_t id = (uint32_t)w->l->buffers.n;
  b.view.strides = arena_copy(&w->l->mem, strides, (b.view.rank + 1u) * sizeof *strides);
  if (!b.view.strides || !vec_push(&w->l->buffers, b)) return 0;
  return id;
}

static cpu_view view_of_type(const ir_type *t) {
  return (cpu_view){.dtype = t->dtype, .rank = t->rank, .dims = t->dims};
}

static uint32_t add_dense(laying *w, cpu_view view, const uint32_t *order, layout_place place,
                          uint32_t index) {
  int64_t strides[RLX_MAX_RANK + 1] = {0};
  dense_strides(view.dims, view.rank, order, strides);
  return add_buffer(
      w,
      (layout_buffer){
          .view = view, .base = (uint32_t)w->l->buffers.n, .place = place, .index = index},
      strides);
}

static uint32_t add_outside(laying *w, rlx_val v, layout_place place) {
  uint32_t order[RLX_MAX_RANK];
  const cpu_view view = view_of_type(&graph_value(w->g, v)->type);
  const size_t index = place == PLACE_IN ? w->l->in.n : w->l->out.n;
  if (!(place == PLACE_IN ? vec_push(&w->l->in, v) : vec_push(&w->l->out, v))) return 0;
  order_rows(view.rank, order);
  return add_dense(w, view, order, place, (uint32_t)index);
}

static uint32_t buffer_of(laying *w, rlx_val v) {
  if (v.id && !w->of[v.id]) w->of[v.id] = add_outside(w, v, PLACE_IN);
  return w->of[v.id];
}

static const cpu_view *view_of(const laying *w, uint32_t buffer) {
  return &w->l->buffers.data[buffer].view;
}

/* --- operations */

static rlx_status add_operand(laying *w, uint32_t buffer, rlx_val v) {
  const struct layout_operand operand = {buffer, v};
  return vec_push(&w->l->operands, operand) ? RLX_OK : status_memory(sizeof operand);
}

static rlx_status add_copy(laying *w, uint32_t from, uint32_t to) {
  const layout_op op = {LAYOUT_COPY, (uint32_t)w->l->operands.n, 1, 1};
  if (!from || !to || !vec_push(&w->l->ops, op)) return status_memory(sizeof op);
  RLX_TRY(add_operand(w, from, RLX_NIL));
  return add_operand(w, to, RLX_NIL);
}

/* The buffer, or a copy of it that suits. */
static rlx_status suit(laying *w, uint32_t *buffer, kernel_order wanted) {
  uint32_t order[RLX_MAX_RANK];
  uint64_t known;
  const uint64_t key = (uint64_t)*buffer * 8 + wanted;
  const cpu_view view = *view_of(w, *buffer);
  if (*buffer == 0 || suits(&view, wanted)) return RLX_OK;
  if (!map_get_u64(&w->copies, key, &known)) {
    order_for(wanted, NULL, view.rank, order);
    known = add_dense(w, view, order, PLACE_ARENA, 0);
    RLX_TRY(add_copy(w, *buffer, (uint32_t)known));
    if (!map_put_u64(&w->copies, key, known)) return status_memory(0);
  }
  *buffer = (uint32_t)known;
  return RLX_OK;
}

/* --- views */

static rlx_status lay_view(laying *w, const plan_step *step) {
  const ir_node *n = &w->g->nodes.data[step->node];
  uint32_t from = buffer_of(w, n->in[0]);
  int64_t strides[RLX_MAX_RANK + 1] = {0}, offset = 0;
  if (!from) return status_memory(0);
  for (uint32_t i = 0; i < n->n_out; i++) {
    const rlx_val v = rlx_nth(n->out, i);
    if (!view_make(w->g, n, i, view_of(w, from), strides, &offset)) {
      RLX_TRY(suit(w, &from, ORDER_ROWS));
      if (!view_make(w->g, n, i, view_of(w, from), strides, &offset))
        return status_set(RLX_ERROR_INTERNAL, "%s is no view of dense rows", n->op->name);
    }
    const layout_buffer *b = &w->l->buffers.data[from];
    w->of[v.id] = add_buffer(w,
                             (layout_buffer){.view = view_of_type(&graph_value(w->g, v)->type),
                                             .base = b->base,
                                             .offset = b->offset + offset},
                             strides);
    if (w->escapes[v.id]) RLX_TRY(add_copy(w, w->of[v.id], add_outside(w, v, PLACE_OUT)));
  }
  return RLX_OK;
}

/* --- kernels: operands */

static kernel_order wants(const ir_kernel *k, uint32_t i) {
  return (kernel_order)k->in[i < KERNEL_ORDERS ? i : KERNEL_ORDERS - 1];
}

/* Does a member of the step, or its kernel's node, make this value? */
static bool made_inside(const laying *w, const plan_step *step, rlx_val v) {
  const uint32_t node = graph_value(w->g, v)->node;
  if (step->kind == STEP_KERNEL && node == step->node) return true;
  for (uint32_t i = 0; i < step->n_members; i++)
    if (w->p->members[step->first_member + i] == node) return true;
  return false;
}

static bool listed(const laying *w, const layout_op *op, size_t from, rlx_val v) {
  for (size_t i = op->first + from; i < w->l->operands.n; i++)
    if (w->l->operands.data[i].value.id == v.id) return true;
  return false;
}

/* What elementwise members read and do not make, each once. */
static rlx_status add_member_operands(laying *w, const plan_step *step, layout_op *op) {
  const size_t own = op->n_in;
  for (uint32_t i = 0; i < step->n_members; i++) {
    const ir_node *n = &w->g->nodes.data[w->p->members[step->first_member + i]];
    for (uint32_t k = 0; k < n->n_in; k++) {
      if (!n->in[k].id || made_inside(w, step, n->in[k]) || listed(w, op, own, n->in[k])) continue;
      const uint32_t buffer = buffer_of(w, n->in[k]);
      if (!buffer) return status_memory(0);
      RLX_TRY(add_operand(w, buffer, n->in[k]));
      op->n_in++;
    }
  }
  return RLX_OK;
}

/* Copies that it needs come first, since they are operations too. */
static rlx_status add_operands(laying *w, const plan_step *step, layout_op *op) {
  const ir_node *n = &w->g->nodes.data[step->node];
  const uint32_t own = step->kind == STEP_KERNEL ? n->n_in : 0;
  uint32_t *buffers = arena_new(&w->l->mem, own + 1u, sizeof *buffers);
  if (!buffers) return status_memory(0);
  for (uint32_t i = 0; i < own; i++) {
    buffers[i] = buffer_of(w, n->in[i]);
    if (!buffers[i] && n->in[i].id) return status_memory(0);
    RLX_TRY(suit(w, &buffers[i], wants(n->op->hooks->kernel, i)));
  }
  op->first = (uint32_t)w->l->operands.n;
  op->n_in = own;
  for (uint32_t i = 0; i < own; i++) RLX_TRY(add_operand(w, buffers[i], n->in[i]));
  return add_member_operands(w, step, op);
}

/* --- kernels: results */

/* How many readers of v take it in this order as it is. */
static uint32_t content_readers(const laying *w, rlx_val v, const cpu_view *view) {
  uint32_t content = 0;
  for (uint32_t s = w->s->first; s < w->s->first + w->s->n; s++) {
    const plan_step *step = &w->p->steps[s];
    const ir_node *n = &w->g->nodes.data[step->node];
    int64_t strides[RLX_MAX_RANK + 1], offset;
    for (uint32_t i = 0; i < n->n_in; i++) {
      if (n->in[i].id != v.id) continue;
      if (step->kind == STEP_KERNEL) content += suits(view, wants(n->op->hooks->kernel, i));
      if (step->kind != STEP_VIEW || !view_make(w->g, n, 0, view, strides, &offset)) continue;
      cpu_view seen = view_of_type(&graph_value(w->g, n->out)->type);
      seen.strides = strides;
      content += view_is_rows(&seen);
    }
  }
  return content;
}

static bool next_order(uint32_t rank, uint32_t *order) {
  uint32_t i = rank - 1, k = rank - 1;
  while (i > 0 && order[i - 1] > order[i]) i--;
  if (i == 0) return false;
  while (order[k] < order[i - 1]) k--;
  const uint32_t t = order[k];
  order[k] = order[i - 1];
  order[i - 1] = t;
  for (k = rank - 1; i < k; i++, k--) {
    const uint32_t u = order[i];
    order[i] = order[k];
    order[k] = u;
  }
  return true;
}

/* The order that suits most readers. */
static void order_for_readers(const laying *w, rlx_val v, uint32_t *best) {
  enum { TRIED_RANK = 5 };
  cpu_view view = view_of_type(&graph_value(w->g, v)->type);
  int64_t strides[RLX_MAX_RANK + 1];
  uint32_t order[RLX_MAX_RANK], most = 0;
  order_rows(view.rank, best);
  if (w->escapes[v.id] || view.rank < 2 || view.rank > TRIED_RANK) return;
  view.strides = strides;
  order_rows(view.rank, order);
  do {
    dense_strides(view.dims, view.rank, order, strides);
    const uint32_t content = content_readers(w, v, &view);
    if (content <= most) continue;
    most = content;
    memcpy(best, order, view.rank * sizeof *best);
  } while (next_order(view.rank, order));
}

/* A region computes in the order of an operand of the same shape, channels last before others. */
static void order_for_region(const laying *w, const layout_op *op, const cpu_view *result,
                             uint32_t *order) {
  uint32_t tried[RLX_MAX_RANK];
  bool found = false;
  order_rows(result->rank, order);
  for (uint32_t i = 0; i < op->n_in; i++) {
    const cpu_view *v = view_of(w, w->l->operands.data[op->first + i].buffer);
    if (v->rank != result->rank || memcmp(v->dims, result->dims, v->rank * sizeof *v->dims) != 0 ||
        !order_of(v, tried))
      continue;
    const bool last = is_last(v) && !view_is_rows(v);
    if (last) order_last(v->rank, order);
    else if (!found) memcpy(order, tried, v->rank * sizeof *order);
    if (last) return;
    found = true;
  }
}

static void order_of_result(const laying *w, const plan_step *step, const layout_op *op, rlx_val v,
                            uint32_t *order) {
  const ir_kernel *k = w->g->nodes.data[step->node].op->hooks->kernel;
  const cpu_view view = view_of_type(&graph_value(w->g, v)->type);
  if (step->kind == STEP_REGION) {
    order_for_region(w, op, &view, order);
  } else if (k->out == ORDER_ANY) {
    order_for_readers(w, v, order);
  } else {
    const uint32_t first = op->n_in ? w->l->operands.data[op->first].buffer : 0;
    order_for((kernel_order)k->out, first ? view_of(w, first) : NULL, view.rank, order);
  }
}

/* Results that go outside are written there, if their order is that of rows. */
static rlx_status add_result(laying *w, const plan_step *step, layout_op *op, rlx_val v) {
  uint32_t order[RLX_MAX_RANK];
  int64_t strides[RLX_MAX_RANK + 1];
  cpu_view view = view_of_type(&graph_value(w->g, v)->type);
  order_of_result(w, step, op, v, order);
  if (w->escapes[v.id] && step->kind == STEP_REGION) order_rows(view.rank, order);
  dense_strides(view.dims, view.rank, order, strides);
  view.strides = strides;
  const bool outside = w->escapes[v.id] && view_is_rows(&view);
  w->of[v.id] = outside ? add_outside(w, v, PLACE_OUT) : add_dense(w, view, order, PLACE_ARENA, 0);
  op->n_out++;
  return w->of[v.id] ? add_operand(w, w->of[v.id], v) : status_memory(0);
}

static rlx_status lay_kernel(laying *w, uint32_t index) {
  const plan_step *step = &w->p->steps[index];
  const ir_node *last = &w->g->nodes.data[step->last];
  layout_op op = {.step = index};
  RLX_TRY(add_operands(w, step, &op));
  for (uint32_t i = 0; i < last->n_out; i++)
    RLX_TRY(add_result(w, step, &op, rlx_nth(last->out, i)));
  if (!vec_push(&w->l->ops, op)) return status_memory(sizeof op);
  for (uint32_t i = 0; i < last->n_out; i++) {
    const rlx_val v = rlx_nth(last->out, i);
    const uint32_t buffer = w->of[v.id];
    if (w->escapes[v.id] && w->l->buffers.data[buffer].place != PLACE_OUT)
      RLX_TRY(add_copy(w, buffer, add_outside(w, v, PLACE_OUT)));
  }
  return RLX_OK;
}

/* --- the segment */

static void mark_reads(laying *w, uint32_t node, const uint8_t *made) {
  const ir_node *n = &w->g->nodes.data[node];
  for (uint32_t i = 0; i < n->n_in; i++)
    if (made[n->in[i].id]) w->escapes[n->in[i].id] = 1;
}

static rlx_status find_escapes(laying *w) {
  const uint32_t first = w->s->first, end = first + w->s->n;
  uint8_t *made = mem_new(w->g->values.n, sizeof *made);
  if (!made) return status_memory(w->g->values.n);
  for (uint32_t s = first; s < end; s++) {
    const ir_node *n = &w->g->nodes.data[w->p->steps[s].last];
    for (uint32_t i = 0; i < n->n_out; i++) made[n->out.id + i] = 1;
  }
  for (uint32_t s = end; s < w->p->n_steps; s++) {
    const plan_step *step = &w->p->steps[s];
    mark_reads(w, step->node, made);
    for (uint32_t i = 0; i < step->n_members; i++)
      mark_reads(w, w->p->members[step->first_member + i], made);
  }
  for (size_t i = 0; i < w->g->outputs.n; i++) {
    const uint32_t id = w->g->outputs.data[i].value.id;
    if (made[id]) w->escapes[id] = 1;
  }
  mem_free(made);
  return RLX_OK;
}

static rlx_status lay_steps(laying *w) {
  const layout_buffer absent = {.view = {.dtype = RLX_DTYPE_COUNT}};
  if (!w->of || !w->escapes || !vec_push(&w->l->buffers, absent)) return status_memory(0);
  RLX_TRY(find_escapes(w));
  for (uint32_t s = w->s->first; s < w->s->first + w->s->n; s++) {
    const plan_step *step = &w->p->steps[s];
    const rlx_status status = step->kind == STEP_VIEW ? lay_view(w, step) : lay_kernel(w, s);
    if (status != RLX_OK) return status;
  }
  return layout_place_buffers(w->p, w->l);
}

rlx_status layout_make(const rlx_graph *g, const plan *p, const plan_segment *s, layout *out) {
  laying w = {.g = g,
              .p = p,
              .s = s,
              .l = out,
              .of = mem_new(g->values.n + 1, sizeof *w.of),
              .escapes = mem_new(g->values.n + 1, sizeof *w.escapes)};
  *out = (layout){0};
  const rlx_status status = lay_steps(&w);
  map_free(&w.copies);
  mem_free(w.of);
  mem_free(w.escapes);
  if (status != RLX_OK) layout_free(out);
  return status;
}
