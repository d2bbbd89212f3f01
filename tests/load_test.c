/* tests/load_test.c: the ONNX reader, on models made here byte by byte and on damaged ones. */
#define _XOPEN_SOURCE 700
#include "load/pb.h"
#include "load_help.h"

/* --- protobuf bytes */

static void put_varint(str *s, uint64_t v) {
  for (; v > 127; v >>= 7) str_add_n(s, (const char[]){(char)(v | 128)}, 1);
  str_add_n(s, (const char[]){(char)v}, 1);
}
static void put_int(str *s, unsigned field, uint64_t v) {
  put_varint(s, field << 3);
  put_varint(s, v);
}
static void put_bytes(str *s, unsigned field, const void *data, size_t n) {
  put_varint(s, field << 3 | 2);
  put_varint(s, n);
  str_add_n(s, data, n);
}
static void put_text(str *s, unsigned field, const char *text) {
  put_bytes(s, field, text, strlen(text));
}
/* Adds a message and frees it. */
static void put_message(str *s, unsigned field, str *message) {
  put_bytes(s, field, message->data ? message->data : "", message->n);
  str_free(message);
}

/* --- ONNX messages */

enum { FLOAT = 1, INT64 = 7, FLOAT16 = 10, BOOL = 9, STRING = 8 };

/* A node: inputs and outputs separated by spaces. */
static str node(const char *op, const char *name, const char *inputs, const char *outputs) {
  str s = {0};
  const char *lists[] = {inputs, outputs};
  for (unsigned i = 0; i < 2; i++) {
    for (const char *p = lists[i]; *p; p += *p == ' ') {
      size_t n = strcspn(p, " ");
      put_bytes(&s, i + 1, p, n);
      p += n;
    }
  }
  put_text(&s, 3, name);
  put_text(&s, 4, op);
  return s;
}

/* dims: numbers or names separated by commas, "*" for nothing at all. */
static str value_info(const char *name, int dtype, const char *dims) {
  str shape = {0}, tensor = {0}, type = {0}, s = {0};
  for (const char *p = dims; *p; p += *p == ',') {
    str dim = {0};
    size_t n = strcspn(p, ",");
    if (p[0] >= '0' && p[0] <= '9') put_int(&dim, 1, strtoull(p, NULL, 10));
    else if (p[0] != '*') put_bytes(&dim, 2, p, n);
    put_message(&shape, 1, &dim);
    p += n;
  }
  put_int(&tensor, 1, (uint64_t)dtype);
  put_message(&tensor, 2, &shape);
  put_message(&type, 1, &tensor);
  put_text(&s, 1, name);
  put_message(&s, 2, &type);
  return s;
}

/* A tensor of rank 1 without data. */
static str tensor_head(const char *name, int dtype, uint64_t n) {
  str s = {0};
  put_int(&s, 1, n);
  put_int(&s, 2, (uint64_t)dtype);
  put_text(&s, 8, name);
  return s;
}

static const float three[] = {1, 2, 3};

static str raw_tensor_of(const char *name) {
  str s = tensor_head(name, FLOAT, 3);
  put_bytes(&s, 9, three, sizeof three);
  return s;
}

static void put_opset(str *s, unsigned field, const char *domain, uint64_t version) {
  str o = {0};
  if (*domain) put_text(&o, 1, domain);
  put_int(&o, 2, version);
  put_message(s, field, &o);
}

/* A model around a graph, which stands last; frees it. */
static str model(str *graph) {
  str s = {0};
  put_int(&s, 1, 8);
  put_opset(&s, 8, "", 17);
  put_message(&s, 7, graph);
  assert_false(s.failed);
  return s;
}

static void put_node(str *graph, const char *op, const char *name, const char *in,
                     const char *out) {
  str n = node(op, name, in, out);
  put_message(graph, 1, &n);
}
static void put_input(str *graph, const char *name, int dtype, const char *dims) {
  str v = value_info(name, dtype, dims);
  put_message(graph, 11, &v);
}
static void put_output(str *graph, const char *name) {
  str v = value_info(name, FLOAT, "3");
  put_message(graph, 12, &v);
}

