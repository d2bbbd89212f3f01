/* cpu/gemm.c: products of whole matrices in blocks.
 *
 * A unit is some rows and columns of one matrix of the batch; a task is some units. In a unit,
 * `col_block` columns of b come as panels: packed once for all runs, copied now, or where they lie
 * when few rows read them. `row_block` rows of a by `k_block` stay in the second cache while each
 * panel passes through the first; when a block of rows is complete it is finished there.
 * Laws: how k is cut depends on the shapes alone. */
#include "cpu/gemm.h"

#include <stdio.h>
#include <string.h>

#include "base/threads.h"

enum {
  ROW_BLOCK = 128,
  COL_BLOCK = 256,
  PANEL_ELEMENTS = 1 << 18, /* of copied panels */
  ROWS_IN_PLACE = 16,       /* up to here copying b costs more than it saves */
  ROWS_OF_DOTS = 4,
  ROWS_OF_PART = 24, /* at least, so that no part has tiles of other sums than the whole */
  TASKS_OF_THREAD = 6,
  PARALLEL_WORK = 1 << 20, /* products that are worth waking a thread for */
  PACK_TASK = 1 << 16,     /* elements */
  PANEL_MAX = 64,          /* columns */
  PAIR_ROWS = 32,          /* of a panel that are turned into pairs at a time */
};

static int64_t parts_of(int64_t n, int64_t most) { return (n + most - 1) / most; }
static int64_t round_up(int64_t n, int64_t to) { return parts_of(n, to) * to; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
/* Cut into equal pieces of at most `most`, a multiple of `step`: how long they are. */
static int64_t even(int64_t n, int64_t most, int64_t step) {
  return n ? round_up(parts_of(n, parts_of(n, most)), step) : step;
}
static size_t bytes_of(rlx_dtype dtype) { return rlx_dtype_get(dtype)->block_bytes; }
static const void *at(const void *p, int64_t elements, size_t bytes) {
  return (const char *)p + elements * (int64_t)bytes;
}

/* --- kinds */

static bool is_narrow(const gemm *g) { return g->narrow || g->dtype == RLX_BF16; }
static rlx_dtype sum_dtype(const gemm *g) { return g->dtype == RLX_F64 ? RLX_F64 : RLX_F32; }
/* Can rows of a, and with few of them b, be read where they lie? */
static bool is_direct(const gemm *g) { return g->dtype == sum_dtype(g) && !g->narrow; }
/* k as panels have it. */
static int64_t depth(const gemm *g) { return is_narrow(g) ? round_up(g->k, 2) : g->k; }

static gemm_kind kind_of(const gemm *g) {
  const cpu_loops *l = cpu_table();
  if (g->dtype == RLX_F64)
    return (gemm_kind){8, 8, l->gemm_columns_f64(), l->gemm_block_f64, l->gemm_dots_f64};
  if (is_narrow(g)) return (gemm_kind){4, 2, l->gemm_columns_f32(), l->gemm_block_bf16, NULL};
  return (gemm_kind){4, 4, l->gemm_columns_f32(), l->gemm_block_f32, l->gemm_dots_f32};
}

bool gemm_takes(rlx_dtype dtype) {
  return dtype == RLX_F32 || dtype == RLX_F64 || dtype == RLX_F16 || dtype == RLX_BF16;
}

const char *gemm_name(const gemm *g) {
  static const char *const names[] = {
      [GEMM_PACKED] = "gemm packed",
      [GEMM_COPIED] = "gemm",
      [GEMM_IN_PLACE] = "gemm few rows",
      [GEMM_DOTS] = "gemm dots",
  };
  return is_narrow(g) ? "gemm bf16" : names[g->form];
}

/* --- planning */

/* Drops batch axes of size 1; those along which only a moves become rows. */
static void merge_batch(gemm *g) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < g->n_batch; i++) {
    if (g->batch[i] == 1) continue;
    g->batch[n] = g->batch[i];
    g->a_step[n] = g->a_step[i];
    g->b_step[n] = g->b_step[i];
    g->c_step[n++] = g->c_step[i];
  }
  for (; n > 0 && g->b_step[n - 1] == 0; n--) {
    if (g->m == 1) {
      g->a_row = g->a_step[n - 1];
      g->c_row = g->c_step[n - 1];
    }
    if (g->a_step[n - 1] != g->m * g->a_row || g->c_step[n - 1] != g->m * g->c_row) break;
    g->m *= g->batch[n - 1];
  }
  g->n_batch = n;
}

