/* base/cores.c: how many threads are worth starting: what affinity and container limits leave. */
#define _GNU_SOURCE /* sched_getaffinity */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include "base/threads.h"

#if defined(__linux__)
/* The first numbers in a file; false if it is not there or does not start with a number ("max"). */
static bool read_numbers(const char *folder, const char *name, long *a, long *b) {
  char path[PATH_MAX];
  const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
  if (length < 0 || (size_t)length >= sizeof path) return false;
  FILE *f = fopen(path, "re");
  if (!f) return false;
  const int n = fscanf(f, "%ld %ld", a, b);
  fclose(f);
  return n >= 1;
}

/* The processors that the quota of a control group is worth, rounded up; LONG_MAX: it has none. */
static long quota_of(const char *folder) {
  long share = 0, period = 0, unused = 0;
  if (!read_numbers(folder, "cpu.max", &share, &period) &&
      !(read_numbers(folder, "cpu.cfs_quota_us", &share, &unused) &&
        read_numbers(folder, "cpu.cfs_period_us", &period, &unused)))
    return LONG_MAX;
  return share > 0 && period > 0 ? (share - 1) / period + 1 : LONG_MAX;
}

/* Of the group at `path` below `root` and of those above it. Inside a container the path may be one
 * of the host, that is not there; the root is then the container's own group. */
static long quota_along(const char *root, const char *path) {
  char folder[PATH_MAX];
  const size_t root_length = strlen(root);
  const int length = snprintf(folder, sizeof folder, "%s%s", root, path);
  if (length < 0 || (size_t)length >= sizeof folder) return quota_of(root);
  long least = LONG_MAX;
  for (;;) {
    const long n = quota_of(folder);
    if (n < least) least = n;
    if (strlen(folder) <= root_length) return least;
    *strrchr(folder, '/') = 0;
  }
}

/* Is `name` in a list with commas? */
static bool listed(const char *list, const char *name) {
  const size_t length = strlen(name);
  for (;;) {
    const size_t n = strcspn(list, ",");
    if (n == length && strncmp(list, name, n) == 0) return true;
    if (list[n] == 0) return false;
    list += n + 1;
  }
}

/* Lines read "id:controllers:/path"; version 2 has one line, without controllers. */
static long quota(void) {
  char line[PATH_MAX];
  long least = LONG_MAX;
  FILE *f = fopen("/proc/self/cgroup", "re");
  while (f && fgets(line, sizeof line, f)) {
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path || path[1] != '/') continue;
    *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    long n = LONG_MAX;
    if (controllers[1] == 0) n = quota_along("/sys/fs/cgroup", path);
    else if (listed(controllers + 1, "cpu")) n = quota_along("/sys/fs/cgroup/cpu", path);
    if (n < least) least = n;
  }
  if (f) fclose(f);
  return least;
}
#endif

uint32_t threads_default(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  const long limit = quota();
  if (limit < n) n = limit;
#endif
  return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (uint32_t)n;
}
