/* rlx/ops.c: `rlx ops`: the table of operations, and the ONNX operators that are read. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void add_inputs(text *t, const rlx_op_info *op) {
  if (op->max_inputs == RLX_ANY) {
    text_addf(t, "%zu or more", op->min_inputs);
  } else if (op->max_inputs != op->min_inputs) {
    text_addf(t, "%zu-%zu", op->min_inputs, op->max_inputs);
  } else {
    text_addf(t, "%zu", op->min_inputs);
  }
}

static void add_outputs(text *t, const rlx_op_info *op) {
  if (op->n_outputs == RLX_ANY) {
    text_add(t, "any");
  } else {
    text_addf(t, "%zu", op->n_outputs);
  }
}

/* "axis: i64 = -1, mode: nearest|linear = nearest, to: dtype" */
static void add_attrs(text *t, size_t op_index, const rlx_op_info *op) {
  rlx_attr_info attr;
  for (size_t i = 0; rlx_op_attr_at(op_index, i, &attr); i++) {
    text_addf(t, "%s%s: %s", i ? ", " : "", attr.name, attr.words ? attr.words : attr.type);
    if (*attr.default_text) text_addf(t, " = %s", attr.default_text);
  }
  if (!op->n_attrs) text_add(t, "-");
}

/* --- the ONNX operators by name, each once, with the first opset that is read */

typedef struct onnx_list {
  rlx_onnx_info *rows;
  size_t n;
} onnx_list;

static int by_name(const void *a, const void *b) {
  const rlx_onnx_info *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  return order ? order : (x->since > y->since) - (x->since < y->since);
}

static onnx_list list_onnx(void) {
  onnx_list l = {NULL, 0};
  rlx_onnx_info row;
  size_t all = 0;
  while (rlx_onnx_at(all, &row)) all++;
  l.rows = must_alloc(all, sizeof *l.rows);
  for (size_t i = 0; i < all; i++) rlx_onnx_at(i, &l.rows[i]);
  qsort(l.rows, all, sizeof *l.rows, by_name);
  for (size_t i = 0; i < all; i++) {
    if (!l.n || strcmp(l.rows[l.n - 1].name, l.rows[i].name) != 0) l.rows[l.n++] = l.rows[i];
  }
  return l;
}

/* --- text */

static void ops_text(text *out) {
  rlx_op_info op;
  for (size_t i = 0; rlx_op_at(i, &op); i++) {
    size_t start = out->n;
    text_addf(out, "%s", op.name);
    text_pad(out, start, 22);
    add_inputs(out, &op);
    text_add(out, " -> ");
    add_outputs(out, &op);
    text_pad(out, start, 37);
    text_addf(out, "%s\n", op.doc);
    if (op.n_attrs) {
      text_add(out, "    attributes: ");
      add_attrs(out, i, &op);
      text_add(out, "\n");
    }
    if (*op.onnx) text_addf(out, "    ONNX: %s\n", op.onnx);
  }
  text_add(out, "\nONNX operators, with the first opset they are read from:\n");
  onnx_list onnx = list_onnx();
  size_t start = out->n;
  for (size_t i = 0; i < onnx.n; i++) {
    bool full = i && out->n - start > 80;
    text_add(out, full ? "\n" : i ? "  " : "");
    if (full) start = out->n;
    text_addf(out, "%s-%" PRId64, onnx.rows[i].name, onnx.rows[i].since);
  }
  free(onnx.rows);
  text_add(out, "\n");
}

/* --- Markdown */

static void add_cell(text *t, const char *s) {
  for (; *s; s++) text_addf(t, *s == '|' ? "\\%c" : "%c", *s);
}

static void ops_markdown(text *out) {
  text_add(out,
           "| operation | inputs | outputs | attributes | ONNX | what it does |\n"
           "| --- | --- | --- | --- | --- | --- |\n");
  rlx_op_info op;
  for (size_t i = 0; rlx_op_at(i, &op); i++) {
    text attrs = {0};
    add_attrs(&attrs, i, &op);
    text_addf(out, "| %s | ", op.name);
    add_inputs(out, &op);
    text_add(out, " | ");
    add_outputs(out, &op);
    text_add(out, " | ");
    add_cell(out, attrs.data);
    text_add(out, " | ");
    add_cell(out, op.onnx);
    text_add(out, " | ");
    add_cell(out, op.doc);
    text_add(out, " |\n");
    text_free(&attrs);
  }
  text_add(out, "\n| ONNX operator | from opset |\n| --- | --- |\n");
  onnx_list onnx = list_onnx();
  for (size_t i = 0; i < onnx.n; i++) {
    text_addf(out, "| %s | %" PRId64 " |\n", onnx.rows[i].name, onnx.rows[i].since);
  }
  free(onnx.rows);
}

/* --- JSON */

static void json_count(json *j, const char *key, size_t n) {
  if (n == RLX_ANY) {
    json_raw(j, key, "null");
  } else {
    json_int(j, key, (int64_t)n);
  }
}

static void json_op(json *j, size_t index, const rlx_op_info *op) {
  json_open(j, NULL, '{');
  json_text(j, "name", op->name);
  json_text(j, "doc", op->doc);
  json_text(j, "onnx", op->onnx);
  json_count(j, "min_inputs", op->min_inputs);
  json_count(j, "max_inputs", op->max_inputs);
  json_count(j, "outputs", op->n_outputs);
  json_open(j, "attributes", '[');
  rlx_attr_info attr;
  for (size_t i = 0; rlx_op_attr_at(index, i, &attr); i++) {
    json_open(j, NULL, '{');
    json_text(j, "name", attr.name);
    json_text(j, "type", attr.type);
    if (attr.words) json_text(j, "words", attr.words);
    if (*attr.default_text) json_text(j, "default", attr.default_text);
    json_close(j, '}');
  }
  json_close(j, ']');
  json_close(j, '}');
}

static void ops_json(text *out) {
  json j = {out, false};
  json_open(&j, NULL, '{');
  json_open(&j, "operations", '[');
  rlx_op_info op;
  for (size_t i = 0; rlx_op_at(i, &op); i++) json_op(&j, i, &op);
  json_close(&j, ']');
  json_open(&j, "onnx", '[');
  onnx_list onnx = list_onnx();
  for (size_t i = 0; i < onnx.n; i++) {
    json_open(&j, NULL, '{');
    json_text(&j, "name", onnx.rows[i].name);
    json_int(&j, "since", onnx.rows[i].since);
    json_close(&j, '}');
  }
  free(onnx.rows);
  json_close(&j, ']');
  json_close(&j, '}');
  text_add(out, "\n");
}

int cmd_ops(const args *a, text *out) {
  bool as_json = args_has(a, FLAG_JSON), markdown = args_has(a, FLAG_MARKDOWN);
  if (as_json && markdown) return fail_usage(a->command, "ops: --json or --markdown, not both");
  (as_json ? ops_json : markdown ? ops_markdown : ops_text)(out);
  return EXIT_OK;
}
