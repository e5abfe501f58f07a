#pragma once

#include "compress/graph.h"

#include <set>

namespace niwaki {

enum class ClassId : uint32_t { frozen = 0 };
/// One index of one axis of a constant.
struct AxisIndex {
  ValueId constant;
  uint32_t axis;
  int64_t index;
};
struct FrozenAxis {
  ValueId value;
  size_t axis;
  std::string reason;                        // names the node
};
/// Every block, the classes of its indices, must keep as many indices as the others: groups of a Conv.
struct EqualCounts {
  std::vector<std::vector<ClassId>> blocks;
};
struct AxisClassesOptions {
  bool allow_approximate = false;            // let norms over an axis lose channels: their statistics change
  bool whole_heads = false;                  // attention loses heads; else each head loses the same features
};

/// The dependency map of a graph after preparation (shapes inferred, constants folded): every index of every axis
/// belongs to a class; a class goes as a whole, whatever the route of its channel through the graph. Indices of class
/// `frozen` cannot go. Axis 1 of the weight of a grouped Conv or ConvTranspose is in no class: every group loses the
/// channels that it reads (writes).
class AxisClasses {
 public:
  explicit AxisClasses(const Graph& graph, AxisClassesOptions options = {});
  /// True if the axes of a value are known: values of inner bodies and of unknown rank have none.
  bool knows(ValueId value) const;
  size_t num_axes(ValueId value) const;
  size_t num_values() const { return axes_.size(); }       // as the graph had
  /// One class per index; empty where the length of the axis is not known, which freezes it.
  std::span<const ClassId> axis(ValueId value, size_t axis) const;
  std::span<const AxisIndex> members(ClassId id) const;
  /// What cannot be cut, and why: values that a node without a rule touches, and axes of float constants.
  std::span<const FrozenAxis> frozen() const { return frozen_; }
  std::span<const EqualCounts> constraints() const { return constraints_; }
  /// True if a norm over the axis of the class changes its statistics.
  bool is_approximate(ClassId id) const { return approximate_.contains(id); }
  size_t num_classes() const { return members_.size(); }   // ids are 1 .. num_classes() - 1
  /// Nodes with a target shape computed at run time, of which the known lengths may be written down.
  const std::set<NodeId>& computed_targets() const { return computed_targets_; }

 private:
  std::vector<std::vector<std::vector<ClassId>>> axes_;    // by value, by axis
  std::vector<std::vector<AxisIndex>> members_;
  std::vector<FrozenAxis> frozen_;
  std::vector<EqualCounts> constraints_;
  std::set<ClassId> approximate_;
  std::set<NodeId> computed_targets_;
};

/// `removed` without what would leave blocks of a constraint with different counts.
std::set<ClassId> balanced(const AxisClasses& classes, std::set<ClassId> removed);

}  // namespace niwaki
