/* ops/ref.h: references: naive C on contiguous host tensors.
 *
 * A reference is slow and obviously right: element accessors of ir/tensor.h, sums in double, one
 * rounding. Operations of the trait MOVE copy whole elements as bytes. */
#ifndef OPS_REF_H
#define OPS_REF_H

#include "ir/op.h"
#include "ir/tensor.h"

/* One element, in the arithmetic of its kind. */
typedef struct ref_scalar {
  rlx_dtype_kind kind;
  union {
    double real;         /* FLOAT */
    int64_t sint;        /* INT */
    uint64_t uint;       /* UINT and BOOL */
    double complex cplx; /* COMPLEX */
  } v;
} ref_scalar;
ref_scalar ref_get(const rlx_tensor *t, int64_t i);
void ref_put(rlx_tensor *t, int64_t i, ref_scalar s);
ref_scalar ref_number(rlx_dtype dtype, double v); /* v, which the dtype's kind can hold */

/* The least value of a plain dtype, and for integers the first one above its range (both are exact
 * doubles); infinities for floats. */
double ref_lowest(rlx_dtype dtype);
double ref_above(rlx_dtype dtype);

/* A number that orders as the (real) element does, or the other way round; NaN is the largest in
 * both. */
uint64_t ref_order(const rlx_tensor *t, int64_t i, bool turned);

/* An operand, NULL if it is absent. */
static inline const rlx_tensor *ref_operand(const ref_call *c, size_t i) {
  return i < c->n_in ? c->in[i] : NULL;
}

/* Row-major walk: strides (in elements) of a shape; the index of coordinates; advancing them. */
void ref_strides(size_t rank, const int64_t *dims, int64_t *out_strides);
bool ref_next(size_t rank, const int64_t *dims, int64_t *coord); /* false after the last */
/* Where element `coord` of a tensor of rank `rank` lies in `t`, which is broadcast to it. */
int64_t ref_broadcast_index(const rlx_tensor *t, size_t rank, const int64_t *coord);
/* Elements in axes of these sizes. */
int64_t ref_product(const int64_t *sizes, size_t n);
/* Copies one element as bytes; all of a tensor of the same dtype and count. */
void ref_copy(rlx_tensor *to, int64_t i, const rlx_tensor *from, int64_t j);
void ref_copy_all(rlx_tensor *to, const rlx_tensor *from);
/* Elements before, along and after an axis: t viewed as [outer, n, inner]. */
void ref_around(const rlx_tensor *t, int64_t axis, int64_t *outer, int64_t *n, int64_t *inner);
/* The first element of lane `lane` (below outer * inner) of that view; they are `inner` apart. */
static inline int64_t ref_lane(int64_t lane, int64_t n, int64_t inner) {
  return lane / inner * n * inner + lane % inner;
}
/* Index value wrapped into [0, n); RLX_ERROR_INDEX with the sentence if it is out of range. */
rlx_status ref_index(int64_t index, int64_t n, int64_t *out_index);

/* Evaluates one operation: infers the output types, allocates, calls `ref`. Used by the folder, the
 * reference device and the tests. outs[i] receive owned references. */
rlx_status ref_eval(const ir_op *op, const void *attrs, rlx_tensor *const *in, size_t n_in,
                    rlx_tensor **outs, size_t n_outs);

#endif
