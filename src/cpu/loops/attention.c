/* cpu/loops/attention.c: one block of attention: 16 queries, one in each lane of a panel, over all
 * the keys that they see; or one query by itself, where there are few.
 *
 * In a block everything is held across: q as [D][16], the scores of a chunk of keys as [S][16], the
 * sums of values as [E][16]. So k and v are read where they lie, element by element, both products
 * are the same loop, and the softmax goes down the lanes without adding up within a vector.
 *
 * Laws: a row that sees no key is zero; NaN among the scores that are seen gives NaN; of keys that
 * no query of the block can see nothing is read. Sums in f32, in the order of the keys. */
#include "cpu/attention.h"

#include <string.h>

#include "cpu/loops/loops.h"
#include "cpu/loops/product.h"
#include "cpu/loops/vmath.h"

enum { KEYS = ATTENTION_KEYS, ROW = PANEL * (int)sizeof(float) };

typedef struct lanes {
  int64_t n;               /* in use; the others repeat the first */
  bool one_head, one_mask; /* the lanes read neighbouring rows of q; the same row of the mask */
  int64_t q[PANEL], mask[PANEL], out[PANEL];
  int64_t from[PANEL], to[PANEL]; /* the keys that causal and window let it see */
  int64_t first, last;            /* ... any of them */
  int64_t all_from, all_to;       /* ... all of them */
} lanes;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t offset(const int64_t *strides, int64_t b, int64_t h, int64_t t) {
  return b * strides[0] + h * strides[1] + t * strides[2];
}

static void lane_set(const attention *a, int64_t b, int64_t head, int64_t t, int64_t i, lanes *l) {
  const int64_t at = t + a->keys - a->queries;
  l->q[i] = offset(a->q, b, head, t);
  l->mask[i] = offset(a->mask, b, head, t);
  l->out[i] = offset(a->out, b, head, t);
  l->from[i] = a->window ? most(0, at - a->window + 1) : 0;
  l->to[i] = a->causal ? least(a->keys, most(0, at + 1)) : a->keys;
  if (a->window) l->to[i] = least(l->to[i], most(0, at + a->window));
  l->first = least(l->first, l->from[i]);
  l->last = most(l->last, l->to[i]);
  l->all_from = most(l->all_from, l->from[i]);
  l->all_to = least(l->all_to, l->to[i]);
  l->one_mask = l->one_mask && l->mask[i] == l->mask[0];
}

/* The rows from `row` on of key head h. */
static void lanes_set(const attention *a, int64_t b, int64_t h, int64_t row, lanes *l) {
  int64_t head = h * a->group + row / a->queries, t = row % a->queries;
  *l = (lanes){.n = least(PANEL, a->group * a->queries - row), .one_mask = true};
  l->first = l->all_to = a->keys;
  l->one_head = t + l->n <= a->queries;
  for (int64_t i = 0; i < l->n; i++) {
    lane_set(a, b, head, t, i, l);
    if (++t == a->queries) t = 0, head++;
  }
  for (int64_t i = l->n; i < PANEL; i++) l->from[i] = l->from[0], l->to[i] = l->to[0];
}

/* --- rows to lanes and back; `rows`: room for PANEL rows of n */

static void to_lanes(float *panel, int64_t n, const float *from, int64_t row, int64_t rows) {
  if (rows < PANEL) memset(panel, 0, (size_t)n * ROW);
  LOOP_NAME(copy_transposed)
  (sizeof *panel, n, rows, (const char *)from, 0, row * (int64_t)sizeof *panel, (char *)panel, ROW,
   sizeof *panel);
}

static void load_q(const attention *a, const lanes *l, const void *from, float *rows, float *q) {
  const int64_t n = a->width;
  const size_t bytes = a->dtype == RLX_F32 ? 4 : 2;
  if (a->dtype == RLX_F32 && a->q[3] == 1 && l->one_head) {
    to_lanes(q, n, (const float *)from + l->q[0], a->q[2], l->n);
  } else {
    for (int64_t i = 0; i < l->n; i++) LOOP_NAME(lane_load)
    (LANE_F32, a->dtype, (const char *)from + l->q[i] * (int64_t)bytes, a->q[3], n, rows + i * n);
    to_lanes(q, n, rows, n, l->n);
  }
  for (int64_t i = 0; i < n * PANEL; i++) q[i] *= a->scale;
}

