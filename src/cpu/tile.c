/* cpu/tile.c: running tile programs.
 *
 * A frame holds the slots and temporary tiles of one thread. For each tile, operands are put in
 * place (mostly a pointer), then the lines run one after the other over it. */
#include "cpu/tile.h"

#include "base/threads.h"
#include "cpu/tile_program.h"

typedef struct tile_frame {
  const void *slot[TILE_SLOTS];
  _Alignas(64) char tiles[TILE_MEMORY];
} tile_frame;

/* Bytes from the start of an operand to its row `row`. */
static int64_t row_offset(const tile_program *p, const tile_source *s, int64_t row) {
  if (p->rank <= 2) return p->rank == 2 ? row * s->step[1] : 0;
  int64_t offset = 0;
  for (uint32_t a = 1; a < p->rank; a++) {
    const int64_t rest = row / p->dims[a];
    offset += (row - rest * p->dims[a]) * s->step[a];
    row = rest;
  }
  return offset;
}

/* Copies n elements from column `col` of each of `rows` rows to the source's tile. */
static void gather(const tile_program *p, const tile_source *s, const char *from, int64_t row,
                   int64_t col, int64_t rows, int64_t n, char *to) {
  const cpu_loops *loops = cpu_table();
  const int64_t width = (int64_t)s->width, step = s->step[0];
  const bool neighbours = step == width;
  while (rows > 0) {
    const int64_t left = p->rank > 1 ? p->dims[1] - row % p->dims[1] : 1;
    const int64_t now = rows < left ? rows : left;
    (neighbours ? loops->copy_rows : loops->copy_elements)(
        s->width, now, n, from + row_offset(p, s, row) + col * step, p->rank > 1 ? s->step[1] : 0,
        step, to, n * width, width);
    to += now * n * width;
    row += now;
    rows -= now;
  }
}

/* Slots that all tiles of at most `rows` times n elements from column `col` share. */
static void frame_open(const tile_program *p, const void *const *in, int64_t col, int64_t rows,
                       int64_t n, tile_frame *f) {
  const void **slot = f->slot + 1 + p->n_in;
  for (size_t i = 0; i < p->n_fixed; i++) *slot++ = p->fixed[i];
  for (size_t i = 0; i < p->n_tiles; i++) *slot++ = f->tiles + i * p->tile_bytes;
  for (size_t i = 0; i < p->n_in; i++) {
    const tile_source *s = &p->in[i];
    if (s->way < TILE_GATHER) continue;
    f->slot[1 + i] = f->tiles + s->tile;
    if (s->way == TILE_ONCE) gather(p, s, in[i], 0, col, rows, n, f->tiles + s->tile);
  }
}

static void frame_place(const tile_program *p, const void *const *in, int64_t row, int64_t col,
                        int64_t rows, int64_t n, tile_frame *f) {
  for (size_t i = 0; i < p->n_in; i++) {
    const tile_source *s = &p->in[i];
    const char *from = in[i];
    if (s->way == TILE_LINEAR) f->slot[1 + i] = from + (row * p->dims[0] + col) * (int64_t)s->width;
    else if (s->way == TILE_ROWS)
      f->slot[1 + i] = from + row_offset(p, s, row) + col * (int64_t)s->width;
    else if (s->way == TILE_GATHER) gather(p, s, from, row, col, rows, n, f->tiles + s->tile);
  }
}

static void frame_run(const tile_program *p, tile_frame *f, int64_t n, void *to) {
  const tile_line *line = p->lines, *end = line + p->n_lines;
  for (; line < end; line++)
    line->step(line->to == TILE_RESULT ? to : f->tiles + line->to, f->slot[line->x],
               f->slot[line->y], f->slot[line->z], line->p, n);
}

/* --- as an epilogue */

