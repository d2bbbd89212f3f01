/* tests/text_test.c: the tokenizer with a small vocabulary, whole and damaged. That it agrees with
 * the reference is for tests/oracle/tokenizer.py. */
#define _XOPEN_SOURCE 700
#include <pthread.h>

#include "load_help.h"

/* --- files */

#define BERT_NORMALIZER "{\"type\":\"BertNormalizer\"}"
#define BERT_PRE "{\"type\":\"BertPreTokenizer\"}"
#define VOCAB                                                                                  \
  "{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"un\":3,\"##able\":4,\"able\":5,\"a\":6,\"##a\":7,"   \
  "\".\":8,\"cafe\":9,\"\\u4e2d\":10,\"n\":11,\"'\":12,\"t\":13,\"##n\":14}"
#define WORD_PIECE "{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":" VOCAB "}"
#define DECODER "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}"
#define BERT_POST \
  "{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]}"
#define ADDED(content, flags) "[{\"id\":20,\"content\":\"" content "\"" flags "}]"

/* A tokenizer.json; NULL leaves a part as it usually is here. */
typedef struct parts {
  const char *normalizer, *pre, *model, *added, *post, *decoder, *truncation, *padding;
} parts;

static const char *or_usual(const char *given, const char *usual) { return given ? given : usual; }

static const char *tokenizer_file(const parts *p) {
  str s = {NULL, 0, 0, false};
  str_addf(&s,
           "{\"normalizer\":%s,\"pre_tokenizer\":%s,\"model\":%s,\"added_tokens\":%s,"
           "\"post_processor\":%s,\"decoder\":%s,\"truncation\":%s,\"padding\":%s}",
           or_usual(p->normalizer, BERT_NORMALIZER), or_usual(p->pre, BERT_PRE),
           or_usual(p->model, WORD_PIECE), or_usual(p->added, "[]"), or_usual(p->post, BERT_POST),
           or_usual(p->decoder, DECODER), or_usual(p->truncation, "null"),
           or_usual(p->padding, "null"));
  const char *path = write_file("tokenizer.json", s.data, s.n);
  str_free(&s);
  return path;
}

static rlx_tokenizer *tokenizer_of(const parts *p) {
  rlx_tokenizer *t = NULL;
  expect_ok(rlx_tokenizer_load(tokenizer_file(p), &t));
  return t;
}

/* --- ids */

static void expect_ids(const rlx_tokenizer *t, const char *text, size_t n,
                       const rlx_tokenize_options *options, const char *want) {
  rlx_tensor *ids = NULL;
  str got = {NULL, 0, 0, false};
  str_add(&got, "");
  expect_ok(rlx_tokenizer_encode(t, text, n, options, &ids));
  assert_int_equal(rlx_tensor_dtype(ids), RLX_I64);
  for (int64_t i = 0; i < rlx_tensor_count(ids); i++) {
    str_addf(&got, "%s%lld", i ? " " : "", (long long)rlx_tensor_int(ids, i));
  }
  if (strcmp(got.data, want) != 0) print_error("'%s'\n", text);
  assert_string_equal(got.data, want);
  str_free(&got);
  rlx_tensor_free(ids);
}

