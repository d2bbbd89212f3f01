/* ops/ref.c: what references share, and the evaluation of one operation on host tensors. */
#include "ops/ref.h"

#include <math.h>
#include <string.h>

#include "cpu/kernels.h"
#include "ir/graph.h"

ref_scalar ref_get(const rlx_tensor *t, int64_t i) {
  ref_scalar s = {.kind = dtype_kind(t->dtype)};
  if (s.kind == RLX_KIND_COMPLEX)
    s.v.cplx = tensor_complex(t, i);
  else if (s.kind == RLX_KIND_FLOAT)
    s.v.real = tensor_real(t, i);
  else
    s.v.sint = tensor_int(t, i);
  return s;
}

void ref_put(rlx_tensor *t, int64_t i, ref_scalar s) {
  if (s.kind == RLX_KIND_COMPLEX)
    tensor_set_complex(t, i, s.v.cplx);
  else if (s.kind == RLX_KIND_FLOAT)
    tensor_set_real(t, i, s.v.real);
  else
    tensor_set_int(t, i, s.v.sint);
}

ref_scalar ref_number(rlx_dtype dtype, double v) {
  ref_scalar s = {.kind = dtype_kind(dtype)};
  if (s.kind == RLX_KIND_COMPLEX)
    s.v.cplx = v;
  else if (s.kind == RLX_KIND_FLOAT)
    s.v.real = v;
  else if (s.kind == RLX_KIND_INT)
    s.v.sint = (int64_t)v;
  else
    s.v.uint = (uint64_t)v;
  return s;
}

static int value_bits(rlx_dtype dtype) {
  rlx_dtype_kind kind = dtype_kind(dtype);
  if (kind == RLX_KIND_BOOL) return 1;
  return 8 * (int)dtype_bytes(dtype) - (kind == RLX_KIND_INT);
}

double ref_lowest(rlx_dtype dtype) {
  rlx_dtype_kind kind = dtype_kind(dtype);
  if (kind == RLX_KIND_FLOAT) return -INFINITY;
  return kind == RLX_KIND_INT ? -ldexp(1, value_bits(dtype)) : 0;
}

double ref_above(rlx_dtype dtype) {
  return dtype_kind(dtype) == RLX_KIND_FLOAT ? INFINITY : ldexp(1, value_bits(dtype));
}

uint64_t ref_order(const rlx_tensor *t, int64_t i, bool turned) {
  const uint64_t top = (uint64_t)1 << 63;
  ref_scalar s = ref_get(t, i);
  uint64_t key = s.v.uint;
  if (s.kind == RLX_KIND_INT) key ^= top;
  if (s.kind == RLX_KIND_FLOAT) {
    double v = s.v.real + 0.0; /* -0 becomes 0 */
    if (isnan(v)) return UINT64_MAX;
    memcpy(&key, &v, sizeof key);
    key = key & top ? ~key : key | top;
  }
  return turned ? ~key : key;
}

void ref_strides(size_t rank, const int64_t *dims, int64_t *out_strides) {
  int64_t step = 1;
  for (size_t i = rank; i-- > 0;) {
    out_strides[i] = step;
    step *= dims[i];
  }
}

bool ref_next(size_t rank, const int64_t *dims, int64_t *coord) {
  for (size_t i = rank; i-- > 0;) {
    if (++coord[i] < dims[i]) return true;
    coord[i] = 0;
  }
  return false;
}

int64_t ref_broadcast_index(const rlx_tensor *t, size_t rank, const int64_t *coord) {
  int64_t index = 0;
  for (size_t i = 0; i < t->rank; i++) {
    int64_t at = t->dims[i] == 1 ? 0 : coord[rank - t->rank + i];
    index = index * t->dims[i] + at;
  }
  return index;
}

int64_t ref_product(const int64_t *sizes, size_t n) {
  int64_t product = 1;
  for (size_t i = 0; i < n; i++) product *= sizes[i];
  return product;
}

