/* ops/region.c: elementwise nodes as tile programs. */
#include "ops/region.h"

bool region_takes(const ir_infer *c) {
  (void)c;
  return false;
}

rlx_status region_build(kernel_call *c, const uint32_t *members, size_t n, const rlx_val *operands,
                        rlx_val base, const tile_program **out_program) {
  (void)c, (void)members, (void)n, (void)operands, (void)base, (void)out_program;
  return status_set(RLX_ERROR_INTERNAL, "no regions");
}

rlx_status region_prepare(kernel_call *c, const tile_program *program) {
  (void)c, (void)program;
  return status_set(RLX_ERROR_INTERNAL, "no regions");
}
