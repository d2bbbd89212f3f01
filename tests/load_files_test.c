/* tests/load_files_test.c: tensor files (npy, npz, pb) and .rlx files, whole and damaged. */
#define _XOPEN_SOURCE 700
#include <zip.h>

#include "ir/tensor.h"
#include "load/safetensors.h"
#include "load_help.h"

static rlx_tensor *numbers(rlx_dtype dtype, size_t rank, const int64_t *dims) {
  rlx_tensor *t = NULL;
  expect_ok(rlx_tensor_create(dtype, rank, dims, &t));
  for (int64_t i = 0; i < t->count; i++) tensor_set_real(t, i, (double)(i % 50));
  return t;
}

static bool plain(rlx_dtype dtype) { return rlx_dtype_get(dtype)->kind != RLX_KIND_BLOCK; }

static const int64_t shapes[][3] = {{0}, {3}, {2, 3}, {2, 0, 4}};

/* --- npy */

static void test_npy_round_trip(void **state) {
  (void)state;
  const char *path = in_scratch("t.npy");
  for (int d = 0; d < RLX_DTYPE_COUNT; d++) {
    for (size_t rank = 0; rank < 4; rank++) {
      const int64_t blocks[] = {1024};
      rlx_tensor *back = NULL, *t = plain((rlx_dtype)d) ? numbers((rlx_dtype)d, rank, shapes[rank])
                                                        : NULL;
      if (!t) {
        expect_ok(rlx_tensor_create((rlx_dtype)d, 1, blocks, &t));
        expect_failure(rlx_tensor_save_npy(t, path), RLX_ERROR_UNSUPPORTED, "element type");
      } else {
        expect_ok(rlx_tensor_save_npy(t, path));
        expect_ok(rlx_tensor_load_npy(path, &back));
        assert_true(tensor_equal(t, back));
      }
      rlx_tensor_free(t);
      rlx_tensor_free(back);
    }
  }
}

/* Writes a .npy of this version with this dict, and data of n bytes. */
static const char *npy_file(int version, const char *dict, const void *data, size_t n) {
  str s = {0};
  const size_t length = strlen(dict);
  str_add_n(&s, "\x93NUMPY", 6);
  str_add_n(&s, (const char[]){(char)version, 0}, 2);
  for (int i = 0; i < (version == 1 ? 2 : 4); i++) {
    str_add_n(&s, (const char[]){(char)(length >> 8 * i)}, 1);
  }
  str_add(&s, dict);
  str_add_n(&s, data, n);
  const char *path = write_file("made.npy", s.data, s.n);
  str_free(&s);
  return path;
}

