/* load/onnx_build.h: building a graph from an opened ONNX model: what nodes see, and sub-graphs. */
#ifndef LOAD_ONNX_BUILD_H
#define LOAD_ONNX_BUILD_H

#include "load/onnx_attrs.h"
#include "load/onnx_names.h"

typedef struct builder {
  onnx_model *m;
  rlx_graph *g; /* the one that is built: the main graph or a sub-graph */
  dim_names dims;
  uint64_t built;
} builder;

typedef struct body { /* what the nodes of one graph, sub-graph or function see */
  onnx_scope scope;
  const onnx_opsets *opsets;
  const onnx_attrs *attrs; /* of the call, NULL in the main graph */
  size_t depth;
  struct body *outer;       /* of a sub-graph: where its other names stand; else NULL */
  rlx_graph *outer_graph;   /* the graph of `outer`; not the one that is built: this is closed */
  onnx_captures *captures;  /* of a closed one */
  map sizes;                /* of a closed one: sizes of the outer graph -> its own */
  const pb_spans *nodes;
  size_t rest;      /* the first node after the one that is built */
  pb_spans outputs; /* names */
  bool ended;       /* the rest stands in the branches of an If, the outputs are bound */
} body;

/* The names of value infos. */
rlx_status build_outputs(const pb_spans *infos, arena *mem, pb_spans *out_names);
rlx_status build_initializer(builder *b, body *in, pb_span proto, arena *mem);
/* From node `first` on. */
rlx_status build_nodes(builder *b, body *in, const pb_spans *nodes, size_t first);
/* A name as the nodes of `in` see it, in g, the graph that they become nodes of. */
rlx_status build_find(rlx_graph *g, body *in, pb_span name, arena *mem, rlx_val *out_value);

/* Where a node with sub-graphs stands: the context of an onnx_reader, whose functions follow. */
typedef struct body_place {
  builder *b;
  body *in;
  const proto_node *node;
} body_place;
rlx_status body_splice(onnx_node *n, const onnx_body *of, const rlx_val *in, size_t n_in,
                       rlx_val *out, size_t n_out);
rlx_status body_close(onnx_node *n, const onnx_body *of, const ir_type *in, size_t n_in,
                      onnx_captures *captures, rlx_graph **out_graph);
rlx_status body_split(onnx_node *n, const onnx_body *then, const onnx_body *other);

#endif
