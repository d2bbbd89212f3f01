/* ops/rnn.c: recurrent cells over a sequence: lstm, gru, rnn.
 *
 * Operands: x [T,B,I], w [G H,I], r [G H,H], biases [2 G H] (those of w, then those of r), lengths
 * [B], first h [B,H], and for lstm the first c [B,H] and peepholes [3 H] (of i, o, f). Results: h
 * of each step [T,B,H], the last h [B,H], for lstm the last c. G gates stand in the order of ONNX:
 * i o f c, z r h.
 *
 * Laws: a sequence shorter than T keeps its state beyond its end, where the result is 0; in reverse
 * it begins at its own end. A length outside [0, T] is RLX_ERROR_INDEX. References add up in double
 * and round only what they store; half-width floats run in f32 on MLX. */
#include "ops/rnn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/block.h"
#include "ops/kernel.h"

enum { X, W, R, BIAS, LENGTHS, FIRST_H, FIRST_C, PEEPHOLES, N_OPERANDS };
enum { MAX_FUNCTIONS = 3 };

/* A node's attributes. */
typedef struct rnn_spec {
  const rnn_function *f[MAX_FUNCTIONS];
  double a[MAX_FUNCTIONS], b[MAX_FUNCTIONS];
  rlx_reals alpha, beta;
  bool reverse;
  bool variant; /* lstm: input_forget; gru: linear_before_reset */
  double clip;
} rnn_spec;

struct ref_state;
struct mlx_state;
typedef struct rnn_cell {
  rnn_kind kind;
  int64_t gates;
  size_t n_functions;
  rnn_spec (*spec)(const void *attrs);
  void (*ref)(struct ref_state *t); /* one step of one sequence */
  void (*mlx)(struct mlx_state *t); /* one step of all */
} rnn_cell;

static const rnn_function *function_of(const char *word) {
  const rnn_function *f = rnn_functions;
  while (strcmp(f->word, word) != 0) f++; /* the rows list the same words */
  return f;
}

static rnn_spec spec_of(const char *const *words, size_t n, rlx_reals alpha, rlx_reals beta) {
  rnn_spec s = {.alpha = alpha, .beta = beta};
  for (size_t i = 0; i < n; i++) {
    s.f[i] = function_of(words[i]);
    s.a[i] = i < alpha.n ? alpha.data[i] : s.f[i]->a;
    s.b[i] = i < beta.n ? beta.data[i] : s.f[i]->b;
  }
  return s;
}

/* --- shapes */

/* The axes of each operand; G, K and P are multiples of H. */
static const char *const operand_axes[N_OPERANDS] = {
    [X] = "TBI",     [W] = "GI",       [R] = "GH",       [BIAS] = "K",
    [LENGTHS] = "B", [FIRST_H] = "BH", [FIRST_C] = "BH", [PEEPHOLES] = "P",
};

static rlx_status check_operands(ir_infer *c, const rnn_cell *cell, rlx_dim *sizes) {
  const struct {
    char letter;
    int64_t times;
  } multiples[] = {{'G', cell->gates}, {'K', 2 * cell->gates}, {'P', 3}};
  RLX_TRY(infer_kinds(c, X, KINDS_FLOAT));
  for (size_t i = 0; i < c->n_in; i++)
    if (c->val[i].id) RLX_TRY(i == LENGTHS ? infer_index_dtype(c, i) : infer_same_dtype(c, X, i));
  RLX_TRY(infer_letters(c, operand_axes, sizes));
  for (size_t i = 0; i < sizeof multiples / sizeof multiples[0]; i++) {
    const rlx_dim got = sizes[multiples[i].letter - 'A'], hidden = sizes['H' - 'A'];
    const rlx_dim want = infer_mul(c, hidden, multiples[i].times);
    if (got != -1 && infer_differ(got, want))
      return infer_fail(c, RLX_ERROR_SHAPE,
                        "weights, biases or peepholes of %lld rows, wanted %lld x %lld",
                        (long long)got, (long long)multiples[i].times, (long long)hidden);
  }
  return RLX_OK;
}

