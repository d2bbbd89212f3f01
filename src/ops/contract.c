/* ops/contract.c: sums of products: matmul, linear, dot_general, grouped_matmul, lora_matmul.
 *
 * Laws: integers are exact modulo their width, which MLX's matrix product is not made for; a sum
 * over nothing is 0. */
#include <string.h>

#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/index.h"

#define CONTRACTED (KINDS_NUMBER | KINDS_COMPLEX)

/* --- references: how far x and y move along each axis of the output and of the sum */

typedef struct axis_step {
  int64_t n, x, y;
} axis_step;

typedef struct contraction {
  size_t n_out, n_sum;
  axis_step out[RLX_MAX_RANK], sum[RLX_MAX_RANK];
} contraction;

static void add_axis(contraction *p, bool summed, int64_t n, int64_t x_step, int64_t y_step) {
  axis_step *to = summed ? &p->sum[p->n_sum++] : &p->out[p->n_out++];
  *to = (axis_step){n, x_step, y_step};
}

/* Advances coordinates and both positions; false after the last. */
static bool advance(const axis_step *axes, size_t n_axes, int64_t *coord, int64_t *x, int64_t *y) {
  for (size_t i = n_axes; i-- > 0;) {
    *x += axes[i].x;
    *y += axes[i].y;
    if (++coord[i] < axes[i].n) return true;
    *x -= axes[i].n * axes[i].x;
    *y -= axes[i].n * axes[i].y;
    coord[i] = 0;
  }
  return false;
}

static int64_t size_of(const axis_step *axes, size_t n_axes) {
  int64_t size = 1;
  for (size_t i = 0; i < n_axes; i++) size *= axes[i].n;
  return size;
}

/* An operand that is read many times: floats as doubles, others element by element. */
typedef struct factor {
  const rlx_tensor *t;
  double *real;
} factor;

static void close_factors(factor *list, size_t n) {
  for (size_t i = 0; i < n; i++) mem_free(list[i].real);
}

static rlx_status open_factors(factor *list, rlx_tensor *const *in, size_t n) {
  for (size_t i = 0; i < n; i++) list[i] = (factor){.t = in[i]};
  for (size_t i = 0; i < n && dtype_kind(in[i]->dtype) == RLX_KIND_FLOAT; i++) {
    list[i].real = mem_new((size_t)in[i]->count + 1, sizeof *list[i].real);
    if (!list[i].real) {
      close_factors(list, n);
      return status_memory((size_t)in[i]->count * sizeof *list[i].real);
    }
    for (int64_t k = 0; k < in[i]->count; k++) list[i].real[k] = tensor_real(in[i], k);
  }
  return RLX_OK;
}

static ref_scalar dot(const contraction *p, const factor *x, int64_t xi, const factor *y,
                      int64_t yi) {
  int64_t coord[RLX_MAX_RANK] = {0};
  ref_scalar sum = ref_number(x->t->dtype, 0);
  if (size_of(p->sum, p->n_sum) == 0) return sum;
  do {
    if (x->real) {
      sum.v.real += x->real[xi] * y->real[yi];
    } else {
      const ref_scalar a = ref_get(x->t, xi), b = ref_get(y->t, yi);
      sum = elementwise_apply(&row_add, NULL, sum, elementwise_apply(&row_mul, NULL, a, b));
    }
  } while (advance(p->sum, p->n_sum, coord, &xi, &yi));
  return sum;
}

/* Fills the output from element `at` on; x and y begin at xi and yi. */
static void contract(const contraction *p, rlx_tensor *out, int64_t at, const factor *x, int64_t xi,
                     const factor *y, int64_t yi) {
  int64_t coord[RLX_MAX_RANK] = {0};
  if (size_of(p->out, p->n_out) == 0) return;
  do ref_put(out, at++, dot(p, x, xi, y, yi));
  while (advance(p->out, p->n_out, coord, &xi, &yi));
}

