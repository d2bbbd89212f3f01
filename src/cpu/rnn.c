/* cpu/rnn.c: sequences through recurrent cells, chunk by chunk and step by step. */
#include "cpu/rnn.h"

#include <string.h>

#include "base/status.h"
#include "base/threads.h"

/* Rows of x w that are made at once; multiplications that are worth a second thread, and how many
 * tasks each thread gets then. */
enum { CHUNK_ROWS = 256, SHARED = 1 << 20, PARTS_PER_THREAD = 4 };

/* A run: pieces of scratch, and where it is. */
typedef struct rnn_job {
  const rnn *p;
  rnn_step step;
  bool second;
  int64_t parts; /* tasks under way */
  int64_t rows;  /* of the chunk */
  const float *w;
  float *packed_w, *packed_r, *bias, *peepholes, *x, *in, *h, *next, *sums;
  const float *chunk; /* x of the chunk as f32 */
  bool *ended;
} rnn_job;

static int64_t padded(const rnn *p) { return p->blocks * RNN_BLOCK; }
static int64_t bytes_of(const rnn *p) { return p->dtype == RLX_F32 ? 4 : 2; }
static int64_t sums_of(const rnn *p) { return RNN_GATES * p->batch * RNN_BLOCK; }

int64_t rnn_packed(const rnn *p, int64_t k) { return p->blocks * p->gates * k * RNN_BLOCK; }
void rnn_pack(const rnn *p, int64_t k, const void *from, float *to) {
  p->loops->rnn_pack(p, k, from, to);
}

/* Room for n floats. */
static float *piece(float *base, int64_t *used, int64_t n) {
  float *at = base ? base + *used : NULL;
  *used += (n + 15) / 16 * 16;
  return at;
}

/* Fills the job's pieces of a scratch; returns their floats. */
static int64_t carve(const rnn *p, uint32_t threads, float *base, rnn_job *j) {
  const int64_t state = p->batch * padded(p), rows = p->chunk * p->batch;
  int64_t used = 0;
  j->packed_w = piece(base, &used, p->w ? 0 : rnn_packed(p, p->inputs));
  j->packed_r = piece(base, &used, p->r ? 0 : rnn_packed(p, p->hidden));
  j->bias = piece(base, &used, p->bias ? 0 : rnn_packed_bias(p));
  j->peepholes = piece(base, &used, 3 * padded(p));
  j->x = piece(base, &used, p->dtype == RLX_F32 ? 0 : rows * p->inputs);
  j->in = piece(base, &used, rows * p->gates * padded(p));
  j->h = piece(base, &used, state);
  j->next = piece(base, &used, state);
  j->step.c = piece(base, &used, state);
  j->step.z = piece(base, &used, state);
  j->step.reset = piece(base, &used, state);
  j->sums = piece(base, &used, (int64_t)threads * sums_of(p));
  j->ended = (bool *)piece(base, &used, p->batch);
  return used;
}

size_t rnn_plan(rnn *p, uint32_t threads) {
  rnn_job job;
  p->loops = cpu_table();
  p->blocks = (p->hidden + RNN_BLOCK - 1) / RNN_BLOCK;
  p->chunk = p->batch >= CHUNK_ROWS ? 1 : CHUNK_ROWS / p->batch;
  if (p->chunk > p->steps) p->chunk = p->steps;
  return (size_t)carve(p, threads, NULL, &job) * sizeof(float);
}

/* --- what is made once: biases and peepholes by block, the first state */

static float item(const rnn *p, const void *from, int64_t i) {
  float v = 0;
  if (from) p->loops->lane_load(LANE_F32, p->dtype, (const char *)from + i * bytes_of(p), 1, 1, &v);
  return v;
}

int64_t rnn_packed_bias(const rnn *p) { return (p->gates + 1) * padded(p); }

/* Biases of w and r in one; but for the candidate of a GRU with linear_before_reset: its bias of r
 * comes last. */
void rnn_pack_bias(const rnn *p, const void *from, float *to) {
  const int64_t h = p->hidden;
  const bool late = p->kind == RNN_GRU && p->variant;
  memset(to, 0, (size_t)rnn_packed_bias(p) * sizeof *to);
  for (int64_t i = 0; i < p->gates * h && from; i++) {
    const int64_t gate = i / h, unit = i % h, block = unit / RNN_BLOCK, j = unit % RNN_BLOCK;
    float *at = to + block * (p->gates + 1) * RNN_BLOCK + j;
    at[gate * RNN_BLOCK] = item(p, from, i);
    at[(late && gate == 2 ? 3 : gate) * RNN_BLOCK] += item(p, from, p->gates * h + i);
  }
}

static void set_peepholes(const rnn *p, const void *from, float *to) {
  memset(to, 0, (size_t)(3 * padded(p)) * sizeof *to);
  for (int64_t i = 0; i < 3 * p->hidden; i++) {
    const int64_t gate = i / p->hidden, unit = i % p->hidden;
    to[(unit / RNN_BLOCK * 3 + gate) * RNN_BLOCK + unit % RNN_BLOCK] = item(p, from, i);
  }
}

static void load_state(const rnn *p, const void *from, float *to) {
  memset(to, 0, (size_t)(p->batch * padded(p)) * sizeof *to);
  for (int64_t b = 0; b < p->batch && from; b++)
    p->loops->lane_load(LANE_F32, p->dtype, (const char *)from + b * p->hidden * bytes_of(p), 1,
                        p->hidden, to + b * padded(p));
}
static void store_state(const rnn *p, const float *from, void *to) {
  for (int64_t b = 0; b < p->batch && to; b++)
    p->loops->lane_store(LANE_F32, from + b * padded(p), p->dtype,
                         (char *)to + b * p->hidden * bytes_of(p), 1, p->hidden);
}

