#include "compress/axes/rules.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

/// Row-major regrouping of axes (algorithms.md 2.3). What is cut into blocks of equal product from the front and
/// from the back regroups; what stands between, around axes of unknown length, is frozen.
class Regroup {
 public:
  /// `heads`: the axis of the result that whole heads would leave, if any.
  Regroup(AxisMap& map, AxisIds in, AxisIds out, std::optional<size_t> heads)
      : map_(map), in_(std::move(in)), out_(std::move(out)), heads_(heads), in_end_(in_.size()), out_end_(out_.size()) {}
  AxisIds run();

 private:
  bool take(bool from_back);
  void block(size_t in_begin, size_t in_end, size_t out_begin, size_t out_end);
  Ids flattened(const std::vector<size_t>& axes);
  void unflatten(const Ids& ids, const std::vector<size_t>& outputs);

  AxisMap& map_;
  AxisIds in_, out_;
  std::optional<size_t> heads_;
  size_t in_begin_ = 0, in_end_, out_begin_ = 0, out_end_;   // what is not regrouped yet
};

AxisIds Regroup::run() {
  while (take(false)) {}
  while (take(true)) {}
  for (size_t i = in_begin_; i < in_end_; ++i) map_.freeze(in_[i], "regroups it together with axes of unknown length");
  return out_;
}

/// Takes the shortest block of equal product from one end; false: there is none.
bool Regroup::take(bool from_back) {
  size_t i = 0, o = 0;                       // axes of the block
  const size_t ins = in_end_ - in_begin_, outs = out_end_ - out_begin_;
  if (ins == 0 && outs == 0) return false;
  const auto in_at = [&](size_t k) -> const Ids& { return in_[from_back ? in_end_ - 1 - k : in_begin_ + k]; };
  const auto out_at = [&](size_t k) -> const Ids& { return out_[from_back ? out_end_ - 1 - k : out_begin_ + k]; };
  if (ins > 0 && outs > 0 && in_at(0).empty() && out_at(0).empty() && in_at(0).symbol != 0 && in_at(0).symbol == out_at(0).symbol) {
    i = o = 1;                               // the same axis of unknown length
  } else {
    size_t in_size = 1, out_size = 1;
    if (i < ins) in_size = in_at(i++).size();
    if (o < outs) out_size = out_at(o++).size();
    while (in_size != out_size) {
      if (in_size == 0 || out_size == 0) return false;
      if (in_size < out_size && i < ins) in_size *= in_at(i++).size();
      else if (out_size < in_size && o < outs) out_size *= out_at(o++).size();
      else return false;
    }
    if (in_size == 0) return false;          // unknown
    if (from_back) block(in_end_ - i, in_end_, out_end_ - o, out_end_);
    else block(in_begin_, in_begin_ + i, out_begin_, out_begin_ + o);
  }
  if (from_back) in_end_ -= i, out_end_ -= o;
  else in_begin_ += i, out_begin_ += o;
  return true;
}

/// Element e of the block inherits the id of the one axis that can be cut, at its coordinate.
Ids Regroup::flattened(const std::vector<size_t>& axes) {
  std::vector<size_t> free;
  size_t total = 1, inner = 1;
  for (const size_t axis : axes) {
    total *= in_[axis].size();
    if (!map_.is_frozen(in_[axis])) free.push_back(axis);
  }
  if (free.empty()) return Ids(total, 0);
  for (size_t i = 0; i + 1 < free.size(); ++i) map_.freeze(in_[free[i]], "flattens it together with another axis that can be cut");
  const size_t kept = free.back();
  for (const size_t axis : axes) inner *= axis > kept ? in_[axis].size() : 1;
  Ids ids(total);
  for (size_t e = 0; e < total; ++e) ids[e] = in_[kept][e / inner % in_[kept].size()];
  return ids;
}

