#pragma once

#include "compress/axes/axis_classes.h"

#include <map>

namespace niwaki {

using Ids = std::vector<uint32_t>;           // one per index of an axis; empty: of unknown length
using AxisIds = std::vector<Ids>;            // one per axis

/// Axis ids while the rules unite them (union-find); id 0 is frozen.
class AxisMap {
 public:
  explicit AxisMap(const Graph& graph);
  const Graph& graph() const { return graph_; }
  bool has(ValueId value) const { return value != ValueId::absent && ids_[index_of(value)].has_value(); }
  const AxisIds& of(ValueId value) const { return *ids_[index_of(value)]; }
  /// Ids of an input, or null where it is absent or of unknown rank.
  const AxisIds* input(const Node& node, size_t index) const;
  /// Gives a value its ids; false if an axis contradicts the inferred shape.
  bool set(ValueId value, AxisIds axes);
  bool set_output(const Node& node, AxisIds axes) { return set(node.outputs[0], std::move(axes)); }

  uint32_t fresh();
  Ids fresh_axis(int64_t size);
  uint32_t find(uint32_t id);
  void unite(uint32_t a, uint32_t b);
  /// Index by index; axes of different or unknown length freeze each other.
  void unite(const Ids& a, const Ids& b);
  void freeze(const Ids& axis) { unite(axis, Ids(axis.size(), 0)); }
  void freeze(ValueId value, const std::string& reason);
  bool is_frozen(const Ids& axis);
  /// Ids of an axis that nothing ties: zeros of the inferred length.
  Ids frozen_axis(ValueId value, size_t axis) const;
  AxisIds frozen_axes(ValueId value) const;

  std::vector<FrozenAxis> frozen;

 private:
  const Graph& graph_;
  std::vector<std::optional<AxisIds>> ids_;
  std::vector<uint32_t> parents_{0};
};

/// Ties the axes of a node; false: not in this form, and everything it touches freezes.
using AxisRule = bool (*)(AxisMap& map, const Node& node);
using AxisRules = std::map<std::string, AxisRule>;

const AxisRules& elementwise_axis_rules();
const AxisRules& linear_axis_rules();
const AxisRules& shape_axis_rules();

/// An axis counted from the front.
inline size_t front(int64_t axis, size_t rank) { return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis); }

}  // namespace niwaki
