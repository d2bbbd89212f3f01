/* rlx/model.h: what the commands that take a model share. */
#ifndef MODEL_H
#define MODEL_H

#include "cli.h"

/* A model, compiled, with a tensor for each of its inputs. Owner: the command; model_close. */
typedef struct model {
  rlx_graph *graph;
  rlx_exec *exec;
  rlx_tensors *inputs, *params; /* in graph order */
  double load_ms;               /* reading and compiling */
} model;

/* Checks that files can be written where the flags want them, starts --trace and --profile, reads
 * the model, gathers its inputs and params as the flags say, compiles. Exit codes;
 * model_close either way. */
int model_open(const args *a, model *out);
/* Runs once and writes --output. Exit codes; *out_ms is the time of the run. */
int model_run(const args *a, const model *m, rlx_tensors **out_outputs, double *out_ms);
/* Compiles the model's graph as it is now, with its params set. */
rlx_status model_compile(const model *m, const rlx_exec_options *options, rlx_exec **out_exec);
void model_close(model *m);
/* --device, --mode, --threads and so on. */
void model_options(const args *a, rlx_exec_options *out_options);

/* A tensor for each input and for each param of the graph, in graph order (inputs.c): from
 * --inputs, --input or --random. Exit codes; the lists are freed by the caller either way. */
int inputs_gather(const args *a, const rlx_graph *g, rlx_tensors **out_inputs,
                  rlx_tensors **out_params);

const char *device_name(rlx_device device);
const char *mode_name(rlx_mode mode);
/* The mode for a report: that of the executable, or "async": its runs are submitted. */
const char *run_mode_name(const args *a, const rlx_exec *exec);
/* The arguments of a run by position. */
typedef struct bound {
  rlx_tensor **inputs, **outputs; /* inputs are the model's, outputs are freed by bound_drop */
  size_t n_inputs, n_outputs;
} bound;
bound bound_make(const model *m);
void bound_drop(bound *b);
void bound_free(bound *b);
/* rlx_exec_call, or a ticket and its results. */
rlx_status run_exec(const args *a, rlx_exec *exec, rlx_tensor *const *inputs, size_t n_inputs,
                    rlx_tensor **outputs, size_t n_outputs);
/* A value's type as the graph declares it, "f32[batch,3]". */
void text_add_type(text *t, const rlx_graph *g, rlx_val value);
/* One element (run.c); with `as_json` set it is exact, a c64 is [re,im], NaN and infinities are
 * null. */
void text_add_element(text *t, const rlx_tensor *tensor, int64_t index, bool as_json);
void json_tensor_type(json *j, const rlx_tensor *tensor); /* its dtype and shape (run.c) */

/* Element by element: |got - want| <= atol + rtol |want|; integers and bools are equal. NaN agrees
 * with NaN, an infinity with itself (compare.c). */
typedef struct tolerance {
  double rtol, atol;
} tolerance;
typedef struct deviation {
  bool alike;      /* dtype and shape are the same; else the rest says nothing */
  int64_t n_off;   /* elements out of tolerance */
  int64_t first;   /* the first of them */
  int64_t worst;   /* the first element with the largest error; -1: there are no elements */
  double error;    /* |got - want| there */
  double relative; /* the largest |got - want| / |want| */
  double scale;    /* the largest finite |want| */
} deviation;
deviation deviation_of(const rlx_tensor *got, const rlx_tensor *want, tolerance t);
static inline bool deviation_is_fine(const deviation *d) { return d->alike && d->n_off == 0; }
/* "3 of 6 elements differ, max error 0.5 at [0,1]: got 1.5, want 1; max relative error 0.5; first
 * at [0,0]: got 1, want 1.1", or why they have nothing in common. */
void text_add_deviation(text *t, const rlx_tensor *got, const rlx_tensor *want,
                        const deviation *d);

/* Runs the graph with all its values as outputs, on the device of the flags and on the reference
 * device, and says where they part (bisect.c). *out_fine becomes false if they do. Adds outputs to
 * the graph. Exit codes. */
int bisect(const args *a, const model *m, tolerance t, json *j, bool *out_fine);

/* --trace and --profile, which read one recording (profile.c). */
int recording_start(const args *a);
int recording_stop(const args *a); /* writes --trace */
/* The time of operations and nodes, for --profile; of several runs the first one is left out. */
void profile_text(text *out);
void profile_json(json *j);

/* "f32[2,3]" */
void text_add_shape(text *t, rlx_dtype dtype, size_t rank, const int64_t *dims);

#endif
