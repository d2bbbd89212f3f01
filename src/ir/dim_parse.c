/* ir/dim_parse.c: the text of a size back to its canonical form: sums and products of numbers,
 * names and floordiv, ceildiv, min, max of two sizes. Hostile text gets a status; depth is
 * bounded. */
#include <ctype.h>
#include <string.h>

#include "base/status.h"
#include "ir/dim.h"

enum { MAX_NAME = 128, MAX_NESTING = 100 };

typedef struct dim_parser {
  dim_table *t;
  const char *p;
  int depth;
} dim_parser;

static rlx_status parse_sum(dim_parser *d, rlx_dim *out);

static bool name_char(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '?';
}

static bool take(dim_parser *d, char c) {
  while (*d->p == ' ') d->p++;
  if (*d->p != c) return false;
  d->p++;
  return true;
}

static rlx_status expected(const dim_parser *d, const char *what) {
  return status_set(RLX_ERROR_FORMAT, "dimension: expected %s at '%.16s'", what, d->p);
}

static rlx_status parse_call(dim_parser *d, const char *name, rlx_dim *out) {
  static const struct {
    const char *name;
    rlx_dim_op op;
  } functions[] = {{"floordiv", RLX_DIM_FLOORDIV},
                   {"ceildiv", RLX_DIM_CEILDIV},
                   {"min", RLX_DIM_MIN},
                   {"max", RLX_DIM_MAX}};
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    if (strcmp(functions[i].name, name) != 0) continue;
    rlx_dim a, b;
    RLX_TRY(parse_sum(d, &a));
    if (!take(d, ',')) return expected(d, "','");
    RLX_TRY(parse_sum(d, &b));
    if (!take(d, ')')) return expected(d, "')'");
    *out = dim_combine(d->t, functions[i].op, a, b);
    return RLX_OK;
  }
  return status_set(RLX_ERROR_FORMAT, "dimension: no function '%s'", name);
}

static rlx_status parse_factor(dim_parser *d, rlx_dim *out) {
  if (++d->depth > MAX_NESTING)
    return status_set(RLX_ERROR_LIMIT, "dimension: nested deeper than %d", MAX_NESTING);
  rlx_status status = RLX_OK;
  if (take(d, '-')) {
    status = parse_factor(d, out);
    if (status == RLX_OK) *out = dim_combine(d->t, RLX_DIM_SUB, 0, *out);
  } else if (take(d, '(')) {
    status = parse_sum(d, out);
    if (status == RLX_OK && !take(d, ')')) status = expected(d, "')'");
  } else if (isdigit((unsigned char)*d->p)) {
    int64_t v = 0;
    while (isdigit((unsigned char)*d->p))
      if (!size_mul(v, 10, &v) || !size_add(v, *d->p++ - '0', &v))
        return status_set(RLX_ERROR_FORMAT, "dimension: number does not fit 64 bits");
    *out = v;
  } else if (name_char(*d->p)) {
    char name[MAX_NAME + 1];
    size_t n = 0;
    while (name_char(*d->p)) {
      if (n == MAX_NAME)
        return status_set(RLX_ERROR_FORMAT, "dimension: name longer than %d", MAX_NAME);
      name[n++] = *d->p++;
    }
    name[n] = 0;
    if (take(d, '(')) status = parse_call(d, name, out);
    else *out = dim_named(d->t, name);
  } else {
    status = expected(d, "a number or a name");
  }
  d->depth--;
  return status;
}

static rlx_status parse_sum(dim_parser *d, rlx_dim *out) {
  rlx_dim_op op = RLX_DIM_ADD;
  *out = 0;
  do {
    rlx_dim product, factor;
    RLX_TRY(parse_factor(d, &product));
    while (take(d, '*')) {
      RLX_TRY(parse_factor(d, &factor));
      product = dim_combine(d->t, RLX_DIM_MUL, product, factor);
    }
    *out = dim_combine(d->t, op, *out, product);
    op = take(d, '+') ? RLX_DIM_ADD : take(d, '-') ? RLX_DIM_SUB : RLX_DIM_MUL;
  } while (op != RLX_DIM_MUL);
  return *out == RLX_DIM_BAD ? status_memory(0) : RLX_OK;
}

rlx_status dim_parse(dim_table *t, const char **text, rlx_dim *out_dim) {
  dim_parser d = {.t = t, .p = *text};
  const rlx_status status = parse_sum(&d, out_dim);
  *text = d.p;
  return status;
}
