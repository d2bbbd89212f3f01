/* ops/control.c: operations that run sub-graphs: if, loop.
 *
 * A sub-graph is closed: it takes operands of the node as its inputs, in order, and as many as it
 * has. Its sizes are its own: those named by its inputs' types are the operands' sizes. */
#include "ops/block.h"

/* --- shared rules */

static rlx_status control_single(ir_infer *c, size_t i, const char *what, rlx_dtype dtype) {
  const ir_type *t = &c->in[i];
  if (t->dtype == dtype && (t->rank == 0 || (t->rank == 1 && !infer_differ(t->dims[0], 1))))
    return RLX_OK;
  char got[96];
  type_text(c->g, t, got, sizeof got);
  return infer_fail(c, RLX_ERROR_DTYPE, "%s (operand %zu) must be one %s, got %s", what, i,
                    dtype == RLX_BOOL ? "bool" : "i64", got);
}

/* Do these types fit the inputs of a sub-graph, which may have fewer? */
static rlx_status control_fits(ir_infer *c, const char *what, const rlx_graph *sub,
                               const ir_type *in, size_t n) {
  if (sub->inputs.n > n)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%s has %zu inputs, there are %zu operands for it",
                      what, sub->inputs.n, n);
  if (sub->outputs.n == 0) return infer_fail(c, RLX_ERROR_ARGUMENT, "%s has no outputs", what);
  for (size_t i = 0; i < sub->inputs.n; i++) {
    const ir_type *inner = &graph_value(sub, sub->inputs.data[i].value)->type;
    bool fits = inner->dtype == in[i].dtype && inner->rank == in[i].rank;
    for (uint32_t k = 0; fits && k < inner->rank; k++)
      fits = !infer_differ(inner->dims[k], in[i].dims[k]);
    if (fits) continue;
    char wanted[96], got[96];
    type_text(sub, inner, wanted, sizeof wanted);
    type_text(c->g, &in[i], got, sizeof got);
    return infer_fail(c, RLX_ERROR_SHAPE, "%s: input '%s' is %s, its operand %s", what,
                      sub->inputs.data[i].name, wanted, got);
  }
  return RLX_OK;
}

static const ir_type *result_of(const rlx_graph *sub, size_t i) {
  return &graph_value(sub, sub->outputs.data[i].value)->type;
}

/* The type of an output of a sub-graph in the graph around it, with `lead` axes put before. */
static rlx_status control_type(ir_infer *c, graph_sizes *s, const ir_type *inner, uint32_t lead,
                               ir_type *out) {
  rlx_dim *dims = infer_dims(c, inner->rank + lead);
  if (!dims) return status_memory(inner->rank * sizeof *dims);
  for (uint32_t k = 0; k < lead; k++) dims[k] = dim_fresh(&c->g->dims);
  for (uint32_t k = 0; k < inner->rank; k++) dims[lead + k] = graph_sizes_of(s, inner->dims[k]);
  *out = (ir_type){inner->dtype, inner->rank + lead, dims};
  return RLX_OK;
}

/* --- if */

static rlx_status if_outputs(ir_infer *c, graph_sizes *then, graph_sizes *other) {
  RLX_TRY(graph_sizes_learn(then, c->in + 1, c->n_in - 1));
  RLX_TRY(graph_sizes_learn(other, c->in + 1, c->n_in - 1));
  c->n_out = then->sub->outputs.n;
  for (size_t i = 0; i < c->n_out; i++) {
    ir_type a, b;
    RLX_TRY(control_type(c, then, result_of(then->sub, i), 0, &a));
    RLX_TRY(control_type(c, other, result_of(other->sub, i), 0, &b));
    if (a.dtype != b.dtype || a.rank != b.rank) {
      char x[96], y[96];
      type_text(c->g, &a, x, sizeof x);
      type_text(c->g, &b, y, sizeof y);
      return infer_fail(
          c, RLX_ERROR_UNSUPPORTED,
          "output %zu is %s in one branch and %s in the other: dtype and rank must not "
          "depend on the condition",
          i, x, y);
    }
    rlx_dim *dims = infer_dims(c, a.rank);
    if (!dims) return status_memory(a.rank * sizeof *dims);
    for (uint32_t k = 0; k < a.rank; k++)
      dims[k] = a.dims[k] == b.dims[k] ? a.dims[k] : dim_fresh(&c->g->dims);
    c->out[i] = (ir_type){a.dtype, a.rank, dims};
  }
  return RLX_OK;
}