/* All of the output from the first two operands. */
static rlx_status contract_all(const contraction *p, ref_call *c) {
  factor f[2];
  RLX_TRY(open_factors(f, c->in, 2));
  contract(p, c->out[0], 0, &f[0], 0, &f[1], 0);
  close_factors(f, 2);
  return RLX_OK;
}

/* --- onto MLX: a [.., M, K] times b [.., K, N] */

/* The array with one more axis, of size 1, before `axis`. */
static mx with_axis(lower_call *c, mx a, size_t axis) {
  int64_t dims[RLX_MAX_RANK + 1];
  const size_t rank = mx_rank(a);
  for (size_t i = 0; i <= rank; i++) dims[i] = i == axis ? 1 : mx_dim(a, i - (i > axis));
  return mx_reshape(c->m, a, rank + 1, dims);
}

/* Narrow integers multiply exactly in f64, where a CPU has a fast product; wide ones are multiplied
 * one by one and added up, which takes memory for M x K x N elements. */
static mx integer_product(lower_call *c, rlx_dtype dtype, mx a, mx b, int64_t k) {
  if (mx_ctx_status(c->m) != RLX_OK) return NULL;
  if (dtype_bytes(dtype) <= 2 && k < 1 << 20 && mx_ctx_device(c->m) == MX_CPU) {
    const mx wide = mx_matmul(c->m, mx_cast(c->m, a, RLX_F64), mx_cast(c->m, b, RLX_F64));
    return mx_cast(c->m, mx_cast(c->m, wide, RLX_I64), dtype);
  }
  const size_t a_rank = mx_rank(a), b_rank = mx_rank(b);
  const mx products = mx_mul(c->m, with_axis(c, a, a_rank), with_axis(c, b, b_rank - 2));
  const int axis = (int)(a_rank > b_rank ? a_rank : b_rank) - 1;
  return mx_cast(c->m, mx_reduce_sum(c->m, products, &axis, 1, false), dtype);
}

static mx product(lower_call *c, rlx_dtype dtype, mx a, mx b, int64_t k) {
  const rlx_dtype_kind kind = dtype_kind(dtype);
  return kind == RLX_KIND_FLOAT || kind == RLX_KIND_COMPLEX ? mx_matmul(c->m, a, b)
                                                            : integer_product(c, dtype, a, b, k);
}

static mx as_output(lower_call *c, mx a) {
  const ir_type *out = lower_out_type(c, 0);
  return mx_reshape(c->m, a, out->rank, out->dims);
}

/* --- matmul */

static ir_type batch_of(const ir_type *t) {
  return (ir_type){t->dtype, t->rank > 2 ? t->rank - 2 : 0, t->dims};
}

rlx_status matmul_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *y = &c->in[1];
  RLX_TRY(infer_kinds(c, 0, CONTRACTED));
  RLX_TRY(infer_same_dtype(c, 0, 1));
  RLX_TRY(infer_rank(c, 0, 1, RLX_MAX_RANK));
  RLX_TRY(infer_rank(c, 1, 1, RLX_MAX_RANK));
  const rlx_dim kx = x->dims[x->rank - 1], ky = y->dims[y->rank > 1 ? y->rank - 2 : 0];
  if (infer_differ(kx, ky))
    return infer_fail(c, RLX_ERROR_SHAPE, "x has %lld columns, y %lld rows", (long long)kx,
                      (long long)ky);
  const ir_type x_batch = batch_of(x), y_batch = batch_of(y);
  ir_type batch;
  RLX_TRY(infer_broadcast_dims(c, &x_batch, &y_batch, &batch));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, batch.rank + (x->rank > 1) + (y->rank > 1), &dims));
  for (uint32_t i = 0; i < batch.rank; i++) *dims++ = batch.dims[i];
  if (x->rank > 1) *dims++ = x->dims[x->rank - 2];
  if (y->rank > 1) *dims++ = y->dims[y->rank - 1];
  return RLX_OK;
}

