/* text/tokenizer.c: text to ids and back.
 *
 * A text is cut at the added tokens that are looked for in it as it is; what is left is
 * normalised and cut at those looked for after that; what is left is cut into words, and each
 * word into the longest pieces of the vocabulary from its start. A word that cannot be cut so is
 * the unknown token. */
#include "text/tokenizer.h"

#include <string.h>

#include "base/options.h"
#include "text/chars.h"

typedef VEC(int64_t) id_list;

typedef struct encoder {
  const rlx_tokenizer *t;
  id_list ids;
  bool failed; /* out of memory */
} encoder;

static void push(encoder *e, int64_t id) {
  if (!vec_push(&e->ids, id)) e->failed = true;
}

/* --- words */

static void add_word(encoder *e, const bert_word *w) {
  const size_t start = e->ids.n;
  size_t at = 0;
  while (w->chars <= e->t->max_chars && at < w->n && !e->failed) {
    size_t n = 0;
    const word *piece =
        words_longest(&e->t->vocab, at ? e->t->prefix : "", w->text + at, w->n - at, &n);
    if (!piece) break;
    push(e, piece->id);
    at += n;
  }
  if (at == w->n || e->failed) return;
  e->ids.n = start;
  push(e, e->t->unknown);
}

static void add_words(encoder *e, const char *text, size_t n) {
  const char *end = text + n;
  for (bert_word w; bert_next_word(&text, end, &w);) add_word(e, &w);
}

/* --- added tokens */

static size_t spaces_after(const char *text, size_t n) {
  size_t at = 0;
  while (at < n) {
    uint32_t c;
    const size_t length = utf8_next(text + at, n - at, &c);
    if (!char_is_space(c)) break;
    at += length;
  }
  return at;
}

/* Where the last code point of [0, n) begins. */
static size_t last_start(const char *text, size_t n) {
  size_t at = n - 1;
  while (at > 0 && n - at < 4 && ((uint8_t)text[at] & 0xc0) == 0x80) at--;
  return at;
}

/* The end of [least, n) without the white space at its end. */
static size_t trimmed(const char *text, size_t least, size_t n) {
  while (n > least) {
    uint32_t c;
    const size_t at = last_start(text, n);
    utf8_next(text + at, n - at, &c);
    if (at < least || !char_is_space(c)) break;
    n = at;
  }
  return n;
}

static bool stands_alone(const char *text, size_t n, size_t begin, size_t end) {
  uint32_t before = ' ', after = ' ';
  if (begin > 0) {
    const size_t at = last_start(text, begin);
    utf8_next(text + at, begin - at, &before);
  }
  if (end < n) utf8_next(text + end, n - end, &after);
  return !char_is_word(before) && !char_is_word(after);
}

/* Cuts at the added tokens and hands what is between them to `rest`. */
static void split(encoder *e, const words *added, const char *text, size_t n,
                  void (*rest)(encoder *e, const char *text, size_t n)) {
  size_t done = 0;
  for (size_t at = 0, length; at < n && !e->failed;) {
    const word *w = words_longest(added, "", text + at, n - at, &length);
    if (!w) {
      at++;
      continue;
    }
    const size_t after = at + length;
    if (!w->single || stands_alone(text, n, at, after)) {
      const size_t begin = w->left ? trimmed(text, done, at) : at;
      if (begin > done) rest(e, text + done, begin - done);
      push(e, w->id);
      done = w->right ? after + spaces_after(text + after, n - after) : after;
    }
    at = done > after ? done : after;
  }
  if (done < n) rest(e, text + done, n - done);
}

static void add_raw(encoder *e, const char *text, size_t n) {
  str normal = {NULL, 0, 0, false};
  bert_normalize(&e->t->rules, text, n, &normal);
  if (normal.n && !normal.failed) split(e, &e->t->normal, normal.data, normal.n, add_words);
  e->failed = e->failed || normal.failed;
  str_free(&normal);
}

/* --- a text */