static void test_ids(void **state) {
  (void)state;
  const char *cased = "{\"type\":\"BertNormalizer\",\"lowercase\":false}";
  const struct {
    parts p;
    const char *text, *want;
  } cases[] = {
      {{NULL}, "", "1 2"},
      {{NULL}, "unable a.", "1 3 4 6 8 2"},
      {{NULL}, "UN\tabLE", "1 3 5 2"},
      {{NULL}, "aaaa aab", "1 6 7 7 7 0 2"},
      {{NULL}, "Caf\xc3\xa9 cafe\xcc\x81", "1 9 9 2"},
      {{NULL}, "a\xe4\xb8\xad" "a", "1 6 10 6 2"},
      {{NULL}, "un\xc2\xad" "able\xe2\x80\x8b", "1 3 4 2"},
      {{NULL}, "a\xff" "a \xe4\xb8 \xc0\xaf", "1 6 7 2"},
      {{NULL}, "[CLS]", "1 0 0 0 2"},
      {{.normalizer = cased}, "caf\xc3\xa9 Un un", "1 0 0 3 2"},
      {{.normalizer = "null"}, "caf\xc3\xa9 a\xc2\xad", "1 0 0 2"},
      {{.added = ADDED("<x>", ",\"special\":true")}, "a<x>a <X>", "1 6 20 6 0 0 0 2"},
      {{.added = ADDED("un", ",\"special\":true")}, "un", "1 3 2"},
      {{.added = ADDED("Caf\\u00e9", ",\"normalized\":true")}, "xCAFE", "1 0 20 2"},
      {{.added = ADDED("a", ",\"single_word\":true")}, "a aa .a", "1 6 6 7 8 6 2"},
      {{.added = ADDED("<x>", ",\"lstrip\":true,\"rstrip\":true")}, "a <x> a", "1 6 20 6 2"},
      {{.post = "null"}, "un", "3"},
      {{.truncation = "{\"max_length\":3}"}, "un a", "1 3 2"},
      {{.truncation = "{\"max_length\":3,\"direction\":\"Left\"}"}, "un a", "1 6 2"},
      {{.model = "{\"type\":\"WordPiece\",\"max_input_chars_per_word\":2,\"vocab\":" VOCAB "}"},
       "una aa", "1 0 6 7 2"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rlx_tokenizer *t = tokenizer_of(&cases[i].p);
    expect_ids(t, cases[i].text, strlen(cases[i].text), NULL, cases[i].want);
    rlx_tokenizer_free(t);
  }
}

static void test_options(void **state) {
  (void)state;
  rlx_tokenizer *t = tokenizer_of(&(parts){.truncation = "{\"max_length\":4}",
                                           .padding = "{\"pad_id\":8}"});
  rlx_tokenize_options o = RLX_OPTIONS(rlx_tokenize_options);
  rlx_tensor *ids = NULL;
  expect_ids(t, "a\0a a", 5, &o, "1 6 7 2"); /* the zero byte is dropped */
  o.plain = true;
  expect_ids(t, "a a a a a", 9, &o, "6 6 6 6");
  o.max_tokens = UINT32_MAX;
  expect_ids(t, "a a a a a", 9, &o, "6 6 6 6 6");
  o.plain = false;
  o.max_tokens = 2;
  expect_ids(t, "a", 1, &o, "1 2");
  o.max_tokens = 1;
  expect_failure(rlx_tokenizer_encode(t, "a", 1, &o, &ids), RLX_ERROR_LIMIT, "no room");
  o.struct_size = 0;
  expect_failure(rlx_tokenizer_encode(t, "a", 1, &o, &ids), RLX_ERROR_ARGUMENT, "struct_size");
  expect_failure(rlx_tokenizer_encode(t, NULL, 1, NULL, &ids), RLX_ERROR_ARGUMENT, "NULL");
  assert_null(ids);
  assert_int_equal(rlx_tokenizer_max_tokens(t), 4);
  assert_int_equal(rlx_tokenizer_pad(t), 8);
  assert_string_equal(rlx_tokenizer_token(t, 4), "##able");
  assert_null(rlx_tokenizer_token(t, 15));
  assert_null(rlx_tokenizer_token(t, -1));
  rlx_tokenizer_free(t);
}

static void test_decode(void **state) {
  (void)state;
  static const struct {
    const char *decoder, *want, *bare;
  } cases[] = {
      {NULL, "[CLS] unable a. <x>", "[CLS] unable a."},
      {"{\"type\":\"WordPiece\",\"cleanup\":false}", "[CLS] unable a . <x>", "[CLS] unable a ."},
      {"null", "[CLS] un ##able a . <x>", "[CLS] un ##able a ."},
  };
  const int64_t ids[] = {1, 3, 4, 99, -5, 6, 8, 20};
  rlx_tensor *list = NULL, *flat = NULL;
  expect_ok(rlx_tensor_wrap(RLX_I64, 1, (int64_t[]){8}, ids, sizeof ids, NULL, NULL, &list));
  expect_ok(rlx_tensor_create(RLX_F32, 1, (int64_t[]){8}, &flat));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const parts p = {.decoder = cases[i].decoder, .added = ADDED("<x>", ",\"special\":true")};
    rlx_tokenizer *t = tokenizer_of(&p);
    for (int skip = 0; skip < 2; skip++) {
      char *text = NULL;
      expect_ok(rlx_tokenizer_decode(t, list, skip, &text));
      assert_string_equal(text, skip ? cases[i].bare : cases[i].want);
      rlx_string_free(text);
    }
    char *text = NULL;
    expect_failure(rlx_tokenizer_decode(t, flat, false, &text), RLX_ERROR_SHAPE, "i64 vector");
    rlx_tokenizer_free(t);
  }
  rlx_tensor_free(list);
  rlx_tensor_free(flat);
}

