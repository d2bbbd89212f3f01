/* tests/kernel_random_test.c: `kernel_random_test [COUNT [SEED]]`: random graphs, with kernels and
 * on the reference device (kernel_help.h).
 *
 * Elementwise operations, views, products, reductions and moves in any order over small shapes, 0
 * and 1 among their sizes; outputs are any values, the same one twice, views, inputs and constants
 * too. What this looks for are mistakes of groups, layouts and memory: a value that is overwritten
 * too early, a view of what has moved, a copy that nobody made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "kernel_help.h"

enum { RANK = 4, VALUES = 48, INPUTS = 12, OUTPUTS = 8, COUNT = 500, FIRST = 100 };

typedef struct shape {
  int rank;
  int dims[RANK];
} shape;

typedef struct maker {
  uint64_t random;
  const char *dtype;
  bool real;
  int most; /* elements of a value, about */
  str inputs, body;
  int n_inputs, n; /* of values; those made by the body count from FIRST in the text */
  struct {
    int id;
    shape s;
  } values[VALUES];
} maker;

static int pick(maker *m, int n) {
  m->random ^= m->random << 13;
  m->random ^= m->random >> 7;
  m->random ^= m->random << 17;
  return (int)((m->random >> 20) % (uint64_t)n);
}

/* --- values */

static int count_of(const shape *s) {
  int n = 1;
  for (int i = 0; i < s->rank; i++) n *= s->dims[i];
  return n;
}

static void add_dims(str *text, const shape *s) {
  str_add(text, "[");
  for (int i = 0; i < s->rank; i++) str_addf(text, "%s%d", i ? "," : "", s->dims[i]);
  str_add(text, "]");
}

static void remember(maker *m, int id, shape s) {
  m->values[m->n].id = id;
  m->values[m->n++].s = s;
}

static int add_input(maker *m, shape s) {
  str_add(&m->inputs, m->n_inputs ? ", " : "");
  str_add(&m->inputs, m->dtype);
  add_dims(&m->inputs, &s);
  remember(m, ++m->n_inputs, s);
  return m->n_inputs;
}

/* Starts the statement that makes the next value. */
static void begin(maker *m, const char *op, int x) {
  str_addf(&m->body, "%%%d = %s(%%%d", FIRST + m->n, op, m->values[x].id);
}

static void end(maker *m, shape s) {
  str_add(&m->body, "\n");
  remember(m, FIRST + m->n, s);
}

static shape random_shape(maker *m) {
  static const int sizes[] = {1, 1, 2, 3, 4, 5, 8, 17, 40};
  shape s = {.rank = pick(m, RANK + 1)};
  for (int i = 0; i < s.rank; i++) {
    s.dims[i] = sizes[pick(m, (int)(sizeof sizes / sizeof *sizes))];
    if (count_of(&s) > m->most / 2) s.dims[i] = 1;
  }
  if (s.rank && pick(m, 40) == 0) s.dims[pick(m, s.rank)] = 0;
  return s;
}

/* --- elementwise */

static void make_unary(maker *m, int x) {
  static const char *const real[] = {"tanh", "sigmoid", "relu", "neg", "abs"};
  begin(m, m->real ? real[pick(m, 5)] : real[3 + pick(m, 2)], x);
  str_add(&m->body, ")");
  end(m, m->values[x].s);
}

static bool broadcast(const shape *a, const shape *b, shape *out) {
  *out = a->rank > b->rank ? *a : *b;
  for (int i = 0; i < a->rank && i < b->rank; i++) {
    const int p = a->dims[a->rank - 1 - i], q = b->dims[b->rank - 1 - i];
    if (p != q && p != 1 && q != 1) return false;
    out->dims[out->rank - 1 - i] = p == 1 ? q : p;
  }
  return true;
}

static void make_binary(maker *m, int x) {
  static const char *const ops[] = {"minimum", "maximum", "add", "sub", "mul"};
  for (int tries = 0; tries < 12; tries++) {
    const int y = pick(m, m->n);
    shape s;
    if (!broadcast(&m->values[x].s, &m->values[y].s, &s) || count_of(&s) > m->most) continue;
    begin(m, ops[pick(m, m->real ? 5 : 3)], x);
    str_addf(&m->body, ", %%%d)", m->values[y].id);
    end(m, s);
    return;
  }
}

/* --- views */

static void make_transpose(maker *m, int x) {
  const shape from = m->values[x].s;
  shape s = from;
  int perm[RANK] = {0, 1, 2, 3};
  if (from.rank < 2) return;
  for (int i = from.rank - 1; i > 0; i--) {
    const int k = pick(m, i + 1), t = perm[i];
    perm[i] = perm[k];
    perm[k] = t;
  }
  begin(m, "transpose", x);
  str_add(&m->body, ") perm=[");
  for (int i = 0; i < s.rank; i++) {
    str_addf(&m->body, "%s%d", i ? "," : "", perm[i]);
    s.dims[i] = from.dims[perm[i]];
  }
  str_add(&m->body, "]");
  end(m, s);
}

