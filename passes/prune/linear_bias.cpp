#include "passes/prune/linear_bias.h"

#include "compress/error.h"
#include "compress/graph_edit.h"

namespace niwaki {
namespace {

int64_t num_outputs(const Graph& graph, const LinearView& view) {
  const auto& sizes = graph.constant(view.weight)->sizes;
  const int64_t rows = sizes[static_cast<size_t>(view.channel_axis)];
  return view.kind == LinearKind::conv_transpose ? rows * view.groups : rows;
}

}  // namespace

std::optional<BiasPlace> bias_place(const Graph& graph, const LinearView& view) {
  const int64_t rows = num_outputs(graph, view);
  const auto fits = [&](ValueId id) {
    const Constant* constant = fixed_constant(graph, id);
    return constant && element_count(*constant) == rows && constant->sizes.back() == rows;
  };
  const Node& node = graph.node(view.node);
  if (view.kind != LinearKind::matmul) {
    if (view.kind == LinearKind::gemm && (float_attribute(node, "alpha", 1) != 1.0F || float_attribute(node, "beta", 1) != 1.0F)) return std::nullopt;
    const ValueId bias = input_or_absent(node, 2);
    if (bias != ValueId::absent && !fits(bias)) return std::nullopt;
    return BiasPlace{view.node, 2, bias};
  }
  if (view.weight_index != 1 || !has_single_use(graph, view.output)) return std::nullopt;
  const NodeId user = graph.consumers(view.output).front();
  const Node& add = graph.node(user);
  if (add.op != "Add" || !is_default_domain(add.domain)) return std::nullopt;
  const size_t side = add.inputs[0] == view.output ? 1 : 0;
  if (!fits(add.inputs[side])) return std::nullopt;
  return BiasPlace{user, side, add.inputs[side]};
}

ValueId add_to_bias(Graph& graph, const LinearView& view, const BiasPlace& place, const Tensor& more) {
  const DType dtype = graph.constant(view.weight)->dtype;
  const bool is_new = place.constant == ValueId::absent;
  const Tensor old = is_new ? at::zeros_like(more) : values(*graph.constant(place.constant)).to(at::kDouble);
  const Tensor sum = (old + more.reshape(old.sizes())).to(scalar_type(dtype));
  return replace_constant_input(graph, place.node, place.index, make_constant(sum, dtype), graph.label(view.node) + ".bias");
}

}  // namespace niwaki
