/* pass/rules.c: what the rewrite rules of rules.def are made of: terms, and functions for what
 * terms cannot say (axes, attributes, sizes). */
#include <math.h>
#include <string.h>

#include "ops/block.h"
#include "ops/norm.h"
#include "pass/match.h"

/* --- attributes: of matched nodes, by their place in the pattern, and of the replacement */

#define OF(i, op_) ((const rlx_##op_##_attrs *)m->node[i].attrs)
#define NEW(op_) ((rlx_##op_##_attrs *)attrs)

static const ir_type *type_of(const rule_match *m, rlx_val v) {
  return &graph_value(m->g, v)->type;
}

static bool is_kind(const rule_match *m, unsigned kinds) {
  return 1u << dtype_kind(m->type->dtype) & kinds;
}
static bool is_float(rule_match *m, void *attrs) {
  (void)attrs;
  return is_kind(m, KINDS_FLOAT);
}
static bool is_signed(rule_match *m, void *attrs) {
  (void)attrs;
  return is_kind(m, KINDS_FLOAT | KINDS_INT);
}

/* --- moves */

static bool to_shape(rule_match *m, void *attrs) {
  NEW(reshape)->dims = (rlx_ints){m->type->dims, m->type->rank};
  return true;
}

static bool keeps_order(rule_match *m, void *attrs) {
  (void)attrs;
  const rlx_ints perm = OF(0, transpose)->perm;
  for (size_t i = 0; i < perm.n; i++)
    if (perm.data[i] != (int64_t)i) return false;
  return true;
}

static bool join_perms(rule_match *m, void *attrs) {
  const rlx_ints outer = OF(0, transpose)->perm, inner = OF(1, transpose)->perm;
  for (size_t i = 0; i < outer.n; i++) m->list[i] = inner.data[outer.data[i]];
  NEW(transpose)->perm = (rlx_ints){m->list, outer.n};
  return true;
}

/* transpose(f(transpose(x), ..)), the outer undoing the inner ones: f(x, ..). */
static rlx_val without_transposes(const rule_match *m) {
  const rlx_ints outer = OF(0, transpose)->perm;
  const ir_node *f = &m->node[1];
  for (size_t k = 2; k < m->n_nodes; k++) {
    const rlx_ints inner = OF(k, transpose)->perm;
    if (inner.n != outer.n) return RLX_NIL;
    for (size_t i = 0; i < outer.n; i++)
      if (inner.data[outer.data[i]] != (int64_t)i) return RLX_NIL;
  }
  return graph_add(m->g, f->op, m->val, f->n_in, f->attrs, NULL, 0);
}

static bool all_are(rlx_ints list, int64_t n) {
  for (size_t i = 0; i < list.n; i++)
    if (list.data[i] != n) return false;
  return true;
}
static bool steps_are_1(rule_match *m, void *attrs) {
  (void)attrs;
  return all_are(OF(0, slice)->steps, 1);
}
static bool pads_nothing(rule_match *m, void *attrs) {
  (void)attrs;
  return all_are(OF(0, pad)->before, 0) && all_are(OF(0, pad)->after, 0);
}

/* --- casts: is every value of one type a value of the other? */

static bool holds(rlx_dtype to, rlx_dtype from) {
  static const struct {
    uint8_t digits, range; /* bits of the integers that are exact; of the exponent */
  } real[RLX_DTYPE_COUNT] = {
      [RLX_F16] = {11, 5}, [RLX_BF16] = {8, 8}, [RLX_F32] = {24, 8}, [RLX_F64] = {53, 11}};
  const rlx_dtype_kind a = dtype_kind(from), b = dtype_kind(to);
  const size_t bits = a == RLX_KIND_BOOL ? 1 : 8 * dtype_bytes(from);
  if (a > RLX_KIND_FLOAT || b > RLX_KIND_FLOAT || b == RLX_KIND_BOOL) return false;
  if (a == RLX_KIND_FLOAT)
    return b == a && real[to].digits >= real[from].digits && real[to].range >= real[from].range;
  if (b == RLX_KIND_FLOAT) return bits <= real[to].digits;
  if (a == RLX_KIND_INT) return b == a && bits <= 8 * dtype_bytes(to);
  return bits < 8 * dtype_bytes(to) || (b == RLX_KIND_UINT && bits == 8 * dtype_bytes(to));
}

