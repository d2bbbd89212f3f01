/* pass/group.c: nodes into steps: elementwise nodes that read each other become one region, or the
 * epilogue of the kernel whose result they start from.
 *
 * From the last node to the first, a node joins the group of its readers if they are all in one,
 * that group computes elements of the same shape, and nobody else reads it: so a group has one
 * result, and runs where its last node stands. */
#include "ops/kernel.h"
#include "ops/region.h"
#include "pass/pass.h"

enum { TILE = 1, KERNEL = 2, EPILOGUE = 4, VIEW = 8 }; /* what a node can be */
static const uint32_t NOBODY = 0,
                      MANY = UINT32_MAX; /* as readers; else 1 + the group's last node */

typedef struct group_node {
  uint8_t can;
  uint32_t last; /* the node that ends its group */
  uint32_t base; /* of a group's last node: 1 + the node whose kernel it ends; 0: none */
  uint32_t steps, operands;
} group_node;

typedef struct grouping {
  const rlx_graph *g;
  group_node *nodes;
  uint32_t *readers; /* by value */
} grouping;

/* --- what nodes can be */

static rlx_status find_abilities(grouping *gr) {
  size_t most = 0;
  for (size_t i = 0; i < gr->g->nodes.n; i++) {
    const ir_node *n = &gr->g->nodes.data[i];
    if ((size_t)n->n_in + n->n_out > most) most = (size_t)n->n_in + n->n_out;
  }
  ir_type *types = mem_new(most + 1, sizeof *types);
  if (!types) return status_memory(most * sizeof *types);
  for (size_t i = 0; i < gr->g->nodes.n; i++) {
    const ir_node *n = &gr->g->nodes.data[i];
    const ir_hooks *h = n->op->hooks;
    if (n->op->traits & IR_LEAF) continue;
    const ir_infer c = kernel_ask(gr->g, n, types);
    if (h->view) gr->nodes[i].can = VIEW;
    else if (kernel_covers(&c)) gr->nodes[i].can = h->kernel ? KERNEL : TILE;
    if (gr->nodes[i].can == KERNEL && h->kernel->epilogue) gr->nodes[i].can |= EPILOGUE;
  }
  mem_free(types);
  return RLX_OK;
}

/* --- groups */

static bool same_shape(const rlx_graph *g, rlx_val a, rlx_val b) {
  const ir_type *x = &graph_value(g, a)->type, *y = &graph_value(g, b)->type;
  return x->rank == y->rank &&
         (x->rank == 0 || memcmp(x->dims, y->dims, x->rank * sizeof *x->dims) == 0);
}

/* Can node i become part of the group of its readers? */
static bool joins(const grouping *gr, uint32_t i) {
  const ir_node *n = &gr->g->nodes.data[i];
  const uint32_t readers = gr->readers[n->out.id];
  if (n->n_out != 1 || readers == NOBODY || readers == MANY) return false;
  const group_node *group = &gr->nodes[readers - 1];
  const bool tile = gr->nodes[i].can == TILE;
  if (!(group->can & TILE) || !(tile || (gr->nodes[i].can & EPILOGUE && !group->base)))
    return false;
  return same_shape(gr->g, n->out, gr->g->nodes.data[readers - 1].out) &&
         group->steps < REGION_STEPS && group->operands + n->n_in < REGION_OPERANDS;
}

static void join(grouping *gr, uint32_t i) {
  const ir_node *n = &gr->g->nodes.data[i];
  const bool in = joins(gr, i), tile = gr->nodes[i].can == TILE;
  const uint32_t last = in ? gr->readers[n->out.id] - 1 : i;
  gr->nodes[i].last = last;
  gr->nodes[last].steps++;
  gr->nodes[last].operands += n->n_in;
  if (in && !tile) gr->nodes[last].base = i + 1;
  for (uint32_t k = 0; k < n->n_in; k++) {
    uint32_t *readers = &gr->readers[n->in[k].id];
    *readers = tile && (*readers == NOBODY || *readers == last + 1) ? last + 1 : MANY;
  }
}

/* Each node stands for itself. */
static void stand_alone(grouping *gr) {
  for (size_t i = 0; i < gr->g->nodes.n; i++) gr->nodes[i].last = (uint32_t)i;
}

static void find_groups(grouping *gr) {
  for (size_t i = 0; i < gr->g->outputs.n; i++) gr->readers[gr->g->outputs.data[i].value.id] = MANY;
  for (size_t i = gr->g->nodes.n; i-- > 0;)
    if (!(gr->g->nodes.data[i].op->traits & IR_LEAF)) join(gr, (uint32_t)i);
}

/* --- steps */

static step_kind kind_of(const group_node *n, uint32_t base) {
  if (base || n->can & KERNEL) return STEP_KERNEL;
  if (n->can & TILE) return STEP_REGION;
  return n->can & VIEW ? STEP_VIEW : STEP_NODE;
}

static void list_steps(const grouping *gr, plan *p) {
  for (size_t i = 0; i < gr->g->nodes.n; i++) {
    const group_node *n = &gr->nodes[i];
    if (gr->g->nodes.data[i].op->traits & IR_LEAF || n->last != i) continue;
    const uint32_t last = (uint32_t)i;
    p->steps[p->n_steps++] = (plan_step){
        .kind = kind_of(n, n->base), .node = n->base ? n->base - 1 : last, .last = last};
  }
}

/* Elementwise nodes in order, under the step that they end up in. */
static rlx_status list_members(const grouping *gr, plan *p) {
  uint32_t *step_of = mem_new(gr->g->nodes.n + 1, sizeof *step_of);
  if (!step_of) return status_memory(gr->g->nodes.n * sizeof *step_of);
  for (size_t s = 0; s < p->n_steps; s++) step_of[p->steps[s].last] = (uint32_t)s;
  for (int fill = 0; fill < 2; fill++) {
    uint32_t first = 0;
    for (size_t s = 0; s < p->n_steps; first += p->steps[s++].n_members)
      if (fill) p->steps[s].first_member = first;
    for (size_t s = 0; fill && s < p->n_steps; s++) p->steps[s].n_members = 0;
    for (size_t i = 0; i < gr->g->nodes.n; i++) {
      if (gr->nodes[i].can != TILE) continue;
      plan_step *s = &p->steps[step_of[gr->nodes[i].last]];
      if (fill) p->members[s->first_member + s->n_members] = (uint32_t)i;
      s->n_members++;
      p->n_members += (size_t)fill;
    }
  }
  mem_free(step_of);
  return RLX_OK;
}

rlx_status plan_group(const rlx_graph *g, bool kernels, plan *p) {
  grouping gr = {.g = g,
                 .nodes = mem_new(g->nodes.n + 1, sizeof *gr.nodes),
                 .readers = mem_new(g->values.n + 1, sizeof *gr.readers)};
  rlx_status status = gr.nodes && gr.readers ? RLX_OK : status_memory(0);
  if (status == RLX_OK && kernels) status = find_abilities(&gr);
  if (status == RLX_OK) {
    if (kernels) find_groups(&gr);
    else stand_alone(&gr);
    list_steps(&gr, p);
    status = list_members(&gr, p);
  }
  mem_free(gr.nodes);
  mem_free(gr.readers);
  return status;
}
