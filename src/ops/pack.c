/* ops/pack.c: packed constants, found by the constant's address, how it is seen there, and the kind
 * of packing: views of one constant begin at the same address.
 *
 * Large ones lie one behind the other in rooms of huge pages where the system has them: small pages
 * would make each run through the weights wait for address translation, and the first touch of each
 * be a page fault. */
#define _GNU_SOURCE /* madvise */
#include "ops/pack.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "ops/kernel.h"

enum { ALIGNMENT = 64, LARGE = 1 << 18, HUGE_PAGE = 1 << 21, ROOM = 1 << 24 };

typedef struct packed {
  const void *constant;
  uint32_t rank;
  int64_t dims[RLX_MAX_RANK], strides[RLX_MAX_RANK]; /* zeros behind the rank */
  char *kind;
  size_t bytes;
  void *data;
} packed;

struct kernel_packs {
  pthread_mutex_t mutex; /* held while a constant is packed, so that it is packed once */
  VEC(packed) list;
  VEC(void *) memory; /* rooms, and what is small by itself */
  char *room;         /* what is left of the last room */
  size_t left;
};

rlx_status packs_create(kernel_packs **out_packs) {
  kernel_packs *p = mem_new(1, sizeof *p);
  if (!p) return status_memory(sizeof *p);
  pthread_mutex_init(&p->mutex, NULL);
  *out_packs = p;
  return RLX_OK;
}

void packs_free(kernel_packs *p) {
  if (!p) return;
  for (size_t i = 0; i < p->memory.n; i++) free(p->memory.data[i]);
  for (size_t i = 0; i < p->list.n; i++) mem_free(p->list.data[i].kind);
  vec_free(&p->memory);
  vec_free(&p->list);
  pthread_mutex_destroy(&p->mutex);
  mem_free(p);
}

static packed entry_of(const cpu_view *v, const void *constant, size_t bytes) {
  packed e = {.constant = constant, .rank = v->rank, .bytes = bytes};
  memcpy(e.dims, v->dims, v->rank * sizeof *v->dims);
  memcpy(e.strides, v->strides, v->rank * sizeof *v->strides);
  return e;
}

static const packed *find(const kernel_packs *p, const packed *wanted, const char *kind) {
  for (size_t i = 0; i < p->list.n; i++) {
    const packed *e = &p->list.data[i];
    if (e->constant == wanted->constant && e->bytes == wanted->bytes && e->rank == wanted->rank &&
        memcmp(e->dims, wanted->dims, sizeof e->dims) == 0 &&
        memcmp(e->strides, wanted->strides, sizeof e->strides) == 0 && strcmp(e->kind, kind) == 0)
      return e;
  }
  return NULL;
}

static size_t up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static void *memory_new(kernel_packs *p, size_t alignment, size_t bytes) {
  void *data = aligned_alloc(alignment, up(bytes, alignment));
  if (data && vec_push(&p->memory, data)) return data;
  free(data);
  return NULL;
}

static void *place_new(kernel_packs *p, size_t bytes) {
  bytes = up(bytes, ALIGNMENT);
  if (bytes < LARGE) return memory_new(p, ALIGNMENT, bytes);
  if (bytes > p->left) {
    /* What is never touched is free. */
    const size_t size = bytes > ROOM ? up(bytes, HUGE_PAGE) : ROOM;
    char *room = memory_new(p, HUGE_PAGE, size);
    if (!room) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(room, size, MADV_HUGEPAGE);
#endif
    p->room = room;
    p->left = size;
  }
  p->left -= bytes;
  p->room += bytes;
  return p->room - bytes;
}

static rlx_status add(kernel_packs *p, packed e, const char *kind,
                      void (*fill)(const void *ctx, void *to), const void *ctx) {
  e.data = place_new(p, e.bytes);
  e.kind = mem_strdup(kind);
  if (!e.data || !e.kind || !vec_push(&p->list, e)) {
    mem_free(e.kind);
    return status_memory(e.bytes);
  }
  fill(ctx, e.data);
  return RLX_OK;
}

/* What has been packed is not read any more, from the file that it may be a part of. */
static void forget(const cpu_view *v, const void *constant) {
  int64_t last = 0;
  for (uint32_t i = 0; i < v->rank; i++) {
    if (v->strides[i] < 0 || v->dims[i] == 0) return;
    last += (v->dims[i] - 1) * v->strides[i];
  }
  io_forget(constant, (size_t)(last + 1) * rlx_dtype_get(v->dtype)->block_bytes);
}

/* A constant of this variant alone may go before the executable does, and another take its address:
 * what is made of it belongs to the state. */
static rlx_status pack_alone(kernel_call *c, size_t bytes, void (*fill)(const void *ctx, void *to),
                             const void *ctx, const void **out_data) {
  char *data = kernel_state(c, bytes + ALIGNMENT);
  if (!data) return status_memory(bytes);
  data += ALIGNMENT - (uintptr_t)data % ALIGNMENT;
  fill(ctx, data);
  *out_data = data;
  return RLX_OK;
}

rlx_status kernel_pack(kernel_call *c, size_t operand, const char *kind, size_t bytes,
                       void (*fill)(const void *ctx, void *to), const void *ctx,
                       const void **out_data) {
  kernel_packs *p = c->packs;
  rlx_status status = RLX_OK;
  if (!c->lasting[operand]) return pack_alone(c, bytes, fill, ctx, out_data);
  pthread_mutex_lock(&p->mutex);
  const packed wanted = entry_of(&c->in[operand], c->constant[operand], bytes);
  const packed *e = find(p, &wanted, kind);
  if (!e) {
    status = add(p, wanted, kind, fill, ctx);
    if (status == RLX_OK) {
      e = &p->list.data[p->list.n - 1];
      forget(&c->in[operand], c->constant[operand]);
    }
  }
  if (e) *out_data = e->data;
  pthread_mutex_unlock(&p->mutex);
  return status;
}
