/* tests/data_test.c: sizes and attributes that depend on data, amid graphs, in every mode. */
#include <rlx/rlx.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ir/tensor.h"

static const struct {
  rlx_device device;
  rlx_mode mode;
} roads[] = {{RLX_DEVICE_REFERENCE, RLX_MODE_DEFAULT},
             {RLX_DEVICE_DEFAULT, RLX_MODE_LAZY},
             {RLX_DEVICE_DEFAULT, RLX_MODE_EAGER}};
enum { N_ROADS = sizeof roads / sizeof roads[0] };

static rlx_exec *compile(const rlx_graph *g, size_t road) {
  rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
  rlx_exec *e;
  o.device = roads[road].device;
  o.mode = roads[road].mode;
  assert_int_equal(rlx_compile(g, &o, &e), RLX_OK);
  return e;
}

static rlx_tensor *list(rlx_dtype dtype, const double *items, int64_t n) {
  rlx_tensor *t;
  assert_int_equal(rlx_tensor_create(dtype, 1, &n, &t), RLX_OK);
  for (int64_t i = 0; i < n; i++) {
    if (dtype_kind(dtype) == RLX_KIND_FLOAT) tensor_set_real(t, i, items[i]);
    else tensor_set_int(t, i, (int64_t)items[i]);
  }
  return t;
}

static rlx_graph *parse(const char *text) {
  rlx_graph *g;
  const rlx_status status = rlx_graph_parse(text, NULL, &g);
  if (status != RLX_OK) fail_msg("%s", rlx_last_error());
  return g;
}

/* The elements of x that are not 0, twice, and how many there are; `dead` invents a name that is
 * gone when the graph is prepared. */
static rlx_graph *kept_twice(void) {
  rlx_graph *g;
  assert_int_equal(rlx_graph_create("kept", &g), RLX_OK);
  const rlx_dim n = rlx_dim_named(g, "n"), flat = -1;
  const rlx_val x = rlx_input(g, "x", RLX_F32, 1, &n);
  rlx_reshape_attrs line = rlx_reshape_init();
  line.dims = (rlx_ints){&flat, 1};
  const rlx_val dead = rlx_nonzero(g, rlx_neg(g, x));
  assert_true(dead.id != 0);
  const rlx_val at = rlx_reshape(g, rlx_nonzero(g, rlx_mul(g, x, x)), &line);
  const rlx_val kept = rlx_gather(g, x, at, NULL);
  const rlx_dim twice[] = {2, rlx_val_dim(g, kept, 0)};
  rlx_expand_attrs both = rlx_expand_init();
  both.dims = (rlx_ints){twice, 2};
  const rlx_val ones = rlx_expand(g, rlx_scalar(g, RLX_F32, 1), &both);
  rlx_graph_output(g, "twice", rlx_mul(g, ones, kept));
  rlx_graph_output(g, "shape", rlx_shape_of(g, kept, NULL));
  assert_int_equal(rlx_graph_status(g), RLX_OK);
  return g;
}

static void check_kept(rlx_exec *e, int64_t n, int64_t every) {
  double items[64];
  for (int64_t i = 0; i < n; i++) items[i] = i % every ? 0 : (double)i + 1;
  rlx_tensor *x = list(RLX_F32, items, n), *out[2] = {0};
  const int64_t count = (n + every - 1) / every;
  if (rlx_exec_call(e, &x, 1, out, 2) != RLX_OK) fail_msg("%s", rlx_last_error());
  assert_int_equal(out[0]->rank, 2);
  assert_int_equal(out[0]->dims[0], 2);
  assert_int_equal(out[0]->dims[1], count);
  assert_int_equal(tensor_int(out[1], 0), count);
  for (int64_t i = 0; i < 2 * count; i++)
    assert_true(tensor_real(out[0], i) == (double)(i % count * every + 1));
  rlx_tensor_free(out[0]);
  rlx_tensor_free(out[1]);
  rlx_tensor_free(x);
}

static void sizes_from_data(void **unused) {
  (void)unused;
  rlx_graph *g = kept_twice();
  for (size_t road = 0; road < N_ROADS; road++) {
    rlx_exec *e = compile(g, road);
    for (int64_t n = 0; n < 40; n += 7)
      for (int64_t every = 1; every < 5; every++) check_kept(e, n, every);
    rlx_exec_free(e);
  }
  rlx_graph_free(g);
}

