/* tests/encoder_test.c: encoders from folders, whole and wrong. That the vectors are right is for
 * tests/oracle/encoder.py. */
#define _XOPEN_SOURCE 700
#include <sys/stat.h>

#include "load_help.h"

/* --- a folder: 8 wide, 1 layer, texts of up to 6 tokens */

typedef struct shape {
  const char *name;
  size_t rank;
  int64_t dims[2];
} shape;

#define LAYER "encoder.layer.0."
static const shape shapes[] = {
    {"embeddings.word_embeddings.weight", 2, {7, 8}},
    {"embeddings.position_embeddings.weight", 2, {6, 8}},
    {"embeddings.token_type_embeddings.weight", 2, {2, 8}},
    {"embeddings.LayerNorm.weight", 1, {8}},
    {"embeddings.LayerNorm.bias", 1, {8}},
    {LAYER "attention.self.query.weight", 2, {8, 8}},
    {LAYER "attention.self.query.bias", 1, {8}},
    {LAYER "attention.self.key.weight", 2, {8, 8}},
    {LAYER "attention.self.key.bias", 1, {8}},
    {LAYER "attention.self.value.weight", 2, {8, 8}},
    {LAYER "attention.self.value.bias", 1, {8}},
    {LAYER "attention.output.dense.weight", 2, {8, 8}},
    {LAYER "attention.output.dense.bias", 1, {8}},
    {LAYER "attention.output.LayerNorm.weight", 1, {8}},
    {LAYER "attention.output.LayerNorm.bias", 1, {8}},
    {LAYER "intermediate.dense.weight", 2, {16, 8}},
    {LAYER "intermediate.dense.bias", 1, {16}},
    {LAYER "output.dense.weight", 2, {8, 16}},
    {LAYER "output.dense.bias", 1, {8}},
    {LAYER "output.LayerNorm.weight", 1, {8}},
    {LAYER "output.LayerNorm.bias", 1, {8}},
};

/* Writes model.safetensors, with `other` in the place of the tensor of its name. */
static void write_model(const shape *other) {
  rlx_tensors *list = NULL;
  expect_ok(rlx_tensors_create(&list));
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const shape *s = other && strcmp(other->name, shapes[i].name) == 0 ? other : &shapes[i];
    rlx_tensor *t = NULL;
    if (!s->rank) continue;
    expect_ok(rlx_tensor_create(RLX_F32, s->rank, s->dims, &t));
    expect_ok(rlx_tensor_random(t, i));
    expect_ok(rlx_tensors_set(list, s->name, t));
    rlx_tensor_free(t);
  }
  expect_ok(rlx_tensors_save_safetensors(list, in_scratch("model.safetensors")));
  rlx_tensors_free(list);
}

static void write_text(const char *name, const char *text) { write_file(name, text, strlen(text)); }

static int make_folder(void **state) {
  if (scratch_make(state) != 0) return -1;
  write_model(NULL);
  write_text("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n");
  return 0;
}

static int remove_folder(void **state) {
  rmdir(in_scratch("1_Pooling"));
  return scratch_remove(state);
}

/* --- graphs */

static void expect_types(const rlx_encoder_options *o, const char *output, const char *type) {
  rlx_graph *g = NULL;
  rlx_tensors *params = NULL;
  char text[64];
  expect_ok(rlx_encoder_graph(scratch, o, &g, &params));
  assert_int_equal(rlx_graph_input_count(g), 3);
  for (size_t i = 0; i < 3; i++) {
    rlx_val_type_text(g, rlx_graph_input_value(g, i), text, sizeof text);
    assert_string_equal(text, "i64[batch,tokens]");
  }
  assert_int_equal(rlx_graph_param_count(g), rlx_tensors_count(params));
  assert_int_equal(rlx_graph_output_count(g), 1);
  assert_string_equal(rlx_graph_output_name(g, 0), output);
  rlx_val_type_text(g, rlx_graph_output_value(g, 0), text, sizeof text);
  assert_string_equal(text, type);
  rlx_graph_free(g);
  rlx_tensors_free(params);
}

static void test_graph(void **state) {
  (void)state;
  rlx_encoder_options o = RLX_OPTIONS(rlx_encoder_options);
  expect_types(NULL, "embedding", "f32[batch,8]");
  o.pooling = RLX_POOLING_CLS;
  expect_types(&o, "embedding", "f32[batch,8]");
  o.pooling = RLX_POOLING_NONE;
  expect_types(&o, "last_hidden_state", "f32[batch,tokens,8]");
}

/* --- vectors */

