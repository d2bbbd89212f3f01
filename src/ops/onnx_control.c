/* ops/onnx_control.c: If, Loop and Scan.
 *
 * A sub-graph becomes a closed graph; an If whose condition is known becomes the nodes of a branch.
 * Axes of carried values that an iteration changes have no fixed size: they are found by building
 * the body until the types that go in are those that come out. */
#include "ops/onnx.h"

static rlx_status find_body(const onnx_node *n, const char *name, const struct onnx_body **out) {
  const onnx_attr *a = onnx_find(n, name);
  if (!a || a->type != ONNX_GRAPH)
    return status_set(RLX_ERROR_FORMAT, "the attribute '%s' must be a graph", name);
  *out = a->body;
  return RLX_OK;
}

static const ir_type *input_type(const rlx_graph *g, size_t i) {
  return &graph_value(g, g->inputs.data[i].value)->type;
}
static const ir_type *output_type(const rlx_graph *g, size_t i) {
  return &graph_value(g, g->outputs.data[i].value)->type;
}

/* The operands of a node with sub-graphs: its own, then what they capture. */
static rlx_status join_operands(onnx_node *n, const rlx_val *own, size_t n_own,
                                const onnx_captures *captures, rlx_val **out) {
  *out = arena_new(&n->g->mem, n_own + captures->n + 1, sizeof **out);
  if (!*out) return status_memory((n_own + captures->n) * sizeof **out);
  for (size_t i = 0; i < n_own; i++) (*out)[i] = own[i];
  for (size_t i = 0; i < captures->n; i++) (*out)[n_own + i] = captures->data[i].value;
  return RLX_OK;
}

/* --- If */

/* Do the outputs of two graphs have the same dtypes and ranks? */
static bool agree(const rlx_graph *a, const rlx_graph *b) {
  bool same = a->outputs.n == b->outputs.n;
  for (size_t i = 0; same && i < a->outputs.n; i++)
    same = output_type(a, i)->dtype == output_type(b, i)->dtype &&
           output_type(a, i)->rank == output_type(b, i)->rank;
  return same;
}

static rlx_status add_if(onnx_node *n, const struct onnx_body *then, const struct onnx_body *other,
                         onnx_captures *captures, rlx_if_attrs *a) {
  rlx_val *in = NULL;
  RLX_TRY(n->reader->close(n, then, NULL, 0, captures, &a->then_graph));
  RLX_TRY(n->reader->close(n, other, NULL, 0, captures, &a->else_graph));
  if (!agree(a->then_graph, a->else_graph)) return n->reader->split(n, then, other);
  RLX_TRY(join_operands(n, &n->in[0], 1, captures, &in));
  onnx_outputs(n, rlx_if(n->g, in, 1 + captures->n, a));
  return RLX_OK;
}

rlx_status import_if(onnx_node *n) {
  const struct onnx_body *then = NULL, *other = NULL;
  rlx_ints condition;
  RLX_TRY(find_body(n, "then_branch", &then));
  RLX_TRY(find_body(n, "else_branch", &other));
  if (!onnx_in(n, 0).id) return status_set(RLX_ERROR_FORMAT, "there is no condition");
  if (onnx_numbers(n, n->in[0], &condition) && condition.n == 1)
    return n->reader->splice(n, condition.data[0] ? then : other, NULL, 0, n->out, n->n_out);
  if (onnx_rank(n, n->in[0]) > 0) { /* exporters also write one bool with axes of size 1 */
    const rlx_val one = onnx_reshape(n, n->in[0], NULL, 0);
    n->in = arena_copy(&n->g->mem, &one, sizeof one);
    if (!n->in) return status_memory(sizeof one);
  }
  rlx_if_attrs a = rlx_if_init();
  onnx_captures captures = {0};
  const rlx_status status = add_if(n, then, other, &captures, &a);
  vec_free(&captures);
  rlx_graph_free(a.then_graph); /* the node keeps its own reference */
  rlx_graph_free(a.else_graph);
  return status;
}

/* --- bodies that run again and again */

/* The values that go from one iteration to the next. */
typedef struct carried {
  size_t first_in, first_out, n; /* among the body's inputs and outputs */
  uint64_t *loose;               /* by value: axes that have a size of their own already */
} carried;

