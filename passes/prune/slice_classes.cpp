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
  Ints kept_indices(ValueId value, size_t axis) const { return niwaki::kept_indices(classes_, removed_, value, axis); }
  void set_ints(NodeId id, size_t index, const std::string& attribute, const Ints& numbers);
  std::optional<Ints> ints_of(const Node& node, size_t index, const std::string& attribute) const;
  void rewrite(NodeId id);
  void conv(NodeId id);
  void recurrent(NodeId id);
  void pad(NodeId id);
  void split(NodeId id);
  void slice(NodeId id);
  void gather(NodeId id);
  void reshape(NodeId id);
  void computed_target(NodeId id);
  bool reads_cut_length(ValueId shape, std::set<ValueId>& seen) const;
  void to_gather(NodeId id, size_t axis, int64_t start, int64_t end, int64_t step);
  Tensor without_columns(const Tensor& weight, ValueId channels) const;
  bool is_any_cut(ValueId value) const;

  Graph& graph_;
  const AxisClasses& classes_;
  const std::set<ClassId>& removed_;
  std::map<ValueId, ValueId> channels_;      // whose axis 1 says which columns each group of a weight keeps
};

bool Slicer::is_cut(ValueId value, size_t axis) const {
  const auto ids = classes_.axis(value, axis);
  return std::any_of(ids.begin(), ids.end(), [&](ClassId id) { return goes(id); });
}

int64_t Slicer::kept(ValueId value, size_t axis, size_t end) const {
  const auto ids = classes_.axis(value, axis);
  return std::count_if(ids.begin(), ids.begin() + static_cast<int64_t>(std::min(end, ids.size())), [&](ClassId id) { return !goes(id); });
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

bool Slicer::is_any_cut(ValueId value) const {
  for (size_t axis = 0; axis < classes_.num_axes(value); ++axis) {
    if (is_cut(value, axis)) return true;
  }
  return false;
}

/// Depthwise loses groups; other groups lose columns of their own, where the classes do not tie them.
void Slicer::conv(NodeId id) {
  const Node& node = graph_.node(id);
  const int64_t groups = int_attribute(node, "group", 1);
  const ValueId weight = node.inputs[1], channels = node.op == "Conv" ? node.inputs[0] : node.outputs[0];
  if (groups == 1 || classes_.num_axes(weight) < 2) return;
  const size_t one_each = node.op == "Conv" ? classes_.axis(weight, 1).size() : classes_.axis(weight, 0).size() / static_cast<size_t>(groups);
  if (one_each == 1) {
    const int64_t left = kept(node.inputs[0], 1);
    if (left != groups) graph_.set_attribute(id, "group", left);
  } else if (is_cut(channels, 1) && !is_cut(weight, 1)) {
    channels_[weight] = channels;
  }
}

/// The weight without the columns that its groups lose: axis 1, group by group.
Tensor Slicer::without_columns(const Tensor& weight, ValueId channels) const {
  const int64_t columns = weight.size(1), groups = static_cast<int64_t>(classes_.axis(channels, 1).size()) / columns;
  const int64_t rows = weight.size(0) / groups;
  std::vector<Ints> left(static_cast<size_t>(groups));
  for (const int64_t channel : kept_indices(channels, 1)) left[static_cast<size_t>(channel / columns)].push_back(channel % columns);
  std::vector<Tensor> blocks;
  for (int64_t q = 0; q < groups; ++q) {
    blocks.push_back(weight.narrow(0, q * rows, rows).index_select(1, at::tensor(left[static_cast<size_t>(q)], at::kLong)));
  }
  return at::cat(blocks);
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

void Slicer::pad(NodeId id) {
  auto pads = ints_of(graph_.node(id), 1, "pads");
  const ValueId output = graph_.node(id).outputs[0];
  const size_t rank = classes_.num_axes(output);
  if (!pads || pads->size() != 2 * rank) return;
  bool is_changed = false;
  for (size_t axis = 0; axis < rank; ++axis) {
    if (!is_cut(output, axis)) continue;
    const auto before = static_cast<size_t>((*pads)[axis]), end = classes_.axis(output, axis).size() - static_cast<size_t>((*pads)[axis + rank]);
    (*pads)[axis + rank] = kept(output, axis) - kept(output, axis, end);
    (*pads)[axis] = kept(output, axis, before);
    is_changed = true;
  }
  if (is_changed) set_ints(id, 1, "pads", *pads);
}

/// What is left of a stride need not be one.
void Slicer::to_gather(NodeId id, size_t axis, int64_t start, int64_t end, int64_t step) {
  const Node node = graph_.node(id);
  const auto ids = classes_.axis(node.inputs[0], axis);
  const auto length = static_cast<int64_t>(ids.size());
  const auto bounded = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + length : at, step < 0 ? -1 : 0, step < 0 ? length - 1 : length); };
  Ints left;
  for (int64_t i = bounded(start), last = bounded(end); step > 0 ? i < last : i > last; i += step) {
    if (!goes(ids[static_cast<size_t>(i)])) left.push_back(kept(node.inputs[0], axis, static_cast<size_t>(i)));
  }
  const ValueId indices = new_constant(graph_, graph_.label(id) + ".indices", make_constant(at::tensor(left, at::kLong)));
  for (const auto& [name, value] : node.attributes) graph_.remove_attribute(id, name);
  graph_.set_operator(id, "Gather", node.domain);
  graph_.set_inputs(id, {node.inputs[0], indices});
  graph_.set_attribute(id, "axis", static_cast<int64_t>(axis));
  for (const ValueId input : std::set<ValueId>(node.inputs.begin() + 1, node.inputs.end())) {
    if (input != ValueId::absent) remove_unused_constant(graph_, input);
  }
}

