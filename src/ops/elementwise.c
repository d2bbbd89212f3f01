/* ops/elementwise.c: the rows of elementwise.def made into hooks.
 *
 * Laws: an operation's reference, gradient and expansion stand in its row and nowhere else. Onto
 * MLX a row is the shim's call of the same name; where MLX means something else by it (or would
 * crash), a function here takes that name's place. */
#include "ops/elementwise.h"

#include <complex.h>
#include <math.h>

#include "ops/block.h"

/* --- what all rows share */

static rlx_status elementwise_infer(ir_infer *c, const elementwise_row *row) {
  for (size_t i = 0; i < c->n_in; i++) RLX_TRY(infer_kinds(c, i, row->kinds));
  RLX_TRY(infer_broadcast(c));
  if (row->predicate) c->out[0].dtype = RLX_BOOL;
  return RLX_OK;
}

ref_scalar elementwise_apply(const elementwise_row *row, const void *attrs, ref_scalar x,
                             ref_scalar y) {
  if (x.kind == RLX_KIND_COMPLEX)
    x.v.cplx = row->cplx(attrs, x.v.cplx, y.v.cplx);
  else if (x.kind == RLX_KIND_FLOAT)
    x.v.real = row->real(attrs, x.v.real, y.v.real);
  else if (x.kind == RLX_KIND_INT)
    x.v.sint = row->sint(attrs, x.v.sint, y.v.sint);
  else
    x.v.uint = row->uint(attrs, x.v.uint, y.v.uint);
  return x;
}

static rlx_status elementwise_ref(ref_call *c, const elementwise_row *row) {
  const rlx_tensor *x = c->in[0], *y = c->in[c->n_in - 1];
  rlx_tensor *out = c->out[0];
  int64_t coord[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < out->count; i++) {
    ref_scalar a = ref_get(x, ref_broadcast_index(x, out->rank, coord));
    ref_scalar b = ref_get(y, ref_broadcast_index(y, out->rank, coord));
    ref_put(out, i, elementwise_apply(row, c->attrs, a, b));
    ref_next(out->rank, out->dims, coord);
  }
  return RLX_OK;
}

/* --- integer and other arithmetic that the rows name */

static double real_clamp(double x, double min, double max) {
  if (x < min) x = min;
  return x > max ? max : x;
}

static double real_mod(double x, double y) {
  double m = fmod(x, y);
  return m != 0 && (m < 0) != (y < 0) ? m + y : m;
}

static int64_t sint_div(int64_t x, int64_t y) {
  if (y == -1) return (int64_t)(0 - (uint64_t)x);
  return y ? x / y : 0;
}
static int64_t sint_rem(int64_t x, int64_t y) { return y && y != -1 ? x % y : 0; }
static int64_t sint_mod(int64_t x, int64_t y) {
  int64_t m = sint_rem(x, y);
  return m && (m < 0) != (y < 0) ? m + y : m;
}
static uint64_t uint_div(uint64_t x, uint64_t y) { return y ? x / y : 0; }
static uint64_t uint_rem(uint64_t x, uint64_t y) { return y ? x % y : 0; }
static uint64_t uint_pow(uint64_t x, uint64_t y) {
  uint64_t r = 1;
  for (; y; y >>= 1, x *= x)
    if (y & 1) r *= x;
  return r;
}
static int64_t sint_pow(int64_t x, int64_t y) {
  if (y >= 0) return (int64_t)uint_pow((uint64_t)x, (uint64_t)y);
  if (x == -1) return y & 1 ? -1 : 1;
  return x == 1;
}

#define BY_SIGN(x, name) _Generic((x), int64_t: sint_##name, uint64_t: uint_##name)
#define int_div(x, y) BY_SIGN(x, div)(x, y)
#define int_rem(x, y) BY_SIGN(x, rem)(x, y)
#define int_mod(x, y) _Generic((x), int64_t: sint_mod, uint64_t: uint_rem)(x, y)
#define int_pow(x, y) BY_SIGN(x, pow)(x, y)

/* --- contents: the rows that shape arithmetic is made of */