/* Steps of `t` along the batch axes of a product of `n` of them, where it is broadcast. */
static void batch_steps(const rlx_tensor *t, size_t n, int64_t *steps) {
  int64_t strides[RLX_MAX_RANK];
  const size_t own = t->rank > 2 ? t->rank - 2 : 0;
  ref_strides(t->rank, t->dims, strides);
  for (size_t i = 0; i < n; i++) {
    const bool moves = i + own >= n && t->dims[i + own - n] != 1;
    steps[i] = moves ? strides[i + own - n] : 0;
  }
}

rlx_status matmul_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0], *y = c->in[1];
  const size_t n_batch = c->out[0]->rank - (x->rank > 1) - (y->rank > 1);
  const int64_t k = x->dims[x->rank - 1], n = y->rank > 1 ? y->dims[y->rank - 1] : 1;
  int64_t x_steps[RLX_MAX_RANK], y_steps[RLX_MAX_RANK];
  batch_steps(x, n_batch, x_steps);
  batch_steps(y, n_batch, y_steps);
  contraction p = {0};
  for (size_t i = 0; i < n_batch; i++)
    add_axis(&p, false, c->out[0]->dims[i], x_steps[i], y_steps[i]);
  if (x->rank > 1) add_axis(&p, false, x->dims[x->rank - 2], k, 0);
  if (y->rank > 1) add_axis(&p, false, n, 0, 1);
  add_axis(&p, true, k, 1, n);
  return contract_all(&p, c);
}

mx matmul_of(lower_call *c, rlx_dtype dtype, mx a, mx b) {
  const ir_type *x = lower_in_type(c, 0), *y = lower_in_type(c, 1);
  const int64_t k = x->dims[x->rank - 1];
  if (x->rank == 1) a = mx_reshape(c->m, a, 2, (const int64_t[]){1, k});
  if (y->rank == 1) b = mx_reshape(c->m, b, 2, (const int64_t[]){k, 1});
  return as_output(c, product(c, dtype, a, b, k));
}

static void matmul_lower(lower_call *c) {
  c->out[0] = matmul_of(c, lower_in_type(c, 0)->dtype, c->in[0], c->in[1]);
}

RLX_BLOCK(matmul) = {
    .products = true,
    .infer = matmul_infer,
    .ref = matmul_ref,
    .lower = matmul_lower,
    .kernel = &matmul_kernel,
    .no_grad = NO_GRAD_YET,
    .onnx = "MatMul-1",
    .cases = CASES(
        "f32[2,3], f32[3,4]; f32[3], f32[3]; f32[3], f32[3,2]; f32[2,3], f32[3];"
        "f32[5,2,3], f32[3,4]; f32[2,3], f32[5,3,4]; f32[2,1,2,3], f32[3,3,2]; f32[4,2,3], f32[3];"
        "f32[3], f32[4,3,2]; f32[2,0], f32[0,3]; f32[0,2], f32[2,3]; f32[2,3], f32[3,0];"
        "f32[0,2,3], f32[3,1]; f32[0], f32[0]; f64[3,5], f64[5,2]; f64[2,0], f64[0,2];"
        "f16[4,8], f16[8,3]; bf16[4,8], bf16[8,3]; f16[2,0], f16[0,3]; c64[3,5], c64[5,2];"
        "c64[2,0], c64[0,2]; i8[3,9]{-128:128}, i8[9,4]{-128:128}; u8[3,9]{0:256}, u8[9,4]{0:256};"
        "i16[2,5]{-32768:32768}, i16[5,2]{-32768:32768}; u16[2,5]{0:65536}, u16[5,2]{0:65536};"
        "i32[2,5]{-99999:99999}, i32[5,2]{-99999:99999}; u32[2,5]{0:99999}, u32[5,2]{0:99999};"
        "i64[3,2,5], i64[5,2]; i64[5], i64[3,5,2]; u64[5], u64[5]; i32[2,0], i32[0,3];"
        "i8[2,0], i8[0,3]; f32[2,3], f32[4,2] !shape; f32[2,3], f64[3,2] !dtype;"
        "bool[2,2], bool[2,2] !dtype; f32[], f32[2] !shape; f32[2,2,3], f32[3,3,2] !shape"),
};

