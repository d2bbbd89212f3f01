/* ops/copy.c: kernels that only move elements, made of strided copies. */
#include "ops/copy.h"

#include "cpu/kernels.h"

static rlx_status copy_kernel(const void *state, const cpu_run *run, const void *const *in,
                              void *const *out) {
  copy_run(state, in[0], out[0], run->threads);
  return RLX_OK;
}

rlx_status copy_prepare(kernel_call *c) {
  const cpu_view *from = &c->in[0], *to = &c->out[0];
  cpu_copy *p = kernel_state(c, sizeof *p);
  if (!p) return status_memory(sizeof *p);
  copy_make(p, dtype_bytes(from->dtype), from->rank, from->dims, from->strides, to->strides);
  c->state = p;
  c->run = copy_kernel;
  c->name = "copy";
  return RLX_OK;
}

static rlx_status places_kernel(const void *state, const cpu_run *run, const void *const *in,
                                void *const *out) {
  places_move(state, in[0], out[0], run->threads);
  return RLX_OK;
}

rlx_status places_prepare(kernel_call *c, const char *name, places_of place, const void *ctx,
                          double fill) {
  const cpu_view *x = &c->in[0];
  uint64_t element[2] = {0};
  tensor_set_real(&(rlx_tensor){.dtype = x->dtype, .data = element}, 0, fill);
  cpu_places *p = kernel_state(c, sizeof *p);
  if (!p || !places_make(p, x, &c->out[0], dtype_bytes(x->dtype), place, ctx, element, c->mem))
    return status_memory(sizeof *p);
  c->state = p;
  c->run = places_kernel;
  c->name = name;
  return RLX_OK;
}
