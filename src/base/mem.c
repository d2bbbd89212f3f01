/* base/mem.c: allocation, checked arithmetic, the arena.
 *
 * The arena's current block is the head of its list. What is larger than a quarter of a block gets
 * a block of its own behind the head, so that the room left in the head is not lost. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define SMALL ((size_t)512) /* bytes that are cleared faster by hand: calloc keeps no list of them */
#define FIRST_BLOCK ((size_t)4 << 10)
#define LARGEST_BLOCK ((size_t)256 << 10)

struct arena_block {
  struct arena_block *next;
  size_t used, cap; /* bytes of `data` */
  max_align_t data[];
};

void *mem_new(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX) return NULL;
  if (bytes > SMALL) return calloc(bytes, 1);
  void *p = malloc(bytes ? bytes : 1);
  return p ? memset(p, 0, bytes) : NULL;
}

void *mem_grow(void *old, size_t size) { return realloc(old, size ? size : 1); }

void mem_free(void *p) { free(p); }

char *mem_strdup(const char *s) {
  size_t bytes = strlen(s) + 1;
  char *copy = mem_new(bytes, 1);
  if (copy) memcpy(copy, s, bytes);
  return copy;
}

bool size_mul(int64_t a, int64_t b, int64_t *out) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return false;
  *out = r;
  return true;
}

bool size_add(int64_t a, int64_t b, int64_t *out) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r)) return false;
  *out = r;
  return true;
}

/* A new block; it becomes the head, or stands behind it. */
static struct arena_block *block_new(arena *a, size_t cap, bool behind) {
  struct arena_block *b = mem_new(1, sizeof *b + cap);
  if (!b) return NULL;
  b->cap = cap;
  struct arena_block **at = behind ? &a->blocks->next : &a->blocks;
  b->next = *at;
  *at = b;
  return b;
}

void *arena_new(arena *a, size_t count, size_t size) {
  const size_t align = _Alignof(max_align_t);
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  if (bytes > PTRDIFF_MAX - LARGEST_BLOCK) return NULL;
  bytes = (bytes + align - 1) / align * align;

  struct arena_block *b = a->blocks;
  if (!b || b->cap - b->used < bytes) {
    size_t cap = b ? b->cap * 2 : FIRST_BLOCK;
    if (cap > LARGEST_BLOCK) cap = LARGEST_BLOCK;
    bool aside = b && bytes > cap / 4;
    b = block_new(a, aside || bytes > cap ? bytes : cap, aside);
    if (!b) return NULL;
  }
  void *p = (char *)b->data + b->used;
  b->used += bytes;
  return p;
}

void *arena_copy(arena *a, const void *data, size_t bytes) {
  void *p = arena_new(a, bytes, 1);
  if (p && bytes) memcpy(p, data, bytes);
  return p;
}

char *arena_strdup(arena *a, const char *s) { return arena_copy(a, s, strlen(s) + 1); }

void arena_free(arena *a) {
  for (struct arena_block *b = a->blocks, *next; b; b = next) {
    next = b->next;
    mem_free(b);
  }
  a->blocks = NULL;
}

bool vec_reserve_(void **data, size_t *cap, size_t want, size_t size) {
  if (want <= *cap) return true;
  size_t n = *cap ? *cap : 8, bytes;
  while (n < want) {
    if (__builtin_mul_overflow(n, 2, &n)) return false;
  }
  if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX) return false;
  void *grown = mem_grow(*data, bytes);
  if (!grown) return false;
  *data = grown;
  *cap = n;
  return true;
}
