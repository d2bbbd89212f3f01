/* tests/exec_test.c: modes agree, errors are clear and poison nothing, who owns what. */
#define _XOPEN_SOURCE 700 /* setenv */
#include <rlx/rlx.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mlx/lock.h"

static rlx_tensor *vector(const float *values, int64_t n) {
  rlx_tensor *t;
  assert_int_equal(rlx_tensor_create(RLX_F32, 1, &n, &t), RLX_OK);
  memcpy(rlx_tensor_mutable(t), values, (size_t)n * sizeof *values);
  return t;
}

static float at(const rlx_tensor *t, size_t i) { return ((const float *)rlx_tensor_data(t))[i]; }

/* y = tanh(x w + b) for x [n,3], params w [3,2] and b [2] */
static rlx_graph *layer(void) {
  rlx_graph *g;
  assert_int_equal(rlx_graph_create("layer", &g), RLX_OK);
  const rlx_dim x_dims[] = {rlx_dim_named(g, "n"), 3}, w_dims[] = {3, 2}, b_dims[] = {2};
  const rlx_val x = rlx_input(g, "x", RLX_F32, 2, x_dims);
  const rlx_val w = rlx_param(g, "w", RLX_F32, 2, w_dims);
  const rlx_val b = rlx_param(g, "b", RLX_F32, 1, b_dims);
  rlx_graph_output(g, "y", rlx_tanh(g, rlx_add(g, rlx_matmul(g, x, w), b)));
  assert_int_equal(rlx_graph_status(g), RLX_OK);
  return g;
}

static rlx_exec *compile(const rlx_graph *g, rlx_device device, rlx_mode mode) {
  rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
  rlx_exec *e;
  o.device = device;
  o.mode = mode;
  o.max_variants = 2;
  assert_int_equal(rlx_compile(g, &o, &e), RLX_OK);
  return e;
}

static rlx_tensor *random_tensor(size_t rank, const int64_t *dims, uint64_t seed) {
  rlx_tensor *t;
  assert_int_equal(rlx_tensor_create(RLX_F32, rank, dims, &t), RLX_OK);
  assert_int_equal(rlx_tensor_random(t, seed), RLX_OK);
  return t;
}

static void set_params(rlx_exec *e, uint64_t seed) {
  const int64_t w_dims[] = {3, 2}, b_dims[] = {2};
  rlx_tensor *w = random_tensor(2, w_dims, seed), *b = random_tensor(1, b_dims, seed + 1);
  assert_int_equal(rlx_exec_set_param(e, "w", w), RLX_OK);
  assert_int_equal(rlx_exec_set_param(e, "b", b), RLX_OK);
  rlx_tensor_free(w);
  rlx_tensor_free(b);
}

static const struct {
  rlx_device device;
  rlx_mode mode;
} ways[] = {{RLX_DEVICE_REFERENCE, RLX_MODE_LAZY},
            {RLX_DEVICE_CPU, RLX_MODE_LAZY},
            {RLX_DEVICE_CPU, RLX_MODE_EAGER},
            {RLX_DEVICE_CPU, RLX_MODE_COMPILED}};
enum { WAYS = sizeof ways / sizeof *ways };

/* Several sizes, more than variants are kept, each twice in a row; params are set again now and then;
 * against the reference. */
static void ways_agree(void **unused) {
  (void)unused;
  rlx_graph *g = layer();
  rlx_exec *e[WAYS];
  for (size_t k = 0; k < WAYS; k++) set_params(e[k] = compile(g, ways[k].device, ways[k].mode), 7);
  rlx_graph_free(g);
  for (int64_t round = 0; round < 24; round++) {
    const int64_t dims[] = {round / 2 % 5, 3};
    rlx_tensor *x = random_tensor(2, dims, (uint64_t)round), *want = NULL;
    for (size_t k = 0; k < WAYS; k++) {
      if (round % 7 == 3) set_params(e[k], (uint64_t)round);
      rlx_tensor *y = NULL;
      rlx_difference d;
      assert_int_equal(rlx_exec_call(e[k], &x, 1, &y, 1), RLX_OK);
      assert_int_equal(rlx_tensor_dims(y)[0], dims[0]);
      if (k == 0) want = rlx_tensor_retain(y);
      assert_int_equal(rlx_tensor_compare(y, want, &d), RLX_OK);
      assert_true(d.error < 1e-6);
      rlx_tensor_free(y);
    }
    rlx_tensor_free(want);
    rlx_tensor_free(x);
  }
  for (size_t k = 0; k < WAYS; k++) rlx_exec_free(e[k]);
}

