/* rlx/rlx.h: everything. */
#ifndef RLX_RLX_H
#define RLX_RLX_H

#include <rlx/dtype.h>
#include <rlx/exec.h>
#include <rlx/graph.h>
#include <rlx/model.h>
#include <rlx/ops.h>
#include <rlx/registry.h>
#include <rlx/runtime.h>
#include <rlx/status.h>
#include <rlx/tensor.h>

#endif
