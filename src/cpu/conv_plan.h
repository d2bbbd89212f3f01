/* cpu/conv_plan.h: what cpu/conv.c and cpu/conv_run.c share. */
#ifndef CPU_CONV_PLAN_H
#define CPU_CONV_PLAN_H

#include "cpu/conv.h"

/* Places of a block at most: results stay in near caches; what windows share does where one channel
 * stands alone, since then a few channels of a whole block are computed at once. */
enum { CONV_BLOCK = 48, DEPTH_BLOCK = 192 };

static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t unit) { return divide_up(a, unit) * unit; }

/* Columns of panel i of a group. */
int64_t panel_columns(const conv_form *f, int64_t i);

#endif
