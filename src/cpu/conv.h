/* cpu/conv.h: convolutions of f32 images that lie channels last, any groups, one to three spatial
 * axes, and their transposes.
 *
 * Every one is a sum over taps of products of short rows; windows are not copied. The loops of
 * cpu/loops/conv.c go over tiles of a few places of the result times a panel of a few vectors of
 * channels. Where all windows of a tile lie within x, its taps are as far from each place; else it
 * gets a table of pointers, one per place and tap, padding being a row of zeros. A transposed
 * convolution is as many convolutions as its strides have remainders (phases), each with the taps
 * that meet its places; where its windows do not overlap it is one convolution that makes all
 * places under a window at once.
 *
 * Exactness: each element is a sum of K multiply-adds in f32 in some order, so it is within (K + 1)
 * 2^-24 of the sum of the |x w|, whatever the number of threads. Padding is multiplied as zeros
 * are: an infinite weight gives NaN there. */
#ifndef CPU_CONV_H
#define CPU_CONV_H

#include "cpu/cpu.h"
#include "cpu/tile.h"

enum { CONV_AXES = 3 };

/* The window at place o covers the elements o * stride - before + t * dilation. Transposed, it is
 * the window at place i of x that covers elements of the result. */
typedef struct conv_axis {
  int64_t in, out, kernel, stride, dilation, before;
} conv_axis;

typedef struct conv_shape {
  int64_t images, in, out, groups; /* in, out: channels of all groups */
  conv_axis axis[CONV_AXES];       /* those that are not there come first, all ones */
  bool transposed;
} conv_shape;

/* How weights are packed: [group][panel][taps][depth][columns], a panel being `vectors` vectors of
 * columns, the last one as few as hold them; 0 vectors (one channel a group): [taps][columns]. */
typedef struct conv_form {
  int64_t groups, taps, depth, width; /* depth, width: channels of a group */
  int64_t from, to;                   /* apart in memory: neighbours in depth, in width */
  int64_t inner;                      /* neighbours in width, then the next tap */
  int64_t vectors, lanes;
} conv_form;

typedef struct conv_plan {
  conv_shape s;
  int64_t spread[CONV_AXES]; /* a result's columns are this block of places; else all ones */
  int64_t channels;          /* of the result */
  conv_form form;
  int64_t panels, packed;    /* of a group: panels, floats */
  int64_t phases[CONV_AXES]; /* per axis */
  int64_t rows;              /* places of a tile */
  int64_t block, blocks;     /* places of a block, blocks of a phase */
  int64_t chunks, parts;     /* of a phase's blocks, of all panels: what one task does */
  bool joined;               /* taps along the last axis are neighbours in memory */
  uint32_t threads;
  const float *weights;      /* packed; NULL: operand 1 is packed first, into scratch */
  const float *zeros;        /* conv_zeros(p) of them */
  bool bias;                 /* is operand 2 there? */
  const tile_program *epilogue;
  int64_t unit; /* bytes of an element of the result */
} conv_plan;

/* Everything but the last five. */
void conv_choose(const conv_shape *s, uint32_t threads, conv_plan *out_plan);
/* Sizes in bytes. */
int64_t conv_zeros(const conv_plan *p);
int64_t conv_packed(const conv_plan *p);
int64_t conv_scratch(const conv_plan *p);

/* Weights [O,C/g,k..], transposed [C,O/g,k..], row-major. */
void conv_pack(const conv_form *f, const float *weights, float *to);
/* Operands: x, weights, bias (may be absent). state: a conv_plan. */
rlx_status conv_run(const void *state, const cpu_run *run, const void *const *in, void *const *out);

/* What the loops get: as many places as a tile has, or fewer, times one panel (conv_dense) or all
 * channels (conv_depth). */
typedef struct conv_tile {
  const float *const *rows; /* [a tile's places][taps]; with delta: [a tile's places] */
  const int64_t *delta;     /* or NULL; tap t of a place is delta[t * step] elements further */
  const int64_t *at;        /* the packed row where the weights of tap t begin: at[t * step] */
  int64_t taps, step;
  int64_t depth, shift; /* elements of a row of x, and where they begin */
  const float *weights, *bias;
  int64_t whole, vectors, width; /* of most panels, of this one; columns that are wanted */
  int64_t places;
  float *const *to;
  int64_t column;
} conv_tile;

#endif
