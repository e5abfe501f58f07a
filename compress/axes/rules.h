#pragma once

#include "compress/axes/axis_map.h"

namespace niwaki {

/// Ties the axes of a node; false: not in this form, and everything it touches freezes.
using AxisRule = bool (*)(AxisMap& map, const Node& node);
using AxisRules = std::map<std::string, AxisRule>;

const AxisRules& elementwise_axis_rules();
const AxisRules& linear_axis_rules();
const AxisRules& normalization_axis_rules();
const AxisRules& reduction_axis_rules();
const AxisRules& repeat_axis_rules();
const AxisRules& reshape_axis_rules();
const AxisRules& shape_axis_rules();

/// Follows the elements of computed shapes (Shape, Gather, Concat, ...); false: the node computes no shape.
bool follow_lengths(AxisMap& map, const Node& node);
/// True if the mean serves a normalization over its axis alone: x / sqrt(mean(x^2)), (x - mean(x)) and the like.
bool is_mean_of_norm(const Graph& graph, const Node& mean);

/// An axis counted from the front.
inline size_t front(int64_t axis, size_t rank) { return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis); }
/// Right-aligned broadcasting: n vs n unites, 1 vs n takes n.
AxisIds broadcast(AxisMap& map, const AxisIds& a, const AxisIds& b);
/// Freezes the inputs from `first` on: shapes, axes, pads.
void freeze_parameters(AxisMap& map, const Node& node, size_t first);
/// Lets slice_classes write the known lengths of the target shape anew; lengths that stay computed freeze what they read.
void take_target(AxisMap& map, const Node& node, size_t index);
/// Integers of an attribute, or of a constant input.
std::optional<std::vector<int64_t>> ints_of(const AxisMap& map, const Node& node, size_t index, const std::string& attribute);

}  // namespace niwaki
