#include "passes/factorize/factor_units.h"

#include "compress/graph_edit.h"
#include "passes/factorize/table_units.h"
#include "passes/prune/linear_bias.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr double kEvenShare = 0.1;           // of the mean sensitivity: where answers are certain, few outputs have nearly all of it
constexpr int64_t kFewChannels = 4;          // an image's: its first convolution is small, and its errors reach everything

bool is_same_form(const LinearView& a, const LinearView& b) {
  return a.kind == b.kind && a.channel_axis == b.channel_axis && a.groups == b.groups && a.weight_index == b.weight_index;
}

/// True if every node that reads the weight is linear in it, in the same form.
bool is_shared_alike(const Graph& graph, const LinearView& view) {
  const auto users = graph.consumers(view.weight);
  return !graph.is_output(view.weight) && std::all_of(users.begin(), users.end(), [&](NodeId id) {
    const auto other = linear_view(graph, id);
    const auto& inputs = graph.node(id).inputs;
    return other && other->weight == view.weight && is_same_form(*other, view) && std::count(inputs.begin(), inputs.end(), view.weight) == 1;
  });
}

std::string why_not_conv(const Graph& graph, const LinearView& view) {
  const auto& sizes = graph.constant(view.weight)->sizes;
  if (view.groups > 1 && (sizes[1] == 1 || sizes[0] == view.groups)) return "it is depthwise: there is nothing to factorize";
  if (view.groups == 1 && sizes[1] <= kFewChannels) return "it reads few channels, such as those of an image";
  return "";
}

std::string why_not_linear(const Graph& graph, const LinearView& view) {
  const Node& node = graph.node(view.node);
  if (view.weight_index != 1) return "its weight is the left factor";
  if (graph.constant(view.weight)->sizes.size() != 2) return "its weight has more than two axes";
  if (view.kind != LinearKind::gemm) return "";
  if (int_attribute(node, "transA", 0) != 0) return "its input is transposed";
  const bool scales = float_attribute(node, "alpha", 1) != 1.0F || float_attribute(node, "beta", 1) != 1.0F;
  return scales ? "it scales its product" : "";
}

double numel(const KnownSizes& sizes, ValueId id) {
  const auto found = sizes.find(id);
  if (found == sizes.end()) return 0;
  double all = 1;
  for (const int64_t size : found->second) all *= static_cast<double>(size);
  return all;
}

struct Positions {
  double output = 0, input = 0, middle = 0;
};

Positions positions_of(const Graph& graph, const LinearView& view, const KnownSizes& sizes) {
  const auto& weight = graph.constant(view.weight)->sizes;
  const auto outs = static_cast<double>(weight[static_cast<size_t>(view.channel_axis)]);
  Positions found{.output = numel(sizes, view.output) / outs};
  if (view.kind != LinearKind::conv) return found;
  found.input = numel(sizes, view.input) / static_cast<double>(weight[1] * view.groups);
  const auto in = sizes.find(view.input), out = sizes.find(view.output);
  if (weight.size() == 4 && in != sizes.end() && out != sizes.end()) {
    found.middle = static_cast<double>(out->second[0] * out->second[2] * in->second[3]);
  }
  return found;
}

/// Moments of columns [groups, in, in]; errors that all positions of a sample share count `coherence` times.
Tensor moments_of(const Gram& gram, double coherence, bool is_centred) {
  const auto count = static_cast<double>(gram.count);
  const Tensor plain = (gram.products + (coherence - 1) * gram.of_means) / count;
  if (!is_centred) return plain;
  const Tensor mean = gram.mean();
  return plain - coherence * mean.unsqueeze(2) * mean.unsqueeze(1);
}

Tensor moments_of(const FactorUnit& unit, const Statistics& statistics, const std::map<NodeId, OutputSensitivity>& sensitivity, bool is_centred) {
  Tensor sum;
  double total = 0;
  for (size_t i = 0; i < (unit.is_tied ? unit.nodes.size() : 1); ++i) {
    const NodeId id = unit.nodes[i].node;
    const auto known = sensitivity.find(id);
    const auto count = static_cast<double>(statistics.gram(id).count);
    const Tensor one = moments_of(statistics.gram(id), known == sensitivity.end() ? 1 : std::max(1.0, known->second.coherence()), is_centred) * count;
    sum = sum.defined() ? sum + one : one;
    total += count;
  }
  return sum / total;
}