/* The ids between the special tokens, cut to `room`. */
static rlx_status collect(const encoder *e, size_t room, bool plain, rlx_tensor **out_ids) {
  const rlx_tokenizer *t = e->t;
  const size_t n_special = plain ? 0 : t->special.n, n_before = plain ? 0 : t->n_before;
  const size_t n = e->ids.n < room ? e->ids.n : room;
  RLX_TRY(rlx_tensor_create(RLX_I64, 1, (int64_t[]){(int64_t)(n + n_special)}, out_ids));
  int64_t *to = rlx_tensor_mutable(*out_ids);
  for (size_t i = 0; i < n_before; i++) *to++ = t->special.data[i];
  for (size_t i = 0; i < n; i++) *to++ = e->ids.data[t->cuts_left ? e->ids.n - n + i : i];
  for (size_t i = n_before; i < n_special; i++) *to++ = t->special.data[i];
  return RLX_OK;
}

rlx_status rlx_tokenizer_encode(const rlx_tokenizer *tokenizer, const char *text, size_t bytes,
                                const rlx_tokenize_options *options, rlx_tensor **out_ids) {
  rlx_tokenize_options o;
  if (!tokenizer || (!text && bytes) || !out_ids) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tokenizer_encode: an argument is NULL");
  }
  *out_ids = NULL;
  RLX_TRY(options_read(&o, sizeof o, options));
  size_t room = o.max_tokens ? o.max_tokens : tokenizer->max_tokens;
  if (!room || o.max_tokens == UINT32_MAX) room = SIZE_MAX;
  const size_t n_special = o.plain ? 0 : tokenizer->special.n;
  if (room < n_special) {
    return status_set(RLX_ERROR_LIMIT, "%zu tokens at most leave no room for %zu special ones",
                      room, n_special);
  }
  encoder e = {.t = tokenizer};
  split(&e, &tokenizer->raw, text, bytes, add_raw);
  rlx_status status = e.failed ? status_memory(bytes)
                               : collect(&e, room - n_special, o.plain, out_ids);
  vec_free(&e.ids);
  return status;
}

/* --- back */

/* Does English write it without a space before it? */
static bool is_tight(const char *token) {
  static const char *const starts[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    if (strncmp(token, starts[i], strlen(starts[i])) == 0) return true;
  }
  return false;
}

static void add_token(const rlx_tokenizer *t, const char *token, str *out) {
  const size_t n = t->decode_prefix ? strlen(t->decode_prefix) : 0;
  if (out->n && n && strncmp(token, t->decode_prefix, n) == 0) {
    token += n;
  } else if (out->n && !(t->cleans_up && is_tight(token))) {
    str_add(out, " ");
  }
  str_add(out, token);
}

const char *rlx_tokenizer_token(const rlx_tokenizer *tokenizer, int64_t id) {
  const bool known = tokenizer && id >= 0 && (uint64_t)id < tokenizer->by_id.n;
  return known ? tokenizer->by_id.data[id].text : NULL;
}

rlx_status rlx_tokenizer_decode(const rlx_tokenizer *tokenizer, const rlx_tensor *ids,
                                bool skip_special, char **out_text) {
  if (!tokenizer || !ids || !out_text) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tokenizer_decode: an argument is NULL");
  }
  *out_text = NULL;
  if (rlx_tensor_dtype(ids) != RLX_I64 || rlx_tensor_rank(ids) != 1) {
    return status_set(RLX_ERROR_SHAPE, "rlx_tokenizer_decode: the ids are not an i64 vector");
  }
  str text = {NULL, 0, 0, false};
  str_add(&text, "");
  for (int64_t i = 0; i < rlx_tensor_count(ids); i++) {
    const int64_t id = rlx_tensor_int(ids, i);
    const char *token = rlx_tokenizer_token(tokenizer, id);
    if (!token || (skip_special && tokenizer->by_id.data[id].special)) continue;
    add_token(tokenizer, token, &text);
  }
  if (text.failed) {
    str_free(&text);
    return status_memory(text.cap);
  }
  *out_text = text.data;
  return RLX_OK;
}

uint32_t rlx_tokenizer_max_tokens(const rlx_tokenizer *tokenizer) {
  return tokenizer ? tokenizer->max_tokens : 0;
}

int64_t rlx_tokenizer_pad(const rlx_tokenizer *tokenizer) { return tokenizer ? tokenizer->pad : 0; }

void rlx_tokenizer_free(rlx_tokenizer *tokenizer) {
  if (!tokenizer) return;
  vec_free(&tokenizer->vocab.all);
  vec_free(&tokenizer->raw.all);
  vec_free(&tokenizer->normal.all);
  vec_free(&tokenizer->by_id);
  vec_free(&tokenizer->special);
  arena_free(&tokenizer->memory);
  mem_free(tokenizer);
}
