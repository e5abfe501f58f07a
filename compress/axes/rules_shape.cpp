#include "compress/axes/rules.h"

#include "compress/graph_edit.h"

#include <algorithm>
#include <set>

namespace niwaki {
namespace {

/// Freezes the inputs from `first` on: shapes, axes, pads.
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

/// Axes that keep their length pass, the others freeze: pooling and Resize, over axes from 2 on.
bool over_space(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes || x_axes->size() < 2) return false;
  const AxisIds x = *x_axes;
  for (const ValueId output : node.outputs) {
    if (output == ValueId::absent) continue;
    AxisIds axes{x[0], x[1]};
    for (size_t i = 2; i < x.size(); ++i) {
      map.freeze(x[i]);
      axes.push_back(map.frozen_axis(output, i));
    }
    if (!map.set(output, std::move(axes))) return false;
  }
  freeze_parameters(map, node, 1);
  return true;
}

/// Resize with scales leaves the channels alone; sizes would name their number.
bool resize(AxisMap& map, const Node& node) {
  if (has_attribute(node, "axes")) return false;
  const auto& shape = map.graph().value(node.outputs[0]).shape;
  const AxisIds* x = map.input(node, 0);
  if (!x || !shape || shape->size() != x->size() || shape->size() < 2) return false;
  for (size_t i = 0; i < 2; ++i) {
    const auto* size = std::get_if<int64_t>(&(*shape)[i]);
    if (i == 1 && (!size || static_cast<size_t>(*size) != (*x)[1].size())) return false;
  }
  if (input_or_absent(node, 3) != ValueId::absent) map.freeze((*x)[1]);
  return over_space(map, node);
}

bool reduce(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes) return false;
  const AxisIds x = *x_axes;
  const bool has_axes = has_attribute(node, "axes") || input_or_absent(node, 1) != ValueId::absent;
  std::set<size_t> reduced;
  if (node.op == "ArgMax" || node.op == "ArgMin") {
    reduced.insert(front(int_attribute(node, "axis", 0), x.size()));
  } else if (has_axes) {
    const auto axes = ints_of(map, node, 1, "axes");
    if (!axes) return false;
    for (const int64_t axis : *axes) reduced.insert(front(axis, x.size()));
  }
  if (reduced.empty()) {
    if (int_attribute(node, "noop_with_empty_axes", 0) != 0) return false;
    for (size_t i = 0; i < x.size(); ++i) reduced.insert(i);
  }
  freeze_parameters(map, node, 1);
  AxisIds result;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!reduced.contains(i)) result.push_back(x[i]);
    else map.freeze(x[i]);
    if (reduced.contains(i) && int_attribute(node, "keepdims", 1) != 0) result.push_back({0});
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
  const bool takes_rest = (node.op == "Softmax" || node.op == "LogSoftmax") && map.graph().opset() < 13;
  map.freeze(x[axis]);
  for (size_t i = axis; takes_rest && i < x.size(); ++i) map.freeze(x[i]);
  return map.set_output(node, x);
}

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

bool slice(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes) return false;
  AxisIds x = *x_axes;
  const auto starts = ints_of(map, node, 1, "starts"), ends = ints_of(map, node, 2, "ends");
  auto axes = ints_of(map, node, 3, "axes"), steps = constant_ints(map.graph(), input_or_absent(node, 4));
  if (input_or_absent(node, 4) != ValueId::absent && !steps) return false;
  if (!starts || !ends || (input_or_absent(node, 3) != ValueId::absent && !axes)) return false;
  freeze_parameters(map, node, 1);
  for (size_t i = 0; i < starts->size(); ++i) {
    const size_t axis = axes ? front((*axes)[i], x.size()) : i;
    const int64_t step = steps ? (*steps)[i] : 1;
    if (axis >= x.size()) return false;
    const auto length = static_cast<int64_t>(x[axis].size());
    if (length == 0 || step != 1) {           // a stride over what is left is no stride over what was
      map.freeze(x[axis]);
      x[axis] = map.frozen_axis(node.outputs[0], axis);
      continue;
    }
    const auto bounded = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + length : at, 0, length); };
    const int64_t start = bounded((*starts)[i]), end = std::max(start, bounded((*ends)[i]));
    x[axis] = Ids(x[axis].begin() + start, x[axis].begin() + end);
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
  if (is_inside && picked.size() == 1 && has_single_use(map.graph(), node.inputs[1])) {
    freeze_parameters(map, node, 1);
    Ids& selected = result.emplace_back();
    for (const int64_t number : *numbers) selected.push_back(x[axis].at(front(number, x[axis].size())));
  } else {
    map.freeze(x[axis]);
    freeze_parameters(map, node, 1);
    result.insert(result.end(), picked.begin(), picked.end());
  }
  result.insert(result.end(), x.begin() + static_cast<int64_t>(axis) + 1, x.end());
  return map.set_output(node, std::move(result));
}

