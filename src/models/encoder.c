/* models/encoder.c: texts to vectors: load, tokens, batches. */
#include <rlx/model.h>
#include <stdlib.h>
#include <string.h>

#include "models/encoder.h"
#include "text/json.h"

enum { DEFAULT_BATCH = 32, PATH_MAX_BYTES = 4096 };

/* --- loading */

struct rlx_encoder {
  rlx_tokenizer *tokenizer;
  rlx_exec *exec;
  uint32_t max_tokens, batch;
};

static const char *const input_names[] = {"input_ids", "attention_mask", "token_type_ids"};
enum { IDS, MASK, TYPES, N_INPUTS };

/* The named input of a graph, or nil. */
static rlx_val input_of(const rlx_graph *g, const char *name) {
  for (size_t i = 0; i < rlx_graph_input_count(g); i++) {
    if (strcmp(rlx_graph_input_name(g, i), name) == 0) return rlx_graph_input_value(g, i);
  }
  return RLX_NIL;
}

/* Adds the output "embedding" to a graph that gives hidden states or vectors. */
static rlx_status add_embedding(rlx_graph *g, const encoder_habits *habits) {
  rlx_val mask = input_of(g, input_names[MASK]);
  if (!mask.id) return status_set(RLX_ERROR_UNSUPPORTED, "there is no input attention_mask");
  for (size_t i = 0; i < rlx_graph_output_count(g); i++) {
    rlx_val v = rlx_graph_output_value(g, i);
    if (rlx_val_rank(g, v) != 3 || rlx_val_dtype(g, v) != RLX_F32) continue;
    rlx_graph_output(g, "embedding", encoder_pool(g, v, mask, habits));
    return rlx_graph_status(g);
  }
  return status_set(RLX_ERROR_UNSUPPORTED, "no output is f32[batch,tokens,width]");
}

static rlx_status read_options(const rlx_encoder_options *options, rlx_encoder_options *out) {
  RLX_TRY(options_read(out, sizeof *out, options));
  if (!out->batch) out->batch = DEFAULT_BATCH;
  if ((unsigned)out->pooling <= RLX_POOLING_NONE) return RLX_OK;
  return status_set(RLX_ERROR_ARGUMENT, "pooling is %d, which is none", (int)out->pooling);
}

rlx_status rlx_encoder_graph(const char *folder, const rlx_encoder_options *options,
                             rlx_graph **out_graph, rlx_tensors **out_params) {
  rlx_encoder_options o;
  encoder_habits habits;
  uint32_t positions;
  if (!folder || !out_graph || !out_params) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_encoder_graph: an argument is NULL");
  }
  *out_graph = NULL;
  *out_params = NULL;
  RLX_TRY(read_options(options, &o));
  RLX_TRY(encoder_habits_read(folder, &o, &habits));
  return bert_build(folder, o.heads, &habits, out_graph, out_params, &positions);
}

static rlx_status compile(rlx_encoder *e, const rlx_encoder_options *o, const rlx_graph *g,
                          const rlx_tensors *params) {
  RLX_TRY(rlx_compile(g, o->exec, &e->exec));
  for (size_t i = 0; i < rlx_tensors_count(params); i++) {
    RLX_TRY(rlx_exec_set_param(e->exec, rlx_tensors_name(params, i), rlx_tensors_at(params, i)));
  }
  return RLX_OK;
}

static rlx_status load(rlx_encoder *e, const char *path, const rlx_encoder_options *o) {
  char folder[PATH_MAX_BYTES];
  const size_t n = strlen(path);
  const bool onnx = n > 5 && strcmp(path + n - 5, ".onnx") == 0;
  const char *slash = strrchr(path, '/');
  if (n >= sizeof folder) return status_set(RLX_ERROR_ARGUMENT, "the path is too long");
  strcpy(folder, !onnx || slash ? path : ".");
  if (onnx && slash) folder[slash - path] = 0;
  encoder_habits habits;
  uint32_t positions = 0;
  rlx_graph *g = NULL;
  rlx_tensors *params = NULL;
  rlx_status status = rlx_tokenizer_load(folder, &e->tokenizer);
  if (status == RLX_OK) status = encoder_habits_read(folder, o, &habits);
  if (status == RLX_OK && !onnx) {
    status = bert_build(folder, o->heads, &habits, &g, &params, &positions);
  } else if (status == RLX_OK) {
    status = rlx_model_load(path, NULL, &g);
    if (status == RLX_OK) status = add_embedding(g, &habits);
  }
  if (status == RLX_OK) status = compile(e, o, g, params);
  if (status == RLX_OK) {
    e->max_tokens = habits.max_tokens;
    if (!e->max_tokens) e->max_tokens = rlx_tokenizer_max_tokens(e->tokenizer);
    if (positions && (!e->max_tokens || e->max_tokens > positions)) e->max_tokens = positions;
    e->batch = o->batch;
  }
  rlx_graph_free(g);
  rlx_tensors_free(params);
  return status;
}

rlx_status rlx_encoder_load(const char *path, const rlx_encoder_options *options,
                            rlx_encoder **out_encoder) {
  if (!path || !out_encoder) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_encoder_load: path or out_encoder is NULL");
  }
  *out_encoder = NULL;
  rlx_encoder_options o;
  RLX_TRY(read_options(options, &o));
  if (o.pooling == RLX_POOLING_NONE) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_encoder_load: a vector needs a pooling");
  }
  rlx_encoder *e = calloc(1, sizeof *e);
  if (!e) return status_memory(sizeof *e);
  rlx_status status = load(e, path, &o);
  if (status != RLX_OK) {
    rlx_encoder_free(e);
    return status;
  }
  *out_encoder = e;
  return RLX_OK;
}

