#include "compress/axes/fold_scales.h"

#include "compress/error.h"
#include "compress/graph_edit.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace niwaki {
namespace {

const std::set<std::string> kPassFirst = {
    "Abs",     "AveragePool", "DepthToSpace", "Dropout", "Expand",     "Flatten",   "Gather",    "GlobalAveragePool", "GlobalMaxPool",
    "Identity", "LeakyRelu",  "MaxPool",      "Neg",     "Pad",  "PRelu",      "ReduceMax", "ReduceMean", "ReduceMin",        "ReduceSum",
    "Relu",    "Reshape",     "Slice",        "SpaceToDepth", "Split", "Squeeze",   "Transpose", "Unsqueeze",         "Upsample"};
const std::set<std::string> kSums = {"Add", "Max", "Mean", "Min", "Sub", "Sum"};

/// Stretches: values that share a factor, joined while the nodes are read.
class Search {
 public:
  Search(const Graph& graph, bool split_clips) : graph_(graph), classes_(graph), parents_(graph.num_values()), split_clips_(split_clips) {
    std::iota(parents_.begin(), parents_.end(), 0U);
  }
  ChannelScales run();

 private:
  uint32_t root(uint32_t id) {
    while (parents_[id] != id) id = parents_[id] = parents_[parents_[id]];
    return id;
  }
  void join(ValueId a, ValueId b) { parents_[root(index_of(b))] = root(index_of(a)); }
  void block(ValueId id, const std::string& reason) { blocked_.emplace_back(id, reason); }
  bool is_constant(ValueId id) const { return fixed_constant(graph_, id) != nullptr; }
  std::vector<size_t> class_axes(ValueId id) const;
  bool has_axis_of(ValueId operand, ValueId output, size_t axis) const;
  void visit(NodeId id);
  std::string visit_linear(const LinearView& view);
  std::string visit_sum(NodeId id);
  std::string visit_product(const Node& node);
  std::string visit_first(NodeId id);
  std::string visit_clip(NodeId id);
  std::vector<uint32_t> scales_of(ValueId id, size_t axis);
  std::string reason_of(ValueId id);

  const Graph& graph_;
  const AxisClasses classes_;
  std::vector<uint32_t> parents_;
  const bool split_clips_;
  std::vector<std::pair<ValueId, std::string>> blocked_;
  std::map<uint32_t, std::string> reasons_;  // by root
  std::map<std::pair<uint32_t, ClassId>, uint32_t> numbers_;
  std::map<uint32_t, uint32_t> stretch_numbers_;
  ChannelScales found_;
};

/// The axes of a value that have a class with a scale.
std::vector<size_t> Search::class_axes(ValueId id) const {
  std::vector<size_t> axes;
  for (size_t i = 0; i < classes_.num_axes(id); ++i) {
    const auto ids = classes_.axis(id, i);
    if (std::any_of(ids.begin(), ids.end(), [](ClassId one) { return one != ClassId::frozen; })) axes.push_back(i);
  }
  return axes;
}

/// True if the operand has the classes of the output along this axis, right-aligned.
bool Search::has_axis_of(ValueId operand, ValueId output, size_t axis) const {
  const size_t skipped = classes_.num_axes(output) - classes_.num_axes(operand);
  if (classes_.num_axes(operand) > classes_.num_axes(output) || axis < skipped) return false;
  const auto mine = classes_.axis(operand, axis - skipped), wanted = classes_.axis(output, axis);
  return std::equal(mine.begin(), mine.end(), wanted.begin(), wanted.end());
}

size_t input_axis(const Graph& graph, const LinearView& view) {
  return view.kind == LinearKind::matmul ? std::max<size_t>(graph.value(view.input).shape->size(), 1) - 1 : 1;
}

size_t output_axis(const Graph& graph, const LinearView& view) {
  return view.kind == LinearKind::matmul ? std::max<size_t>(graph.value(view.output).shape->size(), 1) - 1 : 1;
}

/// Why no factor can go through the weight or the bias, or "".
std::string Search::visit_linear(const LinearView& view) {
  const Constant* weight = fixed_constant(graph_, view.weight);
  const Node& node = graph_.node(view.node);
  if (weight == nullptr || weight->dtype != DType::float32) return "the weight is not a float32 constant";
  if (!has_single_use(graph_, view.weight)) return "other nodes read the weight";
  if (view.input_index != 0 || (view.kind == LinearKind::matmul && weight->sizes.size() != 2)) return "the weight is not a matrix on the right";
  if (!graph_.value(view.input).shape || !graph_.value(view.output).shape) return "the rank of its input is not known";
  if (view.kind == LinearKind::gemm && int_attribute(node, "transA", 0) != 0) return "it reads its input transposed";
  if (view.kind == LinearKind::conv_transpose && view.groups != 1) return "it has groups";
  if (view.kind == LinearKind::matmul) return "";
  const ValueId bias = input_or_absent(node, 2);
  if (bias == ValueId::absent) return "";
  const Constant* numbers = fixed_constant(graph_, bias);
  const int64_t outputs = weight->sizes[static_cast<size_t>(view.channel_axis)];
  if (numbers == nullptr || numbers->dtype != DType::float32 || numbers->sizes.empty() || numbers->sizes.back() != outputs) return "its bias is not one constant per output";
  return "";
}

std::string Search::visit_sum(NodeId id) {
  const Node& node = graph_.node(id);
  const ValueId output = node.outputs[0];
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    for (const size_t axis : class_axes(output)) {
      if (!has_axis_of(node.inputs[i], output, axis)) return "a term has no number per channel";
    }
    if (!is_constant(node.inputs[i])) {
      join(output, node.inputs[i]);
      continue;
    }
    if (graph_.constant(node.inputs[i])->dtype != DType::float32) return "a term is not float32";
    const size_t skipped = classes_.num_axes(output) - std::min(classes_.num_axes(output), classes_.num_axes(node.inputs[i]));
    for (const size_t axis : class_axes(output)) found_.terms.push_back({id, i, axis - skipped, {}});
  }
  return "";
}

