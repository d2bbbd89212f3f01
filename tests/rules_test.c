/* tests/rules_test.c: every rewrite rule on a graph, before and after, and where it must not apply.
 *
 * A row is a rule, its inputs, an expression and what becomes of it; NULL: the rule leaves it
 * alone. op(operands; attributes), an input's name, or a constant as in the text form of graphs;
 * before it may stand `t = expression:`, which gives a value that is used twice a name. A size that
 * is a name is 2 when it runs. Checked of each row: the rule was used (alone it suffices, with
 * others it happens too); the result is the graph of the second expression; both give the same by
 * reference (equal numbers for an exact rule, NaN, infinities and zeros of both signs included);
 * MLX agrees; without the rule, or for an inexact one strictly, it does not happen. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rlx/rlx.h>

#include "base/str.h"
#include "ir/tensor.h"
#include "pass/pass.h"

typedef struct row {
  const char *rule, *inputs, *before, *after;
} row;

/* clang-format off */
#define MEAN(x) "reduce_mean(" x "; axes=[-1] keep=true)"
#define CENTRED "sub(x, " MEAN("x") ")"
#define ROOT(x) "sqrt(add(" MEAN("square(" x ")") ", f32[]{0.125}))"
#define QK(q) "matmul(" q ", transpose(y; perm=[0,1,3,2]))"
static const row rows[] = {
  {"same_shape", "x=f32[n,3]", "reshape(x; dims=[n,3])", "x"},
  {"same_shape", "x=f32[n,3]", "reshape(x; dims=[3,n])", NULL},
  {"same_expand", "x=f32[n,3]", "expand(x; dims=[n,1])", "x"},
  {"same_tile", "x=f32[n,3]", "tile(x; reps=[1,1])", "x"},
  {"same_slice", "x=f32[n,3]", "slice(x; starts=[0] stops=[9] axes=[1])", "x"},
  {"same_slice", "x=f32[4]", "slice(x; starts=[-1] stops=[-9] axes=[0] steps=[-1])", NULL},
  {"same_pad", "x=f32[n,3]", "pad(x; before=[0,0] after=[0,0])", "x"},
  {"same_pad", "x=f32[4]", "pad(x; before=[1] after=[-1])", NULL},
  {"same_cast", "x=f32[3]", "cast(x; to=f32)", "x"},
  {"same_order", "x=f32[n,3]", "transpose(x; perm=[0,1])", "x"},
  {"same_order", "x=f32[3,3]", "transpose(x; perm=[1,0])", NULL},
  {"concat_one", "x=f32[n,3]", "concat(x; axis=1)", "x"},
  {"split_one", "x=f32[n,3]", "split(x; axis=1 sizes=[3])", "x"},
  {"stop_gradient", "x=f32[3]", "stop_gradient(x)", "x"},
  {"view_view", "x=f32[n,4]", "reshape(unsqueeze(x; axes=[0]); dims=[n,2,2])", "reshape(x; dims=[n,2,2])"},
  {"transpose_twice", "x=f32[2,3,4]", "transpose(transpose(x; perm=[1,2,0]); perm=[0,2,1])", "transpose(x; perm=[1,0,2])"},
  {"transpose_unary", "x=f32[2,3,4]", "transpose(exp(transpose(x; perm=[1,2,0])); perm=[2,0,1])", "exp(x)"},
  {"transpose_unary", "x=f32[3,3,3]", "transpose(exp(transpose(x; perm=[1,2,0])); perm=[1,2,0])", NULL},
  {"transpose_binary", "x=f32[2,3] y=f32[2,3]", "transpose(sub(transpose(x), transpose(y)))", "sub(x, y)"},
  {"cast_cast", "x=f16[3]", "cast(cast(x; to=f32); to=i32)", "cast(x; to=i32)"},
  {"cast_cast", "x=f32[3]", "cast(cast(x; to=f16); to=i32)", NULL},
  {"cast_cast", "x=u32[3]", "cast(cast(x; to=f64); to=i32)", NULL},
  {"add_zero", "x=f32[n,3]", "add(f32[1]{0}, x)", "x"},
  {"add_zero", "x=f32[3]", "add(f32[2,3]{0,0,0,0,0,0}, x)", NULL},
  {"sub_zero", "x=i32[3]", "sub(x, i32[]{0})", "x"},
  {"mul_one", "x=f32[3]", "mul(x, f32[]{1})", "x"},
  {"mul_one", "x=f32[3]", "mul(x, f32[]{1.000001})", NULL},
  {"div_one", "x=f32[3]", "div(x, f32[]{1})", "x"},
  {"pow_one", "x=f32[3]", "pow(x, f32[]{1})", "x"},
  {"pow_two", "x=f32[3]", "pow(x, f32[]{2})", "square(x)"},
  {"pow_half", "x=f32[3]{0.1:3}", "pow(x, f32[]{0.5})", "sqrt(x)"},
  {"mul_self", "x=f32[3]", "mul(x, x)", "square(x)"},
  {"neg_neg", "x=f32[3]", "neg(neg(x))", "x"},
  {"not_not", "x=bool[3]", "logical_not(logical_not(x))", "x"},
  {"add_neg", "x=f32[3] y=f32[3]", "add(neg(x), y)", "sub(y, x)"},
  {"sub_neg", "x=f32[3] y=f32[3]", "sub(x, neg(y))", "add(x, y)"},
  {"one_over", "x=f32[3]", "div(f32[]{1}, x)", "recip(x)"},
  {"one_over", "x=i32[3]", "div(i32[]{1}, x)", NULL},
  {"one_over_sqrt", "x=f32[3]{0.1:3}", "div(f32[]{1}, sqrt(x))", "rsqrt(x)"},
  {"add_add", "x=f32[3]", "add(add(x, f32[]{1}), f32[]{2})", "add(x, f32[]{3})"},
  {"add_add", "x=f32[2,3]", "add(add(x, f32[2,1]{1,2}), f32[3]{1,2,3})", NULL},
  {"mul_mul", "x=f32[3]", "mul(f32[]{3}, mul(x, f32[]{2}))", "mul(x, f32[]{6})"},
  {"mul_div", "x=f32[3]", "div(mul(x, f32[]{6}), f32[]{2})", "mul(x, f32[]{3})"},
  {"div_mul", "x=f32[3]", "mul(div(x, f32[]{2}), f32[]{6})", "mul(x, f32[]{3})"},
  {"where_same", "x=f32[3] y=bool[3]", "where(y, x, x)", "x"},
  {"relu", "x=f32[3]", "maximum(f32[]{0}, x)", "relu(x)"},
  {"relu", "x=u8[3]", "maximum(u8[]{0}, x)", NULL},
  {"relu_clamp", "x=f32[3]", "minimum(relu(x), f32[]{0.5})", "clamp(x; min=0 max=0.5)"},
  {"clamp", "x=f32[3]", "minimum(maximum(x, f32[]{-0.5}), f32[]{0.5})", "clamp(x; min=-0.5 max=0.5)"},
  {"sigmoid", "x=f32[3]", "div(f32[]{1}, add(f32[]{1}, exp(neg(x))))", "sigmoid(x)"},
  {"softplus", "x=f32[3]", "log(add(exp(x), f32[]{1}))", "softplus(x)"},
  {"softplus_log1p", "x=f32[3]", "log1p(exp(x))", "softplus(x)"},
  {"gelu", "x=f32[n,3]", "mul(f32[]{0.5}, mul(x, add(f32[]{1}, erf(div(x, f32[]{1.4142135}))))) ", "gelu(x)"},
  {"gelu", "x=f32[3]", "mul(mul(x, f32[]{0.5}), add(f32[]{1}, erf(mul(x, f32[]{0.70710678}))))", "gelu(x)"},
  {"gelu", "x=f32[3]", "mul(x, div(add(f32[]{1}, erf(mul(x, f32[]{0.70710678}))), f32[]{2}))", "gelu(x)"},
  {"gelu", "x=f32[3]", "mul(mul(x, f32[]{0.5}), add(f32[]{1}, erf(mul(x, f32[]{0.7}))))", NULL},
  {"gelu", "x=f32[3] y=f32[3]", "mul(mul(x, f32[]{0.5}), add(f32[]{1}, erf(mul(y, f32[]{0.70710678}))))", NULL},
  {"gelu_tanh", "x=f32[3]", "mul(mul(x, f32[]{0.5}), add(tanh(mul(add(x, mul(pow(x, f32[]{3}), f32[]{0.044715})), f32[]{0.7978846})), f32[]{1}))", "gelu_tanh(x)"},
  {"gelu_tanh", "x=f32[3]", "mul(x, mul(f32[]{0.5}, add(tanh(mul(f32[]{0.7978846}, add(x, mul(x, mul(x, mul(f32[]{0.044715}, x)))))), f32[]{1})))", "gelu_tanh(x)"},
  {"gelu_tanh", "x=f32[3]", "mul(mul(x, f32[]{0.5}), add(f32[]{1}, tanh(mul(mul(x, f32[]{0.79788456}), add(f32[]{1}, mul(mul(x, x), f32[]{0.044715}))))))", "gelu_tanh(x)"},
  {"silu", "x=f32[n,3]", "mul(sigmoid(x), x)", "silu(x)"},
  {"silu", "x=f32[3] y=f32[3]", "mul(sigmoid(x), y)", NULL},
  {"silu_div", "x=f32[3]", "div(x, add(exp(neg(x)), f32[]{1}))", "silu(x)"},
  {"mish", "x=f32[3]", "mul(x, tanh(log(add(exp(x), f32[]{1}))))", "mish(x)"},
  {"hard_swish", "x=f32[3]", "div(mul(x, minimum(maximum(add(x, f32[]{3}), f32[]{0}), f32[]{6})), f32[]{6})", "hard_swish(x)"},
  {"hard_swish", "x=f32[3]", "div(mul(x, minimum(maximum(add(x, f32[]{3}), f32[]{0}), f32[]{5})), f32[]{6})", NULL},
  {"hard_swish_sigmoid", "x=f32[3]", "mul(x, hard_sigmoid(x; alpha=0.16666667 beta=0.5))", "hard_swish(x)"},
  {"hard_swish_sigmoid", "x=f32[3]", "mul(x, hard_sigmoid(x))", NULL},
  {"mean_of_sum", "x=f32[n,4]", "mul(reduce_sum(x; axes=[1]), f32[]{0.25})", "reduce_mean(x; axes=[1])"},
  {"mean_of_sum", "x=f32[n,4]", "mul(reduce_sum(x; axes=[0]), f32[]{0.25})", NULL},
  {"mean_by_count", "x=f32[n,3]", "div(reduce_sum(x; axes=[1] keep=true), f32[]{3})", "reduce_mean(x; axes=[1] keep=true)"},
  {"softmax", "x=f32[n,4]", "div(exp(x), unsqueeze(reduce_sum(exp(x); axes=[-1]); axes=[-1]))", "softmax(x; axis=1)"},
  {"softmax", "x=f32[4,4]", "div(exp(x), reduce_sum(exp(x); axes=[-1]))", NULL},
  {"softmax_max", "x=f32[n,4]", "softmax(sub(x, reduce_max(x; axes=[1] keep=true)))", "softmax(x; axis=1)"},
  {"softmax_max", "x=f32[n,4]", "softmax(sub(x, reduce_max(x; axes=[0] keep=true)))", NULL},
  {"softmax_rows", "x=f32[2,3,n,4]", "reshape(softmax(flatten(x; axis=3)); dims=[2,3,n,4])", "softmax(x; axis=3)"},
  {"softmax_rows", "x=f32[2,3,4]", "reshape(softmax(flatten(x; axis=1)); dims=[2,3,4])", NULL},
  {"linear", "x=f32[n,5,3] y=f32[3,4] z=f32[4]", "add(z, matmul(x, y))", "linear(x, y, z)"},
  {"linear", "x=f32[n,5,3] y=f32[n,3,4] z=f32[4]", "add(z, matmul(x, y))", NULL},
  {"linear", "x=f32[n,3] y=f32[3,4] z=f32[n,4]", "add(z, matmul(x, y))", NULL},
  {"attention", "x=f32[n,3,5,4] y=f32[n,3,6,4] z=f32[n,3,6,2]", "matmul(softmax(div(" QK("x") ", f32[]{2})), z)", "attention(x, y, z; scale=0.5)"},
  {"attention", "x=f32[n,3,5,4] y=f32[n,3,6,4] z=f32[n,3,6,2] m=f32[n,1,1,6]", "matmul(softmax(add(m, mul(" QK("x") ", f32[]{0.5}))), z)", "attention(x, y, z, m; scale=0.5)"},
  {"attention", "x=f32[n,3,5,4] y=f32[n,3,6,4] z=f32[n,3,6,2]", "matmul(softmax(" QK("mul(x, f32[]{0.5})") "), z)", "attention(x, y, z; scale=0.5)"},
  {"attention", "x=f32[n,3,5,4] y=f32[n,3,6,4] z=f32[n,3,6,2]", "matmul(softmax(" QK("x") "), z)", "attention(x, y, z; scale=1)"},
  {"attention", "x=f32[n,3,5,4] y=f32[n,3,6,4] z=f32[n,3,6,2]", "matmul(softmax(" QK("mul(x, f32[4]{1,2,3,4})") "), z)", "attention(mul(x, f32[4]{1,2,3,4}), y, z; scale=1)"},
  {"attention", "x=f32[n,3,1,4] y=f32[n,3,6,4] z=f32[n,3,6,2] m=f32[5,6]", "matmul(softmax(add(" QK("x") ", m)), z)", NULL},
  {"attention", "x=f32[n,3,6,4] y=f32[n,3,6,4] z=f32[n,3,6,2]", "matmul(softmax(" QK("x") "; axis=2), z)", NULL},
  {"attention", "x=f32[n,3,5,4] y=f32[n,3,6,4] z=f32[n,3,6,2]", "t = softmax(" QK("x") "): add(reduce_sum(t), matmul(t, z))", NULL},
  {"layer_norm", "x=f32[n,4]", "div(" CENTRED ", " ROOT(CENTRED) ")", "layer_norm(x; eps=0.125)"},
  {"layer_norm", "x=f32[4,n,4]", "div(sub(x, reduce_mean(x; axes=[0] keep=true)), " ROOT("sub(x, reduce_mean(x; axes=[0] keep=true))") ")", NULL},
  {"layer_norm_rsqrt", "x=f32[n,4]", "mul(div(f32[]{1}, " ROOT(CENTRED) "), " CENTRED ")", "layer_norm(x; eps=0.125)"},
  {"layer_norm_scale", "x=f32[n,4] y=f32[4]", "mul(y, layer_norm(x; eps=0.125))", "layer_norm(x, y; eps=0.125)"},
  {"layer_norm_scale", "x=f32[n,4] y=f32[1,4]", "mul(y, layer_norm(x))", NULL},
  {"layer_norm_scale", "x=f32[n,4] y=f32[4]", "t = layer_norm(x): mul(mul(y, t), neg(t))", NULL},
  {"layer_norm_shift", "x=f32[n,4] y=f32[4] z=f32[4]", "add(layer_norm(x, y; eps=0.125), z)", "layer_norm(x, y, z; eps=0.125)"},
  {"rms_norm", "x=f32[n,4]", "div(x, " ROOT("x") ")", "rms_norm(x; eps=0.125)"},
  {"rms_norm_rsqrt", "x=f32[n,4]", "mul(x, div(f32[]{1}, " ROOT("x") "))", "rms_norm(x; eps=0.125)"},
  {"rms_norm_scale", "x=f32[n,4] y=f32[4]", "mul(rms_norm(x; eps=0.125), y)", "rms_norm(x, y; eps=0.125)"},
  {"conv_batch_norm", "x=f32[n,1,4]", "batch_norm(conv(x, f32[2,1,1]{1,2}, f32[2]{1,1}), f32[2]{2,3}, f32[2]{1,1}, f32[2]{1,2}, f32[2]{1,4}; eps=0)", "conv(x, f32[2,1,1]{2,3}, f32[2]{1,-0.5})"},
  {"conv_scale", "x=f32[n,1,4]", "mul(conv(x, f32[2,1,1]{1,2}), f32[1,2,1]{2,3})", "conv(x, f32[2,1,1]{2,6})"},
  {"conv_scale", "x=f32[n,1,2]", "mul(conv(x, f32[2,1,1]{1,2}), f32[1,1,2]{2,3})", NULL},
  {"conv_scale", "x=f32[n,1,4]", "t = conv(x, f32[2,1,1]{1,2}): mul(exp(t), mul(t, f32[]{2}))", NULL},
  {"conv_scale", "x=f32[n,2,4]", "mul(conv_transpose(x, f32[2,2,1]{1,2,3,4}), f32[2,1]{2,3})", "conv_transpose(x, f32[2,2,1]{2,6,6,12})"},
  {"conv_scale", "x=f32[n,2,4]", "mul(conv_transpose(x, f32[2,1,1]{1,2}; groups=2), f32[2,1]{2,3})", NULL},
  {"conv_of_affine", "x=f32[n,2,4]", "conv(add(mul(x, f32[1]{2}), f32[]{3}), f32[2,2,1]{1,2,3,4}, f32[2]{1,1})", "conv(x, f32[2,2,1]{2,4,6,8}, f32[2]{10,22})"},
  {"conv_of_affine", "x=f32[n,2,4]", "conv(add(mul(x, f32[1]{2}), f32[]{3}), f32[2,2,1]{1,2,3,4}; pads=[1,1])", NULL},
  {"conv_of_affine", "x=f32[n,2,4]", "t = add(mul(x, f32[1]{2}), f32[]{3}): concat(t, conv(t, f32[2,2,1]{1,2,3,4}); axis=1)", NULL},
  {"conv_shift", "x=f32[n,1,4]", "add(conv(x, f32[2,1,1]{1,2}, f32[2]{1,1}), f32[2,1]{2,3})", "conv(x, f32[2,1,1]{1,2}, f32[2]{3,4})"},
  {"conv_shift", "x=f32[n,1,4]", "add(conv_transpose(x, f32[1,2,1]{1,2}), f32[]{3})", "conv_transpose(x, f32[1,2,1]{1,2}, f32[2]{3,3})"},
};
/* clang-format on */
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static size_t n_failed;

