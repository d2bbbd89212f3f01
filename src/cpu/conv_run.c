/* cpu/conv_run.c: a convolution at work: where the windows of a block of places look, and what goes
 * around the tiles. */
#include <string.h>

#include "base/threads.h"
#include "cpu/conv_plan.h"

enum { MOST_PANEL = 48, MOST_TILES = DEPTH_BLOCK / 6, LAST = CONV_AXES - 1, LINE = 64 };

/* A tap along one axis that a phase has: its number, and how far it is from a window's place. */
typedef struct conv_move {
  int64_t tap, by;
} conv_move;

/* Where the window at a place looks, and which place of the result it is. */
typedef struct conv_spot {
  int64_t offset, result;
  int64_t at[CONV_AXES]; /* only of those that are not inside */
  bool inside;           /* all taps lie within x */
} conv_spot;

typedef struct conv_job {
  const conv_plan *p;
  const float *x, *weights, *bias;
  void *y;
  const void *const *in;
  char *scratch;
} conv_job;

/* A worker's piece of scratch, and the block that it is at. */
typedef struct conv_block {
  const conv_job *job;
  int64_t *delta, *at; /* of the phase's taps: elements from the window's place, packed row */
  conv_move *moves[CONV_AXES];
  int64_t n_moves[CONV_AXES], least[CONV_AXES], most[CONV_AXES];
  const float **rows;
  float *acc;  /* [places][columns of a part], where something comes behind */
  float *line; /* results that have been spread, for the epilogue */
  int64_t n_taps;
  int64_t phase[CONV_AXES], counts[CONV_AXES];       /* places of the phase per axis */
  int64_t place[1 + CONV_AXES];                      /* image, then the axes */
  int64_t steps[CONV_AXES];                          /* in x, from place to place */
  int64_t n;                                         /* places */
  conv_spot spots[DEPTH_BLOCK];
  float *to[DEPTH_BLOCK];
  conv_tile tiles[MOST_TILES];
  int64_t n_tiles;
} conv_block;

/* --- scratch */

static int64_t part_columns(const conv_plan *p) {
  const int64_t panel = p->form.vectors ? p->form.vectors * p->form.lanes : p->s.out;
  return at_most(p->s.out, divide_up(p->panels * p->form.groups, p->parts) * panel);
}

static int64_t taps_bytes(const conv_plan *p) {
  int64_t moves = 0;
  for (int i = 0; i < CONV_AXES; i++) moves += p->s.axis[i].kernel;
  return round_up(2 * p->form.taps * (int64_t)sizeof(int64_t) +
                      moves * (int64_t)sizeof(conv_move),
                  LINE);
}
static int64_t rows_bytes(const conv_plan *p) {
  return round_up(p->block * p->form.taps * (int64_t)sizeof(float *), LINE);
}
static bool is_spread(const conv_plan *p) { return p->s.out != p->channels; }
/* Are sums made where the results will lie? */
static bool is_direct(const conv_plan *p) {
  return !is_spread(p) && (!p->epilogue || p->unit == (int64_t)sizeof(float));
}

static int64_t acc_bytes(const conv_plan *p) {
  if (is_direct(p)) return 0;
  return round_up(p->block * part_columns(p) * (int64_t)sizeof(float), LINE);
}
static int64_t piece_bytes(const conv_plan *p) {
  return taps_bytes(p) + rows_bytes(p) + acc_bytes(p) * (is_spread(p) ? 2 : 1);
}

int64_t conv_scratch(const conv_plan *p) {
  return p->threads * piece_bytes(p) + (p->weights ? 0 : conv_packed(p));
}

static void block_begin(conv_block *b, const conv_job *job, size_t worker) {
  char *piece = job->scratch + (int64_t)worker * piece_bytes(job->p);
  b->job = job;
  b->delta = (int64_t *)piece;
  b->at = b->delta + job->p->form.taps;
  b->moves[0] = (conv_move *)(b->at + job->p->form.taps);
  for (int i = 1; i < CONV_AXES; i++) b->moves[i] = b->moves[i - 1] + job->p->s.axis[i - 1].kernel;
  b->rows = (const float **)(piece + taps_bytes(job->p));
  b->acc = (float *)(piece + taps_bytes(job->p) + rows_bytes(job->p));
  b->line = b->acc + acc_bytes(job->p) / (int64_t)sizeof(float);
}

/* --- the taps of a phase */

