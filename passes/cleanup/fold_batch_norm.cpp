#include "passes/cleanup/fold_batch_norm.h"

#include "compress/graph_edit.h"
#include "compress/linear_view.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr double kLargestFactor = 1e6;       // beyond it, rounding of the folded weights shows

struct Affine { Tensor factor, shift; };     // y = x * factor + shift, double [channels]

Tensor doubles(const Graph& graph, ValueId id) { return values(*graph.constant(id)).to(at::kDouble); }

bool is_inference(const Graph& graph, const Node& node) {
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != ValueId::absent) return false;
  }
  if (graph.opset() < 7) return int_attribute(node, "is_test", 0) != 0;
  return int_attribute(node, "training_mode", 0) == 0;
}

/// What the node computes per channel, or why that is not known; throws nothing.
std::string read_affine(const Graph& graph, const Node& node, Affine& affine) {
  if (!is_inference(graph, node)) return "it computes statistics in training mode";
  if (int_attribute(node, "spatial", 1) == 0) return "it has parameters per element, not per channel";
  for (size_t i = 1; i < 5; ++i) {
    const Constant* constant = fixed_constant(graph, input_or_absent(node, i));
    if (constant == nullptr || !is_float(constant->dtype)) return "its parameters are computed at run time";
  }
  const double epsilon = float_attribute(node, "epsilon", 1e-5F);
  affine.factor = doubles(graph, node.inputs[1]) / (doubles(graph, node.inputs[4]) + epsilon).sqrt();
  affine.shift = doubles(graph, node.inputs[2]) - doubles(graph, node.inputs[3]) * affine.factor;
  const bool is_sane = affine.factor.isfinite().all().item<bool>() && affine.shift.isfinite().all().item<bool>();
  if (!is_sane || affine.factor.abs().max().item<double>() > kLargestFactor) return "a factor is above 1e6: its variance is almost zero";
  return "";
}

/// The linear node before, with the Add between, if any.
struct Target {
  LinearView view;
  std::optional<NodeId> add;                 // adds a constant per channel
  size_t add_index = 0;                      // of that constant
  Tensor bias;                               // double [channels], of both
};

int64_t num_outputs(const LinearView& view, const Constant& weight) {
  const int64_t size = weight.sizes[static_cast<size_t>(view.channel_axis)];
  return view.kind == LinearKind::conv_transpose ? size * view.groups : size;
}

/// True if axis 1 of the output counts the outputs of the node.
bool has_channels_on_axis_1(const Graph& graph, const LinearView& view) {
  if (view.kind != LinearKind::matmul) return true;
  const auto& shape = graph.value(view.output).shape;
  const size_t weight_rank = graph.constant(view.weight)->sizes.size();
  if (!shape || weight_rank != 2) return false;
  return view.weight_index == 1 ? shape->size() == 2 : shape->size() == 3;
}

/// A constant that varies along axis 1 of an output of this rank alone, as [channels], else undefined.
Tensor per_channel(const Graph& graph, ValueId id, size_t rank, int64_t channels) {
  const Constant* constant = fixed_constant(graph, id);
  if (constant == nullptr || constant->sizes.size() > rank || !is_float(constant->dtype)) return {};
  const size_t skipped = rank - constant->sizes.size();
  for (size_t i = 0; i < constant->sizes.size(); ++i) {
    const bool is_channel = skipped + i == 1 && constant->sizes[i] == channels;
    if (constant->sizes[i] != 1 && !is_channel) return {};
  }
  return doubles(graph, id).reshape({-1}).expand({channels}).clone();
}

std::optional<LinearView> foldable_view(const Graph& graph, ValueId output) {
  const auto producer = graph.producer(output);
  if (!producer) return std::nullopt;
  const auto view = linear_view(graph, *producer);
  return view && fixed_constant(graph, view->weight) ? view : std::nullopt;
}

/// The bias of a linear node as [channels]: zeros where it has none, undefined where it has another form.
Tensor linear_bias(const Graph& graph, const LinearView& view, int64_t channels) {
  const Node& node = graph.node(view.node);
  const ValueId bias = view.kind == LinearKind::matmul ? ValueId::absent : input_or_absent(node, 2);
  if (bias == ValueId::absent) return at::zeros({channels}, at::kDouble);
  if (view.kind == LinearKind::gemm) {
    const Tensor rows = per_channel(graph, bias, 2, channels);
    return rows.defined() ? rows * static_cast<double>(float_attribute(node, "beta", 1)) : Tensor{};
  }
  return fixed_constant(graph, bias) ? doubles(graph, bias).reshape({-1}) : Tensor{};
}