static void fail(const row *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(const row *r, const char *format, ...) {
  va_list args;
  va_start(args, format);
  printf("%s: %s\n    ", r->rule, r->before);
  vprintf(format, args);
  printf("\n");
  va_end(args);
  n_failed++;
}

static void need(rlx_status status) {
  if (status == RLX_OK) return;
  printf("rules_test: %s: %s\n", rlx_status_name(status), rlx_last_error());
  exit(2);
}

/* --- an expression as a graph */

typedef struct writer {
  const char *p;
  const char *inputs;
  str out;
  int n; /* ids given */
  int t; /* the id of `t`, 0: none */
} writer;

static void skip(writer *w) { w->p += strspn(w->p, " "); }

/* Inputs get the ids 1, 2, .. in order; 0: there is none of that name. */
static int input_id(const writer *w, const char *name, size_t length) {
  int id = 1;
  for (const char *p = w->inputs; *p; id++) {
    if (strncmp(p, name, length) == 0 && p[length] == '=') return id;
    p += strcspn(p, " ");
    p += strspn(p, " ");
  }
  return 0;
}

static void write_inputs(writer *w) {
  for (const char *p = w->inputs; *p;) {
    const int name = (int)strcspn(p, "="), dtype = (int)strcspn(p, "[") - name - 1;
    const char *dims = p + name + dtype + 1;
    const int n_dims = (int)strcspn(dims, "]") + 1;
    str_addf(&w->out, "%%%d = input name=\"%.*s\" dtype=%.*s dims=%.*s\n", ++w->n, name, p, dtype,
             p + name + 1, n_dims, dims);
    p += strcspn(p, " ");
    p += strspn(p, " ");
  }
}

/* Writes the nodes of the expression; returns the id of its value. */
static int write_expression(writer *w) {
  int in[8], n_in = 0;
  skip(w);
  const char *name = w->p;
  while (isalnum((unsigned char)*w->p) || *w->p == '_') w->p++;
  const int length = (int)(w->p - name);
  if (*w->p == '[') { /* a constant */
    const int n = (int)strcspn(w->p, "}") + 1;
    str_addf(&w->out, "%%%d = constant data=%.*s%.*s\n", ++w->n, length, name, n, w->p);
    w->p += n;
    return w->n;
  }
  if (*w->p != '(') return length == 1 && *name == 't' ? w->t : input_id(w, name, (size_t)length);
  for (w->p++; *w->p != ')' && *w->p != ';'; w->p += *w->p == ',') {
    in[n_in++] = write_expression(w);
    skip(w);
  }
  const int n_attrs = *w->p == ';' ? (int)strcspn(w->p, ")") - 1 : 0;
  str_addf(&w->out, "%%%d = %.*s(", ++w->n, length, name);
  for (int i = 0; i < n_in; i++) str_addf(&w->out, "%s%%%d", i ? "," : "", in[i]);
  str_addf(&w->out, ") %.*s\n", n_attrs, w->p + 1);
  w->p += strcspn(w->p, ")") + 1;
  return w->n;
}

static rlx_graph *graph_of(const row *r, const char *expression) {
  rlx_graph *g;
  writer w = {.p = expression, .inputs = r->inputs};
  str_add(&w.out, "graph \"row\" {\n");
  write_inputs(&w);
  if (strncmp(w.p, "t = ", 4) == 0) {
    w.p += 4;
    w.t = write_expression(&w);
    w.p += strspn(w.p, ":");
  }
  const int id = write_expression(&w);
  str_addf(&w.out, "return %%%d \"y\"\n}\n", id);
  need(rlx_graph_parse(w.out.data, NULL, &g));
  str_free(&w.out);
  return g;
}

/* --- runs */

static void fill(rlx_tensor *t, const char *declared, bool special, uint64_t seed) {
  static const double specials[] = {NAN, INFINITY, -INFINITY, 0, -0.0};
  double low = -1, high = 1;
  const char *range = strchr(declared, '{');
  const size_t end = strcspn(declared, " ");
  if (range && (size_t)(range - declared) < end) {
    sscanf(range, "{%lf:%lf}", &low, &high);
    special = false;
  }
  for (int64_t i = 0; i < t->count; i++) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    const double u = (double)(seed >> 11) * 0x1p-53;
    if (dtype_kind(t->dtype) != RLX_KIND_FLOAT) tensor_set_int(t, i, (int64_t)(seed >> 40) % 3);
    else if (special && i < 5) tensor_set_real(t, i, specials[i]);
    else tensor_set_real(t, i, low + u * (high - low));
  }
}

