/* base/map.h: hash maps from strings and from 64-bit keys to 64-bit values. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FNV-1a over bytes, continuing from `seed` (HASH_START at first). */
#define HASH_START 0xcbf29ce484222325ull
uint64_t hash_bytes(uint64_t seed, const void *data, size_t bytes);
uint64_t hash_u64(uint64_t seed, uint64_t value);

/* Zero-initialise before use. String keys are borrowed: they must outlive the map. One map holds
 * either string keys or number keys. */
typedef struct map {
  struct map_slot *slots;
  size_t n, cap;
} map;
bool map_put(map *m, const char *key, uint64_t value); /* replaces; false: out of memory */
bool map_put_new(map *m, const char *key, uint64_t value); /* replaces nothing */
bool map_get(const map *m, const char *key, uint64_t *out_value);
bool map_put_u64(map *m, uint64_t key, uint64_t value);
bool map_get_u64(const map *m, uint64_t key, uint64_t *out_value);
bool map_copy(const map *from, map *to); /* `to` is empty; false: out of memory */
void map_free(map *m);

#endif
