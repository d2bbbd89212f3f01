/* tests/control_test.c: graphs with sub-graphs: if, loop, refuse, in every mode; and their text. */
#include <rlx/rlx.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ir/tensor.h"

static const struct {
  rlx_device device;
  rlx_mode mode;
} roads[] = {{RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT},
             {RLX_DEVICE_DEFAULT, RLX_MODE_LAZY},
             {RLX_DEVICE_DEFAULT, RLX_MODE_EAGER},
             {RLX_DEVICE_DEFAULT, RLX_MODE_COMPILED},
             {RLX_DEVICE_DEFAULT, RLX_MODE_DEFAULT}}; /* no options at all */
enum { N_ROADS = sizeof roads / sizeof roads[0] };

static rlx_graph *parse(const char *text) {
  rlx_graph *g;
  if (rlx_graph_parse(text, NULL, &g) != RLX_OK) fail_msg("%s", rlx_last_error());
  return g;
}

static rlx_exec *compile(const rlx_graph *g, size_t road) {
  rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
  rlx_exec *e;
  o.device = roads[road].device;
  o.mode = roads[road].mode;
  const rlx_exec_options *given = o.device || o.mode ? &o : NULL;
  if (rlx_compile(g, given, &e) != RLX_OK) fail_msg("%s", rlx_last_error());
  return e;
}

/* A vector (or, with n = -1, a single element). */
static rlx_tensor *list(rlx_dtype dtype, const double *items, int64_t n) {
  rlx_tensor *t;
  assert_int_equal(rlx_tensor_create(dtype, n < 0 ? 0 : 1, &n, &t), RLX_OK);
  for (int64_t i = 0; i < t->count; i++) {
    if (dtype_kind(dtype) == RLX_KIND_FLOAT) tensor_set_real(t, i, items[i]);
    else tensor_set_int(t, i, (int64_t)items[i]);
  }
  return t;
}

static void expect(const rlx_tensor *t, const double *items, int64_t n) {
  assert_int_equal(t->count, n);
  for (int64_t i = 0; i < n; i++)
    assert_true((dtype_kind(t->dtype) == RLX_KIND_FLOAT ? tensor_real(t, i)
                                                        : (double)tensor_int(t, i)) == items[i]);
}

/* Takes the inputs. */
static void call(rlx_exec *e, rlx_tensor **in, size_t n_in, rlx_tensor **out, size_t n_out) {
  memset(out, 0, n_out * sizeof *out);
  if (rlx_exec_call(e, in, n_in, out, n_out) != RLX_OK) fail_msg("%s", rlx_last_error());
  for (size_t i = 0; i < n_in; i++) rlx_tensor_free(in[i]);
}

static void release(rlx_tensor **list_, size_t n) {
  for (size_t i = 0; i < n; i++) rlx_tensor_free(list_[i]);
}

/* --- if: branches of different sizes, a captured value, a tail behind it */

static const char choice[] =
    "graph \"choice\" {\n"
    "  %1 = input name=\"c\" dtype=bool\n"
    "  %2 = input name=\"x\" dtype=f32 dims=[n]\n"
    "  %3 = exp(%2)\n"
    "  %4:2 = if(%1, %2, %3) then_graph=graph \"twice\" {\n"
    "    %1 = input name=\"x\" dtype=f32 dims=[n]\n"
    "    %2 = concat(%1, %1)\n"
    "    %3 = reduce_sum(%1) axes=[0]\n"
    "    return %2 \"a\", %3 \"b\"\n"
    "  } else_graph=graph \"\" {\n"
    "    %1 = input name=\"x\" dtype=f32 dims=[n]\n"
    "    %2 = input name=\"e\" dtype=f32 dims=[n]\n"
    "    %3 = log(%2)\n"
    "    %4 = reduce_max(%1) axes=[0]\n"
    "    return %3 \"a\", %4 \"b\"\n"
    "  }\n"
    "  %6 = add(%4, %5)\n"
    "  return %6 \"y\", %2 \"same\"\n"
    "}\n";