static int64_t matrices_of(const gemm *g) {
  int64_t n = 1;
  for (uint32_t i = 0; i < g->n_batch; i++) n *= g->batch[i];
  return n;
}

/* As many units as give each thread TASKS_OF_THREAD: columns first, so that a thread reads only its
 * own of b; rows where columns do not suffice. */
static void cut(gemm *g) {
  const int64_t matrices = matrices_of(g), panels = parts_of(g->n, g->kind.columns);
  /* reading b costs as much as two more rows */
  const double work = (double)matrices * (double)g->n * (double)g->k * (double)(g->m + 2);
  const bool alone = work < PARALLEL_WORK || g->threads == 1;
  const int64_t want = alone ? 1 : (int64_t)g->threads * TASKS_OF_THREAD;
  g->row_parts = g->col_parts = 1;
  if (matrices < want) {
    const int64_t parts = parts_of(want, matrices);
    g->col_parts = least(parts, parts_of(panels, g->m <= 64 ? 1 : 4));
    g->row_parts = least(parts_of(parts, g->col_parts), parts_of(g->m, 2 * ROWS_OF_PART));
  }
  g->units = matrices * g->row_parts * g->col_parts;
  g->tasks = alone || g->units > 2 * want ? least(g->units, want) : g->units;
}

static void choose_form(gemm *g) {
  const bool few = g->m <= ROWS_OF_DOTS || g->n == 1;
  const bool once = g->constant && g->n > 1;
  if (is_direct(g) && few && !once && g->b_row == 1 && g->a_col == 1) g->form = GEMM_DOTS;
  else if (g->constant) g->form = GEMM_PACKED;
  else if (is_direct(g) && g->b_col == 1 && g->m <= ROWS_IN_PLACE) g->form = GEMM_IN_PLACE;
  else g->form = GEMM_COPIED;
}

static void choose_blocks(gemm *g) {
  const int64_t columns = g->kind.columns;
  g->k_block = g->form == GEMM_DOTS ? g->k : even(g->k, GEMM_K_BLOCK, 2);
  g->row_block = even(parts_of(g->m, g->row_parts), ROW_BLOCK, 1);
  g->col_block = COL_BLOCK;
  if (g->form == GEMM_COPIED && g->k > PANEL_ELEMENTS / COL_BLOCK)
    g->col_block = PANEL_ELEMENTS / g->k / columns * columns;
  if (g->col_block < columns) g->col_block = columns;
}

/* A worker's scratch: only what this product needs. */
static void choose_scratch(gemm *g) {
  const int64_t cols = least(g->col_block, round_up(g->n, g->kind.columns));
  int64_t panels = 0;
  if (g->form == GEMM_COPIED) panels = cols;
  if (g->form == GEMM_IN_PLACE && g->n % g->kind.columns) panels = g->kind.columns;
  size_t end = (size_t)(panels * depth(g)) * g->kind.panel_bytes;
  g->a_at = end = (end + 63) / 64 * 64;
  if (g->copies_a)
    end +=
        (size_t)(g->row_block * (g->form == GEMM_PACKED ? depth(g) : g->k_block)) * g->kind.bytes;
  g->c_at = end;
  if (g->copies_c) end += (size_t)(g->row_block * cols) * g->kind.bytes;
  g->bias_at = end;
  if (g->bias && g->dtype != sum_dtype(g)) end += (size_t)cols * g->kind.bytes;
  g->worker_bytes = (end + 63) / 64 * 64;
  g->scratch = g->worker_bytes * g->threads;
}

