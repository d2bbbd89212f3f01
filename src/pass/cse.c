/* pass/cse.c: equal nodes are added once: an operation on the same values with the same attributes,
 * and small constants. Everything in a graph is pure, so that is always right. */
#include "ir/tensor.h"
#include "pass/match.h"

enum { MAX_CONSTANT = 256 /* bytes of constants that are compared */ };

static bool may_share(const ir_node *n) {
  if (n->op->traits & IR_CONSTANT) {
    const rlx_tensor *t = *(rlx_tensor *const *)attr_at(&n->op->attrs[0], n->attrs);
    return t->bytes <= MAX_CONSTANT;
  }
  return !(n->op->traits & IR_LEAF) && !n->n_dynamic;
}

/* Types are compared too: a size that depends on data has its own name in each. */
static bool equal(const ir_infer *c, const ir_node *a, const ir_node *b) {
  if (a->op != b->op || a->n_in != b->n_in || b->n_out != c->n_out) return false;
  for (uint32_t i = 0; i < a->n_in; i++)
    if (a->in[i].id != b->in[i].id) return false;
  for (uint32_t i = 0; i < b->n_out; i++) {
    const ir_type *x = &c->out[i], *y = &graph_value(c->g, rlx_nth(b->out, i))->type;
    if (!type_equal(x, y)) return false;
  }
  return attrs_equal(a->op, a->attrs, c->g, b->attrs, c->g);
}

rlx_status cse_apply(pass_rules *r, const ir_infer *c, ir_node *n) {
  if (!may_share(n)) return RLX_OK;
  uint64_t h = hash_u64(HASH_START, (uint64_t)(uintptr_t)n->op), found;
  h = attrs_hash(n->op, n->attrs, c->g, hash_bytes(h, n->in, n->n_in * sizeof *n->in));
  if (map_get_u64(&r->seen, h, &found)) {
    const ir_node *other = &c->g->nodes.data[found];
    if (equal(c, n, other)) n->out = other->out;
    return RLX_OK;
  }
  return map_put_u64(&r->seen, h, c->g->nodes.n) ? RLX_OK : status_memory(sizeof h);
}
