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
void str_free(str *s);

#endif