/* Panels depend on what b's axes are to the product: their steps tell. */
static void name_pack(gemm *g) {
  const size_t size = sizeof g->pack_name;
  size_t at = (size_t)snprintf(g->pack_name, size, "gemm %s%zu: %lld x %lld by %lld, %lld",
                               is_narrow(g) ? "b" : "f", 8 * g->kind.panel_bytes, (long long)g->k,
                               (long long)g->n, (long long)g->b_row, (long long)g->b_col);
  for (uint32_t i = 0; i < g->n_batch; i++)
    at += (size_t)snprintf(g->pack_name + at, size - at, " %lld", (long long)g->b_step[i]);
}

void gemm_plan(gemm *g) {
  g->kind = kind_of(g);
  g->bytes = bytes_of(g->dtype);
  g->out_bytes = bytes_of(g->out_dtype);
  if (g->k <= 1) g->a_col = 1;
  merge_batch(g);
  cut(g);
  choose_form(g);
  choose_blocks(g);
  g->copies_a = g->a_col != 1 || !is_direct(g);
  g->copies_c = g->out_dtype != sum_dtype(g);
  choose_scratch(g);
  if (g->form != GEMM_PACKED) return;
  int64_t elements = round_up(g->n, g->kind.columns) * depth(g);
  for (uint32_t i = 0; i < g->n_batch; i++)
    if (g->b_step[i]) elements *= g->batch[i];
  g->pack_bytes = (size_t)elements * g->kind.panel_bytes;
  name_pack(g);
}

/* --- copies of operands */

typedef struct strided {
  rlx_dtype dtype;
  const void *from;
  int64_t row_step, col_step;
} strided;

/* Rows of `cols` sums, with zeros behind them up to `width`. */
static void copy_rows(const strided *s, int64_t rows, int64_t cols, int64_t width, void *to) {
  const cpu_loops *l = cpu_table();
  const size_t bytes = s->dtype == RLX_F64 ? 8 : 4;
  const int64_t to_row = width * (int64_t)bytes;
  char *row = to;
  if (s->dtype == RLX_F32 || s->dtype == RLX_F64) {
    const int64_t size = (int64_t)bytes;
    (s->col_step == 1   ? l->copy_rows
     : s->row_step == 1 ? l->copy_transposed
                        : l->copy_elements)(bytes, rows, cols, s->from, s->row_step * size,
                                            s->col_step * size, to, to_row, size);
  } else {
    for (int64_t i = 0; i < rows; i++)
      l->lane_load(LANE_F32, s->dtype, at(s->from, i * s->row_step, 2), s->col_step, cols,
                   row + i * to_row);
  }
  for (int64_t i = 0; i < rows && cols < width; i++)
    memset(row + i * to_row + cols * (int64_t)bytes, 0, (size_t)(width - cols) * bytes);
}

/* Columns from `col` on as one panel. */
static void copy_panel(const gemm *g, const void *b, int64_t col, int64_t cols, void *to) {
  const int64_t columns = g->kind.columns;
  const size_t bytes = g->bytes;
  strided s = {g->dtype, at(b, col * g->b_col, bytes), g->b_row, g->b_col};
  if (!is_narrow(g)) {
    copy_rows(&s, g->k, cols, columns, to);
    return;
  }
  const void *first = s.from;
  float wide[PAIR_ROWS * PANEL_MAX];
  for (int64_t k = 0; k < g->k; k += PAIR_ROWS) {
    const int64_t rows = least(PAIR_ROWS, g->k - k);
    s.from = at(first, k * g->b_row, bytes);
    copy_rows(&s, rows, cols, columns, wide);
    if (rows & 1) memset(wide + rows * columns, 0, (size_t)columns * sizeof *wide);
    cpu_table()->gemm_panel_bf16(rows + (rows & 1), wide, (uint16_t *)to + k * columns);
  }
}

