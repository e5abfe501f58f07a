#include "compress/pass.h"

#include <fnmatch.h>

#include <algorithm>
#include <regex>

namespace niwaki {
namespace {

bool matches(const Graph& graph, NodeId id, const std::string& pattern) {
  const std::string label = graph.label(id);
  if (pattern.rfind("op:", 0) == 0) return fnmatch(pattern.c_str() + 3, graph.node(id).op.c_str(), 0) == 0;
  if (pattern.rfind("re:", 0) == 0) {
    try {
      return std::regex_search(label, std::regex(pattern.substr(3)));
    } catch (const std::regex_error& error) {
      throw UsageError("E2007", cat("'", printable(pattern), "' is no regular expression: ", error.what()));
    }
  }
  return label == pattern || fnmatch(pattern.c_str(), label.c_str(), 0) == 0;
}

bool matches_any(const Graph& graph, NodeId id, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) { return matches(graph, id, pattern); });
}

}  // namespace

std::string PassReport::reason(const std::string& node) const {
  for (const NodeReport& one : nodes) {
    if (one.node == node && one.outcome == Outcome::skipped) return one.reason;
  }
  return "";
}

Pass PassTable::make(const std::string& name, const Json& options) const {
  std::vector<std::string> known;
  for (const PassEntry& entry : entries_) {
    if (entry.name == name) return entry.make(options);
    known.push_back(entry.name);
  }
  const std::string near = nearest(name, known);
  throw UsageError("E2003", cat("unknown pass '", printable(name), "'"),
                   {.help = near.empty() ? "`niwaki passes` lists them" : cat("did you mean '", near, "'?")});
}

bool is_selected(const Graph& graph, NodeId node, const std::vector<std::string>& keep, const std::vector<std::string>& only) {
  return !matches_any(graph, node, keep) && (only.empty() || matches_any(graph, node, only));
}

namespace {

/// Nodes with weights are what patterns are for: a reader of a constant that is no scalar and no vector.
std::vector<std::string> labels_of(const Graph& graph, const std::vector<NodeId>& nodes, bool with_weights) {
  std::vector<std::string> labels;
  for (const NodeId id : nodes) {
    const auto& inputs = graph.node(id).inputs;
    const bool has_weight = std::any_of(inputs.begin(), inputs.end(), [&](ValueId input) {
      const Constant* constant = input == ValueId::absent ? nullptr : graph.constant(input);
      return constant && constant->sizes.size() >= 2;
    });
    if (has_weight || !with_weights) labels.push_back(graph.label(id));
  }
  return labels;
}

}  // namespace

void require_matches(const Graph& graph, const std::vector<std::string>& patterns, const std::string& flag) {
  const std::vector<NodeId> nodes = graph.all_nodes();
  for (const std::string& pattern : patterns) {
    if (std::any_of(nodes.begin(), nodes.end(), [&](NodeId id) { return matches(graph, id, pattern); })) continue;
    std::vector<std::string> labels = labels_of(graph, nodes, /*with_weights=*/true);
    if (labels.size() < 3) labels = labels_of(graph, nodes, /*with_weights=*/false);
    std::string near;
    for (int i = 0; i < 3 && !labels.empty(); ++i) {
      std::string best = nearest(pattern, labels);
      if (best.empty()) best = labels.front();
      near += cat(i ? ", '" : "'", printable(best, 60), "'");
      labels.erase(std::find(labels.begin(), labels.end(), best));
    }
    throw UsageError("E2007", cat(flag, " '", printable(pattern), "' matches none of ", nodes.size(), " nodes; nearest: ", near),
                     {.help = "`niwaki inspect MODEL --ops` lists the names"});
  }
}

}  // namespace niwaki
