/* bench/peak.c: `peak THREADS`: what this machine can do, as one line of JSON: multiplications and
 * additions in registers (GFLOP/s) by CPU level, and reading memory beyond the caches (GB/s); the
 * best of several tries, all threads at once. The best level and the reading are the two lines of
 * the roofline. */
#define _GNU_SOURCE /* clock_gettime, pthread_barrier_t */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "peer.h"

enum { CHAINS = 10, STEPS = 1 << 15, TRIES = 40, READS = 5, MOST_THREADS = 64 };
#define BYTES ((size_t)96 << 20) /* of each thread; no cache of one core's share holds it */

/* Sums that do not depend on each other hide how long one takes. */
#define MULTIPLY_ADD(name, width, target)                                   \
  target static float name(float start) {                                   \
    typedef float vector __attribute__((vector_size(4 * (width))));         \
    vector sums[CHAINS], factor;                                            \
    for (int i = 0; i < (width); i++) factor[i] = 0.5f + start;             \
    for (int c = 0; c < CHAINS; c++) sums[c] = factor * (float)c;           \
    for (int s = 0; s < STEPS; s++)                                         \
      for (int c = 0; c < CHAINS; c++) sums[c] = sums[c] * factor + factor; \
    for (int c = 1; c < CHAINS; c++) sums[0] += sums[c];                    \
    return sums[0][0];                                                      \
  }
MULTIPLY_ADD(plain, 4, )
#ifdef __x86_64__
MULTIPLY_ADD(avx2, 8, __attribute__((target("avx2,fma"))))
MULTIPLY_ADD(avx512, 16, __attribute__((target("avx512f"))))
#endif

static const struct level {
  const char *name;
  float (*multiply_add)(float);
  int width;
} levels[] = {{"plain", plain, 4},
#ifdef __x86_64__
              {"avx2", avx2, 8},
              {"avx512", avx512, 16}
#endif
};
enum { LEVELS = sizeof levels / sizeof *levels };

static bool level_runs_here(int i) {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (i == 1) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (i == 2) return __builtin_cpu_supports("avx512f");
#endif
  return i == 0;
}

typedef struct worker {
  pthread_t thread;
  pthread_barrier_t *barrier;
  double multiply_us[LEVELS], read_us;
  volatile double kept; /* results, so that no work is for nothing */
} worker;

static void least(double *us, double begin) {
  const double took = peer_now_us() - begin;
  if (*us == 0 || took < *us) *us = took;
}

static uint64_t read_all(const uint64_t *data) {
  uint64_t sum = 0;
  for (size_t i = 0; i < BYTES / sizeof *data; i++) sum += data[i];
  return sum;
}

static void *work(void *argument) {
  worker *w = argument;
  uint64_t *data = malloc(BYTES);
  if (!data) return NULL;
  memset(data, 1, BYTES);
  for (int l = 0; l < LEVELS; l++) {
    for (int i = 0; i < TRIES && level_runs_here(l); i++) {
      pthread_barrier_wait(w->barrier);
      const double begin = peer_now_us();
      w->kept = (double)levels[l].multiply_add(1e-3f * (float)i);
      least(&w->multiply_us[l], begin);
    }
  }
  for (int i = 0; i < READS; i++) {
    pthread_barrier_wait(w->barrier);
    const double begin = peer_now_us();
    w->kept = (double)read_all(data);
    least(&w->read_us, begin);
  }
  free(data);
  return w;
}

static void report(const worker *workers, int n) {
  double best = 0, read = 0;
  printf("{");
  for (int l = 0; l < LEVELS; l++) {
    double gflops = 0;
    for (int i = 0; i < n; i++)
      if (workers[i].multiply_us[l] > 0)
        gflops += 2e-3 * STEPS * CHAINS * levels[l].width / workers[i].multiply_us[l];
    best = gflops > best ? gflops : best;
    if (gflops > 0) printf("\"%s_gflops\": %.1f, ", levels[l].name, gflops);
  }
  for (int i = 0; i < n; i++) read += 1e-3 * (double)BYTES / workers[i].read_us;
  printf("\"gflops\": %.1f, \"read_gbs\": %.1f}\n", best, read);
}

int main(int argc, char **argv) {
  static worker workers[MOST_THREADS];
  pthread_barrier_t barrier;
  const int n = argc > 1 ? atoi(argv[1]) : 1;
  if (n < 1 || n > MOST_THREADS) return 2;
  pthread_barrier_init(&barrier, NULL, (unsigned)n);
  for (int i = 0; i < n; i++) {
    workers[i].barrier = &barrier;
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) return 1;
  }
  for (int i = 0; i < n; i++) {
    void *done = NULL;
    if (pthread_join(workers[i].thread, &done) != 0 || !done) return 1;
  }
  report(workers, n);
  return 0;
}
