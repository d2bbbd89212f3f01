/* ops/linear_attention.c: attention whose past is a matrix per head, written and read step by step.
 *
 * Operands: q [B,T,Hq,K], k [B,T,H,K], v [B,T,H,V], state [B,H,K,V] (absent: zeros), decay
 * [B,T,H,K] or [B,T,H,1], beta [B,T,H] or [B,T,1]. At each step
 *   state = e^decay state;  v' = beta (v - state^T k), or v;  state = state + k v'^T;
 *   y = scale state^T q
 * where Hq / H neighbouring heads of q read one state. Results: y [B,T,Hq,V], the last state.
 *
 * Laws: references add up in double; half-width floats run in f32 on MLX. */
#include <math.h>
#include <string.h>

#include "ops/block.h"
#include "ops/elementwise.h"

enum { Q, KEY, VALUE, STATE, DECAY, BETA, N_OPERANDS };

/* --- shapes */

static rlx_status linear_attention_infer(ir_infer *c) {
  static const char *const operand_axes[N_OPERANDS] = {"BTQK", "BTHK", "BTHV",
                                                       "BHKV", "BTHk", "BTh"};
  rlx_dim sizes[INFER_LETTERS];
  RLX_TRY(infer_kinds(c, Q, KINDS_FLOAT));
  for (size_t i = 0; i < c->n_in; i++)
    if (c->val[i].id) RLX_TRY(infer_same_dtype(c, Q, i));
  RLX_TRY(infer_letters(c, operand_axes, sizes));
  const rlx_dim heads = sizes['H' - 'A'], readers = sizes['Q' - 'A'];
  if (dim_known(heads) && dim_known(readers) && (heads == 0 || readers % heads != 0))
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld heads of q, wanted a multiple of the %lld of k",
                      (long long)readers, (long long)heads);
  RLX_TRY(infer_lettered(c, 0, c->in[Q].dtype, "BTQV", sizes));
  return infer_lettered(c, 1, c->in[Q].dtype, "BHKV", sizes);
}

/* --- reference: head after head, its state in double */

typedef struct head {
  const ref_call *c;
  int64_t k, v;
  double *state; /* [K,V] */
  double *row;   /* [V]: v' */
} head;

/* Step `at` of B x T for head h; the state becomes the one after it. */
static void head_write(head *t, int64_t at, int64_t h) {
  const ref_call *c = t->c;
  const rlx_tensor *decay = ref_operand(c, DECAY), *beta = ref_operand(c, BETA);
  const int64_t heads = c->in[KEY]->dims[2], key = (at * heads + h) * t->k;
  for (int64_t k = 0; k < t->k && decay; k++) {
    const int64_t width = decay->dims[3], i = (at * heads + h) * width + (width == 1 ? 0 : k);
    for (int64_t v = 0; v < t->v; v++) t->state[k * t->v + v] *= exp(tensor_real(decay, i));
  }
  for (int64_t v = 0; v < t->v; v++) {
    t->row[v] = tensor_real(c->in[VALUE], (at * heads + h) * t->v + v);
    if (!beta) continue;
    for (int64_t k = 0; k < t->k; k++)
      t->row[v] -= t->state[k * t->v + v] * tensor_real(c->in[KEY], key + k);
    t->row[v] *= tensor_real(beta, beta->dims[2] == 1 ? at : at * heads + h);
  }
  for (int64_t k = 0; k < t->k; k++)
    for (int64_t v = 0; v < t->v; v++)
      t->state[k * t->v + v] += tensor_real(c->in[KEY], key + k) * t->row[v];
}

/* Head h of q at step `at` reads. */
static void head_read(const head *t, int64_t at, int64_t h) {
  const rlx_linear_attention_attrs *a = t->c->attrs;
  const int64_t row = at * t->c->in[Q]->dims[2] + h;
  for (int64_t v = 0; v < t->v; v++) {
    double sum = 0;
    for (int64_t k = 0; k < t->k; k++)
      sum += tensor_real(t->c->in[Q], row * t->k + k) * t->state[k * t->v + v];
    tensor_set_real(t->c->out[0], row * t->v + v, a->scale * sum);
  }
}

static rlx_status linear_attention_ref(ref_call *c) {
  const int64_t *dims = c->in[KEY]->dims, heads = dims[2], steps = dims[1];
  const rlx_tensor *first = ref_operand(c, STATE);
  head t = {.c = c, .k = dims[3], .v = c->in[VALUE]->dims[3]};
  const int64_t size = t.k * t.v, group = c->in[Q]->dims[2] / heads;
  t.state = mem_new((size_t)(size + t.v + 1), sizeof *t.state);
  if (!t.state) return status_memory((size_t)(size + t.v) * sizeof *t.state);
  t.row = t.state + size;
  for (int64_t i = 0; i < dims[0] * heads; i++) {
    const int64_t b = i / heads, h = i % heads;
    for (int64_t e = 0; e < size; e++) t.state[e] = first ? tensor_real(first, i * size + e) : 0;
    for (int64_t at = b * steps; at < (b + 1) * steps; at++) {
      head_write(&t, at, h);
      for (int64_t g = 0; g < group; g++) head_read(&t, at, h * group + g);
    }
    for (int64_t e = 0; e < size; e++) tensor_set_real(c->out[1], i * size + e, t.state[e]);
  }
  mem_free(t.state);
  return RLX_OK;
}

/* --- onto MLX: all heads at once, step by step */

typedef struct walk {
  lower_call *c;
  mx_ctx *m;
  int64_t steps;
  mx in[N_OPERANDS];
} walk;

