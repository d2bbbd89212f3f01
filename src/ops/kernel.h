/* ops/kernel.h: operations onto CPU kernels.
 *
 * An operation's block names an ir_kernel: which nodes it covers, in what order its operands and
 * results must lie in memory, and `prepare`, which turns a node with known shapes, strides and
 * constants into a kernel and its state. Prepared once per variant; runs as cpu/cpu.h says.
 *
 * Elementwise operations name a tile operation instead (ops/region.h): runs of them become one
 * kernel, or the epilogue of the kernel that makes their operand. */
#ifndef OPS_KERNEL_H
#define OPS_KERNEL_H

#include "cpu/kernels.h"
#include "ir/graph.h"

/* How elements must lie in memory. "Dense": without gaps, in some order of the axes. */
typedef enum kernel_order {
  ORDER_ROWS, /* dense, row-major */
  ORDER_LAST, /* dense, channels last: as [N,..,C] for the logical [N,C,..]; rank 3 and more */
  ORDER_UNIT, /* any strides, but neighbours along the last axis are neighbours in memory */
  ORDER_ANY,  /* operand: any strides; result: dense in the order that suits its readers */
  ORDER_SAME, /* result only: dense in the order of the first operand, which has its rank */
} kernel_order;

enum { KERNEL_ORDERS = 4 };

struct kernel_packs; /* what an executable keeps of packed constants */

typedef struct kernel_call {
  const rlx_graph *g;
  const ir_node *node;
  const void *attrs;
  const cpu_view *in; /* the node's operands, then what else the epilogue reads */
  size_t n_in;
  const cpu_view *out; /* of the node's type, or of the epilogue's end */
  size_t n_out;
  const void *const *constant; /* operand i where it is the same in all runs, else NULL */
  const bool *lasting;         /* is it the same for other shapes too? */
  uint32_t threads;
  rlx_dtype precision; /* RLX_BF16: round factors to bf16 and sum in f32; RLX_F32: do not */
  const tile_program *epilogue; /* only for kernels that say so; NULL: none */
  arena *mem;                   /* lives as long as the state */
  struct kernel_packs *packs;

  /* the answer */
  cpu_kernel run;
  const char *name; /* of the kernel, for timelines: a static string */
  const void *state;
  size_t scratch; /* bytes for one run */
} kernel_call;

typedef struct ir_kernel {
  /* Does it cover a node of these types, attributes and constants? NULL: every one. */
  bool (*covers)(const ir_infer *c);
  rlx_status (*prepare)(kernel_call *c); /* not asked where all results are empty */
  uint8_t in[KERNEL_ORDERS]; /* of operands 0, 1, 2 and all behind; rows where none is given */
  uint8_t out;               /* of all results */
  bool epilogue;             /* can end in a tile program on its first result */
} ir_kernel;

/* Has a node a kernel, its own or a tile operation? Sizes may be symbolic. */
bool kernel_covers(const ir_infer *c);
/* A node of a graph as hooks see one that is being added. `types` has room for all its values. */
ir_infer kernel_ask(const rlx_graph *g, const ir_node *n, ir_type *types);

/* Zeroed memory for the state; NULL: out of memory, then return status_memory(bytes). */
void *kernel_state(kernel_call *c, size_t bytes);
/* Data made of a constant operand, once for all variants if the operand is lasting: equal `kind`,
 * operand and view of it give the same. `fill` writes `bytes` bytes, 64-byte aligned. The operand
 * itself is not read at run time then. */
rlx_status kernel_pack(kernel_call *c, size_t operand, const char *kind, size_t bytes,
                       void (*fill)(const void *ctx, void *to), const void *ctx,
                       const void **out_data);

/* Are the strides those of dense row-major data (axes of size 1 aside)? */
bool view_is_rows(const cpu_view *v);
bool view_is_last(const cpu_view *v); /* the same for channels last */
int64_t view_count(const cpu_view *v);

#endif