static int64_t length_of(const rnn *p, const void *lengths, int64_t b) {
  return p->length_dtype == RLX_I32 ? ((const int32_t *)lengths)[b] : ((const int64_t *)lengths)[b];
}
static rlx_status check_lengths(const rnn *p, const void *lengths) {
  for (int64_t b = 0; b < p->batch && lengths; b++) {
    const int64_t n = length_of(p, lengths, b);
    if (n < 0 || n > p->steps)
      return status_set(RLX_ERROR_INDEX, "length %lld is not in [0, %lld]", (long long)n,
                        (long long)p->steps);
  }
  return RLX_OK;
}

/* --- chunks and steps */

/* The first block of a task. */
static int64_t part_start(const rnn_job *j, size_t part) {
  return j->p->blocks * (int64_t)part / j->parts;
}

static void inputs_task(void *ctx, size_t i, size_t worker) {
  const rnn_job *j = ctx;
  const rnn *p = j->p;
  (void)worker;
  for (int64_t b = part_start(j, i); b < part_start(j, i + 1); b++)
    p->loops->rnn_inputs(p, j->rows, j->chunk, j->w, b, j->in);
}

static void step_task(void *ctx, size_t i, size_t worker) {
  const rnn_job *j = ctx;
  const rnn *p = j->p;
  for (int64_t b = part_start(j, i); b < part_start(j, i + 1); b++)
    p->loops->rnn_block(p, &j->step, j->second, b, j->sums + (int64_t)worker * sums_of(p));
}

/* Multiplications of rows of k with all panels. */
static double cost_of(const rnn *p, int64_t rows, int64_t k) {
  return (double)p->gates * (double)padded(p) * (double)rows * (double)k;
}

/* `cost` multiplications go in parts to threads where that pays. */
static void share(rnn_job *j, uint32_t threads, double cost,
                  void (*task)(void *ctx, size_t i, size_t worker)) {
  j->parts = threads > 1 && cost > SHARED ? threads * PARTS_PER_THREAD : 1;
  if (j->parts > j->p->blocks) j->parts = j->p->blocks;
  if (j->parts == 1) task(j, 0, 0);
  else threads_run(threads, (size_t)j->parts, task, j);
}

static void run_step(rnn_job *j, uint32_t threads, int64_t at, int64_t row, const void *lengths,
                     char *y) {
  const rnn *p = j->p;
  rnn_step *t = &j->step;
  for (int64_t b = 0; b < p->batch && lengths; b++) j->ended[b] = at >= length_of(p, lengths, b);
  t->ended = lengths ? j->ended : NULL;
  t->in = j->in + row * RNN_BLOCK;
  t->in_rows = j->rows;
  t->h = j->h;
  t->next = j->next;
  t->y = y ? y + at * p->batch * p->hidden * bytes_of(p) : NULL;
  const double cost = cost_of(p, p->batch, p->hidden);
  j->second = false;
  share(j, threads, cost, step_task);
  j->second = true;
  if (p->kind == RNN_GRU) share(j, threads, cost, step_task);
  j->next = j->h;
  j->h = t->next;
}

/* Steps from `first` on, n of them; in reverse the last comes first. */
static void run_chunk(rnn_job *j, uint32_t threads, int64_t first, int64_t n, const void *const *in,
                      char *y) {
  const rnn *p = j->p;
  const char *x = (const char *)in[0] + first * p->batch * p->inputs * bytes_of(p);
  j->rows = n * p->batch;
  j->chunk = (const float *)(const void *)x;
  if (p->dtype != RLX_F32) {
    p->loops->lane_load(LANE_F32, p->dtype, x, 1, j->rows * p->inputs, j->x);
    j->chunk = j->x;
  }
  share(j, threads, cost_of(p, j->rows, p->inputs), inputs_task);
  for (int64_t i = 0; i < n; i++) {
    const int64_t at = p->reverse ? n - 1 - i : i;
    run_step(j, threads, first + at, at * p->batch, in[4], y);
  }
}

rlx_status rnn_run(const void *state, const cpu_run *run, const void *const *operands,
                   void *const *out) {
  const rnn *p = state;
  const void *in[8] = {NULL};
  rnn_job job = {.p = p};
  memcpy(in, operands, p->n_in * sizeof *in);
  RLX_TRY(check_lengths(p, in[4]));
  if (p->batch == 0 || p->hidden == 0) return RLX_OK;
  carve(p, run->threads, run->scratch, &job);
  if (!p->w) rnn_pack(p, p->inputs, in[1], job.packed_w);
  if (!p->r) rnn_pack(p, p->hidden, in[2], job.packed_r);
  if (!p->bias) rnn_pack_bias(p, in[3], job.bias);
  if (in[7]) set_peepholes(p, in[7], job.peepholes);
  job.w = p->w ? p->w : job.packed_w;
  job.step.r = p->r ? p->r : job.packed_r;
  job.step.bias = p->bias ? p->bias : job.bias;
  job.step.peepholes = in[7] ? job.peepholes : NULL;
  load_state(p, in[5], job.h);
  load_state(p, in[6], job.step.c);
  memset(job.next, 0, (size_t)(p->batch * padded(p)) * sizeof *job.next);
  for (int64_t done = 0; done < p->steps; done += p->chunk) {
    const int64_t left = p->steps - done, n = left < p->chunk ? left : p->chunk;
    run_chunk(&job, run->threads, p->reverse ? left - n : done, n, in, out[0]);
  }
  store_state(p, job.h, out[1]);
  if (p->kind == RNN_LSTM) store_state(p, job.step.c, out[2]);
  return RLX_OK;
}
