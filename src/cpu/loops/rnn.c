/* cpu/loops/rnn.c: blocks of 16 units of a recurrent cell. */
#include "cpu/rnn.h"

#include <string.h>

#include "cpu/loops/loops.h"
#include "cpu/loops/product.h"
#include "cpu/loops/vmath.h"

static int64_t bytes_of(const rnn *p) { return p->dtype == RLX_F32 ? 4 : 2; }
static int64_t padded(const rnn *p) { return p->blocks * PANEL; }
static int64_t units_of(const rnn *p, int64_t block) {
  const int64_t left = p->hidden - block * PANEL;
  return left < PANEL ? left : PANEL;
}

/* --- packing: rows of [G H,k] to panels, zeros for units that are not there */

enum { PIECE = 256 };

/* n units' rows of k to a panel. */
static void pack_panel(const rnn *p, int64_t k, int64_t n, const char *from, float *to) {
  float rows[PANEL * PIECE];
  for (int64_t at = 0; at < k; at += PIECE) {
    const int64_t m = k - at < PIECE ? k - at : PIECE;
    for (int64_t j = 0; j < n; j++)
      LOOP_NAME(lane_load)
      (LANE_F32, p->dtype, from + (j * k + at) * bytes_of(p), 1, m, rows + j * PIECE);
    LOOP_NAME(copy_transposed)
    (sizeof *to, m, n, (const char *)rows, 0, sizeof *rows * PIECE, (char *)(to + at * PANEL),
     sizeof *to * PANEL, sizeof *to);
  }
}

void LOOP_NAME(rnn_pack)(const rnn *p, int64_t k, const void *from, float *to) {
  for (int64_t i = 0; i < p->blocks * p->gates; i++, to += k * PANEL) {
    const int64_t block = i / p->gates, gate = i % p->gates, n = units_of(p, block);
    const int64_t row = gate * p->hidden + block * PANEL;
    if (n < PANEL) memset(to, 0, (size_t)(k * PANEL) * sizeof *to);
    pack_panel(p, k, n, (const char *)from + row * k * bytes_of(p), to);
  }
}

/* --- products */

/* Few rows of a times the panels of several gates, so that a panel is read once for all rows and
 * there are sums enough to keep the units busy: c[g][i][j] += sum over k of a[i][k] b[g][k][j]. */
static inline __attribute__((always_inline)) void few_rows(int gates, int rows, const float *a,
                                                           int64_t a_row, int64_t n, const float *b,
                                                           float *c, int64_t c_gate) {
  vector sum[RNN_GATES][2][VECTORS];
#define EACH_SUM                                                                               \
  PRODUCT_UNROLL for (int g = 0; g < gates; g++) PRODUCT_UNROLL for (int i = 0; i < rows; i++) \
      PRODUCT_UNROLL for (int v = 0; v < VECTORS; v++)
  EACH_SUM sum[g][i][v] = ((const vector *)(const void *)(c + g * c_gate + i * PANEL))[v];
  for (int64_t k = 0; k < n; k++)
    EACH_SUM sum[g][i][v] +=
        a[i * a_row + k] * ((const vector *)(const void *)(b + (g * n + k) * PANEL))[v];
  EACH_SUM((vector *)(void *)(c + g * c_gate + i * PANEL))[v] = sum[g][i][v];
#undef EACH_SUM
}

static void one_row(int64_t gates, const float *a, int64_t n, const float *b, float *c,
                    int64_t c_gate) {
  if (gates == 4) few_rows(4, 1, a, 0, n, b, c, c_gate);
  else if (gates == 3) few_rows(3, 1, a, 0, n, b, c, c_gate);
  else if (gates == 2) few_rows(2, 1, a, 0, n, b, c, c_gate);
  else few_rows(1, 1, a, 0, n, b, c, c_gate);
}

static void two_rows(int64_t gates, const float *a, int64_t a_row, int64_t n, const float *b,
                     float *c, int64_t c_gate) {
  for (; gates >= 2; gates -= 2, b += 2 * n * PANEL, c += 2 * c_gate)
    few_rows(2, 2, a, a_row, n, b, c, c_gate);
  if (gates > 0) few_rows(1, 2, a, a_row, n, b, c, c_gate);
}