/// One axis of the result gets the ids, tied over the others: the innermost, or the one that counts heads.
void Regroup::unflatten(const Ids& ids, const std::vector<size_t>& outputs) {
  const bool has_heads = heads_ && std::find(outputs.begin(), outputs.end(), *heads_) != outputs.end();
  const size_t chosen = has_heads ? *heads_ : outputs.back();
  size_t inner = 1;
  for (const size_t o : outputs) inner *= o > chosen ? out_[o].size() : 1;
  Ids& target = out_[chosen];
  for (size_t k = 0; k < target.size(); ++k) target[k] = ids[k * inner];
  for (size_t e = 0; e < ids.size(); ++e) map_.unite(ids[e], target[e / inner % target.size()]);
}

void Regroup::block(size_t in_begin, size_t in_end, size_t out_begin, size_t out_end) {
  std::vector<size_t> inputs, outputs;       // without axes of length 1
  for (size_t i = in_begin; i < in_end; ++i) {
    if (in_[i].size() != 1) inputs.push_back(i);
    else map_.freeze(in_[i], "regroups an axis of length 1");
  }
  for (size_t o = out_begin; o < out_end; ++o) {
    if (out_[o].size() != 1) outputs.push_back(o);
  }
  if (outputs.size() == 1) out_[outputs[0]] = flattened(inputs);
  else if (inputs.size() == 1 && outputs.size() > 1) unflatten(in_[inputs[0]], outputs);
  else for (const size_t i : inputs) map_.freeze(in_[i], "regroups several axes into several");
}

/// An axis of the result that is a batch axis of a product of two computed values: it counts heads. A guess of where
/// to cut; both answers are exact.
class HeadSearch {
 public:
  explicit HeadSearch(const AxisMap& map) : map_(map) {}
  std::optional<size_t> find(const Node& reshape);

 private:
  bool is_batch(ValueId value, size_t axis, int depth);
  const AxisMap& map_;
  std::set<std::pair<ValueId, size_t>> seen_;
};

std::optional<size_t> HeadSearch::find(const Node& reshape) {
  const auto& shape = map_.graph().value(reshape.outputs[0]).shape;
  const auto target = map_.lengths(input_or_absent(reshape, 1));
  const size_t rank = shape ? shape->size() : target ? target->elements.size() : 0;
  for (size_t axis = 1; axis < rank; ++axis) {
    if (is_batch(reshape.outputs[0], axis, 0)) return axis;
  }
  return std::nullopt;
}

/// Follows the axis through nodes that keep its place, and Transpose.
bool HeadSearch::is_batch(ValueId value, size_t axis, int depth) {
  static const std::set<std::string> keeps = {"Add", "Cast", "Concat", "Div", "Expand", "Gather", "Identity", "Mul", "Neg", "Reshape", "Slice", "Sub",
                                              "Unsqueeze"};
  constexpr int kDeepest = 12;
  if (!seen_.insert({value, axis}).second) return false;
  const Graph& graph = map_.graph();
  for (const NodeId id : graph.consumers(value)) {
    const Node& node = graph.node(id);
    if (depth > kDeepest || node.outputs.empty()) continue;
    if (node.op == "MatMul") {
      const bool has_weight = graph.constant(node.inputs[0]) || graph.constant(node.inputs[1]);
      const auto& shape = graph.value(node.outputs[0]).shape;
      if (!has_weight && axis >= 1 && axis < (shape ? shape->size() - 2 : 2)) return true;
      continue;
    }
    size_t place = axis;
    if (node.op == "Transpose") {
      const auto perm = ints_attribute(node, "perm");
      const auto at = std::find(perm.begin(), perm.end(), static_cast<int64_t>(axis));
      if (at == perm.end()) continue;
      place = static_cast<size_t>(at - perm.begin());
    } else if (!keeps.contains(node.op)) {
      continue;
    }
    if (is_batch(node.outputs[0], place, depth + 1)) return true;
  }
  return false;
}

Ids zeros(int64_t size) { return Ids(static_cast<size_t>(size), 0); }

