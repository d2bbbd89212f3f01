/* cpu/tile_make.c: making tile programs: axes joined, operands' ways chosen, values given slots.
 *
 * Values form a list in order, each a line, an operand, a constant or the accumulators; a temporary
 * tile is given to a line's value until its last reader. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "cpu/tile_program.h"

typedef enum value_kind { VALUE_LINE, VALUE_OPERAND, VALUE_FIXED, VALUE_BASE } value_kind;

typedef struct value {
  value_kind kind;
  uint8_t width; /* of an element in its slot */
  size_t index;  /* of the operand or constant */
  cpu_step step;
  tile_value xyz[3];
  double p[2];
  size_t last;   /* the value that reads it last; 0: none does */
  uint32_t slot; /* where it is read; of lines: which temporary tile */
} value;

struct tile_maker {
  arena *mem;
  rlx_status status;
  const cpu_view *out, *in;
  tile_program *p;
  tile_source *sources;
  bool epilogue;
  size_t n;
  value values[TILE_VALUES];
  const void *fixed[TILE_VALUES];
};

tile_class tile_class_of(rlx_dtype dtype) {
  switch (dtype) {
    case RLX_F16:
    case RLX_BF16:
    case RLX_F32: return TILE_F32;
    case RLX_F64: return TILE_F64;
    case RLX_BOOL:
    case RLX_I8:
    case RLX_I16:
    case RLX_I32:
    case RLX_U8:
    case RLX_U16: return TILE_I32;
    case RLX_U32:
    case RLX_I64: return TILE_I64;
    case RLX_U64: return TILE_U64;
    default: return TILE_CLASSES;
  }
}

static uint8_t class_bytes(rlx_dtype dtype) {
  const tile_class of = tile_class_of(dtype);
  return of == TILE_F32 || of == TILE_I32 ? 4 : 8;
}
static size_t memory_bytes(rlx_dtype dtype) { return rlx_dtype_get(dtype)->block_bytes; }

/* --- axes */

/* Does axis i lie within axis j? */
static bool lies_within(const cpu_view *v, uint32_t i, uint32_t j) {
  if (v->strides[i] != v->strides[j]) return v->strides[i] < v->strides[j];
  return v->dims[i] == 1 && v->dims[j] != 1;
}

/* The result's axes from the innermost in memory outwards; those of size 1 only where they stand
 * for a row. */
static uint32_t axes_of(const cpu_view *out, bool keep_inner, uint32_t *axes) {
  uint32_t n = 0;
  for (uint32_t i = out->rank; i-- > 0;) {
    uint32_t at = n++;
    for (; at > 0 && lies_within(out, i, axes[at - 1]); at--) axes[at] = axes[at - 1];
    axes[at] = i;
  }
  uint32_t kept = 0;
  for (uint32_t k = 0; k < n; k++)
    if (out->dims[axes[k]] != 1 || (k == 0 && keep_inner)) axes[kept++] = axes[k];
  return kept;
}

/* An operand's step in elements along an axis of the result. */
static int64_t step_of(const cpu_view *in, uint32_t rank, uint32_t axis) {
  if (in->dtype == RLX_DTYPE_COUNT || in->rank > rank) return 0; /* nothing that steps read */
  const uint32_t missing = rank - in->rank;
  if (axis < missing || in->dims[axis - missing] == 1) return 0;
  return in->strides[axis - missing];
}

/* Adds an axis, or lengthens the last one where everything goes on as before. */
static void add_axis(tile_program *p, tile_source *sources, int64_t dim, const int64_t *steps,
                     bool join) {
  const uint32_t last = p->rank - 1;
  for (size_t i = 0; i < p->n_in && join; i++)
    join = steps[i] == sources[i].step[last] * p->dims[last];
  if (join) {
    p->dims[last] *= dim;
    return;
  }
  for (size_t i = 0; i < p->n_in; i++) sources[i].step[p->rank] = steps[i];
  p->dims[p->rank++] = dim;
}

