#include "compress/axes/rules.h"

#include "compress/graph_edit.h"

#include <algorithm>
#include <set>

namespace niwaki {
namespace {

/// The axis takes the ids of all, one after the other.
bool concat(AxisMap& map, const Node& node) {
  AxisIds result;
  size_t axis = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const AxisIds* one = map.input(node, i);
    if (!one || one->empty()) return false;
    if (i == 0) {
      result = *one;
      axis = front(int_attribute(node, "axis", 1), result.size());
      continue;
    }
    if (one->size() != result.size()) return false;
    for (size_t k = 0; k < result.size(); ++k) {
      const Ids& other = (*one)[k];
      if (k == axis && (other.empty() || result[k].empty())) return false;
      if (k == axis) result[k].insert(result[k].end(), other.begin(), other.end());
      else map.unite(result[k], other);
      if (result[k].empty()) result[k] = other;
    }
  }
  return map.set_output(node, std::move(result));
}

bool split(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes || x_axes->empty()) return false;
  const AxisIds x = *x_axes;
  const size_t axis = front(int_attribute(node, "axis", 0), x.size());
  auto sizes = ints_of(map, node, 1, "split");
  const auto count = static_cast<int64_t>(node.outputs.size()), length = static_cast<int64_t>(x[axis].size());
  const bool is_even = !sizes && input_or_absent(node, 1) == ValueId::absent;
  if (is_even && (length == 0 || length % count != 0)) return false;
  if (is_even) sizes = std::vector<int64_t>(static_cast<size_t>(count), length / count);
  if (!sizes || sizes->size() != node.outputs.size()) return false;
  freeze_parameters(map, node, 1);
  // without sizes of its own the split stays even: every part loses the same
  for (int64_t i = length / count; is_even && i < length; ++i) map.unite(x[axis][static_cast<size_t>(i)], x[axis][static_cast<size_t>(i % (length / count))]);
  auto next = x[axis].begin();
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (x[axis].end() - next < (*sizes)[i]) return false;
    AxisIds part = x;
    part[axis].assign(next, next + (*sizes)[i]);
    next += (*sizes)[i];
    if (!map.set(node.outputs[i], std::move(part))) return false;
  }
  return true;
}

/// The part of an axis of known length that a Slice takes.
Ids taken(const Ids& axis, int64_t start, int64_t end, int64_t step) {
  const auto length = static_cast<int64_t>(axis.size());
  const auto bounded = [&](int64_t at, int64_t least, int64_t most) { return std::clamp(at < 0 ? at + length : at, least, most); };
  Ids result;
  if (step > 0) for (int64_t i = bounded(start, 0, length); i < bounded(end, 0, length); i += step) result.push_back(axis[static_cast<size_t>(i)]);
  else for (int64_t i = bounded(start, -1, length - 1); i > bounded(end, -1, length - 1); i += step) result.push_back(axis[static_cast<size_t>(i)]);
  return result;
}

/// What bounds that cannot be rewritten leave of a frozen axis.
Ids sliced_length(AxisMap& map, const Node& node, const Ids& axis, size_t i, size_t place) {
  const auto starts = ints_of(map, node, 1, "starts"), ends = ints_of(map, node, 2, "ends");
  const auto steps = constant_ints(map.graph(), input_or_absent(node, 4));
  const int64_t step = steps ? (*steps)[i] : 1;
  if (axis.empty()) return map.frozen_axis(node.outputs[0], place);
  if (starts && ends) return Ids(taken(axis, (*starts)[i], (*ends)[i], step).size(), 0);
  const auto lengths = map.lengths(input_or_absent(node, 2));
  if (!starts || (*starts)[i] != 0 || step != 1 || axis.size() < 2 || !lengths || i >= lengths->elements.size()) return map.frozen_axis(node.outputs[0], place);
  const Length& end = lengths->elements[i];  // a table cut to the length of the input
  return end.number || end.symbol == 0 ? map.frozen_axis(node.outputs[0], place) : map.bounded_axis(end.symbol);
}

/// Bounds that are computed freeze their axis; a stride is rewritten as Gather, so it stands alone.
bool slice(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes) return false;
  AxisIds x = *x_axes;
  const auto starts = ints_of(map, node, 1, "starts"), ends = ints_of(map, node, 2, "ends");
  auto axes = ints_of(map, node, 3, "axes"), steps = constant_ints(map.graph(), input_or_absent(node, 4));
  if (input_or_absent(node, 4) != ValueId::absent && !steps) return false;
  if (input_or_absent(node, 3) != ValueId::absent && !axes) return false;
  if (!axes && !starts) return false;
  freeze_parameters(map, node, 1);
  const bool is_known = starts && ends;
  const size_t count = axes ? axes->size() : starts->size();
  for (size_t i = 0; i < count; ++i) {
    const size_t axis = axes ? front((*axes)[i], x.size()) : i;
    const int64_t step = steps ? (*steps)[i] : 1;
    if (axis >= x.size() || step == 0) return false;
    if (!is_known || x[axis].empty() || (step != 1 && count != 1)) {
      map.freeze(x[axis], "slices it with bounds that cannot be rewritten");
      x[axis] = sliced_length(map, node, x[axis], i, axis);
      continue;
    }
    x[axis] = taken(x[axis], (*starts)[i], (*ends)[i], step);
    if (x[axis].empty()) return false;
  }
  return map.set_output(node, std::move(x));
}