/* The project's rule: after an error the next call works. */
static void errors_poison_nothing(void **unused) {
  (void)unused;
  rlx_graph *g = layer();
  const int64_t good[] = {2, 3}, bad[] = {2, 4};
  rlx_tensor *x = random_tensor(2, good, 1), *wide = random_tensor(2, bad, 1), *ints, *y = NULL;
  assert_int_equal(rlx_tensor_create(RLX_I32, 2, good, &ints), RLX_OK);
  for (size_t k = 0; k < WAYS; k++) {
    rlx_exec *e = compile(g, ways[k].device, ways[k].mode);
    char text[256];
    rlx_tensor *none = NULL;
    assert_int_equal(rlx_exec_call(e, &x, 1, &y, 1), RLX_ERROR_STATE);
    assert_true(rlx_exec_error(e, text, sizeof text) > 0);
    assert_non_null(strstr(text, "param 'w' has not been set"));
    set_params(e, 3);
    assert_int_equal(rlx_exec_call(e, &wide, 1, &y, 1), RLX_ERROR_SHAPE);
    assert_int_equal(rlx_exec_call(e, &ints, 1, &y, 1), RLX_ERROR_DTYPE);
    assert_int_equal(rlx_exec_call(e, &none, 1, &y, 1), RLX_ERROR_ARGUMENT);
    assert_int_equal(rlx_exec_call(e, &x, 0, &y, 1), RLX_ERROR_ARGUMENT);
    assert_int_equal(rlx_exec_call(e, &x, 1, &y, 2), RLX_ERROR_ARGUMENT);
    assert_int_equal(rlx_exec_call(NULL, &x, 1, &y, 1), RLX_ERROR_ARGUMENT);
    assert_int_equal(rlx_exec_set_param(e, "v", x), RLX_ERROR_NOT_FOUND);
    assert_int_equal(rlx_exec_set_param(e, "w", x), RLX_ERROR_SHAPE);
    assert_int_equal(rlx_exec_set_param(e, "w", ints), RLX_ERROR_DTYPE);
    assert_null(y);
    assert_int_equal(rlx_exec_call(e, &x, 1, &y, 1), RLX_OK);
    rlx_tensor_free(y);
    y = NULL;
    rlx_exec_free(e);
  }
  rlx_tensor_free(x);
  rlx_tensor_free(wide);
  rlx_tensor_free(ints);
  rlx_graph_free(g);
}

static void runs_by_name(void **unused) {
  (void)unused;
  rlx_graph *g = layer();
  rlx_exec *e = compile(g, RLX_DEVICE_CPU, RLX_MODE_LAZY);
  set_params(e, 5);
  const int64_t dims[] = {2, 3};
  rlx_tensor *x = random_tensor(2, dims, 1);
  rlx_tensors *in, *out;
  assert_int_equal(rlx_tensors_create(&in), RLX_OK);
  assert_int_equal(rlx_exec_run(e, in, &out), RLX_ERROR_ARGUMENT);
  assert_non_null(strstr(rlx_last_error(), "input 'x' (f32[n,3]) is missing"));
  assert_int_equal(rlx_tensors_set(in, "x", x), RLX_OK);
  assert_int_equal(rlx_exec_run(e, in, &out), RLX_OK);
  assert_string_equal(rlx_tensors_name(out, 0), "y");
  rlx_tensors_free(out);
  assert_int_equal(rlx_tensors_set(in, "z", x), RLX_OK);
  assert_int_equal(rlx_exec_run(e, in, &out), RLX_ERROR_NOT_FOUND);
  assert_null(out);
  rlx_tensors_free(in);
  rlx_tensor_free(x);
  rlx_exec_free(e);
  rlx_graph_free(g);
}

/* Outputs that are inputs, constants, params or views of them never change with the input. */
static void outputs_own_their_memory(void **unused) {
  (void)unused;
  rlx_graph *g;
  assert_int_equal(rlx_graph_create("views", &g), RLX_OK);
  const rlx_dim four[] = {4}, square[] = {2, 2};
  const rlx_val x = rlx_input(g, "x", RLX_F32, 1, four);
  rlx_reshape_attrs r = rlx_reshape_init();
  r.dims.data = square;
  r.dims.n = 2;
  rlx_graph_output(g, "itself", x);
  rlx_graph_output(g, "view", rlx_reshape(g, x, &r));
  rlx_graph_output(g, "transposed", rlx_transpose(g, rlx_reshape(g, x, &r), NULL));
  rlx_graph_output(g, "constant", rlx_scalar(g, RLX_F32, 3));
  for (size_t k = 0; k < WAYS; k++) {
    rlx_exec *e = compile(g, ways[k].device, ways[k].mode);
    const float values[] = {1, 2, 3, 4};
    rlx_tensor *in = vector(values, 4), *out[4] = {0};
    assert_int_equal(rlx_exec_call(e, &in, 1, out, 4), RLX_OK);
    memset(rlx_tensor_mutable(in), 0, rlx_tensor_bytes(in));
    rlx_tensor_free(in);
    rlx_exec_free(e);
    assert_true(at(out[0], 1) == 2 && at(out[1], 1) == 2 && at(out[2], 1) == 3);
    assert_true(at(out[3], 0) == 3);
    memset(rlx_tensor_mutable(out[3]), 0, sizeof(float)); /* ours: later runs do not see it */
    for (size_t i = 0; i < 4; i++) rlx_tensor_free(out[i]);
  }
  rlx_graph_free(g);
}

