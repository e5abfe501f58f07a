#include "compress/graph.h"

#include "compress/error.h"
#include "compress/packing.h"

#include <algorithm>
#include <cstring>

namespace niwaki {
namespace {

template <typename List, typename Item>
void erase_one(List& list, const Item& item) {
  const auto found = std::find(list.begin(), list.end(), item);
  if (found != list.end()) list.erase(found);
}

template <typename T>
const T* attribute_of(const Node& node, const std::string& name) {
  const auto found = node.attributes.find(name);
  if (found == node.attributes.end()) return nullptr;
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) {
    throw ModelError("E1108", cat("attribute '", printable(name), "' of ", printable(node.op), " has another type than the operator says"),
                     {.where = cat("node '", printable(node.name), "'")});
  }
  return value;
}

}  // namespace

Tensor values(const Constant& constant) {
  if (constant.dtype == DType::string) throw InternalError("values() of a string constant");
  if (!is_packed(constant.dtype)) return constant.storage;
  return unpack(constant.storage, constant.dtype, element_count(constant)).reshape(constant.sizes);
}

Constant make_constant(const Tensor& tensor, DType dtype) {
  Constant constant;
  constant.dtype = dtype == DType::undefined ? dtype_of(tensor.scalar_type()) : dtype;
  constant.sizes = tensor.sizes().vec();
  const Tensor flat = tensor.detach().to(at::kCPU).contiguous();
  constant.storage = is_packed(constant.dtype) ? pack(flat, constant.dtype) : flat.to(scalar_type(constant.dtype));
  return constant;
}

int64_t element_count(const Constant& constant) {
  int64_t count = 1;
  for (const int64_t size : constant.sizes) count *= size;
  return count;
}

int64_t byte_size(const Constant& constant) {
  if (constant.strings) {
    int64_t bytes = 0;
    for (const std::string& text : *constant.strings) bytes += static_cast<int64_t>(text.size());
    return bytes;
  }
  return (element_count(constant) * bits_of(constant.dtype) + 7) / 8;
}

std::span<const std::byte> raw_bytes(const Constant& constant) {
  if (!constant.storage.defined()) return {};
  return {static_cast<const std::byte*>(constant.storage.const_data_ptr()), static_cast<size_t>(constant.storage.nbytes())};
}

bool same_content(const Constant& a, const Constant& b) {
  if (a.dtype != b.dtype || a.sizes != b.sizes) return false;
  if (a.strings || b.strings) return a.strings && b.strings && *a.strings == *b.strings;
  const auto left = raw_bytes(a), right = raw_bytes(b);
  return left.size() == right.size() && (left.empty() || std::memcmp(left.data(), right.data(), left.size()) == 0);
}

Graph::Graph() {
  values_.emplace_back();                    // ValueId::absent
  constants_.emplace_back();
  producers_.emplace_back();
  consumers_.emplace_back();
  output_uses_.push_back(0);
}

int64_t Graph::opset(const std::string& domain) const {
  const auto found = header_.opsets.find(is_default_domain(domain) ? "" : domain);
  return found == header_.opsets.end() ? 0 : found->second;
}

const Node& Graph::node(NodeId id) const { return nodes_.at(index_of(id)).value(); }
Node& Graph::edit(NodeId id) {
  ++revision_;
  return nodes_.at(index_of(id)).value();
}
const Value& Graph::value(ValueId id) const { return values_.at(index_of(id)); }
Value& Graph::edit_value(ValueId id) { return values_.at(index_of(id)); }
const Constant* Graph::constant(ValueId id) const { return constants_.at(index_of(id)).get(); }
std::optional<NodeId> Graph::producer(ValueId id) const { return producers_.at(index_of(id)); }
std::span<const NodeId> Graph::consumers(ValueId id) const { return consumers_.at(index_of(id)); }
bool Graph::is_output(ValueId id) const { return output_uses_.at(index_of(id)) > 0; }
bool Graph::is_main_input(ValueId id) const { return std::find(main_.inputs.begin(), main_.inputs.end(), id) != main_.inputs.end(); }
bool Graph::exists(NodeId id) const { return index_of(id) < nodes_.size() && nodes_[index_of(id)].has_value(); }

void Graph::visit(const Body& body, std::vector<NodeId>& order) const {
  for (const NodeId id : body.nodes) {
    for (const auto& [name, inner] : node(id).bodies) visit(inner, order);
    order.push_back(id);
  }
}

std::vector<NodeId> Graph::all_nodes() const {
  std::vector<NodeId> order;
  order.reserve(nodes_.size());
  visit(main_, order);
  return order;
}