/* c [gates][rows][16] += a [rows, n] times the panels of `gates` gates. */
static void gate_products(int64_t gates, int64_t rows, const float *a, int64_t a_row, int64_t n,
                          const float *b, float *c) {
  int64_t i = rows >= 4 ? rows - rows % 4 : 0;
  for (int64_t g = 0; g < gates && i > 0; g++)
    product(i, a, a_row, 1, n, b + g * n * PANEL, c + g * rows * PANEL, true);
  for (; i + 2 <= rows; i += 2)
    two_rows(gates, a + i * a_row, a_row, n, b, c + i * PANEL, rows * PANEL);
  if (i < rows) one_row(gates, a + i * a_row, n, b, c + i * PANEL, rows * PANEL);
}

void LOOP_NAME(rnn_inputs)(const rnn *p, int64_t rows, const float *x, const float *w,
                           int64_t block, float *to) {
  const int64_t panels = p->gates;
  to += block * panels * rows * PANEL;
  memset(to, 0, (size_t)(panels * rows * PANEL) * sizeof *to);
  gate_products(panels, rows, x, p->inputs, p->inputs, w + block * panels * p->inputs * PANEL, to);
}

/* --- functions */

#define EACH(expression)                                  \
  {                                                       \
    _Pragma("omp simd") for (int j = 0; j < PANEL; j++) { \
      const float v = x[j];                               \
      x[j] = expression;                                  \
    }                                                     \
    return;                                               \
  }
static void apply(const rnn_apply *f, float *x) {
  const float a = f->a, b = f->b;
  switch (f->act) {
    case RNN_SIGMOID: EACH(v_sigmoid(v))
    case RNN_TANH: EACH(v_tanh(v))
    case RNN_RELU: EACH(v_atleast(v, 0.0f))
    case RNN_AFFINE: EACH(a * v + b)
    case RNN_LEAKY_RELU: EACH(v >= 0.0f ? v : a * v)
    case RNN_THRESHOLDED_RELU: EACH(v >= a ? v : 0.0f)
    case RNN_SCALED_TANH: EACH(a * v_tanh(b * v))
    case RNN_HARD_SIGMOID: EACH(v_atmost(v_atleast(a * v + b, 0.0f), 1.0f))
    case RNN_ELU: EACH(v >= 0.0f ? v : a * v_expm1(v))
    case RNN_SOFTSIGN: EACH(v / (1.0f + v_abs(v)))
    case RNN_SOFTPLUS: EACH(v_softplus(v))
  }
}
#undef EACH

/* Function f of clipped sums. */
static void gate(const rnn *p, size_t f, float *x) {
  if (p->clip < __builtin_inff())
#pragma omp simd
    for (int j = 0; j < PANEL; j++) x[j] = v_atmost(v_atleast(x[j], -p->clip), p->clip);
  apply(&p->f[f], x);
}

/* --- one row of one block: sums of gate g at x[g] become the next state */

static void lstm_row(const rnn *p, const rnn_step *t, int64_t block, int64_t at, float *const *x) {
  static const float none[3 * PANEL];
  const float *peep = t->peepholes ? t->peepholes + block * 3 * PANEL : none;
  float *c = t->c + at, *i = x[0], *o = x[1], *f = x[2], *g = x[3], cell[PANEL];
  for (int j = 0; j < PANEL && t->peepholes; j++) {
    i[j] += peep[j] * c[j];
    f[j] += peep[2 * PANEL + j] * c[j];
  }
  gate(p, 0, i);
  if (p->variant)
    for (int j = 0; j < PANEL; j++) f[j] = 1 - i[j];
  else gate(p, 0, f);
  gate(p, 1, g);
  for (int j = 0; j < PANEL; j++) cell[j] = c[j] = f[j] * c[j] + i[j] * g[j];
  for (int j = 0; j < PANEL && t->peepholes; j++) o[j] += peep[PANEL + j] * c[j];
  gate(p, 0, o);
  apply(&p->f[2], cell);
  for (int j = 0; j < PANEL; j++) t->next[at + j] = o[j] * cell[j];
}

/* The first two gates: z, and the state that the candidate's product is made of. */
static void gru_gates(const rnn *p, const rnn_step *t, int64_t at, float *const *x) {
  gate(p, 0, x[0]);
  gate(p, 0, x[1]);
  for (int j = 0; j < PANEL; j++) {
    t->z[at + j] = x[0][j];
    t->reset[at + j] = x[1][j] * (p->variant ? 1 : t->h[at + j]);
  }
}
static void gru_row(const rnn *p, const rnn_step *t, int64_t at, float *sum) {
  gate(p, 1, sum);
  for (int j = 0; j < PANEL; j++)
    t->next[at + j] = (1 - t->z[at + j]) * sum[j] + t->z[at + j] * t->h[at + j];
}

