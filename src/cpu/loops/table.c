/* cpu/loops/table.c: the table of this CPU level. */
#include "cpu/loops/loops.h"

#define LEVEL_TEXT_(level) #level
#define LEVEL_TEXT(level) LEVEL_TEXT_(level)

extern const cpu_loops LOOP_NAME(cpu_loops);
const cpu_loops LOOP_NAME(cpu_loops) = {
    .level = LEVEL_TEXT(CPU_LEVEL),
#define LOOP(result, name, parameters) .name = LOOP_NAME(name),
#include "cpu/loops.def"
};