/* --- linear */

static rlx_status linear_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_same_dtype(c, 0, 2));
  RLX_TRY(infer_rank(c, 0, 2, RLX_MAX_RANK));
  RLX_TRY(infer_rank(c, 1, 2, 2));
  RLX_TRY(infer_rank(c, 2, 1, 1));
  if (infer_differ(c->in[1].dims[1], c->in[2].dims[0]))
    return infer_fail(c, RLX_ERROR_SHAPE, "y has %lld columns, z %lld elements",
                      (long long)c->in[1].dims[1], (long long)c->in[2].dims[0]);
  return matmul_infer(c);
}

static rlx_status linear_ref(ref_call *c) {
  RLX_TRY(matmul_ref(c));
  for (int64_t i = 0; i < c->out[0]->count; i++)
    tensor_set_real(c->out[0], i,
                    tensor_real(c->out[0], i) + tensor_real(c->in[2], i % c->in[2]->count));
  return RLX_OK;
}

static rlx_val linear_expand(expr_call *c) {
  return rlx_add(c->b, rlx_matmul(c->b, c->in[0], c->in[1]), c->in[2]);
}

static void linear_lower(lower_call *c) {
  const mx x = c->in[0], y = c->in[1], z = c->in[2];
  const bool nothing = lower_in_type(c, 1)->dims[0] == 0; /* to sum: addmm refuses it */
  c->out[0] = nothing ? mx_add(c->m, mx_matmul(c->m, x, y), z) : mx_addmm(c->m, x, y, z);
}

RLX_BLOCK(linear) = {
    .products = true,
    .infer = linear_infer,
    .ref = linear_ref,
    .expand = linear_expand,
    .lower = linear_lower,
    .kernel = &linear_kernel,
    .cases = CASES("f32[2,3], f32[3,4], f32[4]; f32[5,2,3], f32[3,4], f32[4]; f64[2,3], f64[3,4], "
                   "f64[4]; f16[4,8], f16[8,3], f16[3]; bf16[4,8], bf16[8,3], bf16[3];"
                   "f32[2,0], f32[0,3], "
                   "f32[3]; f32[0,2], f32[2,3], f32[3]; f32[2,3], f32[3,4], f32[3] !shape;"
                   "f32[3], f32[3,4], f32[4] !shape; f32[2,3], f32[3,4], f32[1,4] !shape;"
                   "f32[2,3], f32[2,4], f32[4] !shape; i32[2,3], i32[3,4], i32[4] !dtype;"
                   "f32[2,3], f32[3,4], f16[4] !dtype"),
};

/* --- dot_general */

static rlx_status check_pairs(ir_infer *c, const char *what, rlx_ints x, rlx_ints y) {
  if (x.n != y.n)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%zu %s axes of x and %zu of y", x.n, what, y.n);
  for (size_t i = 0; i < x.n; i++) {
    const rlx_dim dx = c->in[0].dims[x.data[i]], dy = c->in[1].dims[y.data[i]];
    if (infer_differ(dx, dy))
      return infer_fail(c, RLX_ERROR_SHAPE, "%s axes %lld and %lld have the sizes %lld and %lld",
                        what, (long long)x.data[i], (long long)y.data[i], (long long)dx,
                        (long long)dy);
  }
  return RLX_OK;
}