static rlx_status set_axes(tile_maker *m) {
  tile_program *p = m->p;
  uint32_t axes[RLX_MAX_RANK];
  int64_t *steps = arena_new(m->mem, p->n_in + 1, sizeof *steps);
  if (!steps) return status_memory(p->n_in * sizeof *steps);
  const uint32_t n = axes_of(m->out, m->epilogue, axes);
  for (uint32_t k = 0; k < n; k++) {
    for (size_t i = 0; i < p->n_in; i++)
      steps[i] = step_of(&m->in[i], m->out->rank, axes[k]) * (int64_t)m->sources[i].width;
    add_axis(p, m->sources, m->out->dims[axes[k]], steps, p->rank > (m->epilogue ? 1 : 0));
  }
  if (p->rank == 0) {
    memset(steps, 0, p->n_in * sizeof *steps);
    add_axis(p, m->sources, 1, steps, false);
  }
  p->rows = 1;
  for (uint32_t a = 1; a < p->rank; a++) p->rows *= p->dims[a];
  return RLX_OK;
}

rlx_status tile_start(arena *mem, const cpu_view *out, const cpu_view *in, size_t n_in,
                      bool epilogue, tile_maker **out_maker) {
  tile_maker *m = arena_new(mem, 1, sizeof *m);
  if (!m) return status_memory(sizeof *m);
  m->mem = mem;
  m->out = out;
  m->p = arena_new(mem, 1, sizeof *m->p);
  m->sources = arena_new(mem, n_in + 1, sizeof *m->sources);
  if (!m->p || !m->sources) return status_memory((n_in + 1) * sizeof *m->sources);
  m->p->n_in = n_in;
  m->p->in = m->sources;
  m->p->width = memory_bytes(out->dtype);
  for (size_t i = 0; i < n_in; i++)
    if (in[i].dtype < RLX_DTYPE_COUNT) m->sources[i].width = memory_bytes(in[i].dtype);
  m->in = in;
  m->epilogue = epilogue;
  RLX_TRY(set_axes(m));
  *out_maker = m;
  return RLX_OK;
}

/* --- values */

static tile_value add_value(tile_maker *m, value v) {
  if (m->n < TILE_VALUES)
    m->values[m->n++] = v;
  else if (m->status == RLX_OK)
    m->status = status_set(RLX_ERROR_LIMIT, "more than %d values in a region", TILE_VALUES);
  return (tile_value)m->n - 1;
}

/* A line whose result a slot of that dtype's class holds. */
static tile_value add_line(tile_maker *m, cpu_step step, rlx_dtype dtype, const tile_value xyz[3],
                           const double *p) {
  value v = {.kind = VALUE_LINE, .width = class_bytes(dtype), .step = step};
  memcpy(v.xyz, xyz, sizeof v.xyz);
  if (p) memcpy(v.p, p, sizeof v.p);
  return add_value(m, v);
}

/* A line of one operand; without a step the operand itself. */
static tile_value add_change(tile_maker *m, cpu_step step, rlx_dtype dtype, tile_value x) {
  return step ? add_line(m, step, dtype, (tile_value[]){x, x, x}, NULL) : x;
}

/* One element, in its class, as a constant. */
static tile_value add_fixed(tile_maker *m, rlx_dtype dtype, const void *element) {
  uint64_t *kept = arena_new(m->mem, 1, sizeof *kept);
  const cpu_step load = cpu_table()->tile_load(dtype);
  if (!kept) {
    m->status = status_memory(sizeof *kept);
    return 0;
  }
  if (load)
    load(kept, element, element, element, NULL, 1);
  else
    memcpy(kept, element, memory_bytes(dtype));
  const size_t index = m->p->n_fixed++;
  const tile_value v = add_value(
      m, (value){.kind = VALUE_FIXED, .width = class_bytes(dtype), .index = index});
  m->fixed[index] = kept;
  return v;
}

tile_value tile_operand(tile_maker *m, size_t i, const void *constant) {
  const rlx_dtype dtype = m->in[i].dtype;
  if (m->status != RLX_OK) return 0;
  if (constant) return add_fixed(m, dtype, constant);
  const uint8_t width = (uint8_t)m->sources[i].width;
  const tile_value raw =
      add_value(m, (value){.kind = VALUE_OPERAND, .width = width, .index = i});
  return add_change(m, cpu_table()->tile_load(dtype), dtype, raw);
}

tile_value tile_base(tile_maker *m, rlx_dtype dtype) {
  m->p->base_width = class_bytes(dtype);
  return add_value(m, (value){.kind = VALUE_BASE, .width = class_bytes(dtype)});
}

tile_value tile_step(tile_maker *m, cpu_step step, rlx_dtype result, const tile_value xyz[3],
                     const double *p) {
  return add_change(m, cpu_table()->tile_fit(result), result, add_line(m, step, result, xyz, p));
}

