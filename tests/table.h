/* tests/table.h: the table harness: what its files share. README.md says how a case reads.
 *
 * op_table.c       goes through the table of operations
 * table_operand.c  one operand and its values
 * table_case.c     the text of a case and its graph
 * table_run.c      runs: reference, lazy, eager, views, empty and symbolic sizes, two threads
 * table_kernel.c   the operation's own CPU kernel, or its view, on operands in any order of memory
 * table_form.c     the text form, files, equality, hashes
 * table_grad.c     expansions and gradients
 * table_edges.c    cases of elementwise operations */
#ifndef TESTS_TABLE_H
#define TESTS_TABLE_H

#include <rlx/rlx.h>

#include "ir/graph.h"

#define TABLE_IN 16
#define TABLE_OUT 16

typedef struct table_operand {
  bool absent;
  rlx_dtype dtype;
  size_t rank;
  int64_t dims[RLX_MAX_RANK];
  bool ranged;
  double lo, hi;
  char literal[320]; /* "i64[3]{0,2,1}", or "" */
} table_operand;

typedef struct table_case {
  const ir_op *op;
  char text[512]; /* as it was given: what a failure prints */
  table_operand in[TABLE_IN];
  size_t n_in;
  char attrs[256];
  rlx_status expected;
  double tolerance; /* below 0: that of the dtype */
} table_case;

/* How the graph of a case differs from the plain one. */
typedef struct table_variant {
  bool views;     /* operands are transposes of inputs with reversed axes */
  bool symbolic;  /* sizes above 1 are names, the same name for the same size */
  bool constants; /* literal operands are constants of the graph */
} table_variant;

/* The length of a word: up to a blank or comma outside brackets. */
size_t operand_length(const char *p);
/* Reads "f32[2,3]{0.1:3}"; false where it cannot. */
bool operand_read(const char *word, table_operand *out);
/* Its literal, or random values, the same for the same seed. */
rlx_tensor *operand_value(const table_operand *o, uint64_t seed);

/* Reads "softmax f32[2,3] axis=1"; complains and returns false where it cannot. */
bool case_parse(const char *text, table_case *out_case);
/* The one-operation graph, with all outputs of the operation. */
rlx_status case_graph(const table_case *c, table_variant v, rlx_graph **out_graph);
/* The operands' values, the same at every call; NULL for absent ones. */
void case_values(const table_case *c, rlx_tensor **out_values);
void values_free(rlx_tensor **values, size_t n);
/* The node of the operation. */
const ir_node *case_node(const rlx_graph *g);

typedef struct table_result {
  rlx_status status;
  char error[400];
  rlx_tensor *out[TABLE_OUT];
  size_t n;
} table_result;
/* Compiles and runs; `values` are those of the operands, as case_values gives them. */
table_result case_run(const rlx_graph *g, rlx_device device, rlx_mode mode, table_variant v,
                      rlx_tensor *const *values);
void result_free(table_result *r);
/* Complains under the name `what` where the two differ; true where they do not. */
bool result_check(const table_case *c, const char *what, const table_result *got,
                  const table_result *want);

/* Cases of elementwise operations that no range finds; the last is NULL. */
extern const char *const table_edges[];

/* The checks; each complains through table_fail. */
void check_runs(const table_case *c);
void check_refusal(const table_case *c); /* of a case with `!status` */
/* Within check_runs, on the case's graph, values and result. */
void check_kernel(const table_case *c, const rlx_graph *g, rlx_tensor *const *values,
                  const table_result *want);
void check_form(const table_case *c);
void check_expand(const table_case *c);
void check_gradient(const table_case *c);

/* Prints the command that repeats the case, and what is wrong; counts the case as failed. */
void table_fail(const table_case *c, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The library's own calls that must not fail whatever the case is. */
void table_need(rlx_status status);

#endif
