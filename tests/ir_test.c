/* tests/ir_test.c: symbolic sizes, the builder's checks, contents of integers, the text form. */
#include <rlx/ops.h>
#include <rlx/registry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ir/graph.h"
#include "pass/pass.h"

static rlx_graph *new_graph(void) {
  rlx_graph *g;
  assert_int_equal(rlx_graph_create("test", &g), RLX_OK);
  return g;
}

static void assert_type(const rlx_graph *g, rlx_val v, const char *want) {
  char got[256];
  rlx_val_type_text(g, v, got, sizeof got);
  assert_string_equal(got, want);
}

/* --- sizes */

static const char *const names[] = {"a", "b", "c"};
static int64_t numbers[3];

static rlx_dim number_of(void *ctx, const char *name) {
  (void)ctx;
  for (size_t i = 0; i < 3; i++)
    if (strcmp(names[i], name) == 0) return numbers[i];
  return -1; /* an invented name: the expression was given up */
}

static uint64_t state = 1;
static int64_t draw(int64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (int64_t)((state >> 33) % (uint64_t)n);
}

static int64_t floor_of(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

/* A random expression, as a dim and as a number; *ok turns false where division makes no sense. */
static rlx_dim random_expression(rlx_graph *g, int depth, int64_t *value, bool *ok) {
  if (depth == 0 || draw(4) == 0) {
    const int64_t pick = draw(5);
    if (pick < 3) return *value = numbers[pick], rlx_dim_named(g, names[pick]);
    return *value = draw(9) - 2;
  }
  int64_t x = 0, y = 0;
  const rlx_dim a = random_expression(g, depth - 1, &x, ok);
  const rlx_dim b = random_expression(g, depth - 1, &y, ok);
  const rlx_dim_op op = (rlx_dim_op)draw(7);
  if ((op == RLX_DIM_FLOORDIV || op == RLX_DIM_CEILDIV) && y == 0) *ok = false;
  if (!*ok) return 0;
  switch (op) {
    case RLX_DIM_ADD: *value = x + y; break;
    case RLX_DIM_SUB: *value = x - y; break;
    case RLX_DIM_MUL: *value = x * y; break;
    case RLX_DIM_FLOORDIV: *value = floor_of(x, y); break;
    case RLX_DIM_CEILDIV: *value = -floor_of(-x, y); break;
    case RLX_DIM_MIN: *value = x < y ? x : y; break;
    case RLX_DIM_MAX: *value = x > y ? x : y; break;
  }
  return rlx_dim_combine(g, op, a, b);
}

/* Canonical forms mean what they were made of, and survive printing. */
static void dims_mean_what_they_say(void **unused) {
  (void)unused;
  int compared = 0;
  for (int round = 0; round < 20000; round++) {
    rlx_graph *g = new_graph();
    for (size_t i = 0; i < 3; i++) numbers[i] = 1 + draw(12);
    bool ok = true;
    int64_t value = 0;
    const rlx_dim d = random_expression(g, 4, &value, &ok);
    const rlx_dim got = ok ? dim_substitute(&g->dims, &g->dims, d, number_of, NULL) : 0;
    if (ok && dim_known(got) && g->dims.fresh == 0) {
      assert_int_equal(got, value);
      str text = {0};
      dim_print(&g->dims, d, &text);
      const char *p = text.data;
      rlx_dim back;
      assert_int_equal(dim_parse(&g->dims, &p, &back), RLX_OK);
      assert_int_equal(back, d);
      str_free(&text);
      compared++;
    }
    rlx_graph_free(g);
  }
  assert_true(compared > 10000);
}

static void assert_dim(rlx_graph *g, const char *text, const char *want) {
  rlx_dim d;
  str out = {0};
  assert_int_equal(dim_parse(&g->dims, &text, &d), RLX_OK);
  dim_print(&g->dims, d, &out);
  assert_string_equal(out.data, want);
  str_free(&out);
}

static void dims_are_canonical(void **unused) {
  (void)unused;
  rlx_graph *g = new_graph();
  assert_dim(g, "b+a-b", "a");
  assert_dim(g, "floordiv(64*a*b, 64*a)", "b");
  assert_dim(g, "floordiv((a+1)*b, a+1)", "b");
  assert_dim(g, "floordiv(4*a+6, 4)", "a+1");
  assert_dim(g, "max(a, 0)", "a");
  assert_dim(g, "min(a, a+3)", "a");
  assert_dim(g, "ceildiv(a, 1)", "a");
  assert_dim(g, "max(b, b)", "b");
  assert_dim(g, "max(a, min(a, 7))", "a");
  assert_dim(g, "max(a, max(b, a))", "max(b,a)");
  assert_dim(g, "floordiv(floordiv(a+1, 2)+1, 2)", "floordiv(a+3,4)");
  rlx_graph_free(g);
}

static void dims_survive_overflow(void **unused) {
  (void)unused;
  rlx_graph *g = new_graph();
  rlx_dim d = rlx_dim_named(g, "n");
  for (int i = 0; i < 80; i++) d = rlx_dim_combine(g, RLX_DIM_MUL, d, 3);
  assert_false(dim_known(d));
  for (int i = 0; i < 500; i++) /* nested deeper than is kept: invented names take over */
    d = rlx_dim_combine(g, RLX_DIM_FLOORDIV, rlx_dim_combine(g, RLX_DIM_ADD, d, 1), 2);
  assert_false(dim_known(d));
  assert_false(dim_known(rlx_dim_combine(g, RLX_DIM_FLOORDIV, rlx_dim_named(g, "n"), 0)));
  d = rlx_dim_combine(g, RLX_DIM_ADD, rlx_dim_named(g, "n"), RLX_DIM_HANDLES);
  d = rlx_dim_combine(g, RLX_DIM_ADD, d, -1);
  assert_non_null(dim_name(&g->dims, d)); /* its number would read as a handle */
  assert_int_equal(rlx_graph_status(g), RLX_OK);
  rlx_graph_free(g);
}

/* A walk over an expression visits what it shares each time: doubled 60 times it would not end. */
static void dims_stay_small(void **unused) {
  (void)unused;
  rlx_graph *g = new_graph();
  const rlx_dim n = rlx_dim_named(g, "n");
  rlx_dim d = n;
  for (int i = 0; i < 60; i++) {
    str text = {0};
    d = rlx_dim_combine(g, RLX_DIM_ADD, rlx_dim_combine(g, RLX_DIM_MUL, d, d), n);
    d = rlx_dim_combine(g, RLX_DIM_FLOORDIV, d, 3);
    dim_print(&g->dims, d, &text);
    assert_true(text.n < 65536);
    str_free(&text);
  }
  rlx_dim_combine(g, (rlx_dim_op)99, n, 2);
  assert_int_equal(rlx_graph_status(g), RLX_ERROR_ARGUMENT);
  rlx_graph_free(g);
}

/* --- NULL */

static void null_is_answered(void **unused) {
  (void)unused;
  const int64_t dims[] = {1};
  const float data[] = {1};
  rlx_tensor *t;
  rlx_tensors *list;
  assert_int_equal(rlx_tensor_create(RLX_F32, 1, dims, NULL), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensor_wrap(RLX_F32, 1, dims, data, 4, NULL, NULL, NULL),
                   RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensor_create(RLX_F32, 1, dims, &t), RLX_OK);
  assert_int_equal(rlx_tensor_dtype(NULL), RLX_DTYPE_COUNT);
  assert_int_equal(rlx_tensor_rank(NULL) + rlx_tensor_bytes(NULL), 0);
  assert_int_equal(rlx_tensor_count(NULL) + rlx_tensor_int(NULL, 0), 0);
  assert_true(rlx_tensor_real(NULL, 0) != rlx_tensor_real(NULL, 0));
  assert_true(!rlx_tensor_dims(NULL) && !rlx_tensor_data(NULL) && !rlx_tensor_mutable(NULL));
  assert_int_equal(rlx_tensor_random(NULL, 1), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensor_compare(NULL, t, &(rlx_difference){0}), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensor_compare(t, NULL, &(rlx_difference){0}), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensor_compare(t, t, NULL), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensors_create(NULL), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensors_create(&list), RLX_OK);
  assert_int_equal(rlx_tensors_set(NULL, "a", t), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensors_set(list, NULL, t), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensors_set(list, "a", NULL), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_dtype_find(NULL), RLX_DTYPE_COUNT);
  assert_true(rlx_op_at(0, NULL) && rlx_op_attr_at(0, 0, NULL) && rlx_onnx_at(0, NULL));
  assert_true(rlx_op_find("add", NULL) && !rlx_op_find(NULL, NULL));
  assert_int_equal(rlx_val_type_text(NULL, RLX_NIL, NULL, 9), 0);
  rlx_tensors_free(list);
  rlx_tensor_free(t);
}

/* --- the builder */

static void errors_are_sticky(void **unused) {
  (void)unused;
  rlx_graph *g = new_graph();
  const rlx_dim three = 3, four = 4;
  const rlx_val x = rlx_input(g, "x", RLX_F32, 1, &three);
  const rlx_val y = rlx_input(g, "y", RLX_F32, 1, &four);
  assert_int_equal(rlx_add(g, x, y).id, 0);
  assert_int_equal(rlx_graph_status(g), RLX_ERROR_SHAPE);
  assert_non_null(strstr(rlx_graph_error(g), "add(f32[3], f32[4])"));
  rlx_graph_output(g, "y", rlx_exp(g, x));
  assert_int_equal(rlx_graph_output_count(g), 0);
  rlx_graph_free(g);
}

static void bad_calls_are_statuses(void **unused) {
  (void)unused;
  const rlx_dim three = 3, negative = -3;
  static const char *const bad_names[] = {"", "3x", "a b", "a*b"};
  rlx_graph *g = new_graph();
#define FAILS(expr, status)                        \
  do {                                             \
    (void)(expr);                                  \
    assert_int_equal(rlx_graph_status(g), status); \
    rlx_graph_free(g);                             \
    g = new_graph();                               \
  } while (0)
  FAILS(rlx_graph_add(g, "no_such_op", NULL, 0, NULL), RLX_ERROR_NOT_FOUND);
  FAILS(rlx_graph_add(g, NULL, NULL, 0, NULL), RLX_ERROR_NOT_FOUND);
  FAILS(rlx_graph_add(g, "exp", NULL, 1, NULL), RLX_ERROR_ARGUMENT);
  FAILS(rlx_exp(g, (rlx_val){77}), RLX_ERROR_ARGUMENT);
  FAILS(rlx_exp(g, RLX_NIL), RLX_ERROR_ARGUMENT);
  FAILS(rlx_input(g, NULL, RLX_F32, 1, &three), RLX_ERROR_ARGUMENT);
  FAILS(rlx_input(g, "x", (rlx_dtype)999, 1, &three), RLX_ERROR_DTYPE);
  FAILS(rlx_input(g, "x", RLX_F32, 1, &negative), RLX_ERROR_SHAPE);
  FAILS(rlx_input(g, "x", RLX_F32, 2, NULL), RLX_ERROR_ARGUMENT);
  FAILS((rlx_input(g, "x", RLX_F32, 1, &three), rlx_input(g, "x", RLX_F32, 1, &three)),
        RLX_ERROR_ARGUMENT);
  FAILS(rlx_constant(g, NULL), RLX_ERROR_ARGUMENT);
  FAILS(rlx_scalar(g, RLX_U8, 300), RLX_ERROR_ARGUMENT);
  FAILS(rlx_scalar(g, RLX_I32, 0.5), RLX_ERROR_ARGUMENT);
  FAILS(rlx_graph_output(g, "y", RLX_NIL), RLX_ERROR_ARGUMENT);
  FAILS(rlx_dim_combine(g, RLX_DIM_ADD, INT64_MIN + 50, 1), RLX_ERROR_ARGUMENT);
  for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++)
    FAILS(rlx_dim_named(g, bad_names[i]), RLX_ERROR_ARGUMENT);
  uint32_t short_struct = 1;
  FAILS(rlx_graph_add(g, "softmax", (rlx_val[]){rlx_input(g, "x", RLX_F32, 1, &three)}, 1,
                      &short_struct),
        RLX_ERROR_ARGUMENT);
#undef FAILS
  rlx_graph_free(g);
}