/* x [batch,3], initialiser w [3]: y = relu(x + w), and w and x as outputs too. */
static str small_graph(void) {
  str g = {0}, w = raw_tensor_of("w");
  put_text(&g, 2, "small");
  put_message(&g, 5, &w);
  put_input(&g, "x", FLOAT, "batch,3");
  put_node(&g, "Add", "plus", "x w", "sum");
  put_node(&g, "Relu", "", "sum", "y:0");
  put_output(&g, "y:0");
  put_output(&g, "w");
  put_output(&g, "x");
  return g;
}

/* Writes and loads a model; frees its bytes. */
static rlx_status load(str *bytes, const rlx_load_options *options, rlx_graph **out) {
  rlx_status status = rlx_model_load(write_file("m.onnx", bytes->data, bytes->n), options, out);
  str_free(bytes);
  return status;
}

static void expect_graph_failure(str *graph, rlx_status want, const char *words) {
  rlx_graph *g = NULL;
  str m = model(graph);
  expect_failure(load(&m, NULL, &g), want, words);
  assert_null(g);
}

/* --- the wire */

typedef struct probe {
  int64_t i;
  float f;
  pb_span one;
  pb_spans many;
  pb_numbers numbers;
} probe;
static const pb_field probe_fields[] = {{1, PB_INT, offsetof(probe, i)},
                                        {2, PB_F32, offsetof(probe, f)},
                                        {3, PB_SPAN, offsetof(probe, one)},
                                        {4, PB_SPANS, offsetof(probe, many)},
                                        {5, PB_INTS, offsetof(probe, numbers)}};
static const pb_message probe_table = {"Probe", probe_fields, 5};

static rlx_status decode(const void *data, size_t n, arena *mem, probe *out) {
  *out = (probe){.i = -7};
  return pb_decode(&probe_table, (pb_span){data, n}, mem, out);
}

static void test_wire(void **state) {
  (void)state;
  str s = {0};
  arena mem = {0};
  probe p;
  put_text(&s, 4, "a");
  put_bytes(&s, 5, "\x01\xac\x02", 3);
  put_int(&s, 5, UINT64_MAX);
  put_int(&s, 99, 5);
  put_bytes(&s, 4, "bc", 2);
  put_text(&s, 3, "first");
  put_text(&s, 3, "last");
  expect_ok(decode(s.data, s.n, &mem, &p));
  assert_int_equal(p.i, -7); /* missing */
  assert_int_equal(p.many.n, 2);
  assert_true(pb_equal(p.many.data[1], "bc") && pb_equal(p.one, "last"));
  assert_int_equal(p.numbers.n, 3);
  pb_reader r = pb_read(&p.numbers);
  uint64_t want[] = {1, 300, UINT64_MAX}, bits;
  for (size_t i = 0; i < 3; i++) assert_true(pb_next(&r, &bits) && bits == want[i]);
  assert_false(pb_next(&r, &bits));
  str_free(&s);
  arena_free(&mem);
}

static void test_wire_hostile(void **state) {
  (void)state;
  static const struct {
    const char *data;
    size_t n;
  } bad[] = {
      {"\x1a\x05" "abc", 5},                                       /* longer than what is left */
      {"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},        /* a length of 2^64 - 1 */
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11},        /* over 64 bits */
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12},    /* over ten bytes */
      {"\x15\x00\x00", 3},                                         /* half a float */
      {"\x00\x01", 2},                                             /* field 0 */
      {"\x0b\x0c", 2},                                             /* a group */
      {"\x0f", 1},                                                 /* wire type 7 */
      {"\x0a\x01" "a", 3},                                         /* a number as bytes */
      {"\x2a\x02\x01\x80", 4},                                    /* a packed run that breaks off */
      {"\xf8\xff\xff\xff\x7f\x01", 6},                             /* a tag over 32 bits */
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    arena mem = {0};
    probe p;
    /* On the heap and of the exact size, so that sanitizers see a read beyond the end. */
    char *copy = test_malloc(bad[i].n);
    memcpy(copy, bad[i].data, bad[i].n);
    expect_failure(decode(copy, bad[i].n, &mem, &p), RLX_ERROR_FORMAT, "Probe");
    test_free(copy);
    arena_free(&mem);
  }
}

/* --- models */