tile_value tile_cast(tile_maker *m, tile_value x, rlx_dtype from, rlx_dtype to) {
  const cpu_loops *loops = cpu_table();
  const rlx_dtype_info *info = rlx_dtype_get(to);
  const tile_class a = tile_class_of(from), b = tile_class_of(to);
  if (from == to) return x;
  if (to == RLX_BOOL) return add_change(m, loops->tile_truth((int)a), to, x);
  if (a != b) {
    const bool sign = info->kind == RLX_KIND_INT;
    const double above = ldexp(1, 8 * (int)info->block_bytes - sign);
    const double range[2] = {sign ? -above : 0, above};
    const tile_value xyz[3] = {x, x, x};
    x = add_line(m, loops->tile_cast((int)a, (int)b), to, xyz, range);
  }
  return add_change(m, loops->tile_fit(to), to, x);
}

/* --- the program */

/* The result is written by a line of its own kind: the last step, which the store then need not
 * round again, or a copy. */
static tile_value add_store(tile_maker *m, tile_value x) {
  const cpu_loops *loops = cpu_table();
  const rlx_dtype dtype = m->out->dtype;
  const cpu_step store = loops->tile_store(dtype), fit = loops->tile_fit(dtype);
  const value *v = &m->values[x];
  if (store && fit && v->kind == VALUE_LINE && v->step == fit) x = v->xyz[0];
  if (!store && v->kind == VALUE_LINE) return x;
  const int same = (int)tile_class_of(dtype);
  return add_change(m, store ? store : loops->tile_cast(same, same), dtype, x);
}

static void set_last(tile_maker *m, tile_value result) {
  m->values[result].last = m->n;
  for (size_t v = m->n; v-- > 0;) {
    const value *reader = &m->values[v];
    if (!reader->last || reader->kind != VALUE_LINE) continue;
    for (int k = 0; k < 3; k++) {
      value *read = &m->values[reader->xyz[k]];
      if (read->last < v) read->last = v;
    }
  }
}

/* Does an operand lie as the result does (all axes), or is it the same along all of them (from axis
 * `first` on)? */
static bool is_linear(const tile_program *p, const tile_source *s) {
  int64_t step = (int64_t)s->width;
  for (uint32_t a = 0; a < p->rank; a++) {
    if (p->dims[a] != 1 && s->step[a] != step) return false;
    step *= p->dims[a];
  }
  return true;
}
static bool is_constant(const tile_program *p, const tile_source *s, uint32_t first) {
  for (uint32_t a = first; a < p->rank; a++)
    if (p->dims[a] != 1 && s->step[a] != 0) return false;
  return true;
}

/* Temporary tiles: first one for each operand that may be gathered, then for lines; a line may
 * write where an operand of its width ends. Returns how many. */
static size_t set_tiles(tile_maker *m, tile_value result) {
  bool busy[TILE_VALUES] = {false};
  size_t n = 0;
  for (size_t v = 0; v < m->n; v++) {
    value *x = &m->values[v];
    if (x->kind != VALUE_OPERAND || !x->last) continue;
    m->sources[x->index].way = TILE_LINEAR;
    if (!is_linear(m->p, &m->sources[x->index])) {
      m->sources[x->index].way = TILE_GATHER;
      m->sources[x->index].tile = (uint32_t)n;
      busy[n++] = true;
    }
  }
  for (size_t v = 0; v < m->n; v++) {
    value *x = &m->values[v];
    if (x->kind != VALUE_LINE || !x->last || v == result) continue;
    for (int k = 0; k < 3; k++) {
      const value *read = &m->values[x->xyz[k]];
      if (read->kind == VALUE_LINE && read->last == v && read->width == x->width)
        busy[read->slot] = false;
    }
    size_t at = 0;
    while (busy[at]) at++;
    for (int k = 0; k < 3; k++) {
      const value *read = &m->values[x->xyz[k]];
      if (read->kind == VALUE_LINE && read->last == v) busy[read->slot] = false;
    }
    busy[at] = true;
    x->slot = (uint32_t)at;
    if (at >= n) n = at + 1;
  }
  return n;
}

