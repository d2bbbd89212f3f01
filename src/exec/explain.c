/* exec/explain.c: reports on an executable: rules and steps. */
#include <rlx/explain.h>

#include "exec/exec.h"
#include "ops/kernel.h"

/* --- rules */

static uint64_t hits_of(const rlx_exec *e, size_t index) {
  uint64_t hits = e->rules.hits[index];
  for (size_t i = 0; i < e->subs.n; i++) hits += hits_of(e->subs.data[i], index);
  return hits;
}

bool rlx_exec_rule(const rlx_exec *e, size_t index, rlx_rule_info *out) {
  if (index >= rule_count) return false;
  const rule_row *r = &rule_table[index];
  if (out)
    *out = (rlx_rule_info){
        .name = r->name,
        .pattern = r->pattern,
        .inexact = r->inexact,
        .off = e && (e->rules.off[index] || e->device == RLX_DEVICE_REFERENCE),
        .hits = e ? hits_of(e, index) : 0,
    };
  return true;
}

/* --- steps */

static bool has_kernel(const rlx_graph *g, const ir_node *n) {
  ir_type *types = mem_new((size_t)n->n_in + n->n_out, sizeof *types);
  if (!types) return false;
  const ir_infer c = kernel_ask(g, n, types);
  const bool has = kernel_covers(&c);
  mem_free(types);
  return has;
}

static rlx_how how_of(const rlx_exec *e, size_t node) {
  const ir_node *n = &e->graph->nodes.data[node];
  const ir_hooks *h = n->op->hooks;
  if (rlx_node_graph(e->graph, node, 0, NULL)) return RLX_HOW_CONTROL;
  if (e->device == RLX_DEVICE_REFERENCE || n->op->traits & IR_CUT) return RLX_HOW_HOST;
  if (exec_choice(e).kernels) {
    if (h->view) return RLX_HOW_VIEW;
    if (has_kernel(e->graph, n)) return h->kernel ? RLX_HOW_KERNEL : RLX_HOW_REGION;
  }
  if (h->lower) return h->fast && e->device == RLX_DEVICE_GPU ? RLX_HOW_FAST : RLX_HOW_MLX;
  return h->expand ? RLX_HOW_EXPANDED : RLX_HOW_HOST;
}

static plan_runner runner_of(const rlx_exec *e, rlx_how how) {
  if (how == RLX_HOW_HOST || how == RLX_HOW_CONTROL) return PLAN_HOST;
  const plan_choice choice = exec_choice(e);
  if (choice.kernels && how == RLX_HOW_EXPANDED) return PLAN_DIRECT; /* what most are made of */
  return how >= RLX_HOW_KERNEL ? PLAN_DIRECT : choice.runner;
}

static const char *const runner_names[] = {
    [PLAN_MLX] = "mlx", [PLAN_TRACE] = "trace", [PLAN_DIRECT] = "direct", [PLAN_HOST] = "host"};

/* Where a walk over the steps stands. */
typedef struct walk {
  const rlx_exec *e;
  size_t stage, at; /* place in the stage: its nodes, then its cuts */
  rlx_step_info step;
} walk;

static bool find_node(walk *w) {
  for (; w->stage < w->e->stages.n; w->stage++, w->at = 0) {
    const stage *s = &w->e->stages.data[w->stage];
    if (w->at >= s->nodes.n + s->cuts.n) continue;
    w->step.node = w->at < s->nodes.n ? s->nodes.data[w->at] : s->cuts.data[w->at - s->nodes.n];
    return true;
  }
  return false;
}

static const char *why_cut(const walk *w, const ir_node *n, rlx_how before, size_t stage_before) {
  const rlx_how how = w->step.how;
  if (n->op->traits & IR_DATA) return "the sizes of its result depend on data";
  if (how == RLX_HOW_CONTROL) return "it runs sub-graphs";
  if (w->stage != stage_before && !w->e->stages.data[stage_before].cuts.n)
    return "its attributes are computed from data";
  if (w->stage != stage_before) return "sizes or values before it are known only now";
  static const char *const why[] = {[PLAN_MLX] = "no kernel covers it",
                                    [PLAN_TRACE] = "back to MLX",
                                    [PLAN_DIRECT] = "kernels cover it",
                                    [PLAN_HOST] = "neither kernels nor MLX have anything for it"};
  const plan_runner runner = runner_of(w->e, how);
  if (how == RLX_HOW_VIEW || runner == runner_of(w->e, before)) return "";
  return runner == PLAN_MLX && !exec_choice(w->e).kernels ? "back to MLX" : why[runner];
}

/* Moves to the step at w->at; `first`: there was none before. */
static bool take_step(walk *w, bool first) {
  const rlx_how before = w->step.how;
  const size_t stage_before = w->stage;
  if (!find_node(w)) return false;
  const ir_node *n = &w->e->graph->nodes.data[w->step.node];
  w->step.how = how_of(w->e, w->step.node);
  w->step.runner = runner_names[runner_of(w->e, w->step.how)];
  w->step.cut = first ? "" : why_cut(w, n, before, stage_before);
  if (*w->step.cut) w->step.segment++;
  w->at++;
  return true;
}

bool rlx_exec_step(const rlx_exec *e, size_t index, rlx_step_info *out) {
  if (!e) return false;
  walk w = {.e = e};
  for (size_t i = 0; i <= index; i++)
    if (!take_step(&w, i == 0)) return false;
  if (out) *out = w.step;
  return true;
}

const rlx_exec *rlx_exec_subgraph(const rlx_exec *e, size_t node, size_t index,
                                  const char **out_name) {
  const rlx_graph *sub = rlx_node_graph(rlx_exec_graph(e), node, index, out_name);
  return sub ? exec_of_graph(e, sub) : NULL;
}