/* An attribute struct of an older library leaves the newer fields at their defaults. */
static void old_structs_are_completed(void **unused) {
  (void)unused;
  rlx_graph *g = new_graph();
  const rlx_dim dims[] = {2, 3};
  const rlx_val x = rlx_input(g, "x", RLX_F32, 2, dims);
  rlx_argmax_attrs a = rlx_argmax_init();
  a.axis = 0;
  a.keep = true;
  a.struct_size = offsetof(rlx_argmax_attrs, keep); /* `keep` did not exist yet */
  assert_type(g, rlx_argmax(g, x, &a), "i64[3]");
  rlx_graph_free(g);
}

/* --- contents: what exporters write is seen through */

/* A graph of one stage for these input shapes. */
static rlx_status bind_all(const rlx_graph *g, const int64_t *const *sizes, rlx_graph **out) {
  rlx_tensor *const by_value[8] = {NULL};
  size_names bound_names = {.src = g};
  stages s = {0};
  rlx_status status = pass_name_inputs(&bound_names, sizes);
  if (status == RLX_OK) status = stages_make(g, &s);
  if (status == RLX_OK) status = pass_bind(&bound_names, &s.data[0], by_value, pass_legal, out);
  stages_free(&s);
  map_free(&bound_names.names);
  return status;
}

