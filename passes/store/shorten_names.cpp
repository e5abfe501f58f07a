#include "passes/store/shorten_names.h"

#include "passes/store/stored_form.h"

#include <algorithm>

namespace niwaki {
namespace {

/// Values in the order in which they are met, with how often their names stand in the file.
struct Mentions {
  std::vector<ValueId> order;
  std::map<ValueId, int64_t> count;
  std::vector<const Body*> bodies;

  void mention(ValueId id) {
    if (id != ValueId::absent && count[id]++ == 0) order.push_back(id);
  }
};

void collect(const Graph& graph, const Body& body, Mentions& mentions) {
  mentions.bodies.push_back(&body);
  for (const auto* ids : {&body.inputs, &body.outputs, &body.constants, &body.described}) {
    for (const ValueId id : *ids) mentions.mention(id);
  }
  for (const NodeId node : body.nodes) {
    for (const ValueId id : graph.node(node).inputs) mentions.mention(id);
    for (const ValueId id : graph.node(node).outputs) mentions.mention(id);
    for (const auto& [name, inner] : graph.node(node).bodies) collect(graph, inner, mentions);
  }
}

/// Bytes that are written as read, such as quantization annotations, may name values.
bool is_mentioned_elsewhere(const std::string& name, const Mentions& mentions) {
  return std::any_of(mentions.bodies.begin(), mentions.bodies.end(), [&](const Body* body) { return body->rest.bytes.find(name) != std::string::npos; });
}

std::set<std::string> fixed_names(const Graph& graph, const Mentions& mentions) {
  std::set<std::string> fixed;
  for (const auto* ids : {&graph.main().inputs, &graph.main().outputs}) {
    for (const ValueId id : *ids) fixed.insert(graph.value(id).name);
  }
  for (const ValueId id : mentions.order) {
    if (is_mentioned_elsewhere(graph.value(id).name, mentions)) fixed.insert(graph.value(id).name);
  }
  return fixed;
}

}  // namespace

void shorten_names(Graph& graph, const ShortenNamesOptions& options, PassContext& context) {
  Mentions mentions;
  collect(graph, graph.main(), mentions);
  const std::set<std::string> fixed = fixed_names(graph, mentions);
  std::stable_sort(mentions.order.begin(), mentions.order.end(), [&](ValueId a, ValueId b) { return mentions.count.at(a) > mentions.count.at(b); });
  int64_t renamed = 0, dropped = 0;
  uint64_t number = 0;
  for (const ValueId id : mentions.order) {
    if (fixed.contains(graph.value(id).name)) continue;
    std::string name = base36(number++);
    while (fixed.contains(name)) name = base36(number++);
    if (graph.value(id).name == name) continue;
    graph.rename_value(id, name);
    ++renamed;
  }
  for (const NodeId id : graph.all_nodes()) {
    if (options.keep_node_names || graph.node(id).name.empty()) continue;
    graph.set_node_name(id, "");
    ++dropped;
  }
  if (renamed + dropped > 0) context.report.changes.emplace_back("names", cat(renamed, " inner values renamed, names of ", dropped, " nodes dropped"));
}

}  // namespace niwaki
