/* exec/direct.c: kernels prepared for a layout, and run on pointers that are set once and then only
 * where they change. */
#include "exec/direct.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/span.h"
#include "exec/exec.h"
#include "ops/copy.h"
#include "ops/region.h"

enum { FRAMES = 4, ALIGNMENT = 64 };

typedef struct call {
  cpu_kernel run;
  const void *state;
  uint32_t first, n_in; /* pointers: operands, then results */
  uint32_t step;        /* of the plan, or LAYOUT_COPY */
  const char *name;     /* of the kernel */
} call;

/* A pointer that is set before each run, or when the block changes. */
typedef struct patch {
  uint32_t pointer, index;
  size_t offset; /* bytes */
} patch;

typedef struct frame {
  const void *block; /* that the arena's pointers point to */
  void *pointers[];
} frame;

struct direct {
  const rlx_graph *g; /* the variant's, as is the plan */
  const plan *p;
  layout layout;
  arena mem; /* states */
  call *calls;
  size_t n_calls;
  VEC(patch) in, out, arena;
  void **fixed; /* pointers to constants and NULLs, of all pointers */
  VEC(rlx_val) inputs;
  uint32_t *input_of; /* by index in layout.in; constants have none */
  size_t scratch;
  uint32_t threads;
  _Atomic(frame *) frames[FRAMES];
};

/* --- blocks and frames: taken and put back without a lock */

typedef struct block {
  size_t bytes;
  _Alignas(ALIGNMENT) char data[];
} block;

