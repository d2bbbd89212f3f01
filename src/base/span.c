/* base/span.c: one list of records under a mutex. */
#define _XOPEN_SOURCE 700
#include "base/span.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

static atomic_bool recording;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* for all below */
static VEC(span_record) records;
static uint64_t origin;
static size_t lost;
static uint32_t threads;
static _Thread_local uint32_t this_thread;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t span_begin(void) {
  return atomic_load_explicit(&recording, memory_order_relaxed) ? now() : 0;
}

/* The first bytes of a text, without half a UTF-8 character at the end. */
static void copy_detail(char *to, const char *text) {
  size_t n = strlen(text);
  if (n >= SPAN_DETAIL) {
    n = SPAN_DETAIL - 1;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
  }
  memcpy(to, text, n);
  to[n] = 0;
}

void span_end(uint64_t begin, const char *category, const char *name, const char *detail) {
  if (begin == 0) return;
  const uint64_t end = now();
  pthread_mutex_lock(&mutex);
  if (!this_thread) this_thread = ++threads;
  span_record r = {category, name, begin - origin, end - begin, this_thread, ""};
  copy_detail(r.detail, detail);
  /* It may have begun in an earlier recording, or this one may have ended. */
  if (begin >= origin && atomic_load_explicit(&recording, memory_order_relaxed)) {
    lost += records.n == SPAN_MOST || !vec_push(&records, r);
  }
  pthread_mutex_unlock(&mutex);
}

/* In a child nothing is recorded; the mutex may be held by a thread that it does not have. */
static void after_fork(void) {
  atomic_store(&recording, false);
  pthread_mutex_init(&mutex, NULL);
}

static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, after_fork); }

void span_start(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&mutex);
  vec_free(&records);
  lost = 0;
  origin = now();
  atomic_store(&recording, true);
  pthread_mutex_unlock(&mutex);
}

void span_stop(void) {
  pthread_mutex_lock(&mutex);
  atomic_store(&recording, false);
  pthread_mutex_unlock(&mutex);
}

bool span_recording(void) { return atomic_load(&recording); }

bool span_at(size_t index, const span_record **out_record) {
  pthread_mutex_lock(&mutex);
  const bool there = index < records.n;
  if (there) *out_record = &records.data[index];
  pthread_mutex_unlock(&mutex);
  return there;
}

size_t span_lost(void) { return lost; }