static void test_small(void **state) {
  (void)state;
  rlx_graph *g = NULL;
  str graph = small_graph(), m = model(&graph);
  expect_ok(load(&m, NULL, &g));
  assert_string_equal(rlx_graph_name(g), "small");
  assert_int_equal(rlx_graph_input_count(g), 1);
  assert_string_equal(rlx_graph_input_name(g, 0), "x");
  assert_int_equal(rlx_graph_output_count(g), 3);
  assert_string_equal(rlx_graph_output_name(g, 0), "y:0");
  assert_int_equal(rlx_graph_output_value(g, 2).id, rlx_graph_input_value(g, 0).id);
  char type[40];
  rlx_val_type_text(g, rlx_graph_output_value(g, 0), type, sizeof type);
  assert_string_equal(type, "f32[batch,3]");
  rlx_val_type_text(g, rlx_graph_output_value(g, 1), type, sizeof type);
  assert_string_equal(type, "f32[3]");
  rlx_graph_free(g);
}

static void test_dims(void **state) {
  (void)state;
  rlx_graph *g = NULL;
  char type[200];
  str graph = {0};
  put_input(&graph, "x", FLOAT, "a-b,a_b,*,*,batch size + 1,a-b,?,9");
  put_input(&graph, "y", FLOAT, "a-b,a_b");
  put_output(&graph, "x");
  str m = model(&graph);
  expect_ok(load(&m, NULL, &g));
  rlx_val_type_text(g, rlx_graph_input_value(g, 0), type, sizeof type);
  assert_string_equal(type, "f32[a_b,a_b_1,?0,?1,batch_size___1,a_b.5,_,9]");
  rlx_val_type_text(g, rlx_graph_input_value(g, 1), type, sizeof type);
  assert_string_equal(type, "f32[a_b,a_b_1]"); /* the same names, the same sizes */
  rlx_graph_free(g);
}

/* Old files list initialisers as inputs too. */
static void test_initializer_as_input(void **state) {
  (void)state;
  rlx_graph *g = NULL;
  str graph = small_graph();
  put_input(&graph, "w", FLOAT, "3");
  str m = model(&graph);
  expect_ok(load(&m, NULL, &g));
  assert_int_equal(rlx_graph_input_count(g), 1);
  rlx_graph_free(g);
}

static void test_bad_graphs(void **state) {
  (void)state;
  str g = small_graph();
  put_node(&g, "Relu", "lost", "nowhere", "z");
  expect_graph_failure(&g, RLX_ERROR_FORMAT, "node 2 'lost' (Relu): the value 'nowhere'");
  g = small_graph();
  put_node(&g, "Relu", "again", "x", "sum");
  expect_graph_failure(&g, RLX_ERROR_FORMAT, "the name 'sum' is taken");
  g = small_graph();
  put_input(&g, "x", FLOAT, "3");
  expect_graph_failure(&g, RLX_ERROR_ARGUMENT, "'x'");
  g = small_graph();
  put_output(&g, "missing");
  expect_graph_failure(&g, RLX_ERROR_FORMAT, "output 'missing'");
  g = small_graph();
  put_input(&g, "s", STRING, "3");
  expect_graph_failure(&g, RLX_ERROR_UNSUPPORTED, "input 's': element type STRING");
  g = small_graph();
  put_text(&g, 15, "");
  expect_graph_failure(&g, RLX_ERROR_UNSUPPORTED, "sparse");
  rlx_graph *none = NULL;
  str empty = {0};
  put_int(&empty, 1, 8);
  expect_failure(load(&empty, NULL, &none), RLX_ERROR_FORMAT, "no graph");
  g = small_graph();
  str newer = model(&g);
  put_opset(&newer, 8, "ai.onnx", 99);
  expect_failure(load(&newer, NULL, &none), RLX_ERROR_UNSUPPORTED, "opset 99 of ai.onnx");
  expect_failure(rlx_model_load(in_scratch("absent"), NULL, &none), RLX_ERROR_IO, "absent");
}

static void test_preflight(void **state) {
  (void)state;
  str g = small_graph();
  put_node(&g, "NoSuchOp", "first", "x", "a");
  put_node(&g, "NorThis", "", "a", "b");
  expect_graph_failure(&g, RLX_ERROR_UNSUPPORTED,
                       "2 of 4 nodes have no mapping:\n"
                       "  NoSuchOp 'first' (ai.onnx, opset 17, f32)\n"
                       "  NorThis 'b' (ai.onnx, opset 17, dtype unknown)");
  g = small_graph();
  for (int i = 0; i < 3000; i++) put_node(&g, "NoSuchOp", "many", "x", "a");
  expect_graph_failure(&g, RLX_ERROR_UNSUPPORTED, "(ai.onnx, opset 17, f32)\n  and 1");
}

