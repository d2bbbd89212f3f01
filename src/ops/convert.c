/* ops/convert.c: elementwise operations with rules of their own: cast, where, fma, stop_gradient,
 * complex_norm_sq, clamp. */
#include <complex.h>
#include <math.h>

#include "ops/block.h"
#include "ops/elementwise.h"
#include "ops/view.h"

/* --- cast */

static rlx_status cast_infer(ir_infer *c) {
  rlx_dtype to = ATTRS(cast)->to;
  RLX_TRY(infer_kinds(c, 0, KINDS_PLAIN));
  if (dtype_kind(to) == RLX_KIND_BLOCK)
    return infer_fail(c, RLX_ERROR_DTYPE, "to is %s, wanted a plain dtype", dtype_name(to));
  RLX_TRY(infer_same(c));
  c->out[0].dtype = to;
  return RLX_OK;
}

static int64_t whole_of(double v, rlx_dtype to) {
  if (isnan(v)) return 0;
  if (v < ref_lowest(to)) return (int64_t)ref_lowest(to);
  bool sign = dtype_kind(to) == RLX_KIND_INT;
  if (v < ref_above(to)) return sign ? (int64_t)v : (int64_t)(uint64_t)v;
  return sign ? ~(int64_t)ref_lowest(to) : -1; /* all bits: the largest after wrapping */
}

static ref_scalar cast_scalar(ref_scalar s, rlx_dtype to) {
  ref_scalar r = {.kind = dtype_kind(to)};
  double real = s.kind == RLX_KIND_COMPLEX ? creal(s.v.cplx)
                : s.kind == RLX_KIND_FLOAT ? s.v.real
                : s.kind == RLX_KIND_INT   ? (double)s.v.sint
                                           : (double)s.v.uint;
  bool exact = s.kind != RLX_KIND_COMPLEX && s.kind != RLX_KIND_FLOAT;
  if (r.kind == RLX_KIND_BOOL)
    r.v.uint = real != 0 || (s.kind == RLX_KIND_COMPLEX && cimag(s.v.cplx) != 0);
  else if (r.kind == RLX_KIND_FLOAT)
    r.v.real = real;
  else if (r.kind == RLX_KIND_COMPLEX)
    r.v.cplx = s.kind == RLX_KIND_COMPLEX ? s.v.cplx : real;
  else
    r.v.sint = exact ? s.v.sint : whole_of(real, to);
  return r;
}

static rlx_status cast_ref(ref_call *c) {
  for (int64_t i = 0; i < c->out[0]->count; i++)
    ref_put(c->out[0], i, cast_scalar(ref_get(c->in[0], i), c->out[0]->dtype));
  return RLX_OK;
}

/* MLX leaves float to integer undefined outside the range, so only what is inside goes through. The
 * bounds are powers of two and exact in f32. */
static mx saturated(mx_ctx *m, mx x, rlx_dtype from, rlx_dtype to) {
  mx low = mx_scalar(m, from, ref_lowest(to)), above = mx_scalar(m, from, ref_above(to));
  mx under = mx_lt(m, x, low), over = mx_ge(m, x, above);
  mx inside = mx_logical_and(m, mx_ge(m, x, low), mx_lt(m, x, above));
  mx least = mx_scalar(m, to, ref_lowest(to));
  mx r = mx_cast(m, mx_where(m, inside, x, mx_scalar(m, from, 0)), to);
  return mx_where(m, under, least, mx_where(m, over, mx_bit_not(m, least), r));
}

static void cast_lower(lower_call *c) {
  rlx_dtype from = lower_in_type(c, 0)->dtype, to = lower_out_type(c, 0)->dtype;
  mx x = c->in[0];
  rlx_dtype_kind kind = dtype_kind(to);
  if (from == to) {
    c->out[0] = x;
    return;
  }
  if (kind == RLX_KIND_BOOL) {
    c->out[0] = mx_ne(c->m, x, mx_scalar(c->m, from, 0));
    return;
  }
  if (dtype_kind(from) == RLX_KIND_COMPLEX) {
    x = mx_real(c->m, x);
    from = RLX_F32;
  }
  if (dtype_kind(from) == RLX_KIND_FLOAT && (kind == RLX_KIND_INT || kind == RLX_KIND_UINT)) {
    if (from != RLX_F64) x = mx_cast(c->m, x, from = RLX_F32);
    c->out[0] = saturated(c->m, x, from, to);
  } else {
    c->out[0] = mx_cast(c->m, x, to);
  }
}