static const struct {
  const ir_hooks *hooks;
  rlx_dim_op op;
} dim_rows[] = {
    {&hooks_add, RLX_DIM_ADD},     {&hooks_sub, RLX_DIM_SUB},     {&hooks_neg, RLX_DIM_SUB},
    {&hooks_mul, RLX_DIM_MUL},     {&hooks_div, RLX_DIM_FLOORDIV},
    {&hooks_maximum, RLX_DIM_MAX}, {&hooks_minimum, RLX_DIM_MIN},
};

/* Sizes are not negative, so dividing them is floor division. */
static rlx_dim content_of(dim_table *t, rlx_dim_op op, rlx_dim a, rlx_dim b) {
  if (op != RLX_DIM_FLOORDIV) return dim_combine(t, op, a, b);
  if (dim_known(a) && dim_known(b)) return sint_div(a, b);
  return dim_known(b) && b > 0 ? dim_combine(t, op, a, b) : RLX_DIM_BAD;
}

static rlx_status elementwise_content(ir_infer *c, const rlx_dim *const *in, rlx_dim *out) {
  const size_t n_rows = sizeof dim_rows / sizeof dim_rows[0], last = c->n_in - 1;
  size_t row = 0;
  while (row < n_rows && dim_rows[row].hooks != c->op->hooks) row++;
  if (row == n_rows || !in[0] || !in[last]) return RLX_ERROR_UNSUPPORTED;
  int64_t count = infer_count(&c->out[0]), step[2];
  for (size_t i = 0; i <= last; i++) { /* equal shapes, or one of them is a single element */
    step[i] = infer_count(&c->in[i]) == 1 ? 0 : 1;
    if (step[i] && infer_count(&c->in[i]) != count) return RLX_ERROR_UNSUPPORTED;
  }
  for (int64_t i = 0; i < count; i++) {
    rlx_dim a = last == 0 ? 0 : in[0][i * step[0]], b = in[last][i * step[last]];
    out[i] = content_of(&c->g->dims, dim_rows[row].op, a, b);
    if (!infer_holds(&c->out[0], out[i])) return RLX_ERROR_UNSUPPORTED;
  }
  return RLX_OK;
}

/* --- rows that are not MLX's call of that name */

/* False also for the NULL that follows a failure. */
static bool is_kind(mx x, rlx_dtype_kind kind) {
  const rlx_dtype_info *info = rlx_dtype_get(mx_dtype(x));
  return info && info->kind == kind;
}
static bool is_double(mx x) { return mx_dtype(x) == RLX_F64; }
static bool is_signed(mx x) { return is_kind(x, RLX_KIND_INT); }
static bool is_whole(mx x) { return is_signed(x) || is_kind(x, RLX_KIND_UINT); }
static mx like(mx_ctx *m, mx x, double v) { return mx_scalar(m, mx_dtype(x), v); }
static mx equals(mx_ctx *m, mx x, double v) { return mx_eq(m, x, like(m, x, v)); }
static mx negative(mx_ctx *m, mx x) { return mx_lt(m, x, like(m, x, 0)); }

/* In f64 MLX's power and tangent are exact, its exp, sin, cos and erf are not. */
mx elementwise_exp(mx_ctx *m, mx x) {
  return is_double(x) ? mx_pow(m, like(m, x, 2.71828182845904523536), x) : mx_exp(m, x);
}

mx elementwise_sigmoid(mx_ctx *m, mx x) {
  if (!is_double(x)) return mx_sigmoid(m, x);
  return mx_recip(m, mx_add(m, elementwise_exp(m, mx_neg(m, x)), like(m, x, 1)));
}

static mx sine(mx_ctx *m, mx x) { /* 2t / (1 + t^2), t = tan(x / 2) */
  if (!is_double(x)) return mx_sin(m, x);
  mx t = mx_tan(m, mx_mul(m, x, like(m, x, 0.5)));
  return mx_div(m, mx_add(m, t, t), mx_add(m, mx_square(m, t), like(m, x, 1)));
}