/// Constant indices of rank 1 select; a table keeps its rows; an axis picked from by number is frozen.
bool gather(AxisMap& map, const Node& node) {
  const AxisIds *x_axes = map.input(node, 0), *indices = map.input(node, 1);
  if (!x_axes || !indices || x_axes->empty()) return false;
  const AxisIds x = *x_axes, picked = *indices;
  const size_t axis = front(int_attribute(node, "axis", 0), x.size());
  const auto numbers = constant_ints(map.graph(), node.inputs[1]);
  AxisIds result(x.begin(), x.begin() + static_cast<int64_t>(axis));
  const auto reaches = [&](int64_t number) { return front(number, x[axis].size()) < x[axis].size(); };
  const bool is_inside = numbers && std::all_of(numbers->begin(), numbers->end(), reaches);
  if (is_inside && picked.size() == 1) {
    freeze_parameters(map, node, 1);
    Ids& selected = result.emplace_back();
    for (const int64_t number : *numbers) selected.push_back(x[axis].at(front(number, x[axis].size())));
  } else {
    map.freeze(x[axis], "picks single indices of this axis");
    freeze_parameters(map, node, 1);
    result.insert(result.end(), picked.begin(), picked.end());
  }
  result.insert(result.end(), x.begin() + static_cast<int64_t>(axis) + 1, x.end());
  return map.set_output(node, std::move(result));
}

bool pad(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto pads = ints_of(map, node, 1, "pads");
  if (!x_axes || !pads || input_or_absent(node, 3) != ValueId::absent || pads->size() != 2 * x_axes->size()) return false;
  const AxisIds x = *x_axes;
  freeze_parameters(map, node, 1);
  const bool is_constant = string_attribute(node, "mode", "constant") == "constant";
  AxisIds result = x;
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t before = (*pads)[i], after = (*pads)[i + x.size()];
    if (before == 0 && after == 0) continue;
    if (!is_constant || before < 0 || after < 0 || x[i].empty()) {
      map.freeze(x[i], "pads it, or cuts it, in a form that cannot be rewritten");
      const int64_t length = static_cast<int64_t>(x[i].size()) + before + after;
      result[i] = x[i].empty() || length < 0 ? map.frozen_axis(node.outputs[0], i) : Ids(static_cast<size_t>(length), 0);
      continue;
    }
    // inserted channels may go, as many as are cut: padding of positions stays
    const bool is_free = !map.is_frozen(x[i]);
    const auto inserted = [&](int64_t count) { return is_free ? map.fresh_axis(count) : Ids(static_cast<size_t>(count), 0); };
    const Ids head = inserted(before), tail = inserted(after);
    result[i].insert(result[i].begin(), head.begin(), head.end());
    result[i].insert(result[i].end(), tail.begin(), tail.end());
  }
  return map.set_output(node, std::move(result));
}

bool transpose(AxisMap& map, const Node& node) {
  const AxisIds* x = map.input(node, 0);
  if (!x) return false;
  AxisIds result(x->rbegin(), x->rend());
  const auto perm = ints_attribute(node, "perm");
  if (!perm.empty() && perm.size() != x->size()) return false;
  for (size_t i = 0; i < perm.size(); ++i) result[i] = x->at(front(perm[i], x->size()));
  return map.set_output(node, std::move(result));
}

bool unsqueeze(AxisMap& map, const Node& node) {
  const AxisIds* x = map.input(node, 0);
  const auto axes = ints_of(map, node, 1, "axes");
  if (!x || !axes) return false;
  AxisIds result = *x;
  std::set<size_t> places;
  for (const int64_t axis : *axes) places.insert(front(axis, x->size() + axes->size()));
  for (const size_t place : places) {
    if (place > result.size()) return false;
    result.insert(result.begin() + static_cast<int64_t>(place), Ids{0});
  }
  freeze_parameters(map, node, 1);
  return map.set_output(node, std::move(result));
}

bool squeeze(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto axes = ints_of(map, node, 1, "axes");
  if (!x_axes || (!axes && input_or_absent(node, 1) != ValueId::absent)) return false;
  const AxisIds x = *x_axes;
  std::set<size_t> gone;
  for (const int64_t axis : axes.value_or(std::vector<int64_t>{})) gone.insert(front(axis, x.size()));
  for (size_t i = 0; i < x.size() && !axes; ++i) {
    if (x[i].empty()) return false;          // it may be 1
    if (x[i].size() == 1) gone.insert(i);
  }
  AxisIds result;
  for (size_t i = 0; i < x.size(); ++i) {
    if (gone.contains(i)) map.freeze(x[i]);
    else result.push_back(x[i]);
  }
  freeze_parameters(map, node, 1);
  return map.set_output(node, std::move(result));
}

}  // namespace

void freeze_parameters(AxisMap& map, const Node& node, size_t first) {
  for (size_t i = first; i < node.inputs.size(); ++i) {
    if (map.has(node.inputs[i])) for (const Ids& axis : AxisIds(map.of(node.inputs[i]))) map.freeze(axis);
  }
}

std::optional<std::vector<int64_t>> ints_of(const AxisMap& map, const Node& node, size_t index, const std::string& attribute) {
  if (has_attribute(node, attribute)) {
    const auto* one = std::get_if<int64_t>(&node.attributes.at(attribute));
    return one ? std::vector<int64_t>{*one} : ints_attribute(node, attribute);
  }
  return constant_ints(map.graph(), input_or_absent(node, index));
}

const AxisRules& shape_axis_rules() {
  static const AxisRules rules = {{"Concat", concat}, {"Gather", gather}, {"Pad", pad}, {"Slice", slice}, {"Split", split},
                                  {"Squeeze", squeeze}, {"Transpose", transpose}, {"Unsqueeze", unsqueeze}};
  return rules;
}

}  // namespace niwaki
