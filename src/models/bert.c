/* models/bert.c: BERT as a graph. Sizes are those of the tensors; config.json adds what these do
 * not show, and where it names a size too, both must agree. */
#include <rlx/ops.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "models/encoder.h"
#include "text/json.h"

enum { PREFIX_MAX_BYTES = 64, NAME_MAX_BYTES = 256 };
#define WORDS "embeddings.word_embeddings.weight"

typedef rlx_val (*activation)(rlx_graph *g, rlx_val x);

typedef struct bert {
  rlx_graph *g;
  const rlx_tensors *file;
  rlx_tensors *params;
  rlx_status status;              /* of a tensor that is missing: the graph does not know of it */
  char wrong[2 * NAME_MAX_BYTES]; /* the sentence of that; calls that follow leave others */
  char prefix[PREFIX_MAX_BYTES];  /* of all names in the file: "", "bert.", ... */
  int64_t heads, layers, width;
  double eps;
  activation act;
} bert;

/* --- the file */

/* prefix + name, where the old names of a norm's tensors are known too. */
static rlx_tensor *find(const bert *b, const char *name, char full[NAME_MAX_BYTES]) {
  static const char *const old[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                       {"LayerNorm.bias", "LayerNorm.beta"}};
  snprintf(full, NAME_MAX_BYTES, "%s%s", b->prefix, name);
  rlx_tensor *t = rlx_tensors_get(b->file, full);
  for (size_t i = 0; !t && i < 2; i++) {
    const char *end = strstr(name, old[i][0]);
    if (!end) continue;
    snprintf(full, NAME_MAX_BYTES, "%s%.*s%s", b->prefix, (int)(end - name), name, old[i][1]);
    t = rlx_tensors_get(b->file, full);
  }
  return t;
}

/* The param of a tensor of this rank, as f32. */
static rlx_val weight(bert *b, size_t rank, const char *format, ...) BASE_PRINTF(3, 4);
static rlx_val weight(bert *b, size_t rank, const char *format, ...) {
  char name[NAME_MAX_BYTES], full[NAME_MAX_BYTES];
  va_list list;
  va_start(list, format);
  vsnprintf(name, sizeof name, format, list);
  va_end(list);
  if (b->status != RLX_OK) return RLX_NIL;
  rlx_tensor *t = find(b, name, full);
  if (!t || rlx_tensor_rank(t) != rank) {
    b->status = RLX_ERROR_FORMAT;
    snprintf(b->wrong, sizeof b->wrong, "the tensor '%s%s' %s", b->prefix, name,
             t ? "has the wrong rank" : "is missing");
    return RLX_NIL;
  }
  b->status = rlx_tensors_set(b->params, full, t);
  if (b->status != RLX_OK) snprintf(b->wrong, sizeof b->wrong, "%s", rlx_last_error());
  rlx_val v = rlx_param(b->g, full, rlx_tensor_dtype(t), rank, rlx_tensor_dims(t));
  if (rlx_tensor_dtype(t) == RLX_F32) return v;
  rlx_cast_attrs a = rlx_cast_init();
  a.to = RLX_F32;
  return rlx_cast(b->g, v, &a);
}

/* --- the parts */

static rlx_val linear(bert *b, rlx_val x, const char *part, int64_t layer, const char *name) {
  rlx_val w = weight(b, 2, "%s.%lld.%s.weight", part, (long long)layer, name);
  rlx_val bias = weight(b, 1, "%s.%lld.%s.bias", part, (long long)layer, name);
  rlx_transpose_attrs a = rlx_transpose_init();
  return rlx_add(b->g, rlx_matmul(b->g, x, rlx_transpose(b->g, w, &a)), bias);
}

static rlx_val norm(bert *b, rlx_val x, const char *name) {
  rlx_layer_norm_attrs a = rlx_layer_norm_init();
  a.eps = b->eps;
  rlx_val scale = weight(b, 1, "%s.LayerNorm.weight", name);
  rlx_val bias = weight(b, 1, "%s.LayerNorm.bias", name);
  return rlx_layer_norm(b->g, x, scale, bias, &a);
}

static rlx_val lookup(bert *b, rlx_val ids, const char *name) {
  rlx_gather_attrs a = rlx_gather_init();
  return rlx_gather(b->g, weight(b, 2, "embeddings.%s_embeddings.weight", name), ids, &a);
}

static rlx_val reshape(rlx_graph *g, rlx_val x, size_t rank, const rlx_dim *dims) {
  rlx_reshape_attrs a = rlx_reshape_init();
  a.dims = (rlx_ints){dims, rank};
  return rlx_reshape(g, x, &a);
}

static rlx_val permute(rlx_graph *g, rlx_val x) { /* [B,T,H,D] <-> [B,H,T,D] */
  static const int64_t perm[] = {0, 2, 1, 3};
  rlx_transpose_attrs a = rlx_transpose_init();
  a.perm = (rlx_ints){perm, 4};
  return rlx_transpose(g, x, &a);
}

