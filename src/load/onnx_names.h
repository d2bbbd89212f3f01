/* load/onnx_names.h: the names of ONNX values and sizes, while a graph is built. */
#ifndef LOAD_ONNX_NAMES_H
#define LOAD_ONNX_NAMES_H

#include "ir/graph.h"
#include "load/onnx_proto.h"

/* The values of one graph or function body by name. Zero-initialise before use. */
typedef struct onnx_scope {
  arena mem;
  map values; /* name -> value id */
} onnx_scope;
/* Errors: RLX_ERROR_FORMAT if the name is taken or empty. */
rlx_status scope_bind(onnx_scope *s, pb_span name, rlx_val value);
/* Also binds an output that the importer of its node does not compute: using it is an error. */
rlx_status scope_bind_output(onnx_scope *s, pb_span name, rlx_val value);
bool scope_has(const onnx_scope *s, pb_span name, arena *scratch); /* an empty name: yes */
/* The value of that name; an empty name is RLX_NIL, absent.
 * Errors: RLX_ERROR_FORMAT for a name that is not bound (yet). */
rlx_status scope_find(const onnx_scope *s, pb_span name, arena *scratch, rlx_val *out_value);
void scope_free(onnx_scope *s);

/* Symbolic sizes: each dim_param of a model as a name that graphs allow, one for each. */
typedef struct dim_names {
  arena mem;
  map params; /* dim_param -> rlx_dim */
  map taken;  /* names given */
  uint32_t serial;
} dim_names;
/* Fills dims[axis]; those before it are the same input's. A name that stands twice in one shape is
 * an exporter's slip (MiniLM's inputs are [batch, batch]): the second gets a name of its own. */
rlx_status dim_names_get(dim_names *d, rlx_graph *g, pb_span dim, rlx_dim *dims, size_t axis);
void dim_names_free(dim_names *d);

#endif