std::string find_target(const Graph& graph, const Node& norm, int64_t channels, Target& target) {
  ValueId source = norm.inputs[0];
  if (!has_single_use(graph, source)) return "other nodes, or the caller, read its input";
  const auto producer = graph.producer(source);
  Tensor added = at::zeros({channels}, at::kDouble);
  if (producer && graph.node(*producer).op == "Add" && graph.value(source).shape) {
    const Node& add = graph.node(*producer);
    for (const size_t side : {size_t{1}, size_t{0}}) {
      const Tensor constant = per_channel(graph, add.inputs[side], graph.value(source).shape->size(), channels);
      if (!constant.defined() || !has_single_use(graph, add.inputs[1 - side])) continue;
      target.add = *producer;
      target.add_index = side;
      added = constant;
      source = add.inputs[1 - side];
      break;
    }
  }
  const auto view = foldable_view(graph, source);
  if (!view) return "no Conv, ConvTranspose, Gemm or MatMul with a constant weight stands before it";
  target.view = *view;
  if (!has_single_use(graph, view->weight)) return "other nodes read the weight before it";
  if (!has_channels_on_axis_1(graph, *view) || num_outputs(*view, *graph.constant(view->weight)) != channels) {
    return "its channels are not the outputs of the node before it";
  }
  const Tensor bias = linear_bias(graph, *view, channels);
  if (!bias.defined()) return "the bias before it is computed at run time or varies within a channel";
  target.bias = bias + added;
  return "";
}

Constant rounded(const Tensor& numbers, DType dtype) { return make_constant(numbers.to(scalar_type(dtype)), dtype); }

/// The weight with output o multiplied by factor[o].
Tensor scaled_outputs(const LinearView& view, const Tensor& weight, const Tensor& factor) {
  std::vector<int64_t> sizes(static_cast<size_t>(weight.dim()), 1);
  if (view.kind != LinearKind::conv_transpose || view.groups == 1) {
    sizes[static_cast<size_t>(view.channel_axis)] = factor.numel();
    return weight * factor.reshape(sizes);
  }
  // [C, O/g, ...]: position j of group q is output q * (O/g) + j
  sizes[0] = view.groups;
  sizes[1] = weight.size(1);
  const Tensor blocks = factor.reshape(sizes).repeat_interleave(weight.size(0) / view.groups, 0);
  return weight * blocks;
}

void set_weight(Graph& graph, PassContext& context, ValueId id, const Tensor& numbers) {
  graph.set_constant(id, rounded(numbers, graph.constant(id)->dtype));
  context.report.changes.emplace_back(graph.value(id).name, "BatchNormalization is folded in");
}

/// Ends the norm: the node before makes its output.
void remove_norm(Graph& graph, NodeId norm, NodeId previous) {
  const ValueId output = graph.node(norm).outputs[0];
  const std::vector<ValueId> parameters(graph.node(norm).inputs.begin() + 1, graph.node(norm).inputs.end());
  std::vector<ValueId> outputs = graph.node(previous).outputs;
  outputs[0] = output;
  graph.remove(norm);
  graph.set_outputs(previous, std::move(outputs));
  for (const ValueId id : parameters) remove_unused_constant(graph, id);
}

/// MatMul has no bias: the norm becomes the Add of it.
void become_add(Graph& graph, NodeId norm, const LinearView& view, const Tensor& bias, DType dtype) {
  const std::string name = graph.label(norm) + ".bias";
  const std::vector<ValueId> parameters(graph.node(norm).inputs.begin() + 1, graph.node(norm).inputs.end());
  const Tensor aligned = view.weight_index == 1 ? bias : bias.unsqueeze(1);
  for (const auto& [attribute, value] : std::map(graph.node(norm).attributes)) graph.remove_attribute(norm, attribute);
  graph.set_operator(norm, "Add", "");
  graph.set_inputs(norm, {graph.node(norm).inputs[0], new_constant(graph, name, rounded(aligned, dtype))});
  for (const ValueId id : parameters) remove_unused_constant(graph, id);
}

