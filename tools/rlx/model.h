/* rlx/model.h: what the commands that take a model share. */
#ifndef MODEL_H
#define MODEL_H

#include "cli.h"

/* A model, compiled, with a tensor for each of its inputs. Owner: the command; model_close. */
typedef struct model {
  rlx_graph *graph;
  rlx_exec *exec;
  rlx_tensors *inputs; /* in graph order */
  double load_ms;      /* reading and compiling */
} model;

/* Reads the model, gathers its inputs and params as the flags say, compiles. Exit codes;
 * model_close either way. */
int model_open(const args *a, model *out);
/* Runs once and writes --output. Exit codes; *out_ms is the time of the run. */
int model_run(const args *a, const model *m, rlx_tensors **out_outputs, double *out_ms);
void model_close(model *m);

/* A tensor for each input and for each param of the graph, in graph order (inputs.c): from
 * --inputs, --input or --random. Exit codes; the lists are freed by the caller either way. */
int inputs_gather(const args *a, const rlx_graph *g, rlx_tensors **out_inputs,
                  rlx_tensors **out_params);

const char *device_name(rlx_device device);
const char *mode_name(rlx_mode mode);
/* A value's type as the graph declares it, "f32[batch,3]". */
void text_add_type(text *t, const rlx_graph *g, rlx_val value);
/* "f32[2,3]" */
void text_add_shape(text *t, rlx_dtype dtype, size_t rank, const int64_t *dims);

#endif
