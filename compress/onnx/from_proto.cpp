#include "compress/onnx/proto.h"

#include "compress/error.h"
#include "compress/onnx/tensor_proto.h"

#include <onnx/onnx_pb.h>

#include <queue>
#include <unordered_map>
#include <unordered_set>

namespace niwaki {
namespace {

constexpr int64_t kLargestDense = int64_t{64} << 20;   // elements of a sparse initializer made dense

/// Names of one graph and, through `outer`, of those around it.
struct Scope {
  const Scope* outer = nullptr;
  std::unordered_map<std::string, ValueId> names;

  std::optional<ValueId> find(const std::string& name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
      const auto found = scope->names.find(name);
      if (found != scope->names.end()) return found->second;
    }
    return std::nullopt;
  }
};

template <typename Message>
Opaque leftover(const Message& message) {
  return {message.SerializeAsString()};
}

std::string node_place(const onnx::NodeProto& node) {
  return cat("node '", printable(node.name()), "' (", printable(node.op_type()), ")");
}

class Reader {
 public:
  Reader(Graph& graph, const ExternalTensor& external, Strings* notes)
      : graph_(graph), external_(external), notes_(notes) {}

  Body read(onnx::GraphProto& proto, const Scope* outer);

 private:
  ValueId define(Scope& scope, const std::string& name, const std::string& by);
  void describe(ValueId id, const onnx::ValueInfoProto& proto);
  void read_constants(onnx::GraphProto& proto, Scope& scope, Body& body);
  void read_sparse(onnx::GraphProto& proto, Scope& scope, Body& body);
  Node read_node(onnx::NodeProto& proto, const Scope& scope);
  void read_attribute(onnx::AttributeProto& proto, const Scope& scope, Node& node);
  std::vector<NodeId> sorted(std::vector<NodeId> nodes, const std::string& graph_name);
  std::vector<ValueId> reads(NodeId id) const;

