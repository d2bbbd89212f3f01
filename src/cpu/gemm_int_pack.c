/* cpu/gemm_int_pack.c: packing the second factor of integer products.
 *
 * For the loop for 8 bits a panel is a list of groups, each four rows of its columns. Groups go
 * together, two or four, where no a in 0..255 can push their sums out of 16 bits: positive and
 * negative weights that meet in one sum add up to 128 at most each. A group that finds no partner
 * stays single; one that breaks the bound by itself is two singles, its halves. */
#include "cpu/gemm_int_pack.h"

#include <string.h>

#include "base/threads.h"

enum {
  COLUMNS = GEMM_INT_COLUMNS,
  GROUP = 4 * COLUMNS,  /* bytes */
  BOUND = 128,          /* 128 * 255 < 2^15 */
  LANES = 4 * COLUMNS,  /* of each column two sums, of positive and of negative weights */
  BIN = 4,              /* groups that go together at most */
  OPEN = 24,            /* bins that wait for more */
  DEPTH_MOST = 1 << 27, /* rows of b whose groups codes can tell */
};

static int64_t panels_of(int64_t n) { return (n + COLUMNS - 1) / COLUMNS; }
static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

int32_t gemm_int_centre(rlx_dtype b_type) {
  return b_type == RLX_U8 ? 128 : b_type == RLX_U16 ? 32768 : 0;
}

int32_t gemm_int_a_centre(rlx_dtype a_type) {
  return a_type == RLX_I8 ? -128 : a_type == RLX_U16 ? 32768 : 0;
}

void gemm_int_widen(rlx_dtype type, const void *from, int32_t centre, int64_t n, int16_t *to) {
#define WIDEN(type_) \
  for (int64_t i = 0; i < n; i++) to[i] = (int16_t)(((const type_ *)from)[i] - centre)
  if (type == RLX_U8) WIDEN(uint8_t);
  else if (type == RLX_I8) WIDEN(int8_t);
  else if (type == RLX_U16) WIDEN(uint16_t);
  else WIDEN(int16_t);
#undef WIDEN
}

/* --- 16 bits: the sums, then groups of two rows */

size_t gemm_int_panel_bytes(int64_t k) {
  return COLUMNS * (sizeof(int32_t) + (size_t)(k + 1) / 2 * 2 * sizeof(int16_t));
}

static void open_wide(const void *panel, gemm_int_weights *out) {
  out->sums = panel;
  out->wide = (const int16_t *)(const void *)(out->sums + COLUMNS);
}

void gemm_int_pack_panel(const void *b, rlx_dtype type, int64_t k, int64_t n, int64_t column,
                         void *to, gemm_int_weights *out) {
  const int64_t width = n - column < COLUMNS ? n - column : COLUMNS;
  const size_t bytes = gemm_int_width(type);
  int32_t *sums = to;
  int16_t *wide = (int16_t *)(void *)(sums + COLUMNS);
  memset(sums, 0, COLUMNS * sizeof *sums);
  for (int64_t i = 0; i < (k + 1) / 2 * 2; i++) {
    int16_t row[COLUMNS] = {0};
    int16_t *group = wide + i / 2 * 2 * COLUMNS + i % 2;
    if (i < k)
      gemm_int_widen(type, (const char *)b + (size_t)(i * n + column) * bytes,
                     gemm_int_centre(type), width, row);
    for (int64_t c = 0; c < COLUMNS; c++) {
      group[2 * c] = row[c];
      sums[c] = (int32_t)((uint32_t)sums[c] + (uint32_t)(int32_t)row[c]);
    }
  }
  open_wide(to, out);
}

/* --- 8 bits: what becomes of groups */

bool gemm_int_bytes(rlx_dtype a, rlx_dtype b, int64_t k) {
  return gemm_int_width(a) == 1 && gemm_int_width(b) == 1 && k <= DEPTH_MOST &&
         cpu_table()->gemm_int8_kind() != GEMM_INT8_NONE;
}

/* Group `g` of a panel, 0 outside of b. */
static void read_group(const gemm_int_source *s, int64_t panel, int64_t g, int8_t *to) {
  const int64_t column = panel * COLUMNS;
  const int64_t width = s->n - column < COLUMNS ? s->n - column : COLUMNS;
  const uint8_t flip = s->type == RLX_U8 ? 0x80 : 0;
  uint8_t rows[4][COLUMNS] = {{0}};
  for (int64_t i = 0; i < 4 && 4 * g + i < s->k; i++) {
    const uint8_t *from = (const uint8_t *)s->b + (4 * g + i) * s->n + column;
    for (int64_t c = 0; c < width; c++) rows[i][c] = from[c] ^ flip;
  }
  for (int c = 0; c < COLUMNS; c++) {
    to[4 * c] = (int8_t)rows[0][c];
    to[4 * c + 1] = (int8_t)rows[1][c];
    to[4 * c + 2] = (int8_t)rows[2][c];
    to[4 * c + 3] = (int8_t)rows[3][c];
  }
}