static rlx_tensor *embed(const rlx_encoder_options *o, const char *const *texts, size_t n) {
  rlx_encoder *e = NULL;
  rlx_tensor *vectors = NULL;
  expect_ok(rlx_encoder_load(scratch, o, &e));
  expect_ok(rlx_encoder_embed(e, texts, n, &vectors));
  rlx_encoder_free(e);
  return vectors;
}

static void expect_same(const rlx_tensor *got, const rlx_tensor *want) {
  rlx_difference d;
  expect_ok(rlx_tensor_compare(got, want, &d));
  assert_true(d.error < 1e-5);
}

static void test_batches(void **state) {
  (void)state;
  static const char *const texts[] = {"a b a b", "", "b", "a b a b a b a", "a", "x", "a b"};
  rlx_tensor *want = embed(NULL, texts, 7);
  assert_int_equal(rlx_tensor_dims(want)[0], 7);
  assert_int_equal(rlx_tensor_dims(want)[1], 8);
  for (uint32_t batch = 1; batch <= 7; batch++) {
    rlx_encoder_options o = RLX_OPTIONS(rlx_encoder_options);
    o.batch = batch;
    rlx_tensor *got = embed(&o, texts, 7);
    expect_same(got, want);
    rlx_tensor_free(got);
  }
  rlx_tensor_free(want);
}

static void test_long_texts_are_cut(void **state) {
  (void)state;
  rlx_encoder_options o = RLX_OPTIONS(rlx_encoder_options);
  rlx_tensor *want = embed(NULL, (const char *[]){"a b a b"}, 1); /* the model's 6 tokens */
  rlx_tensor *got = embed(NULL, (const char *[]){"a b a b a b a"}, 1);
  expect_same(got, want);
  rlx_tensor_free(got);
  rlx_tensor_free(want);
  o.max_tokens = 4;
  want = embed(NULL, (const char *[]){"a b"}, 1);
  got = embed(&o, (const char *[]){"a b a b a b a"}, 1);
  expect_same(got, want);
  rlx_tensor_free(got);
  rlx_tensor_free(want);
}

static double length_of(const rlx_encoder_options *o) {
  double sum = 0;
  rlx_tensor *v = embed(o, (const char *[]){"a b"}, 1);
  for (int64_t i = 0; i < 8; i++) sum += rlx_tensor_real(v, i) * rlx_tensor_real(v, i);
  rlx_tensor_free(v);
  return sum;
}

/* What modules.json and 1_Pooling/config.json say, and that options win. */
static void test_habits(void **state) {
  (void)state;
  static const char *const texts[] = {"a b"};
  rlx_encoder_options o = RLX_OPTIONS(rlx_encoder_options);
  assert_true(length_of(NULL) > 0.999 && length_of(NULL) < 1.001);
  o.keep_norm = true;
  assert_true(length_of(&o) > 1.1 || length_of(&o) < 0.9);
  o.pooling = RLX_POOLING_CLS;
  rlx_tensor *cls = embed(&o, texts, 1);
  write_text("modules.json", "[{\"type\":\"x.Pooling\"},{\"type\":7},3]");
  mkdir(in_scratch("1_Pooling"), 0700);
  write_text("1_Pooling/config.json", "{\"pooling_mode_cls_token\":true}");
  rlx_tensor *told = embed(NULL, texts, 1);
  expect_same(told, cls);
  write_text("modules.json", "[{\"type\":\"x.models.Normalize\"}]");
  assert_true(length_of(NULL) > 0.999 && length_of(NULL) < 1.001);
  rlx_encoder *e = NULL;
  write_text("1_Pooling/config.json", "{\"pooling_mode_lasttoken\":true}");
  expect_failure(rlx_encoder_load(scratch, NULL, &e), RLX_ERROR_UNSUPPORTED, "first token");
  unlink(in_scratch("1_Pooling/config.json"));
  unlink(in_scratch("modules.json"));
  rlx_tensor_free(cls);
  rlx_tensor_free(told);
}

/* --- what is wrong */