  Graph& graph_;
  const ExternalTensor& external_;
  Strings* notes_;
  std::unordered_map<uint32_t, std::string> defined_by_;
};

ValueId Reader::define(Scope& scope, const std::string& name, const std::string& by) {
  const auto found = scope.names.find(name);
  if (found != scope.names.end()) {
    throw ModelError("E1102", cat("value '", printable(name), "' is defined twice"),
                     {.found = cat("by ", defined_by_[index_of(found->second)], " and by ", by)});
  }
  const ValueId id = graph_.add_value({.name = name});
  scope.names.emplace(name, id);
  defined_by_.emplace(index_of(id), by);
  return id;
}

void Reader::describe(ValueId id, const onnx::ValueInfoProto& proto) {
  Value described = graph_.value(id);
  described.doc = proto.doc_string();
  if (proto.has_type()) type_from_proto(proto.type(), described);
  onnx::ValueInfoProto rest = proto;
  rest.clear_name();
  if (proto.type().ByteSizeLong() > 0) rest.clear_type();   // an empty one is kept as it is
  rest.clear_doc_string();
  described.rest = leftover(rest);
  graph_.set_value(id, std::move(described));
}

void Reader::read_constants(onnx::GraphProto& proto, Scope& scope, Body& body) {
  for (onnx::TensorProto& tensor : *proto.mutable_initializer()) {
    const std::string name = tensor.name();
    const auto known = scope.names.find(name);
    const bool is_input = known != scope.names.end() && graph_.constant(known->second) == nullptr;
    const ValueId id = is_input ? known->second : define(scope, name, "an initializer");
    const Value declared = graph_.value(id);
    try {
      graph_.set_constant(id, constant_from_proto(std::move(tensor), external_));
    } catch (Error& error) {
      error.within(cat("tensor '", printable(name), "'"));
      throw;
    }
    if (is_input) graph_.set_value(id, declared);   // the interface keeps its symbolic sizes
    body.constants.push_back(id);
  }
  proto.clear_initializer();
}

void Reader::read_sparse(onnx::GraphProto& proto, Scope& scope, Body& body) {
  for (const onnx::SparseTensorProto& sparse : proto.sparse_initializer()) {
    const std::string& name = sparse.values().name();
    const auto known = scope.names.find(name);
    const bool is_input = known != scope.names.end() && graph_.constant(known->second) == nullptr;
    const ValueId id = is_input ? known->second : define(scope, name, "a sparse initializer");
    const Value declared = graph_.value(id);
    try {
      graph_.set_constant(id, dense_from_sparse(sparse, external_, kLargestDense));
    } catch (Error& error) {
      error.within(cat("tensor '", printable(name), "'"));
      throw;
    }
    if (is_input) graph_.set_value(id, declared);
    body.constants.push_back(id);
  }
  proto.clear_sparse_initializer();
}

void Reader::read_attribute(onnx::AttributeProto& proto, const Scope& scope, Node& node) {
  const std::string name = proto.name();
  if (node.attributes.contains(name) || node.bodies.contains(name)) {
    throw ModelError("E1108", cat("attribute '", printable(name), "' is given twice"));
  }
  if (!proto.doc_string().empty()) node.attribute_docs[name] = proto.doc_string();
  if (proto.has_g() && proto.ref_attr_name().empty()) {
    node.bodies.emplace(name, read(*proto.mutable_g(), &scope));
    return;
  }
  node.attributes.emplace(name, attribute_from_proto(proto, external_));
}

Node Reader::read_node(onnx::NodeProto& proto, const Scope& scope) {
  if (proto.op_type().empty()) throw ModelError("E1109", "a node has no operator");
  Node node{.name = proto.name(), .doc = proto.doc_string(), .op = proto.op_type(), .domain = proto.domain()};
  for (const std::string& name : proto.input()) {
    const auto id = name.empty() ? std::optional(ValueId::absent) : scope.find(name);
    if (!id) {
      throw ModelError("E1103", cat("input '", printable(name), "' has no producer"),
                       {.found = "no node, graph input or initializer of this graph or of one around it has this name"});
    }
    node.inputs.push_back(*id);
  }
  for (const std::string& name : proto.output()) {
    node.outputs.push_back(name.empty() ? ValueId::absent : scope.names.at(name));
  }
  for (onnx::AttributeProto& attribute : *proto.mutable_attribute()) read_attribute(attribute, scope, node);
  for (const auto clear : {&onnx::NodeProto::clear_name, &onnx::NodeProto::clear_doc_string, &onnx::NodeProto::clear_op_type,
                           &onnx::NodeProto::clear_domain, &onnx::NodeProto::clear_input, &onnx::NodeProto::clear_output,
                           &onnx::NodeProto::clear_attribute}) {
    (proto.*clear)();
  }
  node.rest = leftover(proto);
  return node;
}

/// Values of this node and of all bodies below it.
std::vector<ValueId> Reader::reads(NodeId id) const {
  std::vector<ValueId> all = graph_.node(id).inputs;
  for (const auto& [name, body] : graph_.node(id).bodies) {
    all.insert(all.end(), body.outputs.begin(), body.outputs.end());
    for (const NodeId inner : body.nodes) {
      const auto below = reads(inner);
      all.insert(all.end(), below.begin(), below.end());
    }
  }
  return all;
}

std::vector<NodeId> Reader::sorted(std::vector<NodeId> nodes, const std::string& graph_name) {
  std::unordered_map<uint32_t, size_t> makers;
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (const ValueId output : graph_.node(nodes[i]).outputs) {
      if (output != ValueId::absent) makers[index_of(output)] = i;
    }
  }
  std::vector<std::vector<size_t>> users(nodes.size());
  std::vector<size_t> waiting(nodes.size());
  bool in_order = true;
  for (size_t i = 0; i < nodes.size(); ++i) {
    std::unordered_set<size_t> before;
    for (const ValueId value : reads(nodes[i])) {
      const auto maker = makers.find(index_of(value));
      if (maker == makers.end() || !before.insert(maker->second).second) continue;
      in_order &= maker->second < i;
      users[maker->second].push_back(i);
      ++waiting[i];
    }
  }
  if (in_order) return nodes;
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (waiting[i] == 0) ready.push(i);
  }
  std::vector<NodeId> order;
  while (!ready.empty()) {
    const size_t next = ready.top();
    ready.pop();
    order.push_back(nodes[next]);
    for (const size_t user : users[next]) {
      if (--waiting[user] == 0) ready.push(user);
    }
  }
  if (order.size() < nodes.size()) {
    std::string members;
    for (size_t i = 0, shown = 0; i < nodes.size() && shown < 5; ++i) {
      if (waiting[i] == 0) continue;
      members += cat(shown++ ? ", '" : "'", printable(graph_.node(nodes[i]).name, 40), "' (", printable(graph_.node(nodes[i]).op, 40), ")");
    }
    throw ModelError("E1101", "the graph has a cycle", {.found = "among nodes " + members});
  }
  if (notes_) notes_->push_back(cat("W1106: nodes of graph '", printable(graph_name), "' were not in topological order; sorted"));
  return order;
}

