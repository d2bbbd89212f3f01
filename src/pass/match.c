/* pass/match.c: finds a rule's pattern in a graph and puts the replacement in its place.
 *
 * A pattern is matched by a list of goals (this term must be that value), the first of which is
 * replaced by goals for its operands; where there is a choice (operands that may be exchanged,
 * alternatives) each is tried with all goals that are left. */
#include "pass/match.h"

#include <math.h>
#include <string.h>

#include "ir/tensor.h"

enum { MAX_DEPTH = 16 }; /* of rewrites within rewrites: each takes some stack */

typedef struct goal {
  const rule_term *term;
  rlx_val value; /* nil: the root, which is no node yet */
  const struct goal *next;
} goal;

typedef struct solver {
  rule_match m;
  const rule_row *rule;
  const ir_node *root;
  uint32_t first_new; /* values from here on are the replacement's */
  rlx_val result;
} solver;

/* --- questions that rules ask */

const ir_node *match_node(const rule_match *m, const ir_hooks *op) {
  for (size_t i = 0; i < m->n_nodes; i++)
    if (m->node[i].op->hooks == op) return &m->node[i];
  return NULL;
}

bool match_number(const rlx_graph *g, rlx_val v, double *out) {
  const rlx_tensor *t = graph_constant(g, v);
  if (!t || !t->count || dtype_kind(t->dtype) > RLX_KIND_FLOAT) return false;
  *out = tensor_real(t, 0);
  for (int64_t i = 1; i < t->count; i++)
    if (tensor_real(t, i) != *out) return false;
  return true;
}

bool match_sole_use(const rule_match *m, const ir_node *n) {
  const pass_rules *r = m->g->rules;
  return n->out.id >= r->uses.n || r->uses.data[n->out.id] <= 1;
}

static bool same_number(double got, double want, rlx_dtype dtype) {
  const double digits = dtype == RLX_BF16 ? 1e-2 : dtype == RLX_F16 ? 1e-3 : 1e-5;
  return want == nearbyint(want) ? got == want : fabs(got - want) <= digits * fabs(want);
}

/* --- cost: nodes and operands; an older node that the pattern did not name costs nothing */

static bool is_matched(const solver *s, rlx_val v) {
  for (size_t i = 0; i < s->m.n_nodes; i++)
    if (s->m.node[i].out.id == v.id) return true;
  return false;
}

static bool is_open(const solver *s, rlx_val v) {
  for (size_t i = 0; i < RULE_VALUES; i++)
    if (s->m.val[i].id == v.id) return true;
  return !v.id || (v.id < s->first_new && !is_matched(s, v));
}

/* Stops where it exceeds `limit`. */
static size_t cost_of(const solver *s, rlx_val v, size_t limit) {
  const ir_node *n = graph_node_of(s->m.g, v);
  if (is_open(s, v) || n->op->traits & IR_LEAF) return 0;
  size_t cost = 1 + n->n_in;
  for (uint32_t i = 0; i < n->n_in && cost <= limit; i++)
    cost += cost_of(s, n->in[i], limit - cost);
  return cost;
}

static bool is_cheaper(const solver *s) {
  size_t before = 0;
  for (size_t i = 0; i < s->m.n_nodes; i++) before += 1 + s->m.node[i].n_in;
  return cost_of(s, s->result, before) < before;
}

/* --- replacing */

static const ir_op *op_of(const ir_hooks *hooks) {
  size_t i = 0;
  while (op_at(i)->hooks != hooks) i++; /* a term's hooks are a row's */
  return op_at(i);
}

static rlx_val make(const rule_match *m, const rule_term *t, const void *attrs) {
  if (t->kind == TERM_VALUE || t->kind == TERM_CONSTANT) return m->val[t->slot];
  if (t->kind == TERM_NUMBER) return rlx_scalar(m->g, m->type->dtype, t->number);
  rlx_val in[TERM_ARGS];
  size_t n = 0;
  for (; t->arg[n]; n++) in[n] = make(m, t->arg[n], NULL);
  return graph_add(m->g, op_of(t->op), in, n, attrs, NULL, 0);
}

static rlx_val replacement(solver *s) {
  const rule_term *to = s->rule->replace;
  _Alignas(max_align_t) char attrs[256] = {0};
  if (s->rule->build) return s->rule->build(&s->m);
  const ir_op *op = to->kind == TERM_OP ? op_of(to->op) : NULL;
  if (op && op->attrs_size) memcpy(attrs, op->defaults, op->attrs_size);
  if (s->rule->when && !s->rule->when(&s->m, attrs)) return RLX_NIL;
  return make(&s->m, to, op && op->attrs_size ? attrs : NULL);
}