static rlx_status cell_infer(ir_infer *c, const rnn_cell *cell) {
  const rnn_spec s = cell->spec(c->attrs);
  const rlx_dtype dtype = c->in[X].dtype;
  rlx_dim sizes[INFER_LETTERS];
  RLX_TRY(check_operands(c, cell, sizes));
  if (s.alpha.n > cell->n_functions || s.beta.n > cell->n_functions)
    return infer_fail(c, RLX_ERROR_ARGUMENT, "%zu alpha and %zu beta for %zu functions", s.alpha.n,
                      s.beta.n, cell->n_functions);
  if (!(s.clip > 0))
    return infer_fail(c, RLX_ERROR_ARGUMENT, "clip is %g, wanted more than 0", s.clip);
  for (size_t i = 1; i < c->n_out; i++) RLX_TRY(infer_lettered(c, i, dtype, "BH", sizes));
  return infer_lettered(c, 0, dtype, "TBH", sizes);
}

/* --- reference: one sequence after the other, its state in double */

typedef struct ref_state {
  const ref_call *c;
  const rnn_spec *s;
  int64_t inputs, hidden;
  double *x;                 /* [I] */
  double *in;                /* [G H]: x w^T and the biases of w */
  double *back;              /* [G H]: h r^T and the biases of r */
  double *h, *cell, *scaled; /* [H] */
} ref_state;

/* Element i of an operand that may be absent. */
static double ref_item(const ref_call *c, size_t operand, int64_t i) {
  const rlx_tensor *t = ref_operand(c, operand);
  return t ? tensor_real(t, i) : 0;
}

/* Row `row` of a matrix of n columns times v. */
static double ref_dot(const rlx_tensor *matrix, int64_t row, const double *v, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += tensor_real(matrix, row * n + i) * v[i];
  return sum;
}

/* Function f of a sum; the clip is on what goes into gates and candidates. */
static double ref_function(const ref_state *t, size_t f, double sum) {
  const double clip = t->s->clip;
  if (sum < -clip) sum = -clip;
  if (sum > clip) sum = clip;
  return t->s->f[f]->real(sum, t->s->a[f], t->s->b[f]);
}

static void lstm_ref_step(ref_state *t) {
  const int64_t n = t->hidden;
  for (int64_t k = 0; k < n; k++) {
    double sum[4], peep[3];
    for (int64_t g = 0; g < 4; g++) sum[g] = t->in[g * n + k] + t->back[g * n + k];
    for (int64_t g = 0; g < 3; g++) peep[g] = ref_item(t->c, PEEPHOLES, g * n + k);
    const double i = ref_function(t, 0, sum[0] + peep[0] * t->cell[k]);
    const double f = t->s->variant ? 1 - i : ref_function(t, 0, sum[2] + peep[2] * t->cell[k]);
    t->cell[k] = f * t->cell[k] + i * ref_function(t, 1, sum[3]);
    const double o = ref_function(t, 0, sum[1] + peep[1] * t->cell[k]);
    t->h[k] = o * t->s->f[2]->real(t->cell[k], t->s->a[2], t->s->b[2]);
  }
}

static void gru_ref_step(ref_state *t) {
  const int64_t n = t->hidden;
  double *z = t->in, *reset = t->in + n, *sum = t->in + 2 * n, *back = t->back + 2 * n;
  for (int64_t k = 0; k < n; k++) {
    z[k] = ref_function(t, 0, z[k] + t->back[k]);
    reset[k] = ref_function(t, 0, reset[k] + t->back[n + k]);
    t->scaled[k] = reset[k] * t->h[k];
  }
  for (int64_t k = 0; k < n; k++) {
    const double past = t->s->variant ? reset[k] * back[k]
                                      : ref_dot(t->c->in[R], 2 * n + k, t->scaled, n) +
                                            ref_item(t->c, BIAS, 5 * n + k);
    t->h[k] = (1 - z[k]) * ref_function(t, 1, sum[k] + past) + z[k] * t->h[k];
  }
}