static void copy_panels(const gemm *g, const void *b, int64_t col, int64_t cols, char *to) {
  const int64_t columns = g->kind.columns, panel = columns * depth(g);
  for (int64_t j = 0; j < cols; j += columns, to += panel * (int64_t)g->kind.panel_bytes)
    copy_panel(g, b, col + j, least(columns, cols - j), to);
}

/* Where matrix `i` of the batch begins; of packed matrices each different one counts. */
typedef struct matrix_place {
  int64_t a, b, c, packed;
} matrix_place;

static matrix_place place_of(const gemm *g, int64_t i) {
  matrix_place p = {0};
  int64_t different = round_up(g->n, g->kind.columns) * depth(g);
  for (uint32_t axis = g->n_batch; axis-- > 0; i /= g->batch[axis]) {
    const int64_t x = i % g->batch[axis];
    p.a += x * g->a_step[axis];
    p.b += x * g->b_step[axis];
    p.c += x * g->c_step[axis];
    if (g->b_step[axis] == 0) continue;
    p.packed += x * different;
    different *= g->batch[axis];
  }
  return p;
}

typedef struct packing {
  const gemm *g;
  const void *b;
  char *to;
  int64_t parts; /* of a matrix */
} packing;

static void pack_task(void *ctx, size_t i, size_t worker) {
  const packing *p = ctx;
  const gemm *g = p->g;
  const int64_t columns = g->kind.columns, panels = parts_of(g->n, columns);
  const int64_t part = (int64_t)i % p->parts;
  const matrix_place place = place_of(g, (int64_t)i / p->parts);
  const int64_t col = panels * part / p->parts * columns;
  const int64_t end = least(g->n, panels * (part + 1) / p->parts * columns);
  (void)worker;
  copy_panels(g, at(p->b, place.b, g->bytes), col, end - col,
              p->to + (place.packed + col * depth(g)) * (int64_t)g->kind.panel_bytes);
}

void gemm_pack(const gemm *g, const void *b, void *to) {
  packing p = {g, b, to, 1};
  const int64_t panels = parts_of(g->n, g->kind.columns);
  p.parts = least(panels, parts_of(panels * g->kind.columns * g->k, PACK_TASK));
  if (p.parts < 1) p.parts = 1;
  threads_run(g->threads, (size_t)(matrices_of(g) * p.parts), pack_task, &p);
}

/* --- running */

/* Rows and columns of one matrix, for one worker. */
typedef struct unit {
  const gemm *g;
  const void *const *in;
  char *out, *scratch;
  matrix_place place;
  int64_t row, rows;
  bool has_rows;      /* of a, copied */
  const void *panels; /* of the columns at hand */
  const void *next;   /* what is likely read after them, or NULL */
  int64_t b_step, b_panel;
} unit;

/* The sums of some rows and columns: where they go, and what becomes of them. */
typedef struct part {
  int64_t row, rows, col, cols;
  void *sums;
  int64_t sums_row;
  const void *bias;
} part;

static part part_at(const unit *u, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  const gemm *g = u->g;
  part p = {row, rows, col, cols, u->scratch + g->c_at, cols, NULL};
  if (!g->copies_c) {
    p.sums = u->out + (u->place.c + row * g->c_row + col) * (int64_t)g->kind.bytes;
    p.sums_row = g->c_row;
  }
  if (!g->bias) return p;
  p.bias = at(u->in[2], col, g->bytes);
  if (g->dtype != sum_dtype(g)) {
    cpu_table()->lane_load(LANE_F32, g->dtype, p.bias, 1, cols, u->scratch + g->bias_at);
    p.bias = u->scratch + g->bias_at;
  }
  return p;
}