void ref_copy(rlx_tensor *to, int64_t i, const rlx_tensor *from, int64_t j) {
  size_t bytes = dtype_bytes(from->dtype);
  memcpy((char *)to->data + (size_t)i * bytes, (const char *)from->data + (size_t)j * bytes, bytes);
}

void ref_copy_all(rlx_tensor *to, const rlx_tensor *from) {
  if (from->bytes) memcpy(to->data, from->data, from->bytes);
}

void ref_around(const rlx_tensor *t, int64_t axis, int64_t *outer, int64_t *n, int64_t *inner) {
  *outer = ref_product(t->dims, (size_t)axis);
  *n = t->dims[axis];
  *inner = ref_product(t->dims + axis + 1, t->rank - (size_t)axis - 1);
}

rlx_status ref_index(int64_t index, int64_t n, int64_t *out_index) {
  return index_wrap(index, n, out_index);
}

/* The node of `op` on constants, in a graph of its own: the inference is the graph's. */
static rlx_status ref_node(rlx_graph *g, const ir_op *op, const void *attrs, rlx_tensor *const *in,
                           size_t n_in, size_t n_outs, const ir_node **out_node) {
  rlx_val *vals = arena_new(&g->mem, n_in + 1, sizeof *vals);
  if (!vals) return status_memory((n_in + 1) * sizeof *vals);
  for (size_t i = 0; i < n_in; i++) vals[i] = in[i] ? rlx_constant(g, in[i]) : RLX_NIL;
  rlx_val first = graph_add(g, op, vals, n_in, attrs, NULL, 0);
  RLX_TRY(g->status);
  const ir_node *n = graph_node_of(g, first);
  if (n->n_out != n_outs)
    return status_set(RLX_ERROR_INTERNAL, "%s has %u outputs, asked for %zu", op->name,
                      (unsigned)n->n_out, n_outs);
  *out_node = n;
  return RLX_OK;
}

/* Allocates the node's outputs and calls the reference. */
static rlx_status ref_run(const rlx_graph *g, const ir_node *n, rlx_tensor *const *in,
                          rlx_tensor **outs) {
  for (uint32_t i = 0; i < n->n_out; i++) {
    const ir_type *t = &graph_value(g, rlx_nth(n->out, i))->type;
    int64_t dims[RLX_MAX_RANK];
    const bool known = type_sizes(t, dims);
    if (!known && n->op->traits & IR_DATA) continue; /* the reference will know */
    if (!known)
      return status_set(RLX_ERROR_SHAPE, "output %u of %s has no known size", (unsigned)i,
                        n->op->name);
    RLX_TRY(rlx_tensor_create(t->dtype, t->rank, dims, &outs[i]));
  }
  ref_call c = {n->op, n->attrs, in, n->n_in, outs, n->n_out};
  return n->op->hooks->ref(&c);
}

rlx_status ref_eval(const ir_op *op, const void *attrs, rlx_tensor *const *in, size_t n_in,
                    rlx_tensor **outs, size_t n_outs) {
  for (size_t i = 0; i < n_outs; i++) outs[i] = NULL;
  if (!op->hooks->ref)
    return status_set(RLX_ERROR_UNSUPPORTED, "%s has no reference: %s", op->name,
                      op->hooks->no_ref ? op->hooks->no_ref : "not written");
  rlx_graph *g;
  RLX_TRY(rlx_graph_create(NULL, &g));
  const ir_node *node = NULL;
  rlx_status status;
  RLX_TRY_OR_FAIL(ref_node(g, op, attrs, in, n_in, n_outs, &node));
  RLX_TRY_OR_FAIL(ref_run(g, node, in, outs));
  rlx_graph_free(g);
  return RLX_OK;
fail:
  for (size_t i = 0; i < n_outs; i++) {
    rlx_tensor_free(outs[i]);
    outs[i] = NULL;
  }
  rlx_graph_free(g);
  return status;
}
