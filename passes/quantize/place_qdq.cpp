#include "passes/quantize/place_qdq.h"

#include "compress/error.h"

namespace niwaki {
namespace {

Constant scalar(const Tensor& number) { return make_constant(number.reshape({})); }   // rank 0: kernels refuse [1]

ValueId new_value(Graph& graph, const std::string& name, const Value& like, DType dtype) {
  return graph.add_value({.name = graph.fresh_name(name), .dtype = dtype, .shape = like.shape});
}

/// Nodes that share a weight share its codes, too.
ValueId shared_constant(Graph& graph, const std::string& name, Constant constant) {
  const auto known = graph.fresh_name(name) == name ? std::nullopt : graph.find_value(name);
  if (known && graph.constant(*known) && same_content(*graph.constant(*known), constant)) return *known;
  return graph.add_constant(name, std::move(constant));
}

}  // namespace

QuantizedValue place_qdq(Graph& graph, ValueId value, const ActivationGrid& grid, const QuantizedValue* shared) {
  const Value like = graph.value(value);
  QuantizedValue placed{};
  placed.scale = shared ? shared->scale : graph.add_constant(like.name + ".s", scalar(at::scalar_tensor(grid.scale, at::kFloat)));
  placed.zero_point = shared ? shared->zero_point : graph.add_constant(like.name + ".z", scalar(at::scalar_tensor(grid.zero_point, at::kByte)));
  placed.codes = new_value(graph, like.name + ".q", like, DType::uint8);
  placed.numbers = new_value(graph, like.name + ".d", like, DType::float32);
  Node quantize{.op = "QuantizeLinear", .inputs = {value, placed.scale, placed.zero_point}, .outputs = {placed.codes}};
  Node dequantize{.op = "DequantizeLinear", .inputs = {placed.codes, placed.scale, placed.zero_point}, .outputs = {placed.numbers}};
  const auto maker = graph.producer(value);
  if (maker) {
    graph.insert_after(graph.insert_after(*maker, std::move(quantize)), std::move(dequantize));
  } else {
    const std::optional<NodeId> first = graph.main().nodes.empty() ? std::nullopt : std::optional(graph.main().nodes.front());
    const NodeId second = graph.insert_before(first, std::move(dequantize));
    graph.insert_before(second, std::move(quantize));
  }
  return placed;
}

ValueId dequantize_constant(Graph& graph, NodeId before, const std::string& name, const Tensor& codes, DType dtype, const Tensor& scale, int64_t axis, bool with_zero_point) {
  const Constant packed = make_constant(codes, dtype);
  const Value like{.name = name, .shape = Shape(packed.sizes.begin(), packed.sizes.end())};
  const ValueId q = shared_constant(graph, name + ".q", packed), s = shared_constant(graph, name + ".s", make_constant(scale));
  const ValueId numbers = new_value(graph, name + ".d", like, DType::float32);
  ValueId stored = q;
  if (is_packed(dtype)) {                    // kernels form behind 8 bits only; the cast is folded at load
    stored = new_value(graph, name + ".c", like, DType::int8);
    graph.insert_before(before, {.op = "Cast", .inputs = {q}, .outputs = {stored}, .attributes = {{"to", int64_t{3}}}});
  }
  Node node{.op = "DequantizeLinear", .inputs = {stored, s}, .outputs = {numbers}};
  if (scale.dim() > 0) node.attributes["axis"] = axis;
  if (with_zero_point) {
    const Tensor zeros = at::zeros(scale.sizes(), is_packed(dtype) ? at::kChar : codes.scalar_type());
    node.inputs.push_back(shared_constant(graph, cat("z", scale.numel()), make_constant(zeros)));
  }
  graph.insert_before(before, std::move(node));
  return numbers;
}

}  // namespace niwaki