static block *block_new(size_t bytes) {
  const size_t all = (sizeof(block) + bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  block *b = aligned_alloc(ALIGNMENT, all);
  if (b) b->bytes = bytes;
  return b;
}

static block *take_block(blocks *pool, size_t bytes) {
  for (size_t i = 0; i < BLOCKS; i++) {
    block *b = atomic_exchange_explicit(&pool->free[i], NULL, memory_order_acquire);
    if (b && b->bytes >= bytes) return b;
    free(b);
    if (b) break;
  }
  return block_new(bytes);
}

static void put_block(blocks *pool, block *b) {
  for (size_t i = 0; b && i < BLOCKS; i++) {
    block *none = NULL;
    if (atomic_compare_exchange_strong_explicit(&pool->free[i], &none, b, memory_order_release,
                                                memory_order_relaxed))
      return;
  }
  free(b);
}

void blocks_free(blocks *pool) {
  for (size_t i = 0; i < BLOCKS; i++) free(atomic_exchange(&pool->free[i], NULL));
}

static frame *take_frame(const direct *d) {
  direct *shared = (direct *)(uintptr_t)d; /* frames are no part of its value */
  for (size_t i = 0; i < FRAMES; i++) {
    frame *f = atomic_exchange_explicit(&shared->frames[i], NULL, memory_order_acquire);
    if (f) return f;
  }
  frame *f = malloc(sizeof *f + (d->layout.operands.n + 1) * sizeof *f->pointers);
  if (!f) return NULL;
  f->block = NULL;
  memcpy(f->pointers, d->fixed, d->layout.operands.n * sizeof *f->pointers);
  return f;
}

static void put_frame(const direct *d, frame *f) {
  direct *shared = (direct *)(uintptr_t)d;
  for (size_t i = 0; i < FRAMES; i++) {
    frame *none = NULL;
    if (atomic_compare_exchange_strong_explicit(&shared->frames[i], &none, f, memory_order_release,
                                                memory_order_relaxed))
      return;
  }
  free(f);
}

/* --- preparing: pointers */

static size_t offset_of(const layout_buffer *b) {
  return (size_t)(b->offset * (int64_t)dtype_bytes(b->view.dtype));
}

static const void *constant_of(const direct_setup *s, const layout *l, uint32_t buffer) {
  const layout_buffer *b = &l->buffers.data[buffer], *base = &l->buffers.data[b->base];
  if (!buffer || base->place != PLACE_IN) return NULL;
  const char *data = s->constants[l->in.data[base->index].id].data;
  return data ? data + offset_of(b) : NULL;
}

static bool is_lasting(const direct_setup *s, const layout *l, uint32_t buffer) {
  const layout_buffer *base = &l->buffers.data[l->buffers.data[buffer].base];
  return s->constants[l->in.data[base->index].id].lasting;
}

static bool add_patch(direct *d, uint32_t pointer, uint32_t buffer) {
  const layout_buffer *b = &d->layout.buffers.data[buffer];
  const layout_buffer *base = &d->layout.buffers.data[b->base];
  patch p = {pointer, base->index, offset_of(b)};
  if (base->place == PLACE_OUT) return vec_push(&d->out, p);
  if (base->place == PLACE_ARENA) {
    p.offset += base->at;
    return vec_push(&d->arena, p);
  }
  p.index = d->input_of[base->index];
  return vec_push(&d->in, p);
}

static rlx_status set_pointers(direct *d, const direct_setup *s) {
  const layout *l = &d->layout;
  d->fixed = arena_new(&d->mem, l->operands.n + 1, sizeof *d->fixed);
  d->input_of = arena_new(&d->mem, l->in.n + 1, sizeof *d->input_of);
  if (!d->fixed || !d->input_of) return status_memory(l->operands.n * sizeof *d->fixed);
  for (size_t i = 0; i < l->in.n; i++) {
    if (s->constants[l->in.data[i].id].data) continue;
    d->input_of[i] = (uint32_t)d->inputs.n;
    if (!vec_push(&d->inputs, l->in.data[i])) return status_memory(0);
  }
  for (uint32_t i = 0; i < l->operands.n; i++) {
    const uint32_t buffer = l->operands.data[i].buffer;
    const void *constant = constant_of(s, l, buffer);
    if (!buffer) continue;
    if (constant) d->fixed[i] = (void *)(uintptr_t)constant;
    else if (!add_patch(d, i, buffer)) return status_memory(0);
  }
  return RLX_OK;
}

/* --- preparing: kernels */

static rlx_status prepare_members(kernel_call *c, const plan *p, const plan_step *step,
                                  const rlx_val *values) {
  const uint32_t *members = p->members + step->first_member;
  const tile_program *program = NULL;
  const rlx_val base = step->kind == STEP_KERNEL ? c->node->out : RLX_NIL;
  if (step->n_members) RLX_TRY(region_build(c, members, step->n_members, values, base, &program));
  if (step->kind == STEP_REGION) return region_prepare(c, program);
  c->epilogue = program;
  return c->node->op->hooks->kernel->prepare(c);
}

/* Views, constants and values of an operation's operands, as kernels want them. */
static rlx_status fill_call(direct *d, const direct_setup *s, const layout_op *op, kernel_call *c,
                            rlx_val **out_values) {
  cpu_view *views = arena_new(&d->mem, op->n_in + op->n_out + 1u, sizeof *views);
  const void **constants = arena_new(&d->mem, op->n_in + 1u, sizeof *constants);
  bool *lasting = arena_new(&d->mem, op->n_in + 1u, sizeof *lasting);
  rlx_val *values = arena_new(&d->mem, op->n_in + 1u, sizeof *values);
  if (!views || !constants || !lasting || !values) return status_memory(op->n_in * sizeof *views);
  for (uint32_t i = 0; i < op->n_in + op->n_out; i++) {
    const struct layout_operand *o = &d->layout.operands.data[op->first + i];
    views[i] = d->layout.buffers.data[o->buffer].view;
    if (i >= op->n_in) continue;
    values[i] = o->value;
    constants[i] = constant_of(s, &d->layout, o->buffer);
    lasting[i] = constants[i] && is_lasting(s, &d->layout, o->buffer);
  }
  c->in = views;
  c->n_in = op->n_in;
  c->out = views + op->n_in;
  c->n_out = op->n_out;
  c->constant = constants;
  c->lasting = lasting;
  *out_values = values;
  return RLX_OK;
}

static rlx_status prepare_call(direct *d, const direct_setup *s, const layout_op *op, call *out) {
  kernel_call c = {.g = s->g,
                   .threads = s->e->threads,
                   .precision = RLX_F32,
                   .mem = &d->mem,
                   .packs = s->e->packs};
  rlx_val *values = NULL;
  RLX_TRY(fill_call(d, s, op, &c, &values));
  if (op->step == LAYOUT_COPY) {
    RLX_TRY(copy_prepare(&c));
  } else {
    const plan_step *step = &s->p->steps[op->step];
    c.node = &s->g->nodes.data[step->node];
    c.attrs = c.node->attrs;
    if (exec_is_narrow(s->e, c.node)) c.precision = RLX_BF16;
    const rlx_status status = prepare_members(&c, s->p, step, values);
    if (status != RLX_OK) return run_fail_at(s->g, c.node, status);
  }
  *out = (call){c.run, c.state, op->first, op->n_in, op->step, c.name};
  if (c.scratch > d->scratch) d->scratch = c.scratch;
  return RLX_OK;
}

/* Nothing to compute: kernels need not know what to make of empty results. */
static bool is_empty(const layout *l, const layout_op *op) {
  for (uint32_t i = op->n_in; i < op->n_in + op->n_out; i++)
    if (view_count(&l->buffers.data[l->operands.data[op->first + i].buffer].view)) return false;
  return true;
}

static rlx_status prepare(direct *d, const direct_setup *s) {
  RLX_TRY(layout_make(s->g, s->p, s->s, &d->layout));
  RLX_TRY(set_pointers(d, s));
  d->calls = arena_new(&d->mem, d->layout.ops.n + 1, sizeof *d->calls);
  if (!d->calls) return status_memory(d->layout.ops.n * sizeof *d->calls);
  for (size_t i = 0; i < d->layout.ops.n; i++) {
    const layout_op *op = &d->layout.ops.data[i];
    if (!is_empty(&d->layout, op)) RLX_TRY(prepare_call(d, s, op, &d->calls[d->n_calls++]));
  }
  return RLX_OK;
}

rlx_status direct_create(const direct_setup *setup, direct **out_direct) {
  direct *d = mem_new(1, sizeof *d);
  *out_direct = NULL;
  if (!d) return status_memory(sizeof *d);
  d->g = setup->g;
  d->p = setup->p;
  d->threads = setup->e->threads;
  const rlx_status status = prepare(d, setup);
  if (status != RLX_OK) direct_free(d);
  else *out_direct = d;
  return status;
}

void direct_free(direct *d) {
  if (!d) return;
  for (size_t i = 0; i < FRAMES; i++) free(atomic_load(&d->frames[i]));
  vec_free(&d->in);
  vec_free(&d->out);
  vec_free(&d->arena);
  vec_free(&d->inputs);
  layout_free(&d->layout);
  arena_free(&d->mem);
  mem_free(d);
}

size_t direct_inputs(const direct *d, const rlx_val **out) {
  *out = d->inputs.data;
  return d->inputs.n;
}

size_t direct_outputs(const direct *d, const rlx_val **out) {
  *out = d->layout.out.data;
  return d->layout.out.n;
}

size_t direct_bytes(const direct *d) { return d->layout.arena_bytes + d->scratch; }

/* --- running */

static void note(const direct *d, const call *c, uint64_t begin) {
  char node[256] = "", what[320];
  const bool copy = c->step == LAYOUT_COPY;
  const ir_node *n = copy ? NULL : &d->g->nodes.data[d->p->steps[c->step].node];
  if (n) graph_describe(d->g, n, node, sizeof node);
  snprintf(what, sizeof what, "%s%s%s", node, n ? " by " : "", c->name);
  span_end(begin, "node", n ? n->op->name : "copy", what);
}

static rlx_status run_calls(const direct *d, frame *f, char *scratch) {
  const cpu_run how = {.scratch = scratch, .threads = d->threads};
  for (size_t i = 0; i < d->n_calls; i++) {
    const call *c = &d->calls[i];
    void **pointers = f->pointers + c->first;
    const uint64_t begin = span_begin();
    const rlx_status status =
        c->run(c->state, &how, (const void *const *)pointers, pointers + c->n_in);
    if (status != RLX_OK && c->step == LAYOUT_COPY) return status;
    if (status != RLX_OK)
      return run_fail_at(d->g, &d->g->nodes.data[d->p->steps[c->step].node], status);
    if (begin) note(d, c, begin);
  }
  return RLX_OK;
}

rlx_status direct_run(const direct *d, blocks *pool, const void *const *in, void *const *out) {
  const size_t bytes = direct_bytes(d);
  frame *f = take_frame(d);
  block *b = f && bytes ? take_block(pool, bytes) : NULL;
  if (!f || (bytes && !b)) {
    free(f);
    return status_memory(bytes);
  }
  char *data = b ? b->data : NULL;
  for (size_t i = 0; i < d->arena.n && f->block != data; i++)
    f->pointers[d->arena.data[i].pointer] = data + d->arena.data[i].offset;
  f->block = data;
  for (size_t i = 0; i < d->in.n; i++)
    f->pointers[d->in.data[i].pointer] =
        (char *)(uintptr_t)in[d->in.data[i].index] + d->in.data[i].offset;
  for (size_t i = 0; i < d->out.n; i++)
    f->pointers[d->out.data[i].pointer] = (char *)out[d->out.data[i].index] + d->out.data[i].offset;
  const rlx_status status = run_calls(d, f, data ? data + d->layout.arena_bytes : NULL);
  put_block(pool, b);
  put_frame(d, f);
  return status;
}
