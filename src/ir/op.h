/* ir/op.h: what the IR knows of an operation: a row and hooks. It never knows which one.
 *
 * Descriptors are static data, made from ops.def in ops/table.c. An operation is its address. */
#ifndef IR_OP_H
#define IR_OP_H

#include <rlx/graph.h>

typedef enum ir_attr_type {
  IR_I64,
  IR_DIM, /* a number or a dim handle */
  IR_F64,
  IR_FLAG,
  IR_INTS,  /* list of numbers */
  IR_DIMS,  /* list of numbers or dim handles */
  IR_REALS,
  IR_WORD,  /* one of `words` */
  IR_TEXT,
  IR_DTYPE,
  IR_TENSOR,
  IR_GRAPH /* a sub-graph, closed: what it needs from outside are inputs */
} ir_attr_type;

typedef struct ir_attr {
  const char *name;
  ir_attr_type type;
  uint32_t offset, size; /* in the attribute struct */
  const char *words;     /* "nearest|linear|cubic" for IR_WORD */
} ir_attr;

enum {
  IR_PLAIN = 0,
  IR_COMM = 1,   /* operands may be exchanged */
  IR_MOVE = 2,   /* the first output holds elements of the inputs, moved */
  IR_ELEMENTWISE = 4,
  IR_INPUT = 8, /* leaves */
  IR_PARAM = 16,
  IR_CONSTANT = 32,
  IR_LEAF = IR_INPUT | IR_PARAM | IR_CONSTANT,
  IR_DATA = 64,     /* the sizes of the outputs depend on elements: `ref` allocates the outputs */
  IR_CONTROL = 128, /* runs sub-graphs: `control` */
  IR_CUT = IR_DATA | IR_CONTROL /* runs on the host between two stages of a plan */
};

struct ir_infer;
struct lower_call; /* src/ops/lower.h */
struct expr_call;  /* src/ops/expr.h */
struct ir_kernel;  /* src/ops/kernel.h */
struct view_call;  /* src/ops/view.h */

/* One evaluation on host tensors: outputs are allocated (zeroed) with the inferred types before the
 * call (of IR_DATA only those whose sizes are known, the others are NULL), absent operands are
 * NULL, sizes are concrete. */
typedef struct ref_call {
  const struct ir_op *op;
  const void *attrs;
  rlx_tensor *const *in;
  size_t n_in;
  rlx_tensor **out;
  size_t n_out;
} ref_call;

/* One run of an operation with sub-graphs, on host tensors: fills `out`. */
typedef struct control_call {
  const struct ir_op *op;
  const void *attrs;
  rlx_tensor *const *in; /* absent operands are NULL */
  size_t n_in;
  rlx_tensor **out; /* NULL at first; each becomes an owned reference */
  size_t n_out;
  /* Runs a sub-graph of the node: as many inputs as it has, n_out new references in `out`. */
  rlx_status (*run)(void *ctx, const rlx_graph *graph, rlx_tensor *const *in, rlx_tensor **out,
                    size_t n_out);
  void *ctx;
} control_call;

typedef struct ir_hooks {
  /* Output types (and count) from operand types and attributes; checks everything. Required. */
  rlx_status (*infer)(struct ir_infer *c);
  /* The same where numbers of an attribute come from a value that is not known yet (of sizes
   * `infer` sees names): dtypes and ranks are certain, sizes may be fresh. NULL: they must be
   * known. */
  rlx_status (*infer_late)(struct ir_infer *c);
  /* Naive evaluation on host tensors: constant folder, oracle, reference device. */
  rlx_status (*ref)(ref_call *c);
  /* Onto MLX. Sticky errors in the call's context. */
  void (*lower)(struct lower_call *c);
  /* Does `lower` cover a node of these types and attributes? NULL: every one; the others expand. */
  bool (*lowers)(const struct ir_infer *c);
  /* On a CPU: a kernel; for elementwise operations the tile operation of cpu/tile_ops.def. */
  const struct ir_kernel *kernel;
  const char *tile;
  /* The outputs as other strides over the operand's memory. False: not with these strides. */
  bool (*view)(struct view_call *c);
  /* Runs the sub-graphs of an operation of the trait CONTROL. */
  rlx_status (*control)(control_call *c);
  /* As other operations; used where `lower` is missing. Gradients follow from it. An operation with
   * sub-graphs may return RLX_NIL: not with these operands. */
  rlx_val (*expand)(struct expr_call *c);
  /* Gradient of operand i, an expression; RLX_NIL: none flows. */
  rlx_val (*vjp)(struct expr_call *c, int i);
  /* Symbolic contents of the output from those of the inputs (integer arithmetic). */
  rlx_status (*content)(struct ir_infer *c, const rlx_dim *const *in, rlx_dim *out);
  bool products;       /* sums of products, whose f32 factors may be rounded to bf16 if asked */
  const char *fast;    /* the kernel of mlx::fast that `lower` takes on a GPU */
  const char *no_ref;  /* why there is no reference */
  const char *no_lower; /* why there is neither lowering nor expansion; the reference runs */
  const char *no_grad; /* why there is no gradient: "comparison", "its driver comes first", ... */
  /* ONNX operators that are this operation: "Softmax-13 axis; LogSoftmax-1 axis=1". Operators that
   * need more have importers, src/ops/onnx.h. */
  const char *onnx;
  /* Test cases in the text form, separated by ';': tests/README says how they read. */
  const char *cases;
} ir_hooks;

#define IR_ANY 255u
typedef struct ir_op {
  const char *name, *doc;
  uint8_t min_in, max_in; /* max_in IR_ANY: no limit */
  uint8_t n_out;          /* IR_ANY: the inference says */
  uint8_t traits; /* IR_COMM .. */
  const ir_attr *attrs;
  size_t n_attrs;
  size_t attrs_size;    /* of the struct, 0 without attributes */
  const void *defaults; /* a filled attribute struct */
  const ir_hooks *hooks;
} ir_op;

/* The registry: starts as the table of ops.def. NULL: no such name, or past the end. */
const ir_op *op_find(const char *name);
const ir_op *op_at(size_t index);

/* The value of an attribute in a struct, as a pointer to its C type. */
static inline const void *attr_at(const ir_attr *a, const void *attrs) {
  return (const char *)attrs + a->offset;
}

#endif