std::string Search::visit_product(const Node& node) {
  const size_t varying = is_constant(node.inputs[0]) ? 1 : 0;
  if (!is_constant(node.inputs[1 - varying]) || is_constant(node.inputs[varying])) return "it multiplies computed numbers";
  if (node.op == "Div" && varying == 1) return "it divides by computed numbers";
  for (const size_t axis : class_axes(node.outputs[0])) {
    if (!has_axis_of(node.inputs[varying], node.outputs[0], axis)) return "it broadcasts channels";
  }
  join(node.outputs[0], node.inputs[varying]);
  return "";
}

std::string Search::visit_first(NodeId id) {
  const Node& node = graph_.node(id);
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const DType dtype = node.inputs[i] == ValueId::absent ? DType::int64 : graph_.value(node.inputs[i]).dtype;
    if (dtype != DType::int64 && dtype != DType::int32 && !is_constant(node.inputs[i])) return "one of its parameters is computed";
  }
  if (node.op == "Pad" && string_attribute(node, "mode", "constant") == "constant") {
    const ValueId number = input_or_absent(node, 2);
    const bool is_zero = number == ValueId::absent ? float_attribute(node, "value", 0) == 0 : is_constant_scalar(graph_, number, 0);
    if (!is_zero) return "it pads with another number than 0";
  }
  const bool has_indices = node.op == "MaxPool" && node.outputs.size() > 1;
  if (is_constant(node.inputs[0]) || has_indices) return "it is in a form that lets no factor pass";
  for (const ValueId output : node.outputs) {
    if (output == ValueId::absent) continue;
    if (class_axes(output).size() != class_axes(node.inputs[0]).size()) return "it mixes channels";
    join(output, node.inputs[0]);
  }
  return "";
}

std::string Search::visit_clip(NodeId id) {
  const Node& node = graph_.node(id);
  const bool in_inputs = graph_.opset() >= 11;
  const auto bound = [&](size_t index, const std::string& attribute) -> std::optional<double> {
    if (!in_inputs) return has_attribute(node, attribute) ? std::optional<double>(float_attribute(node, attribute, 0)) : std::nullopt;
    const Constant* constant = fixed_constant(graph_, input_or_absent(node, index));
    return constant ? std::optional(values(*constant).to(at::kDouble).reshape({-1})[0].item<double>()) : std::nullopt;
  };
  const bool is_given = in_inputs && ((input_or_absent(node, 1) != ValueId::absent && !bound(1, "")) || (input_or_absent(node, 2) != ValueId::absent && !bound(2, "")));
  if (is_given) return "a bound of Clip is computed";
  const auto low = bound(1, "min"), high = bound(2, "max");
  if (low.value_or(0) != 0) return "Clip has a bound below or above 0";
  if (high && !(low && *high > 0)) return "Clip has an upper bound alone";
  if (high && (!split_clips_ || graph_.opset() < 8)) return "Clip has an upper bound, which would be another in each channel";
  const auto axes = class_axes(node.outputs[0]);
  if (high && axes.size() == 1) found_.clips.push_back({id, *high, axes[0], classes_.num_axes(node.outputs[0]), {}});
  join(node.outputs[0], node.inputs[0]);
  return "";
}