static void branches(void **unused) {
  (void)unused;
  rlx_graph *g = parse(choice);
  for (size_t road = 0; road < N_ROADS; road++) {
    rlx_exec *e = compile(g, road);
    const double yes = 1, no = 0, zeros[] = {0, 0, 0}, x[] = {1, 2};
    const double doubled[] = {4, 5, 4, 5};
    rlx_tensor *out[2];
    for (int again = 0; again < 2; again++) { /* the second time from prepared variants */
      call(e, (rlx_tensor *[]){list(RLX_BOOL, &yes, -1), list(RLX_F32, x, 2)}, 2, out, 2);
      expect(out[0], doubled, 4);
      expect(out[1], x, 2);
      release(out, 2);
      call(e, (rlx_tensor *[]){list(RLX_BOOL, &no, -1), list(RLX_F32, zeros, 3)}, 2, out, 2);
      expect(out[0], zeros, 3);
      release(out, 2);
    }
    rlx_exec_free(e);
  }
  rlx_graph_free(g);
}

/* --- loop: two carried values (one grows), a stacked one, a captured one, an if inside */

static const char walk[] =
    "graph \"walk\" {\n"
    "  %1 = input name=\"n\" dtype=i64\n"
    "  %2 = input name=\"start\" dtype=f32 dims=[1]\n"
    "  %3 = input name=\"step\" dtype=f32 dims=[1]\n"
    "  %4 = constant data=bool[]{1}\n"
    "  %5:3 = loop(%1, %4, %2, %2, %3) body=graph \"body\" {\n"
    "    %1 = input name=\"i\" dtype=i64\n"
    "    %2 = input name=\"again\" dtype=bool\n"
    "    %3 = input name=\"all\" dtype=f32 dims=[m]\n"
    "    %4 = input name=\"last\" dtype=f32 dims=[1]\n"
    "    %5 = input name=\"step\" dtype=f32 dims=[1]\n"
    "    %6 = constant data=i64[]{1}\n"
    "    %7 = eq(%1, %6)\n"
    "    %8 = if(%7, %4, %5) then_graph=graph \"minus\" {\n"
    "      %1 = input name=\"last\" dtype=f32 dims=[1]\n"
    "      %2 = neg(%1)\n"
    "      return %2 \"y\"\n"
    "    } else_graph=graph \"plus\" {\n"
    "      %1 = input name=\"last\" dtype=f32 dims=[1]\n"
    "      %2 = input name=\"step\" dtype=f32 dims=[1]\n"
    "      %3 = add(%1, %2)\n"
    "      return %3 \"y\"\n"
    "    }\n"
    "    %9 = concat(%3, %8)\n"
    "    %10 = constant data=f32[1]{75}\n"
    "    %11 = lt(%8, %10)\n"
    "    return %11 \"again\", %9 \"all\", %8 \"last\", %8 \"seen\"\n"
    "  } carried=2\n"
    "  %8 = reduce_sum(%5) axes=[0]\n"
    "  return %5 \"all\", %6 \"last\", %7 \"seen\", %8 \"sum\"\n"
    "}\n";

static void iterations(void **unused) {
  (void)unused;
  rlx_graph *g = parse(walk);
  for (size_t road = 0; road < N_ROADS; road++) {
    rlx_exec *e = compile(g, road);
    rlx_tensor *out[4];
    const double n = 3, one = 1, ten = 10, none = 0, many = 1000, fifty = 50;
    const double all[] = {1, 11, -11, -1}, last[] = {-1}, seen[] = {11, -11, -1}, sum[] = {0};
    call(e, (rlx_tensor *[]){list(RLX_I64, &n, -1), list(RLX_F32, &one, 1), list(RLX_F32, &ten, 1)},
         3, out, 4);
    expect(out[0], all, 4);
    expect(out[1], last, 1);
    expect(out[2], seen, 3);
    assert_int_equal(out[2]->rank, 2);
    expect(out[3], sum, 1);
    release(out, 4);
    call(e,
         (rlx_tensor *[]){list(RLX_I64, &none, -1), list(RLX_F32, &one, 1), list(RLX_F32, &ten, 1)},
         3, out, 4);
    expect(out[0], &one, 1);
    expect(out[2], NULL, 0);
    release(out, 4);
    /* The condition ends it: 51, -51, -1, 49, 99. */
    call(e,
         (rlx_tensor *[]){list(RLX_I64, &many, -1), list(RLX_F32, &one, 1),
                          list(RLX_F32, &fifty, 1)},
         3, out, 4);
    assert_int_equal(out[2]->dims[0], 5);
    assert_true(tensor_real(out[1], 0) == 99);
    release(out, 4);
    rlx_exec_free(e);
  }
  rlx_graph_free(g);
}

