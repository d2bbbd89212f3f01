/* bench/peer.h: what the measured programs share, in C and in C++: they load a case, run it once,
 * say so in a line of JSON, and then run it for as long as each line of stdin says, so that
 * programs take turns without being loaded anew. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PEER_MOST_TIMES ((size_t)1 << 16)
#define PEER_WARM_UP_PART 8 /* of the time that a turn takes, before it */

static inline double peer_now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* The most memory this process has held. Not ru_maxrss: that begins with the peak of the process
 * that started this one. 0 where there is no such file. */
static inline double peer_peak_mb(void) {
  char line[128];
  double kb = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, "VmHWM:", 6) == 0) kb = strtod(line + 6, NULL);
  if (file) fclose(file);
  return kb / 1024;
}

static inline int peer_by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Runs for so many microseconds. A time is that of `inner` runs, so that reading the clock costs a
 * hundredth at most. */
static inline size_t peer_measure(void (*run)(void *), void *context, double us, int inner,
                                  double *times) {
  const double end = peer_now_us() + us;
  size_t n = 0;
  for (double now = 0; n == 0 || (now < end && n < PEER_MOST_TIMES);) {
    const double start = peer_now_us();
    for (int i = 0; i < inner; i++) run(context);
    now = peer_now_us();
    times[n++] = (now - start) / inner;
  }
  return n;
}

/* The first line is said: answers lines of seconds until stdin ends. */
static inline int peer_serve(void (*run)(void *), void *context) {
  static double times[PEER_MOST_TIMES];
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    const double us = strtod(line, NULL) * 1e6;
    size_t n = peer_measure(run, context, us / PEER_WARM_UP_PART, 1, times);
    qsort(times, n, sizeof *times, peer_by_size);
    const int inner = times[0] < 5 ? (int)(5 / (times[0] + 0.01)) + 1 : 1;
    n = peer_measure(run, context, us, inner, times);
    qsort(times, n, sizeof *times, peer_by_size);
    printf("{\"min_us\": %.4f, \"median_us\": %.4f, \"n\": %zu}\n", times[0], times[n / 2], n);
    fflush(stdout);
  }
  return 0;
}

static inline int peer_ready(double load_us, double first_us, double peak_mb) {
  printf("{\"load_ms\": %.3f, \"first_ms\": %.3f, \"peak_mb\": %.1f}\n", load_us / 1e3,
         first_us / 1e3, peak_mb);
  return fflush(stdout);
}

#endif