static void test_npy_forms(void **state) {
  (void)state;
  static const struct {
    int version;
    const char *dict;
  } forms[] = {
      {1, "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n"},
      {2, "{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\">i2\"}"},
      {3, "  { 'fortran_order' : True , 'shape' : ( 2 , 3 , ) , 'descr' : '>i2' }   \n"},
  };
  static const int64_t want[] = {1, 3, 5, 2, 4, 6};
  for (size_t i = 0; i < 3; i++) {
    rlx_tensor *t = NULL;
    expect_ok(rlx_tensor_load_npy(
        npy_file(forms[i].version, forms[i].dict, "\0\1\0\2\0\3\0\4\0\5\0\6", 12), &t));
    assert_int_equal(t->rank, 2);
    for (int64_t k = 0; k < 6; k++) assert_int_equal(tensor_int(t, k), want[k]);
    rlx_tensor_free(t);
  }
  rlx_tensor *b = NULL;
  expect_ok(rlx_tensor_load_npy(
      npy_file(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", "\xff\0", 2), &b));
  assert_memory_equal(b->data, "\1\0", 2);
  rlx_tensor_free(b);
}

static void test_npy_hostile(void **state) {
  (void)state;
#define DICT(descr, shape) "{'descr': " descr ", 'fortran_order': False, 'shape': " shape "}"
  static const struct {
    const char *dict;
    rlx_status status;
    const char *words;
  } bad[] = {
      {"", RLX_ERROR_FORMAT, "'{' expected"},
      {"{}", RLX_ERROR_FORMAT, "is missing"},
      {"{'descr': '<f4'", RLX_ERROR_FORMAT, "',' expected"},
      {"{'descr': '<f4', 'descr': '<f4'}", RLX_ERROR_FORMAT, "key 'descr'"},
      {"{'other': 1}", RLX_ERROR_FORMAT, "key 'other'"},
      {DICT("'<f4'", "(1,)") "x", RLX_ERROR_FORMAT, "the end expected"},
      {DICT("'<f4'", "(1)"), RLX_ERROR_FORMAT, "a tuple expected"},
      {DICT("'<f4'", "(-1,)"), RLX_ERROR_FORMAT, "a size expected"},
      {DICT("'<f4'", "(,)"), RLX_ERROR_FORMAT, "a size expected"},
      {DICT("'<f4'", "(1 2)"), RLX_ERROR_FORMAT, "',' expected"},
      {DICT("'<f4'", "(99999999999999999999,)"), RLX_ERROR_FORMAT, "a smaller size"},
      {DICT("'<f4'", "(4611686018427387904, 4)"), RLX_ERROR_FORMAT, "memory can hold"},
      {DICT("'<f4'", "(1099511627776,)"), RLX_ERROR_FORMAT, "4 bytes of elements"},
      {DICT("'<f4'", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)"), RLX_ERROR_LIMIT, "16 dims"},
      {DICT("'<f\\x34'", "(1,)"), RLX_ERROR_FORMAT, "quoted"},
      {DICT("''", "(1,)"), RLX_ERROR_UNSUPPORTED, "element type ''"},
      {DICT("'<c16'", "(1,)"), RLX_ERROR_UNSUPPORTED, "'<c16'"},
      {DICT("'|O'", "(1,)"), RLX_ERROR_UNSUPPORTED, "'|O'"},
      {DICT("[('a', '<f4')]", "(1,)"), RLX_ERROR_UNSUPPORTED, "structured"},
  };
#undef DICT
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    rlx_tensor *t = NULL;
    expect_failure(rlx_tensor_load_npy(npy_file(1, bad[i].dict, "abcd", 4), &t), bad[i].status,
                   bad[i].words);
    assert_null(t);
  }
  rlx_tensor *t = NULL;
  expect_failure(rlx_tensor_load_npy(npy_file(4, "{}", "", 0), &t), RLX_ERROR_UNSUPPORTED,
                 "version 4.0");
  expect_failure(rlx_tensor_load_npy(write_file("e.npy", "", 0), &t), RLX_ERROR_FORMAT, "e.npy");
}

static rlx_status load_npy(const char *path) {
  rlx_tensor *t = NULL;
  rlx_status status = rlx_tensor_load_npy(path, &t);
  rlx_tensor_free(t);
  return status;
}

/* --- npz */

static const char *const names[] = {"x", "y/z:0", "", "a.npy", "\xc3\xbc", "../up"};
#define N_NAMES (sizeof names / sizeof names[0])

static rlx_tensors *list_of_all(void) {
  rlx_tensors *list = NULL;
  expect_ok(rlx_tensors_create(&list));
  for (size_t i = 0; i < N_NAMES; i++) {
    rlx_tensor *t = numbers(i % 2 ? RLX_F32 : RLX_BF16, i % 4, shapes[i % 4]);
    expect_ok(rlx_tensors_set(list, names[i], t));
    rlx_tensor_free(t);
  }
  return list;
}

static void test_npz_round_trip(void **state) {
  (void)state;
  rlx_tensors *list = list_of_all(), *back = NULL;
  expect_ok(rlx_tensors_save_npz(list, in_scratch("t.npz")));
  expect_ok(rlx_tensors_save_npz(list, in_scratch("t.npz"))); /* replaces it */
  expect_ok(rlx_tensors_load_npz(in_scratch("t.npz"), &back));
  assert_int_equal(rlx_tensors_count(back), N_NAMES);
  for (size_t i = 0; i < N_NAMES; i++) {
    assert_string_equal(rlx_tensors_name(back, i), names[i]);
    assert_true(tensor_equal(rlx_tensors_at(list, i), rlx_tensors_at(back, i)));
  }
  rlx_tensors_free(list);
  rlx_tensors_free(back);
  expect_ok(rlx_tensors_create(&list));
  expect_failure(rlx_tensors_save_npz(list, in_scratch("t.npz")), RLX_ERROR_ARGUMENT, "no tensors");
  rlx_tensors_free(list);
}

/* An archive of one member, compressed if asked. */
static const char *npz_file(const char *member, const str *content, zip_int32_t method) {
  const char *path = in_scratch("made.npz");
  zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
  assert_non_null(zip);
  zip_source_t *source = zip_source_buffer(zip, content->data, content->n, 0);
  zip_int64_t index = zip_file_add(zip, member, source, 0);
  assert_true(index >= 0);
  assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)index, method, 0), 0);
  assert_int_equal(zip_close(zip), 0);
  return path;
}

