/* rlx/explain.h: what compiling made of a graph, and how its nodes run. All strings are static; any
 * thread may ask. */
#ifndef RLX_EXPLAIN_H
#define RLX_EXPLAIN_H

#include <rlx/exec.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rlx_rule_info {
  const char *name;
  const char *pattern; /* what it looks for, as the library's source says it */
  bool inexact;        /* may change rounding */
  bool off;            /* left out: by the options, or since the device is the reference */
  uint64_t hits;       /* rewrites, in sub-graphs too */
} rlx_rule_info;
/* The rewrite rules, in the order in which they are tried. `exec` may be NULL: just the list. False
 * past the end. */
RLX_API bool rlx_exec_rule(const rlx_exec *exec, size_t index, rlx_rule_info *out_info);

typedef enum rlx_how {
  RLX_HOW_MLX,      /* as MLX operations */
  RLX_HOW_FAST,     /* as a kernel of mlx::fast */
  RLX_HOW_EXPANDED, /* made of other operations */
  RLX_HOW_HOST,     /* by reference, on the host */
  RLX_HOW_CONTROL,  /* its sub-graphs run, each an executable of its own */
  RLX_HOW_KERNEL,   /* by a CPU kernel */
  RLX_HOW_REGION,   /* elementwise on a CPU: with its neighbours in one kernel */
  RLX_HOW_VIEW      /* not at all: its result is a view */
} rlx_how;

typedef struct rlx_step_info {
  size_t node; /* of rlx_exec_graph(exec) */
  rlx_how how;
  const char *runner; /* "direct" (CPU kernels), "mlx", "trace" (recorded, compiled by MLX,
                         replayed) or "host" */
  size_t segment; /* counts from 0 */
  const char *cut; /* why this step begins a segment; "" if it does not, or is the first */
} rlx_step_info;
/* The steps in the order in which they run, as they are before sizes are known (which may fold some
 * of them). False past the end. */
RLX_API bool rlx_exec_step(const rlx_exec *exec, size_t index, rlx_step_info *out_info);
/* What runs a sub-graph of a node of rlx_exec_graph(exec), to be asked about its steps and graph;
 * indices and *out_name as of rlx_node_graph. Owner: exec. NULL past the end. */
RLX_API const rlx_exec *rlx_exec_subgraph(const rlx_exec *exec, size_t node, size_t index,
                                          const char **out_name);

#ifdef __cplusplus
}
#endif
#endif
