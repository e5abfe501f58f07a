#include "passes/cleanup/symbolic_shapes.h"

#include "compress/graph_edit.h"

#include <algorithm>
#include <set>

namespace niwaki {
namespace {

using Number = std::optional<SymbolicInt>;
using Lengths = std::optional<SymbolicNumbers>;      // no value: the rank is not known

const std::set<std::string> kKeepShape = {
    "Abs",      "Acos",  "Asin",       "Atan",        "BatchNormalization",    "Cast",    "Ceil",    "Celu",     "Clip",      "Cos",        "CumSum",
    "Dropout",  "Elu",   "Erf",        "Exp",         "DequantizeLinear",      "Floor",   "Gelu",    "Hardmax",  "HardSigmoid", "HardSwish", "Identity",
    "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization", "LRN", "Mish", "Neg", "Not",
    "PRelu",    "QuantizeLinear", "Reciprocal", "Relu", "RMSNormalization", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus", "Softsign",
    "Sqrt",     "Tan",   "Tanh",       "ThresholdedRelu", "Trilu"};
const std::set<std::string> kBroadcast = {"Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min",
                                          "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor"};
const std::set<std::string> kWindows = {"AveragePool", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool"};

SymbolicNumbers as_lengths(const SymbolicShape& shape) { return {shape.begin(), shape.end()}; }

size_t from_front(int64_t axis, size_t rank) { return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis); }

/// Axes as indices below `rank`; nullopt: not constant, or out of range.
std::optional<std::set<size_t>> axes_of(const SymbolicNode& at, size_t index, size_t rank) {
  const auto list = constant_list(at, index, "axes");
  if (!list) return std::nullopt;
  std::set<size_t> axes;
  for (const int64_t axis : *list) axes.insert(from_front(axis, rank));
  const bool is_valid = axes.size() == list->size() && (axes.empty() || *axes.rbegin() < rank);
  return is_valid ? std::optional(axes) : std::nullopt;
}

Lengths broadcast(const SymbolicNode& at) {
  if (at.graph.opset() < 7 && at.shape(0)) return as_lengths(*at.shape(0));
  SymbolicNumbers result;
  for (size_t i = 0; i < at.node.inputs.size(); ++i) {
    if (at.shape(i) == nullptr) return std::nullopt;
    result = broadcast_lengths(result, as_lengths(*at.shape(i)));
  }
  return result;
}

/// Stride 1 adds the padding and takes off the window; what else happens to positions is left to inference.
Number window_length(const SymbolicNode& at, const SymbolicInt& length, int64_t kernel, size_t axis) {
  if (at.node.op != "Conv" || string_attribute(at.node, "auto_pad", "NOTSET") != "NOTSET") return std::nullopt;
  const auto one_of = [&](const std::string& name, size_t index, int64_t otherwise) {
    const auto list = ints_attribute(at.node, name);
    return index < list.size() ? list[index] : otherwise;
  };
  const size_t num_axes = at.shape(0)->size() - 2;
  if (one_of("strides", axis, 1) != 1) return std::nullopt;
  const int64_t padding = one_of("pads", axis, 0) + one_of("pads", axis + num_axes, 0);
  return sum(length, padding - one_of("dilations", axis, 1) * (kernel - 1));
}

Lengths window(const SymbolicNode& at) {
  const SymbolicShape *x = at.shape(0), *w = at.shape(1);
  if (x == nullptr || x->size() < 3) return std::nullopt;
  SymbolicNumbers result(x->size());
  result[0] = (*x)[0];
  const bool has_weight = at.node.op.starts_with("Conv");
  if (!has_weight) result[1] = (*x)[1];
  if (at.node.op == "Conv" && w && w->size() == x->size()) {
    result[1] = (*w)[0];
    for (size_t i = 2; i < x->size(); ++i) {
      if (const auto kernel = (*w)[i].constant()) result[i] = window_length(at, (*x)[i], *kernel, i - 2);
    }
  }
  if (at.node.op.starts_with("Global")) std::fill(result.begin() + 2, result.end(), SymbolicInt(1));
  return result;
}

Lengths matmul(const SymbolicNode& at) {
  const SymbolicShape *a = at.shape(0), *b = at.shape(1);
  if (a == nullptr || b == nullptr || a->size() < 2 || b->size() < 2) return std::nullopt;
  SymbolicNumbers result = broadcast_lengths({a->begin(), a->end() - 2}, {b->begin(), b->end() - 2});
  result.emplace_back((*a)[a->size() - 2]);
  result.emplace_back(b->back());
  return result;
}

Lengths gemm(const SymbolicNode& at) {
  const SymbolicShape *a = at.shape(0), *b = at.shape(1);
  if (a == nullptr || b == nullptr || a->size() != 2 || b->size() != 2) return std::nullopt;
  return SymbolicNumbers{(*a)[int_attribute(at.node, "transA", 0) ? 1 : 0], (*b)[int_attribute(at.node, "transB", 0) ? 0 : 1]};
}

Lengths transpose(const SymbolicNode& at) {
  if (at.shape(0) == nullptr) return std::nullopt;
  const SymbolicShape& x = *at.shape(0);
  const auto perm = ints_attribute(at.node, "perm");
  if (!perm.empty() && perm.size() != x.size()) return std::nullopt;
  SymbolicNumbers result;
  for (size_t i = 0; i < x.size(); ++i) result.emplace_back(x.at(perm.empty() ? x.size() - 1 - i : from_front(perm[i], x.size())));
  return result;
}

Number count_of(const SymbolicNumbers& lengths) {
  Number count = SymbolicInt(1);
  for (const Number& length : lengths) count = count && length ? product(*count, *length) : std::nullopt;
  return count;
}

Lengths reshape(const SymbolicNode& at) {
  const SymbolicNumbers* target = at.numbers_of(1);
  const SymbolicShape* x = at.shape(0);
  if (target == nullptr) return std::nullopt;
  SymbolicNumbers result(target->size());
  std::optional<size_t> open;
  for (size_t i = 0; i < target->size(); ++i) {
    const auto constant = (*target)[i] ? (*target)[i]->constant() : std::nullopt;
    if (constant == -1) {
      open = i;
    } else if (constant == 0 && int_attribute(at.node, "allowzero", 0) == 0) {
      if (x && i < x->size()) result[i] = (*x)[i];
    } else if ((*target)[i] && (*target)[i]->is_at_least(0)) {
      result[i] = (*target)[i];
    }
  }
  if (!open || x == nullptr) return result;
  SymbolicNumbers others = result;
  others[*open] = SymbolicInt(1);
  const Number all = count_of(as_lengths(*x)), rest = count_of(others);
  if (all && rest && rest->constant() != 0) result[*open] = exact_quotient(*all, *rest);
  return result;
}

Lengths flatten(const SymbolicNode& at) {
  if (at.shape(0) == nullptr) return std::nullopt;
  const SymbolicNumbers x = as_lengths(*at.shape(0));
  const auto axis = static_cast<std::ptrdiff_t>(from_front(int_attribute(at.node, "axis", 1), x.size()));
  if (axis > static_cast<std::ptrdiff_t>(x.size())) return std::nullopt;
  return SymbolicNumbers{count_of({x.begin(), x.begin() + axis}), count_of({x.begin() + axis, x.end()})};
}

Lengths unsqueeze(const SymbolicNode& at) {
  const auto list = constant_list(at, 1, "axes");
  if (at.shape(0) == nullptr || !list) return std::nullopt;
  const auto axes = axes_of(at, 1, at.shape(0)->size() + list->size());
  if (!axes) return std::nullopt;
  SymbolicNumbers result = as_lengths(*at.shape(0));
  for (const size_t axis : *axes) result.insert(result.begin() + static_cast<std::ptrdiff_t>(axis), SymbolicInt(1));
  return result;
}

Lengths without_axes(const SymbolicNode& at, const std::set<size_t>& axes, bool keeps_dims) {
  SymbolicNumbers result;
  for (size_t i = 0; i < at.shape(0)->size(); ++i) {
    if (!axes.contains(i)) result.emplace_back((*at.shape(0))[i]);
    else if (keeps_dims) result.emplace_back(SymbolicInt(1));
  }
  return result;
}

Lengths squeeze(const SymbolicNode& at) {
  if (at.shape(0) == nullptr) return std::nullopt;
  const auto axes = axes_of(at, 1, at.shape(0)->size());
  return axes ? without_axes(at, *axes, false) : std::nullopt;     // without axes it depends on the lengths
}

Lengths reduced(const SymbolicNode& at) {
  if (at.shape(0) == nullptr) return std::nullopt;
  const size_t rank = at.shape(0)->size();
  const bool keeps_dims = int_attribute(at.node, "keepdims", 1) != 0;
  if (at.node.op.starts_with("Arg")) return without_axes(at, {from_front(int_attribute(at.node, "axis", 0), rank)}, keeps_dims);
  const auto axes = axes_of(at, 1, rank);
  return axes && !axes->empty() ? without_axes(at, *axes, keeps_dims) : std::nullopt;
}

Lengths concat(const SymbolicNode& at) {
  if (at.shape(0) == nullptr) return std::nullopt;
  SymbolicNumbers result = as_lengths(*at.shape(0));
  const size_t axis = from_front(int_attribute(at.node, "axis", 1), result.size());
  if (axis >= result.size()) return std::nullopt;
  for (size_t i = 1; i < at.node.inputs.size(); ++i) {
    const SymbolicShape* one = at.shape(i);
    if (one == nullptr || one->size() != result.size()) return std::nullopt;
    result[axis] = result[axis] ? sum(*result[axis], (*one)[axis]) : std::nullopt;
  }
  return result;
}

/// Of each output; what the part is, inference tells.
Lengths split(const SymbolicNode& at) {
  if (at.shape(0) == nullptr) return std::nullopt;
  SymbolicNumbers result = as_lengths(*at.shape(0));
  const size_t axis = from_front(int_attribute(at.node, "axis", 0), result.size());
  if (axis >= result.size()) return std::nullopt;
  result[axis] = std::nullopt;
  return result;
}

Lengths gather(const SymbolicNode& at) {
  const SymbolicShape *data = at.shape(0), *indices = at.shape(1);
  if (data == nullptr || indices == nullptr) return std::nullopt;
  const size_t axis = from_front(int_attribute(at.node, "axis", 0), data->size());
  if (axis >= data->size()) return std::nullopt;
  SymbolicNumbers result = as_lengths(*data);
  const auto place = result.erase(result.begin() + static_cast<std::ptrdiff_t>(axis));
  result.insert(place, indices->begin(), indices->end());
  return result;
}

Lengths slice(const SymbolicNode& at) {
  const SymbolicShape* data = at.shape(0);
  if (data == nullptr) return std::nullopt;
  SymbolicNumbers result = as_lengths(*data);
  const auto numbers_of = [&](size_t index, const std::string& attribute) -> Lengths {
    if (has_attribute(at.node, attribute)) {
      const auto list = ints_attribute(at.node, attribute);
      return SymbolicNumbers(list.begin(), list.end());
    }
    return at.numbers_of(index) ? Lengths(*at.numbers_of(index)) : std::nullopt;
  };
  const Lengths starts = numbers_of(1, "starts"), ends = numbers_of(2, "ends");
  const bool has_axes = has_attribute(at.node, "axes") || input_or_absent(at.node, 3) != ValueId::absent;
  const auto axes = constant_list(at, 3, "axes"), steps = constant_list(at, 4, "");
  if (has_axes && !axes) return SymbolicNumbers(data->size());
  const size_t count = has_axes ? axes->size() : starts ? starts->size() : data->size();
  for (size_t i = 0; i < count; ++i) {
    const size_t axis = has_axes ? from_front((*axes)[i], data->size()) : i;
    if (axis >= result.size()) return std::nullopt;
    const bool knows_step = input_or_absent(at.node, 4) == ValueId::absent || (steps && i < steps->size());
    const bool is_known = starts && ends && i < starts->size() && i < ends->size() && (*starts)[i] && (*ends)[i] && knows_step;
    result[axis] = is_known ? sliced_length((*data)[axis], *(*starts)[i], *(*ends)[i], steps ? (*steps)[i] : 1) : std::nullopt;
  }
  return result;
}

Lengths from_target(const SymbolicNode& at) {
  const bool is_fill = at.node.op == "ConstantOfShape";
  const SymbolicNumbers* target = at.numbers_of(is_fill ? 0 : 1);
  if (target == nullptr || (!is_fill && at.shape(0) == nullptr)) return std::nullopt;
  SymbolicNumbers wanted = *target;
  for (Number& one : wanted) {
    if (one && !one->is_at_least(0)) one = std::nullopt;
  }
  return is_fill ? wanted : broadcast_lengths(as_lengths(*at.shape(0)), wanted);
}

/// Lengths of output 0, of a Split of every output; nullopt where there is no rule.
Lengths symbolic_lengths(const SymbolicNode& at) {
  const std::string& op = at.node.op;
  if (!is_default_domain(at.node.domain) || at.node.inputs.empty()) return std::nullopt;
  if (kKeepShape.contains(op)) return at.shape(0) ? Lengths(as_lengths(*at.shape(0))) : std::nullopt;
  if (kBroadcast.contains(op)) return broadcast(at);
  if (kWindows.contains(op)) return window(at);
  if (op == "MatMul") return matmul(at);
  if (op == "Gemm") return gemm(at);
  if (op == "Transpose") return transpose(at);
  if (op == "Reshape") return reshape(at);
  if (op == "Flatten") return flatten(at);
  if (op == "Unsqueeze") return unsqueeze(at);
  if (op == "Squeeze") return squeeze(at);
  if (op == "Concat") return concat(at);
  if (op == "Gather") return gather(at);
  if (op == "Split") return split(at);
  if (op == "Size") return SymbolicNumbers{};
  if (op == "Shape") {
    const auto numbers = symbolic_numbers(at);
    return SymbolicNumbers{numbers ? Number(SymbolicInt(static_cast<int64_t>(numbers->size()))) : std::nullopt};
  }
  if (op == "GatherElements") return at.shape(1) ? Lengths(as_lengths(*at.shape(1))) : std::nullopt;
  if (op == "Slice") return slice(at);
  if (op == "Expand" || op == "ConstantOfShape") return from_target(at);
  if (op == "ArgMax" || op == "ArgMin" || op.starts_with("Reduce")) return reduced(at);
  return std::nullopt;
}

}  // namespace

const SymbolicShape* SymbolicShapes::shape(ValueId id) const {
  const bool is_known = index_of(id) < facts_.size() && facts_[index_of(id)].shape;
  return is_known ? &*facts_[index_of(id)].shape : nullptr;
}

const SymbolicNumbers* SymbolicShapes::numbers(ValueId id) const {
  const bool is_known = index_of(id) < facts_.size() && facts_[index_of(id)].numbers;
  return is_known ? &*facts_[index_of(id)].numbers : nullptr;
}

void SymbolicShapes::set_shape(const Graph& graph, ValueId id, const std::optional<SymbolicNumbers>& lengths) {
  const auto& stated = graph.value(id).shape;
  if (!lengths && !stated) return;
  SymbolicShape shape;
  const size_t rank = lengths ? lengths->size() : stated->size();
  for (size_t i = 0; i < rank; ++i) {
    const bool is_stated = stated && stated->size() == rank && std::holds_alternative<int64_t>((*stated)[i]);
    if (lengths && (*lengths)[i]) shape.push_back(*(*lengths)[i]);
    else if (is_stated) shape.emplace_back(std::get<int64_t>((*stated)[i]));
    else shape.push_back(SymbolicInt::symbol(num_symbols_++));
  }
  facts_[index_of(id)].shape = std::move(shape);
}

void SymbolicShapes::set_constant(const Graph& graph, ValueId id) {
  const Constant* constant = fixed_constant(graph, id);
  if (constant == nullptr) return set_shape(graph, id, std::nullopt);
  facts_[index_of(id)].shape = SymbolicShape(constant->sizes.begin(), constant->sizes.end());
  facts_[index_of(id)].numbers = numbers_in(*constant);
}

void SymbolicShapes::visit(const Graph& graph, const Node& node) {
  SymbolicNode at{graph, node, {}, {}};
  for (const ValueId id : node.inputs) {
    if (id != ValueId::absent && !shape(id) && !graph.producer(id)) set_constant(graph, id);
  }
  for (const ValueId id : node.inputs) {
    at.shapes.push_back(id == ValueId::absent ? nullptr : shape(id));
    at.numbers.push_back(id == ValueId::absent ? nullptr : numbers(id));
  }
  const auto has_rule = [&](size_t output) { return node.bodies.empty() && (output == 0 || node.op == "Split"); };
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != ValueId::absent) set_shape(graph, node.outputs[i], has_rule(i) ? symbolic_lengths(at) : std::nullopt);
  }
  if (node.outputs.empty() || node.outputs[0] == ValueId::absent || !node.bodies.empty()) return;
  const SymbolicShape* result = shape(node.outputs[0]);
  auto computed = symbolic_numbers(at);
  const bool fits = computed && result && (result->empty() ? computed->size() == 1 : result->size() == 1 && (*result)[0] == SymbolicInt(static_cast<int64_t>(computed->size())));
  if (fits) facts_[index_of(node.outputs[0])].numbers = std::move(computed);
}

SymbolicShapes::SymbolicShapes(const Graph& graph) : facts_(graph.num_values()) {
  for (const NodeId id : graph.all_nodes()) visit(graph, graph.node(id));
}

}  // namespace niwaki
