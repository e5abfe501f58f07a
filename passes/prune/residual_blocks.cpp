#include "passes/prune/residual_blocks.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

enum class Walk { reaches, misses, leaves };

/// Follows `from` back to its sources: does it reach x, and does it read the graph in any other way?
Walk walk_back(const Graph& graph, ValueId from, ValueId x) {
  std::vector<ValueId> open = {from};
  std::set<ValueId> seen;
  bool reaches = false, leaves = false;
  while (!open.empty()) {
    const ValueId id = open.back();
    open.pop_back();
    if (id == ValueId::absent || graph.constant(id) || !seen.insert(id).second) continue;
    if (id == x) {
      reaches = true;
      continue;
    }
    const DType dtype = graph.value(id).dtype;
    if (dtype != DType::undefined && !is_float(dtype)) continue;
    const auto producer = graph.producer(id);
    if (!producer || !graph.node(*producer).bodies.empty()) {
      leaves = true;
      continue;
    }
    const auto& inputs = graph.node(*producer).inputs;
    open.insert(open.end(), inputs.begin(), inputs.end());
  }
  return !reaches ? Walk::misses : leaves ? Walk::leaves : Walk::reaches;
}

/// The Add, and in front of it what nobody reads without it; `x` stays.
std::set<NodeId> dying_nodes(const Graph& graph, NodeId add, ValueId x) {
  std::set<NodeId> nodes = {add};
  const auto goes = [&](ValueId id) {
    if (id == ValueId::absent) return true;
    const auto users = graph.consumers(id);
    return id != x && !graph.is_output(id) && std::all_of(users.begin(), users.end(), [&](NodeId user) { return nodes.contains(user); });
  };
  const auto& order = graph.main().nodes;
  for (auto it = std::find(order.rbegin(), order.rend(), add); it != order.rend(); ++it) {
    const auto& outputs = graph.node(*it).outputs;
    const bool was_read = std::any_of(outputs.begin(), outputs.end(), [&](ValueId id) { return id != ValueId::absent && !graph.consumers(id).empty(); });
    if (was_read && std::all_of(outputs.begin(), outputs.end(), goes)) nodes.insert(*it);
  }
  return nodes;
}

bool has_shape_of(const Graph& graph, ValueId x, ValueId sum, const KnownSizes& sizes) {
  const auto a = sizes.find(x), b = sizes.find(sum);
  if (a == sizes.end() || b == sizes.end() || a->second != b->second) return false;
  const auto known = known_sizes(graph.value(x)), all = known_sizes(graph.value(sum));
  return !known || !all || *known == *all;
}

std::string look_at(const Graph& graph, NodeId add, const KnownSizes& sizes, ResidualBlocks& found) {
  const Node& node = graph.node(add);
  const ValueId sum = node.outputs[0];
  for (size_t side = 0; side < 2; ++side) {
    const ValueId x = node.inputs[side];
    const Walk walk = walk_back(graph, node.inputs[1 - side], x);
    if (walk == Walk::misses) continue;
    if (walk == Walk::leaves) return "its branch reads more of the model than what goes around it";
    if (graph.is_output(sum)) return "its sum is an output of the model";
    if (!has_shape_of(graph, x, sum, sizes)) return "what goes around it has another shape";
    found.blocks.push_back({add, side, dying_nodes(graph, add, x)});
    return "";
  }
  return "neither input goes around the other";
}

/// True if every reader of the value is a Relu.
bool only_relus_read(const Graph& graph, ValueId id) {
  const auto users = graph.consumers(id);
  return !graph.is_output(id) && std::all_of(users.begin(), users.end(), [&](NodeId user) { return graph.node(user).op == "Relu" && is_default_domain(graph.node(user).domain); });
}

/// A Relu of a Relu is one: x, itself a Relu, takes the place of Relu(x).
void merge_relus(Graph& graph, ValueId x, StandIns& stand_ins) {
  const auto producer = graph.producer(x);
  if (!producer || graph.node(*producer).op != "Relu" || graph.consumers(x).empty() || !only_relus_read(graph, x)) return;
  const auto known = stand_ins.find(x);
  if (known != stand_ins.end() && has_single_use(graph, graph.node(*producer).inputs[0])) stand_ins[graph.node(*producer).inputs[0]] = known->second;
  stand_ins.erase(x);
  const auto users = graph.consumers(x);
  for (const NodeId user : std::vector<NodeId>(users.begin(), users.end())) bypass(graph, user, x, graph.node(user).outputs[0]);
}

}  // namespace

ResidualBlocks find_residual_blocks(const Graph& graph, const KnownSizes& sizes) {
  ResidualBlocks found;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (node.op != "Add" || !is_default_domain(node.domain) || node.inputs[0] == node.inputs[1]) continue;
    const DType dtype = graph.value(node.outputs[0]).dtype;
    if (graph.constant(node.inputs[0]) || graph.constant(node.inputs[1]) || (dtype != DType::undefined && !is_float(dtype))) continue;
    const std::string reason = look_at(graph, id, sizes, found);
    if (!reason.empty()) found.others.push_back({id, reason});
  }
  return found;
}

StandIns remove_blocks(Graph& graph, const std::vector<const ResidualBlock*>& blocks) {
  StandIns stand_ins;
  for (const ResidualBlock* block : blocks) {
    if (!graph.exists(block->add)) continue;             // it stood inside another that went
    const ValueId x = graph.node(block->add).inputs[block->skip_index], sum = graph.node(block->add).outputs[0];
    const auto users = graph.consumers(x);
    const bool is_free = !graph.is_output(x) && std::all_of(users.begin(), users.end(), [&](NodeId user) { return block->nodes.contains(user); });
    if (is_free) stand_ins[x] = sum;
    graph.replace_uses(sum, x);
    for (auto it = block->nodes.rbegin(); it != block->nodes.rend(); ++it) {
      if (graph.exists(*it)) remove_with_constants(graph, *it);
    }
    merge_relus(graph, x, stand_ins);
  }
  return stand_ins;
}

}  // namespace niwaki