/* A plan: counts of each panel, then for each panel room for 2 * groups codes, those of a bin one
 * after another: the group, how many are in its bin, which part of it. */
enum { WHOLE, HALF, REST };
enum { CODE_GROUP = 32, CODE_BIN = 4 }; /* in units of these */
typedef struct plan_panel {
  int64_t quads, pairs, singles;
} plan_panel;

static int64_t codes_of(const plan_panel *p) { return 4 * p->quads + 2 * p->pairs + p->singles; }

static int64_t groups_of(const gemm_int_source *s) { return (s->k + 3) / 4; }

size_t gemm_int_plan_bytes(const gemm_int_source *s) {
  return (size_t)panels_of(s->n) *
         (sizeof(plan_panel) + (size_t)(2 * groups_of(s)) * sizeof(int32_t));
}

static const int32_t *plan_codes(const gemm_int_source *s, const void *plan, int64_t panel) {
  return (const int32_t *)(const void *)((const plan_panel *)plan + panels_of(s->n)) +
         panel * 2 * groups_of(s);
}

/* Groups that may go together, with their sums. */
typedef struct bin {
  int64_t n, groups[BIN];
  int16_t sums[LANES];
} bin;

static void sum_group(const int8_t *group, int16_t *to) {
  for (int i = 0; i < LANES / 2; i++) {
    const int16_t x = group[2 * i], y = group[2 * i + 1];
    to[i] = (int16_t)((x > 0 ? x : 0) + (y > 0 ? y : 0));
    to[LANES / 2 + i] = (int16_t)((x < 0 ? -x : 0) + (y < 0 ? -y : 0));
  }
}

static bool fits(const int16_t *x, const int16_t *y) {
  int16_t most = 0;
  for (int i = 0; i < LANES; i++) {
    const int16_t sum = (int16_t)(x[i] + y[i]);
    most = sum > most ? sum : most;
  }
  return most <= BOUND;
}

typedef struct planner {
  plan_panel *counts;
  int32_t *codes;
  bin open[OPEN];
  int n_open;
} planner;

static void plan_code(planner *p, int64_t group, int32_t n, int32_t part) {
  *p->codes++ = (int32_t)group * CODE_GROUP + n * CODE_BIN + part;
}

/* `n` groups that go together; three do not. */
static void plan_bin(planner *p, const int64_t *groups, int64_t n) {
  if (n == 3) plan_bin(p, groups + --n, 1);
  *(n == 4 ? &p->counts->quads : n == 2 ? &p->counts->pairs : &p->counts->singles) += 1;
  for (int64_t i = 0; i < n; i++) plan_code(p, groups[i], (int32_t)n, WHOLE);
}

static void close_bin(planner *p, int i) {
  plan_bin(p, p->open[i].groups, p->open[i].n);
  p->open[i] = p->open[--p->n_open];
}

static void plan_group(planner *p, const int8_t *data, int64_t group) {
  static const int16_t nothing[LANES];
  int16_t sums[LANES];
  int i = 0;
  sum_group(data, sums);
  if (!fits(sums, nothing)) {
    plan_code(p, group, 1, HALF);
    plan_code(p, group, 1, REST);
    p->counts->singles += 2;
    return;
  }
  while (i < p->n_open && !fits(sums, p->open[i].sums)) i++;
  if (i == OPEN) close_bin(p, i = 0);
  if (i >= p->n_open) p->open[i = p->n_open++] = (bin){0};
  bin *b = &p->open[i];
  for (int k = 0; k < LANES; k++) b->sums[k] = (int16_t)(b->sums[k] + sums[k]);
  b->groups[b->n++] = group;
  if (b->n == BIN) close_bin(p, i);
}

/* Where sums of bytes cannot overflow all neighbours go together. */
static void plan_exact(planner *p, int64_t groups) {
  for (int64_t g = 0; g < groups; g += BIN) {
    const int64_t all[BIN] = {g, g + 1, g + 2, g + 3};
    plan_bin(p, all, groups - g < BIN ? groups - g : BIN);
  }
}

typedef struct packing {
  const gemm_int_source *s;
  void *to;
} packing;

static void plan_one(void *ctx, size_t i, size_t worker) {
  (void)worker;
  const packing *job = ctx;
  const int64_t groups = groups_of(job->s);
  int8_t group[GROUP];
  planner p = {.counts = (plan_panel *)job->to + i};
  p.codes = (int32_t *)(uintptr_t)plan_codes(job->s, job->to, (int64_t)i);
  *p.counts = (plan_panel){0};
  if (cpu_table()->gemm_int8_kind() == GEMM_INT8_EXACT) {
    plan_exact(&p, groups);
    return;
  }
  for (int64_t g = 0; g < groups; g++) {
    read_group(job->s, (int64_t)i, g, group);
    plan_group(&p, group, g);
  }
  while (p.n_open > 0) close_bin(&p, p.n_open - 1);
}

