#include "passes/prune/prunable_layers.h"

#include "compress/columns.h"
#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

int64_t outputs_of(const Graph& graph, const LinearView& view) {
  return graph.constant(view.weight)->sizes[static_cast<size_t>(view.channel_axis)];
}

/// True for one fixed number per output, or a single one for all.
bool is_bias(const Graph& graph, ValueId id, int64_t outputs) {
  const Constant* constant = id == ValueId::absent ? nullptr : fixed_constant(graph, id);
  if (constant == nullptr || !is_float(constant->dtype) || is_interface(graph, id)) return false;
  const bool is_last = constant->sizes.empty() || constant->sizes.back() == outputs;
  return element_count(*constant) == outputs && is_last;
}

/// The Add of a constant that alone reads the product.
void find_add(const Graph& graph, LayerReader& reader) {
  const ValueId product = reader.view.output;
  if (!has_single_use(graph, product)) return;
  const NodeId next = graph.consumers(product)[0];
  const Node& add = graph.node(next);
  if (add.op != "Add" || !is_default_domain(add.domain)) return;
  const size_t index = add.inputs[0] == product ? 1 : 0;
  if (!is_bias(graph, add.inputs[index], outputs_of(graph, reader.view))) return;
  reader.bias_node = next;
  reader.bias_index = index;
  reader.has_bias = reader.can_shift = true;
}

LayerReader reader_of(const Graph& graph, const LinearView& view) {
  LayerReader reader{.view = view, .bias_node = view.node, .bias_index = 2};
  const Node& node = graph.node(view.node);
  if (view.kind == LinearKind::matmul) {
    find_add(graph, reader);
    return reader;
  }
  if (view.kind == LinearKind::gemm) {
    reader.alpha = static_cast<double>(float_attribute(node, "alpha", 1));
    reader.beta = static_cast<double>(float_attribute(node, "beta", 1));
  }
  const ValueId bias = input_or_absent(node, 2);
  reader.has_bias = is_bias(graph, bias, outputs_of(graph, view));
  reader.can_shift = (bias == ValueId::absent || reader.has_bias) && reader.alpha != 0 && reader.beta != 0;
  return reader;
}

/// Why a weight must stay as it is, or "".
std::string weight_obstacle(const Graph& graph, const LinearView& view) {
  const Constant* weight = fixed_constant(graph, view.weight);
  if (weight == nullptr) return "a caller may set its weight";
  if (element_count(*weight) == 0) return "its weight is empty";
  if (!has_columns(graph, view)) return "what it reads has no matrix form here (ConvTranspose, weights per batch or on the left)";
  if (is_interface(graph, view.weight)) return "its weight is an output of the model";
  return at::isfinite(values(*weight)).all().item<bool>() ? "" : "its weight has numbers that are not finite";
}

/// Why nodes that share a weight cannot be pruned together, or "".
std::string sharing_obstacle(const Graph& graph, const PrunableLayer& layer) {
  const LinearView& first = layer.readers[0].view;
  for (const NodeId consumer : graph.consumers(layer.weight)) {
    const bool is_known = std::any_of(layer.readers.begin(), layer.readers.end(), [&](const LayerReader& one) { return one.view.node == consumer; });
    if (!is_known) return cat("its weight is also read by '", printable(graph.label(consumer)), "', which is not pruned");
  }
  const bool agrees = std::all_of(layer.readers.begin(), layer.readers.end(), [&](const LayerReader& one) {
    return one.view.channel_axis == first.channel_axis && one.view.groups == first.groups && one.view.input_index == first.input_index;
  });
  return agrees ? "" : "the nodes that read its weight see it along different axes";
}

PrunableLayer layer_of(const Graph& graph, const LinearView& view) {
  const auto& sizes = graph.constant(view.weight)->sizes;
  const int64_t outputs = outputs_of(graph, view);
  PrunableLayer layer{.weight = view.weight, .groups = view.kind == LinearKind::conv ? view.groups : 1};
  layer.rows = outputs / layer.groups;
  layer.inputs = view.kind == LinearKind::conv ? sizes[1] : element_count(*graph.constant(view.weight)) / outputs;
  for (size_t i = 2; i < sizes.size() && view.kind == LinearKind::conv; ++i) layer.taps *= sizes[i];
  return layer;
}

