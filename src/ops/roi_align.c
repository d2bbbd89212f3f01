/* ops/roi_align.c: pooling of boxes of an image whose edges lie between pixels.
 *
 * A box [x1,y1,x2,y2] is cut into height x width bins; each bin is the mean (or the maximum) of
 * samples, each blended from the four pixels around it. Laws: samples more than a pixel outside of
 * the image are 0; the maximum is over the weighted pixels, not over blends, as ONNX has it. */
#include <math.h>

#include "ops/index.h"

/* Samples along an axis of a bin at most: boxes may say anything. */
enum { MAX_SAMPLES = 1 << 12 };

static rlx_status roi_align_infer(ir_infer *c) {
  const rlx_roi_align_attrs *a = c->attrs;
  const ir_type *x = &c->in[0], *boxes = &c->in[1];
  RLX_TRY(infer_kinds(c, 0, KINDS_FLOAT));
  RLX_TRY(infer_same_dtype(c, 0, 1));
  RLX_TRY(infer_rank(c, 0, 4, 4));
  RLX_TRY(infer_rank(c, 1, 2, 2));
  RLX_TRY(infer_rank(c, 2, 1, 1));
  RLX_TRY(index_infer(c, 2, x->dims[0]));
  if (infer_differ(boxes->dims[1], 4) || infer_differ(boxes->dims[0], c->in[2].dims[0]))
    return infer_fail(c, RLX_ERROR_SHAPE, "wanted boxes [n,4] and indices [n]");
  if (a->height < 0 || a->width < 0 || a->samples < 0 || a->samples > MAX_SAMPLES)
    return infer_fail(c, RLX_ERROR_ARGUMENT,
                      "height, width and samples must be from 0, samples to %d", MAX_SAMPLES);
  rlx_dim *dims;
  RLX_TRY(infer_result(c, x->dtype, 4, &dims));
  dims[0] = infer_either(boxes->dims[0], c->in[2].dims[0]);
  dims[1] = x->dims[1];
  dims[2] = a->height;
  dims[3] = a->width;
  return RLX_OK;
}

/* One axis of a box: where it starts, how long a bin is, how many samples a bin has. */
typedef struct side {
  double start, bin;
  int64_t samples;
} side;

static rlx_status side_of(ref_call *c, int64_t box, int64_t axis, int64_t bins, side *out) {
  const rlx_roi_align_attrs *a = c->attrs;
  const double shift = a->half_pixel ? 0.5 : 0;
  const double end = tensor_real(c->in[1], box * 4 + axis + 2) * a->scale - shift;
  out->start = tensor_real(c->in[1], box * 4 + axis) * a->scale - shift;
  double length = end - out->start;
  if (!a->half_pixel) length = fmax(length, 1);
  out->bin = length / (double)bins;
  const double samples = a->samples ? (double)a->samples : fmax(ceil(out->bin), 0);
  if (!(samples <= MAX_SAMPLES))
    return status_set(RLX_ERROR_LIMIT, "box %lld has %g samples in a row of a bin, the limit is %d",
                      (long long)box, samples, MAX_SAMPLES);
  out->samples = (int64_t)samples;
  return RLX_OK;
}

/* The pixels before and after a sample and the part of the second; false: it is outside. */
typedef struct between {
  int64_t low, high;
  double part;
} between;

static bool find_pixels(const side *s, int64_t bin, int64_t sample, int64_t size, between *out) {
  double at = s->start + s->bin * ((double)bin + ((double)sample + 0.5) / (double)s->samples);
  if (size == 0 || !(at >= -1 && at <= (double)size)) return false;
  at = fmin(fmax(at, 0), (double)size - 1);
  out->low = (int64_t)at;
  out->high = out->low + (out->low < size - 1);
  out->part = at - (double)out->low;
  return true;
}