static void rnn_ref_step(ref_state *t) {
  for (int64_t k = 0; k < t->hidden; k++) t->h[k] = ref_function(t, 0, t->in[k] + t->back[k]);
}

/* Sequence b of n steps. */
static void run_sequence(ref_state *t, const rnn_cell *cell, int64_t b, int64_t n) {
  const ref_call *c = t->c;
  const int64_t batch = c->in[X]->dims[1], rows = cell->gates * t->hidden;
  for (int64_t k = 0; k < t->hidden; k++) {
    t->h[k] = ref_item(c, FIRST_H, b * t->hidden + k);
    t->cell[k] = ref_item(c, FIRST_C, b * t->hidden + k);
  }
  for (int64_t i = 0; i < n; i++) {
    const int64_t at = (t->s->reverse ? n - 1 - i : i) * batch + b;
    for (int64_t k = 0; k < t->inputs; k++) t->x[k] = tensor_real(c->in[X], at * t->inputs + k);
    for (int64_t k = 0; k < rows; k++) {
      t->in[k] = ref_dot(c->in[W], k, t->x, t->inputs) + ref_item(c, BIAS, k);
      t->back[k] = ref_dot(c->in[R], k, t->h, t->hidden) + ref_item(c, BIAS, rows + k);
    }
    cell->ref(t);
    for (int64_t k = 0; k < t->hidden; k++) tensor_set_real(c->out[0], at * t->hidden + k, t->h[k]);
  }
  for (int64_t k = 0; k < t->hidden; k++) {
    tensor_set_real(c->out[1], b * t->hidden + k, t->h[k]);
    if (c->n_out > 2) tensor_set_real(c->out[2], b * t->hidden + k, t->cell[k]);
  }
}

static rlx_status cell_ref(ref_call *c, const rnn_cell *cell) {
  const rlx_tensor *x = c->in[X], *lengths = ref_operand(c, LENGTHS);
  const rnn_spec s = cell->spec(c->attrs);
  const int64_t inputs = x->dims[2], hidden = c->in[R]->dims[1], rows = cell->gates * hidden;
  const size_t room = (size_t)(inputs + 2 * rows + 3 * hidden);
  double *v = mem_new(room + 1, sizeof *v);
  if (!v) return status_memory(room * sizeof *v);
  ref_state t = {c, &s, inputs, hidden, .x = v, .in = v + inputs};
  t.back = t.in + rows;
  t.h = t.back + rows;
  t.cell = t.h + hidden;
  t.scaled = t.cell + hidden;
  rlx_status status = RLX_OK;
  for (int64_t b = 0; b < x->dims[1] && status == RLX_OK; b++) {
    const int64_t n = lengths ? tensor_int(lengths, b) : x->dims[0];
    if (n < 0 || n > x->dims[0])
      status = status_set(RLX_ERROR_INDEX, "length %lld is not in [0, %lld]", (long long)n,
                          (long long)x->dims[0]);
    else run_sequence(&t, cell, b, n);
  }
  mem_free(v);
  return status;
}

/* --- onto MLX: one product for the inputs of all steps, then step by step */

typedef struct mlx_state {
  lower_call *c;
  mx_ctx *m;
  const rnn_spec *s;
  rlx_dtype dtype; /* of the arithmetic */
  int64_t steps, batch, hidden;
  mx r;            /* [H, G H] */
  mx peepholes[3]; /* lstm: of i, o, f, [H]; or NULL */
  mx late;         /* gru: the bias that is added before the reset, [H]; or NULL */
  mx in;           /* [B, G H]: x w and the biases, of this step */
  mx back;         /* [B, G H]: h r */
  mx h, cell;      /* [B, H] */
  mx all;          /* results of all steps, [T B, H] */
} mlx_state;