static void shape_arithmetic_is_symbolic(void **unused) {
  (void)unused;
  rlx_graph *g;
  char *text;
  assert_int_equal(rlx_graph_parse("graph \"t\" {\n"
                                   "  %1 = input name=\"x\" dtype=f32 dims=[n,12,h]\n"
                                   "  %2 = shape_of(%1)\n"
                                   "  %3 = slice(%2) starts=[0] stops=[1]\n"
                                   "  %4 = slice(%2) starts=[2] stops=[3]\n"
                                   "  %5 = constant data=i64[1]{4}\n"
                                   "  %6 = constant data=i64[1]{3}\n"
                                   "  %7 = mul(%4, %6)\n"
                                   "  %8 = concat(%3, %5, %7)\n"
                                   "  %9 = reshape(%1) dims=%8\n"
                                   "  return %9 \"y\"\n}\n",
                                   NULL, &g),
                   RLX_OK);
  assert_type(g, rlx_graph_output_value(g, 0), "f32[n,4,3*h]");
  /* Nothing but the reshape is left when the graph is prepared. */
  rlx_graph *folded;
  assert_int_equal(pass_rebuild(g, pass_fold, NULL, &folded), RLX_OK);
  const int64_t sizes[] = {2, 12, 5}, *const list[] = {sizes};
  rlx_graph *bound;
  assert_int_equal(bind_all(folded, list, &bound), RLX_OK);
  assert_type(bound, rlx_graph_output_value(bound, 0), "f32[2,4,15]");
  assert_int_equal(rlx_graph_print(bound, &text, NULL), RLX_OK);
  rlx_string_free(text);
  rlx_graph_free(bound);
  rlx_graph_free(folded);
  rlx_graph_free(g);
}

