/* cpu/copy.c: planning a strided copy, and running it in parts. */
#include "cpu/copy.h"

#include "base/threads.h"
#include "cpu/walk.h"

enum {
  PART_BYTES = 1 << 14, /* what a part should have at least */
  TILE = 16,            /* rows that a transposition takes at once */
};

/* --- planning */

/* The axes of more than one element, steps in bytes, the largest step of the target first. */
static uint32_t sorted_axes(cpu_copy *p, uint32_t rank, const int64_t *dims, const int64_t *from,
                            const int64_t *to) {
  const int64_t width = (int64_t)p->width;
  uint32_t n = 0;
  for (uint32_t i = 0; i < rank; i++) {
    if (dims[i] == 1) continue;
    uint32_t at = n++;
    for (; at > 0 && p->to[at - 1] < to[i] * width; at--) {
      p->dims[at] = p->dims[at - 1];
      p->from[at] = p->from[at - 1];
      p->to[at] = p->to[at - 1];
    }
    p->dims[at] = dims[i];
    p->from[at] = from[i] * width;
    p->to[at] = to[i] * width;
  }
  return n;
}

static uint32_t joined_axes(cpu_copy *p, uint32_t rank) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < rank; i++) {
    const bool join =
        n > 0 && p->from[n - 1] == p->from[i] * p->dims[i] && p->to[n - 1] == p->to[i] * p->dims[i];
    if (join) n--;
    p->dims[n] = p->dims[i] * (join ? p->dims[n] : 1);
    p->from[n] = p->from[i];
    p->to[n++] = p->to[i];
  }
  return n;
}

/* A few neighbours are one wider element. */
static uint32_t widened(cpu_copy *p, uint32_t rank) {
  const int64_t width = (int64_t)p->width;
  if (rank == 0 || p->from[rank - 1] != width || p->to[rank - 1] != width) return rank;
  const int64_t n = p->dims[rank - 1];
  if (n > 16 / width || (n & (n - 1)) != 0) return rank;
  p->width = (size_t)(n * width);
  return rank - 1;
}

/* Takes an axis out of the list. */
static void take_axis(cpu_copy *p, uint32_t axis, int64_t *dim, int64_t *from, int64_t *to) {
  *dim = p->dims[axis];
  *from = p->from[axis];
  *to = p->to[axis];
  p->axes--;
  for (uint32_t i = axis; i < p->axes; i++) {
    p->dims[i] = p->dims[i + 1];
    p->from[i] = p->from[i + 1];
    p->to[i] = p->to[i + 1];
  }
}

/* The axis along which the operand's elements are neighbours; p->axes: none. */
static uint32_t source_axis(const cpu_copy *p) {
  uint32_t i = 0;
  while (i < p->axes && p->from[i] != (int64_t)p->width) i++;
  return i;
}

static void choose_inner(cpu_copy *p) {
  const int64_t width = (int64_t)p->width;
  const cpu_loops *loops = cpu_table();
  uint32_t row = p->axes - 1; /* once the innermost one is gone */
  p->inner = loops->copy_elements;
  if (p->axes > 0) take_axis(p, row--, &p->n, &p->from_step, &p->to_step);
  if (p->to_step == width && p->from_step == width) {
    p->inner = loops->copy_rows;
  } else if (p->to_step == width && p->from_step != 0 && source_axis(p) < p->axes) {
    p->inner = loops->copy_transposed;
    row = source_axis(p);
  }
  if (p->axes > 0) take_axis(p, row, &p->rows, &p->from_row, &p->to_row);
}

static void cut(cpu_copy *p) {
  const int64_t all = p->rows > 1 ? p->rows : p->n;
  const int64_t bytes = (int64_t)p->width * (p->rows > 1 ? p->n : 1); /* of one of them */
  p->part = PART_BYTES / (bytes < PART_BYTES ? bytes : PART_BYTES);
  p->part = (p->part + TILE - 1) / TILE * TILE;
  p->parts = (all + p->part - 1) / p->part;
}

void copy_make(cpu_copy *p, size_t width, uint32_t rank, const int64_t *dims, const int64_t *from,
               const int64_t *to) {
  *p = (cpu_copy){.width = width, .rows = 1, .n = 1, .boxes = 1, .parts = 1};
  for (uint32_t i = 0; i < rank; i++)
    if (dims[i] == 0) p->boxes = 0;
  if (p->boxes == 0) return;
  p->axes = widened(p, joined_axes(p, sorted_axes(p, rank, dims, from, to)));
  choose_inner(p);
  cut(p);
  for (uint32_t i = 0; i < p->axes; i++) p->boxes *= p->dims[i];
}

/* --- running */

typedef struct copy_job {
  const cpu_copy *p;
  const char *from;
  char *to;
  int64_t tasks;
} copy_job;

static void part_run(const cpu_copy *p, int64_t part, const char *from, char *to) {
  const int64_t at = part * p->part, all = p->rows > 1 ? p->rows : p->n;
  const int64_t n = all - at < p->part ? all - at : p->part;
  if (p->rows > 1)
    p->inner(p->width, n, p->n, from + at * p->from_row, p->from_row, p->from_step,
             to + at * p->to_row, p->to_row, p->to_step);
  else
    p->inner(p->width, 1, n, from + at * p->from_step, 0, p->from_step, to + at * p->to_step, 0,
             p->to_step);
}

/* Parts [first, end) of all boxes. */
static void parts_run(const cpu_copy *p, int64_t first, int64_t end, const char *from, char *to) {
  int64_t coord[RLX_MAX_RANK], box = first / p->parts, part = first % p->parts;
  for (uint32_t i = p->axes; i-- > 0; box /= p->dims[i]) {
    coord[i] = box % p->dims[i];
    from += coord[i] * p->from[i];
    to += coord[i] * p->to[i];
  }
  for (int64_t k = first; k < end; k++) {
    part_run(p, part, from, to);
    if (++part < p->parts) continue;
    part = 0;
    for (uint32_t i = p->axes; i-- > 0;) {
      from += p->from[i];
      to += p->to[i];
      if (++coord[i] < p->dims[i]) break;
      coord[i] = 0;
      from -= p->from[i] * p->dims[i];
      to -= p->to[i] * p->dims[i];
    }
  }
}

static void task_run(void *ctx, size_t i, size_t worker) {
  const copy_job *job = ctx;
  const int64_t all = job->p->boxes * job->p->parts, task = (int64_t)i;
  (void)worker;
  parts_run(job->p, all * task / job->tasks, all * (task + 1) / job->tasks, job->from, job->to);
}

void copy_run(const cpu_copy *p, const void *from, void *to, uint32_t threads) {
  const int64_t all = p->boxes * p->parts;
  const double bytes = (double)(p->rows * p->n) * (double)p->width / (double)p->parts;
  const size_t tasks = walk_tasks(threads, all, WALK_BYTE_NS * bytes);
  copy_job job = {p, from, to, (int64_t)tasks};
  if (tasks == 1) parts_run(p, 0, all, from, to);
  else threads_run(threads, tasks, task_run, &job);
}
