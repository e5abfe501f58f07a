#include "compress/batch_norm.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {

bool is_batch_norm(const Node& node) { return node.op == "BatchNormalization" && is_default_domain(node.domain); }

std::string why_statistics_stay(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool is_training = graph.opset() < 7 ? int_attribute(node, "is_test", 0) == 0 : int_attribute(node, "training_mode", 0) != 0;
  const bool has_more = std::any_of(node.outputs.begin() + 1, node.outputs.end(), [](ValueId output) { return output != ValueId::absent; });
  if (is_training || has_more) return "it computes statistics in training mode";
  if (int_attribute(node, "spatial", 1) == 0) return "it has parameters per element, not per channel";
  for (const size_t i : {kMeanInput, kVarianceInput}) {
    const Constant* constant = fixed_constant(graph, input_or_absent(node, i));
    if (constant == nullptr || !is_float(constant->dtype)) return "its statistics are computed at run time";
  }
  return "";
}

void ChannelSums::add(const ChannelSums& more) {
  if (more.count == 0) return;
  *this = count == 0 ? more : ChannelSums{sum + more.sum, square + more.square, count + more.count};
}

Tensor ChannelSums::mean() const { return sum / static_cast<double>(count); }

Tensor ChannelSums::variance() const { return (square / static_cast<double>(count) - mean().square()).clamp_min(0); }

ChannelSums channel_sums(const Tensor& x, const Tensor& shift) {
  const Tensor rows = x.to(at::kDouble).transpose(0, 1).reshape({x.size(1), -1}) - shift.unsqueeze(1);
  return {rows.sum(1), rows.square().sum(1), rows.size(1)};
}

}  // namespace niwaki