/* Only the size of the one is read, in an attribute. */
static void size_of_the_dead(void **unused) {
  (void)unused;
  rlx_graph *g = parse("graph \"g\" { %1 = input name=\"x\" dtype=f32 dims=[n] "
                       "%2 = constant data=f32[]{7} %3 = nonzero(%1) "
                       "%4 = expand(%2) dims=[2*?0] return %4 \"y\" }");
  const double items[] = {4, 0, 5, 1};
  for (size_t road = 0; road < N_ROADS; road++) {
    rlx_exec *e = compile(g, road);
    rlx_tensor *x = list(RLX_F32, items, 4), *y = NULL;
    if (rlx_exec_call(e, &x, 1, &y, 1) != RLX_OK) fail_msg("%s", rlx_last_error());
    assert_int_equal(y->dims[0], 6);
    rlx_tensor_free(y);
    rlx_tensor_free(x);
    rlx_exec_free(e);
  }
  rlx_graph_free(g);
}

static void survives_text(void **unused) {
  (void)unused;
  rlx_graph *g = kept_twice(), *back;
  char *text;
  assert_int_equal(rlx_graph_print(g, &text, NULL), RLX_OK);
  back = parse(text);
  assert_true(rlx_graph_equal(g, back));
  rlx_exec *e = compile(back, 0);
  check_kept(e, 9, 2);
  rlx_exec_free(e);
  rlx_string_free(text);
  rlx_graph_free(back);
  rlx_graph_free(g);
}

/* --- attributes from values */

static const char *const attributes[] = {
    "%4:2 = topk(%1) k=%2 return %4 \"y\"",
    "%4 = slice(%1) starts=[0] stops=[4] steps=%2 return %4 \"y\"",
    "%4 = cumsum(%1) axis=%3 return %4 \"y\"",
    "%4 = unsqueeze(%1) axes=%3 %5 = reduce_sum(%4) axes=%3 return %5 \"y\"",
    "%4 = one_hot(%3) depth=%2 return %4 \"y\"",
    "%4 = tile(%1) reps=%2 %5:2 = topk(%4) k=%2 %7 = slice(%5) starts=%3 stops=%2 return %7 \"y\"",
    /* -1 is no size; a start may be negative: what comes after knows the result's sizes */
    "%4 = constant data=i64[1]{1} %5 = sub(%3, %4) %6 = reshape(%1) dims=%5 %7 = reshape(%6) dims=[-1] "
    "return %7 \"y\"",
    "%4 = neg(%2) %5 = slice(%1) starts=%4 stops=[3] %6 = reshape(%5) dims=[-1] "
    "return %6 \"y\"",
    /* shapes decide about a branch, which another stage than theirs takes */
    "%4 = shape_of(%1) %5 = reduce_prod(%4) %6 = constant data=i64[]{3} %7 = lt(%5, %6) %8 = nonzero(%1) "
    "%9 = if(%7, %8) then_graph=graph \"a\" { %1 = input name=\"i\" dtype=i64 dims=[1,m] return %1 \"o\" } "
    "else_graph=graph \"b\" { %1 = input name=\"i\" dtype=i64 dims=[1,m] %2 = neg(%1) return %2 \"o\" } "
    "return %9 \"y\"",
    /* the same, and the branch has a size that shapes tell when it takes the node's place */
    "%4 = shape_of(%1) %5 = reduce_prod(%4) %6 = constant data=i64[]{3} %7 = lt(%5, %6) "
    "%8 = if(%7, %1) then_graph=graph \"a\" { %1 = input name=\"i\" dtype=f32 dims=[m] return %1 \"o\" } "
    "else_graph=graph \"b\" { %1 = input name=\"i\" dtype=f32 dims=[m] %2 = constant data=i64[1]{1} "
    "%3 = shape_of(%1) %4 = mod(%3, %2) %5 = sub(%4, %2) %6 = reshape(%1) dims=%5 "
    "%7 = reshape(%6) dims=[-1] return %7 \"o\" } return %8 \"y\"",
};

static const char *const header =
    "graph \"g\" { %1 = input name=\"x\" dtype=f32 dims=[n] "
    "%2 = input name=\"k\" dtype=i64 dims=[1] %3 = input name=\"zero\" dtype=i64 dims=[1] ";

static rlx_graph *with_attribute(const char *body) {
  char text[1000];
  snprintf(text, sizeof text, "%s%s }", header, body);
  return parse(text);
}

static void attributes_from_data(void **unused) {
  (void)unused;
  const double x_items[] = {4, 2, 5, 1}, zero_item[] = {0};
  for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
    rlx_graph *g = with_attribute(attributes[i]);
    rlx_exec *e[N_ROADS];
    for (size_t road = 0; road < N_ROADS; road++) e[road] = compile(g, road);
    for (double k = 1; k <= 4; k++) {
      rlx_tensor *in[] = {list(RLX_F32, x_items, 4), list(RLX_I64, &k, 1),
                          list(RLX_I64, zero_item, 1)};
      rlx_tensor *out[N_ROADS] = {0};
      for (size_t road = 0; road < N_ROADS; road++) {
        if (rlx_exec_call(e[road], in, 3, &out[road], 1) != RLX_OK)
          fail_msg("%s", rlx_last_error());
        assert_true(tensor_equal(out[road], out[0]));
      }
      for (size_t road = 0; road < N_ROADS; road++) rlx_tensor_free(out[road]);
      for (size_t j = 0; j < 3; j++) rlx_tensor_free(in[j]);
    }
    for (size_t road = 0; road < N_ROADS; road++) rlx_exec_free(e[road]);
    rlx_graph_free(g);
  }
}