/* The sums divided by those of the weights. */
static void store_out(const attention *a, const lanes *l, float *o, const float *sum, float *rows,
                      void *to) {
  const int64_t n = a->values, bytes = a->dtype == RLX_F32 ? 4 : 2;
  const bool direct = a->dtype == RLX_F32 && a->out[3] == 1 && l->one_head;
  float factor[PANEL];
  for (int j = 0; j < PANEL; j++) factor[j] = sum[j] == 0 ? 0 : 1 / sum[j];
  for (int64_t i = 0; i < n; i++)
    for (int j = 0; j < PANEL; j++) o[i * PANEL + j] *= factor[j];
  char *first = direct ? (char *)to + l->out[0] * bytes : (char *)rows;
  const int64_t row = (direct ? a->out[2] : n) * (int64_t)sizeof *rows;
  LOOP_NAME(copy_transposed)
  (sizeof *o, l->n, n, (const char *)o, sizeof *o, ROW, first, row, sizeof *rows);
  for (int64_t i = 0; i < l->n && !direct; i++) LOOP_NAME(lane_store)
  (LANE_F32, rows + i * n, a->dtype, (char *)to + l->out[i] * bytes, a->out[3], n);
}

/* --- masks: what is added to scores, or of bools 0 and -infinity */

static void load_mask(const attention *a, const char *mask, int64_t at, int64_t n, float *to) {
  const int64_t bytes = a->mask_dtype == RLX_BOOL ? 1 : a->mask_dtype == RLX_F32 ? 4 : 2;
  mask += at * bytes;
  if (a->mask_dtype != RLX_BOOL) {
    LOOP_NAME(lane_load)(LANE_F32, a->mask_dtype, mask, a->mask[3], n, to);
    return;
  }
  for (int64_t i = 0; i < n; i++) to[i] = mask[i * a->mask[3]] ? 0 : -__builtin_inff();
}

/* What a mask makes of scores: of bools, -infinity wins over NaN and infinity. */
static inline void mask_scores(float *p, const float *mask, int64_t n, int step, bool hides) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float m = mask[i * step];
    p[i] = !hides ? p[i] + m : m == 0 ? p[i] : m;
  }
}

/* rows: room for the mask's rows as they are and across. */
static void apply_mask(const attention *a, const lanes *l, const void *mask, int64_t s, int64_t n,
                       float *rows, float *p) {
  const bool hides = a->mask_dtype == RLX_BOOL;
  float *across = rows + PANEL * KEYS;
  if (l->one_mask) {
    load_mask(a, mask, l->mask[0] + s * a->mask[3], n, rows);
    for (int64_t i = 0; i < n; i++) mask_scores(p + i * PANEL, rows + i, PANEL, 0, hides);
    return;
  }
  for (int64_t i = 0; i < l->n; i++)
    load_mask(a, mask, l->mask[i] + s * a->mask[3], n, rows + i * n);
  to_lanes(across, n, rows, n, l->n);
  mask_scores(p, across, n * PANEL, 1, hides);
}

static void apply_sight(const lanes *l, int64_t s, int64_t n, float *p) {
  int32_t from[PANEL], to[PANEL];
  for (int j = 0; j < PANEL; j++) {
    from[j] = (int32_t)most(0, least(n, l->from[j] - s));
    to[j] = (int32_t)most(0, least(n, l->to[j] - s));
  }
  for (int32_t i = 0; i < (int32_t)n; i++)
#pragma omp simd
    for (int j = 0; j < PANEL; j++) {
      float *x = p + i * PANEL + j;
      *x = i >= from[j] && i < to[j] ? *x : -__builtin_inff();
    }
}

static void apply_cap(float cap, int64_t n, float *p) {
  const float inverse = 1 / cap;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) p[i] = cap * v_tanh(p[i] * inverse);
}

/* --- the softmax of what has been seen so far */

typedef struct softmax {
  float top[PANEL], sum[PANEL];
} softmax;

/* Scores of n keys, a multiple of 4, become weights; earlier sums are to be scaled by `factor`.
 * Four keys at a time keep sums in registers. */
