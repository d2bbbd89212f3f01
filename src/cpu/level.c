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

const cpu_loops *cpu_level_at(size_t i) {
  for (size_t k = 0; k < N_LEVELS; k++)
    if (levels[k].has() && i-- == 0) return levels[k].loops;
  return NULL;
}

/* NULL: this CPU has no level of that name. */
static const cpu_loops *find(const char *name) {
  const cpu_loops *loops = NULL;
  for (size_t i = 0; (loops = cpu_level_at(i)) && strcmp(loops->level, name) != 0;) i++;
  return loops;
}

/* What RLX_CPU_LEVEL says; NULL: nothing. */
static const char *asked(void) {
  const char *name = getenv("RLX_CPU_LEVEL");
  return name && *name ? name : NULL;
}

rlx_status cpu_level_check(void) {
  const char *name = asked();
  if (!name || find(name)) return RLX_OK;
  return status_set(RLX_ERROR_ARGUMENT,
                    "RLX_CPU_LEVEL is '%s', which this CPU or this build lacks; its best is '%s'",
                    name, cpu_level_at(0)->level);
}

const cpu_loops *cpu_table(void) {
  static _Atomic(const cpu_loops *) chosen;
  const cpu_loops *loops = atomic_load_explicit(&chosen, memory_order_acquire);
  if (loops) return loops;
  const char *name = asked();
  loops = name ? find(name) : NULL;
  if (!loops) loops = cpu_level_at(0);
  atomic_store_explicit(&chosen, loops, memory_order_release);
  return loops;
}
