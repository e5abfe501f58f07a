#include "compress/axes/axis_classes.h"

#include "compress/axes/rules.h"
#include "compress/error.h"
#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {

AxisMap::AxisMap(const Graph& graph) : graph_(graph), ids_(graph.num_values()) {
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
  for (size_t i = 0; shape && i < axes.size(); ++i) {
    const auto* size = std::get_if<int64_t>(&(*shape)[i]);
    if (size && !axes[i].empty() && static_cast<size_t>(*size) != axes[i].size()) return false;
  }
  ids_[index_of(value)] = std::move(axes);
  return true;
}

uint32_t AxisMap::fresh() {
  parents_.push_back(static_cast<uint32_t>(parents_.size()));
  return parents_.back();
}

Ids AxisMap::fresh_axis(int64_t size) {
  Ids ids(static_cast<size_t>(size));
  std::generate(ids.begin(), ids.end(), [&] { return fresh(); });
  return ids;
}

uint32_t AxisMap::find(uint32_t id) {
  while (parents_[id] != id) {
    parents_[id] = parents_[parents_[id]];
    id = parents_[id];
  }
  return id;
}

void AxisMap::unite(uint32_t a, uint32_t b) {
  a = find(a);
  b = find(b);
  parents_[std::max(a, b)] = std::min(a, b);  // 0 stays a root: frozen wins
}

void AxisMap::unite(const Ids& a, const Ids& b) {
  if (a.size() != b.size()) {
    freeze(a);
    freeze(b);
    return;
  }
  for (size_t i = 0; i < a.size(); ++i) unite(a[i], b[i]);
}

void AxisMap::freeze(ValueId value, const std::string& reason) {
  if (!has(value)) return;
  for (size_t i = 0; i < of(value).size(); ++i) {
    if (is_frozen(of(value)[i])) continue;
    frozen.push_back({value, i, reason});
    freeze(Ids(of(value)[i]));
  }
}

bool AxisMap::is_frozen(const Ids& axis) {
  return std::all_of(axis.begin(), axis.end(), [&](uint32_t id) { return find(id) == 0; });
}

Ids AxisMap::frozen_axis(ValueId value, size_t axis) const {
  const auto& shape = graph_.value(value).shape;
  const auto* size = shape && axis < shape->size() ? std::get_if<int64_t>(&(*shape)[axis]) : nullptr;
  return size ? Ids(static_cast<size_t>(*size), 0) : Ids{};
}

AxisIds AxisMap::frozen_axes(ValueId value) const {
  AxisIds axes;
  for (size_t i = 0; i < graph_.value(value).shape->size(); ++i) axes.push_back(frozen_axis(value, i));
  return axes;
}

namespace {

void freeze_body(AxisMap& map, const Body& body, const std::string& reason) {
  for (const ValueId output : body.outputs) map.freeze(output, reason);
  for (const NodeId id : body.nodes) {
    for (const ValueId input : map.graph().node(id).inputs) map.freeze(input, reason);
    for (const auto& [name, inner] : map.graph().node(id).bodies) freeze_body(map, inner, reason);
  }
}

void freeze_node(AxisMap& map, const Node& node, const std::string& reason) {
  for (const ValueId input : node.inputs) map.freeze(input, reason);
  for (const auto& [name, body] : node.bodies) freeze_body(map, body, reason);
  for (const ValueId output : node.outputs) {
    if (output == ValueId::absent) continue;
    map.freeze(output, reason);
    if (map.graph().value(output).shape) map.set(output, map.frozen_axes(output));
  }
}

AxisRule find_rule(const Node& node) {
  if (!is_default_domain(node.domain) || !node.bodies.empty()) return nullptr;
  for (const AxisRules* rules : {&elementwise_axis_rules(), &linear_axis_rules(), &shape_axis_rules()}) {
    const auto found = rules->find(node.op);
    if (found != rules->end()) return found->second;
  }
  return nullptr;
}

void apply_rules(AxisMap& map) {
  const Graph& graph = map.graph();
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    const AxisRule rule = find_rule(node);
    const auto place = [&] { return cat("node '", printable(graph.label(id)), "' (", printable(node.op), ") "); };
    if (rule == nullptr) freeze_node(map, node, place() + "has no rule for its axes");
    else if (!rule(map, node)) freeze_node(map, node, place() + "has a form or a shape that its rule does not know");
  }
  for (const ValueId id : graph.main().outputs) map.freeze(id, "an output of the model");
}

}  // namespace

AxisClasses::AxisClasses(const Graph& graph) : axes_(graph.num_values()), members_(1) {
  AxisMap map(graph);
  apply_rules(map);
  frozen_ = std::move(map.frozen);
  std::map<uint32_t, ClassId> classes{{0, ClassId::frozen}};
  for (uint32_t i = 1; i < graph.num_values(); ++i) {
    const auto value = static_cast<ValueId>(i);
    if (!map.has(value)) continue;
    for (const Ids& ids : map.of(value)) {
      auto& axis = axes_[i].emplace_back();
      for (const uint32_t id : ids) {
        const auto [place, is_new] = classes.emplace(map.find(id), static_cast<ClassId>(members_.size()));
        if (is_new) members_.emplace_back();
        axis.push_back(place->second);
      }
    }
  }
  for (const ValueId id : graph.main().constants) {
    for (uint32_t i = 0; i < axes_[index_of(id)].size(); ++i) {
      const auto& axis = axes_[index_of(id)][i];
      for (size_t k = 0; k < axis.size(); ++k) {
        if (axis[k] != ClassId::frozen) members_[static_cast<uint32_t>(axis[k])].push_back({id, i, static_cast<int64_t>(k)});
      }
    }
  }
}

bool AxisClasses::knows(ValueId value) const { return num_axes(value) > 0; }
size_t AxisClasses::num_axes(ValueId value) const { return axes_.at(index_of(value)).size(); }

std::span<const ClassId> AxisClasses::axis(ValueId value, size_t axis) const {
  const auto& axes = axes_.at(index_of(value));
  return axis < axes.size() ? std::span<const ClassId>(axes[axis]) : std::span<const ClassId>{};
}

std::span<const AxisIndex> AxisClasses::members(ClassId id) const { return members_.at(static_cast<uint32_t>(id)); }

}  // namespace niwaki