/* n columns of a matrix from column `at`, n elements of a vector. */
static mx columns(const mlx_state *t, mx a, int64_t rows, int64_t at, int64_t n) {
  return lower_cut(t->c, a, 2, (int64_t[]){0, at}, (int64_t[]){rows, n}, NULL);
}
static mx gate(const mlx_state *t, mx a, int64_t g) {
  return columns(t, a, t->batch, g * t->hidden, t->hidden);
}
static mx elements(const mlx_state *t, mx v, int64_t at, int64_t n) {
  return lower_cut(t->c, v, 1, &at, &n, NULL);
}

static mx applied(const mlx_state *t, size_t f, mx sum) {
  const double clip = t->s->clip;
  if (isfinite(clip)) {
    sum = mx_maximum(t->m, sum, mx_scalar(t->m, t->dtype, -clip));
    sum = mx_minimum(t->m, sum, mx_scalar(t->m, t->dtype, clip));
  }
  return t->s->f[f]->mlx(t->m, sum, t->s->a[f], t->s->b[f]);
}

/* Gate g of lstm: its peephole looks at `cell`. */
static mx lstm_gate(const mlx_state *t, mx sums, int64_t g, mx cell) {
  mx sum = gate(t, sums, g);
  if (t->peepholes[g]) sum = mx_add(t->m, sum, mx_mul(t->m, t->peepholes[g], cell));
  return applied(t, 0, sum);
}

static void lstm_mlx_step(mlx_state *t) {
  mx_ctx *m = t->m;
  const mx sums = mx_add(m, t->in, t->back), i = lstm_gate(t, sums, 0, t->cell);
  const mx f =
      t->s->variant ? mx_sub(m, mx_scalar(m, t->dtype, 1), i) : lstm_gate(t, sums, 2, t->cell);
  const mx candidate = applied(t, 1, gate(t, sums, 3));
  t->cell = mx_add(m, mx_mul(m, f, t->cell), mx_mul(m, i, candidate));
  const mx o = lstm_gate(t, sums, 1, t->cell);
  t->h = mx_mul(m, o, t->s->f[2]->mlx(m, t->cell, t->s->a[2], t->s->b[2]));
}

static void gru_mlx_step(mlx_state *t) {
  mx_ctx *m = t->m;
  const int64_t n = t->hidden;
  const mx sums = mx_add(m, t->in, t->back);
  const mx z = applied(t, 0, gate(t, sums, 0)), reset = applied(t, 0, gate(t, sums, 1));
  mx back;
  if (t->s->variant) {
    back = gate(t, t->back, 2);
    if (t->late) back = mx_add(m, back, t->late);
    back = mx_mul(m, reset, back);
  } else {
    back = mx_matmul(m, mx_mul(m, reset, t->h), columns(t, t->r, n, 2 * n, n));
  }
  const mx h = applied(t, 1, mx_add(m, gate(t, t->in, 2), back));
  t->h = mx_add(m, h, mx_mul(m, z, mx_sub(m, t->h, h)));
}

static void rnn_mlx_step(mlx_state *t) { t->h = applied(t, 0, mx_add(t->m, t->in, t->back)); }

/* The biases that can be added before the steps, [G H]; the one that cannot becomes `late`. */
static mx early_biases(mlx_state *t, mx biases, const rnn_cell *cell) {
  const int64_t n = t->hidden, rows = cell->gates * n;
  const mx first = elements(t, biases, 0, rows), second = elements(t, biases, rows, rows);
  if (cell->gates != 3 || !t->s->variant) return mx_add(t->m, first, second);
  const mx most = mx_add(t->m, elements(t, first, 0, 2 * n), elements(t, second, 0, 2 * n));
  t->late = elements(t, second, 2 * n, n);
  return mx_concat(t->m, (mx[]){most, elements(t, first, 2 * n, n)}, 2, 0);
}