static void test_npz_members(void **state) {
  (void)state;
  rlx_tensors *list = NULL;
  rlx_tensor *t = numbers(RLX_F32, 1, (const int64_t[]){1000});
  expect_ok(rlx_tensor_save_npy(t, in_scratch("t.npy")));
  str array = read_file(in_scratch("t.npy")), note = {0};
  expect_ok(rlx_tensors_load_npz(npz_file("a.npy", &array, ZIP_CM_DEFLATE), &list));
  assert_true(tensor_equal(rlx_tensors_get(list, "a"), t));
  rlx_tensors_free(list);
  expect_ok(rlx_tensors_load_npz(npz_file("a", &array, ZIP_CM_STORE), &list));
  assert_non_null(rlx_tensors_get(list, "a"));
  rlx_tensors_free(list);
  str_add(&note, "no array");
  expect_ok(rlx_tensors_load_npz(npz_file("note", &note, ZIP_CM_STORE), &list));
  assert_int_equal(rlx_tensors_count(list), 0);
  rlx_tensors_free(list);
  expect_failure(rlx_tensors_load_npz(npz_file("note.npy", &note, ZIP_CM_STORE), &list),
                 RLX_ERROR_FORMAT, "member 'note.npy': not a .npy file");
  str_add(&array, "more");
  expect_failure(rlx_tensors_load_npz(npz_file("a.npy", &array, ZIP_CM_DEFLATE), &list),
                 RLX_ERROR_FORMAT, "4004 bytes of elements");
  assert_null(list);
  expect_failure(rlx_tensors_load_npz(write_file("no.npz", "junk", 4), &list), RLX_ERROR_FORMAT,
                 "no.npz");
  rlx_tensor_free(t);
  str_free(&array);
  str_free(&note);
}

/* A member that claims more than its packed bytes can hold: sizes are patched in the archive. */
static void test_npz_bomb(void **state) {
  (void)state;
  rlx_tensors *list = NULL;
  rlx_tensor *t = numbers(RLX_U8, 1, (const int64_t[]){8});
  expect_ok(rlx_tensors_create(&list));
  expect_ok(rlx_tensors_set(list, "a", t));
  expect_ok(rlx_tensors_save_npz(list, in_scratch("b.npz")));
  rlx_tensors_free(list);
  rlx_tensor_free(t);
  str file = read_file(in_scratch("b.npz"));
  size_t central = 0;
  while (memcmp(file.data + central, "PK\1\2", 4) != 0) central++;
  memcpy(file.data + 22, "\0\0\0\x40", 4);
  memcpy(file.data + central + 24, "\0\0\0\x40", 4);
  expect_failure(rlx_tensors_load_npz(write_file("b.npz", file.data, file.n), &list),
                 RLX_ERROR_FORMAT, "136 bytes cannot hold 1073741824");
  str_free(&file);
}

