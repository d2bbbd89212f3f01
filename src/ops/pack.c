/* ops/pack.c: packed constants, found by the constant's address and the kind of packing. */
#include "ops/pack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ops/kernel.h"

struct kernel_packs {
  atomic_uint refs;
  pthread_mutex_t mutex; /* held while a constant is packed, so that it is packed once */
  VEC(struct packed {
    const void *constant;
    char *kind;
    size_t bytes;
    void *data;
  }) list;
};

rlx_status packs_create(kernel_packs **out_packs) {
  kernel_packs *p = mem_new(1, sizeof *p);
  if (!p) return status_memory(sizeof *p);
  atomic_init(&p->refs, 1);
  pthread_mutex_init(&p->mutex, NULL);
  *out_packs = p;
  return RLX_OK;
}

kernel_packs *packs_retain(kernel_packs *p) {
  atomic_fetch_add(&p->refs, 1);
  return p;
}

void packs_free(kernel_packs *p) {
  if (!p || atomic_fetch_sub(&p->refs, 1) != 1) return;
  for (size_t i = 0; i < p->list.n; i++) {
    free(p->list.data[i].data);
    mem_free(p->list.data[i].kind);
  }
  vec_free(&p->list);
  pthread_mutex_destroy(&p->mutex);
  mem_free(p);
}

size_t packs_bytes(kernel_packs *p) {
  size_t bytes = 0;
  pthread_mutex_lock(&p->mutex);
  for (size_t i = 0; i < p->list.n; i++) bytes += p->list.data[i].bytes;
  pthread_mutex_unlock(&p->mutex);
  return bytes;
}

static const struct packed *find(const kernel_packs *p, const void *constant, const char *kind,
                                 size_t bytes) {
  for (size_t i = 0; i < p->list.n; i++) {
    const struct packed *e = &p->list.data[i];
    if (e->constant == constant && e->bytes == bytes && strcmp(e->kind, kind) == 0) return e;
  }
  return NULL;
}

static rlx_status add(kernel_packs *p, struct packed e, const char *kind,
                      void (*fill)(const void *ctx, void *to), const void *ctx) {
  e.data = aligned_alloc(64, (e.bytes + 63) / 64 * 64);
  e.kind = mem_strdup(kind);
  if (!e.data || !e.kind || !vec_push(&p->list, e)) {
    free(e.data);
    mem_free(e.kind);
    return status_memory(e.bytes);
  }
  fill(ctx, e.data);
  return RLX_OK;
}

rlx_status kernel_pack(kernel_call *c, size_t operand, const char *kind, size_t bytes,
                       void (*fill)(const void *ctx, void *to), const void *ctx,
                       const void **out_data) {
  kernel_packs *p = c->packs;
  rlx_status status = RLX_OK;
  pthread_mutex_lock(&p->mutex);
  const struct packed *e = find(p, c->constant[operand], kind, bytes);
  if (!e) {
    const struct packed fresh = {c->constant[operand], NULL, bytes, NULL};
    status = add(p, fresh, kind, fill, ctx);
    if (status == RLX_OK) e = &p->list.data[p->list.n - 1];
  }
  if (e) *out_data = e->data;
  pthread_mutex_unlock(&p->mutex);
  return status;
}