static rlx_val cast_vjp(expr_call *c, int i) {
  (void)i;
  rlx_dtype from = rlx_val_dtype(c->b, c->in[0]);
  if (from == RLX_DTYPE_COUNT || dtype_kind(from) != RLX_KIND_FLOAT) return RLX_NIL;
  return expr_cast(c->b, c->grad, from);
}

/* Integers to integers keep their value, if it fits. */
static rlx_status cast_content(ir_infer *c, const rlx_dim *const *in, rlx_dim *out) {
  if (!in[0]) return RLX_ERROR_UNSUPPORTED;
  for (int64_t i = 0; i < infer_count(&c->out[0]); i++) {
    out[i] = in[0][i];
    if (!infer_holds(&c->out[0], out[i])) return RLX_ERROR_UNSUPPORTED;
  }
  return RLX_OK;
}

RLX_BLOCK(cast) = {
    .infer = cast_infer,
    .ref = cast_ref,
    .tile = "cast",
    .lower = cast_lower,
    .vjp = cast_vjp,
    .content = cast_content,
    .cases = CASES("f32[2,3] to=f64; f32[2,3]{-400:400} to=i8; f32[2,3]{-400:400} to=u8;"
                   "f32[7]{1e30,-1e30,inf,-inf,nan,-1.9,2.9} to=i32;"
                   "f32[7]{1e30,-1e30,inf,-inf,nan,-1.9,2.9} to=u32;"
                   "f32[7]{1e30,-1e30,inf,-inf,nan,-1.9,2.9} to=i64;"
                   "f32[7]{1e30,-1e30,inf,-inf,nan,-1.9,2.9} to=u64;"
                   "f16[7]{6e4,-6e4,inf,-inf,nan,-1.9,2.9} to=i16;"
                   "bf16[7]{1e30,-1e30,inf,-inf,nan,-1.9,2.9} to=i32;"
                   "f64[7]{1e30,-1e30,inf,-inf,nan,-1.9,2.9} to=i64; f64[4] to=c64;"
                   "i32[4]{300,-1,128,0} to=i8; i32[4]{300,-1,128,0} to=u64; i64[4] to=f32;"
                   "u64[2]{18446744073709551615,3} to=i64; u8[3]{200,1,0} to=f16; i32[3] to=bool;"
                   "f32[4]{0,-0.0,nan,0.5} to=bool; bool[3] to=f32; bool[3] to=i64; f32[3] to=bf16;"
                   "f32[3] to=f16; c64[3] to=f32; c64[3] to=bool; c64[3] to=i32; f16[3] to=c64;"
                   "f32[0,3] to=i32; f32[] to=i32; f32[2] to=f32; f32[2] to=q4_0 !dtype;"
                   "f32[2] !argument"),
};

/* --- bitcast */

static rlx_status bitcast_infer(ir_infer *c) {
  const rlx_dtype from = c->in[0].dtype, to = ATTRS(bitcast)->to;
  RLX_TRY(infer_kinds(c, 0, KINDS_PLAIN));
  if (to >= RLX_DTYPE_COUNT || dtype_kind(to) == RLX_KIND_BLOCK ||
      dtype_bytes(to) != dtype_bytes(from) || (to == RLX_BOOL && from != RLX_BOOL))
    return infer_fail(c, RLX_ERROR_DTYPE, "the elements cannot be read as another type");
  RLX_TRY(infer_same(c));
  c->out[0].dtype = to;
  return RLX_OK;
}

static rlx_status bitcast_ref(ref_call *c) {
  ref_copy_all(c->out[0], c->in[0]);
  return RLX_OK;
}

static void bitcast_lower(lower_call *c) {
  c->out[0] = mx_view(c->m, c->in[0], ATTRS(bitcast)->to);
}

RLX_BLOCK(bitcast) = {
    .infer = bitcast_infer,
    .ref = bitcast_ref,
    .lower = bitcast_lower,
    .view = view_same,
    .no_grad = "bits",
    .onnx = "BitCast-26 to",
    .cases = CASES("f32[2,3] to=i32; i32[2,3]{-99:99} to=f32; f64[3] to=i64; u64[3] to=f64; c64[2] "
                   "to=f64; f16[3] to=u16; bf16[3] to=f16; i8[4]{-128:128} to=u8; bool[3] to=u8;"
                   "f32[0] to=u32; f32[] to=u32; bool[2] to=bool; u8[2] to=bool !dtype;"
                   "f32[2] to=i64 !dtype; f32[2] to=q4_0 !dtype; f32[2] !argument"),
};