static void weigh(softmax *t, int64_t n, float *p, float *factor) {
  float top[PANEL], zero[PANEL], sum[PANEL];
  for (int j = 0; j < PANEL; j++) top[j] = t->top[j], sum[j] = 0;
  for (int64_t i = 0; i < n; i += 4)
#pragma omp simd
    for (int j = 0; j < PANEL; j++) {
      const float *x = p + i * PANEL + j;
      const float a = x[0] > x[PANEL] ? x[0] : x[PANEL];
      const float b = x[2 * PANEL] > x[3 * PANEL] ? x[2 * PANEL] : x[3 * PANEL];
      const float c = a > b ? a : b;
      top[j] = c > top[j] ? c : top[j];
    }
#pragma omp simd
  for (int j = 0; j < PANEL; j++) {
    zero[j] = top[j] == -__builtin_inff() ? 0 : top[j];
    factor[j] = v_exp_down(t->top[j] - zero[j]);
  }
  for (int64_t i = 0; i < n; i += 4)
#pragma omp simd
    for (int j = 0; j < PANEL; j++) {
      float *x = p + i * PANEL + j;
      x[0] = v_exp_down(x[0] - zero[j]);
      x[PANEL] = v_exp_down(x[PANEL] - zero[j]);
      x[2 * PANEL] = v_exp_down(x[2 * PANEL] - zero[j]);
      x[3 * PANEL] = v_exp_down(x[3 * PANEL] - zero[j]);
      sum[j] += (x[0] + x[PANEL]) + (x[2 * PANEL] + x[3 * PANEL]);
    }
  for (int j = 0; j < PANEL; j++) {
    t->sum[j] = t->sum[j] * factor[j] + sum[j];
    t->top[j] = top[j];
  }
}

/* --- blocks */

/* Rows of k or v as f32: where they lie, or `to`. */
static const float *widened(const attention *a, const void *from, int64_t *row, int64_t *step,
                            int64_t at, int64_t n, int64_t width, float *to) {
  if (a->dtype == RLX_F32) return (const float *)from + at + 0 * n;
  for (int64_t i = 0; i < n; i++) LOOP_NAME(lane_load)
  (LANE_F32, a->dtype, (const uint16_t *)from + at + i * *row, *step, width, to + i * width);
  *row = width;
  *step = 1;
  return to;
}

void LOOP_NAME(attention_block)(const attention *a, const void *const *in, void *out, int64_t block,
                                float *scratch) {
  const int64_t each = (a->group * a->queries + PANEL - 1) / PANEL, head = block / each;
  const int64_t b = head / a->heads, h = head % a->heads;
  float *q = scratch, *p = q + a->width * PANEL, *o = p + KEYS * PANEL;
  float *rows = o + a->values * PANEL;
  float factor[PANEL];
  softmax t;
  lanes l;
  lanes_set(a, b, h, block % each * PANEL, &l);
  load_q(a, &l, in[0], rows, q);
  for (int j = 0; j < PANEL; j++) t.top[j] = -__builtin_inff(), t.sum[j] = 0;
  memset(o, 0, (size_t)a->values * ROW);
  for (int64_t s = l.first; s < l.last; s += KEYS) {
    const int64_t n = least(KEYS, l.last - s), padded = (n + 3) & ~(int64_t)3;
    int64_t row = a->k[2], step = a->k[3];
    const float *k = widened(a, in[1], &row, &step, offset(a->k, b, h, s), n, a->width, rows);
    product(n, k, row, step, a->width, q, p, false);
    if (a->softcap > 0) apply_cap(a->softcap, n * PANEL, p);
    if (a->mask_dtype != RLX_DTYPE_COUNT) apply_mask(a, &l, in[3], s, n, rows, p);
    if (s < l.all_from || s + n > l.all_to) apply_sight(&l, s, n, p);
    for (int64_t i = n * PANEL; i < padded * PANEL; i++) p[i] = -__builtin_inff();
    weigh(&t, padded, p, factor);
    if (s > l.first)
      for (int64_t i = 0; i < a->values; i++)
        for (int j = 0; j < PANEL; j++) o[i * PANEL + j] *= factor[j];
    row = a->v[2], step = a->v[3];
    const float *v = widened(a, in[2], &row, &step, offset(a->v, b, h, s), n, a->values, rows);
    product(a->values, v, step, row, n, p, o, true);
  }
  store_out(a, &l, o, t.sum, rows, out);
}