/* --- tensors */

static void expect_initializer(str *tensor, rlx_status want, const char *words) {
  str graph = {0};
  put_message(&graph, 5, tensor);
  put_output(&graph, "t");
  if (want != RLX_OK) {
    expect_graph_failure(&graph, want, words);
    return;
  }
  rlx_graph *g = NULL;
  str m = model(&graph);
  expect_ok(load(&m, NULL, &g));
  rlx_graph_free(g);
}

static void test_bad_tensors(void **state) {
  (void)state;
  str t = tensor_head("t", FLOAT, 4);
  put_bytes(&t, 9, three, sizeof three);
  expect_initializer(&t, RLX_ERROR_FORMAT, "tensor 't': 12 bytes of data, dtype and shape make 16");
  t = tensor_head("t", INT64, 2);
  put_bytes(&t, 7, "\x01", 1);
  expect_initializer(&t, RLX_ERROR_FORMAT, "1 numbers of data, the shape has 2 elements");
  t = tensor_head("t", FLOAT, UINT64_C(1) << 62);
  expect_initializer(&t, RLX_ERROR_FORMAT, "more elements than memory can hold");
  t = tensor_head("t", FLOAT, UINT64_MAX);
  expect_initializer(&t, RLX_ERROR_FORMAT, "negative");
  t = tensor_head("t", FLOAT, UINT64_C(1) << 40);
  expect_initializer(&t, RLX_ERROR_FORMAT, "0 numbers of data");
  t = tensor_head("t", STRING, 1);
  expect_initializer(&t, RLX_ERROR_UNSUPPORTED, "STRING");
  t = tensor_head("t", 999, 1);
  expect_initializer(&t, RLX_ERROR_UNSUPPORTED, "unknown dtype (999)");
  t = raw_tensor_of("t");
  put_text(&t, 3, "");
  expect_initializer(&t, RLX_ERROR_UNSUPPORTED, "segments");
  t = tensor_head("t", FLOAT, 3);
  for (int i = 0; i < 20; i++) put_int(&t, 1, 1);
  expect_initializer(&t, RLX_ERROR_LIMIT, "21 dims");
  t = tensor_head("t", FLOAT16, 2);
  put_bytes(&t, 5, "\x80\x78\x00", 3);
  expect_initializer(&t, RLX_OK, "");
}

static str external_tensor(const char *location, const char *offset, const char *length) {
  const char *const pairs[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
  str t = tensor_head("t", FLOAT, 3);
  for (size_t i = 0; i < 3; i++) {
    str entry = {0};
    if (!pairs[i][1]) continue;
    put_text(&entry, 1, pairs[i][0]);
    put_text(&entry, 2, pairs[i][1]);
    put_message(&t, 13, &entry);
  }
  put_int(&t, 14, 1);
  return t;
}

static void test_external(void **state) {
  (void)state;
  static const struct {
    const char *location, *offset, *length;
    rlx_status status;
    const char *words;
  } cases[] = {
      {"w.bin", NULL, NULL, RLX_OK, ""},
      {"./w.bin", "4", "12", RLX_OK, ""},
      {"w.bin", "5", "12", RLX_ERROR_FORMAT, "12 bytes at 5, the file has 16"},
      {"w.bin", "0", "16", RLX_ERROR_FORMAT, "16 bytes of data, dtype and shape make 12"},
      {"w.bin", "18446744073709551615", NULL, RLX_ERROR_FORMAT, "'offset' is not a size"},
      {"w.bin", "-1", NULL, RLX_ERROR_FORMAT, "'offset' is not a size"},
      {"../w.bin", NULL, NULL, RLX_ERROR_FORMAT, "only a relative path"},
      {"a/../w.bin", NULL, NULL, RLX_ERROR_FORMAT, "only a relative path"},
      {"/etc/hostname", NULL, NULL, RLX_ERROR_FORMAT, "only a relative path"},
      {"", NULL, NULL, RLX_ERROR_FORMAT, "only a relative path"},
      {"link", NULL, NULL, RLX_ERROR_FORMAT, "leads out of the model's folder"},
      {"absent", NULL, NULL, RLX_ERROR_IO, "absent"},
      {".", NULL, NULL, RLX_ERROR_FORMAT, "leads out"},
  };
  write_file("w.bin", "0123456789abcdef", 16);
  assert_int_equal(symlink("/etc/passwd", in_scratch("link")), 0);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    str t = external_tensor(cases[i].location, cases[i].offset, cases[i].length);
    expect_initializer(&t, cases[i].status, cases[i].words);
  }
}