static rlx_status load_npz(const char *path) {
  rlx_tensors *list = NULL;
  rlx_status status = rlx_tensors_load_npz(path, &list);
  rlx_tensors_free(list);
  return status;
}

/* --- pb */

static void test_pb_round_trip(void **state) {
  (void)state;
  const char *path = in_scratch("t.pb");
  for (int d = 0; d < RLX_DTYPE_COUNT; d++) {
    for (size_t rank = 0; rank < 4 && plain((rlx_dtype)d); rank++) {
      rlx_tensor *back = NULL, *t = numbers((rlx_dtype)d, rank, shapes[rank]);
      char *name = NULL;
      expect_ok(rlx_tensor_save_pb(t, "a/b:0", path));
      expect_ok(rlx_tensor_load_pb(path, &back, &name));
      assert_string_equal(name, "a/b:0");
      assert_true(tensor_equal(t, back));
      rlx_string_free(name);
      rlx_tensor_free(t);
      rlx_tensor_free(back);
    }
  }
}

static rlx_status load_pb(const char *path) {
  rlx_tensor *t = NULL;
  rlx_status status = rlx_tensor_load_pb(path, &t, NULL);
  rlx_tensor_free(t);
  return status;
}

/* --- .rlx and safetensors */

static rlx_graph *some_graph(void) {
  rlx_graph *g = NULL;
  rlx_tensor *wide = numbers(RLX_F64, 2, (const int64_t[]){5, 7});
  rlx_tensor *odd = numbers(RLX_BOOL, 1, (const int64_t[]){19});
  rlx_tensor *half = numbers(RLX_F16, 1, (const int64_t[]){21});
  expect_ok(rlx_graph_create("a \"graph\"\n", &g));
  const rlx_dim dims[] = {rlx_dim_named(g, "batch"), 3};
  rlx_graph_output(g, "y:0", rlx_input(g, "x/\xc3\xbc", RLX_F32, 2, dims));
  rlx_graph_output(g, "odd", rlx_constant(g, odd));
  rlx_graph_output(g, "wide", rlx_constant(g, wide));
  rlx_graph_output(g, "half", rlx_constant(g, half));
  rlx_graph_output(g, "half again", rlx_constant(g, half));
  rlx_graph_output(g, "one", rlx_scalar(g, RLX_I32, 1));
  expect_ok(rlx_graph_status(g));
  rlx_tensor_free(wide);
  rlx_tensor_free(odd);
  rlx_tensor_free(half);
  return g;
}

static void test_rlx_round_trip(void **state) {
  (void)state;
  rlx_graph *g = some_graph(), *back = NULL;
  rlx_tensors *blobs = NULL;
  char *text = NULL;
  expect_ok(rlx_tensors_create(&blobs));
  expect_ok(rlx_graph_print(g, &text, blobs));
  assert_int_equal(rlx_tensors_count(blobs), 3); /* what stands twice is written once */
  rlx_string_free(text);
  rlx_tensors_free(blobs);
  expect_ok(rlx_graph_save(g, in_scratch("g.rlx")));
  expect_ok(rlx_graph_load(in_scratch("g.rlx"), &back));
  assert_true(rlx_graph_equal(g, back));
  rlx_graph_free(back);
  expect_ok(rlx_model_load(in_scratch("g.rlx"), NULL, &back));
  assert_true(rlx_graph_equal(g, back));
  rlx_graph_free(back);
  rlx_graph_free(g);
  str file = read_file(in_scratch("g.rlx"));
  assert_int_equal((8 + (unsigned char)file.data[0] + ((unsigned char)file.data[1] << 8)) % 64, 0);
  str_free(&file);
}