static void finish(const unit *u, const part *p) {
  const gemm *g = u->g;
  const int64_t bytes = (int64_t)g->out_bytes;
  if (!g->epilogue && !g->copies_c) return;
  for (int64_t i = 0; i < p->rows; i++) {
    const int64_t first = u->place.c + (p->row + i) * g->c_row + p->col;
    const void *sums = at(p->sums, i * p->sums_row, g->kind.bytes);
    if (g->epilogue) {
      tile_finish(g->epilogue, u->in, first / g->c_width, first % g->c_width, p->cols, sums,
                  u->out + first * bytes);
    } else {
      cpu_table()->lane_store(LANE_F32, sums, g->out_dtype, u->out + first * bytes, 1, p->cols);
    }
  }
}

/* Rows of a from column k on: as they lie, or copied. */
static void take_rows(const unit *u, const part *p, int64_t k, gemm_block *block) {
  const gemm *g = u->g;
  const size_t bytes = g->bytes;
  const int64_t first = u->place.a + p->row * g->a_row + k * g->a_col;
  block->a = at(u->in[0], first, bytes);
  block->a_row = g->a_row;
  block->k = least(g->k_block, g->k - k);
  if (!g->copies_a) return;
  void *to = u->scratch + g->a_at;
  if (g->form == GEMM_PACKED) to = (char *)to + g->row_block * k * (int64_t)g->kind.bytes;
  const strided s = {g->dtype, block->a, g->a_row, g->a_col};
  const int64_t width = is_narrow(g) ? round_up(block->k, 2) : block->k;
  if (!u->has_rows) copy_rows(&s, p->rows, block->k, width, to);
  if (!u->has_rows && is_narrow(g)) cpu_table()->gemm_rows_bf16(p->rows, width, to);
  block->a = to;
  block->a_row = block->k = width;
}

static void block_run(const unit *u, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  const gemm *g = u->g;
  const part p = part_at(u, row, rows, col, cols);
  gemm_block block = {.m = rows,
                      .n = cols,
                      .b_step = u->b_step,
                      .b_panel = u->b_panel,
                      .c = p.sums,
                      .c_row = p.sums_row,
                      .bias = p.bias};
  for (int64_t k = 0; k == 0 || k < g->k; k += g->k_block) {
    take_rows(u, &p, k, &block);
    block.b = at(u->panels, k * u->b_step, g->kind.panel_bytes);
    block.next =
        k + g->k_block < g->k ? at(block.b, g->k_block * u->b_step, g->kind.panel_bytes) : u->next;
    block.add = k > 0;
    g->kind.block(&block);
  }
  finish(u, &p);
}

static void dots_run(const unit *u, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  const gemm *g = u->g;
  const part p = part_at(u, row, rows, col, cols);
  g->kind.dots(&(gemm_dots){.m = rows,
                            .n = cols,
                            .k = g->k,
                            .a = at(u->in[0], u->place.a + row * g->a_row, g->kind.bytes),
                            .b = at(u->in[1], u->place.b + col * g->b_col, g->kind.bytes),
                            .a_row = g->a_row,
                            .b_row = g->b_col,
                            .c = p.sums,
                            .c_row = p.sums_row,
                            .bias = p.bias});
  finish(u, &p);
}

/* All rows of the unit, of columns whose panels are at hand. */
static void rows_run(const unit *u, int64_t col, int64_t cols) {
  const gemm *g = u->g;
  for (int64_t i = 0; i < u->rows; i += g->row_block) {
    const int64_t rows = least(g->row_block, u->rows - i);
    (g->form == GEMM_DOTS ? dots_run : block_run)(u, u->row + i, rows, col, cols);
  }
}

/* Packed panels of matrix `place` from column `col` on. */
static const void *packed_at(const gemm *g, const matrix_place *place, int64_t col) {
  return at(g->packed, place->packed + col * depth(g), g->kind.panel_bytes);
}

