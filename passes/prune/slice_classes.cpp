#include "passes/prune/slice_classes.h"

#include "compress/error.h"
#include "compress/graph_edit.h"
#include "compress/onnx/infer_shapes.h"

#include <algorithm>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

class Slicer {
 public:
  Slicer(Graph& graph, const AxisClasses& classes, const std::set<ClassId>& removed) : graph_(graph), classes_(classes), removed_(removed) {}
  void rewrite_nodes();
  void slice_constants(std::vector<ValueId>* sliced);
  void forget_shapes();

 private:
  bool goes(ClassId id) const { return removed_.contains(id); }
  bool is_cut(ValueId value, size_t axis) const;
  /// Indices below `end` that stay.
  int64_t kept(ValueId value, size_t axis, size_t end = SIZE_MAX) const;
  Ints kept_indices(ValueId value, size_t axis) const;
  void set_ints(NodeId id, size_t index, const std::string& attribute, const Ints& numbers);
  std::optional<Ints> ints_of(const Node& node, size_t index, const std::string& attribute) const;
  void rewrite(NodeId id);
  void conv(NodeId id);
  void recurrent(NodeId id);
  void split(NodeId id);
  void slice(NodeId id);
  void gather(NodeId id);
  void reshape(NodeId id);

  Graph& graph_;
  const AxisClasses& classes_;
  const std::set<ClassId>& removed_;
};

bool Slicer::is_cut(ValueId value, size_t axis) const {
  const auto ids = classes_.axis(value, axis);
  return std::any_of(ids.begin(), ids.end(), [&](ClassId id) { return goes(id); });
}

int64_t Slicer::kept(ValueId value, size_t axis, size_t end) const {
  const auto ids = classes_.axis(value, axis);
  return std::count_if(ids.begin(), ids.begin() + static_cast<int64_t>(std::min(end, ids.size())), [&](ClassId id) { return !goes(id); });
}

Ints Slicer::kept_indices(ValueId value, size_t axis) const {
  Ints indices;
  const auto ids = classes_.axis(value, axis);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!goes(ids[i])) indices.push_back(static_cast<int64_t>(i));
  }
  return indices;
}

std::optional<Ints> Slicer::ints_of(const Node& node, size_t index, const std::string& attribute) const {
  if (has_attribute(node, attribute)) return ints_attribute(node, attribute);
  return constant_ints(graph_, input_or_absent(node, index));
}

void Slicer::set_ints(NodeId id, size_t index, const std::string& attribute, const Ints& numbers) {
  if (has_attribute(graph_.node(id), attribute)) return graph_.set_attribute(id, attribute, numbers);
  const Constant& old = *graph_.constant(graph_.node(id).inputs[index]);
  const Tensor made = at::tensor(numbers, at::kLong).to(scalar_type(old.dtype));
  replace_constant_input(graph_, id, index, make_constant(made, old.dtype), graph_.label(id) + "." + attribute);
}

void Slicer::conv(NodeId id) {
  const Node& node = graph_.node(id);
  const int64_t groups = int_attribute(node, "group", 1);
  if (groups == 1 || static_cast<size_t>(groups) != classes_.axis(node.inputs[0], 1).size()) return;
  const int64_t left = kept(node.inputs[0], 1);
  if (left != groups) graph_.set_attribute(id, "group", left);
}

void Slicer::recurrent(NodeId id) {
  const Node& node = graph_.node(id);
  if (is_cut(node.inputs[2], 2) && has_attribute(node, "hidden_size")) graph_.set_attribute(id, "hidden_size", kept(node.inputs[2], 2));
}

void Slicer::split(NodeId id) {
  const Node& node = graph_.node(id);
  const size_t rank = classes_.num_axes(node.inputs[0]);
  const int64_t axis = int_attribute(node, "axis", 0);
  const auto place = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
  if (!is_cut(node.inputs[0], place) || !ints_of(node, 1, "split")) return;
  Ints sizes;
  for (const ValueId output : node.outputs) sizes.push_back(kept(output, place));
  set_ints(id, 1, "split", sizes);
}

void Slicer::slice(NodeId id) {
  const Node node = graph_.node(id);
  auto starts = ints_of(node, 1, "starts"), ends = ints_of(node, 2, "ends");
  const auto axes = ints_of(node, 3, "axes");
  if (!starts || !ends) return;
  const auto rank = static_cast<int64_t>(classes_.num_axes(node.inputs[0]));
  bool is_changed = false;
  for (size_t i = 0; i < starts->size(); ++i) {
    const int64_t axis = axes ? ((*axes)[i] + rank) % rank : static_cast<int64_t>(i);
    const auto place = static_cast<size_t>(axis);
    if (!is_cut(node.inputs[0], place)) continue;
    const auto length = static_cast<int64_t>(classes_.axis(node.inputs[0], place).size());
    const auto bounded = [&](int64_t at) { return static_cast<size_t>(std::clamp<int64_t>(at < 0 ? at + length : at, 0, length)); };
    (*starts)[i] = kept(node.inputs[0], place, bounded((*starts)[i]));
    (*ends)[i] = kept(node.inputs[0], place, bounded((*ends)[i]));
    is_changed = true;
  }
  if (!is_changed) return;
  set_ints(id, 1, "starts", *starts);
  set_ints(id, 2, "ends", *ends);
}