/* x w and biases for all steps, [T B, G H]. */
static mx inputs_of_steps(mlx_state *t, const rnn_cell *cell) {
  const int64_t dims[] = {t->steps * t->batch, lower_in_type(t->c, X)->dims[2]};
  const mx x = mx_reshape(t->m, lower_wide_operand(t->c, X), 2, dims);
  const mx w = mx_transpose(t->m, lower_wide_operand(t->c, W), (const int[]){1, 0}, 2);
  const mx in = mx_matmul(t->m, x, w);
  const mx biases = lower_wide_operand(t->c, BIAS);
  return biases ? mx_add(t->m, in, early_biases(t, biases, cell)) : in;
}

/* Is the step within the sequence? [T B, 1], or NULL if all are. */
static mx steps_within(const mlx_state *t) {
  mx_ctx *m = t->m;
  const int64_t steps = t->steps;
  lower_call *c = t->c;
  if (c->n_in <= LENGTHS || !c->in[LENGTHS]) return NULL;
  const mx lengths = mx_cast(m, c->in[LENGTHS], RLX_I64);
  const mx most = mx_scalar(m, RLX_I64, (double)steps), least = mx_scalar(m, RLX_I64, 0);
  lower_refuse(c, mx_logical_or(m, mx_lt(m, lengths, least), mx_gt(m, lengths, most)));
  mx step = mx_arange(m, 0, 1, steps, RLX_I64);
  step = mx_reshape(m, step, 2, (const int64_t[]){steps, 1});
  return mx_reshape(m, mx_lt(m, step, lengths), 2, (const int64_t[]){steps * t->batch, 1});
}

/* The results where there are steps to run. */
static void run_steps(mlx_state *t, const rnn_cell *cell, mx within) {
  const int64_t batch = t->batch, width = cell->gates * t->hidden;
  const mx in = inputs_of_steps(t, cell), peepholes = lower_wide_operand(t->c, PEEPHOLES);
  mx *all = mem_new((size_t)t->steps, sizeof *all);
  if (!all) mx_fail(t->m, status_memory((size_t)t->steps * sizeof *all));
  t->r = mx_transpose(t->m, lower_wide_operand(t->c, R), (const int[]){1, 0}, 2);
  for (int64_t g = 0; peepholes && g < 3; g++)
    t->peepholes[g] = elements(t, peepholes, g * t->hidden, t->hidden);
  for (int64_t i = 0; all && i < t->steps; i++) {
    const int64_t at = t->s->reverse ? t->steps - 1 - i : i, row[] = {at * batch, 0};
    const mx h = t->h, c = t->cell;
    t->in = lower_cut(t->c, in, 2, row, (int64_t[]){batch, width}, NULL);
    t->back = mx_matmul(t->m, h, t->r);
    cell->mlx(t);
    if (within) {
      const mx here = lower_cut(t->c, within, 2, row, (int64_t[]){batch, 1}, NULL);
      t->h = mx_where(t->m, here, t->h, h);
      t->cell = mx_where(t->m, here, t->cell, c);
    }
    all[at] = t->h;
  }
  if (all) t->all = mx_concat(t->m, all, (size_t)t->steps, 0);
  if (within) t->all = mx_where(t->m, within, t->all, mx_scalar(t->m, t->dtype, 0));
  mem_free(all);
}

static mx first_state(const mlx_state *t, size_t operand) {
  const mx given = lower_wide_operand(t->c, operand), zero = mx_scalar(t->m, t->dtype, 0);
  return given ? given : mx_broadcast_to(t->m, zero, 2, (int64_t[]){t->batch, t->hidden});
}

