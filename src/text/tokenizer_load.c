/* text/tokenizer_load.c: tokenizer.json, or vocab.txt with tokenizer_config.json. Both may be
 * hostile: every field has its type and range checked, and ids are bounded. */
#include <string.h>

#include "base/io.h"
#include "text/json.h"
#include "text/tokenizer.h"

#define MAX_ID 0x3fffff /* the table of tokens by id is that long at most */
#define MAX_COUNT 1000000000
#define MAX_VOCAB_BYTES (64u << 20)

/* --- tokens */

/* Texts live as long as the tokenizer. */
static rlx_status keep(rlx_tokenizer *t, const char *text, const char **out) {
  *out = arena_strdup(&t->memory, text);
  return *out ? RLX_OK : status_memory(strlen(text) + 1);
}

/* Notes the text of an id, which may have that text already. */
static rlx_status name_id(rlx_tokenizer *t, int64_t id, const char *text, bool special) {
  while (t->by_id.n <= (size_t)id) {
    if (!vec_push(&t->by_id, ((named){NULL, false}))) return status_memory(sizeof(named));
  }
  named *known = &t->by_id.data[id];
  if (known->text && strcmp(known->text, text) != 0) {
    return status_set(RLX_ERROR_FORMAT, "the tokens '%.100s' and '%.100s' have one id, %lld",
                      known->text, text, (long long)id);
  }
  *known = (named){text, special};
  return RLX_OK;
}

static rlx_status add_vocab(rlx_tokenizer *t, const char *text, int64_t id) {
  const word w = {.text = text, .n = strlen(text), .id = id};
  RLX_TRY(name_id(t, id, text, false));
  return vec_push(&t->vocab.all, w) ? RLX_OK : status_memory(sizeof w);
}

/* An added token. In the vocabulary it has its id there, whatever the file says. */
static rlx_status add_added(rlx_tokenizer *t, const char *text, word w, bool special,
                            bool normalized) {
  const word *known = words_find(&t->vocab, text, strlen(text));
  const bert_rules none = {false};
  words *set = normalized ? &t->normal : &t->raw;
  str s = {NULL, 0, 0, false};
  str_add(&s, "");
  bert_normalize(normalized ? &t->rules : &none, text, strlen(text), &s);
  rlx_status status = s.failed ? status_memory(s.cap) : keep(t, s.data, &w.text);
  w.n = s.n;
  str_free(&s);
  RLX_TRY(status);
  if (known) w.id = known->id;
  RLX_TRY(name_id(t, w.id, known ? known->text : w.text, special));
  return vec_push(&set->all, w) ? RLX_OK : status_memory(sizeof w);
}

static rlx_status find_id(const rlx_tokenizer *t, const char *text, int64_t *out) {
  const word *sets[] = {words_find(&t->vocab, text, strlen(text)),
                        words_find(&t->raw, text, strlen(text))};
  const word *w = sets[0] ? sets[0] : sets[1];
  if (!w) return status_set(RLX_ERROR_FORMAT, "the token '%.100s' is not there", text);
  *out = w->id;
  return RLX_OK;
}

static rlx_status add_special(rlx_tokenizer *t, int64_t id) {
  return vec_push(&t->special, id) ? RLX_OK : status_memory(sizeof id);
}

/* --- the parts of tokenizer.json */

static rlx_status read_normalizer(rlx_tokenizer *t, const cJSON *o) {
  if (!o) return RLX_OK;
  RLX_TRY(json_type(o, "a normalizer", "BertNormalizer"));
  RLX_TRY(json_flag(o, "clean_text", true, &t->rules.clean));
  RLX_TRY(json_flag(o, "handle_chinese_chars", true, &t->rules.ideographs));
  RLX_TRY(json_flag(o, "lowercase", true, &t->rules.lower));
  return json_flag(o, "strip_accents", t->rules.lower, &t->rules.strip);
}

static rlx_status read_model(rlx_tokenizer *t, const cJSON *o) {
  const char *text, *unknown;
  int64_t n;
  RLX_TRY(json_type(o, "a model", "WordPiece"));
  RLX_TRY(json_text(o, "unk_token", "[UNK]", &unknown));
  RLX_TRY(json_text(o, "continuing_subword_prefix", "##", &text));
  RLX_TRY(keep(t, text, &t->prefix));
  RLX_TRY(json_int(o, "max_input_chars_per_word", 0, MAX_COUNT, 100, &n));
  t->max_chars = (size_t)n;
  const cJSON *vocab = json_get(o, "vocab"), *item;
  if (!cJSON_IsObject(vocab)) return status_set(RLX_ERROR_FORMAT, "there is no vocabulary");
  cJSON_ArrayForEach(item, vocab) {
    RLX_TRY(json_as_int(item, item->string, 0, MAX_ID, &n));
    RLX_TRY(keep(t, item->string, &text));
    RLX_TRY(add_vocab(t, text, n));
  }
  RLX_TRY(words_sort(&t->vocab));
  return find_id(t, unknown, &t->unknown);
}

