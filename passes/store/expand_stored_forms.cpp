#include "passes/store/expand_stored_forms.h"

#include "compress/error.h"
#include "compress/graph_edit.h"
#include "compress/ops/op_arguments.h"
#include "compress/ops/op_table.h"

#include <algorithm>
#include <array>
#include <set>

namespace niwaki {
namespace {

constexpr int64_t kMostRatio = 1024;         // bytes of a weight by those of its numbers: above, it is a rule
constexpr int64_t kRoom = 16, kLeastRoom = 1 << 20;   // bytes of an inner result, in weights and at least

/// Operators that stored forms are made of, in order.
constexpr std::array kOperators = {
    "Add", "BitShift", "BitwiseAnd", "Cast", "Concat", "ConstantOfShape", "CumSum", "Div", "Expand", "Gather", "GatherElements",
    "Less", "Mod", "Mul", "Pad", "Range", "Reshape", "ScatterElements", "ScatterND", "Slice", "Squeeze", "Sub", "Tile", "Transpose",
    "Unsqueeze", "Where"};
bool is_expander(const Node& node) { return std::find(kOperators.begin(), kOperators.end(), node.op) != kOperators.end() && find_op("", node.op) != nullptr; }

/// Nodes of the main body that constants alone decide.
std::set<NodeId> constant_nodes(const Graph& graph) {
  std::set<NodeId> found;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (!is_default_domain(node.domain) || !node.bodies.empty() || node.outputs.size() != 1 || !is_expander(node)) continue;
    const bool is_constant = std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
      if (input == ValueId::absent || fixed_constant(graph, input) != nullptr) return true;
      const auto producer = graph.producer(input);
      return producer && found.contains(*producer);
    });
    if (is_constant && !node.inputs.empty()) found.insert(id);
  }
  return found;
}

int64_t known_bytes(const Graph& graph, ValueId id) {
  const auto sizes = known_sizes(graph.value(id));
  if (!sizes) return -1;
  double bytes = bits_of(graph.value(id).dtype) / 8.0;
  for (const int64_t size : *sizes) bytes *= static_cast<double>(size);
  return static_cast<int64_t>(std::min(bytes, 1e15));
}

/// What a weight is computed from.
struct Chain {
  std::vector<NodeId> nodes;                 // in order
  int64_t bytes = 0, number_bytes = 0;       // of its constants; of those that are no shapes
};

void collect(const Graph& graph, ValueId id, std::set<ValueId>& seen, Chain& chain) {
  if (id == ValueId::absent || !seen.insert(id).second) return;
  if (const Constant* constant = graph.constant(id)) {
    chain.bytes += byte_size(*constant);
    if (constant->dtype != DType::int64) chain.number_bytes += byte_size(*constant);
    return;
  }
  const NodeId node = *graph.producer(id);
  for (const ValueId input : graph.node(node).inputs) collect(graph, input, seen, chain);
  chain.nodes.push_back(node);
}

/// A weight that nodes read which are not constant themselves, all of them selected.
bool is_weight(const Graph& graph, ValueId id, const std::set<NodeId>& constants, const PassContext& context) {
  if (!is_float(graph.value(id).dtype) || graph.is_output(id)) return false;
  bool is_read = false;
  for (const NodeId reader : graph.consumers(id)) {
    if (constants.contains(reader)) continue;
    if (!is_selected(graph, reader, context.keep, context.only)) return false;
    is_read = true;
  }
  return is_read;
}

/// True if numbers are stored for the weight, fewer bytes than it has, and nothing on the way needs much more room.
bool is_stored_form(const Graph& graph, ValueId id, const Chain& chain) {
  const int64_t bytes = known_bytes(graph, id);
  if (bytes <= chain.bytes || bytes / kMostRatio >= chain.number_bytes) return false;
  return std::all_of(chain.nodes.begin(), chain.nodes.end(), [&](NodeId node) {
    const int64_t needed = known_bytes(graph, graph.node(node).outputs[0]);
    return needed >= 0 && needed <= std::max(kLeastRoom, kRoom * bytes);
  });
}

Constant computed(const Graph& graph, ValueId id, const Chain& chain) {
  std::map<ValueId, RunValue> known;
  for (const NodeId at : chain.nodes) {
    const Node& node = graph.node(at);
    RunValues inputs;
    for (const ValueId input : node.inputs) {
      const Constant* constant = input == ValueId::absent ? nullptr : graph.constant(input);
      inputs.push_back(input == ValueId::absent ? RunValue{} : constant != nullptr ? run_value(*constant) : known.at(input));
    }
    known.insert_or_assign(node.outputs[0], find_op("", node.op)({node, graph.opset(), inputs, {}}).at(0));
  }
  const RunValue& result = known.at(id);
  return make_constant(result.tensor, result.dtype);
}

/// Removes nodes that nobody reads, last first, with the constants that they alone read; names are free again.
void remove_unread(Graph& graph, const std::vector<NodeId>& nodes, const std::set<ValueId>& values) {
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    const ValueId output = graph.node(*node).outputs[0];
    if (graph.consumers(output).empty() && !graph.is_output(output)) remove_with_constants(graph, *node);
  }
  for (const ValueId id : values) {
    if (!graph.producer(id) && graph.constant(id) == nullptr) graph.rename_value(id, "");
  }
}

}  // namespace

void expand_stored_forms(Graph& graph, const ExpandStoredFormsOptions&, PassContext& context) {
  const std::set<NodeId> constants = constant_nodes(graph);
  const std::vector<NodeId> order = graph.main().nodes;
  int64_t expanded = 0;
  for (const NodeId id : order) {
    if (!constants.contains(id) || !graph.exists(id)) continue;
    const ValueId weight = graph.node(id).outputs[0];
    if (!is_weight(graph, weight, constants, context)) continue;
    Chain chain;
    std::set<ValueId> seen;
    collect(graph, weight, seen, chain);
    if (!is_stored_form(graph, weight, chain)) continue;
    try {
      Constant constant = computed(graph, weight, chain);
      chain.nodes.pop_back();
      remove_with_constants(graph, id);
      become_constant(graph, weight, std::move(constant));
      remove_unread(graph, chain.nodes, seen);
      ++expanded;
    } catch (const Error& error) {
      context.report.skip(graph.label(id), error.message());
    }
  }
  if (expanded > 0) context.report.changes.emplace_back("stored forms", cat(expanded, " weights are plain constants again"));
}

}  // namespace niwaki
