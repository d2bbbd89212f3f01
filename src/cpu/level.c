/* cpu/level.c: which table of loops this process uses: the best that the CPU has, or what
 * RLX_CPU_LEVEL names. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cpu/cpu.h"

#define LEVEL(name, has) extern const cpu_loops cpu_loops_##name;
#include "cpu/levels.def"

#define LEVEL(name, has) \
  static bool has_##name(void) { return has; }
#include "cpu/levels.def"

static const struct {
  const cpu_loops *loops;
  bool (*has)(void);
} levels[] = {
#define LEVEL(name, has) {&cpu_loops_##name, has_##name},
#include "cpu/levels.def"
};
enum { N_LEVELS = sizeof levels / sizeof levels[0] };

static const cpu_loops *best(void) {
  size_t i = 0;
  while (i + 1 < N_LEVELS && !levels[i].has()) i++;
  return levels[i].loops;
}

static const cpu_loops *asked(const char *name) {
  for (size_t i = 0; i < N_LEVELS; i++)
    if (strcmp(levels[i].loops->level, name) == 0 && levels[i].has()) return levels[i].loops;
  return NULL;
}

rlx_status cpu_level_check(void) {
  const char *name = getenv("RLX_CPU_LEVEL");
  if (!name || !*name || asked(name)) return RLX_OK;
  return status_set(RLX_ERROR_ARGUMENT, "RLX_CPU_LEVEL is '%s': this machine's best is '%s'", name,
                    best()->level);
}

const cpu_loops *cpu_table(void) {
  static _Atomic(const cpu_loops *) chosen;
  const cpu_loops *loops = atomic_load_explicit(&chosen, memory_order_acquire);
  if (loops) return loops;
  const char *name = getenv("RLX_CPU_LEVEL");
  loops = name && *name ? asked(name) : NULL;
  if (!loops) loops = best();
  atomic_store_explicit(&chosen, loops, memory_order_release);
  return loops;
}