static rlx_status read_added(rlx_tokenizer *t, const cJSON *list) {
  const cJSON *o;
  if (list && !cJSON_IsArray(list)) {
    return status_set(RLX_ERROR_FORMAT, "\"added_tokens\" is not a list");
  }
  cJSON_ArrayForEach(o, list) {
    const char *text;
    bool special, normalized;
    word w = {NULL};
    RLX_TRY(json_text(o, "content", "", &text));
    RLX_TRY(json_int(o, "id", 0, MAX_ID, 0, &w.id));
    RLX_TRY(json_flag(o, "special", false, &special));
    RLX_TRY(json_flag(o, "normalized", !special, &normalized));
    RLX_TRY(json_flag(o, "single_word", false, &w.single));
    RLX_TRY(json_flag(o, "lstrip", false, &w.left));
    RLX_TRY(json_flag(o, "rstrip", false, &w.right));
    RLX_TRY(add_added(t, text, w, special, normalized));
  }
  RLX_TRY(words_sort(&t->raw));
  return words_sort(&t->normal);
}

/* {"SpecialToken": {"id": NAME}}: the ids under NAME in special_tokens. */
static rlx_status add_named_special(rlx_tokenizer *t, const cJSON *piece, const cJSON *all) {
  const char *name;
  const cJSON *item;
  RLX_TRY(json_text(piece, "id", "", &name));
  const cJSON *ids = json_get(json_get(all, name), "ids");
  if (!cJSON_IsArray(ids)) {
    return status_set(RLX_ERROR_FORMAT, "the post-processor's token '%.100s' has no ids", name);
  }
  cJSON_ArrayForEach(item, ids) {
    int64_t id;
    RLX_TRY(json_as_int(item, "ids", 0, MAX_ID, &id));
    RLX_TRY(add_special(t, id));
  }
  return RLX_OK;
}

static rlx_status read_template(rlx_tokenizer *t, const cJSON *o) {
  const cJSON *piece;
  size_t n_texts = 0;
  cJSON_ArrayForEach(piece, json_get(o, "single")) {
    const cJSON *special = json_get(piece, "SpecialToken");
    if (special) {
      RLX_TRY(add_named_special(t, special, json_get(o, "special_tokens")));
    } else {
      n_texts++;
      t->n_before = t->special.n;
    }
  }
  if (n_texts == 1) return RLX_OK;
  return status_set(RLX_ERROR_FORMAT, "the post-processor's template has the text %zu times",
                    n_texts);
}

/* {"cls": [TEXT, ID], "sep": [TEXT, ID]} */
static rlx_status read_bert_template(rlx_tokenizer *t, const cJSON *o) {
  static const char *const keys[] = {"cls", "sep"};
  for (size_t i = 0; i < 2; i++) {
    int64_t id;
    RLX_TRY(json_as_int(cJSON_GetArrayItem(json_get(o, keys[i]), 1), keys[i], 0, MAX_ID, &id));
    RLX_TRY(add_special(t, id));
  }
  t->n_before = 1;
  return RLX_OK;
}

static rlx_status read_post_processor(rlx_tokenizer *t, const cJSON *o) {
  if (!o) return RLX_OK;
  if (json_has_type(o, "BertProcessing")) return read_bert_template(t, o);
  RLX_TRY(json_type(o, "a post-processor", "TemplateProcessing"));
  return read_template(t, o);
}

static rlx_status read_decoder(rlx_tokenizer *t, const cJSON *o) {
  const char *prefix;
  if (!o) return RLX_OK;
  RLX_TRY(json_type(o, "a decoder", "WordPiece"));
  RLX_TRY(json_text(o, "prefix", "##", &prefix));
  RLX_TRY(json_flag(o, "cleanup", true, &t->cleans_up));
  return keep(t, prefix, &t->decode_prefix);
}

static rlx_status read_lengths(rlx_tokenizer *t, const cJSON *truncation, const cJSON *padding) {
  const char *direction;
  int64_t n;
  RLX_TRY(json_int(truncation, "max_length", 0, MAX_COUNT, 0, &n));
  RLX_TRY(json_text(truncation, "direction", "Right", &direction));
  t->max_tokens = (uint32_t)n;
  t->cuts_left = strcmp(direction, "Left") == 0;
  return json_int(padding, "pad_id", 0, MAX_ID, 0, &t->pad);
}

static rlx_status read_tokenizer(rlx_tokenizer *t, const cJSON *o) {
  RLX_TRY(read_normalizer(t, json_get(o, "normalizer")));
  RLX_TRY(json_type(json_get(o, "pre_tokenizer"), "a pre-tokenizer", "BertPreTokenizer"));
  RLX_TRY(read_model(t, json_get(o, "model")));
  RLX_TRY(read_added(t, json_get(o, "added_tokens")));
  RLX_TRY(read_post_processor(t, json_get(o, "post_processor")));
  RLX_TRY(read_decoder(t, json_get(o, "decoder")));
  return read_lengths(t, json_get(o, "truncation"), json_get(o, "padding"));
}

/* --- vocab.txt, one token a line, and tokenizer_config.json, which may be absent (NULL) */

