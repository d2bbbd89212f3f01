/* base/mem.h: allocation: the arena for graphs, passes and parsers, checked arithmetic for sizes.
 * Only API objects and growing arrays are malloc'ed. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed; NULL when out of memory or when the product overflows. */
void *mem_new(size_t count, size_t size);
void *mem_grow(void *old, size_t size); /* realloc */
void mem_free(void *p);
char *mem_strdup(const char *s);

/* False on overflow; *out is then unchanged. */
bool size_mul(int64_t a, int64_t b, int64_t *out);
bool size_add(int64_t a, int64_t b, int64_t *out);

/* Bump allocation, freed as a whole. Zero-initialise before use. */
typedef struct arena {
  struct arena_block *blocks;
} arena;
/* Zeroed, aligned for any type; NULL when out of memory. */
void *arena_new(arena *a, size_t count, size_t size);
void *arena_copy(arena *a, const void *data, size_t bytes);
char *arena_strdup(arena *a, const char *s);
void arena_free(arena *a);

/* Growing arrays: struct { T *data; size_t n, cap; } declared with VEC(T), zero-initialised. */
#define VEC(T)     \
  struct {         \
    T *data;       \
    size_t n, cap; \
  }
/* False when out of memory; the array is then unchanged. */
#define vec_push(v, item)                                                      \
  (vec_reserve_((void **)&(v)->data, &(v)->cap, (v)->n + 1, sizeof *(v)->data) \
       ? ((v)->data[(v)->n++] = (item), true)                                  \
       : false)
#define vec_free(v) (mem_free((v)->data), (v)->data = NULL, (v)->n = (v)->cap = 0)
bool vec_reserve_(void **data, size_t *cap, size_t want, size_t size);

#endif
