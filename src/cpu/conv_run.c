/* cpu/conv_run.c: a convolution at work: tables of pointers for blocks of places, and what goes
 * around the tiles. */
#include <string.h>

#include "base/threads.h"
#include "cpu/conv_plan.h"

enum { MOST_PANEL = 48, MOST_TILES = CONV_BLOCK / 4, LAST = CONV_AXES - 1 };

/* A tap of a phase: how far from the place of a window, along each axis and in elements. */
typedef struct conv_tap {
  int64_t move[CONV_AXES], delta;
} conv_tap;

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
  conv_tap *taps; /* of the phase */
  int64_t *at;    /* packed row of each */
  const float **rows;
  float *acc;  /* [places][columns of a part], where something comes behind */
  float *line; /* results that have been spread, for the epilogue */
  int64_t n_taps, least[CONV_AXES], most[CONV_AXES]; /* moves */
  int64_t phase[CONV_AXES], counts[CONV_AXES];       /* places of the phase per axis */
  int64_t place[1 + CONV_AXES];                      /* image, then the axes */
  int64_t steps[CONV_AXES];                          /* in x, from place to place */
  int64_t n;                                         /* places */
  conv_spot spots[CONV_BLOCK];
  float *to[CONV_BLOCK];
  conv_tile tiles[MOST_TILES];
  int64_t n_tiles;
} conv_block;

/* --- scratch */

static int64_t part_columns(const conv_plan *p) {
  const int64_t panel = p->form.vectors ? p->form.vectors * p->form.lanes : p->s.out;
  return at_most(p->s.out, divide_up(p->panels * p->form.groups, p->parts) * panel);
}

static int64_t round_up(int64_t bytes) { return divide_up(bytes, 64) * 64; }
static int64_t taps_bytes(const conv_plan *p) {
  return round_up(p->form.taps * (int64_t)(sizeof(conv_tap) + sizeof(int64_t)));
}
static int64_t rows_bytes(const conv_plan *p) {
  return round_up(p->block * p->form.taps * (int64_t)sizeof(float *));
}
static bool is_spread(const conv_plan *p) { return p->s.out != p->channels; }

static int64_t acc_bytes(const conv_plan *p) {
  return p->epilogue || is_spread(p)
             ? round_up(p->block * part_columns(p) * (int64_t)sizeof(float))
             : 0;
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
  b->taps = (conv_tap *)piece;
  b->at = (int64_t *)(b->taps + job->p->form.taps);
  b->rows = (const float **)(piece + taps_bytes(job->p));
  b->acc = (float *)(piece + taps_bytes(job->p) + rows_bytes(job->p));
  b->line = b->acc + acc_bytes(job->p) / (int64_t)sizeof(float);
}

/* --- the taps of a phase */

static bool axis_tap(const conv_shape *s, int i, int64_t phase, int64_t t, int64_t *move) {
  const conv_axis *a = &s->axis[i];
  *move = t * a->dilation - a->before;
  if (!s->transposed) return true;
  const int64_t reach = phase - *move;
  *move = reach / a->stride;
  return reach % a->stride == 0;
}

static void add_tap(conv_block *b, const conv_tap *tap, int64_t at) {
  for (int i = 0; i < CONV_AXES; i++) {
    const int64_t v = tap->move[i];
    if (b->n_taps == 0 || v < b->least[i]) b->least[i] = v;
    if (b->n_taps == 0 || v > b->most[i]) b->most[i] = v;
  }
  b->at[b->n_taps] = at;
  b->taps[b->n_taps++] = *tap;
}

static void find_taps(conv_block *b) {
  const conv_plan *p = b->job->p;
  const conv_shape *s = &p->s;
  const conv_axis *a = s->axis;
  conv_tap tap;
  b->n_taps = 0;
  for (int64_t i = 0; i < a[0].kernel; i++) {
    if (!axis_tap(s, 0, b->phase[0], i, &tap.move[0])) continue;
    for (int64_t j = 0; j < a[1].kernel; j++) {
      if (!axis_tap(s, 1, b->phase[1], j, &tap.move[1])) continue;
      for (int64_t k = 0; k < a[2].kernel; k++) {
        if (!axis_tap(s, 2, b->phase[2], k, &tap.move[2])) continue;
        tap.delta = ((tap.move[0] * a[1].in + tap.move[1]) * a[2].in + tap.move[2]) * s->in;
        add_tap(b, &tap, ((i * a[1].kernel + j) * a[2].kernel + k) * p->form.depth);
      }
    }
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
    const int64_t left = b->counts[LAST] - b->place[1 + LAST];
    add_places(b, at_most(left, n - b->n));
    b->place[1 + LAST] = b->counts[LAST];
    for (int i = LAST; i >= 0 && b->place[1 + i] == b->counts[i]; i--) {
      b->place[1 + i] = 0;
      b->place[i]++;
    }
  }
}

static void edge_rows(const conv_block *b, const conv_spot *spot, const float **rows) {
  const conv_plan *p = b->job->p;
  for (int64_t t = 0; t < b->n_taps; t++) {
    const conv_tap *tap = &b->taps[t];
    bool inside = true;
    for (int i = 0; i < CONV_AXES; i++)
      inside = inside && (uint64_t)(spot->at[i] + tap->move[i]) < (uint64_t)p->s.axis[i].in;
    rows[t] = inside ? b->job->x + (spot->offset + tap->delta) : p->zeros;
  }
}