/* Gives each axis that the body changes a size of its own. */
static rlx_status loosen(onnx_node *n, const rlx_graph *body, const carried *c, ir_type *in,
                         bool *out_changed) {
  *out_changed = false;
  for (size_t i = 0; i < c->n; i++) {
    const ir_type *was = input_type(body, c->first_in + i),
                  *is = output_type(body, c->first_out + i);
    rlx_dim *dims = arena_copy(&n->g->mem, in[c->first_in + i].dims, was->rank * sizeof *dims);
    if (!dims) return status_memory(was->rank * sizeof *dims);
    if (was->dtype != is->dtype || was->rank != is->rank) {
      char before[96], after[96];
      type_text(body, was, before, sizeof before);
      type_text(body, is, after, sizeof after);
      return status_set(RLX_ERROR_UNSUPPORTED, "carried value %zu is %s and becomes %s", i, before,
                        after);
    }
    for (uint32_t k = 0; k < was->rank; k++) {
      const uint64_t bit = (uint64_t)1 << k;
      if (was->dims[k] == is->dims[k] || c->loose[i] & bit) continue;
      dims[k] = dim_fresh(&n->g->dims);
      c->loose[i] |= bit;
      *out_changed = true;
    }
    in[c->first_in + i].dims = dims;
  }
  return RLX_OK;
}

/* A closed body whose carried values keep their types. `in`: the types of all its own inputs. */
static rlx_status close_stable(onnx_node *n, const struct onnx_body *body, ir_type *in, size_t n_in,
                               carried c, onnx_captures *captures, rlx_graph **out) {
  c.loose = arena_new(&n->g->mem, c.n + 1, sizeof *c.loose);
  if (!c.loose) return status_memory(c.n * sizeof *c.loose);
  for (bool changed = true; changed;) {
    captures->n = 0;
    rlx_graph_free(*out);
    *out = NULL;
    RLX_TRY(n->reader->close(n, body, in, n_in, captures, out));
    if ((*out)->outputs.n < c.first_out + c.n)
      return status_set(RLX_ERROR_FORMAT, "the body has %zu outputs, wanted at least %zu",
                        (*out)->outputs.n, c.first_out + c.n);
    RLX_TRY(loosen(n, *out, &c, in, &changed));
  }
  return RLX_OK;
}

/* --- Loop */

enum { LOOP_OWN = 2 /* the iteration and the condition */ };

/* Iteration, condition and carried values. */
static rlx_status loop_types(onnx_node *n, size_t n_carried, ir_type **out) {
  ir_type *t = arena_new(&n->g->mem, LOOP_OWN + n_carried, sizeof *t);
  if (!t) return status_memory(n_carried * sizeof *t);
  t[0] = (ir_type){.dtype = RLX_I64};
  t[1] = (ir_type){.dtype = RLX_BOOL};
  for (size_t i = 0; i < n_carried; i++) {
    if (!n->in[LOOP_OWN + i].id)
      return status_set(RLX_ERROR_FORMAT, "carried value %zu is not given", i);
    t[LOOP_OWN + i] = graph_value(n->g, n->in[LOOP_OWN + i])->type;
  }
  *out = t;
  return RLX_OK;
}

static rlx_status add_loop(onnx_node *n, const struct onnx_body *body, size_t n_carried,
                           onnx_captures *captures, rlx_loop_attrs *a) {
  const int64_t endless = INT64_MAX;
  ir_type *types = NULL;
  rlx_val *in = NULL;
  RLX_TRY(loop_types(n, n_carried, &types));
  const carried c = {.first_in = LOOP_OWN, .first_out = 1, .n = n_carried};
  RLX_TRY(close_stable(n, body, types, LOOP_OWN + n_carried, c, captures, &a->body));
  a->carried = (int64_t)n_carried;
  RLX_TRY(join_operands(n, n->in, LOOP_OWN + n_carried, captures, &in));
  if (!in[0].id) in[0] = onnx_vector(n, &endless, 1);
  if (!in[1].id) in[1] = rlx_scalar(n->g, RLX_BOOL, 1);
  onnx_outputs(n, rlx_loop(n->g, in, LOOP_OWN + n_carried + captures->n, a));
  return RLX_OK;
}

rlx_status import_loop(onnx_node *n) {
  const struct onnx_body *body = NULL;
  rlx_loop_attrs a = rlx_loop_init();
  onnx_captures captures = {0};
  rlx_val own[LOOP_OWN] = {onnx_in(n, 0), onnx_in(n, 1)};
  onnx_node padded = *n; /* trailing absent operands are not counted */
  if (n->n_in < LOOP_OWN) {
    padded.in = own;
    padded.n_in = LOOP_OWN;
  }
  RLX_TRY(find_body(n, "body", &body));
  const rlx_status status = add_loop(&padded, body, padded.n_in - LOOP_OWN, &captures, &a);
  vec_free(&captures);
  rlx_graph_free(a.body);
  return status;
}

