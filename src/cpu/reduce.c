/* cpu/reduce.c: folds over axes of strided buffers: sums, products, extremes and their places.
 *
 * Loops: results are made in chunks along one axis that stays (the lanes), over rows along one axis
 * that goes, for every place of the other axes. Where the axis that goes is dense in memory each
 * lane is a run by itself; else lanes lie side by side. What is not in a lane's type is loaded into
 * it in pieces that fit the first cache. A few large results are made in parts, as many as the
 * threads alone say.
 *
 * Bounds: sums and means of f32 and halves: an error of 42 x 2^-24 of the sum of magnitudes, and
 * one rounding; products of them are made in f64; integers wrap as 64 bits do; extremes are exact,
 * NaN wins. */
#include "cpu/reduce.h"

#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "cpu/walk.h"

enum { LANES = 256, PIECE = 2048, SHORT_RUN = 16, MAX_PARTED = 4096 };

typedef struct reduce_state {
  const cpu_loops *loops;
  cpu_walk kept, gone;
  cpu_axis lane, row; /* taken out of them */
  rlx_dtype x, y;
  lane_type type, acc;
  lane_fold op;
  bool mean, find, last;
  bool runs;     /* each lane by itself */
  bool direct;   /* x is of the lane's type, and rows (or runs) are dense */
  int64_t count; /* of elements that become one */
  lane_value start;
  int64_t chunks; /* of lanes */
  size_t parts, tasks;
} reduce_state;

typedef struct reduce_job {
  const reduce_state *s;
  const char *x;
  char *y, *scratch;
} reduce_job;

/* A chunk of results in the making. */
typedef struct reduce_chunk {
  lane_value acc[LANES];
  int64_t index[LANES];
} reduce_chunk;

static size_t x_bytes(const reduce_state *s) { return rlx_dtype_get(s->x)->block_bytes; }

static const char *x_at(const reduce_state *s, const char *x, int64_t offset) {
  return x + offset * (int64_t)x_bytes(s);
}

/* `n` rows of m lanes, the first of all rows being `base`. */
static void take(const reduce_state *s, const void *x, int64_t m, int64_t n, int64_t step,
                 int64_t base, bool find, void *acc, int64_t *index) {
  if (find) s->loops->fold_find(s->type, x, acc, m, n, step, s->last, base, index);
  else if (m == 1 && step == 1) s->loops->fold_run(s->op, s->type, x, n, s->start, acc);
  else s->loops->fold_rows(s->op, s->type, x, m, n, step, acc);
}

/* Rows `from` to `to` of m lanes, in pieces where they have to be loaded. */
static void take_rows(const reduce_state *s, const char *x, int64_t m, int64_t from, int64_t to,
                      bool find, void *acc, int64_t *index) {
  if (s->direct) {
    take(s, x_at(s, x, from * s->row.x), m, to - from, s->row.x, from, find, acc, index);
    return;
  }
  lane_value piece[PIECE];
  const int64_t most = PIECE / m;
  const size_t bytes = (size_t)m * lane_bytes(s->type);
  for (int64_t done = 0; done < to - from; done += most) {
    const int64_t n = to - from - done < most ? to - from - done : most;
    const int64_t first = find && !s->last ? to - done - n : from + done;
    const char *row = x_at(s, x, first * s->row.x);
    if (m == 1) s->loops->lane_load(s->type, s->x, row, s->row.x, n, piece);
    for (int64_t r = 0; r < n && m > 1; r++)
      s->loops->lane_load(s->type, s->x, x_at(s, row, r * s->row.x), s->lane.x, m,
                          (char *)piece + (size_t)r * bytes);
    take(s, piece, m, n, m, first, find, acc, index);
  }
}

/* The lanes of a chunk, together or each by itself. */
static void take_lanes(const reduce_state *s, const char *x, int64_t m, int64_t from, int64_t to,
                       bool find, reduce_chunk *c) {
  const size_t bytes = lane_bytes(s->acc);
  const int64_t width = s->runs ? 1 : m;
  for (int64_t j = 0; j < m; j += width)
    take_rows(s, x_at(s, x, j * s->lane.x), width, from, to, find,
              (char *)c->acc + (size_t)j * bytes, c->index + j);
}