static void callers_buffers_are_filled(void **unused) {
  (void)unused;
  rlx_graph *g;
  assert_int_equal(rlx_graph_create("neg", &g), RLX_OK);
  const rlx_dim four[] = {4};
  rlx_graph_output(g, "y", rlx_neg(g, rlx_input(g, "x", RLX_F32, 1, four)));
  rlx_exec *e = compile(g, RLX_DEVICE_CPU, RLX_MODE_LAZY);
  rlx_graph_free(g);
  const float values[] = {1, 2, 3, 4};
  rlx_tensor *in = vector(values, 4), *out = vector(values, 4), *small = vector(values, 3);
  rlx_tensor *const out_before = out;
  assert_int_equal(rlx_exec_call(e, &in, 1, &out, 1), RLX_OK);
  assert_ptr_equal(out, out_before);
  assert_true(at(out, 3) == -4);
  assert_int_equal(rlx_exec_call(e, &in, 1, &small, 1), RLX_ERROR_SHAPE);
  rlx_tensor *same = in;
  assert_int_equal(rlx_exec_call(e, &in, 1, &same, 1), RLX_ERROR_ARGUMENT);
  assert_true(at(in, 0) == 1);
  rlx_tensor_free(in);
  rlx_tensor_free(out);
  rlx_tensor_free(small);
  rlx_exec_free(e);
}

/* Indices arrive at run time: MLX would read whatever lies there. */
static void indices_are_checked(void **unused) {
  (void)unused;
  rlx_graph *g;
  assert_int_equal(rlx_graph_create("gather", &g), RLX_OK);
  const rlx_dim four[] = {4}, two[] = {2};
  const rlx_val x = rlx_input(g, "x", RLX_F32, 1, four), i = rlx_input(g, "i", RLX_I64, 1, two);
  rlx_graph_output(g, "y", rlx_gather(g, x, i, NULL));
  for (size_t k = 0; k < WAYS; k++) {
    rlx_exec *e = compile(g, ways[k].device, ways[k].mode);
    const float values[] = {1, 2, 3, 4};
    static const int64_t tries[][2] = {{0, -1}, {4, 0}, {-5, 0}, {INT64_MAX, 0}, {3, 2}};
    rlx_tensor *in[2] = {vector(values, 4)}, *y = NULL;
    assert_int_equal(rlx_tensor_create(RLX_I64, 1, two, &in[1]), RLX_OK);
    for (size_t t = 0; t < 5; t++) {
      memcpy(rlx_tensor_mutable(in[1]), tries[t], sizeof tries[t]);
      const rlx_status status = rlx_exec_call(e, in, 2, &y, 1);
      assert_int_equal(status, t == 0 || t == 4 ? RLX_OK : RLX_ERROR_INDEX);
      if (status == RLX_OK) assert_true(at(y, 1) == (t == 0 ? 4 : 3));
      else assert_non_null(strstr(rlx_last_error(), "gather"));
      rlx_tensor_free(y);
      y = NULL;
    }
    rlx_tensor_free(in[0]);
    rlx_tensor_free(in[1]);
    rlx_exec_free(e);
  }
  rlx_graph_free(g);
}