void Search::visit(NodeId id) {
  const Node& node = graph_.node(id);
  if (node.op == "Shape" || node.op == "Size") return;      // lengths have no factor
  std::string reason;
  if (const auto view = linear_view(graph_, id); view && !is_constant(view->input)) {
    reason = visit_linear(*view);
    found_.layers.push_back({*view, {}, {}, reason});
    const auto must_be = [&](ValueId value, size_t axis) {
      const auto axes = class_axes(value);
      if (axes.size() > 1 || (axes.size() == 1 && axes[0] != axis)) block(value, "channels lie along another axis than the node reads");
    };
    if (reason.empty()) {
      must_be(view->input, input_axis(graph_, *view));
      must_be(view->output, output_axis(graph_, *view));
      return;
    }
  } else if (!is_default_domain(node.domain) || !node.bodies.empty() || node.outputs.empty() || node.inputs.empty()) {
    reason = "it is in a form that lets no factor pass";
  } else if (kSums.contains(node.op)) {
    reason = visit_sum(id);
  } else if (node.op == "Mul" || node.op == "Div") {
    reason = visit_product(node);
  } else if (node.op == "Clip") {
    reason = visit_clip(id);
  } else if (node.op == "Concat") {
    for (const ValueId input : node.inputs) {
      if (is_constant(input)) reason = "a constant is a part of it";
      join(node.outputs[0], input);
    }
  } else {
    reason = kPassFirst.contains(node.op) ? visit_first(id) : "it lets no factor pass";
  }
  if (reason.empty()) return;
  for (const auto* list : {&node.inputs, &node.outputs}) {
    for (const ValueId value : *list) {
      if (value != ValueId::absent && !is_constant(value)) block(value, cat("node '", printable(graph_.label(id)), "' (", printable(node.op), "): ", reason));
    }
  }
}

std::string Search::reason_of(ValueId id) {
  const auto found = reasons_.find(root(index_of(id)));
  if (found != reasons_.end()) return found->second;
  return class_axes(id).empty() ? "its channels are tied to an output or to a node without a rule" : "";
}

std::vector<uint32_t> Search::scales_of(ValueId id, size_t axis) {
  const auto ids = classes_.axis(id, axis);
  const uint32_t stretch = root(index_of(id));
  std::vector<uint32_t> scales(ids.size(), 0);
  if (reasons_.contains(stretch)) return scales;
  const auto place = stretch_numbers_.emplace(stretch, static_cast<uint32_t>(stretch_numbers_.size() + 1)).first;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == ClassId::frozen) continue;
    const auto [number, is_new] = numbers_.emplace(std::pair{stretch, ids[i]}, static_cast<uint32_t>(found_.stretches.size()));
    if (is_new) found_.stretches.push_back(place->second);
    scales[i] = number->second;
  }
  return scales;
}

ChannelScales Search::run() {
  for (const NodeId id : graph_.main().nodes) visit(id);
  for (uint32_t i = 1; i < graph_.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    if (!graph_.constant(id) && class_axes(id).size() > 1) block(id, "channels lie along two axes");
  }
  for (const auto& [id, reason] : blocked_) reasons_.emplace(root(index_of(id)), reason);
  found_.stretches.assign(1, 0);
  for (ScaledLayer& layer : found_.layers) {
    if (!layer.reason.empty()) continue;
    layer.columns = scales_of(layer.view.input, input_axis(graph_, layer.view));
    layer.rows = scales_of(layer.view.output, output_axis(graph_, layer.view));
    layer.reason = reason_of(layer.view.output);
  }
  for (ScaledTerm& term : found_.terms) {
    const Node& node = graph_.node(term.node);
    const size_t skipped = classes_.num_axes(node.outputs[0]) - classes_.num_axes(node.inputs[term.input]);
    term.scales = scales_of(node.outputs[0], term.axis + skipped);
  }
  for (ScaledClip& clip : found_.clips) clip.scales = scales_of(graph_.node(clip.node).outputs[0], clip.axis);
  return std::move(found_);
}

/// The numbers at these places, double [n].
Tensor picked(const std::vector<double>& scales, const std::vector<uint32_t>& places, size_t count) {
  Tensor numbers = at::ones({static_cast<int64_t>(count)}, at::kDouble);
  for (size_t i = 0; i < places.size(); ++i) numbers.data_ptr<double>()[i] = scales[places[i]];
  return numbers;
}

