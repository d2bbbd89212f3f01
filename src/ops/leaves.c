/* ops/leaves.c: where values come from: inputs, params and constants.
 *
 * Their attributes are their type. The graph keeps the names, the runners bind the tensors. */
#include "ops/block.h"

static rlx_status leaf_infer(ir_infer *c, const char *name, rlx_dtype dtype, rlx_ints dims) {
  if (!*name) return infer_fail(c, RLX_ERROR_ARGUMENT, "the name is empty");
  rlx_dim *out;
  RLX_TRY(infer_result(c, dtype, dims.n, &out));
  for (size_t i = 0; i < dims.n; i++) out[i] = dims.data[i];
  return RLX_OK;
}

static rlx_status input_infer(ir_infer *c) {
  return leaf_infer(c, ATTRS(input)->name, ATTRS(input)->dtype, ATTRS(input)->dims);
}

static rlx_status param_infer(ir_infer *c) {
  return leaf_infer(c, ATTRS(param)->name, ATTRS(param)->dtype, ATTRS(param)->dims);
}

static rlx_status constant_infer(ir_infer *c) {
  const rlx_tensor *t = ATTRS(constant)->data;
  rlx_dim *dims;
  RLX_TRY(infer_result(c, t->dtype, t->rank, &dims));
  for (uint32_t i = 0; i < t->rank; i++) dims[i] = t->dims[i];
  return RLX_OK;
}

#define GIVEN .no_ref = "it is given, not computed", .no_grad = "it is where gradients end"
RLX_BLOCK(input) = {.infer = input_infer, GIVEN};
RLX_BLOCK(param) = {.infer = param_infer, GIVEN};
RLX_BLOCK(constant) = {.infer = constant_infer, GIVEN};
#undef GIVEN
