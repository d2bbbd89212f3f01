/* ops/contract_kernel.c: matmul, linear and dot_general as products of matrices (cpu/gemm.h).
 *
 * Operands are read with whatever strides they have. A constant right operand is packed once. */
#include "ops/contract.h"

#include "cpu/kernels.h"
#include "ops/block.h"

typedef struct packing {
  const gemm *g;
  const void *b;
} packing;

static void fill_pack(const void *ctx, void *to) {
  const packing *p = ctx;
  gemm_pack(p->g, p->b, to);
}

/* The rest of a call whose matrices are known. */
static rlx_status product_prepare(kernel_call *c, gemm *g) {
  const cpu_view *out = &c->out[0];
  g->dtype = c->in[0].dtype;
  g->out_dtype = out->dtype;
  g->c_width = out->rank ? out->dims[out->rank - 1] : 1;
  g->constant = c->constant[1] != NULL;
  g->epilogue = c->epilogue;
  g->narrow = c->precision == RLX_BF16 && g->dtype == RLX_F32;
  g->threads = c->threads;
  gemm_plan(g);
  if (g->pack_bytes) {
    const packing p = {g, c->constant[1]};
    RLX_TRY(kernel_pack(c, 1, g->pack_name, g->pack_bytes, fill_pack, &p, &g->packed));
  }
  c->state = g;
  c->run = gemm_run;
  c->name = gemm_name(g);
  c->scratch = g->scratch;
  return RLX_OK;
}

static rlx_status product_state(kernel_call *c, gemm **out_g) {
  *out_g = kernel_state(c, sizeof **out_g);
  return *out_g ? RLX_OK : status_memory(sizeof **out_g);
}

static bool product_covers(const ir_infer *c) { return gemm_takes(c->in[0].dtype); }

/* --- matmul, linear */

/* An operand's step along batch axis i of `n`, where it is broadcast. */
static int64_t batch_step(const cpu_view *v, uint32_t i, uint32_t n) {
  const uint32_t own = v->rank > 2 ? v->rank - 2 : 0;
  if (i + own < n) return 0;
  const uint32_t axis = i + own - n;
  return v->dims[axis] == 1 ? 0 : v->strides[axis];
}

static rlx_status matrices_prepare(kernel_call *c, bool bias) {
  const cpu_view *x = &c->in[0], *y = &c->in[1], *out = &c->out[0];
  gemm *g;
  RLX_TRY(product_state(c, &g));
  g->bias = bias;
  g->n_batch = out->rank - (x->rank > 1) - (y->rank > 1);
  for (uint32_t i = 0; i < g->n_batch; i++) {
    g->batch[i] = out->dims[i];
    g->a_step[i] = batch_step(x, i, g->n_batch);
    g->b_step[i] = batch_step(y, i, g->n_batch);
    g->c_step[i] = out->strides[i];
  }
  g->m = g->n = 1;
  g->k = x->dims[x->rank - 1];
  g->a_col = x->strides[x->rank - 1];
  if (x->rank > 1) {
    g->m = x->dims[x->rank - 2];
    g->a_row = x->strides[x->rank - 2];
    g->c_row = out->strides[g->n_batch];
  }
  g->b_row = y->strides[y->rank > 1 ? y->rank - 2 : 0];
  if (y->rank > 1) {
    g->n = y->dims[y->rank - 1];
    g->b_col = y->strides[y->rank - 1];
  }
  return product_prepare(c, g);
}

static rlx_status matmul_prepare(kernel_call *c) { return matrices_prepare(c, false); }
static rlx_status linear_prepare(kernel_call *c) { return matrices_prepare(c, true); }

const ir_kernel matmul_kernel = {.covers = product_covers,
                                 .prepare = matmul_prepare,
                                 .in = {ORDER_ANY, ORDER_ANY},
                                 .out = ORDER_ROWS,
                                 .epilogue = true};
const ir_kernel linear_kernel = {.covers = product_covers,
                                 .prepare = linear_prepare,
                                 .in = {ORDER_ANY, ORDER_ANY, ORDER_ROWS},
                                 .out = ORDER_ROWS,
                                 .epilogue = true};

/* --- dot_general: axes of one operand alone are batch axes along which the other stands still; the
 * last of each are the rows and columns. */

static bool listed(rlx_ints list, uint32_t axis) {
  for (size_t i = 0; i < list.n; i++)
    if (list.data[i] == axis) return true;
  return false;
}

/* Axes that neither list has; how many. */
static uint32_t rest_of(const cpu_view *v, rlx_ints batch, rlx_ints contract, uint32_t *out_rest) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < v->rank; i++)
    if (!listed(batch, i) && !listed(contract, i)) out_rest[n++] = i;
  return n;
}

static void add_batch(gemm *g, int64_t n, int64_t a, int64_t b, int64_t c) {
  g->batch[g->n_batch] = n;
  g->a_step[g->n_batch] = a;
  g->b_step[g->n_batch] = b;
  g->c_step[g->n_batch++] = c;
}

static rlx_status dot_general_prepare(kernel_call *c) {
  const rlx_dot_general_attrs *a = c->attrs;
  const cpu_view *x = &c->in[0], *y = &c->in[1], *out = &c->out[0];
  uint32_t xr[RLX_MAX_RANK], yr[RLX_MAX_RANK];
  const uint32_t nx = rest_of(x, a->x_batch, a->x_contract, xr);
  const uint32_t ny = rest_of(y, a->y_batch, a->y_contract, yr);
  const int64_t *to = out->strides + a->x_batch.n; /* x's own axes, then y's */
  gemm *g;
  RLX_TRY(product_state(c, &g));
  for (uint32_t i = 0; i < a->x_batch.n; i++)
    add_batch(g, out->dims[i], x->strides[a->x_batch.data[i]], y->strides[a->y_batch.data[i]],
              out->strides[i]);
  for (uint32_t i = 0; i + 1 < ny; i++)
    add_batch(g, y->dims[yr[i]], 0, y->strides[yr[i]], to[nx + i]);
  for (uint32_t i = 0; i + 1 < nx; i++) add_batch(g, x->dims[xr[i]], x->strides[xr[i]], 0, to[i]);
  g->m = g->n = g->k = g->a_col = g->b_row = 1;
  if (nx) {
    g->m = x->dims[xr[nx - 1]];
    g->a_row = x->strides[xr[nx - 1]];
    g->c_row = to[nx - 1];
  }
  if (ny) {
    g->n = y->dims[yr[ny - 1]];
    g->b_col = y->strides[yr[ny - 1]];
  }
  for (size_t i = 0; i < a->x_contract.n; i++) { /* at most one is longer than 1 */
    const int64_t n = x->dims[a->x_contract.data[i]];
    if (n == 1) continue;
    g->k = n;
    g->a_col = x->strides[a->x_contract.data[i]];
    g->b_row = y->strides[a->y_contract.data[i]];
  }
  return product_prepare(c, g);
}

static bool dot_general_covers(const ir_infer *c) {
  const rlx_dot_general_attrs *a = c->attrs;
  size_t sums = 0;
  for (size_t i = 0; i < a->x_contract.n; i++) sums += c->in[0].dims[a->x_contract.data[i]] != 1;
  return sums <= 1 && c->in[0].rank + c->in[1].rank <= GEMM_AXES && product_covers(c);
}

const ir_kernel dot_general_kernel = {.covers = dot_general_covers,
                                      .prepare = dot_general_prepare,
                                      .in = {ORDER_ANY, ORDER_ANY},
                                      .out = ORDER_ROWS};
