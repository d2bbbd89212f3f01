/* cpu/index.c: gathers and scatters: positions are resolved a few hundred at a time, then moved. */
#include "cpu/index.h"

#include <math.h>
#include <string.h>

#include "base/threads.h"
#include "cpu/walk.h"

enum { CHUNK = 256 }; /* positions resolved at a time */

rlx_status index_wrap(int64_t index, int64_t n, int64_t *out_index) {
  if (index < -n || index >= n)
    return status_set(RLX_ERROR_INDEX, "index %lld is not in [-%lld, %lld)", (long long)index,
                      (long long)n, (long long)n);
  *out_index = index < 0 ? index + n : index;
  return RLX_OK;
}

/* --- positions */

/* Index t of tuple `first` and what follows. */
static const char *index_of(const index_plan *p, const void *index, int64_t first, uint32_t t) {
  return (const char *)index + (first * p->tuple + t) * (p->dtype == RLX_I64 ? 8 : 4);
}

/* The sentence of the first index that is out of range. */
static rlx_status find_bad(const index_plan *p, const void *index) {
  int64_t at;
  for (int64_t i = 0; i < p->count; i++)
    for (uint32_t t = 0; t < p->tuple; t++) {
      const char *x = index_of(p, index, i, t);
      at = p->dtype == RLX_I64 ? *(const int64_t *)x : *(const int32_t *)x;
      RLX_TRY(index_wrap(at, p->sizes[t], &at));
    }
  return RLX_OK;
}

static rlx_status check(const index_plan *p, const void *index) {
  bool fine = true;
  for (uint32_t t = 0; t < p->tuple; t++)
    fine = fine && cpu_table()->index_fine(p->dtype, index_of(p, index, 0, t), p->tuple, p->count,
                                           p->sizes[t]);
  return fine ? RLX_OK : find_bad(p, index);
}

/* What the coordinates of n positions from `first` on add up to. */
static void add_along(const index_plan *p, int64_t first, int64_t n, int64_t *out) {
  int64_t coord[RLX_MAX_RANK], rest = first, base = 0;
  for (uint32_t a = p->rank; a-- > 0; rest /= p->dims[a]) {
    coord[a] = rest % p->dims[a];
    base += coord[a] * p->along[a];
  }
  const uint32_t last = p->rank - 1;
  const int64_t step = p->along[last];
  for (int64_t i = 0; i < n;) { /* a row of the last axis, or what is wanted of it */
    const int64_t left = p->dims[last] - coord[last], row = left < n - i ? left : n - i;
    for (int64_t k = 0; k < row; k++) out[i + k] += base + k * step;
    i += row;
    base -= coord[last] * step;
    coord[last] = 0;
    for (uint32_t a = last; a-- > 0;) {
      base += p->along[a];
      if (++coord[a] < p->dims[a]) break;
      base -= p->along[a] * p->dims[a];
      coord[a] = 0;
    }
  }
}

/* The bytes that n positions from `first` on name. */
static void resolve(const index_plan *p, const void *index, int64_t first, int64_t n,
                    int64_t *out) {
  for (int64_t i = 0; i < n; i++) out[i] = 0;
  if (p->rank > 0) add_along(p, first, n, out);
  for (uint32_t t = 0; t < p->tuple; t++)
    cpu_table()->index_add(p->dtype, index_of(p, index, first, t), p->tuple, n, p->sizes[t],
                           p->step[t], out);
}

static int64_t chunk_size(const index_plan *p, int64_t first) {
  return p->count - first < CHUNK ? p->count - first : CHUNK;
}

/* --- gather */

typedef struct gather_job {
  const index_moves *m;
  const void *index;
  const char *named;
  char *to;
  int64_t chunks, tasks;
} gather_job;

/* A share of all chunks of all slices. */
static void gather_task(void *ctx, size_t task, size_t worker) {
  const gather_job *job = ctx;
  const index_moves *m = job->m;
  const int64_t all = job->chunks * m->outer, bytes = (int64_t)m->bytes;
  const int64_t end = all * ((int64_t)task + 1) / job->tasks;
  int64_t at[CHUNK], resolved = -1;
  const cpu_loops *loops = cpu_table();
  (void)worker;
  for (int64_t u = all * (int64_t)task / job->tasks; u < end; u++) {
    const int64_t chunk = u / m->outer, o = u % m->outer, first = chunk * CHUNK;
    const int64_t n = chunk_size(&m->at, first);
    if (chunk != resolved) resolve(&m->at, job->index, first, n, at);
    resolved = chunk;
    loops->copy_gather(m->bytes, n, at, job->named + o * m->named_outer,
                       job->to + (o * m->at.count + first) * bytes);
  }
}

