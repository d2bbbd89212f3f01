/* ops/registry.c: the table of operations as the public API shows it (rlx/registry.h). */
#include <rlx/registry.h>

#include <inttypes.h>
#include <stdio.h>

#include "ir/op.h"
#include "ir/tensor.h"
#include "ops/onnx.h"

static size_t public_count(uint8_t n) { return n == IR_ANY ? RLX_ANY : n; }

static void describe(const ir_op *op, rlx_op_info *out) {
  *out = (rlx_op_info){
      .name = op->name,
      .doc = op->doc,
      .onnx = op->hooks->onnx ? op->hooks->onnx : "",
      .min_inputs = op->min_in,
      .max_inputs = public_count(op->max_in),
      .n_outputs = public_count(op->n_out),
      .n_attrs = op->n_attrs,
      .leaf = (op->traits & IR_LEAF) != 0,
  };
}

bool rlx_op_at(size_t index, rlx_op_info *out_info) {
  const ir_op *op = op_at(index);
  if (op && out_info) describe(op, out_info);
  return op != NULL;
}

bool rlx_op_find(const char *name, rlx_op_info *out_info) {
  const ir_op *op = name ? op_find(name) : NULL;
  if (op && out_info) describe(op, out_info);
  return op != NULL;
}

/* Indexed by ir_attr_type: the names that rows of ops.def use. */
static const char *const type_names[] = {
    [IR_I64] = "i64",     [IR_DIM] = "dim",       [IR_F64] = "f64",     [IR_FLAG] = "flag",
    [IR_INTS] = "ints",   [IR_DIMS] = "dims",     [IR_REALS] = "reals", [IR_WORD] = "word",
    [IR_TEXT] = "text",   [IR_DTYPE] = "dtype",   [IR_TENSOR] = "tensor",
    [IR_GRAPH] = "graph"};

static void default_text(const ir_op *op, const ir_attr *attr, char *buf, size_t size) {
  const void *value = attr_at(attr, op->defaults);
  buf[0] = '\0';
  switch (attr->type) {
    case IR_I64:
    case IR_DIM: snprintf(buf, size, "%" PRId64, *(const int64_t *)value); break;
    case IR_F64: snprintf(buf, size, "%.15g", *(const double *)value); break;
    case IR_FLAG: snprintf(buf, size, "%s", *(const bool *)value ? "true" : "false"); break;
    case IR_WORD: /* the first of "a|b|c" */
      snprintf(buf, size, "%.*s", (int)strcspn(attr->words, "|"), attr->words);
      break;
    case IR_INTS:
    case IR_DIMS:
    case IR_REALS: snprintf(buf, size, "[]"); break;
    case IR_DTYPE: {
      const rlx_dtype_info *dtype = rlx_dtype_get(*(const rlx_dtype *)value);
      if (dtype) snprintf(buf, size, "%s", dtype->name);
      break;
    }
    case IR_TEXT:
    case IR_TENSOR:
    case IR_GRAPH: break;
  }
}

bool rlx_op_attr_at(size_t op_index, size_t attr_index, rlx_attr_info *out_info) {
  const ir_op *op = op_at(op_index);
  if (!op || attr_index >= op->n_attrs) return false;
  const ir_attr *attr = &op->attrs[attr_index];
  if (!out_info) return true;
  *out_info =
      (rlx_attr_info){.name = attr->name, .type = type_names[attr->type], .words = attr->words};
  default_text(op, attr, out_info->default_text, sizeof out_info->default_text);
  return true;
}

bool rlx_onnx_at(size_t index, rlx_onnx_info *out_info) {
  rlx_onnx_info unused;
  if (!out_info) out_info = &unused;
  return onnx_at(index, out_info->name, sizeof out_info->name, &out_info->since);
}