void tile_finish(const tile_program *p, const void *const *in, int64_t row, int64_t col, int64_t n,
                 const void *acc, void *to) {
  tile_frame f;
  frame_open(p, in, col, 1, n < p->piece ? n : p->piece, &f);
  const char *base = acc;
  char *result = to;
  while (n > 0) {
    const int64_t now = n < p->piece ? n : p->piece;
    f.slot[TILE_BASE] = base;
    frame_place(p, in, row, col, 1, now, &f);
    frame_run(p, &f, now, result);
    base += now * (int64_t)p->base_width;
    result += now * (int64_t)p->width;
    col += now;
    n -= now;
  }
}

/* Whole rows, as many at a time as a tile takes. */
static void finish_rows(const tile_program *p, const void *const *in, int64_t row, int64_t rows,
                        const char *acc, char *to) {
  const int64_t n = p->dims[0];
  tile_frame f;
  frame_open(p, in, 0, rows < p->together ? rows : p->together, n, &f);
  for (int64_t now; rows > 0; rows -= now, row += now) {
    now = rows < p->together ? rows : p->together;
    f.slot[TILE_BASE] = acc;
    frame_place(p, in, row, 0, now, n, &f);
    frame_run(p, &f, now * n, to);
    acc += now * n * (int64_t)p->base_width;
    to += now * n * (int64_t)p->width;
  }
}

void tile_finish_span(const tile_program *p, const void *const *in, int64_t first, int64_t n,
                      const void *acc, void *to) {
  const int64_t len = p->dims[0];
  const char *base = acc;
  char *result = to;
  for (int64_t now; n > 0; n -= now, first += now) {
    const int64_t row = first / len, col = first % len;
    now = len - col < n ? len - col : n;
    if (p->together > 1 && now == len) {
      now = n / len * len;
      finish_rows(p, in, row, n / len, base, result);
    } else {
      tile_finish(p, in, row, col, now, base, result);
    }
    base += now * (int64_t)p->base_width;
    result += now * (int64_t)p->width;
  }
}

/* --- by itself */

typedef struct tile_job {
  const tile_program *p;
  const void *const *in;
  char *out;
  int64_t tiles, tasks;
} tile_job;

static int64_t tiles_of(const tile_program *p) {
  return p->together > 1 ? (p->rows + p->together - 1) / p->together : p->rows * p->pieces;
}

static void run_tiles(const tile_job *job, int64_t first, int64_t last) {
  const tile_program *p = job->p;
  tile_frame f;
  const int64_t most = p->rows < p->together ? p->rows : p->together;
  frame_open(p, job->in, 0, most, p->piece, &f);
  int64_t row = first / p->pieces * p->together, col = first % p->pieces * p->piece;
  for (int64_t t = first; t < last; t++) {
    const int64_t rows = p->rows - row < p->together ? p->rows - row : p->together;
    const int64_t left = p->dims[0] - col, n = left < p->piece ? left : p->piece;
    frame_place(p, job->in, row, col, rows, n, &f);
    frame_run(p, &f, rows * n, job->out + (row * p->dims[0] + col) * (int64_t)p->width);
    col += n;
    if (col == p->dims[0]) {
      col = 0;
      row += rows;
    }
  }
}

static void run_task(void *ctx, size_t i, size_t worker) {
  const tile_job *job = ctx;
  (void)worker;
  run_tiles(job, (int64_t)i * job->tiles / job->tasks, ((int64_t)i + 1) * job->tiles / job->tasks);
}

rlx_status tile_compute(const void *program, const cpu_run *run, const void *const *in,
                        void *const *out) {
  const tile_program *p = program;
  tile_job job = {p, in, out[0], tiles_of(p), 4 * (int64_t)run->threads};
  /* A step takes about a quarter of a nanosecond an element; tasks are worth it from 30 us on. */
  if (run->threads < 2 || p->rows * p->dims[0] * (int64_t)p->n_lines < 120000) {
    run_tiles(&job, 0, job.tiles);
    return RLX_OK;
  }
  if (job.tasks > job.tiles) job.tasks = job.tiles;
  threads_run(run->threads, (size_t)job.tasks, run_task, &job);
  return RLX_OK;
}
