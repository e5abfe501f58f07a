#include "compress/cli/graph_facts.h"

namespace niwaki {
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
