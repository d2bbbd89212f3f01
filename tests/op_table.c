/* tests/op_table.c: the table harness: every operation of the table, every case, every check.
 *
 *   op_table                                all operations
 *   op_table softmax                        one operation
 *   op_table 'softmax f32[2,3,4] axis=1'    one case: what a failure prints
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "mlx/lock.h"
#include "table.h"

static struct {
  const char *program;
  size_t passed, failed;
  bool bad; /* the case under way */
} run;

void table_fail(const table_case *c, const char *what, const char *format, ...) {
  if (!run.bad) printf("%s '%s'\n", run.program, c->text);
  run.bad = true;
  va_list args;
  va_start(args, format);
  printf("    %s: ", what);
  vprintf(format, args);
  printf("\n");
  va_end(args);
}

void table_need(rlx_status status) {
  if (status == RLX_OK) return;
  printf("op_table: %s: %s\n", rlx_status_name(status), rlx_last_error());
  exit(2);
}

static void begin(void) { run.bad = false; }
static void end(void) { ++*(run.bad ? &run.failed : &run.passed); }

static void check_case(const table_case *c) {
  if (c->expected != RLX_OK) {
    check_refusal(c);
    return;
  }
  check_runs(c);
  check_form(c);
  check_expand(c);
  check_gradient(c);
}

static void run_text(const char *text) {
  table_case c;
  begin();
  if (case_parse(text, &c)) check_case(&c);
  end();
}

/* The same for cases made here, of which the operation takes only some dtypes. */
static void try_text(const char *text) {
  table_case c;
  rlx_graph *g;
  begin();
  if (case_parse(text, &c)) {
    rlx_status status = case_graph(&c, (table_variant){0}, &g);
    if (status == RLX_ERROR_DTYPE) return;
    if (status == RLX_OK) rlx_graph_free(g);
    check_case(&c);
  }
  end();
}

/* --- elementwise operations: all plain dtypes, several ranges, broadcast, empty and 0-d shapes */

typedef struct value_range {
  rlx_dtype_kind kind;
  const char *text;
} value_range;
static const value_range ranges[] = {
    {RLX_KIND_BOOL, ""},         {RLX_KIND_UINT, ""},           {RLX_KIND_UINT, "{0:120}"},
    {RLX_KIND_INT, ""},          {RLX_KIND_INT, "{-9:9}"},      {RLX_KIND_INT, "{-128:128}"},
    {RLX_KIND_FLOAT, ""},        {RLX_KIND_FLOAT, "{0.1:3}"},   {RLX_KIND_FLOAT, "{1.1:4}"},
    {RLX_KIND_COMPLEX, ""},      {RLX_KIND_COMPLEX, "{0.1:3}"}, {RLX_KIND_COMPLEX, "{1.1:4}"},
};
/* Shapes of one or two operands, the first with every range, the others with one. */
static const char *const shapes[][2] = {
    {"[3,4]", "[3,4]"}, {"[2,1,3]", "[4,1]"}, {"[3]", "[]"}, {"[]", "[]"}, {"[0,3]", "[1,3]"}};
static const char *const extremes = "[7]{nan,inf,-inf,0,-0,60,-60}";

/* Attributes away from their defaults, which are often neutral. */
static void add_attrs(str *s, const ir_op *op) {
  for (size_t i = 0; i < op->n_attrs; i++)
    if (op->attrs[i].type == IR_F64)
      str_addf(s, " %s=%g", op->attrs[i].name, 0.25 + 0.5 * (double)i);
}

static void try_operands(const ir_op *op, const char *dtype, const char *const *shape,
                         const char *range, bool attrs) {
  str s = {0};
  str_addf(&s, "%s", op->name);
  for (size_t i = 0; i < op->min_in; i++)
    str_addf(&s, "%s %s%s%s", i ? "," : "", dtype, shape[i], range);
  if (attrs) add_attrs(&s, op);
  try_text(s.data);
  str_free(&s);
}

static void run_elementwise(const ir_op *op) {
  for (int d = 0; d <= RLX_C64; d++) {
    const char *dtype = dtype_name((rlx_dtype)d), *range = NULL;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
      if (ranges[i].kind != dtype_kind((rlx_dtype)d)) continue;
      range = ranges[i].text;
      try_operands(op, dtype, shapes[0], range, false);
    }
    for (size_t i = 1; i < sizeof shapes / sizeof shapes[0]; i++)
      try_operands(op, dtype, shapes[i], range, false);
    if (op->n_attrs) try_operands(op, dtype, shapes[0], "", true);
  }
  const char *const both[2] = {extremes, "[7]{nan,1,inf,-1,0,2,-inf}"};
  try_operands(op, "f32", both, "", false);
}

/* --- operations */

static void need(const table_case *c, bool there, const char *what) {
  if (!there) table_fail(c, "row", "%s", what);
}

/* What every row must say. */
static void check_row(const ir_op *op) {
  const ir_hooks *h = op->hooks;
  table_case c = {.op = op};
  snprintf(c.text, sizeof c.text, "%s", op->name);
  begin();
  need(&c, op->doc && op->doc[0], "no doc");
  need(&c, h->infer, "no infer");
  if (!(op->traits & IR_LEAF)) {
    need(&c, h->ref || h->no_ref, "no ref, and no reason (no_ref)");
    need(&c, h->lower || h->expand || h->no_lower || op->traits & IR_CUT,
         "no lower, no expand, and no reason (no_lower)");
    need(&c, h->vjp || h->expand || h->no_grad, "no vjp, no expand, and no reason (no_grad)");
#if RLX_SELFTEST
    need(&c, h->cases || (op->traits & (IR_ELEMENTWISE | IR_CONTROL)), "no cases"); /* control_test */
#endif
  }
  end();
}

static void run_cases(const ir_op *op) {
  const char *p = op->hooks->cases;
  while (p && *p) {
    p += strspn(p, " ");
    size_t n = strcspn(p, ";");
    str s = {0};
    str_addf(&s, "%s %.*s", op->name, (int)n, p);
    run_text(s.data);
    str_free(&s);
    p += n + (p[n] == ';');
  }
}

static void run_edges(const ir_op *op) {
  const size_t n = strlen(op->name);
  for (size_t i = 0; table_edges[i]; i++)
    if (!strncmp(table_edges[i], op->name, n) && table_edges[i][n] == ' ') run_text(table_edges[i]);
}

static void run_op(const ir_op *op) {
  size_t failed = run.failed, passed = run.passed;
  check_row(op);
  if (op->traits & IR_ELEMENTWISE) {
    run_elementwise(op);
    run_edges(op);
  }
  run_cases(op);
  if (run.failed > failed)
    printf("-- %s: %zu passed, %zu failed\n", op->name, run.passed - passed, run.failed - failed);
}

int main(int argc, char **argv) {
  run.program = argv[0];
  setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not lose what came before */
  if (argc == 1)
    for (size_t i = 0; op_at(i); i++) run_op(op_at(i));
  for (int i = 1; i < argc; i++) {
    const ir_op *op = op_find(argv[i]);
    if (op) run_op(op);
    else run_text(argv[i]);
  }
  if (lock_violations() != 0) printf("MLX was called without the runtime lock\n");
  printf("%zu passed, %zu failed\n", run.passed, run.failed);
  return run.failed != 0 || lock_violations() != 0;
}
