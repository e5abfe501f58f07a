#include "compress/axes/rules.h"
#include "compress/error.h"
#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

using Found = std::optional<Lengths>;

constexpr int64_t kMost = 64;                // elements of a shape, at most

bool is_integer(int64_t type) {
  const auto dtype = static_cast<DType>(type);
  return dtype == DType::int64 || dtype == DType::int32 || dtype == DType::boolean;
}

/// What the axes of x measure; axes that can be cut are remembered.
Found shape_of(AxisMap& map, const Node& node) {
  const AxisIds* x = map.input(node, 0);
  if (!x) return std::nullopt;
  const auto rank = static_cast<int64_t>(x->size());
  const auto bounded = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const int64_t start = bounded(int_attribute(node, "start", 0)), end = bounded(int_attribute(node, "end", rank));
  Lengths result;
  for (int64_t i = start; i < end; ++i) {
    const Ids& axis = (*x)[static_cast<size_t>(i)];
    Length& length = result.elements.emplace_back();
    length.symbol = axis.symbol;
    if (axis.empty()) continue;
    length.number = static_cast<int64_t>(axis.size());
    if (!map.is_frozen(axis)) length.axes.emplace_back(node.inputs[0], static_cast<size_t>(i));
  }
  return result;
}

Found passed(AxisMap& map, const Node& node) {
  if (node.op == "Cast" && !is_integer(int_attribute(node, "to", 0))) return std::nullopt;
  return map.lengths(node.inputs[0]);
}

Found with_axis(AxisMap& map, const Node& node) {
  Found x = map.lengths(node.inputs[0]);
  if (!x || x->rank != 0) return std::nullopt;
  x->rank = 1;
  return x;
}

Found without_axis(AxisMap& map, const Node& node) {
  Found x = map.lengths(node.inputs[0]);
  if (!x || x->elements.size() != 1) return std::nullopt;
  x->rank = 0;
  return x;
}

/// To one axis, whatever its length.
Found flat(AxisMap& map, const Node& node) {
  const Found target = map.lengths(input_or_absent(node, 1));
  Found x = map.lengths(node.inputs[0]);
  if (!x || !target || target->elements.size() != 1 || !target->elements[0].number) return std::nullopt;
  x->rank = 1;
  return x;
}

Found gathered(AxisMap& map, const Node& node) {
  const Found x = map.lengths(node.inputs[0]);
  const auto indices = constant_ints(map.graph(), node.inputs[1]);
  const Constant* constant = map.graph().constant(node.inputs[1]);
  if (!x || x->rank != 1 || !indices || constant->sizes.size() > 1) return std::nullopt;
  Lengths result{.rank = constant->sizes.size(), .elements = {}};
  for (const int64_t index : *indices) {
    const size_t place = front(index, x->elements.size());
    if (place >= x->elements.size()) return std::nullopt;
    result.elements.push_back(x->elements[place]);
  }
  return result;
}

Found sliced(AxisMap& map, const Node& node) {
  const Found x = map.lengths(node.inputs[0]);
  const auto starts = ints_of(map, node, 1, "starts"), ends = ints_of(map, node, 2, "ends");
  const auto steps = constant_ints(map.graph(), input_or_absent(node, 4));
  const bool has_steps = input_or_absent(node, 4) != ValueId::absent;
  if (!x || x->rank != 1 || !starts || !ends || starts->size() != 1 || ends->size() != 1) return std::nullopt;
  if (has_steps && (!steps || steps->size() != 1 || (*steps)[0] != 1)) return std::nullopt;
  const auto count = static_cast<int64_t>(x->elements.size());
  const auto bounded = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + count : at, 0, count); };
  const int64_t start = bounded((*starts)[0]), end = std::max(start, bounded((*ends)[0]));
  return Lengths{.elements = {x->elements.begin() + start, x->elements.begin() + end}};
}

Found concatenated(AxisMap& map, const Node& node) {
  Lengths result;
  for (const ValueId input : node.inputs) {
    const Found part = map.lengths(input);
    if (!part || part->rank != 1) return std::nullopt;
    result.elements.insert(result.elements.end(), part->elements.begin(), part->elements.end());
  }
  return result;
}

/// A vector of one number.
Found filled(AxisMap& map, const Node& node) {
  const Found shape = map.lengths(node.inputs[0]);
  if (!shape || shape->elements.size() != 1 || !shape->elements[0].number || *shape->elements[0].number > kMost) return std::nullopt;
  const auto value = node.attributes.find("value");
  const auto* constant = value == node.attributes.end() ? nullptr : std::get_if<Constant>(&value->second);
  if (!constant || !is_integer(static_cast<int64_t>(constant->dtype)) || element_count(*constant) != 1) return std::nullopt;
  Length one = shape->elements[0];
  one.number = values(*constant).to(at::kLong).item<int64_t>();
  return Lengths{.elements = std::vector<Length>(static_cast<size_t>(*shape->elements[0].number), one)};
}

