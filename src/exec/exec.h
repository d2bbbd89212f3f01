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

#include "exec/direct.h"
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

typedef struct recording recording; /* of a segment, by the trace runner */
typedef struct shortcut shortcut;

/* A stage for one set of shapes, ready to run. */
typedef struct variant {
  atomic_uint refs;
  size_t stage;
  struct variant *parent; /* of the stage before, a reference; NULL: the first */
  int64_t *key;           /* what it was made for: shapes, and contents that came by value */
  size_t n_key;
  size_names names; /* for the stages after this one */
  rlx_graph *graph;
  plan plan;
  resident **constants; /* by value; NULL where it is none */
  uint32_t *params;     /* of the graph, in order: which of the executable's */
  resident **fixed;     /* by param of the graph: what kernels took as a constant, or NULL */
  direct **directs;      /* by segment; NULL: another runner's */
  shortcut *shortcut;    /* NULL: runs of it take the long way */
  recording *recordings; /* by segment, under the runtime lock; NULL until there is one */
  uint64_t used;        /* the executable's clock at the last run */
} variant;

struct rlx_exec {
  atomic_uint refs;
  rlx_graph *graph; /* optimised, sizes still symbolic */
  pass_rules rules; /* what optimised it; none on the reference device */
  stages stages;
  VEC(rlx_exec *) subs; /* executables of the sub-graphs; the nodes of `graph` hold their graphs */
  rlx_device device;
  rlx_mode mode;
  size_t max_variants;
  bool kernels;     /* CPU kernels run what they cover */
  uint32_t threads; /* of them, or of MLX's BLAS */
  rlx_precision precision;
  const char **keep_f32; /* names of operations and nodes that it does not touch, in `mem` */
  size_t n_keep_f32;
  arena mem;
  kernel_packs *packs;
  blocks blocks;
  pthread_mutex_t mutex;
  resident **params; /* in graph order; NULL: not set */
  bool *changing;    /* those that were set again after kernels took them as constants */
  VEC(resident *) residents; /* of constants, also those in sub-graphs, shared by all variants */
  map constants;             /* tensor -> its resident */
  VEC(variant *) variants;
  uint64_t clock;
  char *error;
};

/* (options.c) Device, mode, kernels and so on, from the options and the environment. */
rlx_status exec_choose(rlx_exec *e, const rlx_exec_options *o);
/* Does each name to keep in f32 stand for something? */
rlx_status exec_check_kept(const rlx_exec *e);
/* Are the f32 factors of a node's products rounded to bf16? */
bool exec_is_narrow(const rlx_exec *e, const ir_node *n);
rlx_status exec_threads(uint32_t given, uint32_t *out); /* 0: what the environment says */
/* With the runtime lock held: threads of MLX's BLAS from now on. */
void runtime_blas_threads(uint32_t threads);

/* How it makes plans. */
plan_choice exec_choice(const rlx_exec *e);
/* Keeps the thread's sentence on the executable. Returns `status`. */
rlx_status exec_fail(rlx_exec *e, rlx_status status);

/* The executable of a sub-graph, however deep; NULL: none. */
rlx_exec *exec_of_graph(const rlx_exec *e, const rlx_graph *sub);

/* A value between stages, on the device, on the host or both. */
typedef struct cell {
  mx array;           /* owned */
  rlx_tensor *tensor; /* a reference */
  bool shared;        /* others hold the tensor too: the caller gets a copy */
} cell;

/* One run, and the stage that it is in. Values of a stage are MLX arrays, host tensors or both. */
typedef struct run {
  rlx_exec *e;
  rlx_tensor *const *inputs;
  resident **params; /* this run's versions, in graph order */
  cell *cells;       /* by value of e->graph */
  mx_ctx *m;         /* NULL until a segment needs MLX: all values are on the host till then */
  variant *v;
  const rlx_graph *g;   /* v->graph */
  resident **residents; /* by value of g, borrowed: constants and params */
  mx *arrays;           /* by value, owned */
  rlx_tensor **tensors;
  VEC(struct run_check { mx flag; uint32_t node; }) checks;
  VEC(struct lazy_job *) jobs; /* direct segments that MLX runs */
} run;

