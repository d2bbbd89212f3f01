/* text/words.c: an array sorted by bytes. A search narrows it byte by byte to the words that begin
 * like the text, so that its cost is bounded by the longest word. */
#include "text/words.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b) {
  const word *x = a, *y = b;
  const int order = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
  return order ? order : (x->n > y->n) - (x->n < y->n);
}

rlx_status words_sort(words *w) {
  if (w->all.n) qsort(w->all.data, w->all.n, sizeof(word), by_text);
  for (size_t i = 1; i < w->all.n; i++) {
    if (by_text(&w->all.data[i - 1], &w->all.data[i]) == 0) {
      return status_set(RLX_ERROR_FORMAT, "the token '%.100s' stands twice", w->all.data[i].text);
    }
  }
  return RLX_OK;
}

const word *words_find(const words *w, const char *text, size_t n) {
  const word wanted = {.text = text, .n = n};
  return w->all.n ? bsearch(&wanted, w->all.data, w->all.n, sizeof(word), by_text) : NULL;
}

/* The first word of [low, high), which agree before `at`, whose byte there is `least` or more. */
static size_t first_from(const words *w, size_t low, size_t high, size_t at, int least) {
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const word *m = &w->all.data[middle];
    if ((m->n > at ? (uint8_t)m->text[at] : -1) < least) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

const word *words_longest(const words *w, const char *prefix, const char *text, size_t n,
                          size_t *out_n) {
  const size_t before = strlen(prefix);
  const word *best = NULL;
  size_t low = 0, high = w->all.n;
  for (size_t at = 0; at < before + n && low < high; at++) {
    const int byte = (uint8_t)(at < before ? prefix[at] : text[at - before]);
    low = first_from(w, low, high, at, byte);
    high = first_from(w, low, high, at, byte + 1);
    if (low == high || at < before || w->all.data[low].n != at + 1) continue;
    best = &w->all.data[low];
    *out_n = at + 1 - before;
  }
  return best;
}