/* Merges two axes, splits one, or adds one of size 1. */
static void make_reshape(maker *m, int x) {
  shape s = m->values[x].s;
  const int at = s.rank ? pick(m, s.rank) : 0;
  if (s.rank > 1 && at + 1 < s.rank && pick(m, 2)) {
    s.dims[at] *= s.dims[at + 1];
    for (int i = at + 1; i + 1 < s.rank; i++) s.dims[i] = s.dims[i + 1];
    s.rank--;
  } else if (s.rank < RANK) {
    const int factor = s.rank && s.dims[at] > 0 && s.dims[at] % 2 == 0 ? 2 : 1;
    for (int i = s.rank; i > at; i--) s.dims[i] = s.dims[i - 1];
    s.dims[at] = factor;
    if (s.rank++) s.dims[at + 1] /= factor;
  }
  begin(m, "reshape", x);
  str_add(&m->body, ") dims=");
  add_dims(&m->body, &s);
  end(m, s);
}

static void make_slice(maker *m, int x) {
  shape s = m->values[x].s;
  if (!s.rank) return;
  const int axis = pick(m, s.rank), size = s.dims[axis];
  if (size == 0) return;
  const int step = 1 + pick(m, 2), start = pick(m, size), stop = start + 1 + pick(m, size - start);
  const bool back = pick(m, 3) == 0;
  begin(m, "slice", x);
  s.dims[axis] = (stop - start + step - 1) / step;
  if (back)
    str_addf(&m->body, ") starts=[%d] stops=[%d] axes=[%d] steps=[%d]", stop - 1,
             start ? start - 1 : -size - 1, axis, -step);
  else
    str_addf(&m->body, ") starts=[%d] stops=[%d] axes=[%d] steps=[%d]", start, stop, axis, step);
  end(m, s);
}

static void make_expand(maker *m, int x) {
  shape s = m->values[x].s;
  if (s.rank < RANK && pick(m, 2)) {
    for (int i = s.rank; i > 0; i--) s.dims[i] = s.dims[i - 1];
    s.dims[0] = 1;
    s.rank++;
  }
  for (int i = 0; i < s.rank; i++)
    if (s.dims[i] == 1) s.dims[i] = 1 + pick(m, 3);
  if (count_of(&s) > m->most) return;
  begin(m, "expand", x);
  str_add(&m->body, ") dims=");
  add_dims(&m->body, &s);
  end(m, s);
}

/* --- moves */

static void make_concat(maker *m, int x) {
  shape s = m->values[x].s;
  if (!s.rank || count_of(&s) > m->most / 2) return;
  const int axis = pick(m, s.rank);
  int y = x;
  for (int tries = 0; tries < 12 && y == x; tries++) {
    const int other = pick(m, m->n);
    shape t = m->values[other].s;
    if (t.rank != s.rank) continue;
    t.dims[axis] = s.dims[axis];
    if (memcmp(t.dims, s.dims, (size_t)s.rank * sizeof *s.dims) == 0) y = other;
  }
  begin(m, "concat", x);
  str_addf(&m->body, ", %%%d) axis=%d", m->values[y].id, axis);
  s.dims[axis] += m->values[y].s.dims[axis];
  end(m, s);
}

static void make_pad(maker *m, int x) {
  shape s = m->values[x].s;
  if (!s.rank || count_of(&s) > m->most / 2) return;
  begin(m, "pad", x);
  for (int side = 0; side < 2; side++) {
    str_add(&m->body, side ? "] after=[" : ") before=[");
    for (int i = 0; i < s.rank; i++) {
      const int by = pick(m, 2);
      s.dims[i] += by;
      str_addf(&m->body, "%s%d", i ? "," : "", by);
    }
  }
  str_add(&m->body, "]");
  end(m, s);
}

/* --- sums */

static void make_reduce(maker *m, int x) {
  static const char *const ops[] = {"reduce_max", "reduce_min", "reduce_mean"};
  shape s = m->values[x].s;
  if (!s.rank || !count_of(&s)) return;
  const int axis = pick(m, s.rank), keep = pick(m, 2);
  begin(m, ops[pick(m, m->real ? 3 : 2)], x);
  str_addf(&m->body, ") axes=[%d] keep=%s", axis, keep ? "true" : "false");
  s.dims[axis] = 1;
  for (int i = axis; !keep && i + 1 < s.rank; i++) s.dims[i] = s.dims[i + 1];
  s.rank -= !keep;
  end(m, s);
}

