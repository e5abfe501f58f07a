#include "passes/cleanup/merge_duplicates.h"

#include "compress/digest.h"
#include "compress/graph_edit.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <variant>

namespace niwaki {
namespace {

constexpr std::array kRandom = {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"};

std::string content_key(const Constant& constant) {
  std::string key = cat(static_cast<int>(constant.dtype), shape_text(constant.sizes));
  if (!constant.strings) return key + sha256(raw_bytes(constant));
  for (const std::string& text : *constant.strings) key += cat("|", text.size(), ":", text);
  return key;
}

void merge_constants(Graph& graph, PassContext& context) {
  std::map<std::string, ValueId> first;
  for (const ValueId id : std::vector<ValueId>(graph.main().constants)) {
    if (!fixed_constant(graph, id) || graph.is_output(id) || graph.constant(id)->sparse) continue;
    const auto [place, is_new] = first.emplace(content_key(*graph.constant(id)), id);
    if (is_new || !same_content(*graph.constant(id), *graph.constant(place->second))) continue;
    context.report.change(graph.value(id).name, {{"same_as", graph.value(place->second).name}});
    graph.replace_uses(id, place->second);
    remove_unused_constant(graph, id);
  }
}

struct AttributeKey {
  std::string operator()(float number) const {
    uint32_t bits = 0;
    std::memcpy(&bits, &number, sizeof bits);
    return cat("f", bits);
  }
  std::string operator()(int64_t number) const { return cat("i", number); }
  std::string operator()(const std::string& text) const { return cat("s", text.size(), ":", text); }
  std::string operator()(const Constant& constant) const { return content_key(constant); }
  std::string operator()(const Opaque& opaque) const { return cat("o", opaque.bytes.size(), ":", opaque.bytes); }
  template <typename Item>
  std::string operator()(const std::vector<Item>& list) const {
    std::string key = "[";
    for (const Item& item : list) key += (*this)(item) + ",";
    return key;
  }
};

std::string node_key(const Node& node) {
  std::string key = cat(node.domain, ".", node.op, "(");
  for (const ValueId input : node.inputs) key += cat(index_of(input), ",");
  key += cat(")", node.outputs.size());
  for (const ValueId output : node.outputs) key += output == ValueId::absent ? "_" : "x";
  for (const auto& [name, attribute] : node.attributes) key += cat(" ", name, "=", std::visit(AttributeKey{}, attribute));
  return key;
}

bool is_pure(const Node& node) {
  if (!is_default_domain(node.domain) || !node.bodies.empty() || node.outputs.empty()) return false;
  return std::find(kRandom.begin(), kRandom.end(), node.op) == kRandom.end();
}

void merge_nodes(Graph& graph, PassContext& context) {
  std::map<std::string, NodeId> first;
  for (const NodeId id : std::vector<NodeId>(graph.main().nodes)) {
    const Node node = graph.node(id);
    if (!is_pure(node)) continue;
    const auto [place, is_new] = first.emplace(node_key(node), id);
    if (is_new) continue;
    const std::string label = graph.label(id);
    if (std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId output) { return graph.is_output(output); })) {
      context.report.skip(label, "it makes an output of the model");
      continue;
    }
    context.report.change(label, {{"same_as", graph.label(place->second)}});
    const std::vector<ValueId> kept = graph.node(place->second).outputs;
    for (size_t i = 0; i < kept.size(); ++i) {
      if (kept[i] != ValueId::absent) graph.replace_uses(node.outputs[i], kept[i]);
    }
    graph.remove(id);
  }
}

}  // namespace

void merge_duplicates(Graph& graph, const MergeDuplicatesOptions& options, PassContext& context) {
  merge_constants(graph, context);
  merge_nodes(graph, context);
}

}  // namespace niwaki