rlx_status index_gather(const index_moves *m, const void *index, const void *named, void *to,
                        uint32_t threads) {
  const int64_t chunks = (m->at.count + CHUNK - 1) / CHUNK;
  const double bytes = (double)m->at.count * (double)m->bytes / (double)chunks;
  const size_t tasks = walk_tasks(threads, chunks * m->outer, WALK_BYTE_NS * bytes);
  gather_job job = {m, index, named, to, chunks, (int64_t)tasks};
  RLX_TRY(check(&m->at, index));
  if (tasks == 1) gather_task(&job, 0, 0);
  else threads_run(threads, tasks, gather_task, &job);
  return RLX_OK;
}

/* --- scatter */

#define ADD(x, y) (x + y)
#define MUL(x, y) (x * y)
#define MAX(x, y) (x > y ? x : y)
#define MIN(x, y) (x < y ? x : y)
#define REAL_MAX(x, y) (x > y || isnan(x) ? x : y)
#define REAL_MIN(x, y) (x < y || isnan(x) ? x : y)

/* X(dtype, type, add, mul, max, min): integers wrap, so that sums and products are unsigned. */
#define FOLDS(X)                                          \
  X(U8, uint8_t, uint32_t, MAX, MIN)                      \
  X(U16, uint16_t, uint32_t, MAX, MIN)                    \
  X(U32, uint32_t, uint32_t, MAX, MIN)                    \
  X(U64, uint64_t, uint64_t, MAX, MIN)                    \
  X(I8, int8_t, uint32_t, MAX, MIN)                       \
  X(I16, int16_t, uint32_t, MAX, MIN)                     \
  X(I32, int32_t, uint32_t, MAX, MIN)                     \
  X(I64, int64_t, uint64_t, MAX, MIN)                     \
  X(F32, float, float, REAL_MAX, REAL_MIN)                \
  X(F64, double, double, REAL_MAX, REAL_MIN)

#define FOLD(name, T, W, f)                                                 \
  static void name(int64_t n, const void *from, void *to) {                 \
    const T *x = from;                                                      \
    T *y = to;                                                              \
    for (int64_t i = 0; i < n; i++) y[i] = (T)(f((W)y[i], (W)x[i]));        \
  }
#define FOLDS_OF(D, T, W, largest, least)                                   \
  FOLD(add_##D, T, W, ADD)                                                  \
  FOLD(mul_##D, T, W, MUL)                                                  \
  FOLD(max_##D, T, T, largest)                                              \
  FOLD(min_##D, T, T, least)
FOLDS(FOLDS_OF)
#undef FOLDS_OF
#undef FOLD

index_fold index_fold_of(const char *word, rlx_dtype dtype) {
  static const struct {
    const char *word;
    rlx_dtype dtype;
    index_fold fold;
  } folds[] = {
#define ROWS(D, T, W, largest, least)                                                    \
  {"add", RLX_##D, add_##D}, {"mul", RLX_##D, mul_##D}, {"max", RLX_##D, max_##D},       \
      {"min", RLX_##D, min_##D},
      FOLDS(ROWS)
#undef ROWS
  };
  for (size_t i = 0; i < sizeof folds / sizeof folds[0]; i++)
    if (folds[i].dtype == dtype && strcmp(folds[i].word, word) == 0) return folds[i].fold;
  return NULL;
}
#undef FOLDS
#undef ADD
#undef MUL
#undef MAX
#undef MIN
#undef REAL_MAX
#undef REAL_MIN

rlx_status index_scatter(const index_moves *m, const void *index, const void *from, void *named,
                         size_t width, index_fold fold) {
  const int64_t bytes = (int64_t)m->bytes;
  int64_t at[CHUNK];
  const cpu_loops *loops = cpu_table();
  RLX_TRY(check(&m->at, index));
  for (int64_t first = 0; first < m->at.count; first += CHUNK) {
    const int64_t n = chunk_size(&m->at, first);
    resolve(&m->at, index, first, n, at);
    for (int64_t o = 0; o < m->outer; o++) {
      const char *x = (const char *)from + (o * m->at.count + first) * bytes;
      char *y = (char *)named + o * m->named_outer;
      if (!fold) loops->copy_scatter(m->bytes, n, at, x, y);
      for (int64_t i = 0; i < n && fold; i++)
        fold(bytes / (int64_t)width, x + i * bytes, y + at[i]);
    }
  }
  return RLX_OK;
}