/// How much each output counts: the root of half the squared gradient, so that a loss is a divergence in nats.
Tensor output_weights(const FactorUnit& unit, const std::map<NodeId, OutputSensitivity>& sensitivity) {
  std::vector<Tensor> parts;
  for (const LinearView& view : unit.nodes) {
    const auto known = sensitivity.find(view.node);
    if (known == sensitivity.end()) return {};
    const Tensor& gradient = known->second.gradient;
    parts.push_back((gradient + kEvenShare * gradient.mean()) / 2);
  }
  if (!unit.is_tied) return at::cat(parts).sqrt();
  Tensor sum = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) sum = sum + parts[i];
  return sum.sqrt();
}

}  // namespace

std::string why_not_factorized(const Graph& graph, const LinearView& view) {
  if (view.kind == LinearKind::conv_transpose) return "transposed convolutions are not factorized";
  const Constant* weight = fixed_constant(graph, view.weight);
  if (!weight) return "the caller may replace its weight";
  if (element_count(*weight) == 0) return "its weight is empty";
  const std::string reason = view.kind == LinearKind::conv ? why_not_conv(graph, view) : why_not_linear(graph, view);
  if (!reason.empty()) return reason;
  if (!at::isfinite(values(*weight)).all().item<bool>()) return "its weight has numbers that are not finite";
  return is_shared_alike(graph, view) ? "" : "its weight is used in another form too";
}

std::vector<FactorUnit> factor_units(const Graph& graph, const std::vector<LinearView>& allowed) {
  std::vector<FactorUnit> units;
  std::map<ValueId, size_t> by_weight, by_input;
  for (const LinearView& view : allowed) {
    const bool is_tied = graph.consumers(view.weight).size() > 1;
    auto& known = is_tied ? by_weight : by_input;
    const ValueId key = is_tied ? view.weight : view.input;
    const bool may_share = is_tied || view.kind != LinearKind::conv;
    const auto found = may_share ? known.find(key) : known.end();
    if (found != known.end()) {
      units[found->second].nodes.push_back(view);
      continue;
    }
    if (may_share) known[key] = units.size();
    units.push_back({.nodes = {view}, .is_tied = is_tied});
  }
  return units;
}

std::vector<NodeId> FactorUnit::node_ids() const {
  std::vector<NodeId> ids = gathers;
  for (const LinearView& view : nodes) ids.push_back(view.node);
  return ids;
}

bool has_bias_places(const Graph& graph, const FactorUnit& unit) {
  return std::all_of(unit.nodes.begin(), unit.nodes.end(), [&](const LinearView& view) { return bias_place(graph, view).has_value(); });
}

FactoredLayer layer_of(const Graph& graph, const FactorUnit& unit, const Statistics* statistics,
                       const std::map<NodeId, OutputSensitivity>& sensitivity, const KnownSizes& sizes) {
  if (unit.table != ValueId::absent && unit.nodes.empty()) return layer_of_table(graph, unit, statistics, sizes);
  const LinearView& leader = unit.nodes.front();
  FactoredLayer layer{.groups = leader.groups};
  if (leader.kind == LinearKind::conv) {
    const auto& weight = graph.constant(leader.weight)->sizes;
    layer.kernel.assign(weight.begin() + 2, weight.end());
  }
  std::vector<Tensor> rows;
  Positions sum;
  for (const LinearView& view : unit.nodes) {
    if (!unit.is_tied || rows.empty()) rows.push_back(weight_rows(view, values(*graph.constant(view.weight)).to(at::kDouble)));
    const Positions one = positions_of(graph, view, sizes);
    sum = {sum.output + one.output, sum.input + one.input, sum.middle + one.middle};
  }
  // nodes that share their input run at the same positions
  const double times = unit.is_tied ? 1 : static_cast<double>(unit.nodes.size());
  layer.rows = at::cat(rows);
  layer.output_positions = std::max(1.0, sum.output / times);
  layer.input_positions = std::max(1.0, sum.input / times);
  layer.middle_positions = std::max(1.0, sum.middle / times);
  if (statistics) layer.moments = moments_of(unit, *statistics, sensitivity, has_bias_places(graph, unit));
  layer.weights = output_weights(unit, sensitivity);
  if (unit.table != ValueId::absent) add_lookups(graph, unit, statistics, sizes, layer);
  return layer;
}

}  // namespace niwaki