static rlx_status read_vocab(rlx_tokenizer *t, const char *path) {
  io_map *file;
  RLX_TRY(io_map_open(path, MAX_VOCAB_BYTES, &file));
  char *text = arena_new(&t->memory, file->bytes + 1, 1);
  if (text) memcpy(text, file->data, file->bytes);
  const char *end = text ? text + file->bytes : NULL;
  rlx_status status = text ? RLX_OK : status_memory(file->bytes);
  io_map_free(file);
  for (int64_t id = 0; text < end && status == RLX_OK; id++) {
    char *line = text;
    text = memchr(line, '\n', (size_t)(end - line));
    text = text ? text : line + (end - line);
    if (text > line && text[-1] == '\r') text[-1] = 0;
    *text++ = 0;
    status = id > MAX_ID ? status_set(RLX_ERROR_LIMIT, "more than %d tokens", MAX_ID)
                         : add_vocab(t, line, id);
  }
  RLX_TRY(status);
  return words_sort(&t->vocab);
}

/* A special token of the config, which is a text or an object with one. */
static rlx_status read_special(rlx_tokenizer *t, const cJSON *config, const char *key,
                               const char *missing, int64_t *out_id) {
  const cJSON *value = json_get(config, key);
  const char *text;
  if (cJSON_IsObject(value)) {
    RLX_TRY(json_text(value, "content", missing, &text));
  } else {
    RLX_TRY(json_text(config, key, missing, &text));
  }
  RLX_TRY(find_id(t, text, out_id));
  return add_added(t, text, (word){.id = *out_id}, true, false);
}

static rlx_status read_config(rlx_tokenizer *t, const cJSON *config) {
  int64_t first, last, mask;
  double length;
  t->rules.clean = true;
  RLX_TRY(json_flag(config, "do_lower_case", true, &t->rules.lower));
  RLX_TRY(json_flag(config, "tokenize_chinese_chars", true, &t->rules.ideographs));
  RLX_TRY(json_flag(config, "strip_accents", t->rules.lower, &t->rules.strip));
  RLX_TRY(json_real(config, "model_max_length", 0, &length));
  RLX_TRY(read_special(t, config, "unk_token", "[UNK]", &t->unknown));
  RLX_TRY(read_special(t, config, "pad_token", "[PAD]", &t->pad));
  RLX_TRY(read_special(t, config, "mask_token", "[MASK]", &mask));
  RLX_TRY(read_special(t, config, "cls_token", "[CLS]", &first));
  RLX_TRY(read_special(t, config, "sep_token", "[SEP]", &last));
  RLX_TRY(words_sort(&t->raw));
  t->max_tokens = length >= 1 && length <= MAX_COUNT ? (uint32_t)length : 0; /* "none" is 1e30 */
  t->prefix = t->decode_prefix = "##";
  t->max_chars = 100;
  t->cleans_up = true;
  t->n_before = 1;
  RLX_TRY(add_special(t, first));
  return add_special(t, last);
}

/* --- files */

static rlx_status no_tokenizer(const char *path) {
  const char *why = io_is_there(path) ? "neither tokenizer.json nor vocab.txt is in it"
                                      : "no such folder";
  return status_set(RLX_ERROR_IO, "%s: %s", path, why);
}

static rlx_status load_folder(rlx_tokenizer *t, const char *path) {
  cJSON *json = NULL;
  RLX_TRY(json_load(path, "tokenizer.json", &json));
  rlx_status status = RLX_OK;
  if (json) {
    status = read_tokenizer(t, json);
  } else {
    str vocab = {NULL, 0, 0, false};
    str_addf(&vocab, "%s/vocab.txt", path);
    if (vocab.failed) status = status_memory(vocab.cap);
    else status = io_is_there(vocab.data) ? read_vocab(t, vocab.data) : no_tokenizer(path);
    str_free(&vocab);
    if (status == RLX_OK) status = json_load(path, "tokenizer_config.json", &json);
    if (status == RLX_OK) status = read_config(t, json);
  }
  cJSON_Delete(json);
  return status;
}

static rlx_status load_file(rlx_tokenizer *t, const char *path) {
  cJSON *json = NULL;
  RLX_TRY(json_load(NULL, path, &json));
  rlx_status status = read_tokenizer(t, json);
  cJSON_Delete(json);
  return status;
}

rlx_status rlx_tokenizer_load(const char *path, rlx_tokenizer **out_tokenizer) {
  if (!path || !out_tokenizer) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tokenizer_load: path or out_tokenizer is NULL");
  }
  *out_tokenizer = NULL;
  rlx_tokenizer *t = mem_new(1, sizeof *t);
  if (!t) return status_memory(sizeof *t);
  const size_t n = strlen(path);
  const bool is_file = n > 5 && strcmp(path + n - 5, ".json") == 0;
  rlx_status status = is_file ? load_file(t, path) : load_folder(t, path);
  if (status != RLX_OK) {
    rlx_tokenizer_free(t);
    return status == RLX_ERROR_IO ? status : status_at(status, "%s", path);
  }
  *out_tokenizer = t;
  return RLX_OK;
}