/* One element of the output: bin (row, column) of a box in one channel, which begins at `base`. */
static double pool_bin(ref_call *c, const side *y, const side *x, int64_t base, int64_t row,
                       int64_t column) {
  const rlx_tensor *image = c->in[0];
  const bool mean = !ATTRS(roi_align)->max;
  const int64_t width = image->dims[3];
  double sum = 0, max = -INFINITY;
  for (int64_t i = 0; i < y->samples; i++) {
    for (int64_t k = 0; k < x->samples; k++) {
      between v = {0}, h = {0};
      const bool inside =
          find_pixels(y, row, i, image->dims[2], &v) && find_pixels(x, column, k, width, &h);
      for (int corner = 0; corner < 4; corner++) {
        const bool down = corner & 2, right = corner & 1;
        const int64_t at = base + (down ? v.high : v.low) * width + (right ? h.high : h.low);
        const double weight = (down ? v.part : 1 - v.part) * (right ? h.part : 1 - h.part);
        const double term = inside ? weight * tensor_real(image, at) : 0;
        sum += term;
        max = fmax(max, term);
      }
    }
  }
  const int64_t count = y->samples * x->samples;
  return count == 0 ? 0 : mean ? sum / (double)count : max;
}

static rlx_status roi_align_ref(ref_call *c) {
  const rlx_roi_align_attrs *a = c->attrs;
  const int64_t *d = c->in[0]->dims;
  int64_t o = 0;
  for (int64_t box = 0; box < c->in[1]->dims[0]; box++) {
    int64_t image;
    side y, x;
    RLX_TRY(ref_index(tensor_int(c->in[2], box), d[0], &image));
    RLX_TRY(side_of(c, box, 1, a->height, &y));
    RLX_TRY(side_of(c, box, 0, a->width, &x));
    for (int64_t channel = 0; channel < d[1]; channel++)
      for (int64_t row = 0; row < a->height; row++)
        for (int64_t column = 0; column < a->width; column++)
          tensor_set_real(c->out[0], o++,
                          pool_bin(c, &y, &x, (image * d[1] + channel) * d[2] * d[3], row, column));
  }
  return RLX_OK;
}

RLX_BLOCK(roi_align) = {
    .infer = roi_align_infer,
    .ref = roi_align_ref,
    .no_lower = "how many samples it takes depends on the boxes",
    .no_grad = NO_GRAD_YET,
    .cases = CASES(
        "f32[2,3,8,9], f32[3,4]{0:8}, i64[3]{0,1,-1} height=2 width=3;"
        "f32[2,3,8,9], f32[3,4]{0:16}, i64[3]{0:2} height=2 width=2 samples=2 scale=0.5;"
        "f32[1,2,8,9], f32[2,4]{1,1,7,6,0,2,3,9}, i32[2]{0,0} height=3 width=2 half_pixel=true;"
        "f32[1,2,8,9], f32[2,4]{1,1,7,6,0,2,3,9}, i64[2]{0,0} height=3 width=2 max=true samples=2;"
        "f32[1,1,4,4], f32[1,4]{-9,-9,20,20}, i64[1]{0} height=2 width=2;"
        "f32[1,1,4,4], f32[1,4]{3,3,1,1}, i64[1]{0} height=2 width=2 half_pixel=true;"
        "f64[1,1,4,4], f64[1,4]{0,0,3,3}, i64[1]{0}; f16[1,1,4,4], f16[1,4]{0,0,3,3}, i64[1]{0};"
        "f32[1,1,0,4], f32[1,4]{0,0,3,3}, i64[1]{0}; f32[1,1,4,4], f32[0,4], i64[0];"
        "f32[1,1,4,4], f32[1,4]{0,0,1e30,3}, i64[1]{0} !limit;"
        "f32[1,1,4,4], f32[1,4]{0,0,nan,3}, i64[1]{0} half_pixel=true;"
        "f32[1,1,4,4], f32[1,4], i64[1]{1} !index; f32[1,1,4,4], f32[1,5], i64[1]{0} !shape;"
        "f32[1,1,4,4], f32[2,4], i64[1]{0} !shape; f32[1,1,4,4], f32[1,4], i64[1]{0} samples=-1 "
        "!argument; i32[1,1,4,4], i32[1,4], i64[1]{0} !dtype; f32[1,4,4], f32[1,4], i64[1]{0} "
        "!shape"),
};
