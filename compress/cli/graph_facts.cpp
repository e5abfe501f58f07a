#include "compress/cli/graph_facts.h"

namespace niwaki {
namespace {

/// Sizes with a free first dimension taken as 1; other free ones are unknown.
std::optional<std::vector<int64_t>> sizes_at_one(const Value& value) {
  if (!value.shape) return std::nullopt;
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < value.shape->size(); ++i) {
    const auto* size = std::get_if<int64_t>(&(*value.shape)[i]);
    if (size == nullptr && i > 0) return std::nullopt;
    sizes.push_back(size == nullptr ? 1 : *size);
  }
  return sizes;
}

double product(const std::vector<int64_t>& sizes, size_t from = 0) {
  double all = 1;
  for (size_t i = from; i < sizes.size(); ++i) all *= static_cast<double>(sizes[i]);
  return all;
}

std::optional<std::vector<int64_t>> sizes_of(const Graph& graph, ValueId id) {
  if (const Constant* constant = graph.constant(id)) return constant->sizes;
  return sizes_at_one(graph.value(id));
}

}  // namespace

std::optional<double> node_macs(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_default_domain(node.domain)) return 0;
  const bool is_conv = node.op == "Conv" || node.op == "ConvInteger" || node.op == "QLinearConv";
  const bool is_transpose = node.op == "ConvTranspose";
  const bool is_matmul = node.op == "MatMul" || node.op == "Gemm" || node.op == "MatMulInteger";
  if (!is_conv && !is_transpose && !is_matmul) return 0;
  const auto input = sizes_of(graph, node.inputs[0]), output = sizes_of(graph, node.outputs[0]);
  const auto weight = sizes_of(graph, node.inputs[node.op == "QLinearConv" ? 3 : 1]);
  if (!input || !output || !weight || input->empty() || weight->empty()) return std::nullopt;
  if (is_conv) return product(*output) * product(*weight, 1);
  if (is_transpose) return product(*input) * product(*weight, 1);
  const bool is_turned = node.op == "Gemm" && int_attribute(node, "transA", 0) != 0;
  return product(*output) * static_cast<double>(is_turned ? input->front() : input->back());
}

std::string shape_words(const Value& value) {
  if (!value.shape) return "?";
  std::vector<std::string> words;
  for (const Dim& dim : *value.shape) {
    if (const auto* size = std::get_if<int64_t>(&dim)) words.push_back(std::to_string(*size));
    else if (const auto* name = std::get_if<std::string>(&dim)) words.push_back(printable(*name, 40));
    else words.push_back("?");
  }
  return shape_text(words);
}

Json value_json(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  Json dims = nullptr;
  if (value.shape) {
    dims = Json::array();
    for (const Dim& dim : *value.shape) {
      if (const auto* size = std::get_if<int64_t>(&dim)) dims.push_back(*size);
      else if (const auto* name = std::get_if<std::string>(&dim)) dims.push_back(printable(*name));
      else dims.push_back(nullptr);
    }
  }
  return {{"name", printable(value.name)}, {"dtype", name_of(value.dtype)}, {"shape", dims}};
}

std::string op_name(const Node& node) { return printable(is_default_domain(node.domain) ? node.op : node.domain + "." + node.op); }

std::map<std::string, int64_t> op_counts(const Graph& graph) {
  std::map<std::string, int64_t> counts;
  for (const NodeId id : graph.all_nodes()) ++counts[op_name(graph.node(id))];
  return counts;
}

}  // namespace niwaki
