/* ops/select.c: operations that keep some of their operand: nonzero, compress, unique.
 *
 * Laws: how much is kept depends on elements, so that the size is a fresh name until the run, and
 * the reference, which is what runs, allocates the results. */
#include <stdlib.h>
#include <string.h>

#include "ops/block.h"

/* Output 0: like operand 0, with a fresh size along the axis. */
static rlx_status infer_some_of(ir_infer *c, int64_t axis) {
  const ir_type *x = &c->in[0];
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, x->rank, &dims));
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = i == axis ? dim_fresh(&c->g->dims) : x->dims[i];
  return RLX_OK;
}

/* The slices `places` of x along an axis. */
static rlx_status take_slices(const rlx_tensor *x, int64_t axis, const int64_t *places, int64_t n,
                              rlx_tensor **out) {
  int64_t outer, all, inner, dims[RLX_MAX_RANK];
  ref_around(x, axis, &outer, &all, &inner);
  memcpy(dims, x->dims, x->rank * sizeof *dims);
  dims[axis] = n;
  RLX_TRY(rlx_tensor_create(x->dtype, x->rank, dims, out));
  const size_t bytes = (size_t)inner * dtype_bytes(x->dtype);
  const char *from = x->data;
  char *to = (*out)->data;
  for (int64_t o = 0; o < outer && bytes; o++)
    for (int64_t i = 0; i < n; i++, to += bytes)
      memcpy(to, from + (size_t)(o * all + places[i]) * bytes, bytes);
  return RLX_OK;
}

/* --- nonzero */

static rlx_status nonzero_infer(ir_infer *c) {
  RLX_TRY(infer_kinds(c, 0, KINDS_PLAIN));
  rlx_dim *dims;
  RLX_TRY(infer_result(c, RLX_I64, 2, &dims));
  dims[0] = c->in[0].rank;
  dims[1] = dim_fresh(&c->g->dims);
  return RLX_OK;
}

static bool is_zero(const rlx_tensor *t, int64_t i) {
  const ref_scalar s = ref_get(t, i);
  if (s.kind == RLX_KIND_COMPLEX) return s.v.cplx == 0;
  return s.kind == RLX_KIND_FLOAT ? s.v.real == 0 : s.v.uint == 0;
}

static rlx_status nonzero_ref(ref_call *c) {
  const rlx_tensor *x = c->in[0];
  int64_t n = 0, coord[RLX_MAX_RANK] = {0};
  for (int64_t i = 0; i < x->count; i++) n += !is_zero(x, i);
  RLX_TRY(rlx_tensor_create(RLX_I64, 2, (int64_t[]){x->rank, n}, &c->out[0]));
  for (int64_t i = 0, place = 0; i < x->count; i++) {
    const bool kept = !is_zero(x, i);
    for (uint32_t k = 0; k < x->rank && kept; k++)
      tensor_set_int(c->out[0], k * n + place, coord[k]);
    place += kept;
    ref_next(x->rank, x->dims, coord);
  }
  return RLX_OK;
}

RLX_BLOCK(nonzero) = {
    .infer = nonzero_infer,
    .ref = nonzero_ref,
    .no_grad = "its result is an index",
    .onnx = "NonZero-9",
    .cases = CASES("f32[5]{0,-0.0,nan,2,-inf}; i8[2,3]{0,1,0,-1,0,3}; bool[2,2,3]; u64[4];"
                   "c64[2]{0:0,0:1}; f16[3,1]; bf16[7]; f64[2,2]; i64[0]; i32[2,0]; bool[]{1};"
                   "f32[3]{0,0,0}"),
};

/* --- compress */

static rlx_status compress_infer(ir_infer *c) {
  int64_t *axis = &OWN_ATTRS(compress)->axis;
  RLX_TRY(infer_along(c, axis, KINDS_PLAIN));
  RLX_TRY(infer_kinds(c, 1, KINDS_BOOL));
  RLX_TRY(infer_rank(c, 1, 1, 1));
  const rlx_dim have = c->in[0].dims[*axis], n = c->in[1].dims[0];
  if (infer_differ(n, have) && n > have)
    return infer_fail(c, RLX_ERROR_SHAPE, "%lld conditions for an axis of %lld elements",
                      (long long)n, (long long)have);
  return infer_some_of(c, *axis);
}

static rlx_status compress_ref(ref_call *c) {
  const rlx_tensor *keep = c->in[1];
  int64_t *places = mem_new((size_t)keep->count + 1, sizeof *places), n = 0;
  if (!places) return status_memory((size_t)keep->count * sizeof *places);
  for (int64_t i = 0; i < keep->count; i++)
    if (tensor_int(keep, i)) places[n++] = i;
  const rlx_status status = take_slices(c->in[0], ATTRS(compress)->axis, places, n, &c->out[0]);
  mem_free(places);
  return status;
}

RLX_BLOCK(compress) = {
    .infer = compress_infer,
    .ref = compress_ref,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[4], bool[4]{0,1,1,0}; f32[3,4], bool[2]{0,1}; i8[3,4,2], bool[4] axis=1;"
                   "c64[2,3], bool[3]{1,0,1} axis=-1; u16[3], bool[0]; f32[2,0], bool[2]{1,0};"
                   "f64[3], bool[3]{0,0,0}; f32[3], bool[4] !shape; f32[3], i8[3] !dtype;"
                   "f32[], bool[1] !shape; f32[3], bool[3,1] !shape; "
                   "f32[3], bool[3] axis=1 !shape"),
};

