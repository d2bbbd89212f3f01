/* cpu/attention.c: blocks of attention dealt out to threads. */
#include "cpu/attention.h"

#include "base/threads.h"

/* Multiplications that one thread does in about 30 us, and tasks for each when there are more. */
enum { ALONE = 1000000, TASKS_PER_THREAD = 4 };
enum { FEW_ROWS = 2 }; /* cost less one by one than as a block */

typedef struct attention_job {
  const attention *a;
  const void *const *in;
  void *out;
  float *scratch;
} attention_job;

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* q and the sums of values across, the scores, and rows on their way: of q, results, a mask, or of
 * k and v as f32. */
static int64_t floats_of(const attention *a) {
  const int64_t width = larger(a->width, a->values);
  const int64_t held = ATTENTION_ROWS * (a->width + a->values + ATTENTION_KEYS);
  const int64_t mask = a->mask_dtype == RLX_DTYPE_COUNT ? 0 : 2 * ATTENTION_KEYS;
  const int64_t wide = a->dtype == RLX_F32 ? 0 : ATTENTION_KEYS * width;
  return held + larger(wide, ATTENTION_ROWS * larger(width, mask));
}

static bool by_rows(const attention *a) {
  return a->dtype == RLX_F32 && a->group * a->queries <= FEW_ROWS && a->q[3] == 1 && a->k[3] == 1 &&
         a->v[3] == 1;
}

size_t attention_plan(attention *a, uint32_t threads) {
  const int64_t rows = a->group * a->queries;
  const double cost = (double)a->batch * (double)a->heads * (double)rows * (double)a->keys *
                      (double)(a->width + a->values);
  const int64_t tasks = threads > 1 && cost > ALONE ? threads * TASKS_PER_THREAD : 1;
  const int64_t blocks = by_rows(a) ? rows : (rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
  a->block = by_rows(a) ? cpu_table()->attention_row : cpu_table()->attention_block;
  a->blocks = a->batch * a->heads * blocks;
  a->together = (a->blocks + tasks - 1) / tasks;
  a->tasks = (a->blocks + a->together - 1) / a->together;
  a->floats = floats_of(a);
  return (size_t)a->floats * threads * sizeof(float);
}

static void attention_task(void *ctx, size_t i, size_t worker) {
  const attention_job *job = ctx;
  const attention *a = job->a;
  const int64_t from = (int64_t)i * a->together, to = from + a->together;
  for (int64_t b = from; b < to && b < a->blocks; b++)
    a->block(a, job->in, job->out, b, job->scratch + (int64_t)worker * a->floats);
}

rlx_status attention_run(const void *state, const cpu_run *run, const void *const *in,
                         void *const *out) {
  const attention *a = state;
  attention_job job = {a, in, out[0], run->scratch};
  if (a->tasks == 1) attention_task(&job, 0, 0);
  else threads_run(run->threads, (size_t)a->tasks, attention_task, &job);
  return RLX_OK;
}