/* --- a branch that shapes decide leaves no cut; one that cannot be built fails when it is taken */

static const char squeezed[] =
    "graph \"squeezed\" {\n"
    "  %1 = input name=\"x\" dtype=f32 dims=[n,m]\n"
    "  %2 = shape_of(%1) start=1 stop=2\n"
    "  %3 = constant data=i64[1]{1}\n"
    "  %4 = eq(%2, %3)\n"
    "  %5 = if(%4, %1) then_graph=graph \"\" {\n"
    "    %1 = input name=\"x\" dtype=f32 dims=[n,m]\n"
    "    %2 = squeeze(%1) axes=[1]\n"
    "    return %2 \"y\"\n"
    "  } else_graph=graph \"\" {\n"
    "    %1 = refuse why=\"it has more columns than one\" dtype=f32 rank=1\n"
    "    return %1 \"y\"\n"
    "  }\n"
    "  return %5 \"y\"\n"
    "}\n";

static void decided_by_shapes(void **unused) {
  (void)unused;
  rlx_graph *g = parse(squeezed);
  for (size_t road = 0; road < N_ROADS; road++) {
    rlx_exec *e = compile(g, road);
    const int64_t tall[] = {3, 1}, wide[] = {1, 3};
    const double items[] = {1, 2, 3};
    for (int k = 0; k < 2; k++) {
      rlx_tensor *x, *y = NULL;
      assert_int_equal(rlx_tensor_create(RLX_F32, 2, k ? wide : tall, &x), RLX_OK);
      for (int64_t i = 0; i < 3; i++) tensor_set_real(x, i, items[i]);
      assert_int_equal(rlx_exec_call(e, &x, 1, &y, 1), k ? RLX_ERROR_UNSUPPORTED : RLX_OK);
      if (k) assert_non_null(strstr(rlx_last_error(), "more columns than one"));
      else expect(y, items, 3);
      rlx_tensor_free(x);
      rlx_tensor_free(y);
    }
    rlx_exec_free(e);
  }
  rlx_graph_free(g);
}

/* --- text, equality, hash */

static void texts(void **unused) {
  (void)unused;
  const char *const all[] = {choice, walk, squeezed};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    rlx_graph *g = parse(all[i]), *again;
    char *text;
    assert_int_equal(rlx_graph_print(g, &text, NULL), RLX_OK);
    assert_string_equal(text, all[i]);
    assert_int_equal(rlx_graph_parse(text, NULL, &again), RLX_OK);
    assert_true(rlx_graph_equal(g, again));
    assert_true(rlx_graph_hash(g) == rlx_graph_hash(again));
    rlx_string_free(text);
    rlx_graph_free(again);
    rlx_graph_free(g);
  }
  rlx_graph *a = parse(walk), *b;
  char *changed = mem_strdup(walk);
  assert_non_null(changed);
  strstr(changed, "neg(")[0] = 'a'; /* "aeg": no operation, so the parser says where */
  assert_int_equal(rlx_graph_parse(changed, NULL, &b), RLX_ERROR_NOT_FOUND);
  assert_non_null(strstr(rlx_last_error(), "line 16"));
  memcpy(strstr(changed, "aeg("), "abs(", 4);
  b = parse(changed);
  assert_false(rlx_graph_equal(a, b));
  assert_true(rlx_graph_hash(a) != rlx_graph_hash(b));
  mem_free(changed);
  rlx_graph_free(a);
  rlx_graph_free(b);
}

/* --- what a reader of the graph sees */

