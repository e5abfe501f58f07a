#include "compress/axes/rules.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

/// The statistics of these ids change when some go: frozen, unless that is allowed.
void approximate(AxisMap& map, const Ids& axis) {
  if (map.options().allow_approximate) map.approximate.push_back(axis);
  else map.freeze(axis, "normalizes over this axis, so removing channels would be approximate");
}

/// LayerNormalization and RMSNormalization: over the axes from `axis` on, with parameters of their shape.
bool layer_norm(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes || x_axes->empty()) return false;
  const AxisIds x = *x_axes;
  const size_t axis = front(int_attribute(node, "axis", -1), x.size());
  if (axis >= x.size()) return false;
  for (size_t i = axis; i < x.size(); ++i) approximate(map, x[i]);
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == ValueId::absent) continue;
    const AxisIds* parameter = map.input(node, i);
    if (!parameter || parameter->size() > x.size() - axis) return false;
    broadcast(map, x, AxisIds(*parameter));
  }
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    AxisIds statistics = x;
    for (size_t k = axis; k < x.size(); ++k) statistics[k] = Ids{0};
    if (node.outputs[i] != ValueId::absent && !map.set(node.outputs[i], std::move(statistics))) return false;
  }
  return map.set_output(node, x);
}

/// Groups keep equal counts; scale and bias are per channel, before opset 21 per group.
bool group_norm(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto groups = static_cast<size_t>(int_attribute(node, "num_groups", 0));
  if (!x_axes || x_axes->size() < 2 || groups == 0 || (*x_axes)[1].empty() || (*x_axes)[1].size() % groups != 0) return false;
  const AxisIds x = *x_axes;
  const size_t size = x[1].size() / groups;
  for (size_t i = 1; i < x.size(); ++i) approximate(map, x[i]);
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const AxisIds* parameter = map.input(node, i);
    if (!parameter || parameter->size() != 1) return false;
    if ((*parameter)[0].size() == x[1].size() && map.graph().opset() >= 21) map.unite(Ids((*parameter)[0]), x[1]);
    else map.freeze(Ids((*parameter)[0]), "has one number per group");
  }
  std::vector<Ids> blocks;
  for (size_t q = 0; q < groups; ++q) blocks.emplace_back(x[1].begin() + static_cast<int64_t>(q * size), x[1].begin() + static_cast<int64_t>((q + 1) * size));
  map.equal_counts.push_back(std::move(blocks));
  return map.set_output(node, x);
}

const Node* producer_of(const Graph& graph, ValueId id) {
  const auto found = id == ValueId::absent ? std::nullopt : graph.producer(id);
  return found ? &graph.node(*found) : nullptr;
}

/// What is squared, x of x * x and x ^ 2; absent: nothing.
ValueId squared(const Graph& graph, ValueId id) {
  const Node* node = producer_of(graph, id);
  if (!node || node->inputs.size() != 2) return ValueId::absent;
  if (node->op == "Mul" && node->inputs[0] == node->inputs[1]) return node->inputs[0];
  return node->op == "Pow" && is_constant_scalar(graph, node->inputs[1], 2) ? node->inputs[0] : ValueId::absent;
}

bool is_scalar(const Graph& graph, ValueId id) {
  const Constant* constant = fixed_constant(graph, id);
  return constant != nullptr && element_count(*constant) == 1;
}

/// True if all that is made of a statistic scales (or shifts) `x` again.
bool serves(const Graph& graph, ValueId statistic, ValueId x, bool is_mean) {
  static const std::set<std::string> unary = {"Cast", "Identity", "Reciprocal", "Sqrt"};
  if (graph.is_output(statistic)) return false;
  for (const NodeId id : graph.consumers(statistic)) {
    const Node& node = graph.node(id);
    if (node.outputs.size() != 1 || !is_default_domain(node.domain) || !node.bodies.empty()) return false;
    if (is_mean) {
      if (node.op != "Sub" || node.inputs[0] != x || node.inputs[1] != statistic) return false;
      continue;
    }
    if ((node.op == "Mul" && (node.inputs[0] == x || node.inputs[1] == x)) || (node.op == "Div" && node.inputs[0] == x)) continue;
    bool passes = unary.contains(node.op);
    if (node.op == "Add" || node.op == "Div" || node.op == "Mul" || node.op == "Pow" || node.op == "Max") {
      passes = is_scalar(graph, node.inputs[node.inputs[0] == statistic ? 1 : 0]);
    }
    if (!passes || !serves(graph, node.outputs[0], x, false)) return false;
  }
  return true;
}

}  // namespace

bool is_mean_of_norm(const Graph& graph, const Node& mean) {
  const ValueId x = squared(graph, mean.inputs[0]);
  return x == ValueId::absent ? serves(graph, mean.outputs[0], mean.inputs[0], true) : serves(graph, mean.outputs[0], x, false);
}

const AxisRules& normalization_axis_rules() {
  static const AxisRules rules = {{"GroupNormalization", group_norm}, {"LayerNormalization", layer_norm}, {"RMSNormalization", layer_norm}};
  return rules;
}

}  // namespace niwaki
