/* tests/table_grad.c: what an operation says it is in terms of others, and its gradient, against
 * the reference: gradients in f64 by central differences. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/expr.h"
#include "ops/ref.h"
#include "table.h"

/* Adds inputs like those of the case's graph to `g`. */
static void add_inputs(rlx_graph *g, const table_case *c, rlx_val *in) {
  for (size_t i = 0; i < c->n_in; i++) {
    char name[24];
    snprintf(name, sizeof name, "x%zu", i);
    const table_operand *o = &c->in[i];
    in[i] = o->absent ? RLX_NIL : rlx_input(g, name, o->dtype, o->rank, o->dims);
  }
}

/* --- expansion */

void check_expand(const table_case *c) {
  const ir_hooks *hooks = c->op->hooks;
  rlx_graph *plain, *expanded;
  /* Without `lower` the expansion is what the other checks run. */
  if (!hooks->expand || !hooks->lower || !hooks->ref) return;
  if (case_graph(c, (table_variant){0}, &plain) != RLX_OK) return;
  const ir_node *node = case_node(plain);
  rlx_val in[TABLE_IN] = {0};
  table_need(rlx_graph_create("expanded", &expanded));
  add_inputs(expanded, c, in);
  expr_call call = {.b = expanded, .attrs = node->attrs, .in = in, .n_in = c->n_in};
  rlx_val first = hooks->expand(&call);
  if (node->n_out == 1) call.out[0] = first;
  for (uint32_t i = 0; i < node->n_out; i++) rlx_graph_output(expanded, NULL, call.out[i]);

  if (rlx_graph_status(expanded) != RLX_OK) {
    table_fail(c, "expand", "%s", rlx_graph_error(expanded));
  } else {
    rlx_tensor *values[TABLE_IN] = {0};
    case_values(c, values);
    const table_variant v = {0};
    table_result want = case_run(plain, RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT, v, values);
    table_result got = case_run(expanded, RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT, v, values);
    result_check(c, "expand", &got, &want);
    result_free(&got);
    result_free(&want);
    values_free(values, c->n_in);
  }
  rlx_graph_free(expanded);
  rlx_graph_free(plain);
}

/* --- gradient */

#define STEP 1e-6

/* The case in f64 as a graph; false if it has no floats or the operation does not take f64. */
static bool to_f64(const table_case *c, table_case *out, rlx_graph **out_graph) {
  *out = *c;
  bool any = false;
  for (size_t i = 0; i < c->n_in; i++) {
    table_operand *o = &out->in[i];
    if (o->absent || o->dtype == RLX_I32 || o->dtype == RLX_I64 || o->dtype == RLX_BOOL) continue;
    if (o->dtype != RLX_F32 && o->dtype != RLX_F64) return false;
    any = true;
    o->dtype = RLX_F64;
    if (o->literal[0]) memcpy(o->literal, "f64", 3);
  }
  return any && case_graph(out, (table_variant){0}, out_graph) == RLX_OK;
}

/* Sum of the first output times `upstream`; NaN where the reference fails. */
static double weighed(rlx_exec *value, rlx_tensor *const *in, size_t n_in, size_t n_out,
                      const rlx_tensor *upstream) {
  rlx_tensor *out[TABLE_OUT] = {0};
  double sum = 0;
  if (rlx_exec_call(value, in, n_in, out, n_out) != RLX_OK) return NAN;
  for (int64_t i = 0; i < upstream->count; i++)
    sum += tensor_real(out[0], i) * tensor_real(upstream, i);
  values_free(out, n_out);
  return sum;
}

/* Element `at` of a gradient, summed over what broadcasting repeated; 0 if none flows. */
static double summed(const rlx_tensor *gradient, const rlx_tensor *operand, int64_t at) {
  int64_t coord[RLX_MAX_RANK] = {0};
  double sum = 0;
  for (int64_t i = 0; gradient && i < gradient->count; i++) {
    if (ref_broadcast_index(operand, gradient->rank, coord) == at) sum += tensor_real(gradient, i);
    ref_next(gradient->rank, gradient->dims, coord);
  }
  return sum;
}

