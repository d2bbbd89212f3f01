/* pass/pass.h: from a graph as it was built to a plan that can run. */
#ifndef PASS_PASS_H
#define PASS_PASS_H

#include "ir/graph.h"
#include "pass/match.h"
#include "pass/stage.h"

/* Rewriting as nodes are added (normal.c): constants are folded; pass_legal also expands operations
 * that have no lowering. */
rlx_status pass_fold(const ir_infer *c, const rlx_dim *content, ir_node *n);
rlx_status pass_legal(const ir_infer *c, const rlx_dim *content, ir_node *n);
/* The same, but what a CPU kernel covers stays. */
rlx_status pass_kernels(const ir_infer *c, const rlx_dim *content, ir_node *n);

/* Rebuilds `src` without its dead nodes, through `normal`; sizes stay symbolic. Inputs and params
 * all stay. `rules`: what `normal` works with, or NULL. */
rlx_status pass_rebuild(const rlx_graph *src, ir_normal normal, pass_rules *rules,
                        rlx_graph **out_graph);
/* The same with folding, the rewrite rules and shared equal nodes, until no rule applies. */
rlx_status pass_optimise(const rlx_graph *src, pass_rules *rules, rlx_graph **out_graph);

/* The numbers that the names of src's sizes have in a run, as far as they are known.
 * Zero-initialise but for src. */
typedef struct size_names {
  const rlx_graph *src;
  map names;
  dim_table *dims; /* where sizes that are not known yet get a fresh name */
} size_names;
/* The shapes of all inputs, in order; of a value that a cut made.
 * Errors: RLX_ERROR_SHAPE naming what does not fit. */
rlx_status pass_name_inputs(size_names *s, const int64_t *const *sizes);
rlx_status pass_name_value(size_names *s, rlx_val v, const int64_t *sizes);

/* One stage of names->src with all sizes as numbers, through `normal`; names that it invented get
 * theirs. Its inputs are those of the stage that are not by value (by_value[i]: NULL), in order,
 * its outputs the stage's. Errors: RLX_ERROR_UNSUPPORTED naming a node whose shape still depends on
 * data. */
rlx_status pass_bind(size_names *names, const stage *s, rlx_tensor *const *by_value,
                     ir_normal normal, rlx_graph **out_graph);

/* A plan: the steps of a concrete graph in order, cut into segments that one runner takes. */
typedef enum plan_runner {
  PLAN_MLX,    /* onto MLX */
  PLAN_TRACE,  /* the same, fused by MLX's compiler */
  PLAN_DIRECT, /* CPU kernels on planned buffers */
  PLAN_HOST    /* the reference, where an operation has no lowering */
} plan_runner;

typedef enum step_kind {
  STEP_NODE,   /* one node, lowered or by reference */
  STEP_VIEW,   /* one node whose results are elements of its operand, where they lie */
  STEP_KERNEL, /* one node's kernel, and the elementwise nodes behind it as its epilogue */
  STEP_REGION  /* elementwise nodes as one program */
} step_kind;

typedef struct plan_step {
  step_kind kind;
  uint32_t node;                    /* whose kernel, view or lowering runs; a region: its last */
  uint32_t last;                    /* whose outputs are those of the step */
  uint32_t first_member, n_members; /* elementwise nodes in `members`: the region, the epilogue */
  uint32_t first_dead, n_dead;      /* values in `dead` that nobody needs after this step */
} plan_step;

typedef struct plan_segment {
  plan_runner runner;
  uint32_t first, n; /* steps */
} plan_segment;

typedef struct plan {
  plan_step *steps;
  plan_segment *segments;
  uint32_t *members;
  rlx_val *dead;
  size_t n_steps, n_segments, n_members, n_dead;
} plan;

/* runner: of the operations that have a lowering, or PLAN_HOST: of all. kernels: CPU kernels take
 * what they cover; alone: each of those steps is a segment. */
typedef struct plan_choice {
  plan_runner runner;
  bool kernels, alone;
} plan_choice;
rlx_status plan_make(const rlx_graph *g, plan_choice choice, plan *out_plan);
void plan_free(plan *p);

/* (group.c) The steps of a graph in order. */
rlx_status plan_group(const rlx_graph *g, bool kernels, plan *p);

#endif
