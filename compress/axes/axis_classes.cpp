#include "compress/axes/axis_classes.h"

#include "compress/axes/rules.h"
#include "compress/error.h"

#include <algorithm>

namespace niwaki {
namespace {

void freeze_body(AxisMap& map, const Body& body, const std::string& reason) {
  const auto freeze = [&](ValueId value) {
    map.freeze_lengths(value);
    map.freeze(value, reason);
  };
  for (const ValueId output : body.outputs) freeze(output);
  for (const NodeId id : body.nodes) {
    for (const ValueId input : map.graph().node(id).inputs) freeze(input);
    for (const auto& [name, inner] : map.graph().node(id).bodies) freeze_body(map, inner, reason);
  }
}

void freeze_node(AxisMap& map, const Node& node, const std::string& reason) {
  for (const ValueId input : node.inputs) {
    map.freeze_lengths(input);
    map.freeze(input, reason);
  }
  for (const auto& [name, body] : node.bodies) freeze_body(map, body, reason);
  for (const ValueId output : node.outputs) {
    if (output == ValueId::absent) continue;
    map.freeze(output, reason);
    if (map.graph().value(output).shape) map.set(output, map.frozen_axes(output));
  }
}

AxisRule find_rule(const Node& node) {
  if (!is_default_domain(node.domain) || !node.bodies.empty()) return nullptr;
  for (const AxisRules* rules : {&elementwise_axis_rules(), &linear_axis_rules(), &normalization_axis_rules(), &reduction_axis_rules(),
                                 &repeat_axis_rules(), &reshape_axis_rules(), &shape_axis_rules()}) {
    const auto found = rules->find(node.op);
    if (found != rules->end()) return found->second;
  }
  return nullptr;
}

/// The input that names a shape which the rule and slice_classes can write anew.
size_t target_input(const Node& node) {
  if (node.op == "Reshape" || node.op == "Expand") return 1;
  return node.op == "ConstantOfShape" ? 0 : SIZE_MAX;
}

void apply_rule(AxisMap& map, const Node& node) {
  if (follow_lengths(map, node)) return;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (i != target_input(node)) map.freeze_lengths(node.inputs[i]);
  }
  const AxisRule rule = find_rule(node);
  const auto place = [&] { return node_place(map.graph(), *map.node); };
  if (rule == nullptr) freeze_node(map, node, place() + " has no rule for its axes");
  else if (!rule(map, node)) freeze_node(map, node, place() + " has a form or a shape that its rule does not know");
}

void apply_rules(AxisMap& map) {
  const Graph& graph = map.graph();
  for (const NodeId id : graph.main().nodes) {
    map.node = id;
    apply_rule(map, graph.node(id));
  }
  map.node.reset();
  for (const ValueId id : graph.main().outputs) {
    map.freeze_lengths(id);
    map.freeze(id, "an output of the model");
  }
}

/// Axes of float constants that are frozen as a whole, with the reason of their first index.
void report_frozen_constants(AxisMap& map) {
  const Graph& graph = map.graph();
  for (const ValueId id : graph.main().constants) {
    if (!is_float(graph.constant(id)->dtype)) continue;
    const AxisIds& axes = map.of(id);
    for (size_t i = 0; i < axes.size(); ++i) {
      if (axes[i].size() < 2 || !map.is_frozen(axes[i]) || map.sliced_by_block.contains({id, static_cast<uint32_t>(i)})) continue;
      map.frozen.push_back({id, i, map.reason(axes[i][0])});
    }
  }
}

}  // namespace

AxisClasses::AxisClasses(const Graph& graph, AxisClassesOptions options) : axes_(graph.num_values()), members_(1) {
  AxisMap map(graph, options);
  apply_rules(map);
  report_frozen_constants(map);
  frozen_ = std::move(map.frozen);
  computed_targets_ = std::move(map.computed_targets);
  std::map<uint32_t, ClassId> classes{{0, ClassId::frozen}};
  const auto classes_of = [&](const Ids& ids) {
    std::vector<ClassId> result;
    for (const uint32_t id : ids) {
      const auto [place, is_new] = classes.emplace(map.find(id), static_cast<ClassId>(members_.size()));
      if (is_new) members_.emplace_back();
      result.push_back(place->second);
    }
    return result;
  };
  for (uint32_t i = 1; i < graph.num_values(); ++i) {
    if (!map.has(static_cast<ValueId>(i))) continue;
    for (const Ids& ids : map.of(static_cast<ValueId>(i))) axes_[i].push_back(classes_of(ids));
  }
  for (const auto& blocks : map.equal_counts) {
    EqualCounts& counts = constraints_.emplace_back();
    for (const Ids& block : blocks) counts.blocks.push_back(classes_of(block));
  }
  for (const Ids& ids : map.approximate) {
    for (const ClassId id : classes_of(ids)) {
      if (id != ClassId::frozen) approximate_.insert(id);
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

std::set<ClassId> balanced(const AxisClasses& classes, std::set<ClassId> removed) {
  const auto goes = [&](ClassId id) { return removed.contains(id); };
  for (bool is_done = false; !is_done;) {
    is_done = true;
    for (const EqualCounts& counts : classes.constraints()) {
      std::ptrdiff_t least = PTRDIFF_MAX;
      for (const auto& block : counts.blocks) least = std::min(least, std::count_if(block.begin(), block.end(), goes));
      for (const auto& block : counts.blocks) {
        // the last ones stay; `removed` only shrinks, so this ends
        for (auto id = block.rbegin(); std::count_if(block.begin(), block.end(), goes) > least; ++id) is_done &= removed.erase(*id) == 0;
      }
    }
  }
  return removed;
}

}  // namespace niwaki
