#include "compress/axes/axis_map.h"

#include "compress/error.h"
#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr size_t kMostLengths = 64;          // elements of a shape, at most

}  // namespace

std::string node_place(const Graph& graph, NodeId id) {
  return cat("node '", printable(graph.label(id)), "' (", printable(graph.node(id).op), ")");
}

AxisMap::AxisMap(const Graph& graph, AxisClassesOptions options) : graph_(graph), options_(options), ids_(graph.num_values()) {
  for (const ValueId id : graph.main().constants) {
    const Constant& constant = *graph.constant(id);
    const bool can_be_cut = !constant.strings && !is_packed(constant.dtype) && fixed_constant(graph, id);
    AxisIds axes;
    for (const int64_t size : constant.sizes) axes.push_back(can_be_cut ? fresh_axis(size) : Ids(static_cast<size_t>(size), 0));
    ids_[index_of(id)] = std::move(axes);
  }
  for (const ValueId id : graph.main().inputs) {
    if (!graph.constant(id) && graph.value(id).shape) ids_[index_of(id)] = frozen_axes(id);
  }
}

const AxisIds* AxisMap::input(const Node& node, size_t index) const {
  if (index >= node.inputs.size() || !has(node.inputs[index])) return nullptr;
  return &of(node.inputs[index]);
}

bool AxisMap::set(ValueId value, AxisIds axes) {
  const auto& shape = graph_.value(value).shape;
  if (shape && shape->size() != axes.size()) return false;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto* size = shape ? std::get_if<int64_t>(&(*shape)[i]) : nullptr;
    if (size && !axes[i].empty() && static_cast<size_t>(*size) != axes[i].size()) return false;
    if (!axes[i].empty() || (size && *size == 0)) continue;
    if (size || axes[i].symbol == 0) axes[i] = frozen_axis(value, i);
  }
  ids_[index_of(value)] = std::move(axes);
  return true;
}

uint32_t AxisMap::fresh() {
  parents_.push_back(static_cast<uint32_t>(parents_.size()));
  reasons_.push_back(0);
  return parents_.back();
}

Ids AxisMap::fresh_axis(int64_t size) {
  Ids ids(static_cast<size_t>(size));
  std::generate(ids.begin(), ids.end(), [&] { return fresh(); });
  return ids;
}

Ids AxisMap::unknown_axis(uint32_t symbol) {
  Ids axis;
  axis.symbol = symbol != 0 ? symbol : ++num_symbols_;
  return axis;
}

Ids AxisMap::bounded_axis(uint32_t symbol) {
  Ids axis = unknown_axis();
  bounds_[axis.symbol] = symbol;
  return axis;
}

uint32_t AxisMap::joined_symbol(uint32_t a, uint32_t b) const {
  const auto whole = [&](uint32_t symbol) { return bounds_.contains(symbol) ? bounds_.at(symbol) : symbol; };
  if (a == b || whole(b) == a) return a;
  return whole(a) == b ? b : 0;              // else one of them may be 1
}

uint32_t AxisMap::root(uint32_t id) {
  while (parents_[id] != id) {
    parents_[id] = parents_[parents_[id]];
    id = parents_[id];
  }
  return id;
}

uint32_t AxisMap::find(uint32_t id) {
  const uint32_t top = root(id);
  return reasons_[top] != 0 ? 0 : top;
}

void AxisMap::unite(uint32_t a, uint32_t b) {
  a = root(a);
  b = root(b);
  if (a == b) return;
  if (a == 0 || b == 0) return freeze(Ids{a + b}, "ties it to an axis that cannot be cut");
  const uint32_t reason = reasons_[a] != 0 ? reasons_[a] : reasons_[b];
  const uint32_t top = std::min(a, b);
  parents_[std::max(a, b)] = top;
  reasons_[top] = reason;
}

void AxisMap::unite(const Ids& a, const Ids& b) {
  if (a.size() != b.size()) {
    freeze(a, "ties it to an axis of another or unknown length");
    freeze(b, "ties it to an axis of another or unknown length");
    return;
  }
  for (size_t i = 0; i < a.size(); ++i) unite(a[i], b[i]);
}

void AxisMap::freeze(const Ids& axis, const char* why) {
  for (const uint32_t id : axis) {
    uint32_t& reason = reasons_[root(id)];
    if (reason == 0) reason = because(why);
  }
}

void AxisMap::freeze(ValueId value, const std::string& reason) {
  if (!has(value)) return;
  for (size_t i = 0; i < of(value).size(); ++i) {
    if (is_frozen(of(value)[i])) continue;
    frozen.push_back({value, i, reason});
    reason_texts_.push_back(reason);
    for (const uint32_t id : of(value)[i]) {
      uint32_t& place = reasons_[root(id)];
      if (place == 0) place = static_cast<uint32_t>(reason_texts_.size() - 1);
    }
  }
}

uint32_t AxisMap::because(const char* why) {
  const auto [place, is_new] = reason_of_.emplace(std::pair(node, why), static_cast<uint32_t>(reason_texts_.size()));
  if (is_new) reason_texts_.push_back(node ? cat(node_place(graph_, *node), " ", why) : std::string(why));
  return place->second;
}

bool AxisMap::is_frozen(const Ids& axis) {
  return std::all_of(axis.begin(), axis.end(), [&](uint32_t id) { return find(id) == 0; });
}

std::string AxisMap::reason(uint32_t id) { return reason_texts_[reasons_[root(id)]]; }

Ids AxisMap::frozen_axis(ValueId value, size_t axis) {
  const auto& shape = graph_.value(value).shape;
  if (!shape || axis >= shape->size()) return unknown_axis();
  if (const auto* size = std::get_if<int64_t>(&(*shape)[axis])) return Ids(static_cast<size_t>(*size), 0);
  // names of inner axes prove nothing: they may be left over from before an edit
  const auto* name = graph_.is_main_input(value) ? std::get_if<std::string>(&(*shape)[axis]) : nullptr;
  if (name == nullptr || name->empty()) return unknown_axis();
  uint32_t& symbol = symbols_[*name];
  if (symbol == 0) symbol = ++num_symbols_;
  return unknown_axis(symbol);
}

AxisIds AxisMap::frozen_axes(ValueId value) {
  AxisIds axes;
  for (size_t i = 0; i < graph_.value(value).shape->size(); ++i) axes.push_back(frozen_axis(value, i));
  return axes;
}

std::optional<Lengths> AxisMap::lengths(ValueId value) const {
  if (value == ValueId::absent) return std::nullopt;
  const auto found = lengths_.find(value);
  if (found != lengths_.end()) return found->second;
  const auto numbers = constant_ints(graph_, value);
  const Constant* constant = graph_.constant(value);
  if (!numbers || numbers->size() > kMostLengths || constant->sizes.size() > 1) return std::nullopt;
  Lengths result{.rank = constant->sizes.size(), .elements = {}};
  for (const int64_t number : *numbers) result.elements.push_back({.number = number});
  return result;
}

void AxisMap::set_lengths(ValueId value, Lengths lengths) {
  AxisIds axes;
  if (lengths.rank == 1) axes.emplace_back(lengths.elements.size(), 0U);
  if (!set(value, axes)) return;
  lengths_[value] = std::move(lengths);
}

void AxisMap::freeze_lengths(ValueId value) {
  const auto found = lengths_.find(value);
  if (found == lengths_.end()) return;
  for (const Length& length : found->second.elements) {
    for (const auto& [source, axis] : length.axes) freeze(Ids(of(source)[axis]), "computes with the length of this axis");
  }
}

}  // namespace niwaki