static void test_wrong_config(void **state) {
  (void)state;
  static const struct {
    const char *config;
    rlx_status status;
    const char *words;
  } cases[] = {
      {"{\"model_type\":\"roberta\"}", RLX_ERROR_UNSUPPORTED, "roberta"},
      {"{\"position_embedding_type\":\"relative_key\"}", RLX_ERROR_UNSUPPORTED, "relative_key"},
      {"{\"hidden_act\":\"quick_gelu\"}", RLX_ERROR_UNSUPPORTED, "quick_gelu"},
      {"{\"hidden_size\":16}", RLX_ERROR_FORMAT, "hidden_size 16"},
      {"{\"vocab_size\":-1}", RLX_ERROR_FORMAT, "vocab_size"},
      {"{\"num_attention_heads\":3}", RLX_ERROR_FORMAT, "3 heads"},
      {"{\"num_attention_heads\":0}", RLX_ERROR_FORMAT, "num_attention_heads"},
      {"{\"num_hidden_layers\":2}", RLX_ERROR_FORMAT, "num_hidden_layers"},
      {"{\"layer_norm_eps\":\"x\"}", RLX_ERROR_FORMAT, "layer_norm_eps"},
      {"{", RLX_ERROR_FORMAT, "config.json"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rlx_encoder *e = NULL;
    write_text("config.json", cases[i].config);
    expect_failure(rlx_encoder_load(scratch, NULL, &e), cases[i].status, cases[i].words);
    assert_null(e);
  }
  unlink(in_scratch("config.json"));
}

static void test_wrong_tensors(void **state) {
  (void)state;
  static const struct {
    shape s; /* rank 0: left out */
    rlx_status status;
    const char *words;
  } cases[] = {
      {{"embeddings.word_embeddings.weight", 0, {0}}, RLX_ERROR_UNSUPPORTED, "BERT"},
      {{"embeddings.word_embeddings.weight", 1, {8}}, RLX_ERROR_FORMAT, "width"},
      {{"embeddings.position_embeddings.weight", 2, {6, 4}}, RLX_ERROR_SHAPE, ""},
      {{LAYER "attention.self.key.bias", 0, {0}}, RLX_ERROR_FORMAT, "key.bias' is missing"},
      {{LAYER "attention.self.key.bias", 2, {1, 8}}, RLX_ERROR_FORMAT, "wrong rank"},
      {{LAYER "attention.self.key.weight", 2, {8, 4}}, RLX_ERROR_SHAPE, ""},
      {{LAYER "output.LayerNorm.weight", 1, {4}}, RLX_ERROR_SHAPE, ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rlx_encoder *e = NULL;
    write_model(&cases[i].s);
    expect_failure(rlx_encoder_load(scratch, NULL, &e), cases[i].status, cases[i].words);
    assert_null(e);
  }
  write_model(NULL);
}

static rlx_status load_and_embed(const char *path) {
  rlx_encoder *e = NULL;
  rlx_tensor *v = NULL;
  (void)path; /* model.safetensors in the folder */
  rlx_status status = rlx_encoder_load(scratch, NULL, &e);
  if (status == RLX_OK) status = rlx_encoder_embed(e, (const char *[]){"a b"}, 1, &v);
  rlx_encoder_free(e);
  rlx_tensor_free(v);
  return status;
}

static void test_damaged_files(void **state) {
  (void)state;
  str file = read_file(in_scratch("model.safetensors"));
  load_damaged(load_and_embed, &file, "model.safetensors", 200);
  str_free(&file);
  write_model(NULL);
}

static void test_wrong_calls(void **state) {
  (void)state;
  rlx_encoder_options o = RLX_OPTIONS(rlx_encoder_options);
  rlx_encoder *e = NULL;
  rlx_tensor *v = NULL;
  expect_failure(rlx_encoder_load(NULL, NULL, &e), RLX_ERROR_ARGUMENT, "NULL");
  expect_failure(rlx_encoder_load("none", NULL, &e), RLX_ERROR_IO, "none");
  o.pooling = (rlx_pooling)9;
  expect_failure(rlx_encoder_load(scratch, &o, &e), RLX_ERROR_ARGUMENT, "9");
  o.pooling = RLX_POOLING_NONE;
  expect_failure(rlx_encoder_load(scratch, &o, &e), RLX_ERROR_ARGUMENT, "pooling");
  expect_ok(rlx_encoder_load(scratch, NULL, &e));
  expect_failure(rlx_encoder_embed(e, NULL, 1, &v), RLX_ERROR_ARGUMENT, "NULL");
  expect_failure(rlx_encoder_embed(e, (const char *[]){"a", NULL}, 2, &v), RLX_ERROR_ARGUMENT,
                 "text 1");
  assert_null(v);
  rlx_encoder_free(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_graph),
      cmocka_unit_test(test_batches),
      cmocka_unit_test(test_long_texts_are_cut),
      cmocka_unit_test(test_habits),
      cmocka_unit_test(test_wrong_config),
      cmocka_unit_test(test_wrong_tensors),
      cmocka_unit_test(test_damaged_files),
      cmocka_unit_test(test_wrong_calls),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
