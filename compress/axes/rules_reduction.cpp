#include "compress/axes/rules.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

/// Axes that keep their length pass, the others freeze: pooling and Resize, over axes from 2 on.
bool over_space(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes || x_axes->size() < 2 || node.outputs.size() != 1) return false;   // indices of MaxPool count channels
  const AxisIds x = *x_axes;
  AxisIds axes{x[0], x[1]};
  for (size_t i = 2; i < x.size(); ++i) {
    map.freeze(x[i]);
    axes.push_back(map.frozen_axis(node.outputs[0], i));
  }
  freeze_parameters(map, node, 1);
  return map.set_output(node, std::move(axes));
}

/// True if constant scales leave batch and channels alone.
bool scales_space_alone(const AxisMap& map, const Node& node) {
  const Constant* scales = fixed_constant(map.graph(), input_or_absent(node, node.inputs.size() > 2 ? 2 : 1));
  if (!scales || element_count(*scales) < 2) return false;
  const Tensor numbers = values(*scales).to(at::kDouble);
  return numbers[0].item<double>() == 1 && numbers[1].item<double>() == 1;
}

/// Resize with scales leaves the channels alone; sizes would name their number.
bool resize(AxisMap& map, const Node& node) {
  const AxisIds* x = map.input(node, 0);
  if (!x || x->size() < 2 || has_attribute(node, "axes") || has_attribute(node, "scales")) return false;
  if (string_attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize") return false;
  const auto& shape = map.graph().value(node.outputs[0]).shape;
  const auto* size = shape && shape->size() == x->size() ? std::get_if<int64_t>(&(*shape)[1]) : nullptr;
  const bool keeps_count = size && static_cast<size_t>(*size) == (*x)[1].size();
  if (!keeps_count && !scales_space_alone(map, node)) return false;
  if (!scales_space_alone(map, node)) map.freeze((*x)[1], "resizes to sizes that name this axis");
  return over_space(map, node);
}

/// The reduced axes, or nullopt: not known.
std::optional<std::set<size_t>> reduced_axes(const AxisMap& map, const Node& node, size_t rank) {
  std::set<size_t> reduced;
  if (node.op == "ArgMax" || node.op == "ArgMin") return std::set<size_t>{front(int_attribute(node, "axis", 0), rank)};
  if (has_attribute(node, "axes") || input_or_absent(node, 1) != ValueId::absent) {
    const auto axes = ints_of(map, node, 1, "axes");
    if (!axes) return std::nullopt;
    for (const int64_t axis : *axes) reduced.insert(front(axis, rank));
  }
  if (!reduced.empty()) return reduced;
  if (int_attribute(node, "noop_with_empty_axes", 0) != 0) return std::nullopt;
  for (size_t i = 0; i < rank; ++i) reduced.insert(i);
  return reduced;
}

bool reduce(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes) return false;
  const AxisIds x = *x_axes;
  const auto reduced = reduced_axes(map, node, x.size());
  if (!reduced) return false;
  freeze_parameters(map, node, 1);
  const bool keeps_axes = int_attribute(node, "keepdims", 1) != 0;
  const bool serves_norm = map.options().allow_approximate && reduced->size() == 1 && node.op == "ReduceMean" && keeps_axes &&
                           is_mean_of_norm(map.graph(), node);
  AxisIds result;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!reduced->contains(i)) result.push_back(x[i]);
    else if (serves_norm) map.approximate.push_back(x[i]);
    else map.freeze(x[i], "reduces over this axis");
    if (reduced->contains(i) && keeps_axes) result.push_back({0});
  }
  return map.set_output(node, std::move(result));
}

/// Ids pass, and one axis freezes: its elements are mixed.
bool along_axis(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes || x_axes->empty()) return false;
  const AxisIds x = *x_axes;
  const int64_t otherwise = node.op == "LpNormalization" || map.graph().opset() >= 13 ? -1 : 1;
  const size_t axis = front(node.op == "LRN" ? 1 : int_attribute(node, "axis", otherwise), x.size());
  if (axis >= x.size()) return false;
  const bool takes_rest = (node.op == "Softmax" || node.op == "LogSoftmax" || node.op == "Hardmax") && map.graph().opset() < 13;
  map.freeze(x[axis], "mixes the elements of this axis");
  for (size_t i = axis; takes_rest && i < x.size(); ++i) map.freeze(x[i], "mixes the elements of this axis");
  return map.set_output(node, x);
}

bool cumulate(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto axis = constant_ints(map.graph(), input_or_absent(node, 1));
  if (!x_axes || !axis || axis->size() != 1 || front((*axis)[0], x_axes->size()) >= x_axes->size()) return false;
  const AxisIds x = *x_axes;
  map.freeze(x[front((*axis)[0], x.size())], "mixes the elements of this axis");
  freeze_parameters(map, node, 1);
  return map.set_output(node, x);
}

bool top_k(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes || x_axes->empty()) return false;
  AxisIds x = *x_axes;
  const size_t axis = front(int_attribute(node, "axis", -1), x.size());
  if (axis >= x.size()) return false;
  map.freeze(x[axis], "orders the elements of this axis");
  freeze_parameters(map, node, 1);
  for (const ValueId output : node.outputs) {
    if (output == ValueId::absent) continue;
    x[axis] = map.frozen_axis(output, axis);
    if (!map.set(output, x)) return false;
  }
  return true;
}

/// The last two axes are positions of a matrix.
bool triangle(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes || x_axes->size() < 2) return false;
  const AxisIds x = *x_axes;
  for (size_t i = x.size() - 2; i < x.size(); ++i) map.freeze(x[i]);
  freeze_parameters(map, node, 1);
  return map.set_output(node, x);
}

AxisRules make_rules() {
  AxisRules rules;
  for (const char* op : {"AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"}) rules[op] = over_space;
  for (const char* op : {"ArgMax", "ArgMin", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
                         "ReduceProd", "ReduceSum", "ReduceSumSquare"}) {
    rules[op] = reduce;
  }
  for (const char* op : {"Hardmax", "LRN", "LogSoftmax", "LpNormalization", "Softmax"}) rules[op] = along_axis;
  rules["CumSum"] = cumulate;
  rules["Resize"] = rules["Upsample"] = resize;
  rules["TopK"] = top_k;
  rules["Trilu"] = triangle;
  return rules;
}

}  // namespace

const AxisRules& reduction_axis_rules() {
  static const AxisRules rules = make_rules();
  return rules;
}

}  // namespace niwaki
