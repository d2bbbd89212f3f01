/* base/map.c: open addressing with linear probing, at most three quarters full. */
#include "base/map.h"

#include <string.h>

#include "base/mem.h"

struct map_slot {
  const char *text; /* NULL in maps of number keys */
  uint64_t key;     /* the number, or the hash of the text */
  uint64_t value;
  bool used;
};

uint64_t hash_bytes(uint64_t seed, const void *data, size_t bytes) {
  const uint8_t *p = data;
  for (size_t i = 0; i < bytes; i++) seed = (seed ^ p[i]) * 0x100000001b3ull;
  return seed;
}

uint64_t hash_u64(uint64_t seed, uint64_t value) {
  uint8_t bytes[8]; /* little-endian on every machine */
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> (8 * i));
  return hash_bytes(seed, bytes, sizeof bytes);
}

static uint64_t hash_text(const char *text) { return hash_bytes(HASH_START, text, strlen(text)); }

/* The slot that holds the key, or the free one where it belongs. Needs a free slot. */
static struct map_slot *find(const map *m, const char *text, uint64_t key) {
  size_t mask = m->cap - 1;
  size_t i = (size_t)hash_u64(HASH_START, key) & mask;
  for (;; i = (i + 1) & mask) {
    struct map_slot *s = &m->slots[i];
    if (!s->used) return s;
    if (s->key == key && (!text || strcmp(s->text, text) == 0)) return s;
  }
}

static bool grow(map *m) {
  map bigger = {NULL, m->n, m->cap ? m->cap * 2 : 16};
  bigger.slots = mem_new(bigger.cap, sizeof *bigger.slots);
  if (!bigger.slots) return false;
  for (size_t i = 0; i < m->cap; i++) {
    const struct map_slot *s = &m->slots[i];
    if (s->used) *find(&bigger, s->text, s->key) = *s;
  }
  mem_free(m->slots);
  *m = bigger;
  return true;
}

static bool put(map *m, const char *text, uint64_t key, uint64_t value) {
  if (m->n >= m->cap / 4 * 3 && !grow(m)) return false;
  struct map_slot *s = find(m, text, key);
  if (s->used) {
    s->value = value; /* the first key stays: it is the one known to outlive the map */
    return true;
  }
  *s = (struct map_slot){text, key, value, true};
  m->n++;
  return true;
}

static bool get(const map *m, const char *text, uint64_t key, uint64_t *out_value) {
  if (!m->cap) return false;
  const struct map_slot *s = find(m, text, key);
  if (s->used) *out_value = s->value;
  return s->used;
}

bool map_put(map *m, const char *key, uint64_t value) { return put(m, key, hash_text(key), value); }

bool map_get(const map *m, const char *key, uint64_t *out_value) {
  return get(m, key, hash_text(key), out_value);
}

bool map_put_new(map *m, const char *key, uint64_t value) {
  return map_get(m, key, &(uint64_t){0}) || map_put(m, key, value);
}

bool map_put_u64(map *m, uint64_t key, uint64_t value) { return put(m, NULL, key, value); }

bool map_get_u64(const map *m, uint64_t key, uint64_t *out_value) {
  return get(m, NULL, key, out_value);
}

bool map_copy(const map *from, map *to) {
  *to = (map){NULL, 0, 0};
  if (!from->cap) return true;
  struct map_slot *slots = mem_new(from->cap, sizeof *slots);
  if (!slots) return false;
  memcpy(slots, from->slots, from->cap * sizeof *slots);
  *to = (map){slots, from->n, from->cap};
  return true;
}

void map_free(map *m) {
  mem_free(m->slots);
  *m = (map){NULL, 0, 0};
}