static rlx_tensor *run(const row *r, const rlx_graph *g, rlx_device device, bool special) {
  rlx_exec *exec;
  rlx_exec_options options = RLX_OPTIONS(rlx_exec_options);
  rlx_tensor *in[4] = {0}, *out[1] = {0};
  const size_t n = rlx_graph_input_count(g);
  const char *declared = r->inputs;
  for (size_t i = 0; i < n; i++) {
    int64_t dims[RLX_MAX_RANK];
    const rlx_val v = rlx_graph_input_value(g, i);
    for (size_t k = 0; k < rlx_val_rank(g, v); k++)
      dims[k] = rlx_dim_is_known(rlx_val_dim(g, v, k)) ? rlx_val_dim(g, v, k) : 2;
    need(rlx_tensor_create(rlx_val_dtype(g, v), rlx_val_rank(g, v), dims, &in[i]));
    fill(in[i], declared, special, i + 1);
    declared += strcspn(declared, " ");
    declared += strspn(declared, " ");
  }
  options.device = device;
  need(rlx_compile(g, &options, &exec));
  need(rlx_exec_call(exec, in, n, out, 1));
  rlx_exec_free(exec);
  for (size_t i = 0; i < n; i++) rlx_tensor_free(in[i]);
  return out[0];
}

static bool near(double a, double b, double tolerance) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
  return a == b || fabs(a - b) <= tolerance * (1 + fabs(b));
}