static mx cosine(mx_ctx *m, mx x) { /* (1 - t^2) / (1 + t^2) */
  if (!is_double(x)) return mx_cos(m, x);
  mx t = mx_square(m, mx_tan(m, mx_mul(m, x, like(m, x, 0.5)))), one = like(m, x, 1);
  return mx_div(m, mx_sub(m, one, t), mx_add(m, one, t));
}

/* 2 / sqrt(pi) e^(-x^2) times the sum of 2^n x^(2n+1) / (2n+1)!!, which has only positive terms;
 * from 6 on erf is 1 to the last digit, and there 120 terms are enough. */
static mx error_function(mx_ctx *m, mx x) {
  if (!is_double(x)) return mx_erf(m, x);
  x = mx_minimum(m, mx_maximum(m, x, like(m, x, -6)), like(m, x, 6));
  mx square = mx_square(m, x), term = x, sum = x;
  for (int n = 1; n <= 120; n++) {
    term = mx_mul(m, mx_mul(m, term, square), like(m, x, 2.0 / (2 * n + 1)));
    sum = mx_add(m, sum, term);
  }
  mx scale = mx_mul(m, elementwise_exp(m, mx_neg(m, square)), like(m, x, 1.12837916709551257390));
  return mx_mul(m, sum, scale);
}

/* MLX says 0 for NaN. */
static mx sign_of(mx_ctx *m, mx x) {
  mx s = mx_sign(m, x);
  return is_kind(x, RLX_KIND_FLOAT) ? mx_where(m, mx_is_nan(m, x), x, s) : s;
}

/* A divisor that the processor does not trap on: 1 in the place of 0, and of -1 (the least integer
 * has no negative). */
static mx safe_divisor(mx_ctx *m, mx y) {
  mx trap = equals(m, y, 0);
  if (is_signed(y)) trap = mx_logical_or(m, trap, equals(m, y, -1));
  return mx_where(m, trap, like(m, y, 1), y);
}

static mx modulo(mx_ctx *m, mx x, mx y) {
  return mx_remainder(m, x, is_whole(y) ? safe_divisor(m, y) : y);
}

static mx remainder_of(mx_ctx *m, mx x, mx y) {
  if (!is_whole(x)) { /* exact: of magnitudes, where both remainders are the same */
    mx r = mx_remainder(m, mx_abs(m, x), mx_abs(m, y));
    return mx_where(m, negative(m, x), mx_neg(m, r), r);
  }
  mx r = modulo(m, x, y);
  if (!is_signed(x)) return r;
  mx wrong = mx_logical_and(m, mx_ne(m, r, like(m, r, 0)),
                            mx_ne(m, negative(m, x), negative(m, r)));
  return mx_where(m, wrong, mx_sub(m, r, y), r);
}

mx elementwise_div(mx_ctx *m, mx x, mx y) {
  if (!is_whole(x)) return mx_div(m, x, y);
  mx whole = mx_floor_div(m, mx_sub(m, x, remainder_of(m, x, y)), safe_divisor(m, y));
  if (is_signed(x)) whole = mx_where(m, equals(m, y, -1), mx_neg(m, x), whole);
  return mx_where(m, equals(m, y, 0), like(m, y, 0), whole);
}

/* MLX does not come back from a negative integer power. */
static mx power(mx_ctx *m, mx x, mx y) {
  if (!is_signed(y)) return mx_pow(m, x, y);
  mx below = negative(m, y), zero = like(m, x, 0);
  mx unit = mx_logical_or(m, equals(m, x, 1), equals(m, x, -1));
  mx r = mx_pow(m, x, mx_where(m, below, mx_bit_and(m, y, like(m, y, 1)), y));
  return mx_where(m, mx_logical_and(m, below, mx_logical_not(m, unit)), zero, r);
}

