/* text/bert.h: how BERT prepares text: normalised, then cut into words. */
#ifndef TEXT_BERT_H
#define TEXT_BERT_H

#include "base/str.h"

typedef struct bert_rules {
  bool clean;      /* drop controls, make all white space ' ' */
  bool ideographs; /* put spaces around CJK ideographs */
  bool strip;      /* decompose, drop nonspacing marks */
  bool lower;
} bert_rules;

/* Appends the normalised text. */
void bert_normalize(const bert_rules *rules, const char *text, size_t n, str *out);

/* A run without white space and punctuation, or one punctuation character. */
typedef struct bert_word {
  const char *text;
  size_t n, chars;
} bert_word;
/* The next word of [*text, end), and moves *text behind it. False: there is none. */
bool bert_next_word(const char **text, const char *end, bert_word *out);

#endif
