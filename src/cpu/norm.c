/* cpu/norm.c: rows to the loop of loops/norm.c, whose bounds hold; halves are computed in f32 and
 * rounded once. An epilogue runs on each row while it is in the first cache. */
#include "cpu/norm.h"

#include "base/status.h"
#include "base/threads.h"
#include "cpu/walk.h"

typedef struct norm_state {
  const cpu_loops *loops;
  const tile_program *epilogue;
  cpu_walk rows;
  int64_t n;
  rlx_dtype x, y;
  lane_type type;
  bool has[2], centred; /* scale, bias */
  bool own;             /* rows are made in scratch */
  double eps;
  size_t tasks, row; /* bytes of a row of lanes */
} norm_state;

typedef struct norm_job {
  const norm_state *s;
  const void *const *in;
  const void *factor[2]; /* scale and bias, of the lane's type, or NULL */
  char *y, *scratch;
} norm_job;

static void norm_task(void *ctx, size_t task, size_t worker) {
  const norm_job *job = ctx;
  const norm_state *s = job->s;
  const int64_t all = s->rows.count, n = (int64_t)s->tasks, width = s->n;
  const int64_t from = all * (int64_t)task / n, to = all * ((int64_t)task + 1) / n;
  const int64_t x_bytes = rlx_dtype_get(s->x)->block_bytes;
  const int64_t y_bytes = rlx_dtype_get(s->y)->block_bytes;
  const bool load = s->x != lane_dtype(s->type);
  char *own = job->scratch + worker * s->row;
  if (from == to) return;
  cpu_place p;
  walk_seek(&s->rows, from, &p);
  for (int64_t i = from; i < to; i++, walk_next(&s->rows, &p)) {
    const void *x = (const char *)job->in[0] + p.x * x_bytes;
    char *y = job->y + p.y * y_bytes;
    void *acc = s->own ? own : y;
    if (load) s->loops->lane_load(s->type, s->x, x, 1, width, own);
    s->loops->norm_row(s->type, load ? own : x, acc, width, s->centred, s->eps, job->factor[0],
                       job->factor[1]);
    if (s->epilogue) tile_finish(s->epilogue, job->in, p.y / width, 0, width, acc, y);
    else if (load) s->loops->lane_store(s->type, acc, s->y, y, 1, width);
  }
}

rlx_status norm_run(const void *state, const cpu_run *run, const void *const *in,
                    void *const *out) {
  const norm_state *s = state;
  norm_job job = {s, in, {NULL, NULL}, out[0], run->scratch};
  for (size_t i = 0; i < 2; i++) {
    if (!s->has[i]) continue;
    job.factor[i] = in[1 + i];
    if (s->x == lane_dtype(s->type)) continue;
    s->loops->lane_load(s->type, s->x, in[1 + i], 1, s->n, job.scratch);
    job.factor[i] = job.scratch;
    job.scratch += s->row;
  }
  if (s->tasks == 1) norm_task(&job, 0, 0);
  else threads_run(run->threads, s->tasks, norm_task, &job);
  return RLX_OK;
}

rlx_status norm_prepare(const norm_spec *spec, uint32_t threads, arena *mem, const void **out_state,
                        size_t *out_scratch) {
  norm_state *s = arena_new(mem, 1, sizeof *s);
  if (!s) return status_memory(sizeof *s);
  const cpu_view *x = spec->x, *y = spec->y;
  cpu_axis rows[RLX_MAX_RANK];
  const uint32_t last = x->rank - 1;
  for (uint32_t i = 0; i < last; i++)
    rows[i] = (cpu_axis){x->dims[i], x->strides[i], y->strides[i]};
  walk_of(&s->rows, rows, last);
  s->loops = cpu_table();
  s->epilogue = spec->epilogue;
  s->n = x->dims[last];
  s->x = spec->dtype;
  s->y = y->dtype;
  s->type = spec->dtype == RLX_F64 ? LANE_F64 : LANE_F32;
  s->has[0] = spec->scale;
  s->has[1] = spec->bias;
  s->centred = spec->centred;
  s->eps = spec->eps;
  s->own = rlx_dtype_get(s->y)->block_bytes != lane_bytes(s->type) || s->x != lane_dtype(s->type);
  s->row = ((size_t)s->n * lane_bytes(s->type) + 63) / 64 * 64;
  s->tasks = walk_tasks(threads, s->rows.count, 30 + (s->epilogue ? 0.5 : 0.2) * (double)s->n);
  *out_scratch = s->own ? s->row * (2 + (s->tasks == 1 ? 1 : threads)) : 0;
  *out_state = s;
  return RLX_OK;
}
