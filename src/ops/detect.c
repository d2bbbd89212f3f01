/* ops/detect.c: what detectors do with boxes: non_max_suppression. */
#include <math.h>
#include <stdlib.h>

#include "ops/block.h"

/* An operand of one element, which may be absent. */
static rlx_status infer_one(ir_infer *c, size_t i, unsigned kinds) {
  if (!c->val[i].id) return RLX_OK;
  RLX_TRY(infer_kinds(c, i, kinds));
  RLX_TRY(infer_rank(c, i, 0, 1));
  if (c->in[i].rank && infer_differ(c->in[i].dims[0], 1))
    return infer_fail(c, RLX_ERROR_SHAPE, "operand %zu has %lld elements, wanted 1", i,
                      (long long)c->in[i].dims[0]);
  return RLX_OK;
}

static rlx_status non_max_suppression_infer(ir_infer *c) {
  const ir_type *boxes = &c->in[0], *scores = &c->in[1];
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_same_dtype(c, 0, 1));
  RLX_TRY(infer_rank(c, 0, 3, 3));
  RLX_TRY(infer_rank(c, 1, 3, 3));
  for (size_t i = 2; i < c->n_in; i++) RLX_TRY(infer_one(c, i, i == 2 ? KINDS_INT : KINDS_FLOAT));
  if (infer_differ(boxes->dims[2], 4) || infer_differ(boxes->dims[0], scores->dims[0]) ||
      infer_differ(boxes->dims[1], scores->dims[2]))
    return infer_fail(c, RLX_ERROR_SHAPE, "wanted boxes [N,M,4] and scores [N,C,M]");
  rlx_dim *dims;
  RLX_TRY(infer_result(c, RLX_I64, 2, &dims));
  dims[0] = dim_fresh(&c->g->dims);
  dims[1] = 3;
  return RLX_OK;
}

typedef struct box {
  double low[2], high[2];
} box;

static box box_at(const rlx_tensor *boxes, int64_t i, bool center) {
  box b;
  for (int64_t k = 0; k < 2; k++) {
    double p = tensor_real(boxes, 4 * i + k), q = tensor_real(boxes, 4 * i + 2 + k);
    if (center) {
      const double half = q / 2;
      q = p + half;
      p -= half;
    }
    b.low[k] = fmin(p, q);
    b.high[k] = fmax(p, q);
  }
  return b;
}

static double box_area(box b) { return (b.high[0] - b.low[0]) * (b.high[1] - b.low[1]); }

/* Common area over the area of both together; boxes without area overlap nothing. */
static double overlap(box a, box b) {
  box both;
  for (int k = 0; k < 2; k++) {
    both.low[k] = fmax(a.low[k], b.low[k]);
    both.high[k] = fmin(a.high[k], b.high[k]);
    if (!(both.high[k] > both.low[k])) return 0;
  }
  const double common = box_area(both);
  return common / (box_area(a) + box_area(b) - common);
}

/* What the operands say about which boxes stay. */
typedef struct nms {
  const rlx_tensor *boxes, *scores;
  bool center;
  int64_t limit;
  double overlap, score;
} nms;

typedef struct candidate {
  double score;
  int64_t index;
} candidate;

static int compare_candidates(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

/* The boxes of one class that stay, best first, moved to the front of `list`. */
static int64_t suppress(const nms *s, const box *boxes, candidate *list, int64_t n) {
  int64_t kept = 0;
  qsort(list, (size_t)n, sizeof *list, compare_candidates);
  for (int64_t i = 0; i < n && kept < s->limit; i++) {
    bool alone = true;
    for (int64_t k = 0; k < kept && alone; k++)
      alone = !(overlap(boxes[list[i].index], boxes[list[k].index]) > s->overlap);
    if (alone) list[kept++] = list[i];
  }
  return kept;
}

typedef struct selection {
  int64_t batch, class, box;
} selection;
typedef VEC(selection) selections;

/* All classes of one image; room for its boxes in `boxes` and `list`. */
static rlx_status suppress_image(const nms *s, int64_t batch, box *boxes, candidate *list,
                                 selections *out) {
  const int64_t classes = s->scores->dims[1], n = s->scores->dims[2];
  for (int64_t i = 0; i < n; i++) boxes[i] = box_at(s->boxes, batch * n + i, s->center);
  for (int64_t class = 0; class < classes; class++) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
      const double score = tensor_real(s->scores, (batch * classes + class) * n + i);
      if (score > s->score) list[count++] = (candidate){score, i};
    }
    count = suppress(s, boxes, list, count);
    for (int64_t i = 0; i < count; i++) {
      const selection kept = {batch, class, list[i].index};
      if (!vec_push(out, kept)) return status_memory(sizeof kept);
    }
  }
  return RLX_OK;
}

