/* exec/exec.h: an executable from the inside.
 *
 * Laws: an executable is counted, and so are the things a run takes from it (a variant, parameter
 * versions), so that freeing, setting a param or evicting a variant never disturbs a run. The mutex
 * guards the lists, never a run or MLX; MLX is guarded by the runtime lock. */
#ifndef EXEC_EXEC_H
#define EXEC_EXEC_H

#include <pthread.h>
#include <rlx/exec.h>
#include <stdatomic.h>

#include "mlx/shim.h"
#include "pass/pass.h"

/* A constant or one version of a param: the host tensor and its copy on the device. */
typedef struct resident {
  atomic_uint refs;
  rlx_tensor *tensor;
  mx array; /* under the runtime lock; NULL until a run needs it */
} resident;
rlx_status resident_create(rlx_tensor *tensor, resident **out_resident); /* retains the tensor */
resident *resident_retain(resident *r);
void resident_free(resident *r);

/* The graph for one set of input shapes, ready to run. */
typedef struct variant {
  atomic_uint refs;
  int64_t *sizes; /* the dims of all inputs, end to end */
  rlx_graph *graph;
  plan plan;
  resident **constants; /* by value; NULL where it is none */
  uint64_t used;        /* the executable's clock at the last run */
} variant;

struct rlx_exec {
  atomic_uint refs;
  rlx_graph *graph; /* folded, sizes still symbolic */
  rlx_device device;
  rlx_mode mode;
  size_t max_variants, n_sizes; /* n_sizes: ranks of the inputs summed */
  pthread_mutex_t mutex;
  resident **params; /* in graph order; NULL: not set */
  map constants;     /* tensor of `graph` -> its resident, shared by all variants */
  VEC(variant *) variants;
  uint64_t clock;
  char *error;
};

/* Keeps the thread's sentence on the executable. Returns `status`. */
rlx_status exec_fail(rlx_exec *e, rlx_status status);

/* The variant for these input shapes, prepared if it is new; variant_free when done. */
rlx_status variant_get(rlx_exec *e, rlx_tensor *const *inputs, variant **out_variant);
void variant_free(variant *v);

/* One run. Values live as MLX arrays, host tensors or both. */
typedef struct run {
  rlx_exec *e;
  variant *v;
  const rlx_graph *g; /* v->graph */
  rlx_tensor *const *inputs;
  resident **params;    /* this run's versions, in graph order */
  resident **residents; /* by value, borrowed: constants and params */
  mx_ctx *m;         /* NULL on the reference device */
  mx *arrays;        /* by value, owned */
  rlx_tensor **tensors;
  VEC(struct run_check { mx flag; uint32_t node; }) checks;
} run;

rlx_status run_mlx_segment(run *r, const plan_segment *s);
rlx_status run_host_segment(run *r, const plan_segment *s);
/* Evaluates values that live as arrays, and all pending checks, and gives them host tensors. */
rlx_status run_fetch(run *r, const rlx_val *vals, size_t n);
void run_drop_dead(run *r, const plan_step *step);
/* Puts the node's description before the thread's sentence. */
rlx_status run_fail_at(const run *r, const ir_node *n, rlx_status status);

#endif