/* Is the shift count outside [0, bits)? */
static mx shifts_all(mx_ctx *m, mx y, double last) {
  return mx_logical_or(m, negative(m, y), mx_gt(m, y, like(m, y, last)));
}
static double last_bit(mx x) {
  const rlx_dtype_info *info = rlx_dtype_get(mx_dtype(x));
  return info ? 8.0 * info->block_bytes - 1 : 0;
}
static mx shift_left(mx_ctx *m, mx x, mx y) {
  mx all = shifts_all(m, y, last_bit(x)), zero = like(m, x, 0);
  return mx_where(m, all, zero, mx_shl(m, x, mx_where(m, all, zero, y)));
}
static mx shift_right(mx_ctx *m, mx x, mx y) {
  mx all = shifts_all(m, y, last_bit(x));
  mx r = mx_shr(m, x, mx_where(m, all, like(m, y, last_bit(x)), y));
  return mx_where(m, all, mx_shr(m, r, like(m, r, 1)), r);
}

/* From here on these stand for the shim's calls. */
#define mx_exp elementwise_exp
#define mx_sin sine
#define mx_cos cosine
#define mx_erf error_function
#define mx_sigmoid elementwise_sigmoid
#define mx_sign sign_of
#define mx_div elementwise_div
#define mx_rem remainder_of
#define mx_mod modulo
#define mx_pow power
#define mx_shl shift_left
#define mx_shr shift_right

/* --- the words of elementwise.def */

#define FL KINDS_FLOAT
#define IN KINDS_INT
#define UN KINDS_UINT
#define BO KINDS_BOOL
#define CX KINDS_COMPLEX
#define NONE 0
#define NOGRAD RLX_NIL
#define K(v) expr_scalar(c, v)
#define ABS(x) rlx_abs(c->b, x)
#define NEG(x) rlx_neg(c->b, x)
#define SIGN(x) rlx_sign(c->b, x)
#define EXP(x) rlx_exp(c->b, x)
#define EXPM1(x) rlx_expm1(c->b, x)
#define LOG(x) rlx_log(c->b, x)
#define LOG1P(x) rlx_log1p(c->b, x)
#define SIN(x) rlx_sin(c->b, x)
#define COS(x) rlx_cos(c->b, x)
#define SINH(x) rlx_sinh(c->b, x)
#define COSH(x) rlx_cosh(c->b, x)
#define TANH(x) rlx_tanh(c->b, x)
#define ERF(x) rlx_erf(c->b, x)
#define SIGMOID(x) rlx_sigmoid(c->b, x)
#define RSQRT(x) rlx_rsqrt(c->b, x)
#define SOFTPLUS(x) rlx_softplus(c->b, x)
#define CONJUGATE(x) rlx_conjugate(c->b, x)
#define ADD(x, y) rlx_add(c->b, x, y)
#define SUB(x, y) rlx_sub(c->b, x, y)
#define MUL(x, y) rlx_mul(c->b, x, y)
#define DIV(x, y) rlx_div(c->b, x, y)
#define POW(x, y) rlx_pow(c->b, x, y)
#define MAXIMUM(x, y) rlx_maximum(c->b, x, y)
#define MINIMUM(x, y) rlx_minimum(c->b, x, y)
#define EQ(x, y) rlx_eq(c->b, x, y)
#define GT(x, y) rlx_gt(c->b, x, y)
#define GE(x, y) rlx_ge(c->b, x, y)
#define LE(x, y) rlx_le(c->b, x, y)
#define WHERE(p, x, y) rlx_where(c->b, p, x, y)

/* --- a row's functions; `attrs_` declares `a`, the row's attributes, if it has any */

#define REFERENCE(name, type, suffix, attrs_, formula)                          \
  static type name##_##suffix(const void *attrs, type x, type y) {              \
    typedef type T;                                                             \
    attrs_;                                                                     \
    (void)x, (void)y;                                                           \
    return (T)(formula);                                                        \
  }
#define ROW(name, class, bool_, attrs_, real_, integer, complex_)               \
  REFERENCE(name, double, real, attrs_, real_)                                  \
  REFERENCE(name, int64_t, sint, attrs_, integer)                               \
  REFERENCE(name, uint64_t, uint, attrs_, integer)                              \
  REFERENCE(name, cplx, cplx, attrs_, complex_)                                 \
  const elementwise_row row_##name = {                                          \
      class, bool_, name##_real, name##_sint, name##_uint, name##_cplx};        \
  static rlx_status name##_infer(ir_infer *c) {                                 \
    return elementwise_infer(c, &row_##name);                                   \
  }                                                                             \
  static rlx_status name##_ref(ref_call *c) { return elementwise_ref(c, &row_##name); }