/* A float that becomes an integer saturates, an integer wraps. */
static bool first_cast_is_exact(rule_match *m, void *attrs) {
  const rlx_dtype from = type_of(m, m->val[0])->dtype, over = OF(1, cast)->to;
  const bool saturates = dtype_kind(over) == RLX_KIND_FLOAT && dtype_kind(from) != RLX_KIND_FLOAT;
  NEW(cast)->to = m->type->dtype;
  return holds(over, from) && !(saturates && is_kind(m, KINDS_INT | KINDS_UINT));
}

/* --- arithmetic */

/* Constants in slots 3 and 4 whose product is no larger than the larger one, and folds. */
static bool join_constants(rule_match *m, void *attrs) {
  (void)attrs;
  const int64_t a = graph_constant(m->g, m->val[3])->count;
  const int64_t b = graph_constant(m->g, m->val[4])->count;
  return is_kind(m, KINDS_FLOAT) && (a == 1 || b == 1) && a * b <= FOLDED_MAX;
}

/* The constant in slot 4 is the upper bound, that in slot 3, or else 0, the lower one. Integers
 * that a double does not hold are left alone. */
static bool bounds(rule_match *m, void *attrs) {
  double low = 0, high;
  if (!match_number(m->g, m->val[4], &high) ||
      (m->val[3].id && !match_number(m->g, m->val[3], &low)) || isnan(low) || isnan(high))
    return false;
  NEW(clamp)->min = low;
  NEW(clamp)->max = high;
  return is_kind(m, KINDS_FLOAT) || fabs(low) + fabs(high) < 0x1p53;
}

static bool is_swish_clamp(rule_match *m, void *attrs) {
  (void)attrs;
  const rlx_clamp_attrs *a = match_node(m, &hooks_clamp)->attrs;
  return is_kind(m, KINDS_FLOAT) && a->min == 0 && a->max == 6;
}
static bool is_swish_sigmoid(rule_match *m, void *attrs) {
  (void)attrs;
  const rlx_hard_sigmoid_attrs *a = OF(1, hard_sigmoid);
  return fabs(a->alpha - 1.0 / 6) < 1e-6 && a->beta == 0.5;
}

/* --- reductions and norms */

static bool is_axis(rlx_ints axes, int64_t axis) { return axes.n == 1 && axes.data[0] == axis; }

/* Are the sizes those of `whole`, with 1 for the axis? */
static bool is_row_of(const ir_type *row, const ir_type *whole, int64_t axis) {
  if (row->rank != whole->rank) return false;
  for (uint32_t i = 0; i < row->rank; i++)
    if (row->dims[i] != ((int64_t)i == axis ? 1 : whole->dims[i])) return false;
  return true;
}

/* The constant in slot 3 is the number of elements, or its inverse. */
static bool is_mean(rule_match *m, double count_or_inverse, void *attrs) {
  const rlx_reduce_sum_attrs *sum = match_node(m, &hooks_reduce_sum)->attrs;
  const ir_type *t = type_of(m, m->val[0]);
  double got, count = 1;
  for (size_t i = 0; i < sum->axes.n; i++) count *= (double)t->dims[sum->axes.data[i]];
  NEW(reduce_mean)->axes = sum->axes;
  NEW(reduce_mean)->keep = sum->keep;
  if (!is_kind(m, KINDS_FLOAT) || sum->axes.n == 0 || count < 1) return false;
  return match_number(m->g, m->val[3], &got) &&
         fabs(got * pow(count, count_or_inverse) - 1) < 1e-6;
}
static bool sum_over_count(rule_match *m, void *attrs) { return is_mean(m, -1, attrs); }
static bool sum_by_inverse(rule_match *m, void *attrs) { return is_mean(m, 1, attrs); }

