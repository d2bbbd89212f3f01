/* text/tokenizer.h: a tokenizer from the inside: made by tokenizer_load.c, used by tokenizer.c. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <rlx/text.h>

#include "text/bert.h"
#include "text/words.h"

typedef struct named {
  const char *text; /* NULL: no token has this id */
  bool special;
} named;

struct rlx_tokenizer {
  arena memory;      /* all texts */
  words vocab;       /* of the model */
  words raw, normal; /* added tokens, looked for before and after normalisation */
  VEC(named) by_id;
  bert_rules rules;
  const char *prefix; /* of a piece that continues a word */
  size_t max_chars;   /* a longer word is unknown */
  int64_t unknown, pad;
  uint32_t max_tokens; /* 0: no limit */
  bool cuts_left;
  VEC(int64_t) special; /* ids around a text: the first n_before before it */
  size_t n_before;
  const char *decode_prefix; /* NULL: decoding joins tokens by spaces */
  bool cleans_up;
};

#endif