/* Of the places and rows that go, those of one part. */
static void make_chunk(const reduce_state *s, const char *x, int64_t m, int64_t part,
                       reduce_chunk *c) {
  const int64_t parts = (int64_t)s->parts, places = s->gone.count;
  const bool by_rows = places == 1;
  const int64_t all = by_rows ? s->row.n : places;
  const int64_t from = all * part / parts, to = all * (part + 1) / parts;
  lane_fill(s->acc, s->start, c->acc, m);
  if (s->find) memset(c->index, 0, (size_t)m * sizeof *c->index);
  if (by_rows) take_lanes(s, x, m, from, to, false, c);
  if (by_rows && s->find) take_lanes(s, x, m, from, to, true, c);
  if (by_rows || from == to) return;
  cpu_place p;
  walk_seek(&s->gone, from, &p);
  for (int64_t i = from; i < to; i++, walk_next(&s->gone, &p))
    take_lanes(s, x_at(s, x, p.x), m, 0, s->row.n, false, c);
}

static void finish(const reduce_state *s, const void *from, int64_t m, char *y) {
  lane_value acc[LANES];
  memcpy(acc, from, (size_t)m * lane_bytes(s->acc));
  for (int64_t i = 0; i < m && s->mean; i++)
    if (s->acc == LANE_F64) acc[i].f64 /= (double)s->count;
    else if (s->acc == LANE_I64) acc[i].i64 = s->count ? acc[i].i64 / s->count : 0;
    else acc[i].u64 = s->count ? acc[i].u64 / (uint64_t)s->count : 0;
  s->loops->lane_store(s->acc, acc, s->y, y, s->lane.y, m);
}

static int64_t chunk_size(const reduce_state *s, int64_t chunk) {
  const int64_t left = s->lane.n - chunk * LANES;
  return left < LANES ? left : LANES;
}

static char *y_at(const reduce_state *s, char *y, int64_t offset) {
  return y + offset * (int64_t)rlx_dtype_get(s->y)->block_bytes;
}

/* Where a part's results of unit u (place and chunk) wait. */
static char *waiting(const reduce_job *job, int64_t part, int64_t u) {
  const reduce_state *s = job->s;
  const int64_t units = s->kept.count * s->chunks;
  return job->scratch + (size_t)((part * units + u) * LANES) * sizeof(lane_value);
}

static void reduce_task(void *ctx, size_t task, size_t worker) {
  (void)worker;
  const reduce_job *job = ctx;
  const reduce_state *s = job->s;
  const int64_t parts = (int64_t)s->parts, units = s->kept.count * s->chunks;
  const int64_t all = units * parts, n = (int64_t)s->tasks;
  for (int64_t i = all * (int64_t)task / n; i < all * ((int64_t)task + 1) / n; i++) {
    const int64_t part = i / units, u = i % units, chunk = u % s->chunks;
    const int64_t m = chunk_size(s, chunk), lane = chunk * LANES;
    cpu_place p;
    reduce_chunk c;
    walk_seek(&s->kept, u / s->chunks, &p);
    make_chunk(s, x_at(s, job->x, p.x + lane * s->lane.x), m, part, &c);
    char *y = y_at(s, job->y, p.y + lane * s->lane.y);
    if (parts > 1) memcpy(waiting(job, part, u), c.acc, (size_t)m * lane_bytes(s->acc));
    else if (s->find) s->loops->lane_store(LANE_I64, c.index, RLX_I64, y, s->lane.y, m);
    else finish(s, c.acc, m, y);
  }
}

/* The parts of each unit, one after the other. */
static void join_parts(const reduce_job *job) {
  const reduce_state *s = job->s;
  const int64_t units = s->kept.count * s->chunks;
  for (int64_t u = 0; u < units; u++) {
    const int64_t chunk = u % s->chunks, m = chunk_size(s, chunk);
    char *acc = waiting(job, 0, u);
    for (int64_t part = 1; part < (int64_t)s->parts; part++)
      s->loops->fold_rows(s->op, s->acc, waiting(job, part, u), m, 1, m, acc);
    cpu_place p;
    walk_seek(&s->kept, u / s->chunks, &p);
    finish(s, acc, m, y_at(s, job->y, p.y + chunk * LANES * s->lane.y));
  }
}