/* exp(x) / sum(exp(x)) */
static bool softmax_axis(rule_match *m, void *attrs) {
  const rlx_reduce_sum_attrs *sum = match_node(m, &hooks_reduce_sum)->attrs;
  if (sum->axes.n != 1) return false;
  const int64_t axis = sum->axes.data[0];
  NEW(softmax)->axis = axis;
  return is_kind(m, KINDS_FLOAT) && is_row_of(type_of(m, m->node[0].in[1]), m->type, axis);
}

/* softmax(x - max(x)) */
static bool same_softmax_axis(rule_match *m, void *attrs) {
  const int64_t axis = OF(0, softmax)->axis;
  const rlx_reduce_max_attrs *max = match_node(m, &hooks_reduce_max)->attrs;
  NEW(softmax)->axis = axis;
  return is_axis(max->axes, axis) && is_row_of(type_of(m, m->node[1].in[1]), m->type, axis);
}

/* All means are over the last axis, which stays; the constant in slot 3 is eps. */
static bool norm_of_rows(const rule_match *m, double *out_eps) {
  for (size_t i = 0; i < m->n_nodes; i++) {
    const rlx_reduce_mean_attrs *a = m->node[i].attrs;
    if (m->node[i].op->hooks != &hooks_reduce_mean) continue;
    if (!a->keep || !is_axis(a->axes, (int64_t)m->type->rank - 1)) return false;
  }
  return match_number(m->g, m->val[3], out_eps) && *out_eps >= 0;
}
static bool layer_norm_rows(rule_match *m, void *attrs) {
  return norm_of_rows(m, &NEW(layer_norm)->eps);
}
static bool rms_norm_rows(rule_match *m, void *attrs) {
  return norm_of_rows(m, &NEW(rms_norm)->eps);
}

/* A norm (the second node) takes in the value in this slot, which has an element per column. */
static bool is_column_value(const rule_match *m, size_t slot) {
  const ir_type *t = type_of(m, m->val[slot]);
  return t->rank == 1 && t->dims[0] == m->type->dims[m->type->rank - 1] &&
         match_sole_use(m, &m->node[1]);
}
static bool scale_layer_norm(rule_match *m, void *attrs) {
  NEW(layer_norm)->eps = OF(1, layer_norm)->eps;
  return is_column_value(m, 1);
}
static bool shift_layer_norm(rule_match *m, void *attrs) {
  NEW(layer_norm)->eps = OF(1, layer_norm)->eps;
  return is_column_value(m, 2);
}
static bool scale_rms_norm(rule_match *m, void *attrs) {
  NEW(rms_norm)->eps = OF(1, rms_norm)->eps;
  return is_column_value(m, 1);
}

/* softmax of rows that a view cuts out of x and another puts together again. */
static bool softmax_of_rows(rule_match *m, void *attrs) {
  const ir_type *x = type_of(m, m->val[0]), *inner = type_of(m, m->node[1].in[0]);
  NEW(softmax)->axis = (int64_t)x->rank - 1;
  return x->rank && inner->rank && x->dims[x->rank - 1] == inner->dims[inner->rank - 1] &&
         OF(1, softmax)->axis == (int64_t)inner->rank - 1;
}

static bool is_linear(rule_match *m, void *attrs) {
  (void)attrs;
  const ir_type *w = type_of(m, m->val[1]), *b = type_of(m, m->val[2]);
  return is_kind(m, KINDS_FLOAT) && m->type->rank >= 2 && w->rank == 2 && b->rank == 1 &&
         type_of(m, m->val[0])->rank == m->type->rank && b->dims[0] == w->dims[1] &&
         match_sole_use(m, &m->node[1]);
}

/* --- attention: q in slot 0, k transposed in 1, v in 5, a mask in 2 if there is one */