static rlx_status non_max_suppression_ref(ref_call *c) {
  const rlx_tensor *limit = ref_operand(c, 2), *most = ref_operand(c, 3);
  const rlx_tensor *least = ref_operand(c, 4);
  const nms s = {.boxes = c->in[0],
                 .scores = c->in[1],
                 .center = ATTRS(non_max_suppression)->center,
                 .limit = limit ? tensor_int(limit, 0) : 0,
                 .overlap = most ? tensor_real(most, 0) : 0,
                 .score = least ? tensor_real(least, 0) : -INFINITY};
  const size_t n = (size_t)s.scores->dims[2];
  box *boxes = mem_new(n + 1, sizeof *boxes);
  candidate *list = mem_new(n + 1, sizeof *list);
  selections kept = {0};
  rlx_status status = boxes && list ? RLX_OK : status_memory(n * sizeof *boxes);
  for (int64_t b = 0; b < s.scores->dims[0] && status == RLX_OK; b++)
    status = suppress_image(&s, b, boxes, list, &kept);
  if (status == RLX_OK)
    status = rlx_tensor_create(RLX_I64, 2, (int64_t[]){(int64_t)kept.n, 3}, &c->out[0]);
  for (size_t i = 0; i < kept.n && status == RLX_OK; i++) {
    const int64_t row = 3 * (int64_t)i;
    tensor_set_int(c->out[0], row, kept.data[i].batch);
    tensor_set_int(c->out[0], row + 1, kept.data[i].class);
    tensor_set_int(c->out[0], row + 2, kept.data[i].box);
  }
  mem_free(boxes);
  mem_free(list);
  vec_free(&kept);
  return status;
}

RLX_BLOCK(non_max_suppression) = {
    .infer = non_max_suppression_infer,
    .ref = non_max_suppression_ref,
    .no_grad = "its result is an index",
    .cases = CASES(
        "f32[1,9,4], f32[1,2,9], i64[]{4}, f32[]{0.1};"
        "f32[2,9,4], f32[2,3,9], i64[1]{9}, f32[1]{0.2}, f32[1]{0.1};"
        "f32[2,9,4]{0:1}, f32[2,1,9], i32[]{9}, f32[]{0.3} center=true;"
        "f16[1,5,4], f16[1,1,5], i64[]{2};"
        "f32[1,3,4]{0,0,1,1,1,1,0,0,0,0,1,3}, f32[1,1,3]{1,1,nan}, i64[]{3}, f32[]{0.5},"
        "f32[]{-inf};"
        "f32[1,3,4], f32[1,1,3], i64[]{3}, _, f32[]{0}; f32[1,3,4], f32[1,1,3];"
        "f32[0,3,4], f32[0,1,3], i64[]{1}; f64[1,0,4], f64[1,2,0], i64[]{1};"
        "f32[1,3,4], f32[1,1,2] !shape; f32[1,3,5], f32[1,1,3] !shape; f32[3,4], f32[1,1,3] !shape;"
        "f32[1,3,4], f16[1,1,3] !dtype; i32[1,3,4], i32[1,1,3] !dtype;"
        "f32[1,3,4], f32[1,1,3], f32[] !dtype; f32[1,3,4], f32[1,1,3], i64[2] !shape"),
};
