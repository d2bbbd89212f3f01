/* tests/table_form.c: print, parse, save, load, equality and hashes of a case's graph. */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"

/* --- text and file */

/* Frees b. */
static void check_same(const table_case *c, const char *what, const rlx_graph *a, rlx_graph *b) {
  if (!rlx_graph_equal(a, b)) table_fail(c, what, "the graph that comes back is another");
  else if (rlx_graph_hash(a) != rlx_graph_hash(b)) table_fail(c, what, "equal, but another hash");
  rlx_graph_free(b);
}

static char *print(const rlx_graph *g, rlx_tensors *blobs) {
  char *text;
  table_need(rlx_graph_print(g, &text, blobs));
  return text;
}

static void check_text(const table_case *c, const rlx_graph *g) {
  rlx_tensors *blobs;
  table_need(rlx_tensors_create(&blobs));
  char *text = print(g, blobs);
  rlx_graph *back;
  if (rlx_graph_parse(text, blobs, &back) != RLX_OK) {
    table_fail(c, "print and parse", "%s in:\n%s", rlx_last_error(), text);
  } else {
    char *again = print(back, blobs);
    if (strcmp(text, again) != 0)
      table_fail(c, "print and parse", "printed again:\n%s, before:\n%s", again, text);
    rlx_string_free(again);
    check_same(c, "print and parse", g, back);
  }
  rlx_string_free(text);
  rlx_tensors_free(blobs);
}

static void check_file(const table_case *c, const rlx_graph *g) {
  char folder[] = "op_table_XXXXXX", path[40];
  if (!mkdtemp(folder)) table_need(RLX_ERROR_IO);
  snprintf(path, sizeof path, "%s/case.rlx", folder);
  rlx_graph *back;
  if (rlx_graph_save(g, path) != RLX_OK || rlx_graph_load(path, &back) != RLX_OK) {
    table_fail(c, "save and load", "%s", rlx_last_error());
  } else {
    check_same(c, "save and load", g, back);
  }
  unlink(path);
  rmdir(folder);
}

/* --- every attribute counts: change one at a time */

/* Where a changed list or word lives. */
typedef union scratch {
  int64_t ints[32];
  double reals[32];
  char word[256];
} scratch;

/* Numbers near the ends, which stand for "as far as it goes", start again at 0. */
static int64_t stepped(int64_t v, int64_t step) {
  return (v > INT64_MAX / 2 || v < INT64_MIN / 2 ? 0 : v) + step;
}

/* In turn: each number a step up or down, a number more, neighbours exchanged, a number less. */
static bool change_list(const ir_attr *a, void *field, size_t attempt, scratch *s) {
  static const int64_t steps[4] = {1, -1, 2, -2};
  rlx_ints *list = field;
  size_t n = list->n;
  if (n >= 16) return false;
  if (n) memcpy(s->ints, list->data, n * sizeof *list->data);
  list->data = s->ints;
  if (attempt < 4 * n) {
    if (a->type == IR_REALS) s->reals[attempt / 4] *= (double)steps[attempt % 4] + 0.5;
    else s->ints[attempt / 4] = stepped(s->ints[attempt / 4], steps[attempt % 4]);
    return true;
  }
  attempt -= 4 * n;
  if (attempt < 4) {
    if (a->type == IR_REALS) s->reals[n] = (double)attempt + 0.5;
    else s->ints[n] = (int64_t)attempt;
    list->n++;
    return true;
  }
  attempt -= 4;
  if (attempt + 1 < n) {
    int64_t kept = s->ints[attempt];
    s->ints[attempt] = s->ints[attempt + 1];
    s->ints[attempt + 1] = kept;
    return true;
  }
  if (n) list->n--;
  return n && attempt + 1 == n;
}

static bool change_word(const ir_attr *a, void *field, size_t attempt, scratch *s) {
  const char *w = a->words;
  for (; attempt; attempt--) {
    w += strcspn(w, "|");
    if (!*w++) return false;
  }
  snprintf(s->word, sizeof s->word, "%.*s", (int)strcspn(w, "|"), w);
  *(const char **)field = s->word;
  return true;
}