/* The product of all constants that scores, queries or keys are multiplied with or divided by. */
static bool score_scale(const rule_match *m, double *out) {
  *out = 1;
  for (size_t i = 0; i < m->n_nodes; i++) {
    const ir_node *n = &m->node[i];
    double v = 1;
    if (n->op->hooks == &hooks_div && match_number(m->g, n->in[1], &v)) *out /= v;
    else if (n->op->hooks == &hooks_mul &&
             (match_number(m->g, n->in[1], &v) || match_number(m->g, n->in[0], &v)))
      *out *= v;
    else if (n->op->hooks == &hooks_div || n->op->hooks == &hooks_mul) return false;
  }
  return *out != 0 && isfinite(*out);
}

static bool is_attention(const rule_match *m) {
  const ir_type *q = type_of(m, m->val[0]), *k = type_of(m, m->val[1]), *v = type_of(m, m->val[5]);
  const ir_node *softmax = match_node(m, &hooks_softmax);
  if (!is_kind(m, KINDS_FLOAT) || q->rank != 4 || k->rank != 4 || v->rank != 4) return false;
  for (size_t i = 0; i < 2; i++)
    if (q->dims[i] != k->dims[i] || q->dims[i] != v->dims[i]) return false;
  /* A mask adds no axis and stretches none. */
  const rlx_dim scores[] = {q->dims[0], q->dims[1], q->dims[2], k->dims[3]};
  return type_equal(type_of(m, softmax->in[0]), &(ir_type){m->type->dtype, 4, scores}) &&
         k->dims[3] == v->dims[2] && ((const rlx_softmax_attrs *)softmax->attrs)->axis == 3 &&
         match_sole_use(m, softmax);
}

static rlx_val attention(const rule_match *m) {
  static const int64_t swap[] = {0, 1, 3, 2};
  rlx_attention_attrs a = rlx_attention_init();
  rlx_transpose_attrs t = rlx_transpose_init();
  if (!is_attention(m) || !score_scale(m, &a.scale)) return RLX_NIL;
  t.perm = (rlx_ints){swap, 4};
  const rlx_val k = rlx_transpose(m->g, m->val[1], &t);
  return rlx_attention(m->g, m->val[0], k, m->val[5], m->val[2], &a);
}

/* --- convolution: x in slot 0, weights in 7, bias in 1 if there is one */

static rlx_val expanded(rlx_graph *g, rlx_val v, rlx_dim size) {
  rlx_expand_attrs a = rlx_expand_init();
  a.dims = (rlx_ints){&size, 1};
  return rlx_expand(g, expr_reshape(g, v, (rlx_dim[]){1}, 1), &a);
}

/* The constant as one element per channel of the result (axis 1), or nil. */
static rlx_val per_channel(const rule_match *m, rlx_val v) {
  const rlx_tensor *t = graph_constant(m->g, v);
  const rlx_dim channels = m->type->dims[1];
  const uint32_t added = m->type->rank - t->rank; /* axes that broadcasting puts in front */
  if (!dim_known(channels) || t->rank > m->type->rank) return RLX_NIL;
  if (t->count == 1) return expanded(m->g, v, channels);
  return added <= 1 && t->dims[1 - added] == t->count && t->count == channels
             ? expr_reshape(m->g, v, &channels, 1)
             : RLX_NIL;
}

static bool is_transposed(const rule_match *m) {
  return m->node[1].op->hooks == &hooks_conv_transpose;
}

/* May the weights be scaled? Channels of a transposed convolution in groups share them. */
static bool is_open_to_change(const rule_match *m) {
  const int64_t n = graph_constant(m->g, m->val[7])->count;
  const bool grouped = is_transposed(m) && OF(1, conv_transpose)->groups != 1;
  return match_sole_use(m, &m->node[1]) && n > 0 && n <= FOLDED_MAX && !grouped;
}