rlx_status reduce_run(const void *state, const cpu_run *run, const void *const *in,
                      void *const *out) {
  const reduce_state *s = state;
  reduce_job job = {s, in[0], out[0], run->scratch};
  if (s->tasks == 1) reduce_task(&job, 0, 0);
  else threads_run(run->threads, s->tasks, reduce_task, &job);
  if (s->parts > 1) join_parts(&job);
  return RLX_OK;
}

/* --- preparing */

bool reduce_takes(rlx_dtype dtype) {
  lane_type type;
  return lane_of(dtype, LANE_F32, &type);
}

/* The axis along which x is dense; the rank: none. */
static uint32_t dense_axis(const cpu_walk *w) {
  uint32_t i = 0;
  while (i < w->rank && w->axis[i].x != 1) i++;
  return i;
}

static cpu_axis take_inner(cpu_walk *w) {
  const uint32_t dense = dense_axis(w);
  if (!w->rank) return (cpu_axis){w->count, 1, 1}; /* the count of no axes is 1 */
  return walk_take(w, dense < w->rank ? dense : w->rank - 1);
}

static void split_axes(reduce_state *s, const reduce_spec *spec) {
  cpu_axis kept[RLX_MAX_RANK], gone[RLX_MAX_RANK];
  size_t n_kept = 0, n_gone = 0;
  for (uint32_t i = 0; i < spec->x->rank; i++) {
    const int64_t y_step = spec->gone[i] ? 0 : spec->y->strides[i];
    const cpu_axis a = {spec->x->dims[i], spec->x->strides[i], y_step};
    if (spec->gone[i]) gone[n_gone++] = a;
    else kept[n_kept++] = a;
  }
  walk_of(&s->kept, kept, n_kept);
  walk_of(&s->gone, gone, n_gone);
  s->count = s->gone.count;
  const bool dense_row = dense_axis(&s->gone) < s->gone.rank;
  s->row = take_inner(&s->gone);
  s->lane = take_inner(&s->kept);
  s->runs = s->lane.x != 1 && (dense_row ? s->row.n >= SHORT_RUN : s->lane.n == 1);
}

/* Tasks, and parts where there are too few results for all threads. */
static void split_work(reduce_state *s, uint32_t threads) {
  const int64_t units = s->kept.count * s->chunks, outputs = s->kept.count * s->lane.n;
  const double ns = (double)s->count * (s->direct ? 0.1 : 1.0);
  s->parts = 1;
  s->tasks = walk_tasks(threads, outputs, ns + 2);
  const size_t whole = walk_tasks(threads, INT32_MAX, ns * (double)outputs / INT32_MAX);
  const int64_t all = s->gone.count == 1 ? s->row.n : s->gone.count;
  const bool few = units < (int64_t)whole && outputs <= MAX_PARTED && all >= (int64_t)whole;
  if (!s->find && whole > 1 && few) s->parts = s->tasks = whole;
  if ((int64_t)s->tasks > units * (int64_t)s->parts) s->tasks = (size_t)units;
}

rlx_status reduce_prepare(const reduce_spec *spec, uint32_t threads, arena *mem,
                          const void **out_state, size_t *out_scratch) {
  reduce_state *s = arena_new(mem, 1, sizeof *s);
  if (!s) return status_memory(sizeof *s);
  s->loops = cpu_table();
  s->x = spec->x->dtype;
  s->y = spec->y->dtype;
  s->op = spec->op;
  s->mean = spec->mean;
  s->find = spec->find;
  s->last = spec->last;
  if (!lane_of(s->x, s->op == FOLD_PROD ? LANE_F64 : LANE_F32, &s->type))
    return status_set(RLX_ERROR_INTERNAL, "a fold of elements that have no lanes");
  s->acc = fold_type(s->op, s->type);
  s->start = lane_start(s->op, s->x, s->acc);
  split_axes(s, spec);
  s->direct = s->x == lane_dtype(s->type) && (s->runs ? s->row.x == 1 : s->lane.x == 1);
  s->chunks = (s->lane.n + LANES - 1) / LANES;
  split_work(s, threads);
  const int64_t units = s->kept.count * s->chunks;
  *out_scratch = s->parts > 1 ? s->parts * (size_t)units * LANES * sizeof(lane_value) : 0;
  *out_state = s;
  return RLX_OK;
}