/* --- functions */

/* f(a) = Relu(body_op(a, a)), in domain "own"; or Relu(body_op(a)), body_op of that domain. */
static str function_model(const char *body_op, const char *body_domain) {
  str f = {0}, graph = {0}, call = node("f", "call", "x", "y"), s = {0};
  str inner = node(body_op, "inner", *body_domain ? "a" : "a a", "c");
  str relu = node("Relu", "last", "c", "b");
  put_text(&f, 1, "f");
  put_text(&f, 4, "a");
  put_text(&f, 5, "b");
  if (*body_domain) put_text(&inner, 7, body_domain);
  put_message(&f, 7, &inner);
  put_message(&f, 7, &relu);
  put_opset(&f, 9, "", 17);
  put_text(&f, 10, "own");
  put_text(&call, 7, "own");
  put_input(&graph, "x", FLOAT, "n");
  put_message(&graph, 1, &call);
  put_output(&graph, "y");
  s = model(&graph);
  put_message(&s, 25, &f);
  return s;
}

static void test_functions(void **state) {
  (void)state;
  rlx_graph *g = NULL;
  char type[40];
  str m = function_model("Add", "");
  expect_ok(load(&m, NULL, &g));
  rlx_val_type_text(g, rlx_graph_output_value(g, 0), type, sizeof type);
  assert_string_equal(type, "f32[n]");
  rlx_graph_free(g);
  g = NULL;
  m = function_model("NoSuchOp", "");
  expect_failure(load(&m, NULL, &g), RLX_ERROR_UNSUPPORTED, "NoSuchOp 'inner'");
  m = function_model("f", "own"); /* calls itself */
  expect_failure(load(&m, NULL, &g), RLX_ERROR_LIMIT, "deeper than 64");
}

/* Each function calls the next one twice: 2^40 nodes, or as deep as there are functions. */
static str nested_functions(int n, bool twice) {
  char name[24], next[24];
  str graph = {0}, call = node("f0", "call", "x", "y");
  put_text(&call, 7, "own");
  put_input(&graph, "x", FLOAT, "n");
  put_message(&graph, 1, &call);
  put_output(&graph, "y");
  str s = model(&graph);
  for (int i = 0; i < n; i++) {
    str f = {0};
    snprintf(name, sizeof name, "f%d", i);
    snprintf(next, sizeof next, "f%d", i + 1);
    const bool leaf = i + 1 == n;
    str a = node(leaf ? "Relu" : next, "", "a", "c"), b = node(leaf ? "Relu" : next, "", "c", "b");
    str relu = node("Relu", "", "c", "b");
    put_text(&f, 1, name);
    put_text(&f, 4, "a");
    put_text(&f, 5, "b");
    if (!leaf) put_text(&a, 7, "own");
    if (!leaf) put_text(&b, 7, "own");
    put_message(&f, 7, &a);
    put_message(&f, 7, twice ? &b : &relu);
    put_opset(&f, 9, "", 17);
    put_text(&f, 10, "own");
    put_message(&s, 25, &f);
    str_free(&b);
    str_free(&relu);
  }
  return s;
}

/* Sub-graphs in sub-graphs; built from the inside, each level copies the one within. */
static str nested_graphs(int n) {
  str inner = {0};
  for (int i = 0; i < n; i++) {
    str attr = {0}, deeper = node("If", "", "", "y"), graph = {0};
    put_text(&attr, 1, "then_branch");
    put_message(&attr, 6, &inner);
    put_int(&attr, 20, 5);
    put_message(&deeper, 5, &attr);
    put_message(&graph, 1, &deeper);
    inner = graph;
  }
  return inner;
}