static rlx_status if_infer(ir_infer *c) {
  const rlx_if_attrs *a = ATTRS(if);
  RLX_TRY(control_single(c, 0, "the condition", RLX_BOOL));
  RLX_TRY(control_fits(c, "then_graph", a->then_graph, c->in + 1, c->n_in - 1));
  RLX_TRY(control_fits(c, "else_graph", a->else_graph, c->in + 1, c->n_in - 1));
  const size_t n = a->then_graph->outputs.n;
  if (n != a->else_graph->outputs.n || n > INFER_MAX_OUT)
    return infer_fail(c, RLX_ERROR_ARGUMENT,
                      "the branches have %zu and %zu outputs, wanted as many, at most %d", n,
                      a->else_graph->outputs.n, INFER_MAX_OUT);
  graph_sizes then = {.g = c->g, .sub = a->then_graph}, other = {.g = c->g, .sub = a->else_graph};
  const rlx_status status = if_outputs(c, &then, &other);
  map_free(&then.names);
  map_free(&other.names);
  return status;
}

/* Operand i as a number. */
static rlx_status control_number(const control_call *c, size_t i, int64_t *out) {
  if (c->in[i]->count != 1)
    return status_set(RLX_ERROR_SHAPE, "operand %zu has %lld elements, wanted one", i,
                      (long long)c->in[i]->count);
  *out = tensor_int(c->in[i], 0);
  return RLX_OK;
}

static rlx_status if_control(control_call *c) {
  const rlx_if_attrs *a = c->attrs;
  int64_t condition = 0;
  RLX_TRY(control_number(c, 0, &condition));
  const rlx_graph *branch = condition ? a->then_graph : a->else_graph;
  return c->run(c->ctx, branch, c->in + 1, c->out, c->n_out);
}

/* A known condition: the nodes of one branch. */
static rlx_val if_expand(expr_call *c) {
  const rlx_if_attrs *a = c->attrs;
  const rlx_tensor *condition = graph_constant(c->b, c->in[0]);
  rlx_val out[INFER_MAX_OUT];
  if (!condition || condition->count != 1) return RLX_NIL;
  const rlx_graph *branch = tensor_int(condition, 0) ? a->then_graph : a->else_graph;
  const rlx_status status = graph_splice(c->b, branch, c->in + 1, out);
  if (status == RLX_OK) return graph_alias(c->b, out, branch->outputs.n);
  graph_fail(c->b, status);
  return RLX_NIL;
}

#define RUNS_GRAPHS .no_ref = "it runs sub-graphs", .no_grad = NO_GRAD_YET
RLX_BLOCK(if) = {.infer = if_infer, .control = if_control, .expand = if_expand, RUNS_GRAPHS};

/* --- refuse */

static rlx_status refuse_infer(ir_infer *c) {
  rlx_dim *dims;
  const int64_t rank = ATTRS(refuse)->rank;
  if (rank < 0 || rank > RLX_MAX_RANK)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "rank %lld", (long long)rank);
  return infer_result(c, ATTRS(refuse)->dtype, (size_t)rank, &dims);
}

static rlx_status refuse_control(control_call *c) {
  return status_set(RLX_ERROR_UNSUPPORTED, "%s", ((const rlx_refuse_attrs *)c->attrs)->why);
}

RLX_BLOCK(refuse) = {.infer = refuse_infer,
                     .control = refuse_control,
                     .no_ref = "it has no result",
                     .no_grad = "it has no result"};

/* --- loop: body(iteration, condition, carried.., captured..) -> condition, carried.., stacked.. */

enum { LOOP_FIRST = 2 /* of the operands and of the body's inputs: the first carried value */ };

static bool invariant(const rlx_graph *body, size_t i, uint32_t axis) {
  const ir_type *in = &graph_value(body, body->inputs.data[LOOP_FIRST + i].value)->type;
  const ir_type *out = result_of(body, 1 + i);
  return axis < in->rank && axis < out->rank && in->dims[axis] == out->dims[axis];
}

