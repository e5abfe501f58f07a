#include "passes/prune/reestimate_batch_norm.h"

#include "compress/batch_norm.h"
#include "compress/dataset.h"
#include "compress/divergence.h"
#include "compress/error.h"
#include "compress/executor.h"
#include "compress/graph_edit.h"
#include "compress/parallel.h"

#include <algorithm>
#include <map>
#include <set>

namespace niwaki {
namespace {

constexpr int64_t kJudgedSamples = 256;

std::string obstacle(const Graph& graph, NodeId id, const PassContext& context) {
  if (!is_selected(graph, id, context.keep, context.only)) return "left alone by --keep or --only";
  return why_statistics_stay(graph, id);
}

Tensor doubles(const Graph& graph, NodeId id, size_t index) { return values(*graph.constant(graph.node(id).inputs[index])).to(at::kDouble); }

using Found = std::map<NodeId, ChannelSums>;

/// Of one batch; a filled-up batch repeats its last sample, and those rows count nowhere.
Found observe(const Graph& graph, const Executor& executor, const std::vector<NodeId>& nodes, const Dataset::Batch& batch) {
  Found found;
  const bool has_rows = !batch.inputs.empty() && batch.inputs[0].tensor.defined() && batch.inputs[0].tensor.dim() > 0;
  const int64_t rows = has_rows ? batch.inputs[0].tensor.size(0) : 0;
  executor.run(batch.inputs, [&](ValueId id, const Tensor& numbers) {
    for (const NodeId node : nodes) {
      if (graph.node(node).inputs[0] != id || numbers.dim() < 2 || numbers.numel() == 0) continue;
      const bool is_filled = rows > batch.count && numbers.size(0) == rows;
      found[node].add(channel_sums(is_filled ? numbers.narrow(0, 0, batch.count) : numbers, doubles(graph, node, kMeanInput)));
    }
  });
  return found;
}

Found collect_sums(const Graph& graph, const std::vector<NodeId>& nodes, const Dataset& data, Progress& progress) {
  std::vector<ValueId> wanted;
  for (const NodeId id : nodes) {
    const ValueId x = graph.node(id).inputs[0];
    if (std::find(wanted.begin(), wanted.end(), x) == wanted.end()) wanted.push_back(x);
  }
  const Executor executor(graph, {.until = wanted});
  std::vector<Found> parts(static_cast<size_t>(data.num_batches()));
  Found all;
  ordered_for(
      data.num_batches(),
      [&](int64_t i) {
        const Dataset::Batch batch = data.batch(i);
        if (batch.count > 0) parts[static_cast<size_t>(i)] = observe(graph, executor, nodes, batch);
      },
      [&](int64_t i) {
        for (const auto& [node, sums] : parts[static_cast<size_t>(i)]) all[node].add(sums);
        parts[static_cast<size_t>(i)].clear();
        progress.advance(0);
      });
  return all;
}

void set_statistic(Graph& graph, NodeId id, size_t index, const Tensor& numbers) {
  const ValueId known = graph.node(id).inputs[index];
  const Constant& old = *graph.constant(known);
  const std::string name = graph.value(known).name;
  Constant changed = make_constant(numbers.reshape(old.sizes).to(scalar_type(old.dtype)).contiguous(), old.dtype);
  replace_constant_input(graph, id, index, std::move(changed), name);
}

/// Gives one node the statistics of these sums.
void set_statistics(Graph& graph, NodeId id, const ChannelSums& sums, PassReport& report) {
  const Tensor stored_mean = doubles(graph, id, kMeanInput), stored_variance = doubles(graph, id, kVarianceInput);
  const Tensor shift = sums.mean(), spread = sums.variance();
  if (!at::isfinite(spread).all().item<bool>()) throw ModelError("E1710", cat("what node '", printable(graph.label(id)), "' reads became NaN or infinite"));
  const Tensor variance = at::where(spread > 0, spread, stored_variance);
  for (const size_t index : {kMeanInput, kVarianceInput}) report.changes.emplace_back(graph.value(graph.node(id).inputs[index]).name, "statistics are those of the calibration data");
  set_statistic(graph, id, kMeanInput, stored_mean + shift);
  set_statistic(graph, id, kVarianceInput, variance);
  report.change(graph.label(id), {{"mean_shift", (shift.square() / stored_variance.clamp_min(1e-30)).mean().sqrt().item<double>()},
                                  {"variance_ratio", (variance / stored_variance.clamp_min(1e-30)).log().mean().exp().item<double>()},
                                  {"constant_channels", (spread <= 0).sum().item<int64_t>()}});
}

/// The nodes by how many of them stand in front of each: those of one level can be seen in one run.
std::vector<std::vector<NodeId>> levels_of(const Graph& graph, const std::set<NodeId>& nodes) {
  std::map<ValueId, size_t> depth;
  std::vector<std::vector<NodeId>> levels;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    size_t level = 0;
    for (const ValueId input : node.inputs) level = std::max(level, depth.contains(input) ? depth.at(input) : 0);
    if (nodes.contains(id)) {
      levels.resize(std::max(levels.size(), level + 1));
      levels[level++].push_back(id);
    }
    for (const ValueId output : node.outputs) depth[output] = level;
  }
  return levels;
}

void reestimate(Graph& graph, const std::set<NodeId>& nodes, PassContext& context) {
  const auto levels = levels_of(graph, nodes);
  context.progress.start("batch norm", static_cast<int64_t>(levels.size()));
  for (const auto& level : levels) {
    const Found found = collect_sums(graph, level, *context.calibration, context.progress);
    for (const NodeId id : level) {
      if (found.contains(id)) set_statistics(graph, id, found.at(id), context.report);
      else context.report.skip(graph.label(id), "the calibration data never reaches it");
    }
    context.progress.advance();
  }
}

/// What is computed from constants that changed, or from nodes that are new.
std::set<ValueId> changed_values(const Graph& graph, const Graph& original) {
  std::set<ValueId> changed;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    const bool differs = !original.exists(id) || std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
      const Constant* now = graph.constant(input);
      const Constant* before = now && static_cast<size_t>(input) < original.num_values() ? original.constant(input) : nullptr;
      return changed.contains(input) || (now && (!before || !same_content(*now, *before)));
    });
    if (!differs) continue;
    changed.insert(node.outputs.begin(), node.outputs.end());
    changed.erase(ValueId::absent);
  }
  return changed;
}

}  // namespace