static void check_equal(const row *r, const char *what, const rlx_tensor *got,
                        const rlx_tensor *want, double tolerance) {
  if (got->count != want->count || got->dtype != want->dtype) fail(r, "%s: another type", what);
  for (int64_t i = 0; i < got->count && i < want->count; i++) {
    const double a = tensor_real(got, i), b = tensor_real(want, i);
    if (near(a, b, tolerance)) continue;
    fail(r, "%s: element %d is %.9g, wanted %.9g", what, (int)i, a, b);
    return;
  }
}

/* --- rows */

static size_t index_of(const char *name) {
  for (size_t i = 0; i < rule_count; i++)
    if (strcmp(rule_table[i].name, name) == 0) return i;
  printf("rules_test: there is no rule '%s'\n", name);
  exit(2);
}

/* The graph, rewritten; *out_hits are those of the rule. */
static rlx_graph *rewritten(const rlx_graph *g, pass_rules r, size_t rule, uint64_t *out_hits) {
  rlx_graph *out;
  need(pass_optimise(g, &r, &out));
  *out_hits = r.hits[rule];
  return out;
}

static uint64_t hits_of(const rlx_graph *g, pass_rules r, size_t rule) {
  uint64_t hits;
  rlx_graph_free(rewritten(g, r, rule, &hits));
  return hits;
}