static void reading(void **unused) {
  (void)unused;
  static const size_t loop = 4, inner_if = 7; /* nodes of `walk` and of its body */
  rlx_graph *g = parse(walk);
  const char *name = "";
  const rlx_graph *body = rlx_node_graph(g, loop, 0, &name);
  assert_non_null(body);
  assert_string_equal(name, "body");
  assert_string_equal(rlx_graph_name(body), "body");
  assert_int_equal(rlx_graph_input_count(body), 5);
  assert_string_equal(rlx_graph_name(rlx_node_graph(body, inner_if, 0, NULL)), "minus");
  assert_string_equal(rlx_graph_name(rlx_node_graph(body, inner_if, 1, &name)), "plus");
  assert_string_equal(name, "else_graph");
  assert_null(rlx_node_graph(g, loop, 1, &name));
  assert_null(rlx_node_graph(body, inner_if, 2, NULL));
  assert_null(rlx_node_graph(g, 0, 0, NULL)); /* a leaf */
  assert_null(rlx_node_graph(g, rlx_graph_node_count(g), 0, NULL));
  assert_null(rlx_node_graph(NULL, 0, 0, NULL));
  rlx_graph_free(g);
}

/* What was compiled of it: the sub-graphs of a step have steps of their own. */
static void reading_steps(void **unused) {
  (void)unused;
  rlx_graph *g = parse(walk);
  rlx_exec *e = compile(g, 1);
  rlx_step_info s = {0};
  size_t i = 0;
  while (rlx_exec_step(e, i, &s) && s.how != RLX_HOW_CONTROL) i++;
  assert_int_equal(s.how, RLX_HOW_CONTROL);
  const char *name = "";
  const rlx_exec *body = rlx_exec_subgraph(e, s.node, 0, &name);
  assert_non_null(body);
  assert_string_equal(name, "body");
  assert_ptr_equal(rlx_exec_graph(body), rlx_node_graph(rlx_exec_graph(e), s.node, 0, NULL));
  assert_true(rlx_exec_step(body, 0, &s));
  assert_null(rlx_exec_subgraph(e, s.node, 1, NULL));
  assert_null(rlx_exec_subgraph(NULL, 0, 0, NULL));
  rlx_exec_free(e);
  rlx_graph_free(g);
}

/* A text that nests graphs without end is refused before the stack is. */
static void nesting_is_bounded(void **unused) {
  (void)unused;
  static const char open[] = "graph \"\" { %1 = if(%0) then_graph=";
  const size_t times = 100000, n = sizeof open - 1;
  char *text = calloc(times * n + 1, 1);
  assert_non_null(text);
  for (size_t i = 0; i < times; i++) memcpy(text + i * n, open, n);
  rlx_graph *g;
  assert_true(rlx_graph_parse(text, NULL, &g) != RLX_OK);
  free(text);
}

/* --- what does not fit is refused when it is built */

static void misfits(void **unused) {
  (void)unused;
  static const struct {
    const char *from, *to;
    rlx_status status;
  } edits[] = {
      {"%1 = input name=\"c\" dtype=bool", "%1 = input name=\"c\" dtype=i32 ", RLX_ERROR_DTYPE},
      {"%3 = reduce_sum(%1)", "%3 = reduce_sum(%2)", RLX_OK},
      {"return %2 \"a\", %3 \"b\"", "return %2 \"a\"        ", RLX_ERROR_ARGUMENT},
      {"return %3 \"a\", %4 \"b\"", "return %4 \"a\", %4 \"b\"", RLX_ERROR_UNSUPPORTED},
      {"name=\"e\" dtype=f32", "name=\"e\" dtype=f16", RLX_ERROR_SHAPE}};
  for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
    char *text = mem_strdup(choice), *at = strstr(text, edits[i].from);
    rlx_graph *g = NULL;
    assert_non_null(at);
    assert_int_equal(strlen(edits[i].from), strlen(edits[i].to));
    memcpy(at, edits[i].to, strlen(edits[i].to));
    assert_int_equal(rlx_graph_parse(text, NULL, &g), edits[i].status);
    rlx_graph_free(g);
    mem_free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(branches),           cmocka_unit_test(iterations),
      cmocka_unit_test(decided_by_shapes),  cmocka_unit_test(texts),
      cmocka_unit_test(nesting_is_bounded), cmocka_unit_test(misfits),
      cmocka_unit_test(reading),            cmocka_unit_test(reading_steps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