void Slicer::slice(NodeId id) {
  const Node node = graph_.node(id);
  auto starts = ints_of(node, 1, "starts"), ends = ints_of(node, 2, "ends");
  const auto axes = ints_of(node, 3, "axes"), steps = constant_ints(graph_, input_or_absent(node, 4));
  if (!starts || !ends) return;
  const auto rank = static_cast<int64_t>(classes_.num_axes(node.inputs[0]));
  bool is_changed = false;
  for (size_t i = 0; i < starts->size(); ++i) {
    const int64_t axis = axes ? ((*axes)[i] + rank) % rank : static_cast<int64_t>(i);
    const auto place = static_cast<size_t>(axis);
    if (!is_cut(node.inputs[0], place)) continue;
    if (steps && (*steps)[i] != 1) return to_gather(id, place, (*starts)[i], (*ends)[i], (*steps)[i]);
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
  if (!target) return computed_target(id);
  bool is_changed = false;
  for (size_t i = 0; i < target->size(); ++i) {
    if ((*target)[i] < 0 || classes_.axis(node.outputs[0], i).empty()) continue;
    const int64_t left = kept(node.outputs[0], i);
    const bool copies = (*target)[i] == 0 && kept(node.inputs[0], i) == left;
    if (copies || (*target)[i] == left) continue;
    (*target)[i] = left;
    is_changed = true;
  }
  if (is_changed) set_ints(id, 1, "shape", *target);
}

/// True if the shape is computed from the length of an axis that is cut.
bool Slicer::reads_cut_length(ValueId shape, std::set<ValueId>& seen) const {
  const auto producer = shape == ValueId::absent || !seen.insert(shape).second ? std::nullopt : graph_.producer(shape);
  if (!producer) return false;
  const Node& node = graph_.node(*producer);
  if (node.op == "Shape") return is_any_cut(node.inputs[0]);
  return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) { return reads_cut_length(input, seen); });
}

/// Writes down the known lengths of a target that the graph computes; the others stay as they are.
///   before   Reshape(x, Concat(n, t, 64))     after   Reshape(x, Where([0, 0, 1], [1, 1, 60], Concat(n, t, 64)))
void Slicer::computed_target(NodeId id) {
  const Node node = graph_.node(id);
  if (!classes_.computed_targets().contains(id)) return;
  const size_t index = node.op == "ConstantOfShape" ? 0 : 1;
  std::set<ValueId> seen;
  if (!is_any_cut(node.outputs[0]) && !(index == 1 && is_any_cut(node.inputs[0])) && !reads_cut_length(node.inputs[index], seen)) return;
  const size_t rank = classes_.num_axes(node.outputs[0]);
  Ints target(rank, node.op == "Reshape" ? -1 : 1);
  Tensor is_known = at::zeros({static_cast<int64_t>(rank)}, at::kBool);
  for (size_t i = 0; i < rank; ++i) {
    if (classes_.axis(node.outputs[0], i).empty()) continue;
    is_known[static_cast<int64_t>(i)] = true;
    target[i] = kept(node.outputs[0], i);
  }
  const int64_t unknown = static_cast<int64_t>(rank) - is_known.sum().item<int64_t>();
  const std::string label = graph_.label(id);
  const Constant numbers = make_constant(at::tensor(target, at::kLong));
  if (unknown == 0 || (unknown == 1 && node.op == "Reshape")) {
    graph_.set_input(id, index, new_constant(graph_, label + ".shape", numbers));
    remove_unused_constant(graph_, node.inputs[index]);
    return;
  }
  const ValueId made = graph_.add_value({.name = graph_.fresh_name(label + ".target"), .dtype = DType::int64});
  graph_.insert_before(id, {.name = label + ".lengths", .op = "Where",
                            .inputs = {new_constant(graph_, label + ".is_known", make_constant(is_known)),
                                       new_constant(graph_, label + ".shape", numbers), node.inputs[index]},
                            .outputs = {made}});
  graph_.set_input(id, index, made);
}