int64_t weights_of(const Graph& graph, const std::vector<LinearView>& views) {
  std::set<ValueId> seen;
  int64_t count = 0;
  for (const LinearView& view : views) count += seen.insert(view.weight).second ? element_count(*graph.constant(view.weight)) : 0;
  return count;
}

}  // namespace

bool PrunableLayer::can_shift() const {
  return std::all_of(readers.begin(), readers.end(), [](const LayerReader& one) { return one.can_shift; });
}

std::vector<PrunableLayer> prunable_layers(const Graph& graph, const LayerLimits& limits, PassContext& context) {
  const std::vector<LinearView> views = linear_views(graph);
  const double whole = static_cast<double>(weights_of(graph, views));
  std::vector<PrunableLayer> found, kept;
  for (size_t i = 0; i < views.size(); ++i) {
    const LinearView& view = views[i];
    const double share = static_cast<double>(element_count(*graph.constant(view.weight))) / whole;
    std::string reason = is_selected(graph, view.node, context.keep, context.only) ? weight_obstacle(graph, view) : "kept by the caller";
    if (reason.empty() && context.only.empty()) {
      if (share < limits.least_share) reason = cat("it holds less than ", limits.least_share * 100, " % of the weights");
      else if (limits.keeps_last && i + 1 == views.size()) reason = "the last layer stays dense above a sparsity of 0.5";
    }
    if (!reason.empty()) {
      context.report.skip(graph.label(view.node), reason);
      continue;
    }
    auto known = std::find_if(found.begin(), found.end(), [&](const PrunableLayer& one) { return one.weight == view.weight; });
    if (known == found.end()) known = found.insert(found.end(), layer_of(graph, view));
    known->readers.push_back(reader_of(graph, view));
  }
  for (PrunableLayer& layer : found) {
    const std::string reason = sharing_obstacle(graph, layer);
    if (reason.empty()) {
      kept.push_back(std::move(layer));
      continue;
    }
    for (const LayerReader& reader : layer.readers) context.report.skip(graph.label(reader.view.node), reason);
  }
  return kept;
}

Tensor layer_rows(const Graph& graph, const PrunableLayer& layer) {
  const Tensor rows = weight_rows(layer.readers[0].view, values(*graph.constant(layer.weight)).to(at::kDouble));
  return rows.reshape({layer.groups, layer.rows, layer.inputs * layer.taps}).contiguous();
}

void set_layer_rows(Graph& graph, const PrunableLayer& layer, const Tensor& rows) {
  const Constant& old = *graph.constant(layer.weight);
  const LinearView& view = layer.readers[0].view;
  std::vector<int64_t> moved = old.sizes;    // with the axis of the outputs in front
  moved.erase(moved.begin() + view.channel_axis);
  moved.insert(moved.begin(), old.sizes[static_cast<size_t>(view.channel_axis)]);
  const Tensor weight = rows.reshape(moved).movedim(0, view.channel_axis).to(scalar_type(old.dtype)).contiguous();
  graph.set_constant(layer.weight, make_constant(weight, old.dtype));
}

Tensor reader_bias(const Graph& graph, const LayerReader& reader) {
  if (!reader.has_bias) return at::zeros({outputs_of(graph, reader.view)}, at::kDouble);
  return values(*graph.constant(graph.node(reader.bias_node).inputs[reader.bias_index])).to(at::kDouble).reshape({-1});
}

void shift_outputs(Graph& graph, const LayerReader& reader, const Tensor& shift) {
  const Tensor bias = reader_bias(graph, reader) + shift.reshape({-1}) * (reader.alpha / reader.beta);
  const std::string name = cat(graph.label(reader.view.node), ".bias");
  if (reader.has_bias) {
    const Constant& old = *graph.constant(graph.node(reader.bias_node).inputs[reader.bias_index]);
    const Tensor numbers = bias.reshape(old.sizes).to(scalar_type(old.dtype)).contiguous();
    replace_constant_input(graph, reader.bias_node, reader.bias_index, make_constant(numbers, old.dtype), name);
    return;
  }
  const DType dtype = graph.constant(reader.view.weight)->dtype;
  std::vector<ValueId> inputs = graph.node(reader.bias_node).inputs;
  inputs.resize(3, ValueId::absent);
  inputs[2] = new_constant(graph, name, make_constant(bias.to(scalar_type(dtype)).contiguous(), dtype));
  graph.set_inputs(reader.bias_node, std::move(inputs));
}

}  // namespace niwaki