/* --- Scan: a loop over slices */

typedef struct scan {
  onnx_node *n;
  const struct onnx_body *body;
  size_t n_states, n_slices;
  rlx_ints in_axes, in_reverse, out_axes, out_reverse;
  rlx_val *slices; /* what is walked over, the walked axis first */
} scan;

static int64_t entry(rlx_ints list, size_t i) { return i < list.n ? list.data[i] : 0; }

/* v with axis `from` moved to `to`. */
static rlx_val move_axis(const onnx_node *n, rlx_val v, int64_t from, int64_t to) {
  int64_t perm[RLX_MAX_RANK];
  size_t rank = onnx_rank(n, v), k = 0;
  if (from == to) return v;
  for (size_t i = 0; i < rank; i++) {
    if (k == (size_t)from) k++;
    perm[i] = (int64_t)i == to ? from : (int64_t)k++;
  }
  return onnx_transpose(n, v, perm, rank);
}

static rlx_val reversed(const onnx_node *n, rlx_val v) {
  const int64_t first = 0;
  rlx_reverse_attrs a = rlx_reverse_init();
  a.axes = (rlx_ints){&first, 1};
  return rlx_reverse(n->g, v, &a);
}

static rlx_status take_slices(scan *s) {
  s->slices = arena_new(&s->n->g->mem, s->n_slices, sizeof *s->slices);
  if (!s->slices) return status_memory(s->n_slices * sizeof *s->slices);
  for (size_t i = 0; i < s->n_slices; i++) {
    rlx_val v = onnx_in(s->n, s->n_states + i);
    int64_t axis;
    RLX_TRY(onnx_axis(entry(s->in_axes, i), onnx_rank(s->n, v), &axis));
    v = move_axis(s->n, v, axis, 0);
    s->slices[i] = entry(s->in_reverse, i) ? reversed(s->n, v) : v;
    RLX_TRY(rlx_graph_status(s->n->g));
  }
  return RLX_OK;
}

/* The types of the body's inputs: states, then slices without the walked axis. */
static rlx_status scan_types(scan *s, ir_type **out) {
  ir_type *t = arena_new(&s->n->g->mem, s->n_states + s->n_slices, sizeof *t);
  if (!t) return status_memory((s->n_states + s->n_slices) * sizeof *t);
  for (size_t i = 0; i < s->n_states; i++) {
    if (!s->n->in[i].id) return status_set(RLX_ERROR_FORMAT, "state %zu is not given", i);
    t[i] = graph_value(s->n->g, s->n->in[i])->type;
  }
  for (size_t i = 0; i < s->n_slices; i++) {
    const ir_type *whole = &graph_value(s->n->g, s->slices[i])->type;
    t[s->n_states + i] = (ir_type){whole->dtype, whole->rank - 1, whole->dims + 1};
  }
  *out = t;
  return RLX_OK;
}

/* Input i of the loop's body: what `inner` takes, but a slice comes as the whole. */
static rlx_status whole_type(const scan *s, const rlx_graph *inner, size_t i, rlx_graph *g,
                             ir_type *out) {
  RLX_TRY(graph_foreign_type(g, inner, input_type(inner, i), out));
  if (i < s->n_states || i >= s->n_states + s->n_slices) return RLX_OK;
  rlx_dim *dims = arena_new(&g->mem, out->rank + 1u, sizeof *dims);
  if (!dims) return status_memory(out->rank * sizeof *dims);
  dims[0] = rlx_dim_named(g, "scan.length");
  for (uint32_t k = 0; k < out->rank; k++) dims[1 + k] = out->dims[k];
  *out = (ir_type){out->dtype, out->rank + 1, dims};
  return RLX_OK;
}

/* The body of the loop: (i, condition, states.., whole inputs.., captures..): takes slice i of each
 * whole input and does what `inner` does. */