static rlx_status dot_general_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *y = &c->in[1];
  rlx_dot_general_attrs *a = OWN_ATTRS(dot_general);
  bool x_used[RLX_MAX_RANK] = {0}, y_used[RLX_MAX_RANK] = {0};
  RLX_TRY(infer_kinds(c, 0, CONTRACTED));
  RLX_TRY(infer_same_dtype(c, 0, 1));
  RLX_TRY(infer_axes_of(c, &a->x_batch, x->rank, x_used));
  RLX_TRY(infer_axes_of(c, &a->y_batch, y->rank, y_used));
  RLX_TRY(infer_axes_of(c, &a->x_contract, x->rank, x_used));
  RLX_TRY(infer_axes_of(c, &a->y_contract, y->rank, y_used));
  RLX_TRY(check_pairs(c, "batch", a->x_batch, a->y_batch));
  RLX_TRY(check_pairs(c, "contracted", a->x_contract, a->y_contract));
  rlx_dim *dims;
  const size_t gone = a->x_batch.n + 2 * a->x_contract.n;
  RLX_TRY(infer_result(c, x->dtype, x->rank + y->rank - gone, &dims));
  for (size_t i = 0; i < a->x_batch.n; i++)
    *dims++ = infer_either(x->dims[a->x_batch.data[i]], y->dims[a->y_batch.data[i]]);
  for (uint32_t i = 0; i < x->rank; i++)
    if (!x_used[i]) *dims++ = x->dims[i];
  for (uint32_t i = 0; i < y->rank; i++)
    if (!y_used[i]) *dims++ = y->dims[i];
  return RLX_OK;
}

/* The axes in neither list; how many. */
static size_t rest_of(size_t rank, rlx_ints a, rlx_ints b, int64_t *out_rest) {
  bool used[RLX_MAX_RANK] = {0};
  size_t n = 0;
  for (size_t i = 0; i < a.n; i++) used[a.data[i]] = true;
  for (size_t i = 0; i < b.n; i++) used[b.data[i]] = true;
  for (size_t i = 0; i < rank; i++)
    if (!used[i]) out_rest[n++] = (int64_t)i;
  return n;
}

static rlx_status dot_general_ref(ref_call *c) {
  const rlx_dot_general_attrs *a = c->attrs;
  const rlx_tensor *x = c->in[0], *y = c->in[1];
  int64_t xs[RLX_MAX_RANK], ys[RLX_MAX_RANK], rest[RLX_MAX_RANK];
  ref_strides(x->rank, x->dims, xs);
  ref_strides(y->rank, y->dims, ys);
  contraction p = {0};
  for (size_t i = 0; i < a->x_batch.n; i++)
    add_axis(&p, false, x->dims[a->x_batch.data[i]], xs[a->x_batch.data[i]],
             ys[a->y_batch.data[i]]);
  size_t n = rest_of(x->rank, a->x_batch, a->x_contract, rest);
  for (size_t i = 0; i < n; i++) add_axis(&p, false, x->dims[rest[i]], xs[rest[i]], 0);
  n = rest_of(y->rank, a->y_batch, a->y_contract, rest);
  for (size_t i = 0; i < n; i++) add_axis(&p, false, y->dims[rest[i]], 0, ys[rest[i]]);
  for (size_t i = 0; i < a->x_contract.n; i++)
    add_axis(&p, true, x->dims[a->x_contract.data[i]], xs[a->x_contract.data[i]],
             ys[a->y_contract.data[i]]);
  return contract_all(&p, c);
}

/* Axes of an operand in a new order, each list merged into one axis. */
static mx merged(lower_call *c, size_t operand, const rlx_ints *lists) {
  const ir_type *t = lower_in_type(c, operand);
  int64_t perm[RLX_MAX_RANK], sizes[3] = {1, 1, 1};
  size_t n = 0;
  for (size_t k = 0; k < 3; k++)
    for (size_t i = 0; i < lists[k].n; i++) {
      perm[n++] = lists[k].data[i];
      sizes[k] *= t->dims[lists[k].data[i]];
    }
  return mx_reshape(c->m, mx_transpose(c->m, c->in[operand], mx_ints(c->m, perm, n), n), 3, sizes);
}