/* Every element type, and that tensors are views of the file. */
static void test_safetensors_round_trip(void **state) {
  (void)state;
  rlx_tensors *list = list_of_all(), *back = NULL;
  for (int d = 0; d < RLX_DTYPE_COUNT; d++) {
    rlx_tensor *t = plain((rlx_dtype)d) ? numbers((rlx_dtype)d, 2, shapes[2]) : NULL;
    if (t) expect_ok(rlx_tensors_set(list, dtype_name((rlx_dtype)d), t));
    rlx_tensor_free(t);
  }
  expect_ok(rlx_tensors_save_safetensors(list, in_scratch("t.safetensors")));
  expect_ok(rlx_tensors_load_safetensors(in_scratch("t.safetensors"), &back));
  assert_int_equal(rlx_tensors_count(back), rlx_tensors_count(list));
  for (size_t i = 0; i < rlx_tensors_count(list); i++) {
    const rlx_tensor *t = rlx_tensors_get(back, rlx_tensors_name(list, i));
    assert_true(tensor_equal(rlx_tensors_at(list, i), t));
    assert_true(t->read_only || t->dtype == RLX_BOOL);
  }
  rlx_tensors_free(back);
  const int64_t blocks[] = {1024};
  rlx_tensor *packed = NULL;
  expect_ok(rlx_tensor_create(RLX_Q4_0, 1, blocks, &packed));
  expect_ok(rlx_tensors_set(list, "packed", packed));
  expect_failure(rlx_tensors_save_safetensors(list, in_scratch("t.safetensors")),
                 RLX_ERROR_UNSUPPORTED, "'packed': safetensors has no element type for q4_0");
  rlx_tensors_free(list);
  expect_ok(rlx_tensors_create(&list));
  rlx_tensor_free(packed);
  packed = numbers(RLX_I8, 0, NULL);
  expect_ok(rlx_tensors_set(list, "\xff", packed));
  expect_failure(rlx_tensors_save_safetensors(list, in_scratch("t.safetensors")),
                 RLX_ERROR_ARGUMENT, "UTF-8");
  rlx_tensor_free(packed);
  rlx_tensors_free(list);
  expect_ok(rlx_tensors_create(&list));
  expect_ok(rlx_tensors_save_safetensors(list, in_scratch("none.safetensors")));
  expect_ok(rlx_tensors_load_safetensors(in_scratch("none.safetensors"), &back));
  assert_int_equal(rlx_tensors_count(back), 0);
  rlx_tensors_free(back);
  rlx_tensors_free(list);
}

static const char *safetensors_file(const char *header, const void *data, size_t n) {
  str s = {0};
  const size_t length = strlen(header);
  for (int i = 0; i < 8; i++) str_add_n(&s, (const char[]){(char)((uint64_t)length >> 8 * i)}, 1);
  str_add(&s, header);
  str_add_n(&s, data, n);
  const char *path = write_file("made.rlx", s.data, s.n);
  str_free(&s);
  return path;
}

