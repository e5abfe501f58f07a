#include "compress/axes/rules.h"

#include <algorithm>

namespace niwaki {
namespace {

bool is_one(const Ids& ids) { return ids.size() == 1; }

/// Two axes that face each other: the longer gives the ids, and a single index that it repeats cannot go.
Ids joined(AxisMap& map, const Ids& a, const Ids& b) {
  if (is_one(a) != is_one(b)) {
    map.freeze(is_one(a) ? a : b, "repeats it along another axis");
    return is_one(a) ? b : a;
  }
  if (a.empty() && b.empty()) return map.unknown_axis(map.joined_symbol(a.symbol, b.symbol));
  map.unite(a, b);
  return a.empty() ? b : a;
}

/// All inputs are operands.
bool variadic(AxisMap& map, const Node& node) {
  if (has_attribute(node, "broadcast")) return false;        // opset 6: aligned by an attribute
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
  for (size_t i = 2; i < axes.size() && node.op == "InstanceNormalization"; ++i) map.freeze(axes[i], "normalizes over this axis");
  return map.set_output(node, axes);
}

/// The slopes face the last axes of x; before opset 7, one number per channel.
bool prelu(AxisMap& map, const Node& node) {
  const AxisIds* slope = map.input(node, 1);
  if (slope == nullptr) return false;
  return map.graph().opset() < 7 && slope->size() == 1 ? normalized(map, node) : variadic(map, node);
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
                         "Or", "Pow", "Sub", "Sum", "Where", "Xor"}) {
    rules[op] = variadic;
  }
  rules["BatchNormalization"] = rules["InstanceNormalization"] = normalized;
  rules["PRelu"] = prelu;
  rules["QuantizeLinear"] = rules["DequantizeLinear"] = quantized;
  return rules;
}

}  // namespace

AxisIds broadcast(AxisMap& map, const AxisIds& a, const AxisIds& b) {
  const AxisIds &longer = a.size() < b.size() ? b : a, &shorter = a.size() < b.size() ? a : b;
  AxisIds axes = longer;
  const size_t missing = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) axes[missing + i] = joined(map, longer[missing + i], shorter[i]);
  return axes;
}

const AxisRules& elementwise_axis_rules() {
  static const AxisRules rules = make_rules();
  return rules;
}

}  // namespace niwaki
