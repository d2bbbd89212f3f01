/* tests/table_operand.c: one operand of a case, and the values that it stands for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "table.h"

size_t operand_length(const char *p) {
  int depth = 0;
  size_t n = 0;
  for (; p[n] && (depth || (p[n] != ' ' && p[n] != ',')); n++) {
    depth += p[n] == '[' || p[n] == '{';
    depth -= p[n] == ']' || p[n] == '}';
  }
  return n;
}

bool operand_read(const char *word, table_operand *o) {
  memset(o, 0, sizeof *o);
  o->dtype = RLX_DTYPE_COUNT;
  o->absent = strcmp(word, "_") == 0;
  if (o->absent) return true;
  char name[16] = "";
  int n = 0;
  if (sscanf(word, "%15[a-z0-9_]%n", name, &n) != 1 || word[n] != '[') return false;
  o->dtype = rlx_dtype_find(name);
  if (o->dtype == RLX_DTYPE_COUNT) return false;
  const char *p = word + n + 1;
  while (*p != ']') {
    char *end;
    if (o->rank == RLX_MAX_RANK) return false;
    o->dims[o->rank++] = strtoll(p, &end, 10);
    if (end == p || (*end != ',' && *end != ']')) return false;
    p = *end == ',' ? end + 1 : end;
  }
  if (!*++p) return true;
  const char *colon = strchr(p, ':');
  o->ranged = colon && !strchr(p, ',');
  if (o->ranged) {
    o->lo = strtod(p + 1, NULL);
    o->hi = strtod(colon + 1, NULL);
  } else {
    snprintf(o->literal, sizeof o->literal, "%s", word);
  }
  return *p == '{' && strlen(word) < sizeof o->literal;
}

static rlx_tensor *literal_value(const table_operand *o) {
  str text = {0};
  rlx_graph *g;
  str_addf(&text, "graph \"\" { %%1 = constant data=%s return %%1 \"y\" }", o->literal);
  table_need(rlx_graph_parse(text.data, NULL, &g));
  rlx_tensor *t = rlx_tensor_retain(graph_constant(g, rlx_graph_output_value(g, 0)));
  rlx_graph_free(g);
  str_free(&text);
  return t;
}

/* Uniform in [lo, hi). */
static double next_value(const table_operand *o, uint64_t *state) {
  *state = *state * 6364136223846793005ull + 1442695040888963407ull;
  double u = (double)(*state >> 11) * 0x1p-53;
  rlx_dtype_kind kind = dtype_kind(o->dtype);
  if (o->ranged) return o->lo + u * (o->hi - o->lo);
  if (kind == RLX_KIND_FLOAT || kind == RLX_KIND_COMPLEX) return 2 * u - 1;
  return kind == RLX_KIND_BOOL ? u >= 0.5 : 4 * u;
}

static rlx_tensor *random_value(const table_operand *o, uint64_t state) {
  rlx_tensor *t;
  table_need(rlx_tensor_create(o->dtype, o->rank, o->dims, &t));
  for (int64_t i = 0; i < t->count; i++) {
    double v = next_value(o, &state);
    if (o->dtype == RLX_C64) {
      double complex z;
      memcpy(&z, (double[2]){v, next_value(o, &state)}, sizeof z);
      tensor_set_complex(t, i, z);
    } else if (dtype_kind(o->dtype) == RLX_KIND_FLOAT) {
      tensor_set_real(t, i, v);
    } else {
      tensor_set_int(t, i, (int64_t)v - (v < (double)(int64_t)v)); /* down */
    }
  }
  return t;
}

rlx_tensor *operand_value(const table_operand *o, uint64_t seed) {
  return o->literal[0] ? literal_value(o) : random_value(o, seed);
}
