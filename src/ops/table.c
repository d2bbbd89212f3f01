/* ops/table.c: descriptors of all operations, made from ops.def, and the registry over them.
 *
 * Each row becomes a function that returns its descriptor: inside it `self` names the row's
 * attribute struct, which is what offsetof needs. An operation's identity is the address. */
#include <stddef.h>
#include <string.h>

#include "ops/block.h"

/* An attribute's default as an initialiser. */
#define VALUE_1(type, name, ...) VALUE_##type(__VA_ARGS__), VALUE_2
#define VALUE_2(type, name, ...) VALUE_##type(__VA_ARGS__), VALUE_1
#define VALUE_1_END
#define VALUE_2_END
#define VALUE_i64(v) v
#define VALUE_dim(v) v
#define VALUE_f64(v) v
#define VALUE_flag(v) v
#define VALUE_dtype(v) v
#define VALUE_ints(v) {NULL, 0}
#define VALUE_dims(v) {NULL, 0}
#define VALUE_reals(v) {NULL, 0}
#define VALUE_word(v) NULL
#define VALUE_text(v) NULL
#define VALUE_tensor(v) NULL
#define VALUE_graph(v) NULL

/* An attribute's descriptor. */
#define DESC_1(type, name, ...) DESC_OF(type, name, __VA_ARGS__), DESC_2
#define DESC_2(type, name, ...) DESC_OF(type, name, __VA_ARGS__), DESC_1
#define DESC_1_END
#define DESC_2_END
#define DESC_OF(type, name, ...)                                                             \
  {                                                                                          \
    #name, TYPE_##type, (uint32_t)offsetof(self, name), (uint32_t)sizeof(rlx_ct_##type),     \
        WORDS_##type(__VA_ARGS__)                                                            \
  }
#define TYPE_i64 IR_I64
#define TYPE_dim IR_DIM
#define TYPE_f64 IR_F64
#define TYPE_flag IR_FLAG
#define TYPE_ints IR_INTS
#define TYPE_dims IR_DIMS
#define TYPE_reals IR_REALS
#define TYPE_word IR_WORD
#define TYPE_text IR_TEXT
#define TYPE_dtype IR_DTYPE
#define TYPE_tensor IR_TENSOR
#define TYPE_graph IR_GRAPH
#define WORDS_i64(v) NULL
#define WORDS_dim(v) NULL
#define WORDS_f64(v) NULL
#define WORDS_flag(v) NULL
#define WORDS_ints(v) NULL
#define WORDS_dims(v) NULL
#define WORDS_reals(v) NULL
#define WORDS_word(v) v
#define WORDS_text(v) NULL
#define WORDS_dtype(v) NULL
#define WORDS_tensor(v) NULL
#define WORDS_graph(v) NULL

#define MIN_0 0
#define MIN_1 1
#define MIN_2 2
#define MIN_3 3
#define MIN_4 4
#define MIN_5 5
#define MIN_1o2 1
#define MIN_1o3 1
#define MIN_2o3 2
#define MIN_2o4 2
#define MIN_2o5 2
#define MIN_3o4 3
#define MIN_3o6 3
#define MIN_3o8 3
#define MIN_N 1
#define MAX_0 0
#define MAX_1 1
#define MAX_2 2
#define MAX_3 3
#define MAX_4 4
#define MAX_5 5
#define MAX_1o2 2
#define MAX_1o3 3
#define MAX_2o3 3
#define MAX_2o4 4
#define MAX_2o5 5
#define MAX_3o4 4
#define MAX_3o6 6
#define MAX_3o8 8
#define MAX_N IR_ANY
#define TRAIT_PLAIN IR_PLAIN
#define TRAIT_MOVE IR_MOVE
#define TRAIT_COMM IR_COMM
#define TRAIT_DATA IR_DATA
#define TRAIT_CONTROL IR_CONTROL
#define TRAIT_INPUT IR_INPUT
#define TRAIT_PARAM IR_PARAM
#define TRAIT_CONSTANT IR_CONSTANT

#define WITH_ATTRS(op, in, out, trait_bits, attrs, doc)                                         \
  static const ir_op *row_##op(void) {                                                          \
    typedef rlx_##op##_attrs self;                                                              \
    static const self defaults = {(uint32_t)sizeof(self), RLX_EACH(VALUE, attrs)};              \
    static const ir_attr list[] = {RLX_EACH(DESC, attrs)};                                      \
    static const ir_op row = {#op,  doc,  MIN_##in,     MAX_##in,  MAX_##out,     trait_bits,   \
                              list, sizeof list / sizeof list[0], sizeof(self), &defaults,      \
                              &hooks_##op};                                                     \
    return &row;                                                                                \
  }
#define NO_ATTRS(op, in, out, trait_bits, doc)                                                  \
  static const ir_op *row_##op(void) {                                                          \
    static const ir_op row = {#op,  doc, MIN_##in, MAX_##in, MAX_##out, trait_bits,             \
                              NULL, 0,   0,        NULL,     &hooks_##op};                      \
    return &row;                                                                                \
  }
#define LEAF(op, trait, attrs, doc) WITH_ATTRS(op, 0, 1, TRAIT_##trait, attrs, doc)
#define OP(op, in, out, trait, attrs, doc) WITH_ATTRS(op, in, out, TRAIT_##trait, attrs, doc)
#define OP0(op, in, out, trait, doc) NO_ATTRS(op, in, out, TRAIT_##trait, doc)
#define U(op, class, real, integer, complex_, gradient, onnx, doc) NO_ATTRS(op, 1, 1, IR_ELEMENTWISE, doc)
#define UX0(op, class, real, integer, expand, onnx, doc) NO_ATTRS(op, 1, 1, IR_ELEMENTWISE, doc)
#define UX(op, class, attrs, real, integer, expand, onnx, doc) \
  WITH_ATTRS(op, 1, 1, IR_ELEMENTWISE, attrs, doc)
#define P(op, class, real, integer, complex_, onnx, doc) NO_ATTRS(op, 1, 1, IR_ELEMENTWISE, doc)
#define B(op, trait, class, real, integer, complex_, da, db, onnx, doc) \
  NO_ATTRS(op, 2, 1, IR_ELEMENTWISE | TRAIT_##trait, doc)
#define C(op, trait, class, real, integer, complex_, onnx, doc) \
  NO_ATTRS(op, 2, 1, IR_ELEMENTWISE | TRAIT_##trait, doc)
#include <rlx/ops.def>

typedef struct table_row {
  const char *name;
  const ir_op *(*get)(void);
} table_row;

static const table_row rows[] = {
#define LEAF(op, trait, attrs, doc) {#op, row_##op},
#define OP(op, in, out, trait, attrs, doc) {#op, row_##op},
#define OP0(op, in, out, trait, doc) {#op, row_##op},
#include <rlx/ops.def>
};

const ir_op *op_at(size_t index) {
  return index < sizeof rows / sizeof rows[0] ? rows[index].get() : NULL;
}

const ir_op *op_find(const char *name) {
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (strcmp(rows[i].name, name) == 0) return rows[i].get();
  return NULL;
}
