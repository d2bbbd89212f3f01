/* rlx/text.c: growing text, safe names, JSON. */
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p) {
  if (p) return p;
  fputs("rlx: out of memory\n", stderr);
  exit(1);
}

void *must_alloc(size_t count, size_t size) { return must(calloc(count ? count : 1, size)); }

void *must_grow(void *list, size_t n, size_t *room, size_t size) {
  if (n < *room) return list;
  *room = 2 * *room + 64;
  return must(realloc(list, *room * size));
}

static void reserve(text *t, size_t more) {
  if (t->n + more + 1 <= t->cap) return;
  t->cap = 2 * t->cap + more + 64;
  t->data = must(realloc(t->data, t->cap));
}

static void add_n(text *t, const char *s, size_t n) {
  reserve(t, n);
  memcpy(t->data + t->n, s, n);
  t->n += n;
  t->data[t->n] = '\0';
}

void text_add(text *t, const char *s) { add_n(t, s, strlen(s)); }

void text_addf(text *t, const char *format, ...) {
  va_list list;
  va_start(list, format);
  int n = vsnprintf(NULL, 0, format, list);
  va_end(list);
  if (n < 0) return;
  reserve(t, (size_t)n);
  va_start(list, format);
  vsnprintf(t->data + t->n, (size_t)n + 1, format, list);
  va_end(list);
  t->n += (size_t)n;
}

void text_pad(text *t, size_t line_start, size_t column) {
  do {
    add_n(t, " ", 1);
  } while (t->n < line_start + column);
}

void text_free(text *t) {
  free(t->data);
  *t = (text){0};
}

/* The length of the valid UTF-8 sequence at s, 0 if there is none. */
static size_t utf8_length(const char *s) {
  const unsigned char *u = (const unsigned char *)s;
  static const struct {
    unsigned char mask, lead;
    uint32_t least;
  } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
  for (size_t more = 0; more < 4; more++) {
    if ((u[0] & forms[more].mask) != forms[more].lead) continue;
    uint32_t code = u[0] & (unsigned char)~forms[more].mask;
    for (size_t i = 1; i <= more; i++) {
      if ((u[i] & 0xc0) != 0x80) return 0; /* also stops at the end of the string */
      code = code << 6 | (u[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < forms[more].least || code > 0x10ffff || surrogate ? 0 : more + 1;
  }
  return 0;
}

/* C0, DEL, and C1 (which is 0xc2 0x80..0x9f in UTF-8). */
static bool is_control(const char *s) {
  const unsigned char *u = (const unsigned char *)s;
  return u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0);
}

void text_add_safe(text *t, const char *s) {
  while (*s) {
    size_t n = utf8_length(s);
    if (n == 0 || is_control(s)) {
      text_addf(t, "\\x%02x", (unsigned char)*s++);
    } else {
      add_n(t, s, n);
      s += n;
    }
  }
}

void text_add_quoted(text *t, const char *s) {
  text safe = {0};
  text_add_safe(&safe, s);
  text_add(t, "\"");
  for (size_t i = 0; i < safe.n; i++) {
    if (strchr("\"\\", safe.data[i])) text_add(t, "\\");
    add_n(t, safe.data + i, 1);
  }
  text_add(t, "\"");
  text_free(&safe);
}

static void json_string(text *t, const char *s) {
  text_add(t, "\"");
  while (*s) {
    size_t n = utf8_length(s);
    if (n == 0) {
      text_add(t, "\\ufffd");
      s++;
    } else if (n == 1 && (is_control(s) || *s == '"' || *s == '\\')) {
      text_addf(t, "\\u%04x", (unsigned)*s++);
    } else {
      add_n(t, s, n);
      s += n;
    }
  }
  text_add(t, "\"");
}

static void json_key(json *j, const char *key) {
  if (j->comma) text_add(j->out, ",");
  j->comma = true;
  if (!key) return;
  json_string(j->out, key);
  text_add(j->out, ":");
}

void json_open(json *j, const char *key, char bracket) {
  json_key(j, key);
  add_n(j->out, &bracket, 1);
  j->comma = false;
}

void json_close(json *j, char bracket) {
  add_n(j->out, &bracket, 1);
  j->comma = true;
}

void json_text(json *j, const char *key, const char *value) {
  json_key(j, key);
  json_string(j->out, value);
}

void json_raw(json *j, const char *key, const char *value) {
  json_key(j, key);
  text_add(j->out, value);
}

void json_int(json *j, const char *key, int64_t value) {
  json_key(j, key);
  text_addf(j->out, "%" PRId64, value);
}

void json_real(json *j, const char *key, double value) {
  json_key(j, key);
  if (isfinite(value)) {
    text_addf(j->out, "%.9g", value);
  } else {
    text_add(j->out, "null");
  }
}

void json_flag(json *j, const char *key, bool value) { json_raw(j, key, value ? "true" : "false"); }