/* MLX would not survive these. */
static void runs_that_cannot_fit_are_refused(void **unused) {
  (void)unused;
  const int64_t dims[] = {1 << 20, 1 << 24};
  const float one = 1;
  rlx_tensor *x = vector(&one, 1), *y = NULL;
  for (int way = 0; way < 6; way++) {
    rlx_graph *g;
    assert_int_equal(rlx_graph_create("large", &g), RLX_OK);
    rlx_expand_attrs a = rlx_expand_init();
    a.dims = (rlx_ints){dims, 2};
    rlx_val v = rlx_expand(g, rlx_input(g, "x", RLX_F32, 1, &(rlx_dim){1}), &a);
    rlx_graph_output(g, "y", way < 3 ? v : rlx_reduce_sum(g, rlx_exp(g, v), NULL));
    rlx_exec *e = compile(g, way % 3 == 2 ? RLX_DEVICE_REFERENCE : RLX_DEVICE_CPU,
                          way % 3 == 1 ? RLX_MODE_EAGER : RLX_MODE_LAZY);
    assert_int_equal(rlx_exec_call(e, &x, 1, &y, 1), RLX_ERROR_MEMORY);
    assert_non_null(strstr(rlx_last_error(), "70368744177664 bytes")); /* wanted */
    rlx_exec_free(e);
    rlx_graph_free(g);
  }
  rlx_tensor_free(x);
  assert_int_equal(rlx_tensor_create(RLX_F32, 2, dims, &x), RLX_ERROR_MEMORY);
}

static void kernel_options_are_checked(void **unused) {
  (void)unused;
  static const char *const variables[] = {"RLX_THREADS", "RLX_KERNELS", "RLX_CPU_LEVEL"};
  rlx_graph *g = layer();
  rlx_exec *e;
  rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
  o.device = RLX_DEVICE_CPU;
  o.threads = 257;
  assert_int_equal(rlx_compile(g, &o, &e), RLX_ERROR_ARGUMENT);
  o.threads = 2;
  o.precision = (rlx_precision)99;
  assert_int_equal(rlx_compile(g, &o, &e), RLX_ERROR_ARGUMENT);
  o.precision = RLX_PRECISION_BF16;
  o.n_keep_f32 = 1;
  assert_int_equal(rlx_compile(g, &o, &e), RLX_ERROR_ARGUMENT);
  o.keep_f32 = (const char *const[]){"nobody"};
  assert_int_equal(rlx_compile(g, &o, &e), RLX_ERROR_NOT_FOUND);
  o = (rlx_exec_options)RLX_OPTIONS(rlx_exec_options);
  o.device = RLX_DEVICE_CPU;
  for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
    setenv(variables[i], "nonsense", 1);
    assert_int_equal(rlx_compile(g, &o, &e), RLX_ERROR_ARGUMENT);
    assert_non_null(strstr(rlx_last_error(), variables[i]));
    unsetenv(variables[i]);
  }
  rlx_graph_free(g);
}

static void options_are_checked(void **unused) {
  (void)unused;
  rlx_graph *g = layer();
  rlx_exec *e;
  rlx_exec_options o = RLX_OPTIONS(rlx_exec_options);
  o.device = (rlx_device)99;
  assert_int_equal(rlx_compile(g, &o, &e), RLX_ERROR_ARGUMENT);
  o.device = RLX_DEVICE_CPU;
  o.struct_size = 2;
  assert_int_equal(rlx_compile(g, &o, &e), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_compile(NULL, NULL, &e), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_compile(g, NULL, NULL), RLX_ERROR_ARGUMENT);
  setenv("RLX_MLX_MODE", "nonsense", 1);
  assert_int_equal(rlx_compile(g, NULL, &e), RLX_ERROR_ARGUMENT);
  setenv("RLX_MLX_MODE", "eager", 1);
  assert_int_equal(rlx_compile(g, NULL, &e), RLX_OK);
  assert_int_equal(rlx_exec_mode(e), RLX_MODE_EAGER);
  unsetenv("RLX_MLX_MODE");
  rlx_exec_free(e);
  assert_int_equal(rlx_runtime_query(NULL), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_runtime_memory(NULL), RLX_ERROR_ARGUMENT);
  assert_int_equal(rlx_runtime_probe((rlx_device)99), RLX_ERROR_ARGUMENT);
  rlx_graph *empty;
  assert_int_equal(rlx_graph_create("empty", &empty), RLX_OK);
  assert_int_equal(rlx_compile(empty, NULL, &e), RLX_ERROR_ARGUMENT);
  rlx_graph_free(empty);
  rlx_graph_free(g);
}

/* Last: counted in builds with RLX_CHECK_LOCK. */
static void mlx_was_called_under_the_lock(void **state) {
  (void)state;
  assert_int_equal(lock_violations(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ways_agree),
      cmocka_unit_test(errors_poison_nothing),
      cmocka_unit_test(runs_by_name),
      cmocka_unit_test(outputs_own_their_memory),
      cmocka_unit_test(callers_buffers_are_filled),
      cmocka_unit_test(indices_are_checked),
      cmocka_unit_test(runs_that_cannot_fit_are_refused),
      cmocka_unit_test(options_are_checked),
      cmocka_unit_test(kernel_options_are_checked),
      cmocka_unit_test(mlx_was_called_under_the_lock),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