static void cell_lower(lower_call *c, const rnn_cell *cell) {
  const rnn_spec s = cell->spec(c->attrs);
  const ir_type *y = lower_out_type(c, 0);
  mlx_state t = {c, c->m, &s, lower_wide(y->dtype), y->dims[0], y->dims[1], y->dims[2]};
  const mx within = steps_within(&t);
  t.all = lower_zeros(c);
  t.h = first_state(&t, FIRST_H);
  t.cell = first_state(&t, FIRST_C);
  if (ref_product(y->dims, 3) > 0) run_steps(&t, cell, within);
  const mx out[] = {mx_reshape(c->m, t.all, 3, y->dims), t.h, t.cell};
  for (size_t i = 0; i < c->n_out; i++) c->out[i] = mx_cast(c->m, out[i], y->dtype);
}

/* --- on a CPU */

static bool kernel_takes(const ir_infer *c) {
  const rlx_dtype dtype = c->in[X].dtype;
  return dtype == RLX_F32 || dtype == RLX_F16 || dtype == RLX_BF16;
}

typedef struct rnn_packing {
  const rnn *p;
  int64_t k;
  const void *from;
} rnn_packing;

static void fill_panels(const void *ctx, void *to) {
  const rnn_packing *f = ctx;
  rnn_pack(f->p, f->k, f->from, to);
}
static void fill_bias(const void *ctx, void *to) {
  const rnn_packing *f = ctx;
  rnn_pack_bias(f->p, f->from, to);
}

/* Weights [G H,k] or biases as the kernel wants them, if they are constant; else *out stays. */
static rlx_status pack_constant(kernel_call *c, const rnn *p, size_t operand, int64_t k,
                                const float **out) {
  const bool bias = operand == BIAS;
  const rnn_packing f = {p, k, operand < c->node->n_in ? c->constant[operand] : NULL};
  const int64_t floats = bias ? rnn_packed_bias(p) : rnn_packed(p, k);
  char kind[32]; /* biases of a GRU depend on the variant */
  const void *data = NULL;
  snprintf(kind, sizeof kind, "%s%s%s", c->node->op->name, bias ? " biases" : "",
           bias && p->variant ? ", late" : "");
  if (!f.from || floats == 0) return RLX_OK;
  RLX_TRY(kernel_pack(c, operand, kind, (size_t)floats * sizeof(float),
                      bias ? fill_bias : fill_panels, &f, &data));
  *out = data;
  return RLX_OK;
}

static rlx_status cell_prepare(kernel_call *c, const rnn_cell *cell, const char *name) {
  const rnn_spec s = cell->spec(c->attrs);
  const int64_t *x = c->in[X].dims;
  rnn *p = kernel_state(c, sizeof *p);
  if (!p) return status_memory(sizeof *p);
  *p = (rnn){.kind = cell->kind,
             .dtype = c->in[X].dtype,
             .gates = cell->gates,
             .steps = x[0],
             .batch = x[1],
             .inputs = x[2],
             .hidden = c->in[R].dims[1],
             .reverse = s.reverse,
             .variant = s.variant,
             .clip = (float)s.clip,
             .n_in = c->node->n_in};
  if (p->n_in > LENGTHS) p->length_dtype = c->in[LENGTHS].dtype;
  for (size_t i = 0; i < cell->n_functions; i++)
    p->f[i] = (rnn_apply){(rnn_act)(s.f[i] - rnn_functions), (float)s.a[i], (float)s.b[i]};
  rnn_plan(p, c->threads);
  RLX_TRY(pack_constant(c, p, W, p->inputs, &p->w));
  RLX_TRY(pack_constant(c, p, R, p->hidden, &p->r));
  RLX_TRY(pack_constant(c, p, BIAS, 0, &p->bias));
  c->scratch = rnn_plan(p, c->threads); /* less where constants are packed */
  c->state = p;
  c->run = rnn_run;
  c->name = name;
  return RLX_OK;
}

/* --- the operations */

