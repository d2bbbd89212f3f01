/* cpu/order.c: rows in order: sort, argsort, the k first.
 *
 * Laws: equal elements keep their order (-0 equals 0); NaN is last in both directions. Keys are
 * integers of 64 bits in the order of the elements, sorted by bytes, least first, without those
 * that are the same in all keys. Of a row only what is before the k-th so far is kept; when twice
 * as many are there they are sorted: linear in the row, whatever is in it. */
#include "cpu/order.h"

#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "cpu/walk.h"

typedef struct entry {
  uint64_t key;
  int64_t place;
} entry;

enum { BYTE_VALUES = 256, FEW = 48, LEAST_KEPT = 32 };

typedef struct order_state {
  const cpu_loops *loops;
  cpu_walk others; /* axes */
  cpu_axis row;
  int64_t k, most; /* most: entries kept at a time */
  rlx_dtype dtype;
  lane_type type;
  bool descending, values, places;
  size_t values_at, places_at, tasks;
  size_t piece; /* bytes of scratch of a worker */
} order_state;

typedef struct order_job {
  const order_state *s;
  const char *x;
  char *values, *scratch;
  int64_t *places;
} order_job;

/* --- sorting entries by key; they come in the order of their places among equal keys */

static void insert_few(entry *e, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    const entry own = e[i];
    int64_t at = i;
    for (; at > 0 && e[at - 1].key > own.key; at--) e[at] = e[at - 1];
    e[at] = own;
  }
}

static void sort_by_byte(const entry *from, entry *to, int64_t n, unsigned shift) {
  int64_t start[BYTE_VALUES] = {0};
  for (int64_t i = 0; i < n; i++) start[from[i].key >> shift & 0xff]++;
  for (int64_t i = 0, sum = 0; i < BYTE_VALUES; i++) {
    const int64_t count = start[i];
    start[i] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < n; i++) to[start[from[i].key >> shift & 0xff]++] = from[i];
}

static void sort_entries(entry *e, entry *spare, int64_t n) {
  if (n <= FEW) {
    insert_few(e, n);
    return;
  }
  uint64_t differ = 0;
  for (int64_t i = 1; i < n; i++) differ |= e[i].key ^ e[0].key;
  entry *from = e, *to = spare;
  for (unsigned shift = 0; shift < 64; shift += 8) {
    if (!(differ >> shift & 0xff)) continue;
    sort_by_byte(from, to, n, shift);
    entry *other = from;
    from = to;
    to = other;
  }
  if (from != e) memcpy(e, from, (size_t)n * sizeof *e);
}

/* --- rows */

/* The first k of n keys, sorted, to `kept`. */
static void select_first(const order_state *s, const uint64_t *key, int64_t n, entry *kept,
                         entry *spare) {
  int64_t count = 0;
  uint64_t below = 0;
  bool full = false; /* k entries are not above `below`, so only what is less matters */
  for (int64_t i = 0; i < n; i++) {
    if (full && (i = s->loops->order_below(key, i, n, below)) == n) break;
    kept[count++] = (entry){key[i], i};
    if (count < s->most || i + 1 == n) continue;
    sort_entries(kept, spare, count);
    count = s->k;
    full = true;
    below = kept[count - 1].key;
  }
  sort_entries(kept, spare, count);
}

static void put_element(void *to, const void *from, size_t width) {
  switch (width) {
    case 1: memcpy(to, from, 1); return;
    case 2: memcpy(to, from, 2); return;
    case 4: memcpy(to, from, 4); return;
    default: memcpy(to, from, 8); return;
  }
}

static void order_row(const order_job *job, const cpu_place *p, char *scratch) {
  const order_state *s = job->s;
  const size_t width = rlx_dtype_get(s->dtype)->block_bytes;
  const int64_t bytes = (int64_t)width, n = s->row.n;
  entry *kept = (entry *)(void *)scratch, *spare = kept + s->most;
  uint64_t *key = (uint64_t *)(void *)(spare + s->most);
  const char *x = job->x + p->x * bytes;
  s->loops->lane_load(s->type, s->dtype, x, s->row.x, n, key);
  s->loops->order_keys(s->type, s->descending, key, n);
  select_first(s, key, n, kept, spare);
  for (int64_t i = 0; i < s->k && s->places; i++) job->places[p->y + i * s->row.y] = kept[i].place;
  for (int64_t i = 0; i < s->k && s->values; i++)
    put_element(job->values + (p->y + i * s->row.y) * bytes, x + kept[i].place * s->row.x * bytes,
                width);
}

static void order_task(void *ctx, size_t task, size_t worker) {
  const order_job *job = ctx;
  const order_state *s = job->s;
  const int64_t all = s->others.count, n = (int64_t)s->tasks;
  const int64_t from = all * (int64_t)task / n, to = all * ((int64_t)task + 1) / n;
  if (from == to) return;
  cpu_place p;
  walk_seek(&s->others, from, &p);
  for (int64_t i = from; i < to; i++, walk_next(&s->others, &p))
    order_row(job, &p, job->scratch + worker * s->piece);
}

rlx_status order_run(const void *state, const cpu_run *run, const void *const *in,
                     void *const *out) {
  const order_state *s = state;
  order_job job = {s, in[0], out[s->values_at], run->scratch, out[s->places_at]};
  if (s->tasks == 1) order_task(&job, 0, 0);
  else threads_run(run->threads, s->tasks, order_task, &job);
  return RLX_OK;
}

rlx_status order_prepare(const order_spec *spec, uint32_t threads, arena *mem,
                         const void **out_state, size_t *out_scratch) {
  enum { KEY_NS = 2, SORT_NS = 15 };
  order_state *s = arena_new(mem, 1, sizeof *s);
  if (!s) return status_memory(sizeof *s);
  const cpu_view *x = spec->x, *y = spec->values ? spec->values : spec->places;
  cpu_axis others[RLX_MAX_RANK];
  size_t n = 0;
  for (uint32_t i = 0; i < x->rank; i++) {
    const cpu_axis a = {x->dims[i], x->strides[i], y->strides[i]};
    if (i == spec->axis) s->row = a;
    else others[n++] = a;
  }
  walk_of(&s->others, others, n);
  s->loops = cpu_table();
  s->dtype = x->dtype;
  if (!lane_of(x->dtype, LANE_F64, &s->type))
    return status_set(RLX_ERROR_INTERNAL, "an order of elements that have no lanes");
  s->k = spec->k;
  s->most = 2 * s->k < LEAST_KEPT ? LEAST_KEPT : 2 * s->k;
  if (s->most > s->row.n) s->most = s->row.n;
  s->descending = spec->descending;
  s->values = spec->values != NULL;
  s->places = spec->places != NULL;
  s->values_at = spec->values_at;
  s->places_at = spec->places_at;
  s->tasks = walk_tasks(threads, s->others.count,
                        (double)(KEY_NS * s->row.n) + (double)(SORT_NS * s->most));
  s->piece = (size_t)s->most * 2 * sizeof(entry) + (size_t)s->row.n * sizeof(uint64_t);
  s->piece = (s->piece + 63) / 64 * 64;
  *out_scratch = s->piece * (s->tasks == 1 ? 1 : threads);
  *out_state = s;
  return RLX_OK;
}
