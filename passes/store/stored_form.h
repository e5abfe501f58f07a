#pragma once

#include "compress/graph.h"
#include "compress/pass.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace niwaki {

/// A constant spelled as smaller constants and the operators that expand them when a session is created; the last term
/// is the constant itself.
class StoredForm {
 public:
  using Term = size_t;
  struct Operation {
    std::string op;
    std::vector<Term> inputs;
    std::map<std::string, Attribute> attributes;
  };
  Term constant(Constant constant);
  Term constant(const Tensor& numbers, DType dtype = DType::undefined);
  /// int64 numbers, as shapes and axes want them.
  Term integers(const std::vector<int64_t>& numbers);
  /// Another value of the graph, a constant.
  Term value(ValueId id);
  Term node(const std::string& op, std::vector<Term> inputs, std::map<std::string, Attribute> attributes = {});
  Term cast(Term input, DType dtype);
  using Any = std::variant<Constant, ValueId, Operation>;
  const std::vector<Any>& terms() const { return terms_; }

 private:
  std::vector<Any> terms_;
};

/// What the form expands to, by the executor's operators.
Constant expanded(const Graph& graph, const StoredForm& form);

/// "0" .. "z", "10", ...: the shortest names.
std::string base36(uint64_t number);

/// Bytes of an initializer in the file.
int64_t initializer_bytes(const Constant& constant, size_t name_length);

/// Replaces constants of a graph by stored forms. Terms that are the same are written once.
class ConstantStore {
 public:
  explicit ConstantStore(Graph& graph);
  /// Why this value cannot become the output of a node, or "".
  std::string obstacle(ValueId id) const;
  /// Bytes that the file grows by when the form replaces the initializer; names and shared terms included.
  int64_t growth(ValueId id, const StoredForm& form) const;
  /// The value keeps its name and its readers, and becomes the output of the form's last node, before all nodes that
  /// were in its body.
  void replace(ValueId id, const StoredForm& form);

 private:
  struct Home {                              // the body that holds a constant
    std::optional<NodeId> owner;
    std::string attribute;
    auto operator<=>(const Home&) const = default;
  };
  struct Plan;
  void note_homes(const Body& body, const Home& home);
  const Body& body(const Home& home) const;
  std::string next_name(std::set<std::string>& taken) const;
  Plan plan(ValueId id, const StoredForm& form) const;
  NodeId insert(const Home& home, Node node);

  Graph& graph_;
  std::map<ValueId, Home> homes_;
  std::map<Home, NodeId> last_;              // node after which the next one stands
  std::map<Home, std::map<std::string, ValueId>> known_;   // terms already written
};

/// Inputs that are initializers too, listed by an exporter's habit as IR version 3 wanted it: takes them out of the
/// inputs, raises the IR version to 4 and lists it in `report`. True when something was done.
bool release_constant_inputs(Graph& graph, PassReport& report);
/// Types of inner values are text that readers infer again: drops those of ai.onnx nodes and lists it in `report`.
void drop_described_types(Graph& graph, PassReport& report);

}  // namespace niwaki
