/* pass/plan.c: the end of the pipeline: steps in order, what dies after each, and segments. */
#include "pass/pass.h"

void plan_free(plan *p) {
  mem_free(p->steps);
  mem_free(p->segments);
  mem_free(p->members);
  mem_free(p->dead);
  *p = (plan){0};
}

/* --- last uses */

static void mark_reads(const ir_node *n, uint32_t step, uint32_t *last) {
  for (uint32_t i = 0; i < n->n_in; i++) last[n->in[i].id] = step + 1;
}

/* last[v]: 1 + the step after which value v is not needed; 0: nobody reads it. */
static void find_last_uses(const rlx_graph *g, const plan *p, uint32_t *last) {
  for (uint32_t s = 0; s < p->n_steps; s++) {
    const plan_step *step = &p->steps[s];
    const ir_node *n = &g->nodes.data[step->last];
    for (uint32_t i = 0; i < n->n_out; i++) last[n->out.id + i] = s + 1; /* unused: dead at once */
    mark_reads(&g->nodes.data[step->node], s, last);
    for (uint32_t i = 0; i < step->n_members; i++)
      mark_reads(&g->nodes.data[p->members[step->first_member + i]], s, last);
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

/* --- segments */

/* A view runs where its operand was made; of leaves everybody can make one. */
static plan_runner runner_of(const rlx_graph *g, const plan_step *s, const plan_choice *choice,
                             const uint8_t *runners) {
  const ir_node *n = &g->nodes.data[s->node];
  const uint32_t maker = graph_value(g, n->in ? n->in[0] : n->out)->node;
  if (s->kind == STEP_NODE) return n->op->hooks->lower ? choice->runner : PLAN_HOST;
  const bool leaf = g->nodes.data[maker].op->traits & IR_LEAF;
  if (s->kind == STEP_VIEW && !leaf && runners[maker] != PLAN_DIRECT) return choice->runner;
  return PLAN_DIRECT;
}

/* runners: by node, of those that end a step. */
static void cut_segments(const rlx_graph *g, const plan_choice *choice, plan *p,
                         uint8_t *runners) {
  for (uint32_t s = 0; s < p->n_steps; s++) {
    plan_step *step = &p->steps[s];
    const plan_runner runner = runner_of(g, step, choice, runners);
    if (runner != PLAN_DIRECT) step->kind = STEP_NODE;
    runners[step->last] = (uint8_t)runner;
    const bool alone = runner == PLAN_DIRECT && choice->alone;
    if (!p->n_segments || alone || p->segments[p->n_segments - 1].runner != runner)
      p->segments[p->n_segments++] = (plan_segment){.runner = runner, .first = s};
    p->segments[p->n_segments - 1].n++;
  }
}

rlx_status plan_make(const rlx_graph *g, plan_choice choice, plan *out_plan) {
  plan p = {.steps = mem_new(g->nodes.n + 1, sizeof *p.steps),
            .segments = mem_new(g->nodes.n + 1, sizeof *p.segments),
            .members = mem_new(g->nodes.n + 1, sizeof *p.members),
            .dead = mem_new(g->values.n, sizeof *p.dead)};
  uint32_t *last = mem_new(g->values.n, sizeof *last);
  uint8_t *runners = mem_new(g->nodes.n + 1, sizeof *runners);
  *out_plan = (plan){0};
  rlx_status status = p.steps && p.segments && p.members && p.dead && last && runners
                          ? RLX_OK
                          : status_memory(g->values.n * sizeof *last);
  if (status == RLX_OK) status = plan_group(g, choice.kernels, &p);
  if (status == RLX_OK) {
    find_last_uses(g, &p, last);
    list_dead(g, &p, last);
    cut_segments(g, &choice, &p, runners);
  }
  mem_free(last);
  mem_free(runners);
  if (status != RLX_OK) plan_free(&p);
  else *out_plan = p;
  return status;
}