bool pad(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto pads = ints_of(map, node, 1, "pads");
  if (!x_axes || !pads || pads->size() != 2 * x_axes->size()) return false;
  const AxisIds x = *x_axes;
  freeze_parameters(map, node, 1);
  const bool is_constant = string_attribute(node, "mode", "constant") == "constant";
  AxisIds result = x;
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t before = (*pads)[i], after = (*pads)[i + x.size()];
    if (before == 0 && after == 0) continue;
    if (!is_constant || before < 0 || after < 0 || x[i].empty()) {
      map.freeze(x[i]);
      result[i] = map.frozen_axis(node.outputs[0], i);
      continue;
    }
    result[i].insert(result[i].begin(), static_cast<size_t>(before), 0);
    result[i].insert(result[i].end(), static_cast<size_t>(after), 0);
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
  if (!x_axes || !axes) return false;
  const AxisIds x = *x_axes;
  std::set<size_t> gone;
  for (const int64_t axis : *axes) gone.insert(front(axis, x.size()));
  AxisIds result;
  for (size_t i = 0; i < x.size(); ++i) {
    if (gone.contains(i)) map.freeze(x[i]);
    else result.push_back(x[i]);
  }
  freeze_parameters(map, node, 1);
  return map.set_output(node, std::move(result));
}

/// Row-major regrouping of axes of known length (algorithms.md 2.3).
class Regroup {
 public:
  Regroup(AxisMap& map, AxisIds in, std::vector<int64_t> out) : map_(map), in_(std::move(in)), out_(std::move(out)) {}
  std::optional<AxisIds> run() {
    size_t i = 0, o = 0;
    AxisIds result;
    while (i < in_.size() || o < out_.size()) {
      const size_t first_in = i, first_out = o;
      int64_t in_size = 1, out_size = 1;
      if (i < in_.size()) in_size = size(i++);
      if (o < out_.size()) out_size = out_[o++];
      while (in_size != out_size) {
        if (in_size < out_size && i < in_.size()) in_size *= size(i++);
        else if (out_size < in_size && o < out_.size()) out_size *= out_[o++];
        else return std::nullopt;
      }
      block(first_in, i, first_out, o, result);
    }
    return result;
  }

 private:
  int64_t size(size_t i) const { return static_cast<int64_t>(in_[i].size()); }
  void block(size_t in_begin, size_t in_end, size_t out_begin, size_t out_end, AxisIds& result);
  Ids flattened(const std::vector<size_t>& axes);

  AxisMap& map_;
  AxisIds in_;
  std::vector<int64_t> out_;
};

/// Element e of the block inherits the id of the one axis that can be cut, at its coordinate.
Ids Regroup::flattened(const std::vector<size_t>& axes) {
  std::vector<size_t> free;
  int64_t total = 1, inner = 1;
  for (const size_t axis : axes) {
    total *= size(axis);
    if (!map_.is_frozen(in_[axis])) free.push_back(axis);
  }
  if (free.empty()) return Ids(static_cast<size_t>(total), 0);
  for (size_t i = 0; i + 1 < free.size(); ++i) map_.freeze(in_[free[i]]);
  const size_t kept = free.back();
  for (const size_t axis : axes) inner *= axis > kept ? size(axis) : 1;
  Ids ids(static_cast<size_t>(total));
  for (int64_t e = 0; e < total; ++e) ids[static_cast<size_t>(e)] = in_[kept][static_cast<size_t>(e / inner % size(kept))];
  return ids;
}

void Regroup::block(size_t in_begin, size_t in_end, size_t out_begin, size_t out_end, AxisIds& result) {
  std::vector<size_t> inputs, outputs;       // without axes of length 1
  for (size_t i = in_begin; i < in_end; ++i) {
    if (size(i) != 1) inputs.push_back(i);
    else map_.freeze(in_[i]);
  }
  for (size_t o = out_begin; o < out_end; ++o) {
    if (out_[o] != 1) outputs.push_back(o);
  }
  const auto place = [&](size_t from) { return result.begin() + static_cast<int64_t>(from); };
  const size_t base = result.size();
  for (size_t o = out_begin; o < out_end; ++o) result.emplace_back(static_cast<size_t>(out_[o]), 0);
  const auto out_at = [&](size_t o) -> Ids& { return *place(base + o - out_begin); };
  if (outputs.size() == 1) {
    out_at(outputs[0]) = flattened(inputs);
  } else if (inputs.size() == 1 && outputs.size() > 1) {
    const Ids& ids = in_[inputs[0]];         // the innermost axis gets them, tied over the others
    const auto inner = static_cast<size_t>(out_[outputs.back()]);
    for (size_t e = inner; e < ids.size(); ++e) map_.unite(ids[e], ids[e % inner]);
    out_at(outputs.back()) = Ids(ids.begin(), ids.begin() + static_cast<int64_t>(inner));
  } else {
    for (const size_t i : inputs) map_.freeze(in_[i]);
  }
}