std::string Graph::label(NodeId id) const {
  const Node& one = node(id);
  const auto found = node_names_.find(one.name);
  if (!one.name.empty() && found != node_names_.end() && found->second == 1) return one.name;
  return cat(one.op, "#", index_of(id));
}

std::optional<ValueId> Graph::find_value(const std::string& name) const {
  for (size_t i = 1; i < values_.size(); ++i) {
    if (values_[i].name == name) return static_cast<ValueId>(i);
  }
  return std::nullopt;
}

std::string Graph::fresh_name(const std::string& wanted) const {
  if (!names_.contains(wanted)) return wanted;
  for (int i = 2;; ++i) {
    std::string candidate = cat(wanted, "_", i);
    if (!names_.contains(candidate)) return candidate;
  }
}

ValueId Graph::add_value(Value value) {
  ++revision_;
  ++names_[value.name];
  values_.push_back(std::move(value));
  constants_.emplace_back();
  producers_.emplace_back();
  consumers_.emplace_back();
  output_uses_.push_back(0);
  return static_cast<ValueId>(values_.size() - 1);
}

ValueId Graph::add_constant(const std::string& name, Constant constant) {
  const ValueId id = add_value({.name = fresh_name(name)});
  set_constant(id, std::move(constant));
  main_.constants.push_back(id);
  return id;
}

ValueId Graph::add_constant_beside(NodeId node, const std::string& name, Constant constant) {
  const ValueId id = add_value({.name = fresh_name(name)});
  set_constant(id, std::move(constant));
  body_of(node).constants.push_back(id);
  return id;
}

void Graph::set_constant(ValueId id, Constant constant) {
  ++revision_;
  Value& value = edit_value(id);
  value.dtype = constant.dtype;
  value.shape = Shape(constant.sizes.begin(), constant.sizes.end());
  constants_.at(index_of(id)) = std::make_shared<const Constant>(std::move(constant));
}

void Graph::remove_constant(ValueId id) {
  ++revision_;
  constants_.at(index_of(id)).reset();
  std::vector<Body*> bodies{&main_};
  for (auto& node : nodes_) {
    if (!node) continue;
    for (auto& [name, body] : node->bodies) bodies.push_back(&body);
  }
  for (Body* body : bodies) erase_one(body->constants, id);
}

Body& Graph::body_of(NodeId id) {
  const Place& place = places_.at(index_of(id));
  return place.owner ? nodes_.at(index_of(*place.owner))->bodies.at(place.attribute) : main_;
}

void Graph::link(NodeId id) {
  const Node& one = *nodes_.at(index_of(id));
  for (const ValueId output : one.outputs) {
    if (output != ValueId::absent) producers_.at(index_of(output)) = id;
  }
  for (const ValueId input : one.inputs) {
    auto& users = consumers_.at(index_of(input));
    if (input != ValueId::absent && std::find(users.begin(), users.end(), id) == users.end()) users.push_back(id);
  }
}

void Graph::unlink(NodeId id) {
  const Node& one = *nodes_.at(index_of(id));
  for (const ValueId output : one.outputs) {
    if (producers_.at(index_of(output)) == id) producers_.at(index_of(output)).reset();
  }
  for (const ValueId input : one.inputs) erase_one(consumers_.at(index_of(input)), id);
}

NodeId Graph::add_node(Node node) {
  ++revision_;
  if (!node.name.empty()) ++node_names_[node.name];
  nodes_.push_back(std::move(node));
  places_.emplace_back();
  return static_cast<NodeId>(nodes_.size() - 1);
}

NodeId Graph::insert_before(std::optional<NodeId> next, Node node) {
  const NodeId id = add_node(std::move(node));
  if (next) places_[index_of(id)] = places_.at(index_of(*next));
  Body& body = body_of(id);
  body.nodes.insert(next ? std::find(body.nodes.begin(), body.nodes.end(), *next) : body.nodes.end(), id);
  link(id);
  return id;
}

NodeId Graph::insert_after(NodeId previous, Node node) {
  const NodeId id = add_node(std::move(node));
  places_[index_of(id)] = places_.at(index_of(previous));
  Body& body = body_of(id);
  body.nodes.insert(std::find(body.nodes.begin(), body.nodes.end(), previous) + 1, id);
  link(id);
  return id;
}

void Graph::set_input(NodeId id, size_t index, ValueId value) {
  unlink(id);
  Node& one = edit(id);
  if (one.inputs.size() <= index) one.inputs.resize(index + 1, ValueId::absent);
  one.inputs[index] = value;
  link(id);
}

void Graph::set_inputs(NodeId id, std::vector<ValueId> inputs) {
  unlink(id);
  edit(id).inputs = std::move(inputs);
  link(id);
}

void Graph::set_outputs(NodeId id, std::vector<ValueId> outputs) {
  unlink(id);
  edit(id).outputs = std::move(outputs);
  link(id);
}

