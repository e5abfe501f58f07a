#include "compress/cli/prunable.h"

#include "compress/cli/command.h"
#include "compress/cli/job.h"
#include "compress/cli/terminal.h"
#include "compress/macs.h"
#include "compress/pipeline.h"
#include "compress/report/numbers.h"
#include "passes/prune/channel_costs.h"

namespace niwaki {
namespace {

constexpr size_t kMostRows = 40;

Json labels_of(const Graph& graph, const std::set<NodeId>& nodes) {
  Json labels = Json::array();
  for (const NodeId id : nodes) labels.push_back(printable(graph.label(id)));
  return labels;
}

/// What all but one of the units of a family would save.
double share_of(const std::vector<CostTerm>& terms, const std::vector<ChannelFamily>& families, size_t index) {
  std::vector<int64_t> removed(families.size(), 0);
  const double all = cost_of(terms, removed);
  removed[index] = static_cast<int64_t>(families[index].width()) - (families[index].may_vanish ? 0 : 1);
  return all > 0 ? 1 - cost_of(terms, removed) / all : 0;
}

Json group_json(const Graph& graph, const ChannelFamilies& found, size_t index, const std::vector<CostTerm>& macs, const std::vector<CostTerm>& weights) {
  const ChannelFamily& family = found.families[index];
  std::set<NodeId> makers, readers;
  for (const LinearView& view : family.makers) makers.insert(view.node);
  for (const size_t reader : family.readers) readers.insert(found.readers[reader].node);
  return {{"width", family.width()}, {"blocks", family.blocks.size()}, {"made_by", labels_of(graph, makers)}, {"read_by", labels_of(graph, readers)},
          {"share_of_macs", share_of(macs, found.families, index)}, {"share_of_weights", share_of(weights, found.families, index)}};
}

}  // namespace

Json prunable_json(const Graph& original) {
  Graph graph = original;
  Progress progress;
  const std::vector<Pass> passes = cleanup_passes(/*keep_weights=*/false);
  run(passes, graph, {}, progress);
  const AxisClasses classes(graph);
  const ChannelFamilies found = find_channel_families(graph, classes, {});
  const std::vector<CostTerm> macs = mac_terms(graph, classes, found.families, inferred_sizes(graph)), weights = weight_terms(graph, classes, found.families);
  Json groups = Json::array(), frozen = Json::array();
  for (size_t i = 0; i < found.families.size(); ++i) groups.push_back(group_json(graph, found, i, macs, weights));
  std::set<ValueId> windows;
  for (const LinearView& view : linear_views(graph)) {
    if (view.kind == LinearKind::conv || view.kind == LinearKind::conv_transpose) windows.insert(view.weight);
  }
  for (const FrozenAxis& axis : classes.frozen()) {
    if (windows.contains(axis.value) && axis.axis >= 2) continue;    // the taps of a window: nobody asks for them
    frozen.push_back({{"value", printable(graph.value(axis.value).name)}, {"axis", axis.axis}, {"reason", printable(axis.reason, 400)}});
  }
  return {{"groups", groups}, {"frozen", frozen}};
}

void print_prunable(const Json& json, Terminal& terminal) {
  const auto share = [](const Json& of_all) { return cat(fixed(100 * of_all.get<double>(), 1), " %"); };
  const auto list = [](const Json& labels) {
    std::string text;
    for (size_t i = 0; i < labels.size() && i < 3; ++i) text += (i ? ", " : "") + labels[i].get<std::string>();
    return labels.size() > 3 ? cat(text, " and ", labels.size() - 3, " more") : text;
  };
  terminal.print("prunable  after exact clean-up, channels that can go together:\n");
  size_t count = 0;
  for (const Json& group : json["groups"]) {
    if (++count > kMostRows) break;
    const std::string blocks = group["blocks"].get<size_t>() > 1 ? cat(" in each of ", group["blocks"].get<size_t>(), " groups") : "";
    terminal.print(cat("  ", padded(cat(group["width"].get<size_t>(), blocks), 6), " up to ", share(group["share_of_macs"]), " of MACs, ", share(group["share_of_weights"]),
                       " of weights  made by ", list(group["made_by"]), "; read by ", list(group["read_by"]), "\n"));
  }
  if (json["groups"].empty()) terminal.print("  none\n");
  if (!json["frozen"].empty()) terminal.print("frozen    axes that no rule proves removable:\n");
  count = 0;
  for (const Json& axis : json["frozen"]) {
    if (++count > kMostRows) break;
    terminal.print(cat("  ", axis["value"].get<std::string>(), " axis ", axis["axis"].get<size_t>(), ": ", axis["reason"].get<std::string>(), "\n"));
  }
  if (json["groups"].size() > kMostRows || json["frozen"].size() > kMostRows) terminal.print("  more: --json lists all\n");
}

}  // namespace niwaki