/* --- one query */

/* Of n scores, a multiple of PANEL, n weights; returns by what earlier sums are to be scaled. */
static float weigh_row(float *top, float *sum, int64_t n, float *p) {
  float high[PANEL], part[PANEL], before = *top, total = 0;
  for (int j = 0; j < PANEL; j++) high[j] = before, part[j] = 0;
  for (int64_t i = 0; i < n; i += PANEL)
#pragma omp simd
    for (int j = 0; j < PANEL; j++) high[j] = p[i + j] > high[j] ? p[i + j] : high[j];
  for (int j = 0; j < PANEL; j++) *top = high[j] > *top ? high[j] : *top;
  const float zero = *top == -__builtin_inff() ? 0 : *top, factor = v_exp_down(before - zero);
  for (int64_t i = 0; i < n; i += PANEL)
#pragma omp simd
    for (int j = 0; j < PANEL; j++) part[j] += p[i + j] = v_exp_down(p[i + j] - zero);
  for (int j = 0; j < PANEL; j++) total += part[j];
  *sum = *sum * factor + total;
  return factor;
}

typedef float loose __attribute__((vector_size(VECTOR * sizeof(float)), aligned(4), may_alias));

static float dot(const float *x, const float *y, int64_t n) {
  vector sums = {0};
  float sum = 0;
  int64_t i = 0;
  for (; i + VECTOR <= n; i += VECTOR)
    sums += *(const loose *)(const void *)(x + i) * *(const loose *)(const void *)(y + i);
  for (int j = 0; j < VECTOR; j++) sum += sums[j];
  for (; i < n; i++) sum += x[i] * y[i];
  return sum;
}

/* o = o factor + p v, four keys at a time. */
static void add_values(const float *p, const float *restrict v, int64_t row, int64_t n,
                       int64_t width, float factor, float *restrict o) {
#pragma omp simd
  for (int64_t e = 0; e < width; e++) o[e] *= factor;
  for (; n >= 4; n -= 4, p += 4, v += 4 * row)
#pragma omp simd
    for (int64_t e = 0; e < width; e++)
      o[e] += (p[0] * v[e] + p[1] * v[row + e]) + (p[2] * v[2 * row + e] + p[3] * v[3 * row + e]);
  for (; n > 0; n--, p++, v += row)
#pragma omp simd
    for (int64_t e = 0; e < width; e++) o[e] += p[0] * v[e];
}

void LOOP_NAME(attention_row)(const attention *a, const void *const *in, void *out, int64_t block,
                              float *scratch) {
  const int64_t heads = a->heads * a->group, t = block % a->queries;
  const int64_t head = block / a->queries % heads, b = block / a->queries / heads;
  float *p = scratch, *mask = p + KEYS, *o = mask + KEYS, top = -__builtin_inff(), sum = 0;
  lanes l = {.one_mask = true};
  lane_set(a, b, head, t, 0, &l);
  memset(o, 0, (size_t)a->values * sizeof *o);
  for (int64_t s = l.from[0]; s < l.to[0]; s += KEYS) {
    const int64_t n = least(KEYS, l.to[0] - s);
    const float *k = (const float *)in[1] + offset(a->k, b, head / a->group, s);
    const float *v = (const float *)in[2] + offset(a->v, b, head / a->group, s);
    for (int64_t i = 0; i < n; i++)
      p[i] = a->scale * dot((const float *)in[0] + l.q[0], k + i * a->k[2], a->width);
    if (a->softcap > 0) apply_cap(a->softcap, n, p);
    if (a->mask_dtype != RLX_DTYPE_COUNT) {
      load_mask(a, in[3], l.mask[0] + s * a->mask[3], n, mask);
      mask_scores(p, mask, n, 1, a->mask_dtype == RLX_BOOL);
    }
    const int64_t padded = (n + PANEL - 1) / PANEL * PANEL;
    for (int64_t i = n; i < padded; i++) p[i] = -__builtin_inff();
    add_values(p, v, a->v[2], n, a->values, weigh_row(&top, &sum, padded, p), o);
  }
  sum = sum == 0 ? 0 : 1 / sum;
  for (int64_t e = 0; e < a->values; e++) ((float *)out)[l.out[0] + e * a->out[3]] = o[e] * sum;
}
