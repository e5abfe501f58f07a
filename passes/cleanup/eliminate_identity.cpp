#include "passes/cleanup/eliminate_identity.h"

#include "compress/graph_edit.h"

#include <algorithm>
#include <map>

namespace niwaki {
namespace {

constexpr int64_t kTakesAll = 2147483647;    // exporters write "to the end" as this or more

bool all_equal(const std::vector<int64_t>& numbers, int64_t wanted) {
  return std::all_of(numbers.begin(), numbers.end(), [&](int64_t number) { return number == wanted; });
}

/// Integers of an input, or of the attribute it was in earlier opsets.
std::optional<std::vector<int64_t>> ints_of(const Graph& graph, const Node& node, size_t index, const std::string& attribute) {
  if (has_attribute(node, attribute)) return ints_attribute(node, attribute);
  return constant_ints(graph, input_or_absent(node, index));
}

bool keeps_static_shape(const Graph& graph, const Node& node) {
  const auto before = known_sizes(graph.value(node.inputs[0])), after = known_sizes(graph.value(node.outputs[0]));
  return before && after && *before == *after;
}

/// True if broadcasting `other` against `value` gives the shape of `value`.
bool keeps_shape(const Graph& graph, ValueId value, const Constant& other) {
  if (other.sizes.empty()) return true;
  const auto& shape = graph.value(value).shape;
  if (!shape || shape->size() < other.sizes.size()) return false;
  const size_t skipped = shape->size() - other.sizes.size();
  for (size_t i = 0; i < other.sizes.size(); ++i) {
    if (other.sizes[i] != 1 && (*shape)[skipped + i] != Dim(other.sizes[i])) return false;
  }
  return true;
}

using Found = std::optional<ValueId>;        // the input that the output equals

Found first_if(const Node& node, bool condition) { return condition ? Found(node.inputs[0]) : std::nullopt; }

Found neutral_operand(const Graph& graph, const Node& node, double neutral, bool either_side) {
  for (const size_t side : {size_t{1}, size_t{0}}) {
    if (side == 0 && !either_side) break;
    const ValueId value = node.inputs[1 - side], operand = node.inputs[side];
    if (is_constant_scalar(graph, operand, neutral) && keeps_shape(graph, value, *graph.constant(operand))) return value;
  }
  return std::nullopt;
}

Found multiplied(const Graph& graph, const Node& node) { return neutral_operand(graph, node, 1, true); }
Found divided(const Graph& graph, const Node& node) { return neutral_operand(graph, node, 1, false); }
Found added(const Graph& graph, const Node& node) { return neutral_operand(graph, node, 0, true); }
Found subtracted(const Graph& graph, const Node& node) { return neutral_operand(graph, node, 0, false); }
Found always(const Graph&, const Node& node) { return first_if(node, true); }
Found single_input(const Graph&, const Node& node) { return first_if(node, node.inputs.size() == 1); }
Found same_shape(const Graph& graph, const Node& node) { return first_if(node, keeps_static_shape(graph, node)); }

Found cast(const Graph& graph, const Node& node) {
  const DType from = graph.value(node.inputs[0]).dtype;
  return first_if(node, from != DType::undefined && static_cast<int64_t>(from) == int_attribute(node, "to", 0));
}

Found dropout(const Graph& graph, const Node& node) {
  const ValueId mask = node.outputs.size() > 1 ? node.outputs[1] : ValueId::absent;
  if (mask != ValueId::absent && (!graph.consumers(mask).empty() || graph.is_output(mask))) return std::nullopt;
  if (graph.opset() < 7) return first_if(node, int_attribute(node, "is_test", 0) != 0);
  const ValueId training = input_or_absent(node, 2);
  return first_if(node, training == ValueId::absent || is_constant_scalar(graph, training, 0));
}

Found transpose(const Graph& graph, const Node& node) {
  const auto perm = ints_attribute(node, "perm");
  if (perm.empty()) {
    const auto& shape = graph.value(node.inputs[0]).shape;
    return first_if(node, shape && shape->size() <= 1);
  }
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return std::nullopt;
  }
  return first_if(node, true);
}

Found pad(const Graph& graph, const Node& node) {
  const auto pads = ints_of(graph, node, 1, has_attribute(node, "paddings") ? "paddings" : "pads");
  return first_if(node, pads && all_equal(*pads, 0));
}

Found slice(const Graph& graph, const Node& node) {
  const auto starts = ints_of(graph, node, 1, "starts"), ends = ints_of(graph, node, 2, "ends");
  const ValueId step_input = input_or_absent(node, 4);
  const auto steps = constant_ints(graph, step_input);
  if (step_input != ValueId::absent && !(steps && all_equal(*steps, 1))) return std::nullopt;
  if (keeps_static_shape(graph, node)) return first_if(node, true);
  const auto takes_all = [](int64_t end) { return end >= kTakesAll; };
  return first_if(node, starts && ends && all_equal(*starts, 0) && std::all_of(ends->begin(), ends->end(), takes_all));
}

using Rule = Found (*)(const Graph&, const Node&);

const std::map<std::string, Rule>& rules() {
  static const std::map<std::string, Rule> table = {
      {"Add", added},       {"Cast", cast},          {"Concat", single_input}, {"Div", divided},
      {"Dropout", dropout}, {"Expand", same_shape},  {"Flatten", same_shape},  {"Identity", always},
      {"Max", single_input}, {"Mean", single_input}, {"Min", single_input},    {"Mul", multiplied},
      {"Pad", pad},         {"Reshape", same_shape}, {"Slice", slice},         {"Sub", subtracted},
      {"Sum", single_input}, {"Tile", same_shape},   {"Transpose", transpose},
  };
  return table;
}

}  // namespace

void eliminate_identity(Graph& graph, const EliminateIdentityOptions& options, PassContext& context) {
  for (const NodeId id : graph.all_nodes()) {
    const Node& node = graph.node(id);
    const auto rule = rules().find(node.op);
    if (rule == rules().end() || !is_default_domain(node.domain)) continue;
    const Found input = rule->second(graph, node);
    if (!input) continue;
    const std::string label = graph.label(id);
    if (graph.value(*input).type.bytes.empty() && bypass(graph, id, *input, node.outputs[0])) context.report.change(label);
    else context.report.skip(label, "both ends are values of the interface");
  }
}

}  // namespace niwaki