static void dot_general_lower(lower_call *c) {
  const rlx_dot_general_attrs *a = c->attrs;
  const ir_type *x = lower_in_type(c, 0), *y = lower_in_type(c, 1);
  int64_t xr[RLX_MAX_RANK], yr[RLX_MAX_RANK], k = 1;
  const rlx_ints x_rest = {xr, rest_of(x->rank, a->x_batch, a->x_contract, xr)};
  const rlx_ints y_rest = {yr, rest_of(y->rank, a->y_batch, a->y_contract, yr)};
  for (size_t i = 0; i < a->x_contract.n; i++) k *= x->dims[a->x_contract.data[i]];
  const mx left = merged(c, 0, (const rlx_ints[]){a->x_batch, x_rest, a->x_contract});
  const mx right = merged(c, 1, (const rlx_ints[]){a->y_batch, a->y_contract, y_rest});
  c->out[0] = as_output(c, product(c, x->dtype, left, right, k));
}

RLX_BLOCK(dot_general) = {
    .products = true,
    .infer = dot_general_infer,
    .ref = dot_general_ref,
    .lower = dot_general_lower,
    .kernel = &dot_general_kernel,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[2,3], f32[3,4] x_contract=[1] y_contract=[0];"
                   "f32[2,3,4], f32[4,3,5] x_contract=[2,1] y_contract=[0,1];"
                   "f32[3,2,4], f32[5,4,3] x_contract=[-1] y_contract=[1] x_batch=[0] y_batch=[-1];"
                   "f32[2], f32[3]; f32[2,3], f32[2,3] x_contract=[0,1] y_contract=[0,1];"
                   "f32[2,3], f32[2,3] x_batch=[0,1] y_batch=[0,1]; f32[], f32[];"
                   "i64[2,3,4], i64[2,4] x_batch=[0] y_batch=[0] x_contract=[2] y_contract=[1];"
                   "f64[2,3], f64[3] x_contract=[1] y_contract=[0];"
                   "c64[2,3], c64[2,3] x_contract=[0] y_contract=[0];"
                   "i8[4,5]{-9:9}, i8[5]{-9:9} x_contract=[1] y_contract=[0];"
                   "f32[2,0], f32[0,3] x_contract=[1] y_contract=[0];"
                   "f32[0,2], f32[2] x_contract=[1] y_contract=[0];"
                   "f32[2,3], f32[2,3] x_contract=[0] y_contract=[1] !shape;"
                   "f32[2,2], f32[2] x_contract=[0,0] y_contract=[0,0] !argument;"
                   "f32[2], f32[2] x_contract=[0] !argument;"
                   "f32[2], f32[2] x_contract=[1] y_contract=[0] !shape;"
                   "f32[2], f32[3] x_contract=[-2] !shape;"
                   "f32[2], f32[2] x_contract=[0] y_contract=[0] x_batch=[0] y_batch=[0] !argument;"
                   "bool[2], bool[2] x_contract=[0] y_contract=[0] !dtype"),
};

/* --- grouped_matmul: x [.., M, K], bank [E, K, N], one matrix index per row */

static rlx_status grouped_matmul_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *bank = &c->in[1], *which = &c->in[2];
  RLX_TRY(infer_kinds(c, 0, CONTRACTED));
  RLX_TRY(infer_same_dtype(c, 0, 1));
  RLX_TRY(infer_rank(c, 0, 2, RLX_MAX_RANK));
  RLX_TRY(infer_rank(c, 1, 3, 3));
  RLX_TRY(infer_rank(c, 2, 1, 1));
  RLX_TRY(index_infer(c, 2, bank->dims[0]));
  const rlx_dim m = x->dims[x->rank - 2], k = x->dims[x->rank - 1];
  if (infer_differ(k, bank->dims[1]))
    return infer_fail(c, RLX_ERROR_SHAPE, "x has %lld columns, y %lld rows", (long long)k,
                      (long long)bank->dims[1]);
  if (infer_differ(m, which->dims[0]))
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld indices for %lld rows", (long long)which->dims[0],
                      (long long)m);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  memcpy(dims, x->dims, x->rank * sizeof *dims);
  dims[x->rank - 1] = bank->dims[2];
  return RLX_OK;
}