void Slicer::rewrite(NodeId id) {
  using Rewrite = void (Slicer::*)(NodeId);
  static const std::map<std::string, Rewrite> rewrites = {
      {"ConstantOfShape", &Slicer::computed_target}, {"Conv", &Slicer::conv}, {"ConvTranspose", &Slicer::conv},
      {"Expand", &Slicer::computed_target}, {"GRU", &Slicer::recurrent}, {"Gather", &Slicer::gather}, {"LSTM", &Slicer::recurrent},
      {"Pad", &Slicer::pad}, {"RNN", &Slicer::recurrent}, {"Reshape", &Slicer::reshape}, {"Slice", &Slicer::slice}, {"Split", &Slicer::split}};
  const Node& node = graph_.node(id);
  const auto found = rewrites.find(node.op);
  if (found != rewrites.end() && is_default_domain(node.domain) && (classes_.knows(node.inputs[0]) || classes_.knows(node.outputs[0]))) (this->*found->second)(id);
}

void Slicer::rewrite_nodes() {
  for (const NodeId id : std::vector<NodeId>(graph_.main().nodes)) rewrite(id);
}

void Slicer::slice_constants(std::vector<ValueId>* sliced) {
  for (const ValueId id : std::vector<ValueId>(graph_.main().constants)) {
    if (index_of(id) >= classes_.num_values()) continue;             // made by a rewrite
    Tensor numbers;
    if (const auto grouped = channels_.find(id); grouped != channels_.end()) {
      numbers = without_columns(values(*graph_.constant(id)), grouped->second);
    }
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

std::vector<int64_t> kept_indices(const AxisClasses& classes, const std::set<ClassId>& removed, ValueId value, size_t axis) {
  std::vector<int64_t> indices;
  const auto ids = classes.axis(value, axis);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!removed.contains(ids[i])) indices.push_back(static_cast<int64_t>(i));
  }
  return indices;
}

std::set<ClassId> without_emptied_axes(const Graph& graph, const AxisClasses& classes, std::set<ClassId> removed) {
  const auto goes = [&](ClassId id) { return removed.contains(id); };
  for (bool is_done = false; !is_done;) {
    removed = balanced(classes, std::move(removed));
    is_done = true;
    for (uint32_t i = 1; i < std::min(classes.num_values(), graph.num_values()); ++i) {
      for (size_t axis = 0; axis < classes.num_axes(static_cast<ValueId>(i)); ++axis) {
        const auto ids = classes.axis(static_cast<ValueId>(i), axis);
        if (!ids.empty() && std::all_of(ids.begin(), ids.end(), goes)) is_done &= removed.erase(ids.front()) == 0;
      }
    }
  }
  return removed;
}

void slice_classes(Graph& graph, const AxisClasses& classes, const std::set<ClassId>& removed, std::vector<ValueId>* sliced) {
  if (removed.empty()) return;
  if (removed.contains(ClassId::frozen)) throw InternalError("a frozen class was to be removed");
  if (balanced(classes, removed).size() != removed.size()) throw InternalError("a removal would leave groups of different sizes");
  if (without_emptied_axes(graph, classes, removed).size() != removed.size()) throw InternalError("a removal would leave an axis empty");
  Slicer slicer(graph, classes, removed);
  slicer.rewrite_nodes();
  slicer.slice_constants(sliced);
  slicer.forget_shapes();
}

}  // namespace niwaki
