#include "compress/axes/rules.h"

#include "compress/graph_edit.h"

namespace niwaki {
namespace {

/// Repeats axes of length 1; the last may lose what it repeats, as its number is written anew.
bool expand(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto target = map.lengths(input_or_absent(node, 1));
  if (!x_axes || !target || target->rank != 1) return false;
  AxisIds x = *x_axes;
  const size_t rank = std::max(x.size(), target->elements.size());
  x.insert(x.begin(), rank - x.size(), Ids{0});
  for (size_t k = 0; k < target->elements.size(); ++k) {
    const Length& length = target->elements[k];
    const size_t i = rank - target->elements.size() + k;
    if (length.number == 1 || x[i].size() > 1) continue;
    if (x[i].empty() && !length.number && length.symbol == x[i].symbol) continue;
    map.freeze(x[i], "repeats it");
    if (!length.number) x[i] = map.unknown_axis(x[i].empty() ? 0 : length.symbol);
    else x[i] = i + 1 == rank && rank == target->elements.size() ? map.fresh_axis(*length.number) : Ids(static_cast<size_t>(*length.number), 0);
  }
  take_target(map, node, 1);
  freeze_parameters(map, node, 1);
  return map.set_output(node, std::move(x));
}

/// One number everywhere: any part of it is as good.
bool filled(AxisMap& map, const Node& node) {
  const auto target = map.lengths(input_or_absent(node, 0));
  if (!target || target->rank != 1) return false;
  AxisIds axes;
  for (const Length& length : target->elements) {
    if (length.number && *length.number < 0) return false;
    axes.push_back(length.number ? map.fresh_axis(*length.number) : map.unknown_axis(length.symbol));
  }
  take_target(map, node, 0);
  freeze_parameters(map, node, 0);
  return map.set_output(node, std::move(axes));
}

/// A whole copy after the other: index i of the result is index i mod n.
bool tile(AxisMap& map, const Node& node) {
  const AxisIds* x_axes = map.input(node, 0);
  const auto repeats = constant_ints(map.graph(), input_or_absent(node, 1));
  if (!x_axes || !repeats || repeats->size() != x_axes->size()) return false;
  const AxisIds x = *x_axes;
  AxisIds result;
  for (size_t i = 0; i < x.size(); ++i) {
    if ((*repeats)[i] < 1) return false;
    Ids& axis = result.emplace_back();
    if ((*repeats)[i] == 1) axis = x[i];
    else if (x[i].empty()) axis = map.unknown_axis();
    else for (int64_t k = 0; k < (*repeats)[i]; ++k) axis.insert(axis.end(), x[i].begin(), x[i].end());
  }
  freeze_parameters(map, node, 1);
  return map.set_output(node, std::move(result));
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

}  // namespace

void take_target(AxisMap& map, const Node& node, size_t index) {
  const auto lengths = map.lengths(node.inputs[index]);
  for (const Length& length : lengths ? lengths->elements : std::vector<Length>{}) {
    if (length.number && *length.number > 0) continue;
    for (const auto& [value, axis] : length.axes) map.freeze(Ids(map.of(value)[axis]), "computes with the length of this axis");
  }
  map.computed_targets.insert(*map.node);
}

const AxisRules& repeat_axis_rules() {
  static const AxisRules rules = {{"ConstantOfShape", filled}, {"DepthToSpace", depth_to_space}, {"Expand", expand},
                                  {"SpaceToDepth", depth_to_space}, {"Tile", tile}};
  return rules;
}

}  // namespace niwaki