/* The types of all iterations: where an axis of a carried value may change, its size is fresh. */
static rlx_status loop_operands(ir_infer *c, const rlx_graph *body, size_t carried,
                                ir_type *types) {
  types[0] = (ir_type){RLX_I64, 0, NULL};
  types[1] = (ir_type){RLX_BOOL, 0, NULL};
  for (size_t i = LOOP_FIRST; i < c->n_in; i++) {
    types[i] = c->in[i];
    if (i >= LOOP_FIRST + carried) continue;
    rlx_dim *dims = infer_dims(c, types[i].rank);
    if (!dims) return status_memory(types[i].rank * sizeof *dims);
    for (uint32_t k = 0; k < types[i].rank; k++)
      dims[k] = invariant(body, i - LOOP_FIRST, k) ? types[i].dims[k] : dim_fresh(&c->g->dims);
    types[i].dims = dims;
  }
  return RLX_OK;
}

static rlx_status loop_outputs(ir_infer *c, graph_sizes *s, size_t carried, const ir_type *types) {
  RLX_TRY(graph_sizes_learn(s, types, c->n_in));
  c->n_out = s->sub->outputs.n - 1;
  for (size_t i = 0; i < c->n_out; i++) {
    const ir_type *inner = result_of(s->sub, 1 + i);
    if (i < carried) c->out[i] = types[LOOP_FIRST + i];
    else RLX_TRY(control_type(c, s, inner, 1, &c->out[i]));
    if (i < carried && (inner->dtype != c->out[i].dtype || inner->rank != c->out[i].rank)) {
      char was[96], is[96];
      type_text(c->g, &c->out[i], was, sizeof was);
      type_text(s->sub, inner, is, sizeof is);
      return infer_fail(c, RLX_ERROR_UNSUPPORTED,
                        "carried value %zu is %s and becomes %s: dtype and rank must stay", i, was,
                        is);
    }
  }
  return RLX_OK;
}

static rlx_status loop_infer(ir_infer *c) {
  const rlx_graph *body = ATTRS(loop)->body;
  const int64_t carried = ATTRS(loop)->carried;
  if (c->n_in < LOOP_FIRST || carried < 0 || (uint64_t)carried > c->n_in - LOOP_FIRST)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%zu operands, wanted 2 and %lld carried values",
                      c->n_in, (long long)carried);
  RLX_TRY(control_single(c, 0, "the number of iterations", RLX_I64));
  RLX_TRY(control_single(c, 1, "the condition", RLX_BOOL));
  ir_type *types = arena_new(&c->g->mem, c->n_in, sizeof *types);
  if (!types) return status_memory(c->n_in * sizeof *types);
  if (body->outputs.n < 1 + (size_t)carried || body->outputs.n > INFER_MAX_OUT ||
      body->inputs.n < LOOP_FIRST + (size_t)carried)
    return infer_fail(c, RLX_ERROR_ARGUMENT,
                      "the body has %zu inputs and %zu outputs, wanted at least %lld and %lld",
                      body->inputs.n, body->outputs.n, (long long)carried + LOOP_FIRST,
                      (long long)carried + 1);
  const ir_type *again = result_of(body, 0);
  if (again->dtype != RLX_BOOL || again->rank > 1)
    return infer_fail(c, RLX_ERROR_DTYPE,
                      "the body's first output, the condition, must be one bool");
  RLX_TRY(loop_operands(c, body, (size_t)carried, types));
  RLX_TRY(control_fits(c, "the body", body, types, c->n_in));
  graph_sizes sizes = {.g = c->g, .sub = body};
  const rlx_status status = loop_outputs(c, &sizes, (size_t)carried, types);
  map_free(&sizes.names);
  return status;
}

typedef VEC(rlx_tensor *) tensor_list;

typedef struct looping {
  control_call *call;
  const rlx_graph *body;
  size_t carried;
  rlx_tensor **in, **out; /* of the body; references */
  tensor_list *stacks;    /* one for each stacked output */
} looping;

static void release(rlx_tensor **list, size_t n) {
  for (size_t i = 0; i < n; i++) {
    rlx_tensor_free(list[i]);
    list[i] = NULL;
  }
}

static rlx_status single(rlx_dtype dtype, int64_t value, rlx_tensor **out) {
  RLX_TRY(rlx_tensor_create(dtype, 0, NULL, out));
  tensor_set_int(*out, 0, value);
  return RLX_OK;
}

