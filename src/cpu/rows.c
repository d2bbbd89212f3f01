/* cpu/rows.c: rows of strided buffers to functions that want them dense, or side by side.
 *
 * Where the rows' own elements are not neighbours but those of another axis are, a function gets up
 * to ROWS_LANES rows at once, side by side. What is of another dtype, or dense in no way, passes
 * through scratch. */
#include "cpu/rows.h"

#include <math.h>

#include "base/status.h"
#include "base/threads.h"
#include "cpu/walk.h"

enum { FEW_LANES = 8 }; /* below it rows are gathered one by one */

typedef struct rows_state {
  rows_spec spec; /* without its views */
  const cpu_loops *loops;
  cpu_walk others;    /* axes */
  cpu_axis row, lane; /* lane: taken out of the others; of size 1 where rows come one by one */
  rlx_dtype dtype;
  bool direct;
  int64_t chunks;      /* of lanes */
  size_t tasks, piece; /* bytes of scratch of a worker */
} rows_state;

typedef struct rows_job {
  const rows_state *s;
  const cpu_run *run;
  const char *x;
  char *y;
} rows_job;

static void through_scratch(const rows_state *s, const char *x, char *y, int64_t m, char *piece) {
  const rows_spec *f = &s->spec;
  const cpu_axis *row = &s->row;
  const int64_t bytes = rlx_dtype_get(s->dtype)->block_bytes;
  const int64_t lines = m == 1 ? 1 : row->n, width = m == 1 ? row->n : m;
  const int64_t x_step = m == 1 ? row->x : 1, y_step = m == 1 ? row->y : 1;
  const int64_t line = width * (int64_t)lane_bytes(f->type);
  for (int64_t i = 0; i < lines; i++)
    s->loops->lane_load(f->type, s->dtype, x + i * row->x * bytes, x_step, width, piece + i * line);
  f->f(f->how, piece, m, piece, m, row->n, m);
  for (int64_t i = 0; i < lines; i++)
    s->loops->lane_store(f->type, piece + i * line, s->dtype, y + i * row->y * bytes, y_step,
                         width);
}

static void rows_task(void *ctx, size_t task, size_t worker) {
  const rows_job *job = ctx;
  const rows_state *s = job->s;
  const int64_t all = s->others.count * s->chunks, n = (int64_t)s->tasks;
  const int64_t bytes = rlx_dtype_get(s->dtype)->block_bytes;
  const int64_t from = all * (int64_t)task / n, to = all * ((int64_t)task + 1) / n;
  if (from == to) return;
  cpu_place p;
  walk_seek(&s->others, from / s->chunks, &p);
  int64_t lane = from % s->chunks * ROWS_LANES;
  for (int64_t i = from; i < to; i++) {
    const int64_t m = s->lane.n - lane < ROWS_LANES ? s->lane.n - lane : ROWS_LANES;
    const char *x = job->x + (p.x + lane * s->lane.x) * bytes;
    char *y = job->y + (p.y + lane * s->lane.y) * bytes;
    if (s->direct) s->spec.f(s->spec.how, x, s->row.x, y, s->row.y, s->row.n, m);
    else through_scratch(s, x, y, m, (char *)job->run->scratch + worker * s->piece);
    if ((lane += ROWS_LANES) < s->lane.n) continue;
    lane = 0;
    walk_next(&s->others, &p);
  }
}

rlx_status rows_run(const void *state, const cpu_run *run, const void *const *in,
                    void *const *out) {
  const rows_state *s = state;
  rows_job job = {s, run, in[0], out[0]};
  if (s->tasks == 1) rows_task(&job, 0, 0);
  else threads_run(run->threads, s->tasks, rows_task, &job);
  return RLX_OK;
}

static void split_axes(rows_state *s, const rows_spec *spec) {
  cpu_axis others[RLX_MAX_RANK];
  size_t n = 0;
  for (uint32_t i = 0; i < spec->x->rank; i++) {
    const cpu_axis a = {spec->x->dims[i], spec->x->strides[i], spec->y->strides[i]};
    if (i == spec->axis) s->row = a;
    else others[n++] = a;
  }
  walk_of(&s->others, others, n);
  s->lane = (cpu_axis){1, 0, 0};
  const bool dense = s->row.x == 1 && s->row.y == 1;
  for (uint32_t i = 0; i < s->others.rank && !dense && s->lane.n == 1; i++) {
    const cpu_axis *a = &s->others.axis[i];
    if (a->x == 1 && a->y == 1 && a->n >= FEW_LANES) s->lane = walk_take(&s->others, i);
  }
}

rlx_status rows_prepare(const rows_spec *spec, uint32_t threads, arena *mem, const void **out_state,
                        size_t *out_scratch) {
  rows_state *s = arena_new(mem, 1, sizeof *s);
  if (!s) return status_memory(sizeof *s);
  s->spec = *spec;
  s->loops = cpu_table();
  s->dtype = spec->x->dtype;
  split_axes(s, spec);
  const bool dense = s->row.x == 1 && s->row.y == 1;
  s->direct = s->dtype == lane_dtype(spec->type) && (s->lane.n > 1 || dense || s->row.n == 1);
  s->chunks = (s->lane.n + ROWS_LANES - 1) / ROWS_LANES;
  const int64_t most = s->lane.n < ROWS_LANES ? s->lane.n : ROWS_LANES;
  const double ns = (spec->ns + (s->direct ? 0 : 1)) * (double)(s->row.n * most);
  s->tasks = walk_tasks(threads, s->others.count * s->chunks, ns);
  s->piece = s->direct ? 0 : ((size_t)(s->row.n * most) * lane_bytes(spec->type) + 63) / 64 * 64;
  *out_scratch = s->piece * (s->tasks == 1 ? 1 : threads);
  *out_state = s;
  return RLX_OK;
}

/* Rare enough for the C library's exp. */
void softmax_f64(const void *how, const void *x, int64_t x_step, void *y, int64_t y_step, int64_t n,
                 int64_t lanes) {
  const bool logarithm = ((const softmax_how *)how)->logarithm;
  for (int64_t j = 0; j < lanes; j++) {
    const double *from = (const double *)x + j;
    double *to = (double *)y + j, max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, from[i * x_step]);
    for (int64_t i = 0; i < n; i++) sum += exp(from[i * x_step] - max);
    const double shift = log(sum);
    for (int64_t i = 0; i < n; i++) {
      const double v = from[i * x_step] - max;
      to[i * y_step] = logarithm ? v - shift : exp(v) / sum;
    }
  }
}