static void shapes_must_fit(void **unused) {
  (void)unused;
  rlx_graph *g = new_graph(), *bound;
  const rlx_dim n = rlx_dim_named(g, "n");
  const rlx_dim a[] = {n, 3}, b[] = {n};
  rlx_graph_output(g, "s", rlx_shape_of(g, rlx_input(g, "a", RLX_F32, 2, a), NULL));
  rlx_graph_output(g, "t", rlx_exp(g, rlx_input(g, "b", RLX_F32, 1, b)));
  static const int64_t good[][2] = {{4, 3}, {4}}, other_n[][2] = {{4, 3}, {5}},
                       other_3[][2] = {{4, 4}, {4}};
  const int64_t *const fits[] = {good[0], good[1]};
  const int64_t *const disagree[] = {other_n[0], other_n[1]};
  const int64_t *const wrong[] = {other_3[0], other_3[1]};
  assert_int_equal(bind_all(g, fits, &bound), RLX_OK);
  rlx_graph_free(bound);
  assert_int_equal(bind_all(g, disagree, &bound), RLX_ERROR_SHAPE);
  assert_int_equal(bind_all(g, wrong, &bound), RLX_ERROR_SHAPE);
  assert_non_null(strstr(rlx_last_error(), "input 'a' is declared f32[n,3], got f32[4,4]"));
  rlx_graph_free(g);
}

