/* tests/kernel_help.h: small graphs with CPU kernels and on the reference device. */
#ifndef TESTS_KERNEL_HELP_H
#define TESTS_KERNEL_HELP_H

#include <stdint.h>

/* `inputs`: operands as in the table's cases (README.md), "f32[2,3], i64[4]{0:4}", which the graph
 * knows as %1, %2, ..; `body`: the graph's other lines, "%9 = exp(%1) return %9 \"y\"".
 *
 * Runs it on the reference device, compiled with one to three threads and lazily, each twice. The
 * test fails where the largest difference, over the largest magnitude, is above `bound`; integers
 * and bools are equal. It then prints a command that finds the node, on files that it leaves.
 * Skipped where RLX_KERNELS is off. */
void kernel_check(const char *inputs, const char *body, double bound);
/* The same, each element within so many units in the last place of the one wanted. */
void kernel_check_ulps(const char *inputs, const char *body, double ulps);

/* 24 random bits, the same ones in every run of a program; n floats from -scale to scale, for
 * free(). */
uint32_t kernel_draw(void);
float *kernel_floats(int64_t n, double scale);

#endif
