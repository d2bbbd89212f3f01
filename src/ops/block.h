/* ops/block.h: what every family file of operations includes.
 *
 * An operation is a row in ops.def and a block of hooks in its family's file:
 *
 *   RLX_BLOCK(softmax) = { .infer = infer_axis, .ref = softmax_ref, .lower = softmax_lower, ... };
 *
 * A row without a block fails to link, a block without a row fails to compile. */
#ifndef OPS_BLOCK_H
#define OPS_BLOCK_H

#include <rlx/ops.h>

#include "ir/graph.h"
#include "ops/expr.h"
#include "ops/infer.h"
#include "ops/lower.h"
#include "ops/ref.h"

#define LEAF(name, trait, attrs, doc) extern const ir_hooks hooks_##name;
#define OP0(name, in, out, traits, doc) extern const ir_hooks hooks_##name;
#define OP(name, in, out, traits, attrs, doc) extern const ir_hooks hooks_##name;
#include <rlx/ops.def>

#define RLX_BLOCK(name)                                                      \
  _Static_assert(sizeof(&hooks_##name) > 0, "the operation has a row");      \
  const ir_hooks hooks_##name

/* Why an operation has no gradient until autodiff exists. */
#define NO_GRAD_YET "its driver comes first"

/* Test cases cost nothing in a library built without them. */
#if RLX_SELFTEST
#define CASES(text) text
#else
#define CASES(text) NULL
#endif

#endif
