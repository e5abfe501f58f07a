#include "compress/axes/rules.h"

#include <algorithm>

namespace niwaki {
namespace {

/// Right-aligned broadcasting: n vs n unites, 1 vs n takes n.
AxisIds broadcast(AxisMap& map, const AxisIds& a, const AxisIds& b) {
  const size_t rank = std::max(a.size(), b.size());
  AxisIds axes(rank);
  for (size_t i = 0; i < rank; ++i) {
    const Ids* left = i + a.size() >= rank ? &a[i + a.size() - rank] : nullptr;
    const Ids* right = i + b.size() >= rank ? &b[i + b.size() - rank] : nullptr;
    if (left && right && left->size() == 1 && right->size() != 1) std::swap(left, right);
    if (left == nullptr) std::swap(left, right);
    axes[i] = *left;
    if (right == nullptr) continue;
    if (right->size() == 1 && left->size() != 1) map.freeze(*right);
    else map.unite(*left, *right);
  }
  return axes;
}

/// All inputs are operands.
bool variadic(AxisMap& map, const Node& node) {
  AxisIds axes;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const AxisIds* one = map.input(node, i);
    if (one == nullptr) return false;
    axes = i == 0 ? *one : broadcast(map, axes, *one);
  }
  return map.set_output(node, std::move(axes));
}

/// Ids pass from the first input; the others are scalars.
bool unary(AxisMap& map, const Node& node) {
  const AxisIds* x = map.input(node, 0);
  if (x == nullptr) return false;
  const AxisIds axes = *x;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    for (const Ids& axis : map.has(node.inputs[i]) ? map.of(node.inputs[i]) : AxisIds{}) map.freeze(axis);
  }
  for (const ValueId output : node.outputs) {
    if (output != ValueId::absent && !map.set(output, axes)) return false;
  }
  return true;
}

/// One parameter per index of axis 1.
bool normalized(AxisMap& map, const Node& node) {
  const AxisIds* x = map.input(node, 0);
  if (x == nullptr || x->size() < 2 || node.outputs.size() != 1) return false;
  const AxisIds axes = *x;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const AxisIds* parameter = map.input(node, i);
    if (parameter == nullptr || parameter->size() != 1) return false;
    map.unite((*parameter)[0], axes[1]);
  }
  return map.set_output(node, axes);
}

/// QuantizeLinear and DequantizeLinear: scalar parameters, or one per index of an axis.
bool quantized(AxisMap& map, const Node& node) {
  const AxisIds* x = map.input(node, 0);
  if (x == nullptr || int_attribute(node, "block_size", 0) != 0) return false;
  const AxisIds axes = *x;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const AxisIds* parameter = map.input(node, i);
    if (parameter == nullptr || parameter->size() > 1) return false;
    if (parameter->empty()) continue;
    const size_t axis = front(int_attribute(node, "axis", 1), axes.size());
    if ((*parameter)[0].size() == 1 && (axis >= axes.size() || axes[axis].size() != 1)) map.freeze((*parameter)[0]);
    else if (axis < axes.size()) map.unite((*parameter)[0], axes[axis]);
    else return false;
  }
  return map.set_output(node, axes);
}

AxisRules make_rules() {
  AxisRules rules;
  for (const char* op : {"Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Dropout",
                         "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log",
                         "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
                         "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu"}) {
    rules[op] = unary;
  }
  for (const char* op : {"Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul",
                         "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor"}) {
    rules[op] = variadic;
  }
  rules["BatchNormalization"] = rules["InstanceNormalization"] = normalized;
  rules["QuantizeLinear"] = rules["DequantizeLinear"] = quantized;
  return rules;
}

}  // namespace

const AxisRules& elementwise_axis_rules() {
  static const AxisRules rules = make_rules();
  return rules;
}

}  // namespace niwaki
