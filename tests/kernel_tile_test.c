/* tests/kernel_tile_test.c: regions of random steps against the references of their nodes: operands
 * of all shapes that broadcast and all strides (permuted, padded, reversed, repeated), results in
 * any order of the axes, as kernels with one to three threads, in place, and as epilogues. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rlx/ops.h>

#include "ops/ref.h"
#include "ops/region.h"

enum { MOST = 12, GUARD = 0x5A };

static uint32_t seed = 1;
static uint32_t draw(uint32_t below) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % below;
}

/* A region under test: nodes, all their values as tensors, and operands as views of own memory. */
typedef struct trial {
  rlx_graph *g;
  rlx_dtype dtype;
  uint32_t rank;
  int64_t dims[RLX_MAX_RANK];
  size_t n_in, n_values;
  rlx_val vals[MOST + 24];
  rlx_tensor *want[MOST + 24];
  uint32_t members[24];
  size_t n_members;
  cpu_view in[MOST], out;
  int64_t in_dims[MOST][RLX_MAX_RANK], strides[MOST + 1][RLX_MAX_RANK];
  char *memory[MOST];
  const void *data[MOST], *constants[MOST];
  char *result;
} trial;

/* --- making one */

static void fill(rlx_tensor *t) {
  for (int64_t i = 0; i < t->count; i++) {
    const int v = (int)draw(2001) - 1000;
    if (dtype_kind(t->dtype) == RLX_KIND_FLOAT)
      tensor_set_real(t, i, v / 300.0);
    else
      tensor_set_int(t, i, draw(3) ? v % 7 : v * 1234567);
  }
}

/* Dense strides in a random order of the axes, with gaps between rows and some axes turned; returns
 * where the first element is and sets how many the memory needs. */
static int64_t lay_out(uint32_t rank, const int64_t *dims, bool dense, int64_t *strides,
                       int64_t *size) {
  uint32_t order[RLX_MAX_RANK];
  int64_t step = 1, first = 0;
  const bool permuted = draw(2), strange = !dense && draw(2);
  for (uint32_t i = 0; i < rank; i++) order[i] = rank - 1 - i;
  for (uint32_t i = rank; i > 1 && permuted; i--) {
    const uint32_t j = draw(i), kept = order[i - 1];
    order[i - 1] = order[j];
    order[j] = kept;
  }
  for (uint32_t i = 0; i < rank; i++) {
    const uint32_t a = order[i];
    if (strange && draw(3) == 0) step *= 2;
    strides[a] = step;
    step *= dims[a];
    if (!strange || draw(3)) continue;
    first += strides[a] * (dims[a] - 1);
    strides[a] = -strides[a];
  }
  *size = step;
  return first;
}

static void copy(const rlx_tensor *t, const cpu_view *v, char *data, bool read) {
  int64_t coord[RLX_MAX_RANK] = {0};
  const size_t width = dtype_bytes(v->dtype);
  for (int64_t i = 0; i < t->count; i++) {
    int64_t at = 0;
    for (uint32_t a = 0; a < v->rank; a++) at += coord[a] * v->strides[a];
    char *x = data + at * (int64_t)width, *y = (char *)t->data + (size_t)i * width;
    memcpy(read ? y : x, read ? x : y, width);
    ref_next(v->rank, v->dims, coord);
  }
}

static void add_value(trial *t, rlx_val v, rlx_tensor *want) {
  t->vals[t->n_values] = v;
  t->want[t->n_values++] = want;
}

