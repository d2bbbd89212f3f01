/* pass/normal.c: what happens to a node as it is added to a graph that is being prepared: it is
 * folded where its operands are constants, and expanded where MLX has no counterpart. */
#include "ops/expr.h"
#include "ops/ref.h"
#include "pass/pass.h"

/* References are slow: larger results are left to the run. */
enum { MAX_FOLDED = 1 << 22 };

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
    if (!type_sizes(&c->out[i], sizes) ||
        !tensor_size(c->out[i].dtype, c->out[i].rank, sizes, &count, &bytes) ||
        !size_add(total, count, &total))
      return false;
  }
  return total <= MAX_FOLDED;
}

rlx_status pass_fold(const ir_infer *c, const rlx_dim *content, ir_node *n) {
  if (c->op->traits & IR_LEAF) return RLX_OK;
  if (content) RLX_TRY(constant_of_content(c, content, n));
  if (n->out.id || n->n_dynamic || !c->op->hooks->ref || !worth_folding(c)) return RLX_OK;
  rlx_tensor **in = arena_new(&c->g->mem, c->n_in + 1, sizeof *in);
  rlx_tensor **out = arena_new(&c->g->mem, c->n_out + 1, sizeof *out);
  if (!in || !out) return status_memory(0);
  if (!constants(c, in)) return RLX_OK;
  RLX_TRY(ref_eval(c->op, c->attrs, in, c->n_in, out, c->n_out));
  for (size_t i = 0; i < c->n_out; i++) {
    const rlx_val v = rlx_constant(c->g, out[i]);
    if (i == 0) n->out = v;
    rlx_tensor_free(out[i]);
  }
  return rlx_graph_status(c->g);
}

rlx_status pass_legal(const ir_infer *c, const rlx_dim *content, ir_node *n) {
  RLX_TRY(pass_fold(c, content, n));
  const ir_hooks *hooks = c->op->hooks;
  if (n->out.id || hooks->lower || !hooks->expand || n->n_dynamic) return RLX_OK;
  expr_call call = {.b = c->g, .attrs = c->attrs, .in = c->val, .n_in = c->n_in};
  n->out = hooks->expand(&call);
  if (!n->out.id) {
    const rlx_status status = rlx_graph_status(c->g);
    return status != RLX_OK ? status
                            : status_set(RLX_ERROR_INTERNAL, "%s expands to nothing", c->op->name);
  }
  return RLX_OK;
}
