/* ops/norm.h: what a batch norm comes to, for who puts it into other operations. */
#ifndef OPS_NORM_H
#define OPS_NORM_H

#include <rlx/graph.h>

/* batch_norm is x a + b; a and b per channel from scale, bias, mean and variance, in this order. */
void norm_affine(rlx_graph *g, const rlx_val *scale_bias_mean_variance, double eps, rlx_val *out_a,
                 rlx_val *out_b);

#endif