/* --- text */

static const char sample[] =
    "graph \"a \\\"b\\\"\" {\n"
    "  %1 = input name=\"x\" dtype=f32 dims=[n,3] # \"layer/1\"\n"
    "  %2 = constant data=f32[3]{1,-2.5,inf} # \"layer/1\"\n"
    "  %3 = add(%1, %2)\n"
    "  %4:2 = topk(%3) k=2 axis=1\n"
    "  %6 = cast(%5) to=f32\n"
    "  return %4 \"values\", %6 \"indices\"\n"
    "}\n";

static void text_round_trips(void **unused) {
  (void)unused;
  rlx_graph *g, *again;
  char *text;
  assert_int_equal(rlx_graph_parse(sample, NULL, &g), RLX_OK);
  assert_int_equal(rlx_graph_print(g, &text, NULL), RLX_OK);
  assert_string_equal(text, sample);
  assert_int_equal(rlx_graph_parse(text, NULL, &again), RLX_OK);
  assert_true(rlx_graph_equal(g, again));
  assert_int_equal(rlx_graph_hash(g), rlx_graph_hash(again));
  rlx_string_free(text);
  rlx_graph_free(again);
  rlx_graph_free(g);
}

/* Every prefix and many one-character changes: a status or a graph, never a crash. */
static void hostile_text(void **unused) {
  (void)unused;
  char copy[sizeof sample];
  rlx_graph *g;
  for (size_t n = 0; n + 2 < sizeof sample; n++) {
    memcpy(copy, sample, n);
    copy[n] = 0;
    assert_int_not_equal(rlx_graph_parse(copy, NULL, &g), RLX_OK);
    assert_null(g);
  }
  for (int round = 0; round < 20000; round++) {
    memcpy(copy, sample, sizeof sample);
    copy[draw(sizeof sample - 1)] = (char)(32 + draw(95));
    if (rlx_graph_parse(copy, NULL, &g) == RLX_OK) rlx_graph_free(g);
  }
  static const char *const bad[] = {
      "graph \"g\" { %1 = input name=\"x\" dtype=f32 dims=[9223372036854775807,9] }",
      "graph \"g\" { %1 = constant data=f32[99999999999]{1} }",
      "graph \"g\" { %1 = constant data=@nothing }",
      "graph \"g\" { %1 = constant data=u64[1]{18446744073709551616} }",
      "graph \"g\" { %1 = exp(%1) }",
      "graph \"g\" { %1 = range count=[((((((((((((((((((((((((((((((((((((((((((((((((((((((((((",
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_not_equal(rlx_graph_parse(bad[i], NULL, &g), RLX_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(dims_mean_what_they_say), cmocka_unit_test(dims_are_canonical),
      cmocka_unit_test(dims_survive_overflow),   cmocka_unit_test(dims_stay_small),
      cmocka_unit_test(null_is_answered),        cmocka_unit_test(errors_are_sticky),
      cmocka_unit_test(bad_calls_are_statuses),  cmocka_unit_test(old_structs_are_completed),
      cmocka_unit_test(shape_arithmetic_is_symbolic), cmocka_unit_test(shapes_must_fit),
      cmocka_unit_test(text_round_trips),        cmocka_unit_test(hostile_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