static rlx_status grouped_matmul_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0], *bank = c->in[1];
  const int64_t m = x->dims[x->rank - 2], k = bank->dims[1], n = bank->dims[2];
  const int64_t rows = ref_product(x->dims, x->rank - 1u);
  contraction p = {0};
  add_axis(&p, false, n, 0, 1);
  add_axis(&p, true, k, 1, n);
  factor f[2];
  RLX_TRY(open_factors(f, c->in, 2));
  rlx_status status = RLX_OK;
  for (int64_t i = 0, e; i < rows && status == RLX_OK; i++) {
    status = ref_index(tensor_int(c->in[2], i % m), bank->dims[0], &e);
    if (status == RLX_OK) contract(&p, c->out[0], i * n, &f[0], i * k, &f[1], e * k * n);
  }
  close_factors(f, 2);
  return status;
}

/* MLX picks the matrices itself for floats of up to 32 bits; others get a copy per row. */
static void grouped_matmul_lower(lower_call *c) {
  const ir_type *x = lower_in_type(c, 0), *bank = lower_in_type(c, 1);
  const int64_t m = x->dims[x->rank - 2], k = bank->dims[1];
  const int64_t lead = ref_product(x->dims, x->rank - 2u);
  const mx which = lower_indices(c, 2, bank->dims[0]);
  if (k == 0) {
    c->out[0] = lower_zeros(c);
    return;
  }
  mx rows = mx_reshape(c->m, c->in[0], 4, (const int64_t[]){lead, m, 1, k}), result;
  if (dtype_kind(x->dtype) == RLX_KIND_FLOAT && x->dtype != RLX_F64) {
    const mx each = mx_broadcast_to(c->m, which, 2, (const int64_t[]){lead, m});
    const mx matrices = mx_cast(c->m, c->in[1], RLX_F32);
    rows = mx_cast(c->m, rows, RLX_F32);
    result = mx_gather_mm(c->m, rows, matrices, NULL, mx_cast(c->m, each, RLX_U32));
    result = mx_cast(c->m, result, x->dtype);
  } else {
    result = product(c, x->dtype, rows, mx_take(c->m, c->in[1], which, 0), k);
  }
  c->out[0] = as_output(c, result);
}

RLX_BLOCK(grouped_matmul) = {
    .products = true,
    .infer = grouped_matmul_infer,
    .ref = grouped_matmul_ref,
    .lower = grouped_matmul_lower,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[4,3], f32[2,3,5], i64[4]{0,1,-1,0}; f32[2,4,3], f32[2,3,5], i32[4]{-2:2};"
                   "f64[3,2], f64[2,2,2], i64[3]{0:2}; f16[3,4], f16[2,4,2], i64[3]{0:2};"
                   "bf16[3,4], bf16[2,4,2], i64[3]{0:2}; c64[3,2], c64[2,2,2], i64[3]{0:2};"
                   "i32[3,2], i32[2,2,2], i64[3]{0:2}; f32[0,3], f32[2,3,5], i64[0];"
                   "f32[2,0], f32[2,0,3], i64[2]{0:2}; f32[2,3], f32[2,3,0], i64[2]{0:2};"
                   "f32[1,3], f32[2,3,5], i64[1]{2} !index; f32[2,3], f32[2,4,5], i64[2] !shape;"
                   "f32[2,3], f32[2,3,5], i64[3] !shape; f32[2,3], f32[3,5], i64[2] !shape;"
                   "f32[2,3], f64[2,3,5], i64[2] !dtype"),
};

