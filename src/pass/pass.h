/* pass/pass.h: from a graph as it was built to a plan that can run. */
#ifndef PASS_PASS_H
#define PASS_PASS_H

#include "ir/graph.h"

/* Rewriting as nodes are added (normal.c): constants are folded; pass_legal also expands operations
 * that have no lowering. */
rlx_status pass_fold(const ir_infer *c, const rlx_dim *content, ir_node *n);
rlx_status pass_legal(const ir_infer *c, const rlx_dim *content, ir_node *n);

/* Rebuilds `src` without its dead nodes, through `normal`. With `sizes` (per input, in order, as many
 * as its rank) every symbolic size becomes a number; NULL keeps them. Inputs and params all stay.
 * Errors: RLX_ERROR_SHAPE naming the input that does not fit; RLX_ERROR_UNSUPPORTED naming the node
 * whose shape depends on data. */
rlx_status pass_bind(const rlx_graph *src, const int64_t *const *sizes, ir_normal normal,
                     rlx_graph **out_graph);

/* A plan: the nodes of a concrete graph in order, cut into segments that one runner takes. */
typedef enum plan_runner {
  PLAN_MLX, /* onto MLX */
  PLAN_HOST /* the reference, where an operation has no lowering */
} plan_runner;

typedef struct plan_segment {
  plan_runner runner;
  uint32_t first, n; /* steps */
} plan_segment;

typedef struct plan_step {
  uint32_t node;
  uint32_t first_dead, n_dead; /* values in `dead` that nobody needs after this step */
} plan_step;

typedef struct plan {
  plan_step *steps;
  plan_segment *segments;
  rlx_val *dead;
  size_t n_steps, n_segments, n_dead;
} plan;

/* `host`: everything runs by reference. */
rlx_status plan_make(const rlx_graph *g, bool host, plan *out_plan);
void plan_free(plan *p);

#endif