/* One operand against differences of the value. */
static void check_operand(const table_case *c, size_t which, rlx_exec *value, rlx_tensor **in,
                          size_t n_in, size_t n_out, const rlx_tensor *upstream,
                          const rlx_tensor *gradient) {
  rlx_tensor *x = in[which];
  const double middle = weighed(value, in, n_in, n_out, upstream);
  for (int64_t i = 0; i < x->count; i++) {
    const double v = tensor_real(x, i);
    tensor_set_real(x, i, v + STEP);
    const double above = (weighed(value, in, n_in, n_out, upstream) - middle) / STEP;
    tensor_set_real(x, i, v - STEP);
    const double below = (middle - weighed(value, in, n_in, n_out, upstream)) / STEP;
    tensor_set_real(x, i, v);
    const double want = (above + below) / 2, got = summed(gradient, x, i);
    const double scale = 1 + fabs(above) + fabs(below);
    /* Outside the domain, or at a kink. */
    if (!isfinite(want) || fabs(above - below) > 1e-3 * scale) continue;
    if (!(fabs(got - want) <= 1e-5 * scale)) {
      table_fail(c, "gradient",
                 "of operand %zu at %lld (x = %.9g): got %.9g, differences give %.9g", which,
                 (long long)i, v, got, want);
      return;
    }
  }
}

/* The graph of all gradients; its outputs are those that flow, `place` says of which operand. */
static rlx_graph *gradient_graph(const table_case *c, const ir_node *node, const ir_type *y,
                                 size_t *place) {
  rlx_graph *g;
  rlx_val in[TABLE_IN] = {0};
  char name[24];
  size_t n = 0;
  table_need(rlx_graph_create("gradient", &g));
  add_inputs(g, c, in);
  snprintf(name, sizeof name, "x%zu", c->n_in);
  expr_call call = {.b = g, .attrs = node->attrs, .in = in, .n_in = c->n_in};
  call.grad = rlx_input(g, name, y->dtype, y->rank, y->dims);
  rlx_val first = rlx_graph_add(g, c->op->name, in, c->n_in, node->attrs);
  for (uint32_t i = 0; i < 2 && i < node->n_out; i++) call.out[i] = rlx_nth(first, i);
  for (size_t i = 0; i < c->n_in; i++) {
    if (c->in[i].absent || c->in[i].dtype != RLX_F64) continue;
    rlx_val d = c->op->hooks->vjp(&call, (int)i);
    if (!d.id) continue;
    rlx_graph_output(g, NULL, d);
    place[n++] = i;
  }
  return g;
}

static void check_gradients(const table_case *c, const rlx_graph *value_graph,
                            rlx_tensor **values) {
  const ir_node *node = case_node(value_graph);
  const ir_type *y = &graph_value(value_graph, node->out)->type;
  int64_t dims[RLX_MAX_RANK];
  if (y->dtype != RLX_F64 || !type_sizes(y, dims)) return;
  rlx_tensor *upstream, *in[TABLE_IN], *gradients[TABLE_IN] = {0};
  table_need(rlx_tensor_create(RLX_F64, y->rank, dims, &upstream));
  for (int64_t i = 0; i < upstream->count; i++)
    tensor_set_real(upstream, i, 1 + 0.25 * (double)(i % 3));
  values[c->n_in] = upstream;

  size_t place[TABLE_IN], n_in = 0;
  rlx_graph *g = gradient_graph(c, node, y, place);
  const table_variant v = {0};
  table_result r = {.status = rlx_graph_status(g)};
  if (r.status != RLX_OK) snprintf(r.error, sizeof r.error, "%s", rlx_graph_error(g));
  else if (rlx_graph_output_count(g) > 0) /* else no gradient flows anywhere */
    r = case_run(g, RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT, v, values);
  for (size_t i = 0; i < r.n; i++) gradients[place[i]] = r.out[i];

  rlx_exec_options options = RLX_OPTIONS(rlx_exec_options);
  options.device = RLX_DEVICE_REFERENCE;
  rlx_exec *value = NULL;
  if (r.status != RLX_OK) {
    table_fail(c, "gradient", "%s", r.error);
  } else if (rlx_compile(value_graph, &options, &value) == RLX_OK) {
    for (size_t i = 0; i < c->n_in; i++)
      if (values[i]) in[n_in++] = values[i];
    for (size_t i = 0, k = 0; i < c->n_in; i++) {
      if (!values[i]) continue;
      if (c->in[i].dtype == RLX_F64)
        check_operand(c, k, value, in, n_in, node->n_out, upstream, gradients[i]);
      k++;
    }
  }
  rlx_exec_free(value);
  result_free(&r);
  rlx_graph_free(g);
  rlx_tensor_free(upstream);
}

void check_gradient(const table_case *c) {
  table_case wide;
  rlx_graph *g;
  const ir_hooks *hooks = c->op->hooks;
  /* With a reason beside it, `vjp` is not meant to be the derivative. */
  if (!hooks->vjp || hooks->no_grad || !hooks->ref || c->n_in >= TABLE_IN) return;
  if (!to_f64(c, &wide, &g)) return;
  rlx_tensor *values[TABLE_IN] = {0};
  case_values(&wide, values);
  check_gradients(&wide, g, values);
  values_free(values, wide.n_in);
  rlx_graph_free(g);
}