/* The table of a tile. Where all windows lie within x, taps along the last axis become one. */
static void tile_rows(conv_block *b, conv_tile *tile, const float **rows, const conv_spot *spots) {
  bool joined = b->job->p->joined;
  for (int64_t m = 0; m < tile->places; m++) joined = joined && spots[m].inside;
  tile->step = joined ? b->job->p->s.axis[2].kernel : 1;
  tile->taps = b->n_taps / tile->step;
  tile->depth = b->job->p->form.depth * tile->step;
  tile->rows = rows;
  for (int64_t m = 0; m < tile->places; m++, rows += tile->taps) {
    if (!spots[m].inside) {
      edge_rows(b, &spots[m], rows);
      continue;
    }
    const float *x = b->job->x + spots[m].offset;
    for (int64_t t = 0; t < tile->taps; t++) rows[t] = x + b->taps[t * tile->step].delta;
  }
}

static void make_tiles(conv_block *b) {
  const conv_plan *p = b->job->p;
  const float **rows = b->rows;
  b->n_tiles = 0;
  for (int64_t m = 0; m < b->n; m += p->rows, rows += p->rows * p->form.taps) {
    conv_tile *tile = &b->tiles[b->n_tiles++];
    *tile = (conv_tile){.at = b->at, .places = at_most(p->rows, b->n - m), .to = b->to + m};
    tile_rows(b, tile, rows, b->spots + m);
  }
}

/* --- blocks */

/* Takes the block's phase and first place; returns how many places it has. */
static int64_t block_find(conv_block *b, int64_t block) {
  const conv_plan *p = b->job->p;
  int64_t phase = block / p->blocks, first = block % p->blocks * p->block, places = p->s.images;
  for (int i = CONV_AXES - 1; i >= 0; i--) {
    b->phase[i] = phase % p->phases[i];
    b->steps[i] = p->s.transposed ? 1 : p->s.axis[i].stride;
    b->counts[i] = divide_up(p->s.axis[i].out - b->phase[i], p->phases[i]);
    phase /= p->phases[i];
    places *= b->counts[i];
  }
  const int64_t n = at_most(p->block, places - first);
  for (int i = CONV_AXES; i > 0; i--) {
    b->place[i] = first % b->counts[i - 1];
    first /= b->counts[i - 1];
  }
  b->place[0] = first;
  return n;
}

/* Panel `strip` of all groups' for all tiles; results go to column - base. */
static void run_strip(conv_block *b, int64_t strip, int64_t base) {
  const conv_plan *p = b->job->p;
  const conv_form *f = &p->form;
  const int64_t group = strip / p->panels, panel = strip % p->panels;
  const int64_t first = panel * f->vectors * f->lanes, columns = panel_columns(f, panel);
  const int64_t width = at_most(columns, f->width - first), column = group * f->width + first;
  float edge[MOST_PANEL] = {0};
  const float *bias = edge;
  if (b->job->bias && width == columns && !is_spread(p)) bias = b->job->bias + column;
  else
    for (int64_t i = 0; i < width && b->job->bias; i++)
      edge[i] = b->job->bias[(column + i) % p->channels];
  for (int64_t i = 0; i < b->n_tiles; i++) {
    conv_tile *tile = &b->tiles[i];
    tile->shift = group * f->depth;
    tile->weights = b->job->weights + group * p->packed + first * f->taps * f->depth;
    tile->bias = bias;
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
    cpu_table()->conv_depth(tile);
  }
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
    tile_finish_span(p->epilogue, job->in, first, together * columns, b->to[m],
                     (char *)job->y + first * p->unit);
  }
}

/* Task i: a block of places times a part of the panels. */
static void task_run(void *ctx, size_t task, size_t worker) {
  const conv_job *job = ctx;
  const conv_plan *p = job->p;
  const int64_t part = (int64_t)task % p->parts, strips = p->panels * p->form.groups;
  const int64_t first = part * strips / p->parts, end = (part + 1) * strips / p->parts;
  const int64_t base = strip_column(p, first);
  const int64_t columns = (end == strips ? p->s.out : strip_column(p, end)) - base;
  const bool direct = !p->epilogue && !is_spread(p);
  conv_block b;
  block_begin(&b, job, worker);
  const int64_t n = block_find(&b, (int64_t)task / p->parts);
  if (n <= 0) return;
  find_taps(&b);
  find_places(&b, n);
  make_tiles(&b);
  for (int64_t m = 0; m < n; m++)
    b.to[m] = direct ? (float *)job->y + b.spots[m].result * p->s.out : b.acc + m * columns;
  if (p->form.vectors == 0) run_depth(&b);
  for (int64_t i = first; i < end && p->form.vectors; i++) run_strip(&b, i, direct ? 0 : base);
  finish(&b, base, columns);
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
  int64_t tasks = p->blocks * p->parts;
  for (int i = 0; i < CONV_AXES; i++) tasks *= p->phases[i];
  threads_run(p->threads, (size_t)tasks, task_run, &job);
  return RLX_OK;
}
