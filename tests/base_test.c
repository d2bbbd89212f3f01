/* tests/base_test.c: the ground floor: maps, strings, arenas, files, narrow floats, tensors. */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/io.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/span.h"
#include "base/str.h"
#include "ir/tensor.h"

static void test_status(void **state) {
  (void)state;
  assert_int_equal(status_set(RLX_ERROR_SHAPE, "want %d", 3), RLX_ERROR_SHAPE);
  assert_string_equal(rlx_last_error(), "want 3");
  assert_int_equal(status_at(RLX_ERROR_DTYPE, "node %s", "a"), RLX_ERROR_DTYPE);
  assert_string_equal(rlx_last_error(), "node a: want 3");
  status_set(RLX_ERROR_IO, "again (%s)", rlx_last_error());
  assert_string_equal(rlx_last_error(), "again (node a: want 3)");
  char *text = test_calloc(1, 80001);
  memset(text, 'x', 80000);
  status_set(RLX_ERROR_IO, "%s", text);
  size_t n = strlen(rlx_last_error());
  assert_true(n < 80000 && strcmp(rlx_last_error() + n - 3, "...") == 0);
  status_at(RLX_ERROR_IO, "in front");
  assert_memory_equal(rlx_last_error(), "in front: xx", 12);
  assert_string_equal(rlx_last_error() + n - 3, "...");
  test_free(text);
  assert_string_equal(rlx_status_name(RLX_ERROR_FORKED), "RLX_ERROR_FORKED");
  assert_string_equal(rlx_status_text((rlx_status)99), "unknown status");
}

static void test_memory(void **state) {
  (void)state;
  int64_t r = 7;
  assert_true(size_mul(1 << 20, 1 << 20, &r) && r == (int64_t)1 << 40);
  assert_false(size_mul(INT64_MAX, 2, &r));
  assert_false(size_add(INT64_MAX, 1, &r));
  assert_true(r == (int64_t)1 << 40);
  assert_true(size_add(INT64_MAX, -1, &r) && r == INT64_MAX - 1);
  assert_null(mem_new(SIZE_MAX, 2));
  void *empty = mem_new(0, 4);
  assert_non_null(empty);
  mem_free(empty);

  arena a = {NULL};
  assert_null(arena_new(&a, SIZE_MAX / 2, 4));
  assert_null(arena_new(&a, SIZE_MAX - 8, 1));
  uint8_t *kept[400];
  for (size_t i = 0; i < 400; i++) { /* small ones, and some that go aside */
    size_t bytes = i % 50 == 49 ? 100000 : i % 7 * 3;
    kept[i] = arena_new(&a, bytes, 1);
    assert_non_null(kept[i]);
    assert_int_equal((uintptr_t)kept[i] % _Alignof(max_align_t), 0);
    for (size_t j = 0; j < bytes; j++) assert_int_equal(kept[i][j], 0);
    memset(kept[i], (int)i, bytes);
  }
  for (size_t i = 1; i < 400; i += 7) assert_int_equal(kept[i][0], i % 256);
  assert_string_equal(arena_strdup(&a, "hello"), "hello");
  arena_free(&a);

  VEC(int) v = {0};
  for (int i = 0; i < 1000; i++) assert_true(vec_push(&v, i));
  assert_int_equal(v.data[999], 999);
  vec_free(&v);
  assert_null(v.data);
}