static void add_operand(trial *t) {
  const size_t i = t->n_in++;
  int64_t *dims = t->in_dims[i], size;
  const uint32_t missing = i && draw(3) == 0 ? draw(t->rank + 1) : 0;
  const bool small = i && draw(2);
  for (uint32_t a = missing; a < t->rank; a++)
    dims[a - missing] = small && draw(2) ? 1 : t->dims[a];
  const uint32_t rank = t->rank - missing;
  const int64_t first = lay_out(rank, dims, false, t->strides[i], &size);
  const size_t width = dtype_bytes(t->dtype);
  rlx_tensor *x;
  assert_int_equal(rlx_tensor_create(t->dtype, rank, dims, &x), RLX_OK);
  fill(x);
  t->in[i] = (cpu_view){t->dtype, rank, dims, t->strides[i]};
  t->memory[i] = malloc((size_t)size * width + 1);
  t->data[i] = t->memory[i] + (size_t)first * width;
  t->constants[i] = draw(2) ? t->data[i] : NULL;
  copy(x, &t->in[i], t->memory[i] + (size_t)first * width, false);
  char name[16];
  (void)snprintf(name, sizeof name, "x%zu", i);
  add_value(t, rlx_input(t->g, name, t->dtype, rank, dims), x);
}

static void add_node(trial *t, rlx_val v) {
  assert_int_equal(rlx_graph_status(t->g), RLX_OK);
  const ir_value *value = graph_value(t->g, v);
  const ir_node *n = &t->g->nodes.data[value->node];
  rlx_tensor *in[3], *out;
  for (uint32_t k = 0; k < n->n_in; k++)
    for (size_t i = 0; i < t->n_values; i++)
      if (t->vals[i].id == n->in[k].id) in[k] = t->want[i];
  assert_int_equal(ref_eval(n->op, n->attrs, in, n->n_in, &out, 1), RLX_OK);
  t->members[t->n_members++] = value->node;
  add_value(t, v, out);
}

/* A value of the trial's dtype. */
static rlx_val pick(const trial *t) {
  for (;;) {
    const size_t i = draw(2) ? t->n_values - 1 : draw((uint32_t)t->n_values);
    if (t->want[i]->dtype == t->dtype) return t->vals[i];
  }
}

static void add_step(trial *t, bool real) {
  rlx_graph *g = t->g;
  rlx_clamp_attrs bounds = rlx_clamp_init();
  bounds.min = 0.5;
  bounds.max = 3;
  const rlx_val x = pick(t), y = pick(t);
  rlx_val truth;
  switch (draw(14)) {
    case 0: add_node(t, rlx_add(g, x, y)); break;
    case 1: add_node(t, rlx_sub(g, x, y)); break;
    case 2: add_node(t, real ? rlx_tanh(g, x) : rlx_mul(g, x, y)); break;
    case 3: add_node(t, rlx_maximum(g, x, y)); break;
    case 4: add_node(t, rlx_minimum(g, x, y)); break;
    case 5: add_node(t, rlx_abs(g, x)); break;
    case 6: add_node(t, real ? rlx_sigmoid(g, x) : rlx_div(g, x, y)); break;
    case 7: add_node(t, real ? rlx_gelu(g, x) : rlx_mod(g, x, y)); break;
    case 8: add_node(t, real ? rlx_leaky_relu(g, x, NULL) : rlx_bit_xor(g, x, y)); break;
    case 9: add_node(t, real ? rlx_hard_swish(g, x) : rlx_shr(g, x, y)); break;
    case 10: add_node(t, rlx_clamp(g, x, &bounds)); break;
    case 11: add_node(t, rlx_neg(g, x)); break;
    default:
      truth = rlx_lt(g, x, y);
      add_node(t, truth);
      add_node(t, rlx_where(g, truth, x, y));
  }
}

static const rlx_dtype dtypes[] = {RLX_F32, RLX_F32, RLX_F32, RLX_F16, RLX_BF16, RLX_F64, RLX_I8,
                                   RLX_I16, RLX_I32, RLX_I64};

