/* pass/normal.c: what happens to a node as it is added to a graph that is being prepared: it is
 * folded where its operands are constants, and expanded where MLX has no counterpart. */
#include "base/span.h"
#include "ops/expr.h"
#include "ops/kernel.h"
#include "ops/ref.h"
#include "pass/pass.h"

static rlx_status constant_of_content(const ir_infer *c, const rlx_dim *content, ir_node *n) {
  int64_t sizes[RLX_MAX_RANK];
  rlx_tensor *t;
  if (!type_sizes(&c->out[0], sizes)) return RLX_OK;
  RLX_TRY(rlx_tensor_create(c->out[0].dtype, c->out[0].rank, sizes, &t));
  bool known = true;
  for (int64_t i = 0; i < t->count && known; i++) {
    known = dim_known(content[i]);
    tensor_set_int(t, i, content[i]);
  }
  if (known) n->out = rlx_constant(c->g, t);
  rlx_tensor_free(t);
  return known && !n->out.id ? rlx_graph_status(c->g) : RLX_OK;
}

/* The operands as tensors; false if one of them is no constant. */
static bool constants(const ir_infer *c, rlx_tensor **out) {
  for (size_t i = 0; i < c->n_in; i++)
    if (c->val[i].id && !(out[i] = graph_constant(c->g, c->val[i]))) return false;
  return true;
}

static bool worth_folding(const ir_infer *c) {
  int64_t total = 0;
  for (size_t i = 0; i < c->n_out; i++) {
    int64_t sizes[RLX_MAX_RANK], count;
    size_t bytes;
    const bool sized = type_sizes(&c->out[i], sizes);
    if (!sized && c->op->traits & IR_DATA) continue; /* at most as large as what the operands say */
    if (!sized || !tensor_size(c->out[i].dtype, c->out[i].rank, sizes, &count, &bytes) ||
        !size_add(total, count, &total))
      return false;
  }
  return total <= FOLDED_MAX;
}

/* Where a condition is known, the nodes of the branch take the node's place. */
static rlx_status inline_branch(const ir_infer *c, ir_node *n) {
  if (!c->op->hooks->expand) return RLX_OK;
  expr_call call = {.b = c->g, .attrs = c->attrs, .in = c->val, .n_in = c->n_in};
  n->out = c->op->hooks->expand(&call);
  return rlx_graph_status(c->g);
}

rlx_status pass_fold(const ir_infer *c, const rlx_dim *content, ir_node *n) {
  if (c->op->traits & IR_LEAF) return RLX_OK;
  if (c->op->traits & IR_CONTROL) return inline_branch(c, n);
  if (content) RLX_TRY(constant_of_content(c, content, n));
  if (n->out.id || n->n_dynamic || !c->op->hooks->ref || !worth_folding(c)) return RLX_OK;
  rlx_tensor **in = arena_new(&c->g->mem, c->n_in + 1, sizeof *in);
  rlx_tensor **out = arena_new(&c->g->mem, c->n_out + 1, sizeof *out);
  rlx_val *vals = arena_new(&c->g->mem, c->n_out + 1, sizeof *vals);
  if (!in || !out || !vals) return status_memory(0);
  if (!constants(c, in)) return RLX_OK;
  RLX_TRY(ref_eval(c->op, c->attrs, in, c->n_in, out, c->n_out));
  for (size_t i = 0; i < c->n_out; i++) {
    vals[i] = rlx_constant(c->g, out[i]); /* equal ones are one node */
    rlx_tensor_free(out[i]);
  }
  n->out = graph_alias(c->g, vals, c->n_out);
  return rlx_graph_status(c->g);
}

rlx_status pass_legal(const ir_infer *c, const rlx_dim *content, ir_node *n) {
  RLX_TRY(pass_fold(c, content, n));
  const ir_hooks *hooks = c->op->hooks;
  const bool lowers = hooks->lower && (!hooks->lowers || hooks->lowers(c));
  if (n->out.id || lowers || !hooks->expand || n->n_dynamic) return RLX_OK;
  expr_call call = {.b = c->g, .attrs = c->attrs, .in = c->val, .n_in = c->n_in};
  n->out = hooks->expand(&call);
  if (!n->out.id) {
    const rlx_status status = rlx_graph_status(c->g);
    return status != RLX_OK ? status
                            : status_set(RLX_ERROR_INTERNAL, "%s expands to nothing", c->op->name);
  }
  return RLX_OK;
}

rlx_status pass_kernels(const ir_infer *c, const rlx_dim *content, ir_node *n) {
  RLX_TRY(pass_fold(c, content, n));
  if (n->out.id || kernel_covers(c)) return RLX_OK;
  return pass_legal(c, NULL, n);
}

static rlx_status normal(const ir_infer *c, const rlx_dim *content, ir_node *n) {
  RLX_TRY(pass_fold(c, content, n));
  if (!n->out.id) RLX_TRY(rules_apply(c->g->rules, c, n));
  return n->out.id ? RLX_OK : cse_apply(c->g->rules, c, n);
}

/* A round leaves dead what it replaces, so the last one is one without hits (or without rules). */
rlx_status pass_optimise(const rlx_graph *src, pass_rules *rules, rlx_graph **out_graph) {
  enum { MAX_ROUNDS = 8 };
  rlx_graph *last = NULL;
  for (int i = 0;; i++) {
    const uint64_t before = rules_hits(rules);
    const bool with = i < MAX_ROUNDS;
    const uint64_t begin = span_begin();
    const rlx_status status = pass_rebuild(last ? last : src, with ? normal : pass_fold,
                                           with ? rules : NULL, out_graph);
    span_end(begin, "compile", "rewrite", src->name);
    rules_restart(rules);
    rlx_graph_free(last);
    last = *out_graph;
    if (status != RLX_OK || (i > 0 && rules_hits(rules) == before)) return status;
  }
}
