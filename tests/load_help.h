/* tests/load_help.h: what the tests of file readers share: a scratch folder, files, damage. */
#ifndef TESTS_LOAD_HELP_H
#define TESTS_LOAD_HELP_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <rlx/rlx.h>

#include "base/str.h"

/* --- a folder in the working directory: group set-up and tear-down */

static char scratch[] = "load_test.XXXXXX";

static inline int scratch_make(void **state) {
  (void)state;
  return mkdtemp(scratch) ? 0 : -1;
}

/* "folder/name"; a few are alive at a time. */
static inline const char *in_scratch(const char *name) {
  static char paths[4][600];
  static unsigned turn;
  char *path = paths[turn++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
  return path;
}

static inline int scratch_remove(void **state) {
  (void)state;
  DIR *dir = opendir(scratch);
  if (!dir) return -1;
  for (struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] != '.') unlink(in_scratch(e->d_name));
  }
  closedir(dir);
  return rmdir(scratch);
}

static inline const char *write_file(const char *name, const void *data, size_t n) {
  const char *path = in_scratch(name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  return path;
}

static inline str read_file(const char *path) {
  str s = {NULL, 0, 0, false};
  char part[4096];
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) str_add_n(&s, part, n);
  fclose(f);
  assert_false(s.failed);
  return s;
}

/* --- statuses */

/* The status, and each of the words in the sentence. */
static inline void expect_failure(rlx_status got, rlx_status want, const char *words) {
  if (got != want) print_error("got %s: %s\n", rlx_status_name(got), rlx_last_error());
  assert_int_equal(got, want);
  if (!strstr(rlx_last_error(), words)) print_error("'%s' not in: %s\n", words, rlx_last_error());
  assert_non_null(strstr(rlx_last_error(), words));
}

static inline void expect_ok(rlx_status got) {
  if (got != RLX_OK) print_error("%s: %s\n", rlx_status_name(got), rlx_last_error());
  assert_int_equal(got, RLX_OK);
}

/* --- damage: the same file cut off at every byte, and with bits flipped */

typedef rlx_status (*loader)(const char *path); /* frees what it loads */

/* A cut file must fail. */
static inline void load_cut(loader load, const str *file, const char *name) {
  for (size_t n = 0; n < file->n; n++) {
    rlx_status status = load(write_file(name, file->data, n));
    if (status == RLX_OK) print_error("%s: %zu of %zu bytes were enough\n", name, n, file->n);
    assert_int_not_equal(status, RLX_OK);
    assert_true(rlx_last_error()[0] != 0);
  }
}

/* A damaged file may load or fail, and nothing else. */
static inline void load_damaged(loader load, const str *file, const char *name, int times) {
  uint64_t seed = 88172645463325252u;
  str copy = {NULL, 0, 0, false};
  str_add_n(&copy, file->data, file->n);
  for (int i = 0; i < times; i++) {
    memcpy(copy.data, file->data, file->n);
    for (int flips = 1 + i % 3; flips > 0; flips--) {
      seed ^= seed << 13;
      seed ^= seed >> 7;
      seed ^= seed << 17;
      copy.data[(seed >> 8) % copy.n] ^= (char)(1 << (seed & 7));
    }
    (void)load(write_file(name, copy.data, copy.n));
  }
  str_free(&copy);
}

#endif