Body Reader::read(onnx::GraphProto& proto, const Scope* outer) {
  Scope scope{.outer = outer};
  Body body{.name = proto.name(), .doc = proto.doc_string()};
  for (const onnx::ValueInfoProto& input : proto.input()) {
    if (scope.names.contains(input.name())) throw ModelError("E1110", cat("input '", printable(input.name()), "' is given twice"));
    if (outer == nullptr && !input.has_type()) throw ModelError("E1110", cat("input '", printable(input.name()), "' has no type"));
    body.inputs.push_back(define(scope, input.name(), "a graph input"));
    describe(body.inputs.back(), input);
  }
  read_constants(proto, scope, body);
  read_sparse(proto, scope, body);
  for (const onnx::NodeProto& node : proto.node()) {
    for (const std::string& output : node.output()) {
      if (!output.empty()) define(scope, output, node_place(node));
    }
  }
  onnx::GraphProto rest_of_types;
  for (const onnx::ValueInfoProto& info : proto.value_info()) {
    const auto found = scope.names.find(info.name());
    if (found == scope.names.end()) {
      *rest_of_types.add_value_info() = info;    // describes nothing that is here; kept all the same
      continue;
    }
    describe(found->second, info);
    body.described.push_back(found->second);
  }
  for (onnx::NodeProto& node : *proto.mutable_node()) {
    const std::string place = node_place(node);
    try {
      body.nodes.push_back(graph_.add_node(read_node(node, scope)));
    } catch (Error& error) {
      error.within(place);
      throw;
    }
  }
  std::unordered_set<std::string> seen;
  for (const onnx::ValueInfoProto& output : proto.output()) {
    const auto id = scope.find(output.name());
    if (!id) throw ModelError("E1110", cat("graph output '", printable(output.name()), "' has no producer"));
    if (outer == nullptr && !seen.insert(output.name()).second) {
      throw ModelError("E1110", cat("graph output '", printable(output.name()), "' is given twice"));
    }
    body.outputs.push_back(*id);
    if (!graph_.constant(*id) && graph_.value(*id).type.bytes.empty()) describe(*id, output);
  }
  body.nodes = sorted(std::move(body.nodes), body.name);
  for (const auto clear : {&onnx::GraphProto::clear_name, &onnx::GraphProto::clear_doc_string, &onnx::GraphProto::clear_node,
                           &onnx::GraphProto::clear_input, &onnx::GraphProto::clear_output, &onnx::GraphProto::clear_value_info}) {
    (proto.*clear)();
  }
  proto.MergeFrom(rest_of_types);
  body.rest = leftover(proto);
  return body;
}

void read_header(onnx::ModelProto& model, ModelHeader& header) {
  header.ir_version = model.ir_version();
  header.producer_name = model.producer_name();
  header.producer_version = model.producer_version();
  header.domain = model.domain();
  header.doc = model.doc_string();
  header.model_version = model.model_version();
  for (const auto& entry : model.metadata_props()) header.metadata.emplace_back(entry.key(), entry.value());
  for (const auto& import : model.opset_import()) {
    const std::string domain = is_default_domain(import.domain()) ? "" : import.domain();
    if (!header.opsets.emplace(domain, import.version()).second && header.opsets[domain] != import.version()) {
      throw ModelError("E1105", cat("domain '", printable(import.domain()), "' is imported twice, as ",
                                    header.opsets[domain], " and as ", import.version()));
    }
    header.opset_order.push_back(import.domain());
  }
  if (!header.opsets.contains("")) {
    if (model.ir_version() >= 3 && model.opset_import_size() == 0) {
      throw ModelError("E1105", "the model imports no operator set",
                       {.help = "export it again, or set the opset in Python: model.opset_import.add(version=13)"});
    }
    if (model.ir_version() < 3) header.opsets[""] = 1;
  }
  for (onnx::FunctionProto& function : *model.mutable_functions()) {
    header.functions.push_back({function.domain(), function.name(), function.overload(), leftover(function)});
  }
  const bool has_version_zero = model.has_model_version() && model.model_version() == 0;
  for (const auto clear : {&onnx::ModelProto::clear_ir_version, &onnx::ModelProto::clear_producer_name, &onnx::ModelProto::clear_producer_version,
                           &onnx::ModelProto::clear_domain, &onnx::ModelProto::clear_doc_string, &onnx::ModelProto::clear_model_version,
                           &onnx::ModelProto::clear_metadata_props, &onnx::ModelProto::clear_opset_import, &onnx::ModelProto::clear_functions,
                           &onnx::ModelProto::clear_graph}) {
    (model.*clear)();
  }
  if (has_version_zero) model.set_model_version(0);
  header.rest = leftover(model);
}

/// A domain in use that was never imported is version 1, as ONNX Runtime reads it.
void import_missing_domains(Graph& graph, Strings* notes) {
  for (const NodeId id : graph.all_nodes()) {
    const std::string& domain = graph.node(id).domain;
    if (is_default_domain(domain) || graph.header().opsets.contains(domain)) continue;
    graph.header().opsets[domain] = 1;
    if (notes) notes->push_back(cat("W1114: domain '", printable(domain), "' is in use and was not imported"));
  }
}

}  // namespace

Graph graph_from_proto(onnx::ModelProto&& model, const ExternalTensor& external, Strings* notes) {
  Graph graph;
  onnx::GraphProto main = std::move(*model.mutable_graph());
  read_header(model, graph.header());
  graph.adopt_main(Reader(graph, external, notes).read(main, nullptr));
  graph.index();
  import_missing_domains(graph, notes);
  return graph;
}

}  // namespace niwaki