/* What is not bound tells graphs apart. */
static void differences(void **unused) {
  (void)unused;
  rlx_graph *a = with_attribute(attributes[0]), *b = with_attribute(attributes[0]);
  rlx_graph *c = with_attribute("%4:2 = topk(%1) k=%2 smallest=true return %4 \"y\"");
  rlx_graph *d = with_attribute("%4:2 = topk(%1) k=%3 return %4 \"y\"");
  assert_true(rlx_graph_equal(a, b));
  assert_true(rlx_graph_hash(a) == rlx_graph_hash(b));
  assert_false(rlx_graph_equal(a, c));
  assert_false(rlx_graph_hash(a) == rlx_graph_hash(c));
  assert_false(rlx_graph_equal(a, d));
  rlx_graph_free(a);
  rlx_graph_free(b);
  rlx_graph_free(c);
  rlx_graph_free(d);
}

/* A size may also be an expression: the larger half of x. */
static void attribute_of_sizes(void **unused) {
  (void)unused;
  rlx_graph *g = parse("graph \"g\" { %1 = input name=\"x\" dtype=f32 dims=[n] "
                       "%2:2 = topk(%1) k=ceildiv(n,2) return %2 \"y\" }");
  const double items[] = {4, 2, 5, 1, 3};
  for (size_t road = 0; road < N_ROADS; road++) {
    rlx_exec *e = compile(g, road);
    rlx_tensor *x = list(RLX_F32, items, 5), *y = NULL;
    assert_int_equal(rlx_exec_call(e, &x, 1, &y, 1), RLX_OK);
    assert_int_equal(y->dims[0], 3);
    assert_true(tensor_real(y, 2) == 3);
    rlx_tensor_free(y);
    rlx_tensor_free(x);
    rlx_exec_free(e);
  }
  rlx_graph_free(g);
}

/* A value that makes no sense fails its run, naming the node, and no other. */
static void wrong_value(void **unused) {
  (void)unused;
  const double x_items[] = {4, 2, 5, 1}, ks[] = {9, 2};
  rlx_graph *g = with_attribute(attributes[0]);
  for (size_t road = 0; road < N_ROADS; road++) {
    rlx_exec *e = compile(g, road);
    for (int i = 0; i < 2; i++) {
      rlx_tensor *in[] = {list(RLX_F32, x_items, 4), list(RLX_I64, &ks[i], 1),
                          list(RLX_I64, ks, 1)};
      rlx_tensor *out = NULL;
      const rlx_status status = rlx_exec_call(e, in, 3, &out, 1);
      assert_int_equal(status, i ? RLX_OK : RLX_ERROR_SHAPE);
      if (!i) assert_non_null(strstr(rlx_last_error(), "topk"));
      if (i) rlx_tensor_free(out);
      for (size_t j = 0; j < 3; j++) rlx_tensor_free(in[j]);
    }
    rlx_exec_free(e);
  }
  rlx_graph_free(g);
}

static void refused(void **unused) {
  (void)unused;
  static const char *const bodies[] = {
      "%4:2 = topk(%1) k=%1 return %4 \"y\"",                    /* floats */
      "%4 = concat(%2, %3) %5:2 = topk(%1) k=%4 return %5 \"y\"", /* two numbers */
      "%4:2 = topk(%1) axis=%2 return %4 \"y\"",                 /* an axis of that must be known */
      "%4 = reduce_sum(%1) keep=%2 return %4 \"y\"",             /* no number */
      "%4 = shape_of(%1) %5 = concat(%2, %3) %6 = squeeze(%1) axes=%5 return %6 \"y\"",
  };
  for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
    char text[1000];
    rlx_graph *g;
    snprintf(text, sizeof text, "%s%s }", header, bodies[i]);
    if (rlx_graph_parse(text, NULL, &g) == RLX_OK) fail_msg("%s", bodies[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sizes_from_data),    cmocka_unit_test(survives_text),
      cmocka_unit_test(size_of_the_dead),
      cmocka_unit_test(attributes_from_data), cmocka_unit_test(attribute_of_sizes),
      cmocka_unit_test(differences),
      cmocka_unit_test(wrong_value),        cmocka_unit_test(refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