#define LOWER_1(name) \
  static void name##_lower(lower_call *c) { c->out[0] = mx_##name(c->m, c->in[0]); }
#define LOWER_2(name) \
  static void name##_lower(lower_call *c) { c->out[0] = mx_##name(c->m, c->in[0], c->in[1]); }
#define NO_ATTRS (void)attrs
#define OF_ATTRS(name) const rlx_##name##_attrs *a = attrs; (void)a

#define U(name, class, real_, integer, complex_, gradient, onnx_, doc)          \
  ROW(name, class, false, NO_ATTRS, real_, integer, complex_)                   \
  LOWER_1(name)                                                                 \
  static rlx_val name##_vjp(expr_call *c, int i) {                              \
    const rlx_val x = c->in[0], r = c->out[0], g = c->grad;                     \
    (void)x, (void)r, (void)g, (void)i;                                         \
    return gradient;                                                            \
  }                                                                             \
  RLX_BLOCK(name) = {.infer = name##_infer, .ref = name##_ref,                  \
                     .lower = name##_lower, .vjp = name##_vjp, .tile = #name,   \
                     .content = elementwise_content, .onnx = onnx_};
#define EXPANDED(name, class, attrs_, attrs_of_c, real_, integer, expand_, onnx_) \
  ROW(name, class, false, attrs_, real_, integer, NONE)                         \
  static rlx_val name##_expand(expr_call *c) {                                  \
    const rlx_val x = c->in[0];                                                 \
    attrs_of_c;                                                                 \
    return expand_;                                                             \
  }                                                                             \
  RLX_BLOCK(name) = {                                                           \
      .infer = name##_infer, .ref = name##_ref, .expand = name##_expand, .tile = #name, \
      .onnx = onnx_};
#define UX0(name, class, real_, integer, expand_, onnx_, doc) \
  EXPANDED(name, class, NO_ATTRS, (void)0, real_, integer, expand_, onnx_)
#define UX(name, class, list, real_, integer, expand_, onnx_, doc)              \
  EXPANDED(name, class, OF_ATTRS(name), const rlx_##name##_attrs *a = c->attrs, real_, integer, \
           expand_, onnx_)
#define P(name, class, real_, integer, complex_, onnx_, doc)                    \
  ROW(name, class, true, NO_ATTRS, real_, integer, complex_)                    \
  LOWER_1(name)                                                                 \
  RLX_BLOCK(name) = {.infer = name##_infer, .ref = name##_ref, .lower = name##_lower, \
                     .tile = #name, .no_grad = "its result is bool", .onnx = onnx_};
#define B(name, traits, class, real_, integer, complex_, da, db, onnx_, doc)    \
  ROW(name, class, false, NO_ATTRS, real_, integer, complex_)                   \
  LOWER_2(name)                                                                 \
  static rlx_val name##_vjp(expr_call *c, int i) {                              \
    const rlx_val x = c->in[0], y = c->in[1], r = c->out[0], g = c->grad;       \
    (void)x, (void)y, (void)r, (void)g;                                         \
    return i ? db : da;                                                         \
  }                                                                             \
  RLX_BLOCK(name) = {.infer = name##_infer, .ref = name##_ref,                  \
                     .lower = name##_lower, .vjp = name##_vjp, .tile = #name,   \
                     .content = elementwise_content, .onnx = onnx_};
#define C(name, traits, class, real_, integer, complex_, onnx_, doc)            \
  ROW(name, class, true, NO_ATTRS, real_, integer, complex_)                    \
  LOWER_2(name)                                                                 \
  RLX_BLOCK(name) = {.infer = name##_infer, .ref = name##_ref, .lower = name##_lower, \
                     .tile = #name, .no_grad = "its result is bool", .onnx = onnx_};

typedef double complex cplx;

/* One integer formula serves signed and unsigned, where `x < 0` is never true. */
#pragma GCC diagnostic ignored "-Wtype-limits"
#include <rlx/elementwise.def>