static void test_vocab_txt(void **state) {
  (void)state;
  static const char vocab[] = "[PAD]\r\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##able\nUn";
  static const char config[] = "{\"do_lower_case\":false,\"model_max_length\":1e30,"
                               "\"mask_token\":{\"content\":\"[MASK]\"}}";
  rlx_tokenizer *t = NULL;
  unlink(in_scratch("tokenizer.json"));
  expect_failure(rlx_tokenizer_load(scratch, &t), RLX_ERROR_IO, "vocab.txt");
  write_file("vocab.txt", vocab, sizeof vocab - 1);
  expect_ok(rlx_tokenizer_load(scratch, &t));
  expect_ids(t, "Unable[MASK]", 12, NULL, "2 5 6 4 3");
  rlx_tokenizer_free(t);
  write_file("tokenizer_config.json", config, sizeof config - 1);
  expect_ok(rlx_tokenizer_load(scratch, &t));
  expect_ids(t, "Unable[MASK]", 12, NULL, "2 7 6 4 3");
  assert_int_equal(rlx_tokenizer_max_tokens(t), 0);
  rlx_tokenizer_free(t);
  write_file("tokenizer_config.json", "{\"cls_token\":\"[X]\"}", 19);
  expect_failure(rlx_tokenizer_load(scratch, &t), RLX_ERROR_FORMAT, "'[X]'");
  write_file("vocab.txt", "a\na\n", 4);
  expect_failure(rlx_tokenizer_load(scratch, &t), RLX_ERROR_FORMAT, "twice");
  unlink(in_scratch("vocab.txt"));
  unlink(in_scratch("tokenizer_config.json"));
}

/* --- files that are wrong */