void Slicer::gather(NodeId id) {
  const Node& node = graph_.node(id);
  const auto indices = constant_ints(graph_, node.inputs[1]);
  const auto rank = static_cast<int64_t>(classes_.num_axes(node.inputs[0]));
  if (!indices || rank == 0) return;
  const auto place = static_cast<size_t>((int_attribute(node, "axis", 0) + rank) % rank);
  if (!is_cut(node.inputs[0], place)) return;
  const auto ids = classes_.axis(node.inputs[0], place);
  Ints left;
  for (const int64_t index : *indices) {
    const auto at = static_cast<size_t>(index < 0 ? index + static_cast<int64_t>(ids.size()) : index);
    if (!goes(ids[at])) left.push_back(kept(node.inputs[0], place, at));
  }
  set_ints(id, 1, "indices", left);
}

void Slicer::reshape(NodeId id) {
  const Node& node = graph_.node(id);
  auto target = ints_of(node, 1, "shape");
  if (!target) return;
  bool is_changed = false;
  for (size_t i = 0; i < target->size(); ++i) {
    if ((*target)[i] <= 0 || !is_cut(node.outputs[0], i)) continue;
    (*target)[i] = kept(node.outputs[0], i);
    is_changed = true;
  }
  if (is_changed) set_ints(id, 1, "shape", *target);
}

void Slicer::rewrite(NodeId id) {
  using Rewrite = void (Slicer::*)(NodeId);
  static const std::map<std::string, Rewrite> rewrites = {
      {"Conv", &Slicer::conv},         {"GRU", &Slicer::recurrent}, {"Gather", &Slicer::gather}, {"LSTM", &Slicer::recurrent},
      {"RNN", &Slicer::recurrent}, {"Reshape", &Slicer::reshape},  {"Slice", &Slicer::slice},   {"Split", &Slicer::split}};
  const Node& node = graph_.node(id);
  const auto found = rewrites.find(node.op);
  if (found != rewrites.end() && is_default_domain(node.domain) && classes_.knows(node.inputs[0])) (this->*found->second)(id);
}

void Slicer::rewrite_nodes() {
  for (const NodeId id : std::vector<NodeId>(graph_.main().nodes)) rewrite(id);
}

void Slicer::slice_constants(std::vector<ValueId>* sliced) {
  for (const ValueId id : std::vector<ValueId>(graph_.main().constants)) {
    if (index_of(id) >= classes_.num_values()) continue;             // made by a rewrite
    Tensor numbers;
    for (size_t axis = 0; axis < classes_.num_axes(id); ++axis) {
      if (!is_cut(id, axis)) continue;
      if (!numbers.defined()) numbers = values(*graph_.constant(id));
      numbers = numbers.index_select(static_cast<int64_t>(axis), at::tensor(kept_indices(id, axis), at::kLong));
    }
    if (!numbers.defined()) continue;
    graph_.set_constant(id, make_constant(numbers, graph_.constant(id)->dtype));
    if (sliced) sliced->push_back(id);
  }
}

void Slicer::forget_shapes() {
  for (const NodeId id : graph_.main().nodes) {
    for (const ValueId output : graph_.node(id).outputs) {
      if (output != ValueId::absent && !graph_.is_output(output)) graph_.set_type(output, graph_.value(output).dtype, std::nullopt);
    }
  }
  graph_.edit_main().described.clear();
  infer_shapes(graph_);
}

}  // namespace

std::set<ClassId> without_emptied_axes(const Graph& graph, const AxisClasses& classes, std::set<ClassId> removed) {
  for (uint32_t i = 1; i < std::min(classes.num_values(), graph.num_values()); ++i) {
    const auto value = static_cast<ValueId>(i);
    for (size_t axis = 0; axis < classes.num_axes(value); ++axis) {
      const auto ids = classes.axis(value, axis);
      const bool is_empty = !ids.empty() && std::all_of(ids.begin(), ids.end(), [&](ClassId id) { return removed.contains(id); });
      if (is_empty) removed.erase(ids.front());
    }
  }
  return removed;
}

void slice_classes(Graph& graph, const AxisClasses& classes, const std::set<ClassId>& removed, std::vector<ValueId>* sliced) {
  if (removed.empty()) return;
  if (removed.contains(ClassId::frozen)) throw InternalError("a frozen class was to be removed");
  if (without_emptied_axes(graph, classes, removed).size() != removed.size()) throw InternalError("a removal would leave an axis empty");
  Slicer slicer(graph, classes, removed);
  slicer.rewrite_nodes();
  slicer.slice_constants(sliced);
  slicer.forget_shapes();
}

}  // namespace niwaki
