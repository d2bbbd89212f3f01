/* text/words.h: a set of words, searched for the longest that a text begins with. */
#ifndef TEXT_WORDS_H
#define TEXT_WORDS_H

#include "base/mem.h"
#include "base/status.h"

typedef struct word {
  const char *text; /* borrowed, UTF-8 */
  size_t n;
  int64_t id;
  bool single;      /* only where no letter stands beside it */
  bool left, right; /* takes the white space beside it */
} word;

typedef struct words {
  VEC(word) all;
} words;

/* Sorts, after the last word has been added. The same text twice is RLX_ERROR_FORMAT. */
rlx_status words_sort(words *w);
const word *words_find(const words *w, const char *text, size_t n);
/* The longest word that is `prefix` and then a start, not empty, of the text; NULL if there is
 * none. *out_n is the length of that start. */
const word *words_longest(const words *w, const char *prefix, const char *text, size_t n,
                          size_t *out_n);

#endif