static void check_result(const row *r, const rlx_graph *before, const rlx_graph *got,
                         const rule_row *applied) {
  uint64_t unused;
  rlx_graph *after = graph_of(r, r->after), *want = rewritten(after, (pass_rules){0}, 0, &unused);
  char *got_text, *want_text;
  need(rlx_graph_print(got, &got_text, NULL));
  need(rlx_graph_print(want, &want_text, NULL));
  if (strcmp(got_text, want_text) != 0) fail(r, "became %s    wanted %s", got_text, want_text);
  const bool special = !applied->inexact;
  rlx_tensor *x = run(r, before, RLX_DEVICE_REFERENCE, special);
  rlx_tensor *y = run(r, after, RLX_DEVICE_REFERENCE, special);
  rlx_tensor *z = run(r, before, RLX_DEVICE_DEFAULT, false), *plain = run(r, before, RLX_DEVICE_REFERENCE, false);
  check_equal(r, "by reference", y, x, applied->inexact ? 1e-5 : 0);
  check_equal(r, "on MLX", z, plain, 1e-5);
  rlx_tensor *all[] = {x, y, z, plain};
  for (size_t i = 0; i < 4; i++) rlx_tensor_free(all[i]);
  rlx_string_free(got_text);
  rlx_string_free(want_text);
  rlx_graph_free(want);
  rlx_graph_free(after);
}

