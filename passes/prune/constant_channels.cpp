#include "passes/prune/constant_channels.h"

#include "compress/executor.h"
#include "compress/graph_edit.h"
#include "compress/linear_view.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace niwaki {
namespace {

using Number = std::optional<double>;
using Numbers = std::vector<Number>;
using Found = std::optional<ConstantChannels>;

Tensor doubles(const Graph& graph, ValueId id) { return values(*graph.constant(id)).to(at::kDouble).contiguous(); }

std::vector<double> list_of(const Tensor& numbers) {
  const Tensor flat = numbers.reshape({-1}).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

class Sweep {
 public:
  Sweep(const Graph& graph, double tolerance) : graph_(graph), tolerance_(tolerance) {}
  std::map<ValueId, ConstantChannels> run();

 private:
  Found of(ValueId id) const;
  Found visit(NodeId id);
  Found linear(const LinearView& view);
  Found normalized(const Node& node);
  Found unary(const Node& node);
  Found binary(const Node& node);
  Found pooled(const Node& node);
  Found concatenated(const Node& node);
  Found reshaped(const Node& node);
  Found reduced(const Node& node);
  Found padded(const Node& node);
  /// An operand of a binary operator, one number per channel.
  Numbers operand(ValueId id, size_t axis, size_t count, size_t rank) const;
  size_t rank_of(ValueId id) const { return graph_.value(id).shape ? graph_.value(id).shape->size() : 0; }

  const Graph& graph_;
  double tolerance_;
  std::map<ValueId, ConstantChannels> found_;
};

Found Sweep::of(ValueId id) const {
  const auto found = found_.find(id);
  return found == found_.end() ? std::nullopt : Found(found->second);
}

/// The weight as [groups, outputs / groups, inputs / groups, taps], or undefined.
Tensor grouped_weight(const Graph& graph, const LinearView& view) {
  const Tensor weight = doubles(graph, view.weight);
  if (view.kind == LinearKind::conv) return weight.reshape({view.groups, weight.size(0) / view.groups, weight.size(1), -1});
  if (weight.dim() != 2 || view.kind == LinearKind::conv_transpose) return {};
  return weight.movedim(view.channel_axis, 0).unsqueeze(0).unsqueeze(3);
}

/// Row o is constant if all that it reads is: b + sum of w * c; padding is a zero, so c must be zero beside it.
Found Sweep::linear(const LinearView& view) {
  const Node& node = graph_.node(view.node);
  const Tensor weight = grouped_weight(graph_, view);
  const size_t rank = rank_of(view.output);
  if (!weight.defined() || !fixed_constant(graph_, view.weight) || rank < 2) return std::nullopt;
  if (view.kind == LinearKind::matmul && view.weight_index == 0) return std::nullopt;
  const int64_t groups = weight.size(0), rows = weight.size(1), columns = weight.size(2);
  const bool is_conv = view.kind == LinearKind::conv;
  if (view.kind == LinearKind::gemm && int_attribute(node, "transA", 0) != 0) return std::nullopt;
  std::vector<double> bias(static_cast<size_t>(groups * rows), 0);
  const ValueId bias_id = view.kind == LinearKind::matmul ? ValueId::absent : input_or_absent(node, 2);
  if (bias_id != ValueId::absent) {
    const Constant* constant = fixed_constant(graph_, bias_id);
    if (!constant || element_count(*constant) != groups * rows || constant->sizes.back() != groups * rows) return std::nullopt;
    bias = list_of(doubles(graph_, bias_id));
    for (double& one : bias) one *= view.kind == LinearKind::gemm ? static_cast<double>(float_attribute(node, "beta", 1)) : 1;
  }
  const double alpha = view.kind == LinearKind::gemm ? static_cast<double>(float_attribute(node, "alpha", 1)) : 1;
  const Found x = of(view.input);
  const size_t input_axis = is_conv ? 1 : rank - 1;
  const bool knows_input = x && x->axis == input_axis && static_cast<int64_t>(x->numbers.size()) == groups * columns;
  const bool pads = is_conv && is_padded(node);
  const std::vector<double> sums = list_of(weight.sum(3)), sizes = list_of(weight.abs().amax(3));
  const double negligible = tolerance_ * (sizes.empty() ? 0 : *std::max_element(sizes.begin(), sizes.end()));
  ConstantChannels result{is_conv ? 1 : rank - 1, Numbers(bias.size())};
  for (int64_t o = 0; o < groups * rows; ++o) {
    double number = bias[static_cast<size_t>(o)];
    bool is_constant = true;
    for (int64_t c = 0; c < columns && is_constant; ++c) {
      const auto place = static_cast<size_t>(o * columns + c);
      if (sizes[place] <= negligible) continue;
      const Number input = knows_input ? x->numbers[static_cast<size_t>(o / rows * columns + c)] : Number();
      is_constant = input && (*input == 0 || !pads);
      if (is_constant) number += alpha * sums[place] * *input;
    }
    if (is_constant && std::isfinite(number)) result.numbers[static_cast<size_t>(o)] = number;
  }
  return result;
}

Found Sweep::normalized(const Node& node) {
  for (size_t i = 1; i < 5; ++i) {
    if (!fixed_constant(graph_, input_or_absent(node, i))) return std::nullopt;
  }
  if (int_attribute(node, "training_mode", 0) != 0 || int_attribute(node, "spatial", 1) == 0) return std::nullopt;
  const Tensor deviation = (doubles(graph_, node.inputs[4]) + static_cast<double>(float_attribute(node, "epsilon", 1e-5F))).sqrt();
  const Tensor factor = doubles(graph_, node.inputs[1]) / deviation;
  const auto factors = list_of(factor), shifts = list_of(doubles(graph_, node.inputs[2]) - doubles(graph_, node.inputs[3]) * factor);
  const Found x = of(node.inputs[0]);
  ConstantChannels result{1, Numbers(factors.size())};
  const bool knows_input = x && x->axis == 1 && x->numbers.size() == factors.size();
  for (size_t i = 0; i < factors.size(); ++i) {
    if (factors[i] == 0) result.numbers[i] = shifts[i];
    else if (knows_input && x->numbers[i]) result.numbers[i] = factors[i] * *x->numbers[i] + shifts[i];
  }
  return result;
}

/// Runs the node on the numbers themselves.
Found Sweep::unary(const Node& node) {
  Found x = of(node.inputs[0]);
  if (!x || graph_.value(node.inputs[0]).dtype != DType::float32) return std::nullopt;
  Graph alone;
  alone.header() = graph_.header();
  Node copy = node;
  std::vector<double> given;
  for (const Number& number : x->numbers) given.push_back(number.value_or(0));
  copy.inputs[0] = alone.add_constant("x", make_constant(at::tensor(given, at::kDouble).to(at::kFloat)));
  for (size_t i = 1; i < copy.inputs.size(); ++i) {
    const Constant* constant = fixed_constant(graph_, node.inputs[i]);
    if (node.inputs[i] == ValueId::absent) continue;
    if (constant == nullptr || element_count(*constant) != 1) return std::nullopt;
    copy.inputs[i] = alone.add_constant("p", *constant);
  }
  copy.outputs = {alone.add_value({.name = "y"})};
  alone.edit_main().outputs = copy.outputs;
  alone.insert_before(std::nullopt, std::move(copy));
  alone.index();
  if (!unsupported_nodes(alone).empty()) return std::nullopt;
  const std::vector<double> results = list_of(Executor(alone).run({}).front().tensor.to(at::kDouble));
  for (size_t i = 0; i < results.size(); ++i) {
    if (x->numbers[i]) x->numbers[i] = std::isfinite(results[i]) ? Number(results[i]) : Number();
  }
  return x;
}

Numbers Sweep::operand(ValueId id, size_t axis, size_t count, size_t rank) const {
  if (const Found x = of(id); x && x->axis == axis && x->numbers.size() == count && rank_of(id) == rank) return x->numbers;
  const Constant* constant = fixed_constant(graph_, id);
  if (!constant || constant->sizes.size() > rank || !is_float(constant->dtype)) return Numbers(count);
  for (size_t i = 0; i < constant->sizes.size(); ++i) {
    const bool is_channel = i + rank == axis + constant->sizes.size();
    if (constant->sizes[i] != 1 && !(is_channel && constant->sizes[i] == static_cast<int64_t>(count))) return Numbers(count);
  }
  const std::vector<double> numbers = list_of(doubles(graph_, id));
  Numbers result(count);
  for (size_t i = 0; i < count; ++i) result[i] = numbers[numbers.size() == 1 ? 0 : i];
  return result;
}

Number combined(const std::string& op, const Number& a, const Number& b) {
  if (op == "Mul" && ((a && *a == 0) || (b && *b == 0))) return 0.0;
  if (!a || !b) return std::nullopt;
  if (op == "Add") return *a + *b;
  if (op == "Sub") return *a - *b;
  if (op == "Mul") return *a * *b;
  if (op == "PRelu") return *a < 0 ? *a * *b : *a;
  if (op == "Max") return std::max(*a, *b);
  if (op == "Min") return std::min(*a, *b);
  return *b == 0 ? Number() : Number(*a / *b);
}

Found Sweep::binary(const Node& node) {
  if (node.inputs.size() != 2) return std::nullopt;
  const Found left = of(node.inputs[0]), right = of(node.inputs[1]);
  if (!left && !right) return std::nullopt;
  const Found& lead = left ? left : right;
  const size_t rank = rank_of(node.outputs[0]), count = lead->numbers.size();
  if (rank == 0 || rank_of(left ? node.inputs[0] : node.inputs[1]) != rank) return std::nullopt;
  const Numbers a = operand(node.inputs[0], lead->axis, count, rank), b = operand(node.inputs[1], lead->axis, count, rank);
  ConstantChannels result{lead->axis, Numbers(count)};
  for (size_t i = 0; i < count; ++i) result.numbers[i] = combined(node.op, a[i], b[i]);
  return result;
}

Found Sweep::pooled(const Node& node) {
  Found x = of(node.inputs[0]);
  if (!x || x->axis != 1 || node.outputs.size() != 1) return std::nullopt;
  const bool counts_padding = node.op == "AveragePool" && int_attribute(node, "count_include_pad", 0) != 0 && is_padded(node);
  for (Number& number : x->numbers) {
    if (counts_padding && number && *number != 0) number.reset();
  }
  return x;
}

Found Sweep::concatenated(const Node& node) {
  const auto rank = static_cast<int64_t>(rank_of(node.outputs[0]));
  const int64_t axis = (int_attribute(node, "axis", 1) + rank) % std::max<int64_t>(rank, 1);
  ConstantChannels result{static_cast<size_t>(axis), {}};
  for (const ValueId input : node.inputs) {
    const Found x = of(input);
    const auto& shape = graph_.value(input).shape;
    const auto* size = shape && result.axis < shape->size() ? std::get_if<int64_t>(&(*shape)[result.axis]) : nullptr;
    if (size == nullptr) return std::nullopt;
    const Numbers part = x && x->axis == result.axis ? x->numbers : Numbers(static_cast<size_t>(*size));
    result.numbers.insert(result.numbers.end(), part.begin(), part.end());
  }
  return result;
}

/// [N, C, H, W] to [N, C * H * W]: each number H * W times.
Found Sweep::reshaped(const Node& node) {
  const Found x = of(node.inputs[0]);
  const auto &from = graph_.value(node.inputs[0]).shape, &to = graph_.value(node.outputs[0]).shape;
  if (!x || x->axis != 1 || !from || !to || to->size() != 2) return std::nullopt;
  size_t area = 1;
  for (size_t i = 2; i < from->size(); ++i) {
    const auto* size = std::get_if<int64_t>(&(*from)[i]);
    if (size == nullptr) return std::nullopt;
    area *= static_cast<size_t>(*size);
  }
  if ((*to)[1] != Dim(static_cast<int64_t>(area * x->numbers.size()))) return std::nullopt;
  ConstantChannels result{1, {}};
  for (const Number& number : x->numbers) result.numbers.insert(result.numbers.end(), area, number);
  return result;
}

Found Sweep::reduced(const Node& node) {
  Found x = of(node.inputs[0]);
  const auto axes = has_attribute(node, "axes") ? std::optional(ints_attribute(node, "axes")) : constant_ints(graph_, input_or_absent(node, 1));
  const auto rank = static_cast<int64_t>(rank_of(node.inputs[0]));
  if (!x || !axes || axes->empty() || rank == 0) return std::nullopt;
  std::set<size_t> gone;
  for (const int64_t axis : *axes) gone.insert(static_cast<size_t>((axis + rank) % rank));
  if (gone.contains(x->axis)) return std::nullopt;
  if (int_attribute(node, "keepdims", 1) == 0) x->axis -= static_cast<size_t>(std::distance(gone.begin(), gone.lower_bound(x->axis)));
  return x;
}

/// Zeros stay zeros beside added zeros.
Found Sweep::padded(const Node& node) {
  Found x = of(node.inputs[0]);
  const ValueId fill = input_or_absent(node, 2);
  const auto pads = has_attribute(node, "pads") ? std::optional(ints_attribute(node, "pads")) : constant_ints(graph_, input_or_absent(node, 1));
  if (!x || !pads || 2 * x->axis >= pads->size() || float_attribute(node, "value", 0) != 0) return std::nullopt;
  if (fill != ValueId::absent && !is_constant_scalar(graph_, fill, 0)) return std::nullopt;
  if ((*pads)[x->axis] != 0 || (*pads)[x->axis + pads->size() / 2] != 0) return std::nullopt;
  for (Number& number : x->numbers) {
    if (number && *number != 0) number.reset();
  }
  return x;
}

Found Sweep::visit(NodeId id) {
  static const std::set<std::string> unaries = {"Abs", "Clip", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Neg", "Relu",
                                                "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh"};
  static const std::set<std::string> binaries = {"Add", "Div", "Max", "Min", "Mul", "PRelu", "Sub"};
  static const std::set<std::string> pools = {"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"};
  const Node& node = graph_.node(id);
  if (!is_default_domain(node.domain) || node.inputs.empty() || node.outputs.empty()) return std::nullopt;
  if (const auto view = linear_view(graph_, id)) return linear(*view);
  if (node.op == "BatchNormalization") return normalized(node);
  if (unaries.contains(node.op)) return unary(node);
  if (binaries.contains(node.op)) return binary(node);
  if (pools.contains(node.op)) return pooled(node);
  if (node.op == "Concat") return concatenated(node);
  if (node.op == "Identity") return of(node.inputs[0]);
  if (node.op == "Flatten" || node.op == "Reshape") return reshaped(node);
  if (node.op == "ReduceMean" || node.op == "ReduceMax" || node.op == "ReduceMin") return reduced(node);
  if (node.op == "Pad") return padded(node);
  return std::nullopt;
}

std::map<ValueId, ConstantChannels> Sweep::run() {
  for (const NodeId id : graph_.main().nodes) {
    const Found found = visit(id);
    if (!found || std::none_of(found->numbers.begin(), found->numbers.end(), [](const Number& one) { return one.has_value(); })) continue;
    found_.emplace(graph_.node(id).outputs[0], *found);
  }
  return std::move(found_);
}

}  // namespace

bool is_padded(const Node& conv) {
  const std::string automatic = string_attribute(conv, "auto_pad", "NOTSET");
  if (automatic == "VALID") return false;
  const auto pads = ints_attribute(conv, "pads");
  return automatic != "NOTSET" || std::any_of(pads.begin(), pads.end(), [](int64_t pad) { return pad != 0; });
}

std::map<ValueId, ConstantChannels> constant_channels(const Graph& graph, double tolerance) { return Sweep(graph, tolerance).run(); }

}  // namespace niwaki