static void test_safetensors_hostile(void **state) {
  (void)state;
#define T(name, shape, offsets) \
  "\"" name "\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
  static const struct {
    const char *header;
    rlx_status status;
    const char *words;
  } bad[] = {
      {"{", RLX_ERROR_FORMAT, "not JSON"},
      {"{}", RLX_ERROR_FORMAT, "4 bytes of data, the tensors have 0"},
      {"{" T("a", "[4]", "[0,4]") "}", RLX_ERROR_UNSUPPORTED, "without a graph"},
      {"{" T("a", "[4]", "[0,5]") "}", RLX_ERROR_FORMAT, "data_offsets"},
      {"{" T("a", "[4]", "[4,0]") "}", RLX_ERROR_FORMAT, "data_offsets"},
      {"{" T("a", "[4]", "[0]") "}", RLX_ERROR_FORMAT, "data_offsets"},
      {"{" T("a", "[4]", "[0,4,4]") "}", RLX_ERROR_LIMIT, "data_offsets"},
      {"{" T("a", "[4]", "[0,1e99]") "}", RLX_ERROR_FORMAT, "data_offsets"},
      {"{" T("a", "[3]", "[0,4]") "}", RLX_ERROR_FORMAT, "dtype and shape make 3"},
      {"{" T("a", "[-4]", "[0,4]") "}", RLX_ERROR_FORMAT, "shape"},
      {"{" T("a", "[1.5]", "[0,4]") "}", RLX_ERROR_FORMAT, "shape"},
      {"{" T("a", "[9007199254740992,4096]", "[0,4]") "}", RLX_ERROR_FORMAT, "impossible shape"},
      {"{" T("a", "\"x\"", "[0,4]") "}", RLX_ERROR_FORMAT, "shape"},
      {"{" T("a", "[3]", "[0,3]") "," T("b", "[2]", "[2,4]") "}", RLX_ERROR_FORMAT, "ends at 3"},
      {"{" T("a", "[2]", "[0,2]") "," T("b", "[1]", "[3,4]") "}", RLX_ERROR_FORMAT, "ends at 2"},
      {"{" T("a", "[2]", "[0,2]") "," T("a", "[2]", "[2,4]") "}", RLX_ERROR_FORMAT, "twice"},
      {"{\"a\":1}", RLX_ERROR_FORMAT, "dtype is missing"},
      {"{\"a\":{\"dtype\":\"F8_E4M3\"}}", RLX_ERROR_UNSUPPORTED, "F8_E4M3"},
  };
#undef T
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    rlx_graph *g = NULL;
    expect_failure(rlx_graph_load(safetensors_file(bad[i].header, "abcd", 4), &g), bad[i].status,
                   bad[i].words);
    assert_null(g);
  }
  rlx_graph *g = NULL;
  expect_failure(rlx_graph_load(write_file("s.rlx", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), &g),
                 RLX_ERROR_FORMAT, "not a safetensors file");
}

static rlx_status load_rlx(const char *path) {
  rlx_graph *g = NULL;
  rlx_status status = rlx_graph_load(path, &g);
  rlx_graph_free(g);
  return status;
}

/* --- damage to all of them */

static void test_damage(void **state) {
  (void)state;
  rlx_tensors *list = list_of_all();
  rlx_graph *g = some_graph();
  expect_ok(rlx_tensors_save_npz(list, in_scratch("d.npz")));
  expect_ok(rlx_tensor_save_npy(rlx_tensors_get(list, "y/z:0"), in_scratch("d.npy")));
  expect_ok(rlx_tensor_save_pb(rlx_tensors_get(list, "y/z:0"), "n", in_scratch("d.pb")));
  expect_ok(rlx_graph_save(g, in_scratch("d.rlx")));
  const struct {
    const char *file;
    loader load;
  } cases[] = {
      {"d.npz", load_npz}, {"d.npy", load_npy}, {"d.pb", load_pb}, {"d.rlx", load_rlx}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    str file = read_file(in_scratch(cases[i].file));
    load_cut(cases[i].load, &file, "cut");
    load_damaged(cases[i].load, &file, "damaged", 2000);
    str_free(&file);
  }
  rlx_tensors_free(list);
  rlx_graph_free(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_npy_round_trip),      cmocka_unit_test(test_npy_forms),
      cmocka_unit_test(test_npy_hostile),         cmocka_unit_test(test_npz_round_trip),
      cmocka_unit_test(test_npz_members),         cmocka_unit_test(test_npz_bomb),
      cmocka_unit_test(test_pb_round_trip),       cmocka_unit_test(test_rlx_round_trip),
      cmocka_unit_test(test_safetensors_round_trip),
      cmocka_unit_test(test_safetensors_hostile), cmocka_unit_test(test_damage),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