static void check_row(const row *r) {
  const size_t rule = index_of(r->rule);
  rlx_graph *before = graph_of(r, r->before);
  uint64_t hits;
  rlx_graph *got = rewritten(before, (pass_rules){0}, rule, &hits);
  if ((hits != 0) != (r->after != NULL)) fail(r, "%s", hits ? "applies" : "does not apply");
  pass_rules without = {0}, strict = {0};
  without.off[rule] = true;
  for (size_t i = 0; i < rule_count; i++) strict.off[i] = rule_table[i].inexact;
  if (hits_of(before, without, rule)) fail(r, "applies though it is off");
  if (rule_table[rule].inexact && hits_of(before, strict, rule)) fail(r, "applies strictly");
  if (r->after) check_result(r, before, got, &rule_table[rule]);
  rlx_graph_free(got);
  rlx_graph_free(before);
}

int main(void) {
  for (size_t i = 0; i < N_ROWS; i++) check_row(&rows[i]);
  for (size_t k = 0; k < rule_count; k++) {
    bool shown = false;
    for (size_t i = 0; i < N_ROWS; i++)
      shown = shown || (rows[i].after && strcmp(rows[i].rule, rule_table[k].name) == 0);
    if (!shown) printf("%s: no row shows it\n", rule_table[k].name), n_failed++;
  }
  printf("%d rows, %zu failed\n", N_ROWS, n_failed);
  return n_failed != 0;
}