/* --- where */

static rlx_status where_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_BOOL));
  RLX_TRY(infer_kinds(c, 1, KINDS_PLAIN));
  RLX_TRY(infer_same_dtype(c, 1, 2));
  RLX_TRY(infer_broadcast_dims(c, &c->in[1], &c->in[2], &c->out[0]));
  RLX_TRY(infer_broadcast_dims(c, &c->out[0], &c->in[0], &c->out[0]));
  return RLX_OK;
}

static rlx_status where_ref(ref_call *c) {
  const rlx_tensor *condition = c->in[0];
  rlx_tensor *out = c->out[0];
  int64_t coord[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < out->count; i++) {
    bool yes = tensor_int(condition, ref_broadcast_index(condition, out->rank, coord)) != 0;
    const rlx_tensor *from = c->in[yes ? 1 : 2];
    ref_copy(out, i, from, ref_broadcast_index(from, out->rank, coord));
    ref_next(out->rank, out->dims, coord);
  }
  return RLX_OK;
}

static void where_lower(lower_call *c) {
  c->out[0] = mx_where(c->m, c->in[0], c->in[1], c->in[2]);
}

static rlx_val where_vjp(expr_call *c, int i) {
  if (i == 0) return RLX_NIL;
  rlx_val zero = rlx_scalar(c->b, rlx_val_dtype(c->b, c->grad), 0);
  return rlx_where(c->b, c->in[0], i == 1 ? c->grad : zero, i == 1 ? zero : c->grad);
}

RLX_BLOCK(where) = {
    .infer = where_infer,
    .ref = where_ref,
    .tile = "where",
    .lower = where_lower,
    .vjp = where_vjp,
    .onnx = "Where-9",
    .cases = CASES("bool[2,3], f32[2,3], f32[2,3]; bool[3], f32[2,1], f32[];"
                   "bool[], i64[2], i64[2];"
                   "bool[2,1], u8[3], u8[1]; bool[2], c64[2], c64[2]; bool[2], bool[2], bool[2];"
                   "bool[0], f64[0], f64[1]; bool[2,2], f16[2,2], f16[2,2];"
                   "bool[2], f32[2], f16[2] !dtype; f32[2], f32[2], f32[2] !dtype;"
                   "bool[2], f32[3], f32[3] !shape"),
};

/* --- fma */

static rlx_status fma_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_NUMBER | KINDS_COMPLEX));
  return infer_broadcast(c);
}

static rlx_status fma_ref(ref_call *c) {
  rlx_tensor *out = c->out[0];
  int64_t coord[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < out->count; i++) {
    ref_scalar v[3];
    for (int k = 0; k < 3; k++)
      v[k] = ref_get(c->in[k], ref_broadcast_index(c->in[k], out->rank, coord));
    v[0] = elementwise_apply(&row_mul, NULL, v[0], v[1]);
    ref_put(out, i, elementwise_apply(&row_add, NULL, v[0], v[2]));
    ref_next(out->rank, out->dims, coord);
  }
  return RLX_OK;
}

static rlx_val fma_expand(expr_call *c) {
  return rlx_add(c->b, rlx_mul(c->b, c->in[0], c->in[1]), c->in[2]);
}

RLX_BLOCK(fma) = {
    .infer = fma_infer,
    .ref = fma_ref,
    .tile = "fma",
    .expand = fma_expand,
    .cases = CASES("f32[2,3], f32[2,3], f32[2,3]; f32[2,1], f32[3], f32[]; i8[3], i8[3], i8[3];"
                   "u64[2], u64[1], u64[2]; c64[2], c64[2], c64[2]; f64[0,2], f64[2], f64[1];"
                   "bf16[4], bf16[4], bf16[4]; f16[4], f16[4], f16[4];"
                   "f32[2], f32[2], f64[2] !dtype; f32[2], f32[3], f32[2] !shape"),
};

/* --- stop_gradient */

static rlx_status stop_gradient_ref(ref_call *c) {
  ref_copy_all(c->out[0], c->in[0]);
  return RLX_OK;
}

static void stop_gradient_lower(lower_call *c) { c->out[0] = c->in[0]; }

RLX_BLOCK(stop_gradient) = {
    .infer = infer_same,
    .ref = stop_gradient_ref,
    .lower = stop_gradient_lower,
    .view = view_same,
    .no_grad = "stopping it is what the operation is for",
    .cases = CASES("f32[2,3]; i64[]; c64[2]; bool[3]; f16[0,2]"),
};

