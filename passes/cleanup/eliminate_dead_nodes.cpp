#include "passes/cleanup/eliminate_dead_nodes.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

bool is_read(const Graph& graph, ValueId id) { return !graph.consumers(id).empty() || graph.is_output(id); }

bool is_dead(const Graph& graph, const Node& node) {
  if (node.outputs.empty()) return false;
  return std::none_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) { return id != ValueId::absent && is_read(graph, id); });
}

std::vector<ValueId> all_constants(const Graph& graph) {
  std::vector<ValueId> constants = graph.main().constants;
  for (const NodeId id : graph.all_nodes()) {
    for (const auto& [name, body] : graph.node(id).bodies) constants.insert(constants.end(), body.constants.begin(), body.constants.end());
  }
  return constants;
}

}  // namespace

void eliminate_dead_nodes(Graph& graph, const EliminateDeadNodesOptions& options, PassContext& context) {
  std::vector<NodeId> nodes = graph.all_nodes();
  std::reverse(nodes.begin(), nodes.end());  // readers first: one sweep finds whole dead branches
  for (const NodeId id : nodes) {
    if (!graph.exists(id) || !is_dead(graph, graph.node(id))) continue;
    context.report.change(graph.label(id));
    graph.remove(id);
  }
  for (const ValueId id : all_constants(graph)) {
    const std::string name = graph.value(id).name;
    if (is_read(graph, id)) continue;
    if (remove_unused_constant(graph, id)) context.report.change(name);
    else context.report.skip(name, "a caller may set this input");
  }
}

}  // namespace niwaki