/* How large tiles are, and what each operand does. */
static rlx_status set_shape(tile_maker *m) {
  tile_program *p = m->p;
  size_t width = 1, count = TILE_MOST;
  for (size_t v = 0; v < m->n; v++)
    if (m->values[v].last && m->values[v].width > width) width = m->values[v].width;
  if (p->n_tiles) {
    const size_t fits = (TILE_MEMORY / p->n_tiles - TILE_SKEW) / width & ~(size_t)15;
    if (TILE_MEMORY / p->n_tiles < TILE_SKEW || fits == 0)
      return status_set(RLX_ERROR_LIMIT, "%zu values live at once in a region", p->n_tiles);
    if (fits < count) count = fits;
  }
  p->tile_bytes = count * width + TILE_SKEW;
  const int64_t most = (int64_t)count, len = p->dims[0];
  p->pieces = len > most ? (len + most - 1) / most : 1;
  p->piece = p->pieces == 1 ? len : ((len + p->pieces - 1) / p->pieces + 15) & ~(int64_t)15;
  p->pieces = (len + p->piece - 1) / p->piece;
  p->together = p->rank == 1 || len > most / 2 ? 1 : most / len;
  for (size_t i = 0; i < p->n_in; i++) {
    tile_source *s = &m->sources[i];
    if (s->way != TILE_GATHER) continue;
    if (is_constant(p, s, 0) || (p->together > 1 && is_constant(p, s, 1)))
      s->way = TILE_ONCE;
    else if (p->together == 1 && (len == 1 || s->step[0] == (int64_t)s->width))
      s->way = TILE_ROWS;
    s->tile *= (uint32_t)p->tile_bytes;
  }
  return RLX_OK;
}

/* Constants, each as a tile full of it. */
static rlx_status set_fixed(tile_maker *m) {
  tile_program *p = m->p;
  const void **fixed = arena_new(m->mem, p->n_fixed + 1, sizeof *fixed);
  if (!fixed) return status_memory(p->n_fixed * sizeof *fixed);
  const int64_t count = p->together > 1 ? p->together * p->dims[0] : p->piece;
  for (size_t v = 0; v < m->n; v++) {
    const value *x = &m->values[v];
    if (x->kind != VALUE_FIXED || !x->last) continue;
    void *tile = arena_new(m->mem, (size_t)count + 1, x->width);
    if (!tile) return status_memory((size_t)count * x->width);
    cpu_table()->copy_elements(x->width, 1, count, m->fixed[x->index], 0, 0, tile, 0, x->width);
    fixed[x->index] = tile;
  }
  p->fixed = fixed;
  return RLX_OK;
}

static rlx_status set_lines(tile_maker *m, tile_value result) {
  tile_program *p = m->p;
  tile_line *lines = arena_new(m->mem, m->n, sizeof *lines);
  if (!lines) return status_memory(m->n * sizeof *lines);
  for (size_t v = 0; v < m->n; v++) {
    value *x = &m->values[v];
    const size_t tiles = 1 + p->n_in + p->n_fixed;
    if (x->kind == VALUE_BASE) x->slot = TILE_BASE;
    if (x->kind == VALUE_OPERAND) x->slot = (uint32_t)(1 + x->index);
    if (x->kind == VALUE_FIXED) x->slot = (uint32_t)(1 + p->n_in + x->index);
    if (x->kind != VALUE_LINE || !x->last) continue;
    const uint32_t to = v == result ? TILE_RESULT : x->slot * (uint32_t)p->tile_bytes;
    tile_line *line = &lines[p->n_lines++];
    *line = (tile_line){x->step, to, .p = {x->p[0], x->p[1]}};
    line->x = (uint8_t)m->values[x->xyz[0]].slot;
    line->y = (uint8_t)m->values[x->xyz[1]].slot;
    line->z = (uint8_t)m->values[x->xyz[2]].slot;
    x->slot += (uint32_t)tiles;
  }
  p->lines = lines;
  return RLX_OK;
}

rlx_status tile_make(tile_maker *m, tile_value result, const tile_program **out_program) {
  tile_program *p = m->p;
  RLX_TRY(m->status);
  result = add_store(m, result);
  RLX_TRY(m->status);
  set_last(m, result);
  p->n_tiles = set_tiles(m, result);
  if (1 + p->n_in + p->n_fixed + p->n_tiles > TILE_SLOTS)
    return status_set(RLX_ERROR_LIMIT, "more than %d values in a region", TILE_SLOTS);
  RLX_TRY(set_shape(m));
  RLX_TRY(set_fixed(m));
  RLX_TRY(set_lines(m, result));
  *out_program = p;
  return RLX_OK;
}
