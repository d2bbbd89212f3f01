/* base/room.c: the sizes of memory, swap, the container's limit, the process's limits. */
#define _DEFAULT_SOURCE /* sysconf, getrlimit */
#include "base/room.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/sysinfo.h>
#endif

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t machine_bytes(void) {
#if defined(__linux__)
  struct sysinfo s;
  if (sysinfo(&s) == 0) return ((uint64_t)s.totalram + s.totalswap) * s.mem_unit;
#endif
  const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
}

/* The number in a file; UINT64_MAX where there is none ("max", no such file). */
static uint64_t number_in(const char *path) {
  unsigned long long n = 0;
  FILE *f = fopen(path, "re");
  if (!f) return UINT64_MAX;
  const bool found = fscanf(f, "%llu", &n) == 1;
  fclose(f);
  return found ? n : UINT64_MAX;
}

static uint64_t limit_of(int resource) {
  struct rlimit r;
  return getrlimit(resource, &r) == 0 && r.rlim_cur != RLIM_INFINITY ? (uint64_t)r.rlim_cur
                                                                     : UINT64_MAX;
}

uint64_t room_bytes(void) {
  uint64_t room = least(machine_bytes(), limit_of(RLIMIT_AS));
  room = least(room, limit_of(RLIMIT_DATA));
  room = least(room, number_in("/sys/fs/cgroup/memory.max"));
  return least(room, number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
}