void rlx_encoder_free(rlx_encoder *encoder) {
  if (!encoder) return;
  rlx_tokenizer_free(encoder->tokenizer);
  rlx_exec_free(encoder->exec);
  free(encoder);
}

/* --- running */

typedef struct item { /* a text on its way */
  rlx_tensor *ids;
  size_t place; /* in the caller's list */
} item;

static int by_length(const void *a, const void *b) {
  const item *x = a, *y = b;
  const int64_t m = rlx_tensor_count(x->ids), n = rlx_tensor_count(y->ids);
  if (m != n) return m < n ? -1 : 1;
  return x->place < y->place ? -1 : 1;
}

static rlx_status encode_all(const rlx_encoder *e, const char *const *texts, size_t n,
                             item *items) {
  rlx_tokenize_options o = RLX_OPTIONS(rlx_tokenize_options);
  o.max_tokens = e->max_tokens;
  for (size_t i = 0; i < n; i++) {
    if (!texts[i]) return status_set(RLX_ERROR_ARGUMENT, "rlx_encoder_embed: text %zu is NULL", i);
    items[i].place = i;
    RLX_TRY(rlx_tokenizer_encode(e->tokenizer, texts[i], strlen(texts[i]), &o, &items[i].ids));
  }
  qsort(items, n, sizeof *items, by_length);
  return RLX_OK;
}

/* Row i of ids and mask is text i, padded at its end. */
static void fill(const rlx_encoder *e, const item *items, int64_t n, int64_t tokens, int64_t *ids,
                 int64_t *mask) {
  for (int64_t i = 0; i < n; i++) {
    const int64_t *from = rlx_tensor_data(items[i].ids), have = rlx_tensor_count(items[i].ids);
    for (int64_t k = 0; k < tokens; k++) {
      *ids++ = k < have ? from[k] : rlx_tokenizer_pad(e->tokenizer);
      *mask++ = k < have;
    }
  }
}

static rlx_status make_inputs(const rlx_encoder *e, const item *items, size_t n,
                              rlx_tensors *inputs) {
  const int64_t tokens = rlx_tensor_count(items[n - 1].ids); /* the longest */
  rlx_tensor *t[N_INPUTS] = {NULL};
  rlx_status status = RLX_OK;
  for (size_t i = 0; i < N_INPUTS && status == RLX_OK; i++) {
    status = rlx_tensor_create(RLX_I64, 2, (int64_t[]){(int64_t)n, tokens}, &t[i]);
    if (status == RLX_OK && input_of(rlx_exec_graph(e->exec), input_names[i]).id) {
      status = rlx_tensors_set(inputs, input_names[i], t[i]);
    }
  }
  if (status == RLX_OK) {
    fill(e, items, (int64_t)n, tokens, rlx_tensor_mutable(t[IDS]), rlx_tensor_mutable(t[MASK]));
  }
  for (size_t i = 0; i < N_INPUTS; i++) rlx_tensor_free(t[i]);
  return status;
}

/* Copies the batch's vectors to their places among `n_all`; the first batch makes the result. */
static rlx_status store(const item *items, size_t n, size_t n_all, const rlx_tensor *vectors,
                        rlx_tensor **out) {
  if (rlx_tensor_rank(vectors) != 2 || rlx_tensor_dims(vectors)[0] != (int64_t)n) {
    return status_set(RLX_ERROR_SHAPE, "the model does not give one vector per text");
  }
  const int64_t width = rlx_tensor_dims(vectors)[1];
  if (!*out) RLX_TRY(rlx_tensor_create(RLX_F32, 2, (int64_t[]){(int64_t)n_all, width}, out));
  const float *from = rlx_tensor_data(vectors);
  float *to = rlx_tensor_mutable(*out);
  for (size_t i = 0; i < n; i++) {
    memcpy(to + (int64_t)items[i].place * width, from + (int64_t)i * width,
           (size_t)width * sizeof *to);
  }
  return RLX_OK;
}

static rlx_status run_batch(const rlx_encoder *e, const item *items, size_t n, size_t n_all,
                            rlx_tensor **out) {
  rlx_tensors *inputs = NULL, *outputs = NULL;
  rlx_status status = rlx_tensors_create(&inputs);
  if (status == RLX_OK) status = make_inputs(e, items, n, inputs);
  if (status == RLX_OK) status = rlx_exec_run(e->exec, inputs, &outputs);
  if (status == RLX_OK) {
    status = store(items, n, n_all, rlx_tensors_get(outputs, "embedding"), out);
  }
  rlx_tensors_free(inputs);
  rlx_tensors_free(outputs);
  return status;
}

rlx_status rlx_encoder_embed(const rlx_encoder *encoder, const char *const *texts, size_t n,
                             rlx_tensor **out_vectors) {
  if (!encoder || !texts || !n || !out_vectors) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_encoder_embed: an argument is NULL, or no texts");
  }
  *out_vectors = NULL;
  item *items = calloc(n, sizeof *items);
  if (!items) return status_memory(n * sizeof *items);
  rlx_status status = encode_all(encoder, texts, n, items);
  for (size_t i = 0; i < n && status == RLX_OK; i += encoder->batch) {
    const size_t left = n - i, size = left < encoder->batch ? left : encoder->batch;
    status = run_batch(encoder, items + i, size, n, out_vectors);
  }
  for (size_t i = 0; i < n; i++) rlx_tensor_free(items[i].ids);
  free(items);
  if (status == RLX_OK) return RLX_OK;
  rlx_tensor_free(*out_vectors);
  *out_vectors = NULL;
  return status;
}