static void store_row(const rnn *p, const rnn_step *t, int64_t block, int64_t b) {
  const int64_t n = units_of(p, block), at = b * padded(p) + block * PANEL;
  char *y = t->y ? t->y + (b * p->hidden + block * PANEL) * bytes_of(p) : NULL;
  if (t->ended && t->ended[b]) {
    memcpy(t->next + at, t->h + at, PANEL * sizeof *t->next);
    if (y) memset(y, 0, (size_t)(n * bytes_of(p)));
  } else if (y && p->dtype == RLX_F32) {
    memcpy(y, t->next + at, (size_t)n * sizeof(float));
  } else if (y) {
    LOOP_NAME(lane_store)(LANE_F32, t->next + at, p->dtype, y, 1, n);
  }
}

/* --- a block's step */

/* sums [gates][rows][16] of gates first.. start as x w and the biases of w and r. */
static void start_sums(const rnn *p, const rnn_step *t, int64_t block, int64_t first, int64_t gates,
                       float *sums) {
  const float *bias = t->bias + (block * (p->gates + 1) + first) * PANEL;
  for (int64_t g = 0; g < gates; g++, bias += PANEL) {
    const float *in = t->in + (block * p->gates + first + g) * t->in_rows * PANEL;
    for (int64_t i = 0; i < p->batch; i++, in += PANEL, sums += PANEL)
#pragma omp simd
      for (int j = 0; j < PANEL; j++) sums[j] = in[j] + bias[j];
  }
}

/* Panels of a block's gates from `first` on. */
static const float *panels_of(const rnn *p, const rnn_step *t, int64_t block, int64_t first) {
  return t->r + (block * p->gates + first) * p->hidden * PANEL;
}

static void rows_step(const rnn *p, const rnn_step *t, int64_t block, float *sums) {
  const int64_t rows = p->batch;
  start_sums(p, t, block, 0, p->gates, sums);
  gate_products(p->gates, rows, t->h, padded(p), p->hidden, panels_of(p, t, block, 0), sums);
  for (int64_t b = 0; b < rows; b++) {
    const int64_t at = b * padded(p) + block * PANEL;
    float *x[RNN_GATES] = {NULL};
    for (int64_t g = 0; g < p->gates; g++) x[g] = sums + (g * rows + b) * PANEL;
    if (!t->ended || !t->ended[b]) {
      if (p->kind == RNN_LSTM) {
        lstm_row(p, t, block, at, x);
      } else {
        gate(p, 0, x[0]);
        memcpy(t->next + at, x[0], PANEL * sizeof *x[0]);
      }
    }
    store_row(p, t, block, b);
  }
}

static void gru_first(const rnn *p, const rnn_step *t, int64_t block, float *sums) {
  const int64_t rows = p->batch;
  start_sums(p, t, block, 0, 2, sums);
  gate_products(2, rows, t->h, padded(p), p->hidden, panels_of(p, t, block, 0), sums);
  for (int64_t b = 0; b < rows; b++)
    gru_gates(p, t, b * padded(p) + block * PANEL,
              (float *[]){sums + b * PANEL, sums + (rows + b) * PANEL});
}

/* With linear_before_reset the gate scales the product, else the state before it. */
static void gru_second(const rnn *p, const rnn_step *t, int64_t block, float *sums) {
  const int64_t rows = p->batch;
  const float *late = t->bias + (block * (p->gates + 1) + 3) * PANEL;
  float *back = sums + rows * PANEL;
  start_sums(p, t, block, 2, 1, sums);
  for (int64_t i = 0; i < rows * PANEL; i++) back[i] = late[i % PANEL];
  gate_products(1, rows, p->variant ? t->h : t->reset, padded(p), p->hidden,
                panels_of(p, t, block, 2), back);
  for (int64_t b = 0; b < rows; b++) {
    const int64_t at = b * padded(p) + block * PANEL;
    float *sum = sums + b * PANEL, *past = back + b * PANEL;
    for (int j = 0; j < PANEL; j++) sum[j] += past[j] * (p->variant ? t->reset[at + j] : 1);
    gru_row(p, t, at, sum);
    store_row(p, t, block, b);
  }
}

void LOOP_NAME(rnn_block)(const rnn *p, const rnn_step *t, bool second, int64_t block,
                          float *sums) {
  if (p->kind != RNN_GRU) rows_step(p, t, block, sums);
  else if (second) gru_second(p, t, block, sums);
  else gru_first(p, t, block, sums);
}
