/* cpu/places.c: planning and running a result whose axes say where they come from. */
#include "cpu/places.h"

#include <string.h>

#include "base/threads.h"
#include "cpu/walk.h"

enum { RUN_BLOCKS = 4 }; /* blocks that a run should have on average */

/* --- planning */

/* Axes of one element lie anywhere. */
static int64_t step_of(const cpu_view *v, uint32_t axis) {
  return v->dims[axis] == 1 ? INT64_MAX : v->strides[axis];
}

/* The axes of the result as they lie in memory, outermost first. */
static void sorted_axes(const cpu_view *out, uint32_t *axes) {
  for (uint32_t i = 0; i < out->rank; i++) {
    uint32_t at = i;
    for (; at > 0 && step_of(out, axes[at - 1]) < step_of(out, i); at--) axes[at] = axes[at - 1];
    axes[at] = i;
  }
}

/* Where the elements of one axis come from, in bytes. */
typedef struct places_axis {
  places_of place;
  const void *ctx;
  uint32_t axis;
  int64_t n, step;
} places_axis;

static int64_t bytes_at(const places_axis *a, int64_t j) {
  const int64_t place = a->place(a->ctx, a->axis, j);
  return place == NO_PLACE ? NO_PLACE : place * a->step;
}

/* Blocks that follow each other as in the operand? Then they are one. */
static bool is_plain(const places_axis *a, int64_t block) {
  for (int64_t j = 0; j < a->n; j++)
    if (bytes_at(a, j) != j * block) return false;
  return true;
}

static const int64_t *table_of(const places_axis *a, arena *mem) {
  int64_t *table = arena_new(mem, (size_t)a->n + 1, sizeof *table);
  for (int64_t j = 0; table && j < a->n; j++) table[j] = bytes_at(a, j);
  return table;
}

/* Blocks a step apart, from block j of the row on. */
static places_stretch stretch_from(const places_axis *a, int64_t j, int64_t block) {
  places_stretch r = {1, bytes_at(a, j), block, j * block};
  int64_t last = r.from;
  for (int64_t k = j + 1; k < a->n; k++, r.n++) {
    const int64_t from = bytes_at(a, k);
    if ((from == NO_PLACE) != (r.from == NO_PLACE)) break;
    if (k == j + 1 && from != NO_PLACE) r.step = from - last;
    if (from != NO_PLACE && from - last != r.step) break;
    last = from;
  }
  return r;
}

/* Their number; `to` NULL: only that. */
static size_t find_runs(const places_axis *a, int64_t block, places_stretch *to, bool *gaps) {
  size_t count = 0;
  for (int64_t j = 0; j < a->n; count++) {
    const places_stretch r = stretch_from(a, j, block);
    if (to) to[count] = r;
    *gaps = *gaps || r.from == NO_PLACE;
    j += r.n;
  }
  return count;
}

/* The blocks of a row, as long runs or one by one. */
static bool make_row(cpu_places *p, const places_axis *a, arena *mem) {
  bool gaps = false;
  p->n = a->n;
  p->row = p->n * p->block;
  p->n_runs = find_runs(a, p->block, NULL, &gaps);
  if (!gaps && (int64_t)p->n_runs * RUN_BLOCKS > p->n && p->n > 1)
    return (p->blocks = table_of(a, mem));
  places_stretch *runs = arena_new(mem, p->n_runs + 1, sizeof *runs);
  if (runs) find_runs(a, p->block, runs, &gaps);
  return (p->runs = runs);
}

static int64_t itself(const void *ctx, uint32_t axis, int64_t j) {
  (void)ctx, (void)axis;
  return j;
}

bool places_make(cpu_places *p, const cpu_view *in, const cpu_view *out, size_t width,
                 places_of place, const void *ctx, const void *fill, arena *mem) {
  uint32_t order[RLX_MAX_RANK], n = out->rank;
  places_axis a[RLX_MAX_RANK], one = {itself, NULL, 0, 1, 0};
  *p = (cpu_places){.width = width, .block = (int64_t)width, .rows = 1};
  memcpy(p->fill, fill, width);
  sorted_axes(out, order);
  for (uint32_t i = 0; i < n; i++)
    a[i] = (places_axis){place, ctx, order[i], out->dims[order[i]],
                         in->strides[order[i]] * (int64_t)width};
  while (n > 0 && is_plain(&a[n - 1], p->block)) p->block *= a[--n].n;
  p->axes = n > 0 ? n - 1 : 0;
  for (uint32_t i = 0; i < p->axes; i++) {
    p->dims[i] = a[i].n;
    p->rows *= a[i].n;
    if (!(p->from[i] = table_of(&a[i], mem))) return false;
  }
  return make_row(p, n > 0 ? &a[n - 1] : &one, mem);
}

/* --- running */

typedef struct places_job {
  const cpu_places *p;
  const char *in;
  char *out;
  int64_t tasks;
} places_job;

static void fill_bytes(const cpu_places *p, char *to, int64_t bytes) {
  cpu_table()->copy_elements(p->width, 1, bytes / (int64_t)p->width, p->fill, 0, 0, to, 0,
                             (int64_t)p->width);
}

static void row_run(const cpu_places *p, const cpu_loops *loops, const char *from, char *to) {
  if (p->blocks) loops->copy_gather((size_t)p->block, p->n, p->blocks, from, to);
  else loops->copy_stretches(p, from, to);
}

/* Where a row's operand begins; false: nowhere. */
static bool row_from(const cpu_places *p, const int64_t *coord, int64_t *out_from) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < p->axes; i++) {
    const int64_t from = p->from[i][coord[i]];
    if (from == NO_PLACE) return false;
    sum += from;
  }
  *out_from = sum;
  return true;
}

static void task_run(void *ctx, size_t i, size_t worker) {
  const places_job *job = ctx;
  const cpu_places *p = job->p;
  const cpu_loops *loops = cpu_table();
  const int64_t first = p->rows * (int64_t)i / job->tasks;
  const int64_t end = p->rows * ((int64_t)i + 1) / job->tasks;
  int64_t coord[RLX_MAX_RANK], rest = first, from, last = NO_PLACE;
  (void)worker;
  for (uint32_t k = p->axes; k-- > 0; rest /= p->dims[k]) coord[k] = rest % p->dims[k];
  for (int64_t r = first; r < end; r++) {
    char *to = job->out + r * p->row;
    const bool some = row_from(p, coord, &from);
    if (!some) fill_bytes(p, to, p->row);
    else if (from == last) memcpy(to, to - p->row, (size_t)p->row);
    else row_run(p, loops, job->in + from, to);
    last = some ? from : NO_PLACE;
    for (uint32_t k = p->axes; k-- > 0 && ++coord[k] == p->dims[k];) coord[k] = 0;
  }
}

void places_move(const cpu_places *p, const void *in, void *out, uint32_t threads) {
  const size_t tasks = walk_tasks(threads, p->rows, WALK_BYTE_NS * (double)p->row);
  places_job job = {p, in, out, (int64_t)tasks};
  if (tasks == 1) task_run(&job, 0, 0);
  else threads_run(threads, tasks, task_run, &job);
}
