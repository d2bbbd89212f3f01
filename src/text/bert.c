/* text/bert.c: both steps, one code point at a time. */
#include "text/bert.h"

#include "text/chars.h"

static void add_char(str *out, uint32_t c) {
  char bytes[4];
  str_add_n(out, bytes, utf8_put(c, bytes));
}

/* One code point that is to stay: decomposed, stripped and lowered as the rules say. */
static void add_parts(const bert_rules *rules, uint32_t c, str *out) {
  uint32_t parts[CHAR_PARTS] = {c}, lower[CHAR_PARTS];
  const size_t n = rules->strip ? char_decompose(c, parts) : 1;
  for (size_t i = 0; i < n; i++) {
    if (rules->strip && char_is_mark(parts[i])) continue;
    if (!rules->lower) {
      add_char(out, parts[i]);
      continue;
    }
    const size_t m = char_lower(parts[i], lower);
    for (size_t k = 0; k < m; k++) add_char(out, lower[k]);
  }
}

void bert_normalize(const bert_rules *rules, const char *text, size_t n, str *out) {
  for (size_t at = 0; at < n;) {
    uint32_t c;
    at += utf8_next(text + at, n - at, &c);
    if (rules->clean && (c == 0 || c == 0xfffd || char_is_control(c))) continue;
    if (rules->clean && char_is_space(c)) c = ' ';
    const bool apart = rules->ideographs && char_is_ideograph(c);
    if (apart) str_add(out, " ");
    add_parts(rules, c, out);
    if (apart) str_add(out, " ");
  }
}

bool bert_next_word(const char **text, const char *end, bert_word *out) {
  *out = (bert_word){*text, 0, 0};
  while (*text < end) {
    uint32_t c;
    const size_t n = utf8_next(*text, (size_t)(end - *text), &c);
    const bool space = char_is_space(c), alone = space || char_is_punct(c);
    if (alone && out->n) return true; /* it ends the word, and is looked at again */
    *text += n;
    if (space) {
      out->text = *text;
      continue;
    }
    out->n += n;
    out->chars++;
    if (alone) return true;
  }
  return out->n > 0;
}
