/* pass/stage.h: a graph cut where data decides what comes next.
 *
 * Most graphs are one stage: with the shapes of the inputs all other shapes are known. A node whose
 * result sizes depend on elements (nonzero), a node that runs sub-graphs (if, loop), and an
 * attribute that is computed from data (reshape to a size that the input tells) end a stage: its
 * nodes run, the `cuts` run on the host, and the next stage is prepared for what has arrived.
 *
 * Laws: each node stands in exactly one stage, or is a cut of one, but constants and params stand
 * in each stage that reads them. A stage reads what earlier stages and cuts made. */
#ifndef PASS_STAGE_H
#define PASS_STAGE_H

#include "ir/graph.h"

typedef struct stage_input {
  rlx_val value;
  bool by_value; /* its elements become a constant: an attribute depends on them */
} stage_input;

typedef struct stage_output {
  rlx_val value;
  bool host; /* wanted there: by a cut, by value or by the caller */
} stage_output;

typedef struct stage {
  VEC(uint32_t) leaves; /* constants and params that it reads */
  VEC(uint32_t) nodes;  /* in order, without leaves */
  VEC(stage_input) in;
  VEC(stage_output) out; /* made here, and wanted by later stages, cuts or the caller */
  VEC(uint32_t) cuts; /* nodes that run on the host after the others */
} stage;

typedef struct stages {
  stage *data;
  size_t n; /* at least one */
} stages;

rlx_status stages_make(const rlx_graph *g, stages *out_stages);
void stages_free(stages *s);

#endif