/* --- complex_norm_sq */

static rlx_status complex_norm_sq_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_COMPLEX));
  RLX_TRY(infer_same(c));
  c->out[0].dtype = RLX_F32;
  return RLX_OK;
}

static rlx_status complex_norm_sq_ref(ref_call *c) {
  for (int64_t i = 0; i < c->out[0]->count; i++) {
    double complex z = tensor_complex(c->in[0], i);
    tensor_set_real(c->out[0], i, creal(z) * creal(z) + cimag(z) * cimag(z));
  }
  return RLX_OK;
}

static void complex_norm_sq_lower(lower_call *c) {
  mx re = mx_square(c->m, mx_real(c->m, c->in[0])), im = mx_square(c->m, mx_imag(c->m, c->in[0]));
  c->out[0] = mx_add(c->m, re, im);
}

RLX_BLOCK(complex_norm_sq) = {
    .infer = complex_norm_sq_infer,
    .ref = complex_norm_sq_ref,
    .lower = complex_norm_sq_lower,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("c64[2,3]; c64[]; c64[0]; f32[2] !dtype"),
};

/* --- clamp */

/* The bounds in whole numbers where elements are; a bound that all elements keep does not bind. */
typedef struct bounds {
  double low, high;
  bool low_binds, high_binds;
} bounds;

static bounds bounds_of(rlx_dtype dtype, const rlx_clamp_attrs *a) {
  const bool whole = dtype_kind(dtype) != RLX_KIND_FLOAT;
  bounds b = {.low = whole ? ceil(a->min) : a->min, .high = whole ? floor(a->max) : a->max};
  b.low_binds = b.low > ref_lowest(dtype);
  b.high_binds = b.high < ref_above(dtype) - (whole ? 1 : 0);
  return b;
}

static rlx_status clamp_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_NUMBER));
  const rlx_dtype dtype = c->in[0].dtype;
  const bounds b = bounds_of(dtype, c->attrs);
  if ((b.low_binds && !infer_fits(dtype, b.low)) || (b.high_binds && !infer_fits(dtype, b.high)))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "min is %g and max %g, no %s is within", b.low, b.high,
                      dtype_name(dtype));
  return infer_same(c);
}

static rlx_status clamp_ref(ref_call *c) {
  const rlx_dtype dtype = c->in[0]->dtype;
  const bounds b = bounds_of(dtype, c->attrs);
  for (int64_t i = 0; i < c->out[0]->count; i++) {
    ref_scalar s = ref_get(c->in[0], i);
    if (b.low_binds) s = elementwise_apply(&row_maximum, NULL, s, ref_number(dtype, b.low));
    if (b.high_binds) s = elementwise_apply(&row_minimum, NULL, s, ref_number(dtype, b.high));
    ref_put(c->out[0], i, s);
  }
  return RLX_OK;
}

static rlx_val clamp_expand(expr_call *c) {
  rlx_val x = c->in[0];
  const bounds b = bounds_of(rlx_val_dtype(c->b, x), c->attrs);
  if (b.low_binds) x = rlx_maximum(c->b, x, expr_scalar(c, b.low));
  if (b.high_binds) x = rlx_minimum(c->b, x, expr_scalar(c, b.high));
  return x;
}

RLX_BLOCK(clamp) = {
    .infer = clamp_infer,
    .ref = clamp_ref,
    .tile = "clamp",
    .expand = clamp_expand,
    .cases = CASES("f32[3,4]; f32[3,4] min=-0.25 max=0.5; f64[2,3] max=0.5; f16[9] min=-0.1;"
                   "bf16[9] min=-0.1 max=0.3; f32[] min=2; f32[0,3] max=1;"
                   "f32[7]{nan,inf,-inf,0,-80,3,-3} min=-1 max=2; f32[3]{0,2,3} min=2 max=1;"
                   "i8[5]{-128,127,0,5,-5} min=-4.5 max=4.5; u8[4]{0,255,3,9} min=-4 max=4;"
                   "i16[4]{-9:9} min=-3 max=3; u16[4]{0:9} min=2 max=70000; i32[9]{-9:9} max=-2;"
                   "u32[4]{0:9} min=2; u64[3]{18446744073709551615,3,9} max=5;"
                   "i64[3]{-9223372036854775808,9223372036854775807,3} min=-3 max=4;"
                   "u8[2] max=-1 !argument; i8[2] min=127.5 !argument; bool[2] !dtype;"
                   "c64[2] !dtype"),
};