/* Keys whose mask is 0 are not seen. x [B,T,W] -> [B,T,W] */
static rlx_val attend(bert *b, rlx_val x, rlx_val seen, int64_t layer) {
  static const char *const names[] = {"attention.self.query", "attention.self.key",
                                      "attention.self.value"};
  const rlx_dim batch = rlx_val_dim(b->g, x, 0), tokens = rlx_val_dim(b->g, x, 1);
  const rlx_dim split[] = {batch, tokens, b->heads, b->width / b->heads};
  const rlx_dim joined[] = {batch, tokens, b->width};
  rlx_val part[3];
  for (size_t i = 0; i < 3; i++) {
    rlx_val y = linear(b, x, "encoder.layer", layer, names[i]);
    part[i] = permute(b->g, reshape(b->g, y, 4, split));
  }
  rlx_attention_attrs a = rlx_attention_init();
  rlx_val y = rlx_attention(b->g, part[0], part[1], part[2], seen, &a);
  return reshape(b->g, permute(b->g, y), 3, joined);
}

static rlx_val add_layer(bert *b, rlx_val x, rlx_val seen, int64_t layer) {
  static const char part[] = "encoder.layer";
  char name[NAME_MAX_BYTES];
  rlx_val y = linear(b, attend(b, x, seen, layer), part, layer, "attention.output.dense");
  snprintf(name, sizeof name, "%s.%lld.attention.output", part, (long long)layer);
  x = norm(b, rlx_add(b->g, y, x), name);
  y = b->act(b->g, linear(b, x, part, layer, "intermediate.dense"));
  y = linear(b, y, part, layer, "output.dense");
  snprintf(name, sizeof name, "%s.%lld.output", part, (long long)layer);
  return norm(b, rlx_add(b->g, y, x), name);
}

static void build(bert *b, const encoder_habits *habits) {
  const rlx_dim batch = rlx_dim_named(b->g, "batch"), tokens = rlx_dim_named(b->g, "tokens");
  const rlx_dim dims[] = {batch, tokens}, mask_dims[] = {batch, 1, 1, tokens};
  rlx_val ids = rlx_input(b->g, "input_ids", RLX_I64, 2, dims);
  rlx_val mask = rlx_input(b->g, "attention_mask", RLX_I64, 2, dims);
  rlx_val types = rlx_input(b->g, "token_type_ids", RLX_I64, 2, dims);
  rlx_val seen = rlx_ne(b->g, mask, rlx_scalar(b->g, RLX_I64, 0));
  seen = reshape(b->g, seen, 4, mask_dims);
  rlx_range_attrs count = rlx_range_init();
  count.count = (rlx_ints){&tokens, 1};
  rlx_val x = rlx_add(b->g, lookup(b, ids, "word"), lookup(b, types, "token_type"));
  x = rlx_add(b->g, x, lookup(b, rlx_range(b->g, &count), "position"));
  x = norm(b, x, "embeddings");
  for (int64_t i = 0; i < b->layers && b->status == RLX_OK; i++) x = add_layer(b, x, seen, i);
  if (habits->pooling == RLX_POOLING_NONE) {
    rlx_graph_output(b->g, "last_hidden_state", x);
  } else {
    rlx_graph_output(b->g, "embedding", encoder_pool(b->g, x, mask, habits));
  }
}

/* --- config.json */

/* One size of a tensor, 0 where it is missing or has another rank. */
static int64_t size_of(const bert *b, const char *name, size_t axis) {
  char full[NAME_MAX_BYTES];
  const rlx_tensor *t = find(b, name, full);
  return t && rlx_tensor_rank(t) == 2 ? rlx_tensor_dims(t)[axis] : 0;
}

static rlx_status check_sizes(const bert *b, const cJSON *config) {
  static const struct {
    const char *key, *tensor;
    size_t axis;
  } sizes[] = {
      {"vocab_size", WORDS, 0},
      {"hidden_size", WORDS, 1},
      {"max_position_embeddings", "embeddings.position_embeddings.weight", 0},
      {"type_vocab_size", "embeddings.token_type_embeddings.weight", 0},
      {"intermediate_size", "encoder.layer.0.intermediate.dense.weight", 0},
  };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const int64_t have = size_of(b, sizes[i].tensor, sizes[i].axis);
    int64_t said;
    RLX_TRY(json_int(config, sizes[i].key, 0, INT32_MAX, have, &said));
    if (said != have) {
      return status_set(RLX_ERROR_FORMAT, "config.json says %s %lld, the tensor '%s' has %lld",
                        sizes[i].key, (long long)said, sizes[i].tensor, (long long)have);
    }
  }
  return RLX_OK;
}

static rlx_val act_gelu(rlx_graph *g, rlx_val x) { return rlx_gelu(g, x); }
static rlx_val act_gelu_tanh(rlx_graph *g, rlx_val x) { return rlx_gelu_tanh(g, x); }
static rlx_val act_relu(rlx_graph *g, rlx_val x) { return rlx_relu(g, x); }
static rlx_val act_silu(rlx_graph *g, rlx_val x) { return rlx_silu(g, x); }

