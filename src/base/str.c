/* base/str.c: the growing string. */
#include "base/str.h"

#include <rlx/tensor.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Room for n more bytes and the final 0. */
static bool reserve(str *s, size_t n) {
  if (s->failed || n > PTRDIFF_MAX - s->n - 1 ||
      !vec_reserve_((void **)&s->data, &s->cap, s->n + n + 1, 1)) {
    s->failed = true;
    return false;
  }
  return true;
}

void str_add_n(str *s, const char *text, size_t n) {
  if (!reserve(s, n)) return;
  if (n) memcpy(s->data + s->n, text, n);
  s->n += n;
  s->data[s->n] = 0;
}

void str_add(str *s, const char *text) { str_add_n(s, text, strlen(text)); }

void str_addf(str *s, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n < 0) {
    s->failed = true;
  } else if (reserve(s, (size_t)n)) {
    vsnprintf(s->data + s->n, (size_t)n + 1, format, again);
    s->n += (size_t)n;
  }
  va_end(again);
}

void str_add_quoted(str *s, const char *text) {
  str_add(s, "\"");
  for (const char *p = text; *p; p++) {
    unsigned char c = (unsigned char)*p;
    if (c == '"' || c == '\\') {
      str_addf(s, "\\%c", c);
    } else if (c == '\n') {
      str_add(s, "\\n");
    } else if (c == '\t') {
      str_add(s, "\\t");
    } else if (c < 0x20 || c > 0x7e) {
      str_addf(s, "\\x%02x", c);
    } else {
      str_add_n(s, p, 1);
    }
  }
  str_add(s, "\"");
}

void str_free(str *s) {
  mem_free(s->data);
  *s = (str){NULL, 0, 0, false};
}

void rlx_string_free(char *string) { mem_free(string); }