static void make_softmax(maker *m, int x) {
  const shape *s = &m->values[x].s;
  if (!m->real || !s->rank || !count_of(s)) return;
  begin(m, "softmax", x);
  str_addf(&m->body, ") axis=%d", pick(m, s->rank));
  end(m, *s);
}

/* Times an input made for it, at times of the same shape as x. */
static void make_matmul(maker *m, int x) {
  shape s = m->values[x].s;
  if (!m->real || s.rank < 2) return;
  const int rows = s.dims[s.rank - 2], inner = s.dims[s.rank - 1];
  if (m->n_inputs == INPUTS || m->n + 2 > VALUES) return;
  shape right = {2, {inner, 1 + pick(m, 20)}};
  if (pick(m, 3) == 0) right.dims[1] = rows > 0 ? rows : 1;
  s.dims[s.rank - 1] = right.dims[1];
  if (count_of(&s) > m->most || count_of(&right) > m->most) return;
  const int y = add_input(m, right);
  begin(m, "matmul", x);
  str_addf(&m->body, ", %%%d)", y);
  end(m, s);
}

static void make_conv(maker *m, int x) {
  shape s = m->values[x].s;
  if (!m->real || s.rank != 4 || !count_of(&s)) return;
  if (m->n_inputs == INPUTS || m->n + 2 > VALUES) return;
  const int size = pick(m, 2) ? 3 : 1;
  const shape weight = {4, {1 + pick(m, 9), s.dims[1], size, size}};
  s.dims[1] = weight.dims[0];
  if (count_of(&s) > m->most) return;
  const int y = add_input(m, weight);
  begin(m, "conv", x);
  str_addf(&m->body, ", %%%d) pads=[%d,%d,%d,%d]", y, size / 2, size / 2, size / 2, size / 2);
  end(m, s);
}

static void make_constant(maker *m, int x) {
  const shape s = {1, {3}};
  (void)x;
  str_addf(&m->body, "%%%d = constant data=%s[3]{1,2,3}", FIRST + m->n, m->dtype);
  end(m, s);
}

/* --- the test */

typedef void (*make)(maker *m, int x);
static const make makers[] = {
    make_unary,  make_unary,  make_unary,     make_binary,  make_binary, make_binary,
    make_binary, make_binary, make_binary,    make_slice,   make_expand, make_concat,
    make_pad,    make_reduce, make_matmul,    make_softmax, make_conv,   make_reshape,
    make_reshape, make_constant, make_transpose, make_transpose};

static void add_outputs(maker *m) {
  const int n = 1 + pick(m, OUTPUTS);
  str_add(&m->body, "return");
  for (int i = 0; i < n; i++) {
    const int v = i == 0 ? m->n - 1 : pick(m, m->n);
    str_addf(&m->body, "%s %%%d \"y%d\"", i ? "," : "", m->values[v].id, i);
  }
}

static uint64_t now; /* the seed of this graph */

static void check_one(uint64_t seed) {
  static const struct {
    const char *dtype;
    double bound;
  } dtypes[] = {{"f32", 1e-3}, {"f64", 1e-9}, {"i32", 0}};
  maker m = {.random = seed * 0x9e3779b97f4a7c15u + 1};
  for (int i = 0; i < 8; i++) pick(&m, 2);
  const int which = pick(&m, 8), dtype = which < 5 ? 0 : which < 7 ? 1 : 2;
  m.dtype = dtypes[dtype].dtype;
  m.real = dtype < 2;
  m.most = pick(&m, 8) ? 4000 : 100000; /* enough for several threads */
  for (int i = 0, n = 1 + pick(&m, 3); i < n; i++) add_input(&m, random_shape(&m));
  const int size = 2 + pick(&m, VALUES - 8);
  while (m.n < size) {
    const int near = pick(&m, 4) && m.n > 3 ? m.n - 1 - pick(&m, 3) : pick(&m, m.n);
    makers[pick(&m, (int)(sizeof makers / sizeof *makers))](&m, near);
  }
  add_outputs(&m);
  now = seed;
  kernel_check(m.inputs.data, m.body.data, dtypes[dtype].bound);
  str_free(&m.inputs);
  str_free(&m.body);
}

static unsigned long count = COUNT, first = 1;

static void test_random_graphs(void **state) {
  (void)state;
  for (unsigned long i = 0; i < count; i++) check_one(first + i);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs)};
  if (argc > 1) count = strtoul(argv[1], NULL, 10);
  if (argc > 2) first = strtoul(argv[2], NULL, 10);
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  if (failed) print_error("kernel_random_test 1 %llu\n", (unsigned long long)now);
  return failed;
}