bool has_scale(const std::vector<double>& scales, const std::vector<uint32_t>& places) {
  return std::any_of(places.begin(), places.end(), [&](uint32_t place) { return scales[place] != 1; });
}

/// Divides a constant along an axis.
void divide(Graph& graph, NodeId node, size_t input, size_t axis, const std::vector<uint32_t>& places, const std::vector<double>& scales) {
  const Tensor numbers = values(*graph.constant(graph.node(node).inputs[input]));
  std::vector<int64_t> sizes(static_cast<size_t>(numbers.dim()), 1);
  sizes.at(axis) = numbers.size(static_cast<int64_t>(axis));
  const Tensor divided = numbers.to(at::kDouble) / picked(scales, places, places.size()).reshape(sizes);
  replace_constant_input(graph, node, input, make_constant(divided.to(numbers.scalar_type())), graph.label(node) + ".scaled");
}

void scale_layer(Graph& graph, const ScaledLayer& layer, const std::vector<double>& scales) {
  if (!has_scale(scales, layer.rows) && !has_scale(scales, layer.columns)) return;
  const LinearView& view = layer.view;
  const Tensor weight = values(*graph.constant(view.weight)), rows = weight_by_channels(graph, view);
  Tensor factors = channel_factors(layer, scales);
  Tensor scaled = rows.to(at::kDouble) * factors.reshape({rows.size(0), rows.size(1), 1});
  if (view.channel_axis == 1) scaled = scaled.transpose(0, 1);
  graph.set_constant(view.weight, make_constant(scaled.reshape(weight.sizes()).contiguous().to(weight.scalar_type())));
  if (view.bias == ValueId::absent || !has_scale(scales, layer.rows)) return;
  divide(graph, view.node, 2, graph.constant(view.bias)->sizes.size() - 1, layer.rows, scales);
}

void split_clip(Graph& graph, const ScaledClip& clip, const std::vector<double>& scales) {
  if (!has_scale(scales, clip.scales)) return;
  const Node node = graph.node(clip.node);
  const std::string label = graph.label(clip.node);
  std::vector<int64_t> sizes(clip.rank, 1);
  sizes[clip.axis] = static_cast<int64_t>(clip.scales.size());
  const Tensor highs = (clip.high / picked(scales, clip.scales, clip.scales.size())).reshape(sizes).to(at::kFloat);
  const ValueId high = new_constant(graph, label + ".high", make_constant(highs));
  const ValueId positive = graph.add_value({.name = graph.fresh_name(label + ".positive"), .dtype = DType::float32, .shape = graph.value(node.outputs[0]).shape});
  Node relu{.name = label + ".relu", .op = "Relu", .inputs = {node.inputs[0]}, .outputs = {positive}};
  graph.insert_before(clip.node, std::move(relu));
  for (const char* bound : {"min", "max"}) graph.remove_attribute(clip.node, bound);
  graph.set_operator(clip.node, "Min", "");
  graph.set_inputs(clip.node, {positive, high});
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] != ValueId::absent) remove_unused_constant(graph, node.inputs[i]);
  }
}

}  // namespace

ChannelScales find_scales(const Graph& graph, bool split_clips) { return Search(graph, split_clips).run(); }

Tensor weight_by_channels(const Graph& graph, const LinearView& view) {
  const Tensor weight = values(*graph.constant(view.weight));
  const Tensor rows = view.channel_axis == 1 ? weight.transpose(0, 1) : weight;
  return rows.reshape({rows.size(0), rows.size(1), -1});
}

Tensor channel_factors(const ScaledLayer& layer, const std::vector<double>& scales) {
  const Tensor rows = picked(scales, layer.rows, layer.rows.size());
  const Tensor columns = picked(scales, layer.columns, layer.columns.size());
  const Tensor by_group = columns.reshape({layer.view.groups, 1, -1});     // [groups, 1, in / groups]
  return (by_group / rows.reshape({layer.view.groups, -1, 1})).reshape({rows.size(0), -1});
}

void fold_scales(Graph& graph, const ChannelScales& found, const std::vector<double>& scales) {
  for (const ScaledLayer& layer : found.layers) {
    if (!layer.rows.empty() && !layer.columns.empty()) scale_layer(graph, layer, scales);
  }
  for (const ScaledTerm& term : found.terms) {
    if (has_scale(scales, term.scales)) divide(graph, term.node, term.input, term.axis, term.scales, scales);
  }
  for (const ScaledClip& clip : found.clips) split_clip(graph, clip, scales);
}

}  // namespace niwaki
