/* cpu/tile_program.h: what a tile program is, for the files that make and run it.
 *
 * Slots are what lines read: the accumulators, each operand, then constants, then temporary tiles.
 * An operand's slot points at its elements where they lie; where they are not neighbours there, at
 * a temporary tile that they are gathered into. Only the last line writes the result. */
#ifndef CPU_TILE_PROGRAM_H
#define CPU_TILE_PROGRAM_H

#include <rlx/graph.h>

#include "cpu/tile.h"

enum {
  TILE_MOST = 512,     /* elements of a tile, at most */
  TILE_MEMORY = 32768, /* bytes of temporary tiles; they are on the stack */
  TILE_SKEW = 64,      /* between tiles: so that they do not meet in the same cache sets */
  TILE_SLOTS = 256,    /* a line's operands are bytes */
  TILE_BASE = 0,       /* slot of the accumulators; operand i has slot 1 + i */
};
#define TILE_RESULT UINT32_MAX /* as a line's `to` */

typedef struct tile_line {
  cpu_step step;
  uint32_t to; /* bytes from the start of the temporary tiles */
  uint8_t x, y, z;
  double p[2];
} tile_line;

typedef enum tile_way {
  TILE_UNUSED,
  TILE_LINEAR, /* in the order of the result */
  TILE_ROWS,   /* neighbours within rows of the result */
  TILE_GATHER, /* copied for each tile */
  TILE_ONCE,   /* copied once: the same for all tiles */
} tile_way;

typedef struct tile_source {
  tile_way way;
  uint32_t tile; /* gathered: bytes from the start of the temporary tiles */
  size_t width;
  int64_t step[RLX_MAX_RANK]; /* bytes along each axis of the program */
} tile_source;

struct tile_program {
  size_t n_lines, n_in, n_fixed, n_tiles;
  const tile_line *lines;
  const tile_source *in;
  const void *const *fixed; /* constants: a tile each */
  size_t tile_bytes;
  size_t width, base_width; /* of an element of the result, of the accumulators */
  /* The result's axes, innermost first, joined where everything lies as one; at least one. */
  uint32_t rank;
  int64_t dims[RLX_MAX_RANK];
  int64_t rows; /* of dims[0] elements */
  /* Tiles of a program by itself: pieces of one row, or (pieces 1) that many whole rows. */
  int64_t pieces, piece, together;
};

#endif