static void find_moves(conv_block *b, int i) {
  const conv_shape *s = &b->job->p->s;
  const conv_axis *a = &s->axis[i];
  int64_t n = 0;
  b->least[i] = b->most[i] = 0;
  for (int64_t t = 0; t < a->kernel; t++) {
    int64_t by = t * a->dilation - a->before;
    if (s->transposed) {
      const int64_t reach = b->phase[i] - by;
      if (reach % a->stride != 0) continue;
      by = reach / a->stride;
    }
    if (n == 0 || by < b->least[i]) b->least[i] = by;
    if (n == 0 || by > b->most[i]) b->most[i] = by;
    b->moves[i][n++] = (conv_move){t, by};
  }
  b->n_moves[i] = n;
}

static void find_taps(conv_block *b) {
  const conv_plan *p = b->job->p;
  const conv_axis *a = p->s.axis;
  for (int i = 0; i < CONV_AXES; i++) find_moves(b, i);
  b->n_taps = 0;
  for (int64_t i = 0; i < b->n_moves[0]; i++)
    for (int64_t j = 0; j < b->n_moves[1]; j++)
      for (int64_t k = 0; k < b->n_moves[2]; k++) {
        const conv_move *u = &b->moves[0][i], *v = &b->moves[1][j], *w = &b->moves[2][k];
        b->delta[b->n_taps] = ((u->by * a[1].in + v->by) * a[2].in + w->by) * p->s.in;
        b->at[b->n_taps++] =
            ((u->tap * a[1].kernel + v->tap) * a[2].kernel + w->tap) * p->form.depth;
      }
}

/* --- the places of a block */

/* Places n, n + 1 .. of the block: as many as are left of `run` neighbours along the last axis. */
static void add_places(conv_block *b, int64_t run) {
  const conv_plan *p = b->job->p;
  const conv_axis *last = &p->s.axis[LAST];
  int64_t offset = b->place[0], result = b->place[0], at[CONV_AXES];
  bool outer = true;
  for (int i = 0; i < CONV_AXES; i++) {
    const conv_axis *a = &p->s.axis[i];
    at[i] = b->place[1 + i] * b->steps[i];
    offset = offset * a->in + at[i];
    result = result * a->out + b->place[1 + i] * p->phases[i] + b->phase[i];
    if (i < LAST) outer = outer && at[i] + b->least[i] >= 0 && at[i] + b->most[i] < a->in;
  }
  const int64_t step = b->steps[LAST], apart = p->phases[LAST];
  conv_spot *spots = b->spots + b->n;
  for (int64_t i = 0; i < run; i++) {
    spots[i].offset = (offset + i * step) * p->s.in;
    spots[i].result = result + i * apart;
  }
  for (int64_t i = 0; i < run; i++, at[LAST] += step) {
    spots[i].inside =
        outer && at[LAST] + b->least[LAST] >= 0 && at[LAST] + b->most[LAST] < last->in;
    if (!spots[i].inside) memcpy(spots[i].at, at, sizeof at);
  }
  b->n += run;
}

static void find_places(conv_block *b, int64_t n) {
  b->n = 0;
  while (b->n < n) {
    const int64_t run = at_most(b->counts[LAST] - b->place[1 + LAST], n - b->n);
    add_places(b, run);
    b->place[1 + LAST] += run;
    for (int i = LAST; i >= 0 && b->place[1 + i] == b->counts[i]; i--) {
      b->place[1 + i] = 0;
      b->place[i]++;
    }
  }
}

static bool lies_in(const conv_axis *a, int64_t at) { return (uint64_t)at < (uint64_t)a->in; }

static void edge_rows(const conv_block *b, const conv_spot *spot, const float **rows) {
  const conv_axis *a = b->job->p->s.axis;
  const float *x = b->job->x + spot->offset, *zeros = b->job->p->zeros;
  const int64_t *delta = b->delta;
  for (int64_t t = 0; t < b->n_taps && spot->inside; t++) rows[t] = x + delta[t];
  for (int64_t i = 0; i < b->n_moves[0] && !spot->inside; i++)
    for (int64_t j = 0; j < b->n_moves[1]; j++) {
      const bool inside = lies_in(&a[0], spot->at[0] + b->moves[0][i].by) &&
                          lies_in(&a[1], spot->at[1] + b->moves[1][j].by);
      for (int64_t k = 0; k < b->n_moves[2]; k++, delta++)
        *rows++ =
            inside && lies_in(&a[2], spot->at[2] + b->moves[2][k].by) ? x + *delta : zeros;
    }
}