void Graph::set_attribute(NodeId id, const std::string& name, Attribute attribute) {
  edit(id).attributes.insert_or_assign(name, std::move(attribute));
}

void Graph::remove_attribute(NodeId id, const std::string& name) { edit(id).attributes.erase(name); }

void Graph::set_operator(NodeId id, std::string op, std::string domain) {
  Node& one = edit(id);
  one.op = std::move(op);
  one.domain = std::move(domain);
}

void Graph::set_node_name(NodeId id, std::string name) {
  Node& one = edit(id);
  if (!one.name.empty() && --node_names_[one.name] == 0) node_names_.erase(one.name);
  if (!name.empty()) ++node_names_[name];
  one.name = std::move(name);
}

void Graph::rename_value(ValueId id, const std::string& name) {
  ++revision_;
  Value& value = edit_value(id);
  if (--names_[value.name] == 0) names_.erase(value.name);
  ++names_[name];
  value.name = name;
}

void Graph::set_type(ValueId id, DType dtype, std::optional<Shape> shape) {
  Value& value = edit_value(id);
  value.dtype = dtype;
  value.shape = std::move(shape);
}

void Graph::set_value(ValueId id, Value value) { edit_value(id) = std::move(value); }

void Graph::replace_uses(ValueId from, ValueId to) {
  ++revision_;
  for (const NodeId id : std::vector<NodeId>(consumers_.at(index_of(from)))) {
    unlink(id);
    std::replace(nodes_[index_of(id)]->inputs.begin(), nodes_[index_of(id)]->inputs.end(), from, to);
    link(id);
  }
  if (!is_output(from)) return;
  std::vector<Body*> bodies{&main_};
  for (auto& node : nodes_) {
    if (!node) continue;
    for (auto& [name, body] : node->bodies) bodies.push_back(&body);
  }
  for (Body* body : bodies) std::replace(body->outputs.begin(), body->outputs.end(), from, to);
  output_uses_[index_of(to)] += output_uses_[index_of(from)];
  output_uses_[index_of(from)] = 0;
}

void Graph::remove(NodeId id) {
  ++revision_;
  unlink(id);
  for (const auto& [name, body] : std::map(node(id).bodies)) {
    for (const NodeId inner : body.nodes) remove(inner);
    for (const ValueId output : body.outputs) --output_uses_[index_of(output)];
  }
  erase_one(body_of(id).nodes, id);
  const std::string name = node(id).name;
  if (!name.empty() && --node_names_[name] == 0) node_names_.erase(name);
  nodes_[index_of(id)].reset();
}

void Graph::reorder_main(std::vector<NodeId> order) {
  ++revision_;
  main_.nodes = std::move(order);
}

void Graph::adopt_main(Body body) { main_ = std::move(body); }

void Graph::index_body(Body& body, std::optional<NodeId> owner, const std::string& attribute) {
  for (const ValueId output : body.outputs) ++output_uses_[index_of(output)];
  for (const NodeId id : body.nodes) {
    places_[index_of(id)] = {owner, attribute};
    link(id);
    for (auto& [name, inner] : nodes_[index_of(id)]->bodies) index_body(inner, id, name);
  }
}

void Graph::index() {
  std::fill(output_uses_.begin(), output_uses_.end(), 0);
  std::fill(producers_.begin(), producers_.end(), std::nullopt);
  for (auto& users : consumers_) users.clear();
  index_body(main_, std::nullopt, "");
}

int64_t int_attribute(const Node& node, const std::string& name, int64_t otherwise) {
  const auto* value = attribute_of<int64_t>(node, name);
  return value ? *value : otherwise;
}

float float_attribute(const Node& node, const std::string& name, float otherwise) {
  const auto* value = attribute_of<float>(node, name);
  return value ? *value : otherwise;
}

std::string string_attribute(const Node& node, const std::string& name, const std::string& otherwise) {
  const auto* value = attribute_of<std::string>(node, name);
  return value ? *value : otherwise;
}

std::vector<int64_t> ints_attribute(const Node& node, const std::string& name) {
  const auto* value = attribute_of<std::vector<int64_t>>(node, name);
  return value ? *value : std::vector<int64_t>{};
}

bool has_attribute(const Node& node, const std::string& name) { return node.attributes.contains(name); }

std::optional<std::vector<int64_t>> known_sizes(const Value& value) {
  if (!value.shape) return std::nullopt;
  std::vector<int64_t> sizes;
  for (const Dim& dim : *value.shape) {
    const auto* size = std::get_if<int64_t>(&dim);
    if (size == nullptr) return std::nullopt;
    sizes.push_back(*size);
  }
  return sizes;
}

bool is_default_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

}  // namespace niwaki