void gemm_int_plan(const void *source, void *to) {
  packing job = {source, to};
  threads_run(job.s->threads, (size_t)panels_of(job.s->n), plan_one, &job);
}

/* --- 8 bits: a packed matrix is the first group and counts of each panel, the sums of columns, the
 * first row of each group, the groups */

typedef struct packed_panel {
  int64_t first;
  plan_panel counts;
} packed_panel;

static const packed_panel *last_panel(const packed_panel *head, int64_t n) {
  return head + panels_of(n) - 1;
}

static int64_t packed_groups(const packed_panel *last) {
  return last->first + codes_of(&last->counts);
}

static const int32_t *packed_sums(const packed_panel *head, int64_t n) {
  return (const int32_t *)(const void *)(head + panels_of(n));
}

static size_t packed_data(int64_t n, int64_t groups) {
  return aligned((size_t)panels_of(n) * (sizeof(packed_panel) + COLUMNS * sizeof(int32_t)) +
                 (size_t)groups * sizeof(int32_t));
}

size_t gemm_int_pack_bytes(const gemm_int_source *s) {
  if (!s->bytes) return (size_t)panels_of(s->n) * gemm_int_panel_bytes(s->k);
  const plan_panel *counts = s->plan;
  int64_t groups = 0;
  for (int64_t i = 0; i < panels_of(s->n); i++) groups += codes_of(&counts[i]);
  return packed_data(s->n, groups) + (size_t)groups * GROUP;
}

void gemm_int_open(const void *packed, bool bytes, int64_t k, int64_t n, int64_t i,
                   gemm_int_weights *out) {
  if (!bytes) {
    open_wide((const char *)packed + (size_t)i * gemm_int_panel_bytes(k), out);
    return;
  }
  const packed_panel *head = packed;
  const size_t data = packed_data(n, packed_groups(last_panel(head, n)));
  out->sums = packed_sums(head, n) + i * COLUMNS;
  out->panel = (gemm_int8_panel){
      .at = packed_sums(head, n) + panels_of(n) * COLUMNS + head[i].first,
      .data = (const int8_t *)packed + data + head[i].first * GROUP,
      .quads = head[i].counts.quads,
      .pairs = head[i].counts.pairs,
      .singles = head[i].counts.singles,
  };
}

/* The group of a code, added to the sums of its columns. */
static void pack_group(const gemm_int_source *s, int64_t panel, int32_t code, int8_t *to,
                       int32_t *sums) {
  const int32_t part = code % CODE_BIN;
  read_group(s, panel, code / CODE_GROUP, to);
  for (int i = 0; i < GROUP && part != WHOLE; i++) {
    const int half = to[i] / 2;
    to[i] = (int8_t)(part == HALF ? half : to[i] - half);
  }
  for (int c = 0; c < COLUMNS; c++, to += 4) sums[c] += to[0] + to[1] + to[2] + to[3];
}

static void pack_bytes(const gemm_int_source *s, void *to, int64_t panel) {
  const plan_panel *counts = (const plan_panel *)s->plan + panel;
  const int32_t *codes = plan_codes(s, s->plan, panel), *end = codes + codes_of(counts);
  gemm_int_weights w;
  gemm_int_open(to, true, s->k, s->n, panel, &w);
  int32_t *at = (int32_t *)(uintptr_t)w.panel.at, *sums = (int32_t *)(uintptr_t)w.sums;
  int8_t *data = (int8_t *)(uintptr_t)w.panel.data;
  memset(sums, 0, COLUMNS * sizeof *sums);
  for (int32_t n = BIN; n > 0; n /= 2)
    for (const int32_t *code = codes; code < end; code++) {
      if (*code % CODE_GROUP / CODE_BIN != n) continue;
      *at++ = *code / CODE_GROUP * 4;
      pack_group(s, panel, *code, data, sums);
      data += GROUP;
    }
}

static void pack_one(void *ctx, size_t i, size_t worker) {
  (void)worker;
  const packing *job = ctx;
  const gemm_int_source *s = job->s;
  gemm_int_weights unused;
  if (s->bytes) pack_bytes(s, job->to, (int64_t)i);
  else
    gemm_int_pack_panel(s->b, s->type, s->k, s->n, (int64_t)i * COLUMNS,
                        (char *)job->to + i * gemm_int_panel_bytes(s->k), &unused);
}

void gemm_int_pack(const void *source, void *to) {
  packing job = {source, to};
  const plan_panel *counts = job.s->plan;
  packed_panel *head = to;
  int64_t first = 0;
  for (int64_t i = 0; job.s->bytes && i < panels_of(job.s->n); i++) {
    head[i] = (packed_panel){first, counts[i]};
    first += codes_of(&counts[i]);
  }
  threads_run(job.s->threads, (size_t)panels_of(job.s->n), pack_one, &job);
}
