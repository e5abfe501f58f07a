#pragma once

#include "compress/axes/axis_classes.h"

#include <set>

namespace niwaki {

/// Classes without those that would leave an axis empty or blocks unbalanced: the first class of such an axis stays.
std::set<ClassId> without_emptied_axes(const Graph& graph, const AxisClasses& classes, std::set<ClassId> removed);

/// Indices of an axis whose classes are not removed, ascending.
std::vector<int64_t> kept_indices(const AxisClasses& classes, const std::set<ClassId>& removed, ValueId value, size_t axis);

/// Removes classes of channels from all constants at once, rewrites what names their number (group, hidden_size,
/// split sizes, slice bounds, indices, target shapes) and infers the shapes of inner values anew.
///   before   h = Conv(x, w [64, 3, 3, 3])   y = Conv(h, v [10, 64, 1, 1])
///   after    h = Conv(x, w [60, 3, 3, 3])   y = Conv(h, v [10, 60, 1, 1])
/// An InternalError for a frozen class, one that empties an axis, and counts that break a constraint. `sliced` gets the constants that changed.
void slice_classes(Graph& graph, const AxisClasses& classes, const std::set<ClassId>& removed, std::vector<ValueId>* sliced = nullptr);

}  // namespace niwaki
