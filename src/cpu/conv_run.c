/* cpu/conv_run.c: a convolution at work: tables of pointers for blocks of places, and what goes
 * around the tiles. */
#include <string.h>

#include "base/threads.h"
#include "cpu/conv_plan.h"

enum { MOST_PANEL = 48, MOST_ROWS = 12, MOST_TILES = CONV_BLOCK / 4 };

/* A tap of a phase: how far from the place of a window, along each axis and in elements. */
typedef struct conv_tap {
  int64_t move[CONV_AXES], delta;
} conv_tap;

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
  float *acc; /* what the epilogue takes: [places][columns of a part] */
  int64_t n_taps, least[CONV_AXES], most[CONV_AXES]; /* moves */
  int64_t phase[CONV_AXES], counts[CONV_AXES];       /* places of the phase per axis */
  int64_t place[1 + CONV_AXES];                      /* the next one: image, then the axes */
  int64_t n, result[CONV_BLOCK];                     /* places, and which of the result */
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
static int64_t piece_bytes(const conv_plan *p) {
  int64_t bytes = taps_bytes(p) + rows_bytes(p);
  if (p->epilogue) bytes += round_up(p->block * part_columns(p) * (int64_t)sizeof(float));
  return bytes;
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

typedef struct conv_spot { /* a window's place in x */
  int64_t at[CONV_AXES], offset;
  bool inside;
} conv_spot;

/* The next place of the phase: where it looks, and which of the result it is. */
static int64_t next_place(conv_block *b, conv_spot *spot) {
  const conv_shape *s = &b->job->p->s;
  int64_t result = b->place[0];
  spot->offset = b->place[0];
  spot->inside = true;
  for (int i = 0; i < CONV_AXES; i++) {
    const conv_axis *a = &s->axis[i];
    const int64_t at = b->place[1 + i] * (s->transposed ? 1 : a->stride);
    spot->at[i] = at;
    spot->offset = spot->offset * a->in + at;
    spot->inside = spot->inside && at + b->least[i] >= 0 && at + b->most[i] < a->in;
    result = result * a->out + b->place[1 + i] * b->job->p->phases[i] + b->phase[i];
  }
  spot->offset *= s->in;
  for (int i = CONV_AXES; i > 0; i--) {
    if (++b->place[i] < b->counts[i - 1]) return result;
    b->place[i] = 0;
  }
  b->place[0]++;
  return result;
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

static void block_tiles(conv_block *b) {
  const conv_plan *p = b->job->p;
  const float **rows = b->rows;
  b->n_tiles = 0;
  for (int64_t m = 0; m < b->n; m += p->rows, rows += p->rows * p->form.taps) {
    conv_spot spots[MOST_ROWS];
    conv_tile *tile = &b->tiles[b->n_tiles++];
    *tile = (conv_tile){.at = b->at, .places = at_most(p->rows, b->n - m), .to = b->to + m};
    for (int64_t i = 0; i < tile->places; i++) b->result[m + i] = next_place(b, &spots[i]);
    tile_rows(b, tile, rows, spots);
  }
}

/* --- blocks */

/* Takes the block's phase and places; false: this phase has fewer. */
static bool block_find(conv_block *b, int64_t block) {
  const conv_plan *p = b->job->p;
  int64_t phase = block / p->blocks, first = block % p->blocks * p->block, places = p->s.images;
  for (int i = CONV_AXES - 1; i >= 0; i--) {
    b->phase[i] = phase % p->phases[i];
    b->counts[i] = divide_up(p->s.axis[i].out - b->phase[i], p->phases[i]);
    phase /= p->phases[i];
    places *= b->counts[i];
  }
  b->n = at_most(p->block, places - first);
  if (b->n <= 0) return false;
  for (int i = CONV_AXES; i > 0; i--) {
    b->place[i] = first % b->counts[i - 1];
    first /= b->counts[i - 1];
  }
  b->place[0] = first;
  return true;
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
  if (b->job->bias && width == columns) bias = b->job->bias + column;
  else if (b->job->bias) memcpy(edge, b->job->bias + column, (size_t)width * sizeof *edge);
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

/* Task i: a block of places times a part of the panels. */
static void task_run(void *ctx, size_t task, size_t worker) {
  const conv_job *job = ctx;
  const conv_plan *p = job->p;
  const int64_t part = (int64_t)task % p->parts, strips = p->panels * p->form.groups;
  const int64_t first = part * strips / p->parts, end = (part + 1) * strips / p->parts;
  const int64_t base = strip_column(p, first);
  const int64_t columns = (end == strips ? p->s.out : strip_column(p, end)) - base;
  conv_block b;
  block_begin(&b, job, worker);
  if (!block_find(&b, (int64_t)task / p->parts)) return;
  find_taps(&b);
  block_tiles(&b);
  for (int64_t m = 0; m < b.n; m++)
    b.to[m] = p->epilogue ? b.acc + m * columns : (float *)job->y + b.result[m] * p->s.out;
  if (p->form.vectors == 0) run_depth(&b);
  for (int64_t i = first; i < end && p->form.vectors; i++) run_strip(&b, i, p->epilogue ? base : 0);
  for (int64_t m = 0; m < b.n && p->epilogue; m++)
    tile_finish(p->epilogue, job->in, b.result[m], base, columns, b.to[m],
                (char *)job->y + (b.result[m] * p->s.out + base) * p->unit);
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