/* The variant of a stage for what has arrived in r->cells, prepared if it is new; variant_free when
 * done. */
rlx_status variant_get(const run *r, size_t stage, variant *parent, variant **out_variant);
void variant_free(variant *v);

/* Runs r->v's segments on what r->cells hold and puts the stage's outputs there. */
rlx_status run_stage(run *r);
rlx_status run_mlx_segment(run *r, const plan_segment *s);
rlx_status run_host_segment(run *r, const plan_segment *s);
rlx_status run_direct_segment(run *r, const plan_segment *s);
/* After an evaluation: did a direct segment in it fail? */
rlx_status run_read_jobs(const run *r);
void lazy_job_free(void *job);
/* With the runtime lock held: from now on the run has r->m. */
rlx_status run_open_mlx(run *r);
/* For the runners, with the runtime lock held: all steps of a segment, one after another; the array
 * of a value; a flag that says whether a node's indices were out of range; the end of values. */
rlx_status run_steps(run *r, const plan_segment *s);
rlx_status run_recorded(run *r, const plan_segment *s); /* the same, replayed if it can be */
mx run_array(run *r, uint32_t id);
rlx_status run_add_check(run *r, mx flag, uint32_t node);
void run_drop_dead(run *r, const plan_step *step);
void run_drop_values(run *r);
/* After a failure inside MLX: this variant runs without traces from now on. False: it had none. */
bool run_untrace(run *r);
void recordings_free(variant *v);
/* Evaluates values that live as arrays, and all pending checks, and gives them host tensors. */
rlx_status run_fetch(run *r, const rlx_val *vals, size_t n);
/* Records the time of a node since `begin`, which span_begin gave. */
void run_note(const rlx_graph *g, const ir_node *n, const char *category, uint64_t begin);
/* Puts the node's description before the thread's sentence. */
rlx_status run_fail_at(const rlx_graph *g, const ir_node *n, rlx_status status);
/* Do two tensors have bytes in common? One and an input? */
bool run_overlaps(const rlx_tensor *a, const rlx_tensor *b);
bool run_shares_input(const rlx_graph *g, rlx_tensor *const *inputs, const rlx_tensor *t);
/* Runs a cut of e->graph on r->cells. */
rlx_status run_cut(run *r, uint32_t node);
/* A node by its reference or its sub-graphs; `out`: new references. */
rlx_status run_on_host(run *r, const ir_node *n, rlx_tensor *const *in, rlx_tensor **out);

/* (shortcut.c) Sets *out to NULL where a variant has none. */
rlx_status shortcut_create(const rlx_exec *e, const variant *v, shortcut **out);
void shortcut_free(shortcut *s);
/* Runs the variant for these inputs, which have been checked, by its shortcut. False: there is none,
 * and nothing has happened. */
bool run_shortcut(rlx_exec *e, resident *const *params, rlx_tensor *const *inputs,
                  rlx_tensor **outputs, rlx_status *out_status);

/* The params as they are now, in graph order: references, for exec_drop_params. */
rlx_status exec_take_params(rlx_exec *e, resident ***out_params);
void exec_drop_params(const rlx_exec *e, resident **params);
/* rlx_exec_call, but a failure is not kept on the executable; the same with params taken before. */
rlx_status exec_call(rlx_exec *e, rlx_tensor *const *inputs, size_t n_inputs, rlx_tensor **outputs,
                     size_t n_outputs);
rlx_status exec_call_with(rlx_exec *e, resident **params, rlx_tensor *const *inputs,
                          size_t n_inputs, rlx_tensor **outputs, size_t n_outputs);

#endif