static void columns_run(unit *u, int64_t col, int64_t cols) {
  const gemm *g = u->g;
  const int64_t columns = g->kind.columns;
  const void *b = at(u->in[1], u->place.b, g->bytes);
  if (g->form == GEMM_IN_PLACE) {
    const int64_t whole = cols / columns * columns;
    u->panels = at(b, col, g->kind.bytes);
    u->b_step = g->b_row;
    u->b_panel = columns;
    if (whole) rows_run(u, col, whole);
    if (whole == cols) return;
    col += whole;
    cols -= whole;
  }
  u->b_step = columns;
  u->b_panel = columns * depth(g);
  if (g->form == GEMM_PACKED) {
    u->panels = packed_at(g, &u->place, col);
  } else if (g->form != GEMM_DOTS) {
    copy_panels(g, b, col, cols, u->scratch);
    u->panels = u->scratch;
  }
  rows_run(u, col, cols);
}

/* Columns of the unit, `col_block` at a time. Packed panels stream past each block of rows, whose
 * copies are made once; else a panel is made once for all rows. `after`: packed panels of the unit
 * after it. */
static void blocks_run(unit *u, int64_t first, int64_t end, const void *after) {
  const gemm *g = u->g;
  const int64_t row_end = u->row + u->rows;
  const bool packed = g->form == GEMM_PACKED;
  for (; u->row < row_end; u->row += u->rows) {
    u->rows = packed ? least(g->row_block, row_end - u->row) : row_end - u->row;
    u->has_rows = false;
    for (int64_t col = first, cols; col < end; col += cols) {
      cols = least(g->col_block, end - col);
      u->next = after;
      if (packed && (col + cols < end || u->row + u->rows < row_end))
        u->next = packed_at(g, &u->place, col + cols < end ? col + cols : first);
      columns_run(u, col, cols);
      u->has_rows = packed;
    }
  }
}

static int64_t first_column(const gemm *g, int64_t col_part) {
  const int64_t panels = parts_of(g->n, g->kind.columns);
  return panels * col_part / g->col_parts * g->kind.columns;
}

/* Unit i; its worker is likely to take unit `after` then. */
static void unit_run(unit *u, int64_t i, int64_t after) {
  const gemm *g = u->g;
  const int64_t matrix = g->row_parts * g->col_parts;
  const int64_t row_part = i / g->col_parts % g->row_parts, col_part = i % g->col_parts;
  const void *panels = NULL;
  if (g->form == GEMM_PACKED && after < g->units) {
    const matrix_place place = place_of(g, after / matrix);
    panels = packed_at(g, &place, first_column(g, after % g->col_parts));
  }
  u->place = place_of(g, i / matrix);
  u->row = g->m * row_part / g->row_parts;
  u->rows = g->m * (row_part + 1) / g->row_parts - u->row;
  blocks_run(u, first_column(g, col_part), least(g->n, first_column(g, col_part + 1)), panels);
}

typedef struct call {
  const gemm *g;
  const cpu_run *run;
  const void *const *in;
  void *const *out;
} call;

static void task_run(void *ctx, size_t i, size_t worker) {
  const call *c = ctx;
  const gemm *g = c->g;
  unit u = {.g = g, .in = c->in, .out = c->out[0], .scratch = c->run->scratch};
  if (g->worker_bytes) u.scratch += worker * g->worker_bytes;
  const int64_t end = g->units * ((int64_t)i + 1) / g->tasks;
  const int64_t later = g->units * ((int64_t)i + c->run->threads) / g->tasks;
  for (int64_t n = g->units * (int64_t)i / g->tasks; n < end; n++)
    unit_run(&u, n, n + 1 < end ? n + 1 : later);
}

rlx_status gemm_run(const void *state, const cpu_run *run, const void *const *in,
                    void *const *out) {
  const gemm *g = state;
  call c = {g, run, in, out};
  if (g->units == 1) { /* small ones come here: no division */
    blocks_run(&(unit){.g = g, .in = in, .out = out[0], .scratch = run->scratch, .rows = g->m}, 0,
               g->n, NULL);
  } else if (g->tasks == 1) {
    task_run(&c, 0, 0);
  } else {
    threads_run(run->threads, (size_t)g->tasks, task_run, &c);
  }
  return RLX_OK;
}
