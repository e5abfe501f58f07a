#include "compress/macs.h"

#include "compress/executor.h"

#include <algorithm>

namespace niwaki {
namespace {

using Sizes = std::vector<int64_t>;

double product(const Sizes& sizes, size_t from = 0) {
  double all = 1;
  for (size_t i = from; i < sizes.size(); ++i) all *= static_cast<double>(sizes[i]);
  return all;
}

const Sizes* find(const Graph& graph, const KnownSizes& sizes, const Node& node, size_t input) {
  if (input >= node.inputs.size()) return nullptr;
  if (const Constant* constant = graph.constant(node.inputs[input])) return &constant->sizes;
  const auto found = sizes.find(node.inputs[input]);
  return found == sizes.end() ? nullptr : &found->second;
}

std::optional<double> recurrent_macs(const Sizes* x, const Sizes* w, const Sizes* r) {
  if (!x || !w || !r || x->size() != 3) return std::nullopt;
  return static_cast<double>((*x)[0] * (*x)[1]) * (product(*w) + product(*r));
}

}  // namespace

KnownSizes inferred_sizes(const Graph& graph) {
  KnownSizes sizes;
  for (uint32_t i = 1; i < graph.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const auto& shape = graph.value(id).shape;
    if (!shape) continue;
    Sizes known;
    for (size_t axis = 0; axis < shape->size(); ++axis) {
      const auto* size = std::get_if<int64_t>(&(*shape)[axis]);
      if (size || axis == 0) known.push_back(size ? *size : 1);
    }
    if (known.size() == shape->size()) sizes[id] = std::move(known);
  }
  return sizes;
}

KnownSizes observed_sizes(const Graph& graph, const Dataset& data) {
  KnownSizes sizes;
  const Dataset::Batch batch = data.head(1).batch(0);
  const Executor executor(graph);
  for (size_t i = 0; i < executor.inputs().size(); ++i) {
    if (batch.inputs[i].tensor.defined()) sizes[executor.inputs()[i]] = batch.inputs[i].tensor.sizes().vec();
  }
  executor.run(batch.inputs, [&](ValueId id, const Tensor& numbers) { sizes[id] = numbers.sizes().vec(); });
  return sizes;
}

KnownSizes sizes_of_one(const Graph& graph, const Dataset* data) {
  KnownSizes sizes = inferred_sizes(graph);
  const auto& nodes = graph.main().nodes;
  const bool is_known = std::all_of(nodes.begin(), nodes.end(), [&](NodeId id) { return node_macs(graph, id, sizes).has_value(); });
  if (is_known || data == nullptr || !unsupported_nodes(graph).empty()) return sizes;
  return observed_sizes(graph, *data);
}

std::optional<double> node_macs(const Graph& graph, NodeId id, const KnownSizes& sizes) {
  const Node& node = graph.node(id);
  if (!is_default_domain(node.domain)) return 0;
  if (node.op == "LSTM" || node.op == "GRU" || node.op == "RNN") {
    return recurrent_macs(find(graph, sizes, node, 0), find(graph, sizes, node, 1), find(graph, sizes, node, 2));
  }
  const bool is_conv = node.op == "Conv" || node.op == "ConvInteger" || node.op == "QLinearConv";
  const bool is_transpose = node.op == "ConvTranspose";
  const bool is_matmul = node.op == "MatMul" || node.op == "Gemm" || node.op == "MatMulInteger";
  if (!is_conv && !is_transpose && !is_matmul) return 0;
  const Sizes* input = find(graph, sizes, node, 0);
  const Sizes* weight = find(graph, sizes, node, node.op == "QLinearConv" ? 3 : 1);
  const auto output = sizes.find(node.outputs[0]);
  if (!input || !weight || output == sizes.end() || input->empty() || weight->empty()) return std::nullopt;
  if (is_conv) return product(output->second) * product(*weight, 1);
  if (is_transpose) return product(*input) * product(*weight, 1);
  const bool is_turned = node.op == "Gemm" && int_attribute(node, "transA", 0) != 0;
  return product(output->second) * static_cast<double>(is_turned ? input->front() : input->back());
}

double total_macs(const Graph& graph, const KnownSizes& sizes) {
  double total = 0;
  for (const NodeId id : graph.main().nodes) total += node_macs(graph, id, sizes).value_or(0);
  return total;
}

}  // namespace niwaki