static void test_map(void **state) {
  (void)state;
  enum { N = 5000 };
  static char names[N][8];
  map texts = {0}, numbers = {0};
  uint64_t value = 42;
  assert_false(map_get(&texts, "x", &value));
  for (int i = 0; i < N; i++) {
    snprintf(names[i], sizeof names[i], "n%d", i);
    assert_true(map_put(&texts, names[i], (uint64_t)i));
    assert_true(map_put_u64(&numbers, (uint64_t)i << 40, (uint64_t)i + 1));
  }
  for (int i = 0; i < N; i++) {
    assert_true(map_get(&texts, names[i], &value) && value == (uint64_t)i);
    assert_true(map_get_u64(&numbers, (uint64_t)i << 40, &value) && value == (uint64_t)i + 1);
  }
  assert_true(map_put(&texts, "n7", 99) && map_get(&texts, "n7", &value) && value == 99);
  assert_true(map_put_new(&texts, "n7", 5) && map_get(&texts, "n7", &value) && value == 99);
  assert_int_equal(texts.n, N);
  assert_true(map_put_new(&texts, "new", 5) && map_get(&texts, "new", &value) && value == 5);
  assert_false(map_get(&texts, "other", &value));
  assert_false(map_get_u64(&numbers, 3, &value));
  map_free(&texts);
  map_free(&numbers);
  assert_true(hash_u64(HASH_START, 1) != hash_u64(HASH_START, 256));
}

static void test_str(void **state) {
  (void)state;
  str s = {0};
  assert_null(s.data);
  str_add(&s, "");
  assert_string_equal(s.data, "");
  for (int i = 0; i < 1000; i++) str_addf(&s, "%d,", i);
  assert_int_equal(s.n, 3890);
  assert_int_equal(s.data[s.n], 0);
  assert_false(s.failed);
  str_free(&s);
  str_add_n(&s, "abcdef", 3);
  str_add_quoted(&s, "q\"\\\n\t\x01\xc3\xa9~");
  assert_string_equal(s.data, "abc\"q\\\"\\\\\\n\\t\\x01\\xc3\\xa9~\"");
  str_add_n(&s, "x", SIZE_MAX / 2);
  assert_true(s.failed);
  str_free(&s);
}