static rlx_status find_activation(const char *name, activation *out) {
  static const struct {
    const char *name;
    activation act;
  } known[] = {{"gelu", act_gelu},          {"gelu_new", act_gelu_tanh},
               {"gelu_fast", act_gelu_tanh}, {"gelu_pytorch_tanh", act_gelu_tanh},
               {"relu", act_relu},          {"silu", act_silu},
               {"swish", act_silu}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(name, known[i].name) != 0) continue;
    *out = known[i].act;
    return RLX_OK;
  }
  return status_set(RLX_ERROR_UNSUPPORTED, "config.json: the activation '%.100s'", name);
}

static rlx_status check_word(const cJSON *config, const char *key, const char *want) {
  const char *have;
  RLX_TRY(json_text(config, key, want, &have));
  if (strcmp(have, want) == 0) return RLX_OK;
  return status_set(RLX_ERROR_UNSUPPORTED, "config.json: %s '%.100s', only '%s' is known", key,
                    have, want);
}

/* `config` may be NULL. A number of heads from the caller wins. */
static rlx_status read_config(bert *b, const cJSON *config, uint32_t heads) {
  const char *act;
  char name[NAME_MAX_BYTES];
  int64_t layers = 0;
  RLX_TRY(check_word(config, "model_type", "bert"));
  RLX_TRY(check_word(config, "position_embedding_type", "absolute"));
  RLX_TRY(check_sizes(b, config));
  RLX_TRY(json_text(config, "hidden_act", "gelu", &act));
  RLX_TRY(find_activation(act, &b->act));
  RLX_TRY(json_real(config, "layer_norm_eps", 1e-12, &b->eps));
  b->width = size_of(b, WORDS, 1);
  RLX_TRY(json_int(config, "num_attention_heads", 1, INT32_MAX,
                   b->width == 384 ? 12 : (b->width + 63) / 64, &b->heads));
  if (heads) b->heads = heads;
  if (b->width < 1 || b->width % b->heads) {
    return status_set(RLX_ERROR_FORMAT, "a width of %lld does not divide into %lld heads",
                      (long long)b->width, (long long)b->heads);
  }
  do {
    snprintf(name, sizeof name, "encoder.layer.%lld.output.dense.weight", (long long)layers);
  } while (size_of(b, name, 0) && ++layers);
  return json_int(config, "num_hidden_layers", 1, layers, layers, &b->layers);
}

/* The names in the file begin with what stands before the table of words. */
static rlx_status find_prefix(bert *b) {
  for (size_t i = 0; i < rlx_tensors_count(b->file); i++) {
    const char *name = rlx_tensors_name(b->file, i), *end = strstr(name, WORDS);
    if (!end || strcmp(end, WORDS) != 0 || end - name >= PREFIX_MAX_BYTES) continue;
    memcpy(b->prefix, name, (size_t)(end - name));
    return RLX_OK;
  }
  return status_set(RLX_ERROR_UNSUPPORTED, "not of the BERT family: no tensor '%s'", WORDS);
}

static rlx_status read_and_build(bert *b, const char *folder, uint32_t heads,
                                 const encoder_habits *habits) {
  cJSON *config = NULL;
  RLX_TRY(find_prefix(b));
  RLX_TRY(json_load(folder, "config.json", &config));
  rlx_status status = read_config(b, config, heads);
  cJSON_Delete(config);
  RLX_TRY(status);
  RLX_TRY(rlx_tensors_create(&b->params));
  RLX_TRY(rlx_graph_create("bert", &b->g));
  build(b, habits);
  if (b->status != RLX_OK) return status_set(b->status, "%s", b->wrong);
  if (rlx_graph_status(b->g) == RLX_OK) return RLX_OK;
  return status_set(rlx_graph_status(b->g), "%s", rlx_graph_error(b->g));
}

rlx_status bert_build(const char *folder, uint32_t heads, const encoder_habits *habits,
                      rlx_graph **out_graph, rlx_tensors **out_params, uint32_t *out_positions) {
  char path[4096];
  rlx_tensors *file = NULL;
  bert b = {NULL};
  if (snprintf(path, sizeof path, "%s/model.safetensors", folder) >= (int)sizeof path) {
    return status_set(RLX_ERROR_ARGUMENT, "the folder's name is too long");
  }
  RLX_TRY(rlx_tensors_load_safetensors(path, &file));
  b.file = file;
  rlx_status status = read_and_build(&b, folder, heads, habits);
  const int64_t positions = size_of(&b, "embeddings.position_embeddings.weight", 0);
  rlx_tensors_free(file);
  if (status != RLX_OK) {
    rlx_tensors_free(b.params);
    rlx_graph_free(b.g);
    return status_at(status, "%s", folder);
  }
  *out_graph = b.g;
  *out_params = b.params;
  *out_positions = (uint32_t)positions;
  return RLX_OK;
}