/* --- lora_matmul: x [.., M, K], y [K, N], z [K, R], u [R, N] */

static rlx_status lora_matmul_infer(ir_infer *c) {
  const ir_type *x = &c->in[0], *y = &c->in[1], *z = &c->in[2], *u = &c->in[3];
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_rank(c, 0, 1, RLX_MAX_RANK));
  for (size_t i = 1; i < 4; i++) {
    RLX_TRY(infer_same_dtype(c, 0, i));
    RLX_TRY(infer_rank(c, i, 2, 2));
  }
  const rlx_dim k = x->dims[x->rank - 1];
  if (infer_differ(k, y->dims[0]) || infer_differ(k, z->dims[0]) ||
      infer_differ(z->dims[1], u->dims[0]) || infer_differ(y->dims[1], u->dims[1]))
    return infer_fail(c, RLX_ERROR_SHAPE, "wanted x [..,K], y [K,N], z [K,R], u [R,N]");
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  memcpy(dims, x->dims, x->rank * sizeof *dims);
  dims[x->rank - 1] = infer_either(y->dims[1], u->dims[1]);
  return RLX_OK;
}

/* Row `row` of x times column `col` of a matrix. */
static double row_times(const factor *x, int64_t row, const factor *matrix, int64_t col) {
  const int64_t k = matrix->t->dims[0];
  const contraction p = {.n_sum = 1, .sum = {{k, 1, matrix->t->dims[1]}}};
  return dot(&p, x, row * k, matrix, col).v.real;
}

static rlx_status lora_matmul_ref(ref_call *c) {
  const int64_t n = c->in[1]->dims[1], rank = c->in[2]->dims[1];
  factor f[4]; /* x, y, z, u */
  RLX_TRY(open_factors(f, c->in, 4));
  for (int64_t i = 0; i < c->out[0]->count; i++) {
    const int64_t row = i / n, col = i % n;
    double low = 0;
    for (int64_t r = 0; r < rank; r++)
      low += row_times(&f[0], row, &f[2], r) * f[3].real[r * n + col];
    const double full = row_times(&f[0], row, &f[1], col);
    tensor_set_real(c->out[0], i, full + ATTRS(lora_matmul)->scale * low);
  }
  close_factors(f, 4);
  return RLX_OK;
}

static rlx_val lora_matmul_expand(expr_call *c) {
  const rlx_val low = rlx_matmul(c->b, rlx_matmul(c->b, c->in[0], c->in[2]), c->in[3]);
  const rlx_val scaled = rlx_mul(c->b, low, expr_scalar(c, ATTRS(lora_matmul)->scale));
  return rlx_add(c->b, rlx_matmul(c->b, c->in[0], c->in[1]), scaled);
}

RLX_BLOCK(lora_matmul) = {
    .products = true,
    .infer = lora_matmul_infer,
    .ref = lora_matmul_ref,
    .expand = lora_matmul_expand,
    .cases = CASES(
        "f32[2,3], f32[3,4], f32[3,2], f32[2,4];"
        "f32[2,5,3], f32[3,4], f32[3,1], f32[1,4] scale=0.5;"
        "f64[3], f64[3,4], f64[3,2], f64[2,4] scale=-2; bf16[2,3], bf16[3,4], bf16[3,2], bf16[2,4];"
        "f32[0,3], f32[3,4], f32[3,2], f32[2,4]; f32[2,3], f32[3,4], f32[3,0], f32[0,4];"
        "f32[2,0], f32[0,4], f32[0,2], f32[2,4]; f32[2,3], f32[3,4], f32[3,2], f32[3,4] !shape;"
        "f32[2,3], f32[3], f32[3,2], f32[2,4] !shape; i32[2,3], i32[3,4], i32[3,2], i32[2,4] "
        "!dtype"),
};
