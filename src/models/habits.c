/* models/habits.c: how a folder of sentence-transformers wants vectors made of hidden states. */
#include <rlx/ops.h>
#include <string.h>

#include "models/encoder.h"
#include "text/json.h"

/* --- what the folder says */

static rlx_status read_pooling(const cJSON *config, rlx_pooling *out) {
  static const struct {
    const char *key;
    rlx_pooling pooling;
  } keys[] = {{"pooling_mode_mean_tokens", RLX_POOLING_MEAN},
              {"pooling_mode_cls_token", RLX_POOLING_CLS},
              {"pooling_mode_max_tokens", RLX_POOLING_DEFAULT},
              {"pooling_mode_mean_sqrt_len_tokens", RLX_POOLING_DEFAULT},
              {"pooling_mode_weightedmean_tokens", RLX_POOLING_DEFAULT},
              {"pooling_mode_lasttoken", RLX_POOLING_DEFAULT}};
  size_t n = 0;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    bool on;
    RLX_TRY(json_flag(config, keys[i].key, false, &on));
    if (!on) continue;
    *out = keys[i].pooling;
    n++;
  }
  if (n == 0 || (n == 1 && *out != RLX_POOLING_DEFAULT)) return RLX_OK;
  return status_set(RLX_ERROR_UNSUPPORTED,
                    "1_Pooling/config.json: only the mean or the first token is known");
}

/* Does modules.json list a step of this kind, as in "sentence_transformers.models.Normalize"? */
static bool has_module(const cJSON *modules, const char *kind) {
  const cJSON *item;
  cJSON_ArrayForEach(item, modules) {
    const cJSON *type = json_get(item, "type");
    const char *dot = cJSON_IsString(type) ? strrchr(type->valuestring, '.') : NULL;
    if (dot && strcmp(dot + 1, kind) == 0) return true;
  }
  return false;
}

rlx_status encoder_habits_read(const char *folder, const rlx_encoder_options *options,
                               encoder_habits *out) {
  cJSON *modules = NULL, *pooling = NULL, *lengths = NULL;
  int64_t max_tokens = 0;
  *out = (encoder_habits){.pooling = options->pooling};
  rlx_status status = json_load(folder, "modules.json", &modules);
  if (status == RLX_OK) status = json_load(folder, "1_Pooling/config.json", &pooling);
  if (status == RLX_OK) status = json_load(folder, "sentence_bert_config.json", &lengths);
  if (status == RLX_OK && !out->pooling) status = read_pooling(pooling, &out->pooling);
  if (status == RLX_OK) {
    status = json_int(lengths, "max_seq_length", 0, INT32_MAX, 0, &max_tokens);
  }
  if (!out->pooling) out->pooling = RLX_POOLING_MEAN;
  out->normalize = !options->keep_norm && (!modules || has_module(modules, "Normalize"));
  out->max_tokens = options->max_tokens ? options->max_tokens : (uint32_t)max_tokens;
  cJSON_Delete(modules);
  cJSON_Delete(pooling);
  cJSON_Delete(lengths);
  return status == RLX_OK ? status : status_at(status, "%s", folder);
}

/* --- pooling */

static rlx_val sum(rlx_graph *g, rlx_val x, int64_t axis, bool keep) {
  rlx_reduce_sum_attrs a = rlx_reduce_sum_init();
  a.axes = (rlx_ints){&axis, 1};
  a.keep = keep;
  return rlx_reduce_sum(g, x, &a);
}

/* x / max(y, least) */
static rlx_val divide(rlx_graph *g, rlx_val x, rlx_val y, double least) {
  return rlx_div(g, x, rlx_maximum(g, y, rlx_scalar(g, RLX_F32, least)));
}

static rlx_val mean(rlx_graph *g, rlx_val states, rlx_val mask) {
  rlx_cast_attrs to = rlx_cast_init();
  to.to = RLX_F32;
  const rlx_dim dims[] = {rlx_val_dim(g, states, 0), rlx_val_dim(g, states, 1), 1};
  rlx_reshape_attrs shape = rlx_reshape_init();
  shape.dims = (rlx_ints){dims, 3};
  rlx_val weights = rlx_reshape(g, rlx_cast(g, mask, &to), &shape);
  return divide(g, sum(g, rlx_mul(g, states, weights), 1, false), sum(g, weights, 1, false), 1e-9);
}

static rlx_val first(rlx_graph *g, rlx_val states) {
  rlx_gather_attrs a = rlx_gather_init();
  a.axis = 1;
  return rlx_gather(g, states, rlx_scalar(g, RLX_I64, 0), &a);
}

rlx_val encoder_pool(rlx_graph *g, rlx_val states, rlx_val mask, const encoder_habits *habits) {
  const bool cls = habits->pooling == RLX_POOLING_CLS;
  rlx_val v = cls ? first(g, states) : mean(g, states, mask);
  if (!habits->normalize) return v;
  return divide(g, v, rlx_sqrt(g, sum(g, rlx_square(g, v), 1, true)), 1e-12);
}