/* w a, a constant: folding a product of this size is slow. The channels of a are an axis of w. */
static rlx_val scaled_weights(rlx_graph *g, const rlx_tensor *w, int axis, const rlx_tensor *a) {
  rlx_tensor *t;
  const rlx_status status = rlx_tensor_create(w->dtype, w->rank, w->dims, &t);
  if (status != RLX_OK) return graph_fail(g, status), RLX_NIL;
  int64_t inner = w->count / w->dims[0];
  if (axis == 1) inner /= w->dims[1];
  for (int64_t i = 0; i < w->count; i++)
    tensor_set_real(t, i, tensor_real(w, i) * tensor_real(a, i / inner % a->count));
  const rlx_val v = rlx_constant(g, t);
  rlx_tensor_free(t);
  return v;
}

/* conv(x, w a, b a + c); a, c per channel, a nil: 1, c nil: 0 */
static rlx_val changed_conv(const rule_match *m, rlx_val a, rlx_val c) {
  rlx_graph *g = m->g;
  rlx_val w = m->val[7], b = m->val[1];
  if (a.id) w = scaled_weights(g, graph_constant(g, w), is_transposed(m), graph_constant(g, a));
  if (a.id && b.id) b = rlx_mul(g, b, a);
  if (c.id) b = b.id ? rlx_add(g, b, c) : c;
  return graph_add(g, m->node[1].op, (rlx_val[]){m->val[0], w, b}, b.id ? 3 : 2, m->node[1].attrs,
                   NULL, 0);
}

static rlx_val conv_batch_norm(const rule_match *m) {
  rlx_val a, c;
  if (!is_open_to_change(m)) return RLX_NIL;
  norm_affine(m->g, &m->val[3], OF(0, batch_norm)->eps, &a, &c);
  return changed_conv(m, a, c);
}
static rlx_val conv_scale(const rule_match *m) {
  const rlx_val a = is_open_to_change(m) ? per_channel(m, m->val[3]) : RLX_NIL;
  return a.id ? changed_conv(m, a, RLX_NIL) : RLX_NIL;
}
static rlx_val conv_shift(const rule_match *m) {
  const rlx_val c = match_sole_use(m, &m->node[1]) ? per_channel(m, m->val[3]) : RLX_NIL;
  return c.id ? changed_conv(m, RLX_NIL, c) : RLX_NIL;
}

/* b times the sum of each channel's weights, a constant: for the same reason. */
static rlx_val channel_sums(rlx_graph *g, const rlx_tensor *w, double b) {
  rlx_tensor *t;
  const rlx_status status = rlx_tensor_create(w->dtype, 1, w->dims, &t);
  if (status != RLX_OK) return graph_fail(g, status), RLX_NIL;
  const int64_t each = w->count / t->count;
  for (int64_t i = 0; i < t->count; i++) {
    double sum = 0;
    for (int64_t k = 0; k < each; k++) sum += tensor_real(w, i * each + k);
    tensor_set_real(t, i, b * sum);
  }
  const rlx_val v = rlx_constant(g, t);
  rlx_tensor_free(t);
  return v;
}

/* conv(a x + b) without padding, a and b single numbers: conv(x, w a, bias + b sum(w)). */
static rlx_val conv_of_affine(const rule_match *m) {
  rlx_graph *g = m->g;
  const rlx_conv_attrs *conv = OF(0, conv);
  const rlx_tensor *w = graph_constant(g, m->val[7]), *a = graph_constant(g, m->val[3]);
  const ir_type *x = type_of(m, m->val[0]), *affine = type_of(m, m->node[0].in[0]);
  double b, unused;
  const bool plain = all_are(conv->pads, 0) && strcmp(conv->auto_pad, "none") == 0;
  if (!plain || !w->count || w->count > FOLDED_MAX || !type_equal(x, affine) ||
      !match_number(g, m->val[3], &unused) || !match_number(g, m->val[4], &b) ||
      !match_sole_use(m, &m->node[1]))
    return RLX_NIL;
  const rlx_val scaled = scaled_weights(g, w, 0, a);
  rlx_val bias = channel_sums(g, w, b);
  if (m->val[1].id) bias = rlx_add(g, m->val[1], bias);
  return graph_add(g, m->node[0].op, (rlx_val[]){m->val[0], scaled, bias}, 3, conv, NULL, 0);
}