/* Attempts 0, 1, .. give other values, which need not be valid. False when there are no more. */
static bool change_field(const ir_attr *a, void *field, size_t attempt, scratch *s) {
  static const int64_t steps[6] = {1, -1, 2, -2, 4, 8};
  static const double factors[3] = {0.5, 2, -1};
  switch (a->type) {
    case IR_I64:
    case IR_DIM:
      if (attempt >= 6) return false;
      *(int64_t *)field = stepped(*(int64_t *)field, steps[attempt]);
      return true;
    case IR_F64: {
      double *v = field;
      if (attempt >= 3) return false;
      *v = isfinite(*v) && *v != 0 ? *v * factors[attempt] : factors[attempt];
      return true;
    }
    case IR_FLAG: *(bool *)field = !*(bool *)field; return attempt == 0;
    case IR_DTYPE: *(rlx_dtype *)field = (rlx_dtype)attempt; return attempt <= RLX_C64;
    case IR_WORD: return change_word(a, field, attempt, s);
    case IR_INTS:
    case IR_DIMS:
    case IR_REALS: return change_list(a, field, attempt, s);
    default: return false; /* texts and tensors belong to leaves */
  }
}

/* Compares fields without the library's own equality, which is what is being tested. */
static bool field_same(const ir_attr *a, const void *x, const void *y) {
  const rlx_ints *lx = x, *ly = y;
  if (a->type == IR_WORD) return strcmp(*(const char *const *)x, *(const char *const *)y) == 0;
  if (a->type != IR_INTS && a->type != IR_DIMS && a->type != IR_REALS)
    return memcmp(x, y, a->size) == 0;
  return lx->n == ly->n && (!lx->n || memcmp(lx->data, ly->data, lx->n * sizeof *lx->data) == 0);
}

/* The case's graph with other attributes, or NULL if the operation refuses them. */
static rlx_graph *with_attrs(const rlx_graph *g, const void *attrs) {
  rlx_graph *other;
  rlx_val in[TABLE_IN] = {0};
  const ir_node *node = case_node(g);
  table_need(rlx_graph_create("case", &other));
  for (uint32_t i = 0, k = 0; i < node->n_in; i++) {
    if (!node->in[i].id) continue;
    const ir_type *t = &graph_value(g, node->in[i])->type;
    in[i] = rlx_input(other, rlx_graph_input_name(g, k++), t->dtype, t->rank, t->dims);
  }
  rlx_val first = rlx_graph_add(other, node->op->name, in, node->n_in, attrs);
  for (uint32_t i = 0; i < node->n_out; i++) {
    char name[16];
    snprintf(name, sizeof name, "y%u", i);
    rlx_graph_output(other, name, rlx_nth(first, i));
  }
  if (rlx_graph_status(other) == RLX_OK) return other;
  rlx_graph_free(other);
  return NULL;
}

/* True if `other` differs in the attribute, so that the check could be made. */
static bool check_changed(const table_case *c, const ir_attr *a, const rlx_graph *g,
                          const rlx_graph *other) {
  if (field_same(a, attr_at(a, case_node(g)->attrs), attr_at(a, case_node(other)->attrs)))
    return false;
  char *before = print(g, NULL), *after = print(other, NULL);
  if (rlx_graph_equal(g, other) || rlx_graph_hash(g) == rlx_graph_hash(other) ||
      strcmp(before, after) == 0)
    table_fail(c, "hash", "'%s' does not count in equality, hash or text:\n%s%s", a->name, before,
               after);
  rlx_string_free(before);
  rlx_string_free(after);
  return true;
}

static void check_attr(const table_case *c, const ir_attr *a, const rlx_graph *g) {
  union {
    rlx_ints force_alignment;
    char bytes[512];
  } attrs;
  const ir_node *node = case_node(g);
  if (node->op->attrs_size > sizeof attrs) table_need(RLX_ERROR_LIMIT);
  for (size_t attempt = 0;; attempt++) {
    scratch s;
    memcpy(attrs.bytes, node->attrs, node->op->attrs_size);
    if (!change_field(a, attrs.bytes + a->offset, attempt, &s)) return;
    /* As long as the operation refuses the change, at least the structs must differ. */
    if (!field_same(a, attr_at(a, node->attrs), attr_at(a, attrs.bytes)) &&
        (attrs_equal(node->op, node->attrs, g, attrs.bytes, g) ||
         attrs_hash(node->op, node->attrs, g, 0) == attrs_hash(node->op, attrs.bytes, g, 0)))
      table_fail(c, "hash", "'%s' does not count among the attributes", a->name);
    rlx_graph *other = with_attrs(g, attrs.bytes);
    bool done = other && check_changed(c, a, g, other);
    rlx_graph_free(other);
    if (done) return;
  }
}

void check_form(const table_case *c) {
  rlx_graph *g;
  if (case_graph(c, (table_variant){0}, &g) != RLX_OK) return; /* check_runs complains */
  check_text(c, g);
  check_file(c, g);
  for (size_t i = 0; i < c->op->n_attrs; i++) check_attr(c, &c->op->attrs[i], g);
  rlx_graph_free(g);
}