static rnn_spec spec_lstm(const void *attrs) {
  const rlx_lstm_attrs *a = attrs;
  rnn_spec s = spec_of((const char *[]){a->f, a->g, a->h}, 3, a->alpha, a->beta);
  s.reverse = a->reverse;
  s.variant = a->input_forget;
  s.clip = a->clip;
  return s;
}
static rnn_spec spec_gru(const void *attrs) {
  const rlx_gru_attrs *a = attrs;
  rnn_spec s = spec_of((const char *[]){a->f, a->g}, 2, a->alpha, a->beta);
  s.reverse = a->reverse;
  s.variant = a->linear_before_reset;
  s.clip = a->clip;
  return s;
}
static rnn_spec spec_rnn(const void *attrs) {
  const rlx_rnn_attrs *a = attrs;
  rnn_spec s = spec_of((const char *[]){a->f}, 1, a->alpha, a->beta);
  s.reverse = a->reverse;
  s.clip = a->clip;
  return s;
}

static const rnn_cell cell_lstm = {RNN_LSTM, 4, 3, spec_lstm, lstm_ref_step, lstm_mlx_step},
                      cell_gru = {RNN_GRU, 3, 2, spec_gru, gru_ref_step, gru_mlx_step},
                      cell_rnn = {RNN_PLAIN, 1, 1, spec_rnn, rnn_ref_step, rnn_mlx_step};

#define CELL(name, cell, cases_)                                                          \
  static rlx_status name##_infer(ir_infer *c) { return cell_infer(c, &cell); }             \
  static rlx_status name##_ref(ref_call *c) { return cell_ref(c, &cell); }                 \
  static void name##_lower(lower_call *c) { cell_lower(c, &cell); }                        \
  static rlx_status name##_prepare(kernel_call *c) { return cell_prepare(c, &cell, #name); } \
  static const ir_kernel name##_kernel = {kernel_takes, name##_prepare, {ORDER_ROWS},        \
                                          ORDER_ROWS, false};                                \
  RLX_BLOCK(name) = {.infer = name##_infer,                                                \
                     .ref = name##_ref,                                                    \
                     .lower = name##_lower,                                                \
                     .kernel = &name##_kernel,                                             \
                     .no_grad = NO_GRAD_YET,                                               \
                     .cases = CASES(cases_)}

#define LSTM "f32[4,2,2], f32[12,2], f32[12,3]"
#define LSTM_ALL LSTM ", f32[24], i32[2]{4,2}, f32[2,3], f32[2,3], f32[9]"
CELL(lstm, cell_lstm,
     LSTM ";" LSTM " reverse=true;" LSTM_ALL ";" LSTM_ALL " reverse=true;"
     LSTM_ALL " clip=0.3;" LSTM_ALL " input_forget=true;" LSTM ", f32[24];"
     LSTM ", _, _, f32[2,3]{3:5}, f32[2,3]{3:5};" LSTM ", _, i64[2]{0,3}, _, f32[2,3];"
     LSTM_ALL " f=hard_sigmoid g=scaled_tanh h=softsign alpha=[0.4,1.5] beta=[0.3,0.7];"
     LSTM_ALL " f=elu g=leaky_relu h=relu alpha=[0.5,0.2] reverse=true;"
     LSTM " f=softplus g=thresholded_relu h=affine alpha=[0,0.1,0.9] beta=[0,0,0.2];"
     "f32[30,3,5], f32[64,5], f32[64,16], f32[128]; f64[4,2,2], f64[12,2], f64[12,3], f64[24];"
     "f16[4,2,2], f16[12,2], f16[12,3], f16[24]; bf16[4,2,2], bf16[12,2], bf16[12,3], bf16[24];"
     "f32[1,1,4], f32[8,4], f32[8,2]; f32[0,2,2], f32[12,2], f32[12,3], _, _, f32[2,3], f32[2,3];"
     "f32[4,0,2], f32[12,2], f32[12,3]; f32[4,2,0], f32[12,0], f32[12,3], f32[24];"
     "f32[4,0,2], f32[12,2], f32[12,3], _, i32[0];"
     "f32[0,2,2], f32[12,2], f32[12,3], _, i32[2]{0,0};"
     "f32[4,2,2], f32[0,2], f32[0,0]; " LSTM ", _, i32[2]{5,1} !index;"
     LSTM ", _, i32[2]{1,-1} !index;" LSTM ", _, f32[2] !dtype;"
     "f32[4,2], f32[12,2], f32[12,3] !shape;"
     "f32[4,2,2], f32[9,2], f32[12,3] !shape; f32[4,2,2], f32[12,2], f64[12,3] !dtype;"
     LSTM ", f32[12] !shape;" LSTM ", _, _, f32[3,3] !shape;"
     "i32[4,2,2], i32[12,2], i32[12,3] !dtype;"
     LSTM " clip=0 !argument;" LSTM " alpha=[1,1,1,1] !argument; f32[4,2,2], f32[12,2] !argument");

