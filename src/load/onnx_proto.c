/* load/onnx_proto.c: field numbers and kinds, after onnx.proto. */
#include "load/onnx_proto.h"

#define F(number, kind, message, member) {number, PB_##kind, offsetof(proto_##message, member)}
#define TABLE(message, text)              \
  const pb_message proto_##message##_table = { \
      text, message##_fields, sizeof message##_fields / sizeof message##_fields[0]}

static const pb_field model_fields[] = {
    F(7, SPAN, model, graph),
    F(8, SPANS, model, opset_imports),
    F(25, SPANS, model, functions),
};
TABLE(model, "ModelProto");

static const pb_field opset_fields[] = {
    F(1, SPAN, opset, domain),
    F(2, INT, opset, version),
};
TABLE(opset, "OperatorSetIdProto");

static const pb_field graph_fields[] = {
    F(1, SPANS, graph, nodes),
    F(2, SPAN, graph, name),
    F(5, SPANS, graph, initializers),
    F(11, SPANS, graph, inputs),
    F(12, SPANS, graph, outputs),
    F(13, SPANS, graph, value_infos),
    F(15, SPANS, graph, sparse_initializers),
};
TABLE(graph, "GraphProto");

static const pb_field function_fields[] = {
    F(1, SPAN, function, name),
    F(4, SPANS, function, inputs),
    F(5, SPANS, function, outputs),
    F(7, SPANS, function, nodes),
    F(9, SPANS, function, opset_imports),
    F(10, SPAN, function, domain),
    F(11, SPANS, function, defaults),
    F(13, SPAN, function, overload),
};
TABLE(function, "FunctionProto");

static const pb_field node_fields[] = {
    F(1, SPANS, node, inputs),
    F(2, SPANS, node, outputs),
    F(3, SPAN, node, name),
    F(4, SPAN, node, op),
    F(5, SPANS, node, attrs),
    F(7, SPAN, node, domain),
    F(8, SPAN, node, overload),
};
TABLE(node, "NodeProto");

static const pb_field attr_fields[] = {
    F(1, SPAN, attr, name),
    F(2, F32, attr, f),
    F(3, INT, attr, i),
    F(4, SPAN, attr, s),
    F(5, SPAN, attr, tensor),
    F(6, SPAN, attr, graph),
    F(7, F32S, attr, floats),
    F(8, INTS, attr, ints),
    F(9, SPANS, attr, strings),
    F(11, SPANS, attr, graphs),
    F(20, INT, attr, type),
    F(21, SPAN, attr, ref),
};
TABLE(attr, "AttributeProto");

static const pb_field tensor_fields[] = {
    F(1, INTS, tensor, dims),
    F(2, INT, tensor, dtype),
    F(3, SPAN, tensor, segment),
    F(4, F32S, tensor, float_data),
    F(5, INTS, tensor, int32_data),
    F(7, INTS, tensor, int64_data),
    F(8, SPAN, tensor, name),
    F(9, SPAN, tensor, raw),
    F(10, F64S, tensor, double_data),
    F(11, INTS, tensor, uint64_data),
    F(13, SPANS, tensor, external),
    F(14, INT, tensor, location),
};
TABLE(tensor, "TensorProto");

static const pb_field entry_fields[] = {
    F(1, SPAN, entry, key),
    F(2, SPAN, entry, value),
};
TABLE(entry, "StringStringEntryProto");

static const pb_field value_info_fields[] = {
    F(1, SPAN, value_info, name),
    F(2, SPAN, value_info, type),
};
TABLE(value_info, "ValueInfoProto");

static const pb_field type_fields[] = {
    F(1, SPAN, type, tensor), F(4, SPAN, type, sequence), F(5, SPAN, type, map),
    F(8, SPAN, type, sparse), F(9, SPAN, type, optional),
};
TABLE(type, "TypeProto");

static const pb_field tensor_type_fields[] = {
    F(1, INT, tensor_type, dtype),
    F(2, SPAN, tensor_type, shape),
};
TABLE(tensor_type, "TypeProto.Tensor");

static const pb_field shape_fields[] = {
    F(1, SPANS, shape, dims),
};
TABLE(shape, "TensorShapeProto");

static const pb_field dim_fields[] = {
    F(1, INT, dim, value),
    F(2, SPAN, dim, param),
};
TABLE(dim, "TensorShapeProto.Dimension");
