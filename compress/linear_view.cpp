#include "compress/linear_view.h"

namespace niwaki {
namespace {

bool is_float_constant(const Graph& graph, ValueId id) {
  const Constant* constant = id == ValueId::absent ? nullptr : graph.constant(id);
  return constant && is_float(constant->dtype);
}

std::optional<LinearView> convolution(const Graph& graph, NodeId id, bool transposed) {
  const Node& node = graph.node(id);
  if (node.inputs.size() < 2 || !is_float_constant(graph, node.inputs[1])) return std::nullopt;
  if (graph.constant(node.inputs[1])->sizes.size() < 3) return std::nullopt;
  LinearView view{id, transposed ? LinearKind::conv_transpose : LinearKind::conv, node.inputs[0], node.inputs[1], node.outputs[0]};
  if (node.inputs.size() > 2 && is_float_constant(graph, node.inputs[2])) view.bias = node.inputs[2];
  view.channel_axis = transposed ? 1 : 0;
  view.groups = int_attribute(node, "group", 1);
  return view;
}

std::optional<LinearView> gemm(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.inputs.size() < 2 || !is_float_constant(graph, node.inputs[1])) return std::nullopt;
  LinearView view{id, LinearKind::gemm, node.inputs[0], node.inputs[1], node.outputs[0]};
  view.channel_axis = int_attribute(node, "transB", 0) != 0 ? 0 : 1;
  if (node.inputs.size() > 2 && is_float_constant(graph, node.inputs[2])) view.bias = node.inputs[2];
  return view;
}

std::optional<LinearView> matmul(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.inputs.size() != 2) return std::nullopt;
  const bool on_right = is_float_constant(graph, node.inputs[1]);
  if (!on_right && !is_float_constant(graph, node.inputs[0])) return std::nullopt;
  const size_t index = on_right ? 1 : 0;
  const auto rank = static_cast<int64_t>(graph.constant(node.inputs[index])->sizes.size());
  if (rank < 2) return std::nullopt;
  LinearView view{id, LinearKind::matmul, node.inputs[1 - index], node.inputs[index], node.outputs[0]};
  view.input_index = 1 - index;
  view.weight_index = index;
  view.channel_axis = on_right ? rank - 1 : rank - 2;
  return view;
}

}  // namespace

std::optional<LinearView> linear_view(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_default_domain(node.domain)) return std::nullopt;
  if (node.op == "Conv") return convolution(graph, id, false);
  if (node.op == "ConvTranspose") return convolution(graph, id, true);
  if (node.op == "Gemm") return gemm(graph, id);
  if (node.op == "MatMul") return matmul(graph, id);
  return std::nullopt;
}

std::vector<LinearView> linear_views(const Graph& graph) {
  std::vector<LinearView> views;
  for (const NodeId id : graph.main().nodes) {
    if (auto view = linear_view(graph, id)) views.push_back(*view);
  }
  return views;
}

Tensor weight_rows(const LinearView& view, const Tensor& weight) {
  if (view.kind == LinearKind::conv_transpose) {                    // [C, O/g, ...] -> [O, C/g * taps]
    const int64_t per_group = weight.size(0) / view.groups;
    Tensor grouped = weight.reshape({view.groups, per_group, weight.size(1), -1}).transpose(1, 2);
    return grouped.reshape({view.groups * weight.size(1), -1});
  }
  return weight.movedim(view.channel_axis, 0).reshape({weight.size(view.channel_axis), -1});
}

}  // namespace niwaki
