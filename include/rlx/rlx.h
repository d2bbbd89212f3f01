/* rlx/rlx.h: everything. */
#ifndef RLX_RLX_H
#define RLX_RLX_H

#include <rlx/async.h>
#include <rlx/dtype.h>
#include <rlx/exec.h>
#include <rlx/explain.h>
#include <rlx/graph.h>
#include <rlx/model.h>
#include <rlx/models.h>
#include <rlx/ops.h>
#include <rlx/registry.h>
#include <rlx/runtime.h>
#include <rlx/status.h>
#include <rlx/tensor.h>
#include <rlx/text.h>
#include <rlx/trace.h>

#endif
