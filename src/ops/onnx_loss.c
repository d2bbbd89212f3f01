/* ops/onnx_loss.c: importers of losses: scores [N,C,d..] against class numbers [N,d..]. */
#include "ops/onnx.h"

/* What each element counts, from the weights of classes and the class that is ignored; RLX_NIL
 * where all count 1. `ignored` is RLX_NIL or a bool for each element. */
static rlx_val element_weights(const onnx_node *n, rlx_val like, rlx_val classes, rlx_val weights,
                               rlx_val ignored) {
  rlx_gather_attrs a = rlx_gather_init();
  rlx_val w = weights.id ? rlx_gather(n->g, weights, classes, &a) : RLX_NIL;
  if (!ignored.id) return w;
  return rlx_where(n->g, ignored, onnx_scalar(n, like, 0), w.id ? w : onnx_scalar(n, like, 1));
}

static rlx_val negative_log_likelihood(const onnx_node *n, rlx_val log_p, rlx_val classes,
                                       rlx_val weights) {
  static const int64_t class_axis[] = {1};
  rlx_graph *g = n->g;
  rlx_val ignored = RLX_NIL, zero = onnx_scalar(n, log_p, 0);
  classes = onnx_cast(n, classes, RLX_I64);
  if (onnx_find(n, "ignore_index")) { /* which need not be a class */
    double number = (double)onnx_int(n, "ignore_index", 0);
    ignored = rlx_eq(g, classes, onnx_scalar(n, classes, number));
    classes = rlx_where(g, ignored, onnx_scalar(n, classes, 0), classes);
  }
  rlx_unsqueeze_attrs add = rlx_unsqueeze_init();
  rlx_squeeze_attrs drop = rlx_squeeze_init();
  rlx_gather_elements_attrs pick = rlx_gather_elements_init();
  add.axes = drop.axes = (rlx_ints){class_axis, 1};
  pick.axis = 1;
  rlx_val picked = rlx_gather_elements(g, log_p, rlx_unsqueeze(g, classes, &add), &pick);
  rlx_val loss = rlx_neg(g, rlx_squeeze(g, picked, &drop));
  rlx_val w = element_weights(n, log_p, classes, weights, ignored);
  if (w.id) loss = rlx_mul(g, loss, w);
  if (ignored.id) loss = rlx_where(g, ignored, zero, loss); /* also where it is infinite */
  const char *reduction = onnx_string(n, "reduction", "mean");
  if (strcmp(reduction, "none") == 0) return loss;
  if (strcmp(reduction, "mean") == 0 && !w.id) return rlx_reduce_mean(g, loss, NULL);
  loss = rlx_reduce_sum(g, loss, NULL);
  return strcmp(reduction, "sum") == 0 ? loss : rlx_div(g, loss, rlx_reduce_sum(g, w, NULL));
}

rlx_status import_likelihood_loss(onnx_node *n) {
  n->out[0] = negative_log_likelihood(n, onnx_in(n, 0), onnx_in(n, 1), onnx_in(n, 2));
  return RLX_OK;
}

rlx_status import_cross_entropy_loss(onnx_node *n) {
  rlx_log_softmax_attrs a = rlx_log_softmax_init();
  a.axis = 1;
  rlx_val log_p = rlx_log_softmax(n->g, onnx_in(n, 0), &a);
  n->out[0] = negative_log_likelihood(n, log_p, onnx_in(n, 1), onnx_in(n, 2));
  if (n->n_out > 1) n->out[1] = log_p;
  return RLX_OK;
}
