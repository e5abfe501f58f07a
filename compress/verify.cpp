#include "compress/verify.h"

#include "compress/error.h"

#include <algorithm>
#include <set>

namespace niwaki {
namespace {

using Scope = std::set<ValueId>;

[[noreturn]] void broken(const Graph& graph, ValueId id, const std::string& what) {
  throw InternalError(cat("value '", printable(graph.value(id).name), "' ", what));
}

void define(const Graph& graph, Scope& scope, ValueId id, const char* what) {
  if (id == ValueId::absent) return;
  if (!scope.insert(id).second) broken(graph, id, cat("is made twice, the second time as ", what));
}

void require_body(const Graph& graph, const Body& body, Scope scope);

void require_node(const Graph& graph, NodeId id, Scope& scope) {
  if (!graph.exists(id)) throw InternalError(cat("node ", index_of(id), " is listed and does not exist"));
  const Node& node = graph.node(id);
  for (const ValueId input : node.inputs) {
    if (input == ValueId::absent) continue;
    if (!scope.contains(input)) broken(graph, input, cat("is read by '", printable(graph.label(id)), "' before it is made"));
    const auto users = graph.consumers(input);
    if (std::find(users.begin(), users.end(), id) == users.end()) broken(graph, input, "does not know its reader");
  }
  for (const auto& [name, body] : node.bodies) require_body(graph, body, scope);
  for (const ValueId output : node.outputs) {
    if (output != ValueId::absent && graph.producer(output) != id) broken(graph, output, "does not know its producer");
    define(graph, scope, output, "an output of a node");
  }
}

void require_body(const Graph& graph, const Body& body, Scope scope) {
  for (const ValueId input : body.inputs) define(graph, scope, input, "an input");
  const Scope inputs(body.inputs.begin(), body.inputs.end());
  for (const ValueId id : body.constants) {
    if (graph.constant(id) == nullptr) broken(graph, id, "is an initializer without numbers");
    if (graph.producer(id)) broken(graph, id, "is an initializer and made by a node");
    if (!inputs.contains(id)) define(graph, scope, id, "an initializer");
  }
  for (const NodeId id : body.nodes) require_node(graph, id, scope);
  for (const ValueId output : body.outputs) {
    if (!scope.contains(output)) broken(graph, output, "is an output and nobody makes it");
    if (!graph.is_output(output)) broken(graph, output, "does not know that it is an output");
  }
}

}  // namespace

void require_valid(const Graph& graph) { require_body(graph, graph.main(), {}); }

}  // namespace niwaki