/* What was added for a replacement that is refused is left dead. */
static bool replace(solver *s) {
  s->first_new = (uint32_t)s->m.g->values.n;
  s->result = replacement(s);
  return s->result.id && type_equal(&graph_value(s->m.g, s->result)->type, s->m.type) &&
         is_cheaper(s);
}

/* --- matching */

static bool solve(solver *s, const goal *g);

static bool fits(const rule_term *t, const ir_node *n) {
  size_t n_args = 0;
  while (t->arg[n_args]) n_args++;
  if (n->n_in != n_args || n->n_out != 1 || n->n_dynamic) return false;
  for (size_t i = 0; i < n_args; i++)
    if (!n->in[i].id) return false;
  return t->op ? n->op->hooks == t->op : (n->op->traits & IR_ELEMENTWISE) != 0;
}

static bool solve_op(solver *s, const goal *g) {
  const rule_term *t = g->term;
  const ir_node n = g->value.id ? *graph_node_of(s->m.g, g->value) : *s->root;
  if (!fits(t, &n) || s->m.n_nodes == RULE_NODES) return false;
  s->m.node[s->m.n_nodes++] = n;
  const bool orders = n.n_in == 2 && n.op->traits & IR_COMM;
  for (uint32_t order = 0; order <= (orders ? 1u : 0u); order++) {
    goal args[TERM_ARGS];
    const goal *rest = g->next;
    for (uint32_t i = n.n_in; i-- > 0; rest = &args[i])
      args[i] = (goal){t->arg[i], n.in[order ? 1 - i : i], rest};
    if (solve(s, rest)) return true;
  }
  s->m.n_nodes--;
  return false;
}

static bool solve_value(solver *s, const goal *g) {
  rlx_val *slot = &s->m.val[g->term->slot];
  if (slot->id) return slot->id == g->value.id && solve(s, g->next);
  if (g->term->kind == TERM_CONSTANT && !graph_constant(s->m.g, g->value)) return false;
  *slot = g->value;
  if (solve(s, g->next)) return true;
  *slot = RLX_NIL;
  return false;
}

static bool solve(solver *s, const goal *g) {
  double number;
  if (s->m.g->status != RLX_OK) return false;
  if (!g) return replace(s);
  switch (g->term->kind) {
    case TERM_OP: return solve_op(s, g);
    case TERM_VALUE:
    case TERM_CONSTANT: return solve_value(s, g);
    case TERM_NUMBER:
      return match_number(s->m.g, g->value, &number) &&
             same_number(number, g->term->number, graph_value(s->m.g, g->value)->type.dtype) &&
             solve(s, g->next);
    case TERM_EITHER:
      for (size_t i = 0; g->term->arg[i]; i++)
        if (solve(s, &(goal){g->term->arg[i], g->value, g->next})) return true;
      return false;
  }
  return false;
}

/* --- all rules */

static bool starts(const rule_term *t, const ir_hooks *op) {
  if (t->kind == TERM_OP) return !t->op || t->op == op;
  for (size_t i = 0; t->arg[i]; i++)
    if (starts(t->arg[i], op)) return true;
  return false;
}

rlx_status rules_apply(pass_rules *r, const ir_infer *c, ir_node *n) {
  if (n->op->traits & IR_LEAF || c->n_out != 1 || r->depth == MAX_DEPTH) return RLX_OK;
  ir_node root = *n;
  root.n_out = 1; /* the builder sets it when it appends */
  for (size_t i = 0; i < rule_count && !n->out.id; i++) {
    if (r->off[i] || !starts(rule_table[i].match, n->op->hooks)) continue;
    solver s = {.m = {.g = c->g, .type = &c->out[0]}, .rule = &rule_table[i], .root = &root};
    r->depth++;
    const bool found = solve(&s, &(goal){rule_table[i].match, RLX_NIL, NULL});
    r->depth--;
    RLX_TRY(rlx_graph_status(c->g));
    if (found) n->out = s.result;
    r->hits[i] += found;
  }
  return RLX_OK;
}

rlx_status rules_note_uses(pass_rules *r, rlx_val v, uint32_t uses) {
  while (r->uses.n <= v.id)
    if (!vec_push(&r->uses, 0u)) return status_memory(r->uses.n);
  r->uses.data[v.id] += uses;
  return RLX_OK;
}

uint64_t rules_hits(const pass_rules *r) {
  uint64_t sum = 0;
  for (size_t i = 0; i < rule_count; i++) sum += r->hits[i];
  return sum;
}

void rules_restart(pass_rules *r) {
  map_free(&r->seen);
  vec_free(&r->uses);
}
