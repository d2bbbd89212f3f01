/* pass/plan.c: the end of the pipeline: nodes in order, what dies after each, and segments. */
#include "pass/pass.h"

void plan_free(plan *p) {
  mem_free(p->steps);
  mem_free(p->segments);
  mem_free(p->dead);
  *p = (plan){0};
}

/* last[v]: 1 + the step after which value v is not needed; 0: never used as an operand. */
static void find_last_uses(const rlx_graph *g, const plan *p, uint32_t *last) {
  for (uint32_t s = 0; s < p->n_steps; s++) {
    const ir_node *n = &g->nodes.data[p->steps[s].node];
    for (uint32_t i = 0; i < n->n_out; i++) last[n->out.id + i] = s + 1; /* unused: dead at once */
    for (uint32_t i = 0; i < n->n_in; i++) last[n->in[i].id] = s + 1;
  }
  for (size_t i = 0; i < g->outputs.n; i++) last[g->outputs.data[i].value.id] = 0;
  last[0] = 0;
}

static void list_dead(const rlx_graph *g, plan *p, const uint32_t *last) {
  for (uint32_t v = 1; v < g->values.n; v++)
    if (last[v]) p->steps[last[v] - 1].n_dead++;
  for (uint32_t s = 0; s < p->n_steps; s++) {
    p->steps[s].first_dead = (uint32_t)p->n_dead;
    p->n_dead += p->steps[s].n_dead;
    p->steps[s].n_dead = 0;
  }
  for (uint32_t v = 1; v < g->values.n; v++) {
    if (!last[v]) continue;
    plan_step *step = &p->steps[last[v] - 1];
    p->dead[step->first_dead + step->n_dead++].id = v;
  }
}

static void cut_segments(const rlx_graph *g, plan_runner wanted, plan *p) {
  for (uint32_t s = 0; s < p->n_steps; s++) {
    const ir_hooks *h = g->nodes.data[p->steps[s].node].op->hooks;
    const plan_runner runner = h->lower ? wanted : PLAN_HOST;
    if (!p->n_segments || p->segments[p->n_segments - 1].runner != runner)
      p->segments[p->n_segments++] = (plan_segment){.runner = runner, .first = s};
    p->segments[p->n_segments - 1].n++;
  }
}

rlx_status plan_make(const rlx_graph *g, plan_runner runner, plan *out_plan) {
  plan p = {.steps = mem_new(g->nodes.n + 1, sizeof *p.steps),
            .segments = mem_new(g->nodes.n + 1, sizeof *p.segments),
            .dead = mem_new(g->values.n, sizeof *p.dead)};
  uint32_t *last = mem_new(g->values.n, sizeof *last);
  *out_plan = (plan){0};
  if (!p.steps || !p.segments || !p.dead || !last) {
    mem_free(last);
    plan_free(&p);
    return status_memory(g->values.n * sizeof *last);
  }
  for (size_t i = 0; i < g->nodes.n; i++)
    if (!(g->nodes.data[i].op->traits & IR_LEAF))
      p.steps[p.n_steps++] = (plan_step){.node = (uint32_t)i};
  find_last_uses(g, &p, last);
  list_dead(g, &p, last);
  cut_segments(g, runner, &p);
  mem_free(last);
  *out_plan = p;
  return RLX_OK;
}