/* Where all windows lie within x, no table is needed, and taps along the last axis become one. */
static void tile_rows(const conv_block *b, conv_tile *tile, const float **rows,
                      const conv_spot *spots) {
  const conv_plan *p = b->job->p;
  bool inside = true;
  for (int64_t m = 0; m < tile->places; m++) inside = inside && spots[m].inside;
  tile->step = inside && p->joined ? p->s.axis[LAST].kernel : 1;
  tile->taps = b->n_taps / tile->step;
  tile->depth = p->form.depth * tile->step;
  tile->delta = inside ? b->delta : NULL;
  tile->rows = rows;
  for (int64_t m = 0; m < p->rows; m++) {
    const conv_spot *spot = &spots[at_most(m, tile->places - 1)];
    if (inside) rows[m] = b->job->x + spot->offset;
    else edge_rows(b, spot, rows + m * b->n_taps);
  }
}

static void make_tiles(conv_block *b) {
  const conv_plan *p = b->job->p;
  const float **rows = b->rows;
  b->n_tiles = 0;
  for (int64_t m = 0; m < b->n; m += p->rows, rows += p->rows * p->form.taps) {
    conv_tile *tile = &b->tiles[b->n_tiles++];
    tile->at = b->at;
    tile->places = at_most(p->rows, b->n - m);
    tile->to = b->to + m;
    tile->shift = tile->column = 0;
    tile_rows(b, tile, rows, b->spots + m);
  }
}

/* --- blocks */

/* Returns how many places the phase has. */
static int64_t phase_begin(conv_block *b, int64_t phase) {
  const conv_plan *p = b->job->p;
  int64_t places = p->s.images;
  for (int i = CONV_AXES - 1; i >= 0; i--) {
    b->phase[i] = phase % p->phases[i];
    b->steps[i] = p->s.transposed ? 1 : p->s.axis[i].stride;
    b->counts[i] = divide_up(p->s.axis[i].out - b->phase[i], p->phases[i]);
    places *= b->counts[i];
    phase /= p->phases[i];
  }
  find_taps(b);
  return places;
}

/* Goes to a place of the phase; find_places goes on from there. */
static void go_to(conv_block *b, int64_t place) {
  for (int i = CONV_AXES; i > 0; i--) {
    b->place[i] = place % b->counts[i - 1];
    place /= b->counts[i - 1];
  }
  b->place[0] = place;
}

/* Panel `strip` of all groups' for all tiles; results go to column - base. */
static void run_strip(conv_block *b, int64_t strip, int64_t base) {
  const conv_plan *p = b->job->p;
  const conv_form *f = &p->form;
  const int64_t group = strip / p->panels, panel = strip % p->panels;
  const int64_t first = panel * f->vectors * f->lanes, columns = panel_columns(f, panel);
  const int64_t width = at_most(columns, f->width - first), column = group * f->width + first;
  float edge[MOST_PANEL];
  const float *bias = b->job->bias ? edge : p->zeros;
  if (b->job->bias && width == columns && !is_spread(p)) bias = b->job->bias + column;
  else
    for (int64_t i = 0; i < columns && b->job->bias; i++)
      edge[i] = i < width ? b->job->bias[(column + i) % p->channels] : 0;
  for (int64_t i = 0; i < b->n_tiles; i++) {
    conv_tile *tile = &b->tiles[i];
    tile->shift = group * f->depth;
    tile->weights = b->job->weights + group * p->packed + first * f->taps * f->depth;
    tile->bias = bias;
    tile->whole = f->vectors;
    tile->vectors = columns / f->lanes;
    tile->width = width;
    tile->column = column - base;
    cpu_table()->conv_dense(tile);
  }
}

static void run_depth(conv_block *b) {
  const conv_plan *p = b->job->p;
  for (int64_t i = 0; i < b->n_tiles; i++) {
    conv_tile *tile = &b->tiles[i];
    tile->weights = b->job->weights;
    tile->bias = b->job->bias ? b->job->bias : p->zeros;
    tile->width = p->form.width;
  }
  cpu_table()->conv_depth(b->tiles, b->n_tiles);
}

static int64_t strip_column(const conv_plan *p, int64_t strip) {
  return strip / p->panels * p->form.width +
         strip % p->panels * p->form.vectors * p->form.lanes;
}

