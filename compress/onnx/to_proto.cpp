#include "compress/onnx/proto.h"

#include "compress/error.h"
#include "compress/onnx/tensor_proto.h"

#include <onnx/onnx_pb.h>

namespace niwaki {
namespace {

class Writer {
 public:
  Writer(const Graph& graph, const ProtoOptions& options) : graph_(graph), options_(options) {}

  void write(const Body& body, onnx::GraphProto& proto) const;

 private:
  void write_value(ValueId id, onnx::ValueInfoProto& proto) const;
  void write_constant(ValueId id, onnx::GraphProto& proto) const;
  void write_node(const Node& node, onnx::NodeProto& proto) const;
  const std::string& name(ValueId id) const { return graph_.value(id).name; }

  const Graph& graph_;
  const ProtoOptions& options_;
};

void Writer::write_value(ValueId id, onnx::ValueInfoProto& proto) const {
  const Value& value = graph_.value(id);
  proto.ParseFromString(value.rest.bytes);
  proto.set_name(value.name);
  if (!value.doc.empty()) proto.set_doc_string(value.doc);
  onnx::TypeProto type;
  type_to_proto(value, type);
  if (type.ByteSizeLong() > 0) *proto.mutable_type() = std::move(type);
}

void Writer::write_constant(ValueId id, onnx::GraphProto& proto) const {
  const Constant& constant = *graph_.constant(id);
  if (constant.sparse) {
    auto& sparse = *proto.add_sparse_initializer();
    sparse.ParseFromString(constant.sparse->bytes);
    sparse.mutable_values()->set_name(name(id));
    return;
  }
  auto& tensor = *proto.add_initializer();
  const bool is_large = options_.largest_inline >= 0 && !constant.strings && byte_size(constant) > options_.largest_inline;
  if (!is_large) {
    constant_to_proto(constant, name(id), tensor);
    return;
  }
  tensor.set_name(name(id));
  tensor.set_data_type(static_cast<int32_t>(constant.dtype));
  for (const int64_t size : constant.sizes) tensor.add_dims(size);
  if (options_.left_behind) options_.left_behind(id, constant, tensor);
}

void Writer::write_node(const Node& node, onnx::NodeProto& proto) const {
  proto.ParseFromString(node.rest.bytes);
  for (const ValueId input : node.inputs) proto.add_input(name(input));
  for (const ValueId output : node.outputs) proto.add_output(name(output));
  if (!node.name.empty()) proto.set_name(node.name);
  proto.set_op_type(node.op);
  if (!node.domain.empty()) proto.set_domain(node.domain);
  if (!node.doc.empty()) proto.set_doc_string(node.doc);
  const auto add = [&](const std::string& attribute) -> onnx::AttributeProto& {
    auto& one = *proto.add_attribute();
    one.set_name(attribute);
    const auto doc = node.attribute_docs.find(attribute);
    if (doc != node.attribute_docs.end()) one.set_doc_string(doc->second);
    return one;
  };
  for (const auto& [attribute, value] : node.attributes) {
    onnx::AttributeProto& one = add(attribute);
    attribute_to_proto(value, one);
  }
  for (const auto& [attribute, body] : node.bodies) {
    onnx::AttributeProto& one = add(attribute);
    one.set_type(onnx::AttributeProto::GRAPH);
    write(body, *one.mutable_g());
  }
}

void Writer::write(const Body& body, onnx::GraphProto& proto) const {
  proto.ParseFromString(body.rest.bytes);
  for (const NodeId id : body.nodes) write_node(graph_.node(id), *proto.add_node());
  if (!body.name.empty()) proto.set_name(body.name);
  for (const ValueId id : body.constants) write_constant(id, proto);
  if (!body.doc.empty()) proto.set_doc_string(body.doc);
  for (const ValueId id : body.inputs) write_value(id, *proto.add_input());
  for (const ValueId id : body.outputs) write_value(id, *proto.add_output());
  for (const ValueId id : body.described) write_value(id, *proto.add_value_info());
}

}  // namespace

onnx::ModelProto graph_to_proto(const Graph& graph, const ProtoOptions& options) {
  const ModelHeader& header = graph.header();
  onnx::ModelProto model;
  model.ParseFromString(header.rest.bytes);
  model.set_ir_version(header.ir_version);
  if (!header.producer_name.empty()) model.set_producer_name(header.producer_name);
  if (!header.producer_version.empty()) model.set_producer_version(header.producer_version);
  if (!header.domain.empty()) model.set_domain(header.domain);
  if (header.model_version != 0) model.set_model_version(header.model_version);
  if (!header.doc.empty()) model.set_doc_string(header.doc);
  Writer(graph, options).write(graph.main(), *model.mutable_graph());
  const auto import = [&](const std::string& domain, int64_t version) {
    auto& one = *model.add_opset_import();
    one.set_domain(domain);
    one.set_version(version);
  };
  std::set<std::string> written;
  for (const std::string& domain : header.opset_order) {
    const std::string key = is_default_domain(domain) ? "" : domain;
    if (header.opsets.contains(key) && written.insert(key).second) import(domain, header.opsets.at(key));
  }
  for (const auto& [domain, version] : header.opsets) {
    if (written.insert(domain).second) import(domain, version);
  }
  for (const auto& [key, value] : header.metadata) {
    auto& one = *model.add_metadata_props();
    one.set_key(key);
    one.set_value(value);
  }
  for (const ModelFunction& function : header.functions) model.add_functions()->ParseFromString(function.proto.bytes);
  return model;
}

}  // namespace niwaki