static void test_bombs(void **state) {
  (void)state;
  rlx_graph *g = NULL;
  rlx_load_options few = RLX_OPTIONS(rlx_load_options);
  few.max_nodes = 1000;
  str m = nested_functions(40, true);
  expect_failure(load(&m, &few, &g), RLX_ERROR_LIMIT, "more than 1000 nodes");
  m = nested_functions(500, false);
  expect_failure(load(&m, NULL, &g), RLX_ERROR_LIMIT, "deeper than 64");
  str deep = nested_graphs(5000);
  expect_graph_failure(&deep, RLX_ERROR_LIMIT, "deeper than 64");
  str flat = {0};
  for (int i = 0; i < 1001; i++) put_text(&flat, 1, "");
  m = model(&flat);
  expect_failure(load(&m, &few, &g), RLX_ERROR_LIMIT, "1001 nodes, the limit is 1000");
}

/* A branch: b is that operator of x. */
static void put_branch(str *node, const char *name, const char *op) {
  str attr = {0}, graph = {0};
  put_node(&graph, op, "", "x", "b");
  put_output(&graph, "b");
  put_text(&attr, 1, name);
  put_message(&attr, 6, &graph);
  put_int(&attr, 20, 5);
  put_message(node, 5, &attr);
}

/* Branches of other ranks take what follows with them; where that does not fit one of them, what it
 * captured before is captured for the other. */
static void test_split(void **state) {
  (void)state;
  rlx_graph *g = NULL;
  str graph = {0}, split = node("If", "", "c", "y");
  put_input(&graph, "c", BOOL, "");
  put_input(&graph, "x", FLOAT, "n");
  put_branch(&split, "then_branch", "Relu");
  put_branch(&split, "else_branch", "Flatten");
  put_message(&graph, 1, &split);
  put_node(&graph, "Det", "", "y", "z"); /* of no vector */
  put_output(&graph, "z");
  str m = model(&graph);
  expect_ok(load(&m, NULL, &g));
  assert_int_equal(rlx_val_rank(g, rlx_graph_output_value(g, 0)), 0);
  rlx_graph_free(g);
}

/* --- options and damage */

static void test_options(void **state) {
  (void)state;
  rlx_graph *g = NULL;
  str graph = small_graph(), m = model(&graph);
  const char *path = write_file("o.onnx", m.data, m.n);
  str_free(&m);
  rlx_load_options o = {0};
  expect_failure(rlx_model_load(path, &o, &g), RLX_ERROR_ARGUMENT, "struct_size");
  o.struct_size = 8; /* an older program */
  expect_ok(rlx_model_load(path, &o, &g));
  rlx_graph_free(g);
  g = NULL;
  struct {
    rlx_load_options known;
    uint64_t unknown;
  } newer = {{(uint32_t)sizeof newer}, 0};
  expect_ok(rlx_model_load(path, &newer.known, &g));
  rlx_graph_free(g);
  g = NULL;
  newer.unknown = 1;
  expect_failure(rlx_model_load(path, &newer.known, &g), RLX_ERROR_ARGUMENT, "this library knows");
  rlx_load_options small = RLX_OPTIONS(rlx_load_options);
  small.max_file_bytes = 10;
  expect_failure(rlx_model_load(path, &small, &g), RLX_ERROR_LIMIT, "at most 10");
  small.max_file_bytes = 0;
  small.max_depth = 100000;
  expect_failure(rlx_model_load(path, &small, &g), RLX_ERROR_ARGUMENT, "max_depth");
}

static rlx_status load_model(const char *path) {
  rlx_graph *g = NULL;
  rlx_status status = rlx_model_load(path, NULL, &g);
  rlx_graph_free(g);
  return status;
}

static void test_damage(void **state) {
  (void)state;
  str graph = small_graph(), m = model(&graph);
  load_cut(load_model, &m, "cut.onnx");
  load_damaged(load_model, &m, "damaged.onnx", 3000);
  str_free(&m);
  m = function_model("Add", "");
  load_damaged(load_model, &m, "damaged.onnx", 2000);
  str_free(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_wire),         cmocka_unit_test(test_wire_hostile),
      cmocka_unit_test(test_small),        cmocka_unit_test(test_dims),
      cmocka_unit_test(test_initializer_as_input), cmocka_unit_test(test_bad_graphs),
      cmocka_unit_test(test_preflight),    cmocka_unit_test(test_bad_tensors),
      cmocka_unit_test(test_external),     cmocka_unit_test(test_functions),
      cmocka_unit_test(test_bombs),        cmocka_unit_test(test_split),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_damage),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
