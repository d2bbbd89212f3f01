/* base/str.h: a string that grows. A failed allocation is remembered and read once at the end. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/status.h"

/* Zero-initialise before use; `data` is NULL until the first addition, then always ends in 0. */
typedef struct str {
  char *data;
  size_t n, cap;
  bool failed;
} str;
void str_add(str *s, const char *text);
void str_add_n(str *s, const char *text, size_t n);
void str_addf(str *s, const char *format, ...) BASE_PRINTF(2, 3);
/* Appends `text` in double quotes with \" \\ \n \t and \xHH for what does not print. */
void str_add_quoted(str *s, const char *text);
/* Appends `text` as a JSON string. Bytes that are no UTF-8 become U+FFFD; false: there are some. */
bool str_add_json(str *s, const char *text);
void str_free(str *s);

/* A list at the end of a sentence: lines that fit into it are kept, the others counted. */
typedef struct lines {
  str text;
  size_t left_out;
} lines;
enum { LINES_MAX = STATUS_TEXT_MAX - 8192 }; /* the sentence also says where and what */
void lines_addf(lines *l, const char *format, ...) BASE_PRINTF(2, 3);
/* "" or the lines, each after a line feed, and "and N more"; valid until lines_free. */
const char *lines_end(lines *l);
void lines_free(lines *l);

#endif
