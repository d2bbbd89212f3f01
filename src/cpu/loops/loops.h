/* cpu/loops/loops.h: what the files of this folder include. They are compiled once per CPU level,
 * so nothing here may be visible outside under a name without the level; only base types and
 * <math.h>, no calls into other folders. */
#ifndef CPU_LOOPS_LOOPS_H
#define CPU_LOOPS_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/cpu.h"

#define LOOP_PASTE_(name, level) name##_##level
#define LOOP_PASTE(name, level) LOOP_PASTE_(name, level)
#define LOOP_NAME(name) LOOP_PASTE(name, CPU_LEVEL)

#define LOOP(result, name, parameters) result LOOP_NAME(name) parameters;
#include "cpu/loops.def"

#endif