/* --- terms */

#define TERM(...) (&(const rule_term){__VA_ARGS__})
#define P(op_, ...) TERM(.kind = TERM_OP, .op = &hooks_##op_, .arg = {__VA_ARGS__})
#define ELEMENTWISE(...) TERM(.kind = TERM_OP, .arg = {__VA_ARGS__})
#define EITHER(...) TERM(.kind = TERM_EITHER, .arg = {__VA_ARGS__})
#define N(v) TERM(.kind = TERM_NUMBER, .number = (v))
#define X TERM(.kind = TERM_VALUE, .slot = 0)
#define Y TERM(.kind = TERM_VALUE, .slot = 1)
#define Z TERM(.kind = TERM_VALUE, .slot = 2)
#define CONSTANT(i) TERM(.kind = TERM_CONSTANT, .slot = (i))
#define A CONSTANT(3)
#define B CONSTANT(4)
#define V TERM(.kind = TERM_VALUE, .slot = 5)

#define VIEW(x) EITHER(P(reshape, x), P(squeeze, x), P(unsqueeze, x), P(flatten, x))
#define KEEP(x) EITHER(x, P(reshape, x), P(unsqueeze, x))
#define TIMES(x, c) EITHER(P(mul, x, N(c)), P(div, x, N(1 / (c))))
#define PRODUCT(x, y, c) \
  EITHER(TIMES(P(mul, x, y), c), P(mul, TIMES(x, c), y), P(mul, x, TIMES(y, c)))

#define ERF_GATE(x) P(add, P(erf, TIMES(x, 0.70710678118654752440)), N(1))
/* 0.044715 x^3, sqrt(2 / pi) (x + 0.044715 x^3) */
#define TANH_CUBE(x)                                                                \
  EITHER(TIMES(P(pow, x, N(3)), 0.044715), TIMES(P(mul, x, P(square, x)), 0.044715), \
         P(mul, TIMES(x, 0.044715), P(square, x)),                                  \
         P(mul, x, TIMES(P(square, x), 0.044715)),                                  \
         P(mul, x, P(mul, x, TIMES(x, 0.044715))))
#define TANH_ARGUMENT(x)                                         \
  EITHER(TIMES(P(add, x, TANH_CUBE(x)), 0.79788456080286535588), \
         P(mul, TIMES(x, 0.79788456080286535588),                \
           P(add, TIMES(P(square, x), 0.044715), N(1))))
#define TANH_GATE(x) P(add, P(tanh, TANH_ARGUMENT(x)), N(1))

#define CENTRED(x) P(sub, x, P(reduce_mean, x))
#define SQUARES(x) P(add, P(reduce_mean, P(square, x)), A)
#define SCALED(x, c) EITHER(P(mul, x, c), P(div, x, c))
#define SCORES(q, k)                                                        \
  EITHER(SCALED(P(matmul, q, k), A), P(matmul, SCALED(q, A), SCALED(k, B)), \
         P(matmul, SCALED(q, A), k), P(matmul, q, SCALED(k, A)), P(matmul, q, k))
#define AFFINE(x) P(add, P(mul, x, A), B)
#define CONV(x)                                                          \
  EITHER(P(conv, x, CONSTANT(7)), P(conv, x, CONSTANT(7), CONSTANT(1)),  \
         P(conv_transpose, x, CONSTANT(7)),                              \
         P(conv_transpose, x, CONSTANT(7), CONSTANT(1)))

#define EXACT false
#define INEXACT true
#define R(name, match, replace, class, when) {#name, #match, class, match, replace, when, NULL},
#define F(name, match, class, build) {#name, #match, class, match, NULL, NULL, build},

const rule_row rule_table[] = {
#include "pass/rules.def"
};
const size_t rule_count = sizeof rule_table / sizeof rule_table[0];
_Static_assert(sizeof rule_table / sizeof rule_table[0] <= RULES_MAX,
               "pass_rules has room for all rules");
