/* rlx/text.h: what the command prints, built in memory and written at once at the end, so that an
 * interrupted or failed command leaves nothing half-written. Out of memory ends the program. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TEXT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TEXT_PRINTF(fmt, args)
#endif

/* Zero-initialise; `data` is NULL while empty, else ends in 0. */
typedef struct text {
  char *data;
  size_t n, cap;
} text;

void text_add(text *t, const char *s);
void text_addf(text *t, const char *format, ...) TEXT_PRINTF(2, 3);
/* Text from a file or a user: control characters and invalid UTF-8 become \xHH, so that a model
 * cannot steer a terminal. */
void text_add_safe(text *t, const char *s);
/* Safe, in double quotes, with `"` and `\` escaped. */
void text_add_quoted(text *t, const char *s);
void text_pad(text *t, size_t line_start, size_t column); /* spaces up to a column, at least one */
void text_free(text *t);

void *must_alloc(size_t count, size_t size); /* zeroed; never NULL */
/* The list of n items, moved to where there is room for more once it is full. */
void *must_grow(void *list, size_t n, size_t *room, size_t size);

/* JSON: the caller names what it opens and closes, the writer puts the commas. A NULL key is an
 * element of an array. Reals that JSON has no number for become null, invalid UTF-8 U+FFFD. */
typedef struct json {
  text *out;
  bool comma;
} json;
void json_open(json *j, const char *key, char bracket);
void json_close(json *j, char bracket);
void json_text(json *j, const char *key, const char *value);
void json_int(json *j, const char *key, int64_t value);
void json_real(json *j, const char *key, double value);
void json_flag(json *j, const char *key, bool value);
/* A number that is written already, or null. */
void json_raw(json *j, const char *key, const char *value);

#endif
