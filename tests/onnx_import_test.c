/* tests/onnx_import_test.c: every ONNX operator's importer against nodes that make no sense:
 * whatever the number, rank and dtype of inputs and whatever the attributes, the answer is a node
 * or a status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "ops/onnx.h"

enum { ROUNDS = 60, MAX_IN = 8, MAX_OUT = 3 };

static uint64_t state = 1;
static int64_t below(int64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (int64_t)((state >> 33) % (uint64_t)n);
}
static int64_t odd_number(void) {
  static const int64_t numbers[] = {0,  1,  2,  3,  4,  5,         7,         16,
                                    -1, -2, -3, -7, 64, INT32_MAX, INT64_MAX, INT64_MIN};
  return numbers[below(below(4) ? 9 : 16)];
}

static rlx_val odd_value(rlx_graph *g) {
  static const rlx_dtype dtypes[] = {RLX_F32, RLX_F32, RLX_F32, RLX_I64,  RLX_I64, RLX_F16,
                                     RLX_I32, RLX_U8,  RLX_I8,  RLX_BOOL, RLX_F64};
  rlx_dtype dtype = dtypes[below(11)];
  size_t rank = (size_t)below(6);
  rlx_dim dims[6];
  char name[24];
  if (below(8) == 0) return RLX_NIL;
  if (below(3) == 0) { /* a small constant, often a list of numbers */
    rlx_tensor *t;
    int64_t n = below(6);
    assert_int_equal(rlx_tensor_create(dtype, rank > 1 ? 1 : rank, &n, &t), RLX_OK);
    for (int64_t i = 0; i < rlx_tensor_count(t); i++) tensor_set_int(t, i, odd_number());
    rlx_val v = rlx_constant(g, t);
    rlx_tensor_free(t);
    return v;
  }
  for (size_t i = 0; i < rank; i++)
    dims[i] = below(6) == 0 ? rlx_dim_named(g, below(2) ? "n" : "m") : below(5);
  snprintf(name, sizeof name, "x%zu", rlx_graph_input_count(g));
  return rlx_input(g, name, dtype, rank, dims);
}

/* Attribute names that importers ask for, and words that some of them know. */
/* clang-format off */
static const char *const odd_names[] = {
    "axis", "axes", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad", "mode",
    "to", "value", "blocksize", "split", "starts", "ends", "perm", "scales", "size", "alpha",
    "output_shape", "output_padding", "num_groups", "num_outputs", "ceil_mode", "k", "epsilon",
    "keepdims", "noop_with_empty_axes", "p", "min", "max", "dtype", "transA", "transB", "start",
    "end", "largest", "coordinate_transformation_mode", "keep_aspect_ratio_policy", "value_ints",
    "num_heads", "q_num_heads", "kv_num_heads", "is_causal", "equation", "padding_mode",
    "align_corners", "onesided", "inverse", "output_height", "output_width", "sampling_ratio",
    "direction", "activations", "activation_alpha", "hidden_size", "layout", "clip"};
static const char *const odd_words[] = {
    "", "SAME_UPPER", "SAME_LOWER", "VALID", "linear", "cubic", "constant", "reflect", "wrap",
    "CRD", "not_larger", "tanh", "ij,jk", "...ii->i", "border", "reflection", "Tanh", "Sigmoid",
    "reverse", "bidirectional"};
/* clang-format on */
enum { N_NAMES = sizeof odd_names / sizeof *odd_names };
enum { N_WORDS = sizeof odd_words / sizeof *odd_words };

/* Some of these attributes, with any type of value. */
static size_t odd_attrs(onnx_attr *attrs, int64_t *ints, double *reals, rlx_tensor *tensor) {
  size_t n = (size_t)below(6);
  for (size_t i = 0; i < 6; i++) {
    ints[i] = odd_number();
    reals[i] = (double)below(8) / 2 - 1;
  }
  for (size_t i = 0; i < n; i++)
    attrs[i] = (onnx_attr){.name = odd_names[below(N_NAMES)],
                           .type = (onnx_attr_type)below(ONNX_OTHER + 1),
                           .i = odd_number(),
                           .f = reals[0],
                           .s = odd_words[below(N_WORDS)],
                           .t = tensor,
                           .ints = {ints, (size_t)below(6)},
                           .floats = {reals, (size_t)below(6)},
                           .strings = {odd_words + below(N_WORDS - 5), (size_t)below(6)}};
  return n;
}

/* Splits "domain:Name" in place; the name. */
static const char *split_name(char *row, const char **out_domain) {
  char *colon = strchr(row, ':');
  *out_domain = colon ? row : "";
  if (colon) *colon = '\0';
  return colon ? colon + 1 : row;
}

static void import_nonsense(char *row, int64_t opset, rlx_tensor *tensor) {
  rlx_graph *g;
  rlx_val in[MAX_IN], out[MAX_OUT];
  onnx_attr attrs[6];
  int64_t ints[6];
  double reals[6];
  assert_int_equal(rlx_graph_create("nonsense", &g), RLX_OK);
  const char *domain, *op = split_name(row, &domain);
  onnx_node n = {
      .g = g, .op = op, .domain = domain, .name = "", .opset = opset, .in = in, .out = out};
  n.n_in = (size_t)below(MAX_IN + 1);
  n.n_out = 1 + (size_t)(below(4) == 0 ? below(MAX_OUT) : 0);
  for (size_t i = 0; i < n.n_in; i++) in[i] = odd_value(g);
  while (n.n_in && !in[n.n_in - 1].id) n.n_in--;
  n.attrs = attrs;
  n.n_attrs = odd_attrs(attrs, ints, reals, tensor);
  assert_int_equal(rlx_graph_status(g), RLX_OK);
  rlx_status status = onnx_import(&n);
  if (status == RLX_OK) {
    for (size_t i = 0; i < n.n_out; i++) assert_true(out[i].id && out[i].id < g->values.n);
  } else {
    assert_true(rlx_last_error()[0] != '\0');
    assert_int_not_equal(status, RLX_ERROR_INTERNAL);
  }
  rlx_graph_free(g);
}

