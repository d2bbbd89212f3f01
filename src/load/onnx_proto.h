/* load/onnx_proto.h: the messages of onnx.proto that the reader opens, as structs and tables for
 * pb_decode. Spans are opened by whoever needs them. */
#ifndef LOAD_ONNX_PROTO_H
#define LOAD_ONNX_PROTO_H

#include "load/pb.h"

typedef struct proto_model {
  pb_span graph;
  pb_spans opset_imports, functions;
} proto_model;

typedef struct proto_opset {
  pb_span domain;
  int64_t version;
} proto_opset;

typedef struct proto_graph {
  pb_span name;
  pb_spans nodes, initializers, sparse_initializers, inputs, outputs, value_infos;
} proto_graph;

typedef struct proto_function {
  pb_span name, domain, overload;
  pb_spans inputs, outputs, nodes, opset_imports, defaults; /* defaults: attributes with a value */
} proto_function;

typedef struct proto_node {
  pb_span name, op, domain, overload;
  pb_spans inputs, outputs, attrs;
} proto_node;

/* Values of AttributeProto.type that we take. */
enum {
  PROTO_FLOAT = 1,
  PROTO_INT = 2,
  PROTO_STRING = 3,
  PROTO_TENSOR = 4,
  PROTO_GRAPH = 5,
  PROTO_FLOATS = 6,
  PROTO_INTS = 7,
  PROTO_STRINGS = 8
};
typedef struct proto_attr {
  pb_span name, ref; /* ref: the function's attribute that stands here */
  int64_t type, i;
  float f;
  pb_span s, tensor, graph;
  pb_numbers floats, ints;
  pb_spans strings, graphs;
} proto_attr;

enum { PROTO_EXTERNAL = 1 }; /* of TensorProto.data_location */
typedef struct proto_tensor {
  pb_span name, raw, segment;
  int64_t dtype, location;
  pb_numbers dims, float_data, int32_data, int64_data, double_data, uint64_data;
  pb_spans external;
} proto_tensor;

typedef struct proto_entry {
  pb_span key, value;
} proto_entry;

typedef struct proto_value_info {
  pb_span name, type;
} proto_value_info;
typedef struct proto_type {
  pb_span tensor, sequence, map, optional, sparse; /* one of them */
} proto_type;
typedef struct proto_tensor_type {
  int64_t dtype;
  pb_span shape;
} proto_tensor_type;
typedef struct proto_shape {
  pb_spans dims;
} proto_shape;
#define PROTO_DIM_INIT {.value = -1} /* missing is told from 0 */
typedef struct proto_dim {
  int64_t value;
  pb_span param;
} proto_dim;

/* A proto_X is decoded with &proto_X_table. */
extern const pb_message proto_model_table, proto_opset_table, proto_graph_table,
    proto_function_table, proto_node_table, proto_attr_table, proto_tensor_table, proto_entry_table,
    proto_value_info_table, proto_type_table, proto_tensor_type_table, proto_shape_table,
    proto_dim_table;

#endif
