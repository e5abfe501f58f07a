#pragma once

#include "compress/tensor.h"

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace niwaki {

enum class ValueId : uint32_t { absent = 0 };                     // absent: optional input left out
enum class NodeId : uint32_t {};
using Dim = std::variant<std::monostate, int64_t, std::string>;   // unknown, 64, "batch"
using Shape = std::vector<Dim>;
using Strings = std::vector<std::string>;

/// Protobuf the IR does not model: written back as read.
struct Opaque {
  std::string bytes;
  bool operator==(const Opaque&) const = default;
};

/// A tensor of the model. Its storage is never written in place: copies of a Graph share it.
struct Constant {
  DType dtype = DType::undefined;
  std::vector<int64_t> sizes;
  Tensor storage;                            // [sizes]; packed types: uint8 [bytes], as in the file
  std::shared_ptr<const Strings> strings = {};   // of dtype string, instead of storage
  std::shared_ptr<const Opaque> sparse = {}; // SparseTensorProto it was read from; storage is dense
  std::shared_ptr<const Opaque> rest = {};   // what else the TensorProto held: doc string, metadata
};
/// One number per element, [sizes]: int4 comes back as int8, float4 as float32.
Tensor values(const Constant& constant);
/// The constant that holds these numbers; `dtype` defaults to the tensor's own.
Constant make_constant(const Tensor& tensor, DType dtype = DType::undefined);
int64_t element_count(const Constant& constant);
/// Bytes of the payload as stored, without names and shapes.
int64_t byte_size(const Constant& constant);
/// The stored bytes; not for strings.
std::span<const std::byte> raw_bytes(const Constant& constant);
bool same_content(const Constant& a, const Constant& b);

using Attribute = std::variant<int64_t, float, std::string, Constant, std::vector<int64_t>,
                               std::vector<float>, Strings, Opaque>;

struct Value {
  std::string name, doc;
  DType dtype = DType::undefined;            // of a tensor; undefined: unknown, or no tensor
  std::optional<Shape> shape;
  Opaque type;                               // TypeProto of what is no plain tensor
  Opaque rest;                               // what else the ValueInfoProto or TensorProto held
};

struct Body {
  std::string name, doc;
  std::vector<ValueId> inputs, outputs;
  std::vector<ValueId> constants;            // initializers, in order
  std::vector<ValueId> described;            // values whose types stand in the file (value_info)
  std::vector<NodeId> nodes;                 // in topological order
  Opaque rest;
};

struct Node {
  std::string name, doc, op, domain;         // as in the file: a name may be empty or repeated
  std::vector<ValueId> inputs, outputs;
  std::map<std::string, Attribute> attributes;   // ordered: text and digests are stable
  std::map<std::string, std::string> attribute_docs;
  std::map<std::string, Body> bodies;            // "then_branch" of an If, "body" of a Loop
  Opaque rest;
};

/// A function of the model, kept as read; the executor inlines its calls.
struct ModelFunction {
  std::string domain, name, overload;
  Opaque proto;
};

struct ModelHeader {
  int64_t ir_version = 10;
  std::map<std::string, int64_t> opsets;     // "" is ai.onnx
  std::vector<std::string> opset_order;      // domains as the file lists them
  std::string producer_name, producer_version, domain, doc;
  int64_t model_version = 0;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<ModelFunction> functions;
  Opaque rest;
};

/// The intermediate representation: SSA by integer id, in ONNX's vocabulary.
class Graph {
 public:
  Graph();
  ModelHeader& header() { return header_; }
  const ModelHeader& header() const { return header_; }
  int64_t opset(const std::string& domain = "") const;   // 0: not imported

  const Body& main() const { return main_; }
  Body& edit_main() { return main_; }        // names, docs, order; inputs and outputs are the interface
  const Node& node(NodeId id) const;
  const Value& value(ValueId id) const;
  const Constant* constant(ValueId id) const;            // null: computed at run time
  std::optional<NodeId> producer(ValueId id) const;
  std::span<const NodeId> consumers(ValueId id) const;   // bodies included, once per node
  bool is_output(ValueId id) const;          // of the main body or of any other
  bool is_main_input(ValueId id) const;
  bool exists(NodeId id) const;
  size_t num_values() const { return values_.size(); }   // ids are 1 .. num_values() - 1
  size_t num_node_ids() const { return nodes_.size(); }
  /// All nodes, a body's before the node that owns it is left; in execution order.
  std::vector<NodeId> all_nodes() const;
  std::string label(NodeId id) const;        // the node's name if unique, else "MatMul#17"
  std::optional<ValueId> find_value(const std::string& name) const;   // of the main body first
  uint64_t revision() const { return revision_; }        // grows on every edit

  ValueId add_value(Value value);
  /// Adds an initializer to the main body, under `name` or the first free `name_2`, `name_3`, ...
  ValueId add_constant(const std::string& name, Constant constant);
  /// Adds an initializer to the body that holds `node`.
  ValueId add_constant_beside(NodeId node, const std::string& name, Constant constant);
  void set_constant(ValueId id, Constant constant);      // replaces or gives; the value keeps its name
  void remove_constant(ValueId id);          // the initializer goes, the value stays
  NodeId insert_before(std::optional<NodeId> next, Node node);   // nullopt: at the end of main
  NodeId insert_after(NodeId previous, Node node);
  void set_input(NodeId id, size_t index, ValueId value);
  void set_inputs(NodeId id, std::vector<ValueId> inputs);
  void set_outputs(NodeId id, std::vector<ValueId> outputs);     // a value has one producer
  void set_attribute(NodeId id, const std::string& name, Attribute attribute);
  void remove_attribute(NodeId id, const std::string& name);
  void set_operator(NodeId id, std::string op, std::string domain);
  void set_node_name(NodeId id, std::string name);
  void rename_value(ValueId id, const std::string& name);
  /// What inference learned; no edit: revision() stays.
  void set_type(ValueId id, DType dtype, std::optional<Shape> shape);
  /// Replaces name, docs and type as they stand in the file; for readers.
  void set_value(ValueId id, Value value);
  /// Every input that reads `from`, in all bodies, reads `to`; body outputs too.
  void replace_uses(ValueId from, ValueId to);
  void remove(NodeId id);                    // its outputs lose their producer
  /// Puts nodes of the main body into this order (a permutation).
  void reorder_main(std::vector<NodeId> order);
  std::string fresh_name(const std::string& wanted) const;
  void touch() { ++revision_; }

  // For readers: bodies are made before the nodes that own them.
  void adopt_main(Body body);
  NodeId add_node(Node node);                // in no body yet
  /// Must be called once after adopt_main and add_node, and after direct edits of bodies.
  void index();

 private:
  Node& edit(NodeId id);
  Value& edit_value(ValueId id);
  Body& body_of(NodeId id);
  void link(NodeId id);
  void unlink(NodeId id);
  void visit(const Body& body, std::vector<NodeId>& order) const;
  void index_body(Body& body, std::optional<NodeId> owner, const std::string& attribute);

  ModelHeader header_;
  Body main_;
  std::vector<std::optional<Node>> nodes_;
  std::vector<Value> values_;
  std::vector<std::shared_ptr<const Constant>> constants_;
  std::vector<std::optional<NodeId>> producers_;
  std::vector<std::vector<NodeId>> consumers_;
  std::vector<int> output_uses_;
  struct Place { std::optional<NodeId> owner; std::string attribute; };
  std::vector<Place> places_;                // the body that holds a node
  std::unordered_map<std::string, int> names_;       // values by name, how many
  std::unordered_map<std::string, int> node_names_;
  uint64_t revision_ = 0;
};

/// Reads an attribute or a default; a wrong type is E1108.
int64_t int_attribute(const Node& node, const std::string& name, int64_t otherwise);
float float_attribute(const Node& node, const std::string& name, float otherwise);
std::string string_attribute(const Node& node, const std::string& name, const std::string& otherwise);
std::vector<int64_t> ints_attribute(const Node& node, const std::string& name);
bool has_attribute(const Node& node, const std::string& name);

/// The sizes of a fully known shape, or nullopt.
std::optional<std::vector<int64_t>> known_sizes(const Value& value);
bool is_default_domain(const std::string& domain);
inline uint32_t index_of(ValueId id) { return static_cast<uint32_t>(id); }
inline uint32_t index_of(NodeId id) { return static_cast<uint32_t>(id); }

}  // namespace niwaki
