/* ops/view.c: what operations that are views share. */
#include "ops/view.h"

#include <string.h>

#include "ops/kernel.h"

bool view_make(const rlx_graph *g, const ir_node *n, size_t nth, const cpu_view *in,
               int64_t *strides, int64_t *offset) {
  view_call c = {.g = g, .node = n, .attrs = n->attrs, .in = *in, .nth = nth};
  if (!n->op->hooks->view || !n->op->hooks->view(&c)) return false;
  memcpy(strides, c.strides, view_type(&c)->rank * sizeof *strides);
  *offset = c.offset;
  return true;
}

const ir_type *view_type(const view_call *c) {
  return &graph_value(c->g, rlx_nth(c->node->out, (uint32_t)c->nth))->type;
}

bool view_same(view_call *c) {
  memcpy(c->strides, c->in.strides, c->in.rank * sizeof *c->strides);
  return true;
}

/* The axes of both shapes fall into groups of equal products, each as small as can be. Within a
 * group the operand's axes must lie as one; the new axes are cut from that one. */
bool view_reshape(view_call *c) {
  const ir_type *t = view_type(c);
  const int64_t *out = t->dims;
  const bool empty = view_count(&c->in) == 0;
  int64_t dims[RLX_MAX_RANK], strides[RLX_MAX_RANK]; /* of the operand, without axes of size 1 */
  uint32_t rank = 0;
  for (uint32_t i = 0; i < c->in.rank && !empty; i++) {
    if (c->in.dims[i] == 1) continue;
    dims[rank] = c->in.dims[i];
    strides[rank++] = c->in.strides[i];
  }
  memset(c->strides, 0, sizeof c->strides);
  for (uint32_t i = 0, o = 0; i < rank; i++) {
    while (out[o] == 1) o++;
    const uint32_t first = o;
    int64_t have = dims[i], want = out[o];
    while (have != want) {
      if (want < have) {
        want *= out[++o];
      } else {
        if (strides[i] != strides[i + 1] * dims[i + 1]) return false;
        have *= dims[++i];
      }
    }
    int64_t step = strides[i];
    for (uint32_t k = o + 1; k-- > first; step *= out[k]) c->strides[k] = step;
    o++;
  }
  return true;
}

bool view_strided(view_call *c, const int64_t *starts, const int64_t *steps) {
  const ir_type *t = view_type(c);
  for (uint32_t i = 0; i < t->rank; i++)
    if (t->dims[i] == 0) return view_same(c);
  for (uint32_t i = 0; i < t->rank; i++) {
    const int64_t step = t->dims[i] > 1 ? steps[i] : 1; /* else it may be any number */
    c->strides[i] = c->in.strides[i] * step;
    c->offset += c->in.strides[i] * starts[i];
  }
  return true;
}
