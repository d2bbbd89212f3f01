/* cpu/conv_plan.h: what cpu/conv.c and cpu/conv_run.c share. */
#ifndef CPU_CONV_PLAN_H
#define CPU_CONV_PLAN_H

#include "cpu/conv.h"

enum { CONV_BLOCK = 48 }; /* places of a block at most: tables and results stay in near caches */

static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Columns of panel i of a group. */
int64_t panel_columns(const conv_form *f, int64_t i);

#endif