static void test_wrong_parts(void **state) {
  (void)state;
#define VOCAB_MODEL(vocab) "{\"type\":\"WordPiece\",\"vocab\":" vocab "}"
#define TEMPLATE(single) "{\"type\":\"TemplateProcessing\",\"single\":[" single "]}"
  static const struct {
    parts p;
    rlx_status status;
    const char *words;
  } cases[] = {
      {{.normalizer = "{\"type\":\"NFC\"}"}, RLX_ERROR_UNSUPPORTED, "'NFC'"},
      {{.normalizer = "{\"type\":3}"}, RLX_ERROR_FORMAT, "\"type\""},
      {{.normalizer = "{\"type\":\"BertNormalizer\",\"lowercase\":1}"},
       RLX_ERROR_FORMAT,
       "lowercase"},
      {{.pre = "null"}, RLX_ERROR_UNSUPPORTED, "pre-tokenizer"},
      {{.pre = "[]"}, RLX_ERROR_UNSUPPORTED, "pre-tokenizer"},
      {{.model = "{\"type\":\"BPE\"}"}, RLX_ERROR_UNSUPPORTED, "'BPE'"},
      {{.model = "{\"type\":\"WordPiece\"}"}, RLX_ERROR_FORMAT, "vocabulary"},
      {{.model = VOCAB_MODEL("[\"a\"]")}, RLX_ERROR_FORMAT, "vocabulary"},
      {{.model = VOCAB_MODEL("{}")}, RLX_ERROR_FORMAT, "'[UNK]'"},
      {{.model = VOCAB_MODEL("{\"a\":-1}")}, RLX_ERROR_FORMAT, "\"a\""},
      {{.model = VOCAB_MODEL("{\"a\":1e18}")}, RLX_ERROR_FORMAT, "\"a\""},
      {{.model = VOCAB_MODEL("{\"a\":0.5}")}, RLX_ERROR_FORMAT, "\"a\""},
      {{.model = VOCAB_MODEL("{\"a\":1,\"b\":1}")}, RLX_ERROR_FORMAT, "one id"},
      {{.model = VOCAB_MODEL("{\"a\":1,\"a\":2}")}, RLX_ERROR_FORMAT, "twice"},
      {{.added = "{\"a\":1}"}, RLX_ERROR_FORMAT, "not a list"},
      {{.added = "[{\"content\":1}]"}, RLX_ERROR_FORMAT, "content"},
      {{.added = "[{\"content\":\"x\",\"id\":3}]"}, RLX_ERROR_FORMAT, "one id"},
      {{.post = "{\"type\":\"RobertaProcessing\"}"}, RLX_ERROR_UNSUPPORTED, "RobertaProcessing"},
      {{.post = "{\"type\":\"BertProcessing\",\"sep\":[]}"}, RLX_ERROR_FORMAT, "cls"},
      {{.post = TEMPLATE("")}, RLX_ERROR_FORMAT, "0 times"},
      {{.post = TEMPLATE("{\"Sequence\":{}},{\"Sequence\":{}}")}, RLX_ERROR_FORMAT, "2 times"},
      {{.post = TEMPLATE("{\"SpecialToken\":{\"id\":\"x\"}}")}, RLX_ERROR_FORMAT, "'x'"},
      {{.decoder = "{\"type\":\"ByteLevel\"}"}, RLX_ERROR_UNSUPPORTED, "ByteLevel"},
      {{.truncation = "{\"max_length\":-1}"}, RLX_ERROR_FORMAT, "max_length"},
      {{.padding = "{\"pad_id\":\"x\"}"}, RLX_ERROR_FORMAT, "pad_id"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rlx_tokenizer *t = NULL;
    expect_failure(rlx_tokenizer_load(tokenizer_file(&cases[i].p), &t), cases[i].status,
                   cases[i].words);
    assert_null(t);
  }
}

static rlx_status load(const char *path) {
  rlx_tokenizer *t = NULL;
  RLX_TRY(rlx_tokenizer_load(path, &t));
  rlx_tensor *ids = NULL;
  rlx_status status = rlx_tokenizer_encode(t, "unable <x> caf\xc3\xa9.", 16, NULL, &ids);
  rlx_tensor_free(ids);
  rlx_tokenizer_free(t);
  return status;
}

static void test_wrong_files(void **state) {
  (void)state;
  rlx_tokenizer *t = NULL;
  str deep = {NULL, 0, 0, false};
  for (int i = 0; i < 100000; i++) str_add(&deep, "[");
  expect_failure(load(write_file("x.json", deep.data, deep.n)), RLX_ERROR_FORMAT, "JSON");
  str_free(&deep);
  expect_failure(load(write_file("x.json", "", 0)), RLX_ERROR_FORMAT, "JSON");
  expect_failure(load(write_file("x.json", "3", 1)), RLX_ERROR_FORMAT, "JSON");
  expect_failure(load(in_scratch("none.json")), RLX_ERROR_IO, "none.json");
  expect_failure(rlx_tokenizer_load(NULL, &t), RLX_ERROR_ARGUMENT, "NULL");
  str file = read_file(tokenizer_file(&(parts){.added = ADDED("<x>", ",\"special\":true")}));
  load_cut(load, &file, "x.json");
  load_damaged(load, &file, "x.json", 3000);
  str_free(&file);
}

/* Time stays in proportion to the text, whatever the text. */
static void test_long_texts(void **state) {
  (void)state;
  static const char *const units[] = {"a", "un", " ", ".", "\xcc\x81", "<x>", "\xff", "a\xcc\x81 "};
  rlx_tokenizer *t = tokenizer_of(&(parts){
      .added = ADDED("<x>", ",\"special\":true,\"lstrip\":true"),
      .model = "{\"type\":\"WordPiece\",\"max_input_chars_per_word\":1000000000,"
               "\"vocab\":" VOCAB "}"});
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    str s = {NULL, 0, 0, false};
    rlx_tensor *ids = NULL;
    while (s.n < 300000) str_add(&s, units[i]);
    expect_ok(rlx_tokenizer_encode(t, s.data, s.n, NULL, &ids));
    rlx_tensor_free(ids);
    str_free(&s);
  }
  rlx_tokenizer_free(t);
}

static void *encode_often(void *tokenizer) {
  for (int i = 0; i < 2000; i++) {
    rlx_tensor *ids = NULL;
    if (rlx_tokenizer_encode(tokenizer, "unable a.", 9, NULL, &ids) != RLX_OK) return tokenizer;
    const bool right = rlx_tensor_count(ids) == 6 && rlx_tensor_int(ids, 2) == 4;
    rlx_tensor_free(ids);
    if (!right) return tokenizer;
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  rlx_tokenizer *t = tokenizer_of(&(parts){NULL});
  pthread_t threads[4];
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, encode_often, t), 0);
  }
  for (size_t i = 0; i < 4; i++) {
    void *failed;
    assert_int_equal(pthread_join(threads[i], &failed), 0);
    assert_null(failed);
  }
  rlx_tokenizer_free(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ids),         cmocka_unit_test(test_options),
      cmocka_unit_test(test_decode),      cmocka_unit_test(test_vocab_txt),
      cmocka_unit_test(test_wrong_parts), cmocka_unit_test(test_wrong_files),
      cmocka_unit_test(test_long_texts),  cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