#define GRU "f32[4,2,2], f32[9,2], f32[9,3]"
#define GRU_ALL GRU ", f32[18], i32[2]{4,2}, f32[2,3]"
CELL(gru, cell_gru,
     GRU ";" GRU " linear_before_reset=true;" GRU " reverse=true;" GRU_ALL ";"
     GRU_ALL " reverse=true;"
     GRU_ALL " linear_before_reset=true;" GRU_ALL " linear_before_reset=true reverse=true;"
     GRU_ALL " clip=0.3;" GRU ", f32[18]; " GRU ", _, i64[2]{0,3};"
     GRU_ALL " f=hard_sigmoid g=softplus alpha=[0.4] beta=[0.3] linear_before_reset=true;"
     GRU_ALL " g=affine alpha=[0,0.7] beta=[0,0.1]; f32[30,3,5], f32[48,5], f32[48,16], f32[96];"
     "f64[4,2,2], f64[9,2], f64[9,3], f64[18]; f16[4,2,2], f16[9,2], f16[9,3], f16[18];"
     "bf16[4,2,2], bf16[9,2], bf16[9,3], bf16[18] linear_before_reset=true;"
     "f32[0,2,2], f32[9,2], f32[9,3]; f32[4,0,2], f32[9,2], f32[9,3];"
     "f32[4,2,0], f32[9,0], f32[9,3];"
     GRU ", _, i32[2]{5,1} !index;" GRU ", f32[9] !shape;"
     "f32[4,2,2], f32[12,2], f32[12,3] !shape;" GRU " clip=nan !argument;"
     GRU " beta=[1,1,1] !argument");

#define RNN "f32[4,2,2], f32[3,2], f32[3,3]"
#define RNN_ALL RNN ", f32[6], i32[2]{4,2}, f32[2,3]"
CELL(rnn, cell_rnn,
     RNN ";" RNN " reverse=true;" RNN_ALL ";" RNN_ALL " reverse=true;" RNN_ALL " clip=0.3;"
     RNN " f=relu;" RNN " f=sigmoid;" RNN ", f32[6]; " RNN ", _, i64[2]{0,3}, f32[2,3];"
     "f32[30,3,5], f32[16,5], f32[16,16]{-0.2:0.2}, f32[32];"
     "f64[4,2,2], f64[3,2], f64[3,3], f64[6];"
     "f16[4,2,2], f16[3,2], f16[3,3], f16[6]; bf16[4,2,2], bf16[3,2], bf16[3,3];"
     "f32[0,2,2], f32[3,2], f32[3,3]; f32[4,0,2], f32[3,2], f32[3,3];"
     "f32[4,2,0], f32[3,0], f32[3,3];"
     RNN ", _, i32[2]{-1,1} !index;" RNN ", f32[3] !shape;" RNN " clip=-1 !argument;"
     RNN " alpha=[1,1] !argument");