static void test_json(void **state) {
  (void)state;
  static const struct {
    const char *text, *json;
  } cases[] = {
      {"", "\"\""},
      {"q\"\\\n\t\x7f", "\"q\\\"\\\\\\n\\u0009\x7f\""},
      {"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", "\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\""},
      {"\xff", "\"\\ufffd\""},              /* no lead byte */
      {"\xc3", "\"\\ufffd\""},              /* cut off */
      {"\xc0\xaf", "\"\\ufffd\\ufffd\""}, /* too long */
      {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
      {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* past the last character */
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    str s = {0};
    assert_true(str_add_json(&s, cases[i].text) == (i < 3));
    assert_string_equal(s.data, cases[i].json);
    str_free(&s);
  }
}

static void test_spans(void **state) {
  (void)state;
  const span_record *r;
  assert_int_equal(span_begin(), 0);
  span_end(0, "c", "off", "");
  assert_false(span_at(0, &r));
  span_start();
  const uint64_t early = span_begin();
  assert_true(early != 0 && span_recording());
  char text[3 * SPAN_DETAIL] = "a";
  for (int i = 0; i < SPAN_DETAIL; i++) strcat(text, "\xc3\xa9");
  span_end(early, "c", "name", text);
  span_stop();
  span_end(early, "c", "late", "");
  assert_true(span_at(0, &r));
  assert_string_equal(r->name, "name");
  assert_int_equal(r->thread, 1);
  assert_int_equal(strlen(r->detail), SPAN_DETAIL - 1); /* an odd number of bytes is whole */
  assert_memory_equal(r->detail, text, SPAN_DETAIL - 1);
  assert_false(span_at(1, &r));
  span_start();
  span_end(early, "c", "of the recording before", "");
  for (size_t i = 0; i < SPAN_MOST + 3; i++) span_end(span_begin(), "c", "n", "");
  span_stop();
  assert_true(span_at(SPAN_MOST - 1, &r));
  assert_string_equal(r->name, "n");
  assert_false(span_at(SPAN_MOST, &r));
  assert_int_equal(span_lost(), 3);
  span_start(); /* frees */
  span_stop();
}

static void test_lines(void **state) {
  (void)state;
  lines l = {0};
  assert_string_equal(lines_end(&l), "");
  const size_t fit = LINES_MAX / 10;
  for (size_t i = 0; i < fit + 7; i++) lines_addf(&l, "%07zu", i);
  const char *text = lines_end(&l), *end = "\n  and 7 more";
  assert_memory_equal(text, "\n  0000000\n  0000001\n", 21);
  assert_int_equal(strlen(text), fit * 10 + strlen(end));
  assert_string_equal(text + fit * 10, end);
  lines_free(&l);
}

/* Every bit pattern survives, and a value between two neighbours goes to the nearer, at the middle
 * to the even one. */
static void check_narrow(double (*widen)(uint16_t), uint16_t (*narrow)(double), uint32_t infinity) {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    double v = widen((uint16_t)bits);
    uint32_t magnitude = bits & 0x7fff, sign = bits & 0x8000;
    if (magnitude > infinity) {
      assert_true(isnan(v) && isnan(widen(narrow(v))));
      continue;
    }
    assert_int_equal(narrow(v), bits);
    assert_int_equal(signbit(v) != 0, sign != 0);
    if (magnitude == infinity) {
      assert_true(isinf(v));
      continue;
    }
    /* The step above the largest number leads to where infinity begins. */
    double step = magnitude + 1 == infinity ? v - widen((uint16_t)(bits - 1))
                                            : widen((uint16_t)(bits + 1)) - v;
    double middle = v + step / 2;
    assert_int_equal(narrow(middle), bits + (bits & 1));
    assert_int_equal(narrow(nextafter(middle, 0)), bits);
    assert_int_equal(narrow(nextafter(middle, 2 * middle)), bits + 1);
  }
}

static void test_half(void **state) {
  (void)state;
  check_narrow(half_to_double, half_from_double, 0x7c00);
  check_narrow(bf16_to_double, bf16_from_double, 0x7f80);
  assert_true(half_to_double(0x3c00) == 1 && half_to_double(1) == 0x1p-24);
  assert_true(half_to_double(0x7bff) == 65504 && half_to_double(0x0400) == 0x1p-14);
  assert_true(bf16_to_double(0x3f80) == 1 && bf16_to_double(1) == 0x1p-133);
  assert_int_equal(half_from_double(1e300), 0x7c00);
  assert_int_equal(half_from_double(-1e-300), 0x8000);
  assert_int_equal(bf16_from_double(4.9e-324), 0);
  /* One rounding: by way of f32 this would be a tie and go down. */
  assert_int_equal(half_from_double(1 + 0x1p-11 + 0x1p-40), 0x3c01);
}

static void test_io(void **state) {
  (void)state;
  char folder[] = "base_test_XXXXXX", path[64], missing[64];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/file", folder);
  snprintf(missing, sizeof missing, "%s/none/file", folder);
  io_write *w;
  io_map *m;
  assert_int_equal(io_map_open(path, 0, &m), RLX_ERROR_IO);
  assert_int_equal(io_map_open(folder, 0, &m), RLX_ERROR_IO);
  assert_int_equal(io_write_open(missing, &w), RLX_ERROR_IO);
  assert_int_equal(io_write_open(folder, &w), RLX_ERROR_IO);

  assert_int_equal(io_write_open(path, &w), RLX_OK);
  io_write_bytes(w, "abc", 3);
  io_write_abort(w);
  assert_int_not_equal(access(path, F_OK), 0);
  for (size_t n = 0; n < 6; n += 5) { /* an empty file, then one that replaces it */
    assert_int_equal(io_write_open(path, &w), RLX_OK);
    io_write_bytes(w, "hello", n);
    assert_int_equal(io_write_commit(w), RLX_OK);
    assert_int_equal(io_map_open(path, 0, &m), RLX_OK);
    assert_int_equal(m->bytes, n);
    assert_memory_equal(m->data, "hello", n);
    io_map_free(io_map_retain(m));
    io_map_free(m);
  }
  assert_int_equal(io_map_open(path, 4, &m), RLX_ERROR_LIMIT);

  enum { PAGES = 1 << 18 };
  uint8_t *many = calloc(PAGES, 1);
  assert_non_null(many);
  for (size_t i = 0; i < PAGES; i++) many[i] = (uint8_t)(i / 7);
  assert_int_equal(io_write_file(path, &(str){0}, many, PAGES), RLX_OK);
  assert_int_equal(io_map_open(path, 0, &m), RLX_OK);
  assert_memory_equal(m->data, many, PAGES);
  io_forget(m->data + 1, PAGES - 1);
  io_forget(many, PAGES); /* no mapped file: stays as it is */
  assert_memory_equal(m->data, many, PAGES);
  io_map_free(m);
  free(many);
  unlink(path);
  assert_int_equal(rmdir(folder), 0); /* nothing was left beside */
}

static rlx_tensor *tensor_of(rlx_dtype dtype, size_t n, const double *values) {
  rlx_tensor *t;
  assert_int_equal(rlx_tensor_create(dtype, 1, (int64_t[]){(int64_t)n}, &t), RLX_OK);
  for (size_t i = 0; i < n; i++) tensor_set_real(t, (int64_t)i, values[i]);
  return t;
}

static void test_sizes(void **state) {
  (void)state;
  int64_t count = 0;
  size_t bytes = 0;
  assert_true(tensor_size(RLX_F32, 0, NULL, &count, &bytes) && count == 1 && bytes == 4);
  assert_true(tensor_size(RLX_Q4_0, 2, (int64_t[]){3, 64}, &count, &bytes) && bytes == 108);
  assert_true(tensor_size(RLX_U4, 1, (int64_t[]){6}, &count, &bytes) && bytes == 3 && count == 6);
  assert_false(tensor_size(RLX_Q4_0, 2, (int64_t[]){64, 3}, &count, &bytes));
  assert_false(tensor_size(RLX_F32, 1, (int64_t[]){-1}, &count, &bytes));
  assert_false(tensor_size(RLX_F32, 1, (int64_t[]){INT64_MAX / 2}, &count, &bytes));
  int64_t big = (int64_t)1 << 32;
  assert_false(tensor_size(RLX_U8, 3, (int64_t[]){big, big, 0}, &count, &bytes));
  assert_true(tensor_size(RLX_U8, 2, (int64_t[]){big, 0}, &count, &bytes) && count == 0);

  rlx_tensor *t;
  int64_t dims[RLX_MAX_RANK + 1] = {0};
  assert_int_equal(rlx_tensor_create(RLX_F32, RLX_MAX_RANK + 1, dims, &t), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensor_create(RLX_DTYPE_COUNT, 0, NULL, &t), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensor_create(RLX_F32, 1, NULL, &t), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_tensor_create(RLX_F32, 2, (int64_t[]){big, big}, &t), RLX_ERROR_SHAPE);
  assert_null(t);
}

static void count_release(void *owner) { ++*(int *)owner; }

static void test_tensor(void **state) {
  (void)state;
  rlx_tensor *t, *wrapped;
  int64_t dims[] = {2, 3};
  assert_int_equal(rlx_tensor_create(RLX_F32, 2, dims, &t), RLX_OK);
  assert_int_equal((uintptr_t)rlx_tensor_data(t) % 64, 0);
  assert_int_equal(((const size_t *)rlx_tensor_data(t))[-1], 24);
  assert_int_equal(rlx_tensor_count(t), 6);
  assert_int_equal(rlx_tensor_random(t, 7), RLX_OK);
  assert_true(tensor_real(t, 5) != 0 && rlx_tensor_mutable(t));
  rlx_tensor_free(t);

  int released = 0;
  const uint8_t raw[9] = {0, 1, 2, 3, 4, 5, 6, 7, 8}; /* unaligned on purpose */
  assert_int_equal(
      rlx_tensor_wrap(RLX_U32, 1, (int64_t[]){2}, raw + 1, 7, count_release, &released, &wrapped),
      RLX_ERROR_SHAPE);
  assert_int_equal(rlx_tensor_wrap(RLX_U32, 1, (int64_t[]){2}, NULL, 8, NULL, NULL, &wrapped),
                   RLX_ERROR_SHAPE);
  assert_int_equal(
      rlx_tensor_wrap(RLX_U32, 1, (int64_t[]){2}, raw + 1, 8, count_release, &released, &wrapped),
      RLX_OK);
  assert_int_equal(tensor_int(wrapped, 1), 0x08070605);
  assert_null(rlx_tensor_mutable(wrapped));
  assert_int_equal(rlx_tensor_random(wrapped, 1), RLX_ERROR_ARGUMENT);
  rlx_tensor_free(rlx_tensor_retain(wrapped));
  assert_int_equal(released, 0);
  rlx_tensor_free(wrapped);
  assert_int_equal(released, 1);
  rlx_tensor_free(NULL);
}

static void test_elements(void **state) {
  (void)state;
  for (int d = 0; d <= RLX_C64; d++) {
    rlx_dtype_kind kind = dtype_kind((rlx_dtype)d);
    rlx_tensor *t = tensor_of((rlx_dtype)d, 3, (double[]){1, 0, 1e30});
    assert_true(tensor_real(t, 0) == 1 && tensor_int(t, 0) == 1 && tensor_int(t, 1) == 0);
    assert_true(creal(tensor_complex(t, 0)) == 1 && tensor_real(t, 2) != 0);
    assert_int_equal(rlx_tensor_random(t, 3), RLX_OK);
    double v = tensor_real(t, 0);
    assert_true(kind == RLX_KIND_FLOAT || kind == RLX_KIND_COMPLEX ? v >= -1 && v < 1
                                                                   : v == 0 || v == 1);
    rlx_tensor_free(t);
    assert_int_equal(rlx_dtype_find(dtype_name((rlx_dtype)d)), d);
  }
  assert_int_equal(rlx_dtype_find("f31"), RLX_DTYPE_COUNT);
  assert_null(rlx_dtype_get((rlx_dtype)-1));
  rlx_tensor *i8 = tensor_of(RLX_I8, 2, (double[]){300, -3.9});
  assert_int_equal(tensor_int(i8, 0), 44); /* wraps */
  assert_int_equal(tensor_int(i8, 1), -3);
  tensor_set_real(i8, 0, NAN);
  assert_int_equal(tensor_int(i8, 0), 0);
  rlx_tensor *u64 = tensor_of(RLX_U64, 1, (double[]){0x1p63});
  assert_true(tensor_real(u64, 0) == 0x1p63 && tensor_int(u64, 0) == INT64_MIN);
  rlx_tensor *b = tensor_of(RLX_BOOL, 1, (double[]){0.25});
  assert_int_equal(tensor_int(b, 0), 1);
  rlx_tensor_free(i8);
  rlx_tensor_free(u64);
  rlx_tensor_free(b);
}

/* Frees both. */
static rlx_difference difference(rlx_tensor *got, rlx_tensor *want) {
  rlx_difference d;
  assert_int_equal(rlx_tensor_compare(got, want, &d), RLX_OK);
  rlx_tensor_free(got);
  rlx_tensor_free(want);
  return d;
}
#define DIFFERENCE(dtype, n, got, want) \
  difference(tensor_of(dtype, n, (double[])got), tensor_of(dtype, n, (double[])want))
#define ROW(...) \
  { __VA_ARGS__ }

static void test_compare(void **state) {
  (void)state;
  rlx_difference d = DIFFERENCE(RLX_F64, 3, ROW(1, 2, 3), ROW(1, 2.5, 4));
  assert_true(d.error == 0.25 && d.where == 2 && d.got == 3 && d.want == 4);
  d = DIFFERENCE(RLX_F32, 2, ROW(0.5, 0), ROW(0, 0)); /* absolute */
  assert_true(d.error == 0.5 && d.where == 0);
  d = DIFFERENCE(RLX_F32, 3, ROW(NAN, INFINITY, 1), ROW(NAN, INFINITY, 1));
  assert_true(d.error == 0 && d.where == -1);
  assert_true(isinf(DIFFERENCE(RLX_F32, 2, ROW(NAN, 1), ROW(1, 1)).error));
  assert_true(isinf(DIFFERENCE(RLX_F32, 2, ROW(INFINITY, 1), ROW(-INFINITY, 1)).error));
  /* An infinity in `want` must not hide other errors. */
  assert_true(DIFFERENCE(RLX_F32, 2, ROW(INFINITY, 2), ROW(INFINITY, 4)).error == 0.5);
  d = DIFFERENCE(RLX_I64, 2, ROW(1, 3), ROW(1, 4));
  assert_true(d.error == 1 && d.where == 1);
  assert_true(DIFFERENCE(RLX_C64, 1, ROW(3), ROW(4)).error == 0.25);
  assert_true(DIFFERENCE(RLX_F32, 0, ROW(0), ROW(0)).where == -1);
  rlx_tensor *a = tensor_of(RLX_F32, 2, (double[]){0, 0}),
             *b = tensor_of(RLX_F64, 2, (double[]){0, 0});
  rlx_tensor *c = tensor_of(RLX_F32, 1, (double[]){0});
  assert_int_equal(rlx_tensor_compare(a, b, &d), RLX_ERROR_DTYPE);
  assert_int_equal(rlx_tensor_compare(a, c, &d), RLX_ERROR_SHAPE);
  assert_false(tensor_equal(a, c));
  rlx_tensor_free(a);
  rlx_tensor_free(b);
  rlx_tensor_free(c);
}

static void test_tensors(void **state) {
  (void)state;
  rlx_tensors *list;
  assert_int_equal(rlx_tensors_create(&list), RLX_OK);
  rlx_tensor *a = tensor_of(RLX_F32, 1, (double[]){1}), *b = tensor_of(RLX_F32, 1, (double[]){2});
  char name[] = "x:0/y";
  assert_int_equal(rlx_tensors_set(list, name, a), RLX_OK);
  assert_int_equal(rlx_tensors_set(list, "second", a), RLX_OK);
  name[0] = 'z'; /* the list keeps its own copy */
  assert_int_equal(rlx_tensors_set(list, "x:0/y", b), RLX_OK);
  assert_int_equal(rlx_tensors_set(list, NULL, b), RLX_ERROR_ARGUMENT);
  rlx_tensor_free(a);
  rlx_tensor_free(b);
  assert_int_equal(rlx_tensors_count(list), 2);
  assert_string_equal(rlx_tensors_name(list, 0), "x:0/y");
  assert_ptr_equal(rlx_tensors_get(list, "x:0/y"), b);
  assert_ptr_equal(rlx_tensors_at(list, 1), a);
  assert_null(rlx_tensors_at(list, 2));
  assert_null(rlx_tensors_name(list, 2));
  assert_null(rlx_tensors_get(list, "third"));
  rlx_tensors_free(list);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_status),   cmocka_unit_test(test_memory),
      cmocka_unit_test(test_map),      cmocka_unit_test(test_str),
      cmocka_unit_test(test_lines),    cmocka_unit_test(test_json),
      cmocka_unit_test(test_spans),
      cmocka_unit_test(test_half),     cmocka_unit_test(test_io),
      cmocka_unit_test(test_sizes),    cmocka_unit_test(test_tensor),
      cmocka_unit_test(test_elements), cmocka_unit_test(test_compare),
      cmocka_unit_test(test_tensors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