void fold_back(Graph& graph, NodeId norm, const Target& target, const Affine& affine, PassContext& context) {
  const LinearView& view = target.view;
  const DType dtype = graph.constant(view.weight)->dtype;
  const std::string bias_name = graph.label(view.node) + ".bias";
  set_weight(graph, context, view.weight, scaled_outputs(view, doubles(graph, view.weight), affine.factor));
  const Tensor bias = target.bias * affine.factor + affine.shift;
  if (target.add) {
    const ValueId old = graph.node(*target.add).inputs[target.add_index];
    std::vector<int64_t> sizes = graph.constant(old)->sizes;
    if (element_count(*graph.constant(old)) != bias.numel()) sizes = view.kind == LinearKind::matmul && view.weight_index == 1 ? std::vector<int64_t>{bias.numel()} : std::vector<int64_t>{};
    if (sizes.empty()) {                     // a scalar, or one number for all channels
      sizes.assign(graph.value(view.output).shape ? graph.value(view.output).shape->size() - 1 : 1, 1);
      sizes[0] = bias.numel();
    }
    replace_constant_input(graph, *target.add, target.add_index, rounded(bias.reshape(sizes), dtype), bias_name);
    if (view.bias != ValueId::absent) replace_constant_input(graph, view.node, 2, rounded(at::zeros_like(values(*graph.constant(view.bias)), at::kDouble), dtype), bias_name);
    return remove_norm(graph, norm, *target.add);
  }
  if (view.kind == LinearKind::matmul) return become_add(graph, norm, view, bias, dtype);
  replace_constant_input(graph, view.node, 2, rounded(bias, dtype), bias_name);
  graph.remove_attribute(view.node, "beta");
  remove_norm(graph, norm, view.node);
}

bool is_padded(const Node& conv) {
  const std::string automatic = string_attribute(conv, "auto_pad", "NOTSET");
  if (automatic != "NOTSET" && automatic != "VALID") return true;
  const auto pads = ints_attribute(conv, "pads");
  return automatic == "NOTSET" && std::any_of(pads.begin(), pads.end(), [](int64_t pad) { return pad != 0; });
}

/// Folds into the Conv that reads the norm, if that is exact; else says why not.
std::string fold_forward(Graph& graph, NodeId norm, const Affine& affine, PassContext& context) {
  const ValueId output = graph.node(norm).outputs[0];
  if (!has_single_use(graph, output)) return "several nodes, or the caller, read its output";
  const auto view = linear_view(graph, graph.consumers(output).front());
  if (!view || view->kind != LinearKind::conv || view->input != output || !fixed_constant(graph, view->weight)) return "no Conv with a constant weight follows";
  if (!has_single_use(graph, view->weight)) return "other nodes read the weight after it";
  const bool shifts = (affine.shift != 0).any().item<bool>();
  if (shifts && is_padded(graph.node(view->node))) return "the Conv after it pads, and padding is not shifted";
  const Tensor weight = doubles(graph, view->weight);               // [O, C/g, taps...]
  const int64_t outputs = weight.size(0), per_group = weight.size(1), groups = view->groups;
  if (per_group * groups != affine.factor.numel()) return "its channels are not the inputs of the Conv after it";
  const Tensor bias = linear_bias(graph, *view, outputs);
  if (!bias.defined()) return "the bias of the Conv after it is computed at run time";
  const auto for_rows = [&](const Tensor& numbers) {                // [C] -> [O, C/g]
    return numbers.reshape({groups, per_group}).repeat_interleave(outputs / groups, 0);
  };
  const Tensor flat = weight.reshape({outputs, per_group, -1});
  const Tensor shifted = (flat.sum(2) * for_rows(affine.shift)).sum(1);
  const DType dtype = graph.constant(view->weight)->dtype;
  set_weight(graph, context, view->weight, (flat * for_rows(affine.factor).unsqueeze(2)).reshape(weight.sizes()));
  if (shifts) replace_constant_input(graph, view->node, 2, rounded(bias + shifted, dtype), graph.label(view->node) + ".bias");
  const ValueId input = graph.node(norm).inputs[0];
  bypass(graph, norm, input, output);
  return "";
}

}  // namespace

void fold_batch_norm(Graph& graph, const FoldBatchNormOptions& options, PassContext& context) {
  for (const NodeId id : std::vector<NodeId>(graph.main().nodes)) {
    const Node& node = graph.node(id);
    if (node.op != "BatchNormalization" || !is_default_domain(node.domain)) continue;
    const std::string label = graph.label(id);
    Affine affine;
    Target target;
    std::string reason = read_affine(graph, node, affine);
    if (reason.empty()) {
      reason = find_target(graph, node, affine.factor.numel(), target);
      if (reason.empty()) {
        fold_back(graph, id, target, affine, context);
      } else if (const std::string forward = fold_forward(graph, id, affine, context); forward.empty()) {
        reason.clear();
      } else {
        reason += "; " + forward;
      }
    }
    if (reason.empty()) context.report.change(label);
    else context.report.skip(label, reason);
  }
}

}  // namespace niwaki