/* What an iteration gave: the carried values go on, the others are stacked. */
static rlx_status advance(looping *l, bool *out_again) {
  if (l->out[0]->count != 1)
    return status_set(RLX_ERROR_SHAPE, "the condition has %lld elements, wanted one",
                      (long long)l->out[0]->count);
  *out_again = tensor_int(l->out[0], 0) != 0;
  for (size_t i = 0; i < l->carried; i++) {
    rlx_tensor_free(l->in[LOOP_FIRST + i]);
    l->in[LOOP_FIRST + i] = l->out[1 + i];
    l->out[1 + i] = NULL;
  }
  for (size_t i = 1 + l->carried; i < l->body->outputs.n; i++) {
    if (!vec_push(&l->stacks[i - 1 - l->carried], l->out[i])) return status_memory(0);
    l->out[i] = NULL;
  }
  return RLX_OK;
}

static rlx_status iterate(looping *l) {
  int64_t trips = 0, start = 0;
  RLX_TRY(control_number(l->call, 0, &trips));
  RLX_TRY(control_number(l->call, 1, &start));
  bool again = start != 0;
  rlx_status status = RLX_OK;
  for (int64_t i = 0; i < trips && again && status == RLX_OK; i++) {
    release(l->in, LOOP_FIRST);
    RLX_TRY(single(RLX_I64, i, &l->in[0]));
    RLX_TRY(single(RLX_BOOL, 1, &l->in[1]));
    status = l->call->run(l->call->ctx, l->body, l->in, l->out, l->body->outputs.n);
    if (status == RLX_OK) status = advance(l, &again);
    else status = status_at(status, "iteration %lld", (long long)i);
    release(l->out, l->body->outputs.n);
  }
  return status;
}

/* Without an iteration the sizes that the body does not fix are 0. */
static rlx_status stack(const tensor_list *items, const ir_type *type, rlx_tensor **out) {
  int64_t dims[RLX_MAX_RANK] = {(int64_t)items->n};
  const rlx_tensor *first = items->n ? items->data[0] : NULL;
  if (type->rank + 1 > RLX_MAX_RANK)
    return status_set(RLX_ERROR_LIMIT, "stacked values of rank %u", type->rank);
  for (uint32_t k = 0; k < type->rank; k++)
    dims[k + 1] = first ? first->dims[k] : dim_known(type->dims[k]) ? type->dims[k] : 0;
  RLX_TRY(rlx_tensor_create(type->dtype, type->rank + 1, dims, out));
  for (size_t i = 0; i < items->n; i++) {
    const rlx_tensor *t = items->data[i];
    if (memcmp(t->dims, dims + 1, type->rank * sizeof *dims) != 0)
      return status_set(RLX_ERROR_SHAPE, "values of different shapes are stacked: iteration %zu",
                        i);
    if (t->bytes) memcpy((char *)(*out)->data + i * t->bytes, t->data, t->bytes);
  }
  return RLX_OK;
}

static rlx_status loop_results(looping *l) {
  control_call *c = l->call;
  for (size_t i = 0; i < c->n_out; i++) {
    if (i < l->carried) c->out[i] = rlx_tensor_retain(l->in[LOOP_FIRST + i]);
    else RLX_TRY(stack(&l->stacks[i - l->carried], result_of(l->body, 1 + i), &c->out[i]));
  }
  return RLX_OK;
}

static rlx_status loop_control(control_call *c) {
  looping l = {.call = c, .body = ((const rlx_loop_attrs *)c->attrs)->body};
  const size_t n_stacks = l.body->outputs.n;
  l.carried = (size_t)((const rlx_loop_attrs *)c->attrs)->carried;
  l.in = mem_new(c->n_in, sizeof *l.in);
  l.out = mem_new(n_stacks, sizeof *l.out);
  l.stacks = mem_new(n_stacks, sizeof *l.stacks);
  rlx_status status =
      l.in && l.out && l.stacks ? RLX_OK : status_memory(n_stacks * sizeof *l.stacks);
  if (status == RLX_OK) {
    for (size_t i = LOOP_FIRST; i < c->n_in; i++) l.in[i] = rlx_tensor_retain(c->in[i]);
    status = iterate(&l);
  }
  if (status == RLX_OK) status = loop_results(&l);
  if (l.in) release(l.in, c->n_in);
  for (size_t i = 0; l.stacks && i < n_stacks; i++) {
    release(l.stacks[i].data, l.stacks[i].n);
    vec_free(&l.stacks[i]);
  }
  mem_free(l.in);
  mem_free(l.out);
  mem_free(l.stacks);
  return status;
}

RLX_BLOCK(loop) = {.infer = loop_infer, .control = loop_control, RUNS_GRAPHS};
#undef RUNS_GRAPHS