/* n neighbours along the last axis from spot m on: their columns become blocks of places. */
static void spread_run(const conv_block *b, int64_t m, int64_t n) {
  const conv_job *job = b->job;
  const conv_plan *p = job->p;
  const int64_t *k = p->spread, wide = p->s.axis[1].in, last = p->s.axis[LAST].in;
  const int64_t line = b->spots[m].result / last, at = b->spots[m].result % last;
  const int64_t run = k[LAST] * p->channels;
  for (int64_t t = 0; t < k[0] * k[1]; t++) {
    int64_t row = (line / wide * k[0] + t / k[1]) * wide + line % wide;
    row = ((row * k[1] + t % k[1]) * last + at) * k[LAST];
    char *y = (char *)job->y + row * p->channels * p->unit;
    float *to = p->epilogue ? b->line : (float *)(void *)y;
    const float *from = b->acc + m * p->s.out + t * run;
    for (int64_t i = 0; i < n; i++, from += p->s.out, to += run)
      for (int64_t j = 0; j < run; j++) to[j] = from[j];
    if (p->epilogue)
      tile_finish_span(p->epilogue, job->in, row * p->channels, n * run, b->line, y);
  }
}

/* What comes behind: columns `base` and on, as many as acc has, of all places of the block. */
static void finish(const conv_block *b, int64_t base, int64_t columns) {
  const conv_job *job = b->job;
  const conv_plan *p = job->p;
  const int64_t last = p->s.axis[LAST].in;
  if (is_spread(p)) {
    for (int64_t m = 0, n; m < b->n; m += n) {
      n = at_most(b->n - m, last - b->spots[m].result % last);
      spread_run(b, m, n);
    }
    return;
  }
  /* whole rows of a convolution are neighbours */
  const int64_t together = columns == p->s.out && !p->s.transposed ? b->n : 1;
  for (int64_t m = 0; m < b->n && p->epilogue; m += together) {
    const int64_t first = b->spots[m].result * p->s.out + base;
    const float *acc = b->to[m] + (is_direct(p) ? base : 0);
    tile_finish_span(p->epilogue, job->in, first, together * columns, acc,
                     (char *)job->y + first * p->unit);
  }
}

/* A block of places times strips [first, end). */
static void block_run(conv_block *b, int64_t n, int64_t first, int64_t end) {
  const conv_job *job = b->job;
  const conv_plan *p = job->p;
  const int64_t base = strip_column(p, first);
  const int64_t strips = p->panels * p->form.groups;
  const int64_t columns = (end == strips ? p->s.out : strip_column(p, end)) - base;
  const bool direct = is_direct(p);
  find_places(b, n);
  make_tiles(b);
  for (int64_t m = 0; m < n; m++)
    b->to[m] = direct ? (float *)job->y + b->spots[m].result * p->s.out : b->acc + m * columns;
  if (p->form.vectors == 0) run_depth(b);
  for (int64_t i = first; i < end && p->form.vectors; i++) run_strip(b, i, direct ? 0 : base);
  finish(b, base, columns);
}

/* A chunk of a phase's blocks times a part of the panels. */
static void task_run(void *ctx, size_t task, size_t worker) {
  const conv_job *job = ctx;
  const conv_plan *p = job->p;
  const int64_t part = (int64_t)task % p->parts, strips = p->panels * p->form.groups;
  const int64_t rest = (int64_t)task / p->parts, chunk = rest % p->chunks;
  conv_block b;
  block_begin(&b, job, worker);
  const int64_t places = phase_begin(&b, rest / p->chunks);
  const int64_t end = at_most(places, (chunk + 1) * p->blocks / p->chunks * p->block);
  int64_t at = chunk * p->blocks / p->chunks * p->block;
  go_to(&b, at);
  for (; at < end; at += p->block)
    block_run(&b, at_most(p->block, end - at), part * strips / p->parts,
              (part + 1) * strips / p->parts);
}

rlx_status conv_run(const void *state, const cpu_run *run, const void *const *in,
                    void *const *out) {
  const conv_plan *p = state;
  conv_job job = {p, in[0], p->weights, p->bias ? in[2] : NULL, out[0], in, run->scratch};
  if (!p->weights) {
    float *packed = (float *)(job.scratch + p->threads * piece_bytes(p));
    conv_pack(&p->form, in[1], packed);
    job.weights = packed;
  }
  int64_t tasks = p->chunks * p->parts;
  for (int i = 0; i < CONV_AXES; i++) tasks *= p->phases[i];
  threads_run(p->threads, (size_t)tasks, task_run, &job);
  return RLX_OK;
}
