/* tests/table_case.c: the text of a case.
 *
 * Operands and attributes are written as in the text form of graphs, so that the graph of a case is
 * made by writing its text around them and giving it to the parser. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "table.h"

/* --- reading */

/* The length of one word: up to a blank or comma outside brackets. */
static size_t word_length(const char *p) {
  int depth = 0;
  size_t n = 0;
  for (; p[n] && (depth || (p[n] != ' ' && p[n] != ',')); n++) {
    depth += p[n] == '[' || p[n] == '{';
    depth -= p[n] == ']' || p[n] == '}';
  }
  return n;
}

static bool read_operand(const char *word, table_operand *o) {
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

/* "shape" -> RLX_ERROR_SHAPE */
static bool read_status(const char *word, rlx_status *out) {
  for (int s = RLX_ERROR_ARGUMENT; s <= RLX_ERROR_INTERNAL; s++) {
    const char *name = rlx_status_name((rlx_status)s) + strlen("RLX_ERROR_");
    size_t i = 0;
    while (name[i] && (name[i] | 0x20) == word[i]) i++;
    if (!name[i] && !word[i]) {
      *out = (rlx_status)s;
      return true;
    }
  }
  return false;
}

static bool read_word(const char *word, table_case *c) {
  if (word[0] == '!') return read_status(word + 1, &c->expected);
  if (strncmp(word, "tol=", 4) == 0) {
    c->tolerance = strtod(word + 4, NULL);
    return c->tolerance > 0;
  }
  const char *equals = strchr(word, '=');
  if (equals) {
    size_t used = strlen(c->attrs);
    return snprintf(c->attrs + used, sizeof c->attrs - used, " %s", word) <
           (int)(sizeof c->attrs - used);
  }
  return c->n_in < TABLE_IN && read_operand(word, &c->in[c->n_in++]);
}

bool case_parse(const char *text, table_case *c) {
  memset(c, 0, sizeof *c);
  c->tolerance = -1;
  while (*text == ' ' || *text == '\n') text++;
  size_t length = strlen(text);
  while (length && text[length - 1] == ' ') length--;
  snprintf(c->text, sizeof c->text, "%.*s", (int)length, text);
  for (const char *p = c->text; *p;) {
    char word[300];
    size_t n = word_length(p);
    snprintf(word, sizeof word, "%.*s", (int)n, p);
    bool fine = n < sizeof word;
    if (n && p == c->text) {
      c->op = op_find(word);
      fine = fine && c->op;
    } else if (n) {
      fine = fine && read_word(word, c);
    }
    if (!fine) {
      table_fail(c, "case", "cannot read '%s'", word);
      return false;
    }
    p += n + (p[n] != 0);
  }
  return c->op != NULL;
}

/* --- the graph */

static void write_dims(str *s, const table_operand *o, table_variant v) {
  for (size_t i = 0; i < o->rank; i++) {
    int64_t d = o->dims[v.views ? o->rank - 1 - i : i];
    str_addf(s, "%s%s%" PRId64, i ? "," : "", v.symbolic && d > 1 ? "n" : "", d);
  }
}

/* One operand's lines; returns the id that the operation takes. */
static size_t write_operand(str *s, const table_operand *o, size_t i, table_variant v) {
  size_t id = 2 * i + 1;
  if (v.constants && o->literal[0]) {
    str_addf(s, "%%%zu = constant data=%s\n", id, o->literal);
    return id;
  }
  str_addf(s, "%%%zu = input name=\"x%zu\" dtype=%s dims=[", id, i, dtype_name(o->dtype));
  write_dims(s, o, v);
  str_add(s, "]\n");
  if (!v.views) return id;
  str_addf(s, "%%%zu = transpose(%%%zu)\n", id + 1, id);
  return id + 1;
}

static void write_graph(str *s, const table_case *c, size_t n_out, table_variant v) {
  size_t ids[TABLE_IN] = {0};
  str_add(s, "graph \"case\" {\n");
  for (size_t i = 0; i < c->n_in; i++)
    if (!c->in[i].absent) ids[i] = write_operand(s, &c->in[i], i, v);
  str_add(s, "%99");
  if (n_out != 1) str_addf(s, ":%zu", n_out);
  str_addf(s, " = %s(", c->op->name);
  for (size_t i = 0; i < c->n_in; i++) {
    str_add(s, i ? "," : "");
    if (ids[i]) str_addf(s, "%%%zu", ids[i]);
    else str_add(s, "_");
  }
  str_addf(s, ")%s\nreturn ", c->attrs);
  for (size_t i = 0; i < n_out; i++) str_addf(s, "%s%%%zu \"y%zu\"", i ? "," : "", 99 + i, i);
  str_add(s, "\n}\n");
}

rlx_status case_graph(const table_case *c, table_variant v, rlx_graph **out_graph) {
  bool any = c->op->n_out == IR_ANY; /* the inference knows how many: try */
  rlx_status status = RLX_ERROR_FORMAT;
  for (size_t n = any ? 1 : c->op->n_out; status == RLX_ERROR_FORMAT && n <= TABLE_OUT; n++) {
    str text = {0};
    write_graph(&text, c, n, v);
    status = text.failed ? RLX_ERROR_MEMORY : rlx_graph_parse(text.data, NULL, out_graph);
    str_free(&text);
    if (!any) break;
  }
  return status;
}

const ir_node *case_node(const rlx_graph *g) {
  return graph_node_of(g, rlx_graph_output_value(g, 0));
}

/* --- values */

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

void case_values(const table_case *c, rlx_tensor **out_values) {
  uint64_t seed = hash_bytes(HASH_START, c->text, strlen(c->text));
  for (size_t i = 0; i < c->n_in; i++) {
    const table_operand *o = &c->in[i];
    out_values[i] = o->absent       ? NULL
                    : o->literal[0] ? literal_value(o)
                                    : random_value(o, hash_u64(seed, i));
  }
}

void values_free(rlx_tensor **values, size_t n) {
  for (size_t i = 0; i < n; i++) rlx_tensor_free(values[i]);
}
