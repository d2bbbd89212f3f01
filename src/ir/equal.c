/* ir/equal.c: equality and hash of graphs. Both look at nodes in order, so two graphs are equal
 * when they were built by the same sequence of additions. */
#include <string.h>

#include "ir/graph.h"

static bool same_vals(const rlx_val *a, const rlx_val *b, size_t n) {
  return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

static bool same_type(const ir_type *a, const rlx_graph *ga, const ir_type *b,
                      const rlx_graph *gb) {
  return a->dtype == b->dtype && a->rank == b->rank &&
         type_hash(a, ga, HASH_START) == type_hash(b, gb, HASH_START);
}

static bool is_bound(const ir_node *n, size_t attr) {
  for (uint32_t i = 0; i < n->n_dynamic; i++)
    if (n->dynamic[i].attr == attr) return true;
  return false;
}

/* Fresh names that a bound attribute stands for may differ between two graphs, and the types that
 * follow from them; what they are bound to may not. */
static bool same_attrs(const ir_node *a, const rlx_graph *ga, const ir_node *b,
                       const rlx_graph *gb) {
  for (size_t i = 0; i < a->op->n_attrs; i++) {
    const ir_attr *t = &a->op->attrs[i];
    if (!is_bound(a, i) && !attr_equal(t, attr_at(t, a->attrs), ga, attr_at(t, b->attrs), gb))
      return false;
  }
  return true;
}

static bool same_node(const ir_node *a, const rlx_graph *ga, const ir_node *b,
                      const rlx_graph *gb) {
  if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out ||
      a->n_dynamic != b->n_dynamic || strcmp(a->name, b->name) != 0 ||
      !same_vals(a->in, b->in, a->n_in))
    return false;
  for (uint32_t i = 0; i < a->n_dynamic; i++)
    if (a->dynamic[i].attr != b->dynamic[i].attr ||
        a->dynamic[i].value.id != b->dynamic[i].value.id)
      return false;
  if (!same_attrs(a, ga, b, gb)) return false;
  if (!(a->op->traits & (IR_INPUT | IR_PARAM))) return true;
  return same_type(&graph_value(ga, a->out)->type, ga, &graph_value(gb, b->out)->type, gb);
}

bool rlx_graph_equal(const rlx_graph *a, const rlx_graph *b) {
  if (!a || !b) return a == b;
  if (a->nodes.n != b->nodes.n || a->outputs.n != b->outputs.n || strcmp(a->name, b->name) != 0)
    return false;
  for (size_t i = 0; i < a->outputs.n; i++)
    if (a->outputs.data[i].value.id != b->outputs.data[i].value.id ||
        strcmp(a->outputs.data[i].name, b->outputs.data[i].name) != 0)
      return false;
  for (size_t i = 0; i < a->nodes.n; i++)
    if (!same_node(&a->nodes.data[i], a, &b->nodes.data[i], b)) return false;
  return true;
}

static uint64_t hash_node(const ir_node *n, const rlx_graph *g, uint64_t h) {
  h = hash_bytes(h, n->op->name, strlen(n->op->name) + 1);
  h = hash_bytes(h, n->in, n->n_in * sizeof *n->in);
  for (uint32_t i = 0; i < n->n_dynamic; i++)
    h = hash_u64(hash_u64(h, n->dynamic[i].attr), n->dynamic[i].value.id);
  for (size_t i = 0; i < n->op->n_attrs; i++)
    if (!is_bound(n, i)) h = attr_hash(&n->op->attrs[i], attr_at(&n->op->attrs[i], n->attrs), g, h);
  return h;
}

uint64_t rlx_graph_hash(const rlx_graph *g) {
  uint64_t h = HASH_START;
  if (!g) return h;
  for (size_t i = 0; i < g->nodes.n; i++) h = hash_node(&g->nodes.data[i], g, h);
  for (size_t i = 0; i < g->outputs.n; i++) {
    h = hash_u64(h, g->outputs.data[i].value.id);
    h = hash_bytes(h, g->outputs.data[i].name, strlen(g->outputs.data[i].name) + 1);
  }
  return h;
}