static void test_nonsense(void **unused) {
  (void)unused;
  char op[56], row[56];
  int64_t since;
  rlx_tensor *tensor;
  assert_int_equal(rlx_tensor_create(RLX_I64, 1, (int64_t[]){2}, &tensor), RLX_OK);
  for (size_t i = 0; onnx_at(i, op, sizeof op, &since); i++)
    for (int round = 0; round < ROUNDS; round++) {
      memcpy(row, op, sizeof row);
      import_nonsense(row, since + below(30 - since > 0 ? 30 - since : 1), tensor);
    }
  rlx_tensor_free(tensor);
}

/* Attributes that say something else than the operator can mean. */
static void expect_refusal(const char *op, onnx_attr *attr, rlx_status want) {
  rlx_graph *g;
  rlx_val in[3], out[1];
  const rlx_dim image[] = {1, 4, 8, 8}, weights[] = {4, 4, 3, 3}, three[] = {3};
  assert_int_equal(rlx_graph_create("refusal", &g), RLX_OK);
  const bool shift = strcmp(op, "BitShift") == 0, hot = strcmp(op, "OneHot") == 0;
  in[0] = rlx_input(g, "x", shift || hot ? RLX_U8 : RLX_F32, 4, image);
  in[1] = hot ? rlx_scalar(g, RLX_I64, 3) : rlx_input(g, "w", shift ? RLX_U8 : RLX_F32, 4,
                                                      shift ? image : weights);
  in[2] = rlx_input(g, "v", RLX_F32, 1, three);
  onnx_node n = {.g = g, .op = op, .domain = "", .name = "", .opset = 20, .in = in, .out = out,
                 .attrs = attr, .n_attrs = attr ? 1 : 0, .n_out = 1, .n_in = hot ? 3 : 2};
  if (strcmp(op, "Gelu") == 0) n.n_in = 1;
  if (onnx_import(&n) != want) print_error("%s: %s\n", op, rlx_last_error());
  assert_int_equal(onnx_import(&n), want);
  rlx_graph_free(g);
}

static void test_refusals(void **unused) {
  (void)unused;
  onnx_attr spare = {.name = "spare", .type = ONNX_INT};
  onnx_attr real_group = {.name = "group", .type = ONNX_FLOAT, .f = 2};
  onnx_attr one_stride = {.name = "strides", .type = ONNX_INT, .i = 2};
  const rlx_ints five = {(int64_t[]){5, 5}, 2}, three = {(int64_t[]){3}, 1};
  onnx_attr kernel = {.name = "kernel_shape", .type = ONNX_INTS, .ints = five};
  onnx_attr ranks = {.name = "kernel_shape", .type = ONNX_INTS, .ints = three};
  onnx_attr up = {.name = "direction", .type = ONNX_STRING, .s = "UP"};
  onnx_attr how = {.name = "approximate", .type = ONNX_STRING, .s = "tan"};
  expect_refusal("Conv", &real_group, RLX_ERROR_FORMAT);
  expect_refusal("Conv", &one_stride, RLX_ERROR_FORMAT);
  expect_refusal("Conv", &kernel, RLX_ERROR_SHAPE);
  expect_refusal("Conv", &spare, RLX_ERROR_UNSUPPORTED);
  expect_refusal("ConvTranspose", &ranks, RLX_ERROR_SHAPE);
  expect_refusal("BitShift", &up, RLX_ERROR_FORMAT);
  expect_refusal("BitShift", NULL, RLX_ERROR_FORMAT);
  expect_refusal("Gelu", &how, RLX_ERROR_FORMAT);
  expect_refusal("Concat", NULL, RLX_ERROR_FORMAT);
  expect_refusal("OneHot", NULL, RLX_ERROR_SHAPE);
  const char *const names[] = {"Tanh", "Relu", "Cosine", "Tanh"};
  onnx_attr functions = {.name = "activations", .type = ONNX_STRINGS, .strings = {names, 2}};
  expect_refusal("LSTM", &functions, RLX_ERROR_FORMAT); /* wants three */
  functions.strings.n = 4;
  expect_refusal("LSTM", &functions, RLX_ERROR_FORMAT);
  functions.strings.n = 3;
  expect_refusal("LSTM", &functions, RLX_ERROR_UNSUPPORTED);
  functions.type = ONNX_STRING;
  expect_refusal("LSTM", &functions, RLX_ERROR_FORMAT);
}

static void test_lookup(void **unused) {
  (void)unused;
  char row[56];
  const char *domain;
  int64_t since;
  assert_true(onnx_known("", "Softmax", 13));
  assert_true(onnx_known("ai.onnx", "Softmax", 12));
  assert_false(onnx_known("", "Round", 10)); /* came with 11 */
  assert_false(onnx_known("", "Soft", 13));
  assert_false(onnx_known("", "", 13));
  assert_false(onnx_known("com.example", "Softmax", 13));
  assert_false(onnx_known("com.microsoft", "Softmax", 13));
  for (size_t i = 0; onnx_at(i, row, sizeof row, &since); i++) {
    const char *op = split_name(row, &domain);
    assert_true(onnx_known(domain, op, since));
    assert_true(since >= 1 && since <= 30);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lookup), cmocka_unit_test(test_refusals),
                                     cmocka_unit_test(test_nonsense)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