static void trial_open(trial *t, uint32_t number) {
  static const int64_t sizes[] = {1, 2, 3, 5, 8, 17, 40, 130, 600};
  *t = (trial){.dtype = dtypes[number % (sizeof dtypes / sizeof dtypes[0])], .rank = draw(5)};
  assert_int_equal(rlx_graph_create("trial", &t->g), RLX_OK);
  int64_t count = 1;
  for (uint32_t a = 0; a < t->rank; a++) {
    t->dims[a] = sizes[draw(9)];
    if (count * t->dims[a] > 40000) t->dims[a] = 2;
    count *= t->dims[a];
  }
  const size_t n_in = 1 + draw(4), steps = 1 + draw(9);
  while (t->n_in < n_in) add_operand(t);
  const bool real = dtype_kind(t->dtype) == RLX_KIND_FLOAT;
  for (size_t i = 0; i < steps; i++) add_step(t, real);
  /* The last one has the whole shape, reads all that was made, and may have another dtype. */
  add_node(t, rlx_add(t->g, t->vals[t->n_values - 1], t->vals[0]));
  static const rlx_dtype casts[] = {RLX_BOOL, RLX_I32, RLX_F32, RLX_U8};
  const rlx_dtype to = draw(3) ? t->dtype : casts[draw(4)];
  rlx_cast_attrs cast = rlx_cast_init();
  cast.to = to;
  if (to != t->dtype) add_node(t, rlx_cast(t->g, t->vals[t->n_values - 1], &cast));
  int64_t size;
  lay_out(t->rank, t->dims, true, t->strides[MOST], &size);
  t->out = (cpu_view){to, t->rank, t->dims, t->strides[MOST]};
  t->result = malloc((size_t)size * dtype_bytes(to) + 64);
  memset(t->result, GUARD, (size_t)size * dtype_bytes(to) + 64);
}

static void trial_close(trial *t) {
  for (size_t i = 0; i < t->n_values; i++) rlx_tensor_free(t->want[i]);
  for (size_t i = 0; i < t->n_in; i++) free(t->memory[i]);
  free(t->result);
  rlx_graph_free(t->g);
}

/* --- checking one */

static double tolerance(rlx_dtype dtype) {
  return dtype == RLX_BF16 ? 2e-2 : dtype == RLX_F16 ? 3e-3 : dtype == RLX_F64 ? 1e-13 : 4e-6;
}

static void check(const trial *t, const char *result, const char *what) {
  const rlx_tensor *want = t->want[t->n_values - 1];
  rlx_tensor *got;
  assert_int_equal(rlx_tensor_create(want->dtype, t->rank, t->dims, &got), RLX_OK);
  copy(got, &t->out, (char *)(uintptr_t)result, true);
  const bool exact = dtype_kind(t->dtype) != RLX_KIND_FLOAT;
  int64_t wrong = 0;
  for (int64_t i = 0; i < got->count; i++) {
    const double x = tensor_real(got, i), y = tensor_real(want, i);
    const double by = exact ? 0 : tolerance(t->dtype) * (1 + fabs(y));
    if (!(fabs(x - y) <= by) && !(isnan(x) && isnan(y)) && wrong++ < 3)
      print_message("%s %s [%lld]: %.9g, wanted %.9g\n", what, dtype_name(t->dtype), (long long)i,
                    x, y);
  }
  /* Truncation and comparison may fall on either side of a rounding. */
  const bool edges = !exact && want->dtype != t->dtype;
  if (wrong > (edges ? 1 + got->count / 100 : 0)) {
    char *text = NULL;
    assert_int_equal(rlx_graph_print(t->g, &text, NULL), RLX_OK);
    fail_msg("%s: %lld of %lld differ\n%s", what, (long long)wrong, (long long)got->count, text);
  }
  rlx_tensor_free(got);
}

static kernel_call call_of(const trial *t, arena *mem) {
  return (kernel_call){.g = t->g,
                       .in = t->in,
                       .n_in = t->n_in,
                       .out = &t->out,
                       .n_out = 1,
                       .constant = t->constants,
                       .threads = 1,
                       .mem = mem};
}