void reestimate_batch_norm(Graph& graph, const ReestimateBatchNormOptions&, PassContext& context) {
  std::set<NodeId> nodes;
  for (const NodeId id : graph.main().nodes) {
    if (!is_batch_norm(graph.node(id))) continue;
    const std::string reason = obstacle(graph, id, context);
    if (reason.empty()) nodes.insert(id);
    else context.report.skip(graph.label(id), reason);
  }
  if (!nodes.empty()) reestimate(graph, nodes, context);
}

void settle_batch_norm(Graph& graph, const Graph& original, PassContext& context) {
  std::set<NodeId> nodes;
  const std::set<ValueId> changed = changed_values(graph, original);
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (is_batch_norm(node) && changed.contains(node.inputs[0]) && obstacle(graph, id, context).empty()) nodes.insert(id);
  }
  if (nodes.empty() || context.calibration == nullptr) return;
  const Answers answers(original, *context.calibration, kJudgedSamples, context.progress);
  Graph settled = graph;
  PassReport report;
  PassContext quiet{.report = report, .progress = context.progress, .calibration = context.calibration};
  reestimate(settled, nodes, quiet);
  const double before = answers.divergence(graph, context.progress), after = answers.divergence(settled, context.progress);
  if (!(after < before)) {
    for (const NodeId id : nodes) context.report.skip(graph.label(id), "its stored statistics keep the answers nearer to the original's");
    return;
  }
  graph = std::move(settled);
  context.report.nodes.insert(context.report.nodes.end(), report.nodes.begin(), report.nodes.end());
  context.report.changes.insert(context.report.changes.end(), report.changes.begin(), report.changes.end());
}

}  // namespace niwaki