static rlx_status wrap(const scan *s, const rlx_graph *inner, rlx_graph *g) {
  const size_t n_in = inner->inputs.n;
  rlx_val *in = arena_new(&g->mem, n_in, sizeof *in);
  rlx_val *out = arena_new(&g->mem, inner->outputs.n, sizeof *out);
  if (!in || !out) return status_memory(n_in * sizeof *in);
  const rlx_val step = rlx_input(g, "scan.step", RLX_I64, 0, NULL);
  const rlx_val again = rlx_input(g, "scan.again", RLX_BOOL, 0, NULL);
  for (size_t i = 0; i < n_in; i++) {
    ir_type t;
    RLX_TRY(whole_type(s, inner, i, g, &t));
    in[i] = rlx_input(g, inner->inputs.data[i].name, t.dtype, t.rank, t.dims);
    if (i >= s->n_states && i < s->n_states + s->n_slices) in[i] = rlx_gather(g, in[i], step, NULL);
    RLX_TRY(rlx_graph_status(g));
  }
  RLX_TRY(graph_splice(g, inner, in, out));
  rlx_graph_output(g, "scan.again", again);
  for (size_t i = 0; i < inner->outputs.n; i++)
    rlx_graph_output(g, inner->outputs.data[i].name, out[i]);
  return rlx_graph_status(g);
}

/* Stacked outputs go to the axis and into the order that the node wants. */
static rlx_status scan_outputs(scan *s, rlx_val first) {
  onnx_node *n = s->n;
  onnx_outputs(n, first);
  for (size_t i = s->n_states; i < n->n_out && n->out[i].id; i++) {
    int64_t axis;
    if (entry(s->out_reverse, i - s->n_states)) n->out[i] = reversed(n, n->out[i]);
    RLX_TRY(onnx_axis(entry(s->out_axes, i - s->n_states), onnx_rank(n, n->out[i]), &axis));
    n->out[i] = move_axis(n, n->out[i], 0, axis);
  }
  return RLX_OK;
}

static rlx_status add_scan(scan *s, onnx_captures *captures, rlx_graph **inner, rlx_loop_attrs *a) {
  onnx_node *n = s->n;
  const size_t n_own = LOOP_OWN + s->n_states + s->n_slices;
  ir_type *types = NULL;
  rlx_val *own = arena_new(&n->g->mem, n_own, sizeof *own), *in = NULL;
  rlx_shape_of_attrs walked = rlx_shape_of_init();
  if (!own) return status_memory(n_own * sizeof *own);
  RLX_TRY(take_slices(s));
  RLX_TRY(scan_types(s, &types));
  const carried c = {.n = s->n_states};
  RLX_TRY(close_stable(n, s->body, types, s->n_states + s->n_slices, c, captures, inner));
  RLX_TRY(rlx_graph_create(rlx_graph_name(*inner), &a->body));
  RLX_TRY(wrap(s, *inner, a->body));
  a->carried = (int64_t)s->n_states;
  walked.stop = 1;
  own[0] = rlx_shape_of(n->g, s->slices[0], &walked);
  own[1] = rlx_scalar(n->g, RLX_BOOL, 1);
  for (size_t i = 0; i < s->n_states; i++) own[LOOP_OWN + i] = n->in[i];
  for (size_t i = 0; i < s->n_slices; i++) own[LOOP_OWN + s->n_states + i] = s->slices[i];
  RLX_TRY(join_operands(n, own, n_own, captures, &in));
  return scan_outputs(s, rlx_loop(n->g, in, n_own + captures->n, a));
}

rlx_status import_scan(onnx_node *n) {
  const int64_t n_slices = onnx_int(n, "num_scan_inputs", 0);
  if (n_slices < 1 || (uint64_t)n_slices > n->n_in)
    return status_set(RLX_ERROR_FORMAT, "num_scan_inputs is %lld of %zu inputs",
                      (long long)n_slices, n->n_in);
  scan s = {.n = n,
            .n_slices = (size_t)n_slices,
            .n_states = n->n_in - (size_t)n_slices,
            .in_axes = onnx_ints(n, "scan_input_axes"),
            .in_reverse = onnx_ints(n, "scan_input_directions"),
            .out_axes = onnx_ints(n, "scan_output_axes"),
            .out_reverse = onnx_ints(n, "scan_output_directions")};
  onnx_captures captures = {0};
  rlx_loop_attrs a = rlx_loop_init();
  rlx_graph *inner = NULL;
  RLX_TRY(find_body(n, "body", &s.body));
  const rlx_status status = add_scan(&s, &captures, &inner, &a);
  vec_free(&captures);
  rlx_graph_free(inner);
  rlx_graph_free(a.body);
  return status;
}