/// Shape of a reshape's output, -1 for the one axis that may be unknown.
std::optional<std::vector<int64_t>> target_of(const AxisMap& map, const Node& node) {
  const auto& shape = map.graph().value(node.outputs[0]).shape;
  if (!shape) return std::nullopt;
  std::vector<int64_t> target;
  for (const Dim& dim : *shape) {
    const auto* size = std::get_if<int64_t>(&dim);
    target.push_back(size ? *size : -1);
  }
  return target;
}

/// The unknown axes of both sides face each other; what stands before and behind them regroups apart.
bool reshape(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto target = target_of(map, node);
  if (!x_axes || !target) return false;
  if (node.op == "Reshape" && !constant_ints(map.graph(), input_or_absent(node, 1)) && !has_attribute(node, "shape")) return false;
  const AxisIds x = *x_axes;
  const auto is_unknown = [](const Ids& ids) { return ids.empty(); };
  if (std::count_if(x.begin(), x.end(), is_unknown) > 1 || std::count(target->begin(), target->end(), -1) > 1) return false;
  const auto in_cut = std::find_if(x.begin(), x.end(), is_unknown);
  const auto out_cut = std::find(target->begin(), target->end(), -1);
  if ((in_cut == x.end()) != (out_cut == target->end())) return false;
  auto result = Regroup(map, AxisIds(x.begin(), in_cut), {target->begin(), out_cut}).run();
  if (!result) return false;
  if (in_cut != x.end()) {
    const auto rest = Regroup(map, AxisIds(in_cut + 1, x.end()), {out_cut + 1, target->end()}).run();
    if (!rest) return false;
    result->emplace_back();
    result->insert(result->end(), rest->begin(), rest->end());
  }
  freeze_parameters(map, node, 1);
  return map.set_output(node, std::move(*result));
}

bool depth_to_space(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto block = static_cast<size_t>(int_attribute(node, "blocksize", 1));
  if (!x_axes || x_axes->size() != 4 || (*x_axes)[1].empty() || block == 0) return false;
  const AxisIds x = *x_axes;
  const size_t area = block * block;
  map.freeze(x[2]);
  map.freeze(x[3]);
  AxisIds result{x[0], {}, map.frozen_axis(node.outputs[0], 2), map.frozen_axis(node.outputs[0], 3)};
  if (node.op == "SpaceToDepth") {
    for (size_t i = 0; i < area; ++i) result[1].insert(result[1].end(), x[1].begin(), x[1].end());
    return map.set_output(node, std::move(result));
  }
  if (x[1].size() % area != 0) return false;
  const size_t channels = x[1].size() / area;
  const bool is_crd = string_attribute(node, "mode", "DCR") == "CRD";
  for (size_t k = 0; k < channels; ++k) {
    const uint32_t first = x[1][is_crd ? k * area : k];
    for (size_t i = 1; i < area; ++i) map.unite(first, x[1][is_crd ? k * area + i : i * channels + k]);
    result[1].push_back(first);
  }
  return map.set_output(node, std::move(result));
}

AxisRules make_rules() {
  AxisRules rules;
  for (const char* op : {"AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"}) rules[op] = over_space;
  for (const char* op : {"ArgMax", "ArgMin", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
                         "ReduceProd", "ReduceSum", "ReduceSumSquare"}) {
    rules[op] = reduce;
  }
  for (const char* op : {"LRN", "LogSoftmax", "LpNormalization", "Softmax"}) rules[op] = along_axis;
  rules["Concat"] = concat;
  rules["DepthToSpace"] = rules["SpaceToDepth"] = depth_to_space;
  rules["Flatten"] = rules["Reshape"] = reshape;
  rules["Gather"] = gather;
  rules["Pad"] = pad;
  rules["Resize"] = rules["Upsample"] = resize;
  rules["Slice"] = slice;
  rules["Split"] = split;
  rules["Squeeze"] = squeeze;
  rules["Transpose"] = transpose;
  rules["Unsqueeze"] = unsqueeze;
  return rules;
}

}  // namespace

const AxisRules& shape_axis_rules() {
  static const AxisRules rules = make_rules();
  return rules;
}

}  // namespace niwaki