std::optional<int64_t> computed(const std::string& op, const Length& a, const Length& b) {
  if (op == "Equal" && ((a.number && *a.number < 0 && !b.number && b.symbol != 0) || (b.number && *b.number < 0 && !a.number && a.symbol != 0))) {
    return 0;                                // no axis has a negative length
  }
  if (!a.number || !b.number) return std::nullopt;
  if (op == "Add") return *a.number + *b.number;
  if (op == "Sub") return *a.number - *b.number;
  if (op == "Mul") return *a.number * *b.number;
  if (op == "Equal") return *a.number == *b.number ? 1 : 0;
  if (*b.number == 0) return std::nullopt;
  return *a.number / *b.number;
}

const Length& element(const Lengths& x, size_t i) { return x.elements[x.elements.size() == 1 ? 0 : i]; }

Found combined(AxisMap& map, const Node& node) {
  const Found a = map.lengths(node.inputs[0]), b = map.lengths(node.inputs[1]);
  if (!a || !b || a->elements.empty() || b->elements.empty()) return std::nullopt;
  const size_t count = std::max(a->elements.size(), b->elements.size());
  for (const Found& one : {a, b}) {
    if (one->elements.size() != count && one->elements.size() != 1) return std::nullopt;
  }
  Lengths result{.rank = std::max(a->rank, b->rank), .elements = {}};
  for (size_t i = 0; i < count; ++i) {
    const Length &left = element(*a, i), &right = element(*b, i);
    Length& made = result.elements.emplace_back();
    made.number = computed(node.op, left, right);
    made.axes = left.axes;
    made.axes.insert(made.axes.end(), right.axes.begin(), right.axes.end());
  }
  return result;
}

/// Conditions must be known; what decided them stays a source.
Found chosen(AxisMap& map, const Node& node) {
  const Found condition = map.lengths(node.inputs[0]), yes = map.lengths(node.inputs[1]), no = map.lengths(node.inputs[2]);
  if (!condition || !yes || !no) return std::nullopt;
  const size_t count = std::max({condition->elements.size(), yes->elements.size(), no->elements.size()});
  Lengths result{.rank = std::max({condition->rank, yes->rank, no->rank}), .elements = {}};
  for (const Found& one : {condition, yes, no}) {
    if (one->elements.size() != count && one->elements.size() != 1) return std::nullopt;
  }
  for (size_t i = 0; i < count; ++i) {
    const Length& decides = element(*condition, i);
    if (!decides.number) return std::nullopt;
    Length& made = result.elements.emplace_back(element(*decides.number != 0 ? *yes : *no, i));
    made.axes.insert(made.axes.end(), decides.axes.begin(), decides.axes.end());
  }
  return result;
}

using Follow = Found (*)(AxisMap& map, const Node& node);

const std::map<std::string, Follow>& follow_table() {
  static const std::map<std::string, Follow> table = {
      {"Add", combined}, {"Cast", passed},    {"Concat", concatenated}, {"ConstantOfShape", filled}, {"Div", combined},   {"Equal", combined},
      {"Gather", gathered}, {"Identity", passed}, {"Mul", combined}, {"Reshape", flat}, {"Shape", shape_of}, {"Slice", sliced},
      {"Squeeze", without_axis}, {"Sub", combined}, {"Unsqueeze", with_axis}, {"Where", chosen}};
  return table;
}

}  // namespace

bool follow_lengths(AxisMap& map, const Node& node) {
  if (!is_default_domain(node.domain) || node.outputs.size() != 1 || node.inputs.empty()) return false;
  const auto found = follow_table().find(node.op);
  if (found == follow_table().end()) return false;
  const auto is_followed = [&](ValueId input) { return map.follows(input); };
  const auto is_fixed = [&](ValueId input) { return constant_ints(map.graph(), input).has_value(); };
  const bool is_source = node.op == "Shape" || node.op == "ConstantOfShape" || std::all_of(node.inputs.begin(), node.inputs.end(), is_fixed);
  if (!is_source && std::none_of(node.inputs.begin(), node.inputs.end(), is_followed)) return false;
  Found result = found->second(map, node);
  if (!result) return false;
  freeze_parameters(map, node, node.op == "Shape" ? 1 : 0);
  map.set_lengths(node.outputs[0], std::move(*result));
  return map.follows(node.outputs[0]);
}

}  // namespace niwaki
