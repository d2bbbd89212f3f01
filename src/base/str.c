/* base/str.c: the growing string. */
#include "base/str.h"

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

static void add_args(str *s, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  if (n < 0) {
    s->failed = true;
  } else if (reserve(s, (size_t)n)) {
    vsnprintf(s->data + s->n, (size_t)n + 1, format, again);
    s->n += (size_t)n;
  }
  va_end(again);
}

void str_addf(str *s, const char *format, ...) {
  va_list args;
  va_start(args, format);
  add_args(s, format, args);
  va_end(args);
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

/* The length of the UTF-8 sequence at `text`, 0 if there is none. */
static size_t utf8_length(const char *text) {
  static const struct {
    uint8_t mask, lead;
    uint32_t least;
  } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
  const uint8_t *u = (const uint8_t *)text;
  size_t more = 0;
  while (more < 4 && (u[0] & forms[more].mask) != forms[more].lead) more++;
  if (more == 4) return 0;
  uint32_t code = u[0] & (uint8_t)~forms[more].mask;
  for (size_t i = 1; i <= more; i++) {
    if ((u[i] & 0xc0) != 0x80) return 0; /* also at the end of the text */
    code = code << 6 | (u[i] & 0x3fu);
  }
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return code < forms[more].least || code > 0x10ffff || surrogate ? 0 : more + 1;
}

bool str_add_json(str *s, const char *text) {
  bool valid = true;
  str_add(s, "\"");
  for (size_t n; *text; text += n ? n : 1) {
    const unsigned char c = (unsigned char)*text;
    n = utf8_length(text);
    valid = valid && n > 0;
    if (n == 0) {
      str_add(s, "\\ufffd");
    } else if (c == '"' || c == '\\') {
      str_addf(s, "\\%c", c);
    } else if (c == '\n') {
      str_add(s, "\\n");
    } else if (c < 0x20) {
      str_addf(s, "\\u%04x", c);
    } else {
      str_add_n(s, text, n);
    }
  }
  str_add(s, "\"");
  return valid;
}

void str_free(str *s) {
  mem_free(s->data);
  *s = (str){NULL, 0, 0, false};
}

void lines_addf(lines *l, const char *format, ...) {
  const size_t kept = l->text.n;
  va_list args;
  va_start(args, format);
  if (l->left_out == 0) {
    str_add(&l->text, "\n  ");
    add_args(&l->text, format, args);
  }
  va_end(args);
  if (l->left_out || l->text.failed || l->text.n > LINES_MAX) {
    l->left_out++;
    l->text.n = kept;
  }
}

const char *lines_end(lines *l) {
  l->text.failed = false;
  if (l->text.data) l->text.data[l->text.n] = 0;
  if (l->left_out) str_addf(&l->text, "\n  and %zu more", l->left_out);
  return l->text.data ? l->text.data : "";
}

void lines_free(lines *l) { str_free(&l->text); }
