#pragma once

#include "compress/graph.h"

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
  std::string reason;
};

/// The dependency map: every index of every axis belongs to a class; a class goes as a whole, whatever the route of
/// its channel through the graph. Indices of class `frozen` cannot go.
class AxisClasses {
 public:
  explicit AxisClasses(const Graph& graph);
  /// True if the axes of a value are known: values of inner bodies and of unknown rank have none.
  bool knows(ValueId value) const;
  size_t num_axes(ValueId value) const;
  size_t num_values() const { return axes_.size(); }       // as the graph had
  /// One class per index; empty where the length of the axis is not known, which freezes it.
  std::span<const ClassId> axis(ValueId value, size_t axis) const;
  std::span<const AxisIndex> members(ClassId id) const;
  std::span<const FrozenAxis> frozen() const { return frozen_; }
  size_t num_classes() const { return members_.size(); }   // ids are 1 .. num_classes() - 1

 private:
  std::vector<std::vector<std::vector<ClassId>>> axes_;    // by value, by axis
  std::vector<std::vector<AxisIndex>> members_;
  std::vector<FrozenAxis> frozen_;
};

}  // namespace niwaki