static void run_by_itself(trial *t) {
  arena mem = {0};
  kernel_call c = call_of(t, &mem);
  const tile_program *program;
  assert_int_equal(region_build(&c, t->members, t->n_members, t->vals, RLX_NIL, &program), RLX_OK);
  assert_int_equal(region_prepare(&c, program), RLX_OK);
  for (uint32_t threads = 1; threads <= 3; threads++) {
    const cpu_run run = {NULL, threads};
    void *out = t->result;
    assert_int_equal(c.run(c.state, &run, t->data, &out), RLX_OK);
    check(t, t->result, "by itself");
  }
  arena_free(&mem);
}

/* The result where operand 0 was, if it can be. */
static void run_in_place(trial *t) {
  if (t->out.dtype != t->dtype || t->in[0].rank != t->rank) return;
  for (uint32_t a = 0; a < t->rank; a++)
    if (t->in[0].dims[a] != 1 && t->in[0].strides[a] != t->strides[MOST][a]) return;
  arena mem = {0};
  kernel_call c = call_of(t, &mem);
  const void *constants[MOST] = {NULL};
  c.constant = constants;
  const tile_program *program;
  assert_int_equal(region_build(&c, t->members, t->n_members, t->vals, RLX_NIL, &program), RLX_OK);
  assert_int_equal(region_prepare(&c, program), RLX_OK);
  void *out = (void *)(uintptr_t)t->data[0];
  assert_int_equal(c.run(c.state, &(cpu_run){NULL, 1}, t->data, &out), RLX_OK);
  check(t, out, "in place");
  arena_free(&mem);
}

/* Operand 0 as the result of a kernel, piece by piece. */
static void run_as_epilogue(trial *t) {
  const rlx_tensor *base = t->want[0];
  const int64_t count = base->count;
  if (t->dtype != RLX_F32 && t->dtype != RLX_I32 && t->dtype != RLX_F16) return;
  arena mem = {0};
  kernel_call c = call_of(t, &mem);
  const tile_program *program;
  assert_int_equal(region_build(&c, t->members, t->n_members, t->vals, t->vals[0], &program),
                   RLX_OK);
  uint32_t inner = t->rank - 1; /* the innermost axis, where one of size 1 comes first */
  for (uint32_t a = t->rank; a-- > 0;)
    if (t->out.strides[a] < t->out.strides[inner] ||
        (t->out.strides[a] == t->out.strides[inner] && t->dims[a] == 1 && t->dims[inner] != 1))
      inner = a;
  const int64_t len = t->rank ? t->dims[inner] : 1;
  float *acc = malloc((size_t)count * 4 + 4);
  int64_t coord[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < count; i++) {
    int64_t at = 0;
    for (uint32_t a = 0; a < t->rank; a++) at += coord[a] * t->out.strides[a];
    if (t->dtype == RLX_I32) {
      const int32_t v = (int32_t)tensor_int(base, i);
      memcpy(acc + at, &v, 4);
    } else {
      acc[at] = (float)tensor_real(base, i);
    }
    ref_next(t->rank, t->dims, coord);
  }
  const size_t width = dtype_bytes(t->out.dtype);
  for (int64_t at = 0; at < count;) {
    const int64_t row = at / len, col = at % len, left = len - col;
    const int64_t n = draw(2) ? left : 1 + (int64_t)draw((uint32_t)left);
    tile_finish(program, t->data, row, col, n, acc + at, t->result + (size_t)at * width);
    at += n;
  }
  check(t, t->result, "epilogue");
  free(acc);
  arena_free(&mem);
}

static void test_random(void **state) {
  (void)state;
  for (uint32_t i = 0; i < 400; i++) {
    trial t;
    seed = i + 1;
    trial_open(&t, i);
    run_by_itself(&t);
    run_as_epilogue(&t);
    run_in_place(&t); /* the last: it overwrites the operand */
    trial_close(&t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
