/* cpu/quantize.c: dynamic quantisation: a pass for the range, one for the numbers.
 *
 * Law: the same bits as the reference: each step rounds as f32 arithmetic does. */
#include "cpu/quantize.h"

#include <math.h>

#include "base/threads.h"

enum { CHUNK = 8192, ALONE = 32768 }; /* numbers: of a task; not worth waking a thread for */

typedef struct range {
  float low, high;
  bool numbers; /* no NaN among them */
} range;

typedef struct job {
  const quantize_dynamic *p;
  const float *x;
  range *ranges;
  float scale;
  uint8_t *q, zero;
} job;

static size_t chunks(const quantize_dynamic *p) { return ((size_t)p->n + CHUNK - 1) / CHUNK; }

static int64_t chunk_size(const quantize_dynamic *p, size_t i) {
  const int64_t left = p->n - (int64_t)i * CHUNK;
  return left < CHUNK ? left : CHUNK;
}

void quantize_dynamic_prepare(quantize_dynamic *p, uint32_t threads, size_t *out_scratch) {
  p->threads = p->n < ALONE ? 1 : threads;
  *out_scratch = chunks(p) * sizeof(range);
}

static void find_range(void *ctx, size_t i, size_t worker) {
  (void)worker;
  const job *j = ctx;
  range *to = &j->ranges[i];
  to->numbers =
      cpu_table()->quantize_range(j->x + i * CHUNK, chunk_size(j->p, i), &to->low, &to->high);
}

static void quantize(void *ctx, size_t i, size_t worker) {
  (void)worker;
  const job *j = ctx;
  cpu_table()->quantize_u8(j->x + i * CHUNK, chunk_size(j->p, i), j->scale, j->zero,
                           j->q + i * CHUNK);
}

/* 0 and everything between low and high can be said in units of the scale. */
static void choose_scale(job *j, range all) {
  const float scale = (all.high - all.low) / 255;
  j->scale = scale == 0 ? 1 : all.numbers ? scale : NAN;
  const float zero = nearbyintf(-(all.low / j->scale));
  j->zero = zero > 0 ? (uint8_t)(zero < 255 ? zero : 255) : 0;
}

rlx_status quantize_dynamic_run(const void *state, const cpu_run *run, const void *const *in,
                                void *const *out) {
  job j = {.p = state, .x = in[0], .ranges = run->scratch, .q = out[0]};
  range all = {0, 0, true};
  threads_run(j.p->threads, chunks(j.p), find_range, &j);
  for (size_t i = 0; i < chunks(j.p); i++) {
    if (j.ranges[i].low < all.low) all.low = j.ranges[i].low;
    if (j.ranges[i].high > all.high) all.high = j.ranges[i].high;
    all.numbers = all.numbers && j.ranges[i].numbers;
  }
  choose_scale(&j, all);
  threads_run(j.p->threads, chunks(j.p), quantize, &j);
  *(float *)out[1] = j.scale;
  *(uint8_t *)out[2] = j.zero;
  return RLX_OK;
}