/* Step `at` of an operand [B,T,..], as [B,H or 1,rows,columns]. */
static mx step_of(const walk *w, size_t i, int64_t at, int64_t rows, int64_t columns) {
  const ir_type *t = lower_in_type(w->c, i);
  int64_t from[4] = {0, at, 0, 0}, counts[4];
  memcpy(counts, t->dims, t->rank * sizeof *counts);
  counts[1] = 1;
  const int64_t heads = i == Q ? lower_in_type(w->c, KEY)->dims[2] : t->dims[2];
  return mx_reshape(w->m, lower_cut(w->c, w->in[i], t->rank, from, counts, NULL), 4,
                    (const int64_t[]){t->dims[0], heads, rows, columns});
}

/* The state after step `at`. */
static mx written(const walk *w, mx state, int64_t at) {
  mx_ctx *m = w->m;
  const int64_t k = lower_in_type(w->c, KEY)->dims[3], v = lower_in_type(w->c, VALUE)->dims[3];
  mx value = step_of(w, VALUE, at, 1, v);
  if (w->in[DECAY]) {
    const mx decay = step_of(w, DECAY, at, lower_in_type(w->c, DECAY)->dims[3], 1);
    state = mx_mul(m, state, elementwise_exp(m, decay));
  }
  if (w->in[BETA]) {
    const mx past = mx_matmul(m, step_of(w, KEY, at, 1, k), state);
    value = mx_mul(m, mx_sub(m, value, past), step_of(w, BETA, at, 1, 1));
  }
  return mx_add(m, state, mx_mul(m, step_of(w, KEY, at, k, 1), value));
}

/* All steps: y, and the last state. */
static mx walked(const walk *w, mx *state) {
  const ir_type *q = lower_in_type(w->c, Q), *y = lower_out_type(w->c, 0);
  const int64_t group = q->dims[2] / lower_in_type(w->c, KEY)->dims[2];
  const int64_t dims[] = {y->dims[0], 1, y->dims[2], y->dims[3]};
  mx *all = mem_new((size_t)w->steps, sizeof *all);
  if (!all) return mx_fail(w->m, status_memory((size_t)w->steps * sizeof *all));
  for (int64_t at = 0; at < w->steps; at++) {
    *state = written(w, *state, at);
    const mx read = mx_matmul(w->m, step_of(w, Q, at, group, q->dims[3]), *state);
    all[at] = mx_reshape(w->m, read, 4, dims);
  }
  const mx y_all = mx_concat(w->m, all, (size_t)w->steps, 1);
  mem_free(all);
  return y_all;
}

static void linear_attention_lower(lower_call *c) {
  const rlx_linear_attention_attrs *a = c->attrs;
  const ir_type *y = lower_out_type(c, 0), *last = lower_out_type(c, 1);
  const rlx_dtype dtype = lower_wide(y->dtype);
  walk w = {c, c->m, y->dims[1], {NULL}};
  for (size_t i = 0; i < c->n_in; i++) w.in[i] = lower_wide_operand(c, i);
  mx state = w.in[STATE], all = lower_zeros(c);
  if (!state) state = mx_broadcast_to(c->m, mx_scalar(c->m, dtype, 0), 4, last->dims);
  if (ref_product(y->dims, 4) > 0 || ref_product(last->dims, 4) > 0) {
    w.in[Q] = mx_mul(c->m, w.in[Q], mx_scalar(c->m, dtype, a->scale));
    if (w.steps > 0) all = walked(&w, &state);
  }
  c->out[0] = mx_cast(c->m, all, y->dtype);
  c->out[1] = mx_cast(c->m, state, y->dtype);
}

#define HEADS "f32[2,3,4,5], f32[2,3,2,5], f32[2,3,2,6]"
RLX_BLOCK(linear_attention) = {
    .infer = linear_attention_infer,
    .ref = linear_attention_ref,
    .lower = linear_attention_lower,
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        HEADS ";" HEADS " scale=0.3;" HEADS ", f32[2,2,5,6];" HEADS ", _, f32[2,3,2,5];"
        HEADS ", _, f32[2,3,2,1]; " HEADS ", _, _, f32[2,3,2]; " HEADS ", _, _, f32[2,3,1];"
        HEADS ", f32[2,2,5,6], f32[2,3,2,5]{-1:0}, f32[2,3,2]{0:1} scale=0.5;"
        "f64[1,4,2,3], f64[1,4,2,3], f64[1,4,2,3], _, f64[1,4,2,1], f64[1,4,2];"
        "f16[1,4,2,3], f16[1,4,2,3], f16[1,4,2,3]; bf16[1,4,2,3], bf16[1,4,2,3], bf16[1,4,2,3];"
        "f32[2,0,4,5], f32[2,0,2,5], f32[2,0,2,6], f32[2,2,5,6];"
        "f32[0,3,4,5], f32[0,3,2,5], f32[0,3,2,6]; f32[2,3,4,5], f32[2,3,2,5], f32[2,3,2,0];"
        "f32[2,3,4,5], f32[2,3,3,5], f32[2,3,3,6] !shape; " HEADS ", f32[2,2,6,5] !shape;"
        HEADS ", _, f32[2,3,2,2] !shape; " HEADS ", _, _, f32[2,3,4] !shape;"
        "f32[2,3,4,5], f32[2,3,0,5], f32[2,3,0,6] !shape; f32[2,3,4,5], f64[2,3,2,5], "
        "f32[2,3,2,6] !dtype; i32[1,1,1,1], i32[1,1,1,1], i32[1,1,1,1] !dtype;"
        "f32[2,3,4], f32[2,3,2,5], f32[2,3,2,6] !shape"),
};
