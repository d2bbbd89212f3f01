/* cpu/pool.c: windows, folded row by row of the taps along the last axis. */
#include "cpu/pool.h"

#include "base/threads.h"

enum { SMALL = 1 << 16 };

typedef struct pool_job {
  const pool_plan *p;
  const char *x;
  char *y, *scratch;
  lane_type type; /* of elements */
  size_t bytes;   /* of an element in memory */
} pool_job;

/* Taps of the window at `place` that lie on elements: `n` from `first` on. */
typedef struct pool_reach {
  int64_t at, first, n; /* at: the element under the first */
} pool_reach;

static pool_reach reach(const conv_axis *a, int64_t place) {
  const int64_t begin = place * a->stride - a->before;
  const int64_t first = begin < 0 ? (-begin + a->dilation - 1) / a->dilation : 0;
  const int64_t at = begin + first * a->dilation;
  int64_t n = at < a->in ? (a->in - 1 - at) / a->dilation + 1 : 0;
  if (n > a->kernel - first) n = a->kernel - first;
  return (pool_reach){at, first, n > 0 ? n : 0};
}

/* What a mean divides by along an axis; of nothing: one. */
static int64_t counted(const pool_plan *p, int i, int64_t place, int64_t elements) {
  const conv_axis *a = &p->axis[i];
  if (p->after[i] >= 0) {
    const int64_t begin = place * a->stride - a->before, end = a->in + p->after[i];
    elements = begin < end ? (end - 1 - begin) / a->dilation + 1 : 0;
    if (elements > a->kernel) elements = a->kernel;
  }
  return elements > 0 ? elements : 1;
}

static lane_fold fold_of(const pool_plan *p) { return p->mean ? FOLD_SUM : FOLD_MAX; }

/* All of n rows of channels into acc, through `row` where they are not lanes. */
static void take_rows(const pool_job *job, const char *x, int64_t n, int64_t step, void *acc,
                      void *row) {
  const pool_plan *p = job->p;
  const cpu_loops *loops = cpu_table();
  const lane_fold op = fold_of(p);
  if (p->dtype == lane_dtype(job->type)) {
    loops->fold_rows(op, job->type, x, p->channels, n, step, acc);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    loops->lane_load(job->type, p->dtype, x + (size_t)(i * step) * job->bytes, 1, p->channels, row);
    loops->fold_rows(op, job->type, row, p->channels, 1, p->channels, acc);
  }
}

/* A row of places along the last axis: image, and places of the other axes. */
static void row_run(const pool_job *job, int64_t image, int64_t i, int64_t j, char *y,
                    lane_value *acc, void *loaded) {
  const pool_plan *p = job->p;
  const conv_axis *a = p->axis;
  const lane_type type = fold_type(fold_of(p), job->type);
  const lane_value start = lane_start(fold_of(p), p->dtype, type);
  const pool_reach r0 = reach(&a[0], i), r1 = reach(&a[1], j);
  const int64_t outer = counted(p, 0, i, r0.n) * counted(p, 1, j, r1.n);
  for (int64_t k = 0; k < a[2].out; k++, y += (size_t)p->channels * job->bytes) {
    const pool_reach r2 = reach(&a[2], k);
    lane_fill(type, start, acc, p->channels);
    for (int64_t s = 0; s < r0.n && r2.n; s++)
      for (int64_t t = 0; t < r1.n; t++) {
        const int64_t row =
            (image * a[0].in + r0.at + s * a[0].dilation) * a[1].in + r1.at + t * a[1].dilation;
        const int64_t at = (row * a[2].in + r2.at) * p->channels;
        take_rows(job, job->x + (size_t)at * job->bytes, r2.n, a[2].dilation * p->channels, acc,
                  loaded);
      }
    const double count = (double)(outer * counted(p, 2, k, r2.n));
    for (int64_t c = 0; c < p->channels && p->mean; c++) ((double *)acc)[c] /= count;
    cpu_table()->lane_store(type, acc, p->dtype, y, 1, p->channels);
  }
}

static void pool_task(void *ctx, size_t task, size_t worker) {
  const pool_job *job = ctx;
  const pool_plan *p = job->p;
  const conv_axis *a = p->axis;
  const int64_t row = (int64_t)task, j = row % a[1].out, i = row / a[1].out % a[0].out;
  lane_value *acc = (lane_value *)job->scratch + (int64_t)worker * 2 * p->channels;
  row_run(job, row / a[1].out / a[0].out, i, j,
          job->y + (size_t)(row * a[2].out * p->channels) * job->bytes, acc, acc + p->channels);
}

bool pool_takes(rlx_dtype dtype) {
  lane_type type;
  return lane_of(dtype, LANE_F32, &type);
}

int64_t pool_scratch(const pool_plan *p) {
  return p->threads * 2 * p->channels * (int64_t)sizeof(lane_value);
}

rlx_status pool_run(const void *state, const cpu_run *run, const void *const *in,
                    void *const *out) {
  const pool_plan *p = state;
  pool_job job = {p, in[0], out[0], run->scratch, LANE_F32, rlx_dtype_get(p->dtype)->block_bytes};
  lane_of(p->dtype, LANE_F32, &job.type);
  const int64_t rows = p->images * p->axis[0].out * p->axis[1].out;
  const bool small = rows * p->axis[2].out * p->channels < SMALL;
  threads_run(small ? 1 : p->threads, (size_t)rows, pool_task, &job);
  return RLX_OK;
}