/// The one element of -1: what the others leave over of x.
Ids rest_of(AxisMap& map, const AxisIds& x, const AxisIds& out, size_t hole) {
  int64_t left = 1, taken = 1;
  std::vector<uint32_t> symbols;
  for (const Ids& axis : x) {
    if (axis.empty()) symbols.push_back(axis.symbol);
    else left *= static_cast<int64_t>(axis.size());
  }
  for (size_t i = 0; i < out.size(); ++i) {
    if (i == hole) continue;
    const auto same = std::find(symbols.begin(), symbols.end(), out[i].symbol);
    if (!out[i].empty()) taken *= static_cast<int64_t>(out[i].size());
    else if (same != symbols.end()) symbols.erase(same);
    else return map.unknown_axis();
  }
  if (symbols.empty() && taken != 0 && left % taken == 0) return zeros(left / taken);
  return symbols.size() == 1 && left == taken ? map.unknown_axis(symbols[0]) : map.unknown_axis();
}

/// The axes that a target shape names, frozen as yet; the rest where it says -1.
std::optional<AxisIds> target_of(AxisMap& map, const Node& node, const AxisIds& x) {
  std::optional<Lengths> lengths = map.lengths(input_or_absent(node, 1));
  if (has_attribute(node, "shape")) {
    lengths.emplace();
    for (const int64_t number : ints_attribute(node, "shape")) lengths->elements.push_back({.number = number});
  }
  if (!lengths || lengths->rank != 1) return std::nullopt;
  AxisIds out;
  std::optional<size_t> hole;
  for (size_t i = 0; i < lengths->elements.size(); ++i) {
    const Length& length = lengths->elements[i];
    if (length.number == -1) {
      hole = i;
      out.emplace_back();
    } else if (length.number == 0) {
      if (i >= x.size() || int_attribute(node, "allowzero", 0) != 0) return std::nullopt;
      out.push_back(x[i].empty() ? map.unknown_axis(x[i].symbol) : zeros(static_cast<int64_t>(x[i].size())));
    } else {
      if (length.number && *length.number < 0) return std::nullopt;
      out.push_back(length.number ? zeros(*length.number) : map.unknown_axis(length.symbol));
    }
  }
  if (hole) out[*hole] = rest_of(map, x, out, *hole);
  return out;
}

/// [product of the axes before, product of the axes from `axis` on].
AxisIds flat_target(AxisMap& map, const Node& node, const AxisIds& x) {
  const size_t axis = std::min(front(int_attribute(node, "axis", 1), x.size()), x.size());
  AxisIds out;
  for (const auto& [begin, end] : {std::pair{size_t{0}, axis}, std::pair{axis, x.size()}}) {
    int64_t product = 1;
    std::vector<uint32_t> symbols;
    for (size_t i = begin; i < end; ++i) {
      if (x[i].empty()) symbols.push_back(x[i].symbol);
      else product *= static_cast<int64_t>(x[i].size());
    }
    if (symbols.empty()) out.push_back(zeros(product));
    else out.push_back(symbols.size() == 1 && product == 1 ? map.unknown_axis(symbols[0]) : map.unknown_axis());
  }
  return out;
}

bool reshape(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  if (!x_axes) return false;
  const AxisIds x = *x_axes;
  std::optional<AxisIds> out;
  if (node.op == "Flatten") out = flat_target(map, node, x);
  else out = target_of(map, node, x);
  if (!out) return false;
  const auto& shape = map.graph().value(node.outputs[0]).shape;
  if (shape && shape->size() != out->size()) return false;
  const auto heads = map.options().whole_heads ? HeadSearch(map).find(node) : std::nullopt;
  if (node.op == "Reshape" && !has_attribute(node, "shape") && !constant_ints(map.graph(), node.inputs[1])) take_target(map, node, 1);
  freeze_parameters(map, node, 1);
  return map.set_output(node, Regroup(map, x, std::move(*out), heads).run());
}

}  // namespace

const AxisRules& reshape_axis_rules() {
  static const AxisRules rules = {{"Flatten", reshape}, {"Reshape", reshape}};
  return rules;
}

}  // namespace niwaki