/* --- unique */

static rlx_status unique_infer(ir_infer *c) {
  int64_t *axis = &OWN_ATTRS(unique)->axis;
  RLX_TRY(infer_along(c, axis, KINDS_NUMBER | KINDS_BOOL));
  RLX_TRY(infer_some_of(c, *axis));
  const ir_type places = {RLX_I64, 1, &c->out[0].dims[*axis]};
  c->out[1] = c->out[3] = places;
  c->out[2] = (ir_type){RLX_I64, 1, &c->in[0].dims[*axis]};
  return RLX_OK;
}

/* One slice of the operand, its elements as numbers of the same order. */
typedef struct slice_entry {
  const uint64_t *keys;
  int64_t width, place;
} slice_entry;

static int compare_keys(const slice_entry *x, const slice_entry *y) {
  for (int64_t i = 0; i < x->width; i++)
    if (x->keys[i] != y->keys[i]) return x->keys[i] < y->keys[i] ? -1 : 1;
  return 0;
}

static int compare_slices(const void *a, const void *b) {
  const slice_entry *x = a, *y = b;
  const int order = compare_keys(x, y);
  return order ? order : (x->place > y->place) - (x->place < y->place);
}

static int compare_places(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* keys [n, outer * inner] of x [outer, n, inner], and the slices in order. */
static void sort_slices(const rlx_tensor *x, int64_t axis, uint64_t *keys, slice_entry *slices) {
  int64_t outer, n, inner;
  ref_around(x, axis, &outer, &n, &inner);
  const int64_t width = outer * inner;
  for (int64_t i = 0; i < n; i++) {
    slices[i] = (slice_entry){keys + i * width, width, i};
    for (int64_t k = 0; k < width; k++)
      keys[i * width + k] = ref_order(x, ref_lane(k, n, inner) + i * inner, false);
  }
  qsort(slices, (size_t)n, sizeof *slices, compare_slices);
}

/* Where the groups of equal slices begin in the operand, sorted by the group's slice or, if not
 * `sorted`, by that place; first_of[i]: where slice i's group begins. Returns the groups' count. */
static int64_t find_groups(const slice_entry *slices, int64_t n, bool sorted, int64_t *firsts,
                           int64_t *first_of) {
  int64_t groups = 0;
  for (int64_t i = 0; i < n; i++) {
    if (i == 0 || compare_keys(&slices[i - 1], &slices[i]) != 0) firsts[groups++] = slices[i].place;
    first_of[slices[i].place] = firsts[groups - 1];
  }
  if (!sorted) qsort(firsts, (size_t)groups, sizeof *firsts, compare_places);
  return groups;
}

/* Outputs 1 to 3; `group_at` is scratch for n numbers. */
static rlx_status count_groups(ref_call *c, const int64_t *firsts, int64_t groups,
                               const int64_t *first_of, int64_t *group_at) {
  for (size_t i = 1; i < 4; i += 2)
    RLX_TRY(rlx_tensor_create(RLX_I64, 1, &groups, &c->out[i]));
  int64_t *counts = c->out[3]->data;
  for (int64_t i = 0; i < groups; i++) {
    tensor_set_int(c->out[1], i, firsts[i]);
    group_at[firsts[i]] = i;
  }
  for (int64_t i = 0; i < c->out[2]->count; i++) {
    const int64_t group = group_at[first_of[i]];
    tensor_set_int(c->out[2], i, group);
    counts[group]++;
  }
  return RLX_OK;
}

static rlx_status unique_ref(ref_call *c) {
  const rlx_unique_attrs *a = c->attrs;
  const rlx_tensor *x = c->in[0];
  const int64_t n = x->dims[a->axis];
  const size_t room = (size_t)n + 1;
  uint64_t *keys = mem_new((size_t)x->count + 1, sizeof *keys);
  slice_entry *slices = mem_new(room, sizeof *slices);
  int64_t *firsts = mem_new(3 * room, sizeof *firsts);
  rlx_status status = keys && slices && firsts ? RLX_OK : status_memory(room * sizeof *slices);
  if (status == RLX_OK) {
    sort_slices(x, a->axis, keys, slices);
    const int64_t groups = find_groups(slices, n, a->sorted, firsts, firsts + n);
    status = take_slices(x, a->axis, firsts, groups, &c->out[0]);
    if (status == RLX_OK) status = count_groups(c, firsts, groups, firsts + n, firsts + 2 * n);
  }
  mem_free(keys);
  mem_free(slices);
  mem_free(firsts);
  return status;
}

RLX_BLOCK(unique) = {
    .infer = unique_infer,
    .ref = unique_ref,
    .no_grad = NO_GRAD_YET,
    .cases = CASES("f32[6]{2,1,1,3,4,3}; i64[3]{0,1,2}; f32[6]{2,1,1,3,4,3} sorted=false; i64[9];"
                   "u8[20] sorted=false; f32[6]{nan,-0.0,0,nan,inf,-inf}; i32[3,3]{1,0,0,1,0,0,2,3,4};"
                   "bool[2,9] axis=1; i8[2,4,2]{1,1,0,1,2,1,0,1,1,1,0,1,2,1,0,1} axis=1; f16[4]; bf16[3,2] axis=-1;"
                   "f64[0]; f32[3,0]; i16[0,3] axis=1; f32[] !shape; c64[3] !dtype;"
                   "f32[3] axis=1 !shape"),
};
