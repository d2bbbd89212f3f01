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
  return c->n_in < TABLE_IN && operand_read(word, &c->in[c->n_in++]);
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
    size_t n = operand_length(p);
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

void case_values(const table_case *c, rlx_tensor **out_values) {
  uint64_t seed = hash_bytes(HASH_START, c->text, strlen(c->text));
  for (size_t i = 0; i < c->n_in; i++) {
    const table_operand *o = &c->in[i];
    out_values[i] = o->absent ? NULL : operand_value(o, hash_u64(seed, i));
  }
}

void values_free(rlx_tensor **values, size_t n) {
  for (size_t i = 0; i < n; i++) rlx_tensor_free(values[i]);
}
