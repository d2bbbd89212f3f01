/* bench/rlx_peer.c: `rlx_peer MODEL INPUTS OUTPUT THREADS [bf16|mlx]`: rlx as peer.h says, called
 * from C as a program would: a compiled model, and tensors for inputs and results that are bound
 * once.
 *
 * INPUTS and OUTPUT are .safetensors files; an OUTPUT of "-" is not written. "bf16" is that
 * precision; "mlx" leaves all to MLX, without kernels of our own. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <rlx/rlx.h>

#include "peer.h"

enum { MOST = 16 };

typedef struct bound {
  rlx_exec *exec;
  rlx_tensor *inputs[MOST], *outputs[MOST];
  size_t n_inputs, n_outputs;
} bound;

static void must(rlx_status status) {
  if (status == RLX_OK) return;
  fprintf(stderr, "rlx_peer: %s\n", rlx_last_error());
  exit(1);
}

static void run(void *context) {
  bound *b = context;
  must(rlx_exec_call(b->exec, b->inputs, b->n_inputs, b->outputs, b->n_outputs));
}

static void load(const char *path, const rlx_exec_options *options, const rlx_tensors *inputs,
                 bound *b) {
  rlx_graph *g = NULL;
  must(rlx_model_load(path, NULL, &g));
  must(rlx_compile(g, options, &b->exec));
  rlx_graph_free(g);
  const rlx_graph *all = rlx_exec_graph(b->exec);
  b->n_inputs = rlx_graph_input_count(all);
  b->n_outputs = rlx_graph_output_count(all);
  if (b->n_inputs > MOST || b->n_outputs > MOST) {
    fprintf(stderr, "rlx_peer: the model has too many inputs or outputs for this program\n");
    exit(1);
  }
  for (size_t i = 0; i < b->n_inputs; i++)
    b->inputs[i] = rlx_tensors_get(inputs, rlx_graph_input_name(all, i));
}

/* From the second run on results go to tensors of our own. */
static void bind_outputs(bound *b) {
  for (size_t i = 0; i < b->n_outputs; i++) {
    rlx_tensor *first = b->outputs[i];
    must(rlx_tensor_create(rlx_tensor_dtype(first), rlx_tensor_rank(first), rlx_tensor_dims(first),
                           &b->outputs[i]));
    rlx_tensor_free(first);
  }
}

/* The result of a run into bound tensors, which is what gets measured. */
static void save(const bound *b, const char *path) {
  const rlx_graph *g = rlx_exec_graph(b->exec);
  rlx_tensors *all = NULL;
  must(rlx_tensors_create(&all));
  for (size_t i = 0; i < b->n_outputs; i++)
    must(rlx_tensors_set(all, rlx_graph_output_name(g, i), b->outputs[i]));
  must(rlx_tensors_save(all, path));
  rlx_tensors_free(all);
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: rlx_peer MODEL INPUTS OUTPUT THREADS [bf16|mlx]\n");
    return 2;
  }
  const char *how = argc > 5 ? argv[5] : "";
  const rlx_exec_options options = {
      .struct_size = sizeof options,
      .device = RLX_DEVICE_CPU,
      .threads = (uint32_t)strtoul(argv[4], NULL, 10),
      .no_kernels = strcmp(how, "mlx") == 0,
      .precision = strcmp(how, "bf16") == 0 ? RLX_PRECISION_BF16 : RLX_PRECISION_F32};
  bound b = {0};
  rlx_tensors *inputs = NULL;
  must(rlx_tensors_load(argv[2], &inputs));
  const double begin = peer_now_us();
  load(argv[1], &options, inputs, &b);
  const double loaded = peer_now_us();
  run(&b);
  const double done = peer_now_us();
  const double peak_mb = peer_peak_mb();
  bind_outputs(&b);
  if (strcmp(argv[3], "-") != 0) {
    run(&b);
    save(&b, argv[3]);
  }
  peer_ready(loaded - begin, done - loaded, peak_mb);
  const int code = peer_serve(run, &b);
  for (size_t i = 0; i < b.n_outputs; i++) rlx_tensor_free(b.outputs[i]);
  rlx_exec_free(b.exec);
  rlx_tensors_free(inputs);
  return code;
}
