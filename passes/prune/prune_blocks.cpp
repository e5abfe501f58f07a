#include "passes/prune/prune_blocks.h"

#include "compress/divergence.h"
#include "compress/error.h"
#include "compress/graph_edit.h"
#include "passes/prune/choose_blocks.h"
#include "passes/prune/prune_target.h"
#include "passes/prune/repair_channels.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

constexpr int64_t kJudgedSamples = 256, kSensitivitySamples = 256;
constexpr int64_t kRoughSamples = 64;        // tell the candidates that matter from the others
constexpr size_t kRetries = 4;
constexpr int kStages = 64;
constexpr double kEndless = 1e30;            // stands for a divergence that is not finite

/// What is gone, and what is computed from it.
std::set<ValueId> changed_values(const Graph& edited, const Graph& before) {
  std::set<ValueId> changed;
  for (const NodeId id : before.main().nodes) {
    const Node& old = before.node(id);
    const bool is_behind = std::any_of(old.inputs.begin(), old.inputs.end(), [&](ValueId input) { return changed.contains(input); });
    if (edited.exists(id) && !is_behind) continue;
    changed.insert(old.outputs.begin(), old.outputs.end());
    changed.erase(ValueId::absent);
  }
  return changed;
}

/// A model without some blocks, and what nodes in front of the gaps were fitted to.
struct Trial {
  Graph graph;
  std::map<NodeId, ValueId> aims = {};
};

class Pruner {
 public:
  Pruner(Graph& graph, const PruneBlocksOptions& options, PassContext& context) : graph_(graph), options_(options), context_(context) {}
  void run();

 private:
  bool counts_macs() const { return target_.counts_macs(); }
  bool is_kept(const ResidualBlock& block) const;
  void look();
  double worth(NodeId node) const;
  double left(const BlockSet& removed) const;
  std::vector<BlockSet> candidates() const;
  std::vector<const ResidualBlock*> blocks_of(const BlockSet& removed) const;
  [[noreturn]] void refuse(double whole) const;
  BlockChoice choose();
  std::vector<FittedNode> fitted_nodes(const Graph& edited, const Graph& before, const StandIns& stand_ins, bool only_in_front) const;
  const Trial& nearest_trial(const BlockSet& removed) const;
  double divergence_without(const BlockSet& removed, const Dataset& few, const Answers& answers);
  void repair(const Graph& before, const StandIns& stand_ins);
  void report(const Graph& before, const BlockChoice& choice);

  Graph& graph_;
  const PruneBlocksOptions& options_;
  const PruneTarget target_{.macs_ratio = options_.macs_ratio, .sparsity = options_.sparsity};
  PassContext& context_;
  KnownSizes sizes_;
  std::vector<ResidualBlock> blocks_;
  std::vector<double> saved_;                // by block
  double present_ = 0;
  std::optional<Answers> answers_;
  std::map<NodeId, OutputSensitivity> sensitivity_;
  std::map<BlockSet, Trial> trials_;
};

/// With `keep`, any node of the block counts; with `only`, those that compute.
bool Pruner::is_kept(const ResidualBlock& block) const {
  return std::any_of(block.nodes.begin(), block.nodes.end(), [&](NodeId id) {
    return !is_selected(graph_, id, context_.keep, {}) || (worth(id) > 0 && !is_selected(graph_, id, {}, context_.only));
  });
}

/// Multiply-accumulates or weights of a node.
double Pruner::worth(NodeId node) const {
  if (counts_macs()) return node_macs(graph_, node, sizes_).value_or(0);
  const auto view = linear_view(graph_, node);
  return view ? static_cast<double>(element_count(*graph_.constant(view->weight))) : 0;
}

void Pruner::look() {
  sizes_ = observed_sizes(graph_, *context_.calibration);
  for (const NodeId id : graph_.main().nodes) present_ += worth(id);
  ResidualBlocks found = find_residual_blocks(graph_, sizes_);
  for (const OtherSum& other : found.others) context_.report.skip(graph_.label(other.add), other.reason);
  for (ResidualBlock& block : found.blocks) {
    double saved = 0;
    for (const NodeId id : block.nodes) saved += worth(id);
    if (is_kept(block)) context_.report.skip(graph_.label(block.add), "its block holds a node that --keep or --only leaves alone");
    else if (saved <= 0) context_.report.skip(graph_.label(block.add), "its block would save nothing");
    else {
      saved_.push_back(saved);
      blocks_.push_back(std::move(block));
    }
  }
}

double Pruner::left(const BlockSet& removed) const {
  std::set<NodeId> gone;
  for (const size_t index : removed) gone.insert(blocks_[index].nodes.begin(), blocks_[index].nodes.end());
  double saved = 0;
  for (const NodeId id : gone) saved += worth(id);
  return present_ - saved;
}

/// Each block; two that follow each other on the same stream, such as attention and the feed-forward part of a layer.
std::vector<BlockSet> Pruner::candidates() const {
  std::vector<BlockSet> found;
  for (size_t i = 0; i < blocks_.size(); ++i) found.push_back({i});
  for (size_t i = 1; i < blocks_.size(); ++i) {
    const ValueId x = graph_.node(blocks_[i].add).inputs[blocks_[i].skip_index];
    if (graph_.node(blocks_[i - 1].add).outputs[0] == x) found.push_back({i - 1, i});
  }
  return found;
}

std::vector<const ResidualBlock*> Pruner::blocks_of(const BlockSet& removed) const {
  std::vector<const ResidualBlock*> found;
  for (const size_t index : removed) found.push_back(&blocks_[index]);
  return found;
}

void Pruner::refuse(double whole) const {
  BlockSet all;
  for (size_t i = 0; i < blocks_.size(); ++i) all.insert(i);
  refuse_target(target_, left(all) / whole, cat(blocks_.size(), " residual blocks that may go"), "ask for less, or use --pattern channels");
}

BlockChoice Pruner::choose() {
  const double whole = target_.whole(present_, context_.original_macs), budget = target_.budget(whole);
  if (present_ <= budget) return {.is_reached = true};
  const std::vector<BlockSet> all = candidates();
  BlockSet every;
  for (size_t i = 0; i < blocks_.size(); ++i) every.insert(i);
  if (left(every) > budget) refuse(whole);
  context_.progress.start("blocks", static_cast<int64_t>(all.size() + kRetries * blocks_.size()));   // at most
  answers_.emplace(graph_, *context_.calibration, kJudgedSamples, context_.progress);
  if (options_.refit) {
    sensitivity_ = output_sensitivity(graph_, linear_views(graph_), *context_.calibration, kSensitivitySamples, context_.seed, context_.progress);
    if (sensitivity_.empty()) context_.report.notes.push_back("N3005: no gradient reaches the weights: errors of all positions count alike");
  }
  trials_.emplace(BlockSet{}, Trial{graph_});
  const Answers rough(graph_, *context_.calibration, kRoughSamples, context_.progress);
  const Dataset many = context_.calibration->head(answers_->num_samples()), few = context_.calibration->head(rough.num_samples());
  return choose_blocks(all, budget, kRetries,
                       {[&](const BlockSet& removed) { return left(removed); },
                        [&](const BlockSet& removed, bool is_rough) { return divergence_without(removed, is_rough ? few : many, is_rough ? rough : *answers_); }});
}

/// What computes other numbers than before is fitted to the old ones, and what stands in front of a gap to what the sums were.
std::vector<FittedNode> Pruner::fitted_nodes(const Graph& edited, const Graph& before, const StandIns& stand_ins, bool only_in_front) const {
  std::set<ValueId> changed;
  if (only_in_front) {
    for (const auto& [id, sum] : stand_ins) changed.insert(sum);
  } else {
    changed = changed_values(edited, before);
  }
  std::vector<FittedNode> nodes;
  for (const LinearView& view : linear_views(edited)) {
    if (!can_refit(edited, view) || !is_selected(edited, view.node, context_.keep, context_.only)) continue;
    FittedNode fitted{.edited = view, .original = *linear_view(before, view.node)};
    aim_at_sum(edited, before, fitted, stand_ins);
    if (changed.contains(view.output) || changed.contains(fitted.sum)) nodes.push_back(std::move(fitted));
  }
  return nodes;
}

/// The trial whose blocks all go, that left the least to do.
const Trial& Pruner::nearest_trial(const BlockSet& removed) const {
  const Trial* best = &trials_.at({});
  size_t most = 0;
  for (const auto& [blocks, trial] : trials_) {
    if (blocks.size() <= most || !std::includes(removed.begin(), removed.end(), blocks.begin(), blocks.end())) continue;
    most = blocks.size();
    best = &trial;
  }
  return *best;
}

/// How far the answers are without these blocks, once what stands in front of the new gaps makes up for them.
double Pruner::divergence_without(const BlockSet& removed, const Dataset& few, const Answers& answers) {
  Trial trial = nearest_trial(removed);
  Graph plain = graph_;
  const StandIns stand_ins = remove_blocks(plain, blocks_of(removed));
  remove_blocks(trial.graph, blocks_of(removed));
  Progress quiet;
  PassReport unread;
  PassContext context{.report = unread, .progress = quiet, .calibration = &few, .seed = context_.seed};
  if (options_.refit) {
    std::vector<FittedNode> nodes = fitted_nodes(trial.graph, graph_, stand_ins, true);
    std::erase_if(nodes, [&](const FittedNode& fitted) {
      const auto known = trial.aims.find(fitted.edited.node);
      return known != trial.aims.end() && known->second == fitted.sum;
    });
    refit_linear_nodes(trial.graph, graph_, nodes, sensitivity_, 1, context);
    for (const FittedNode& fitted : nodes) trial.aims[fitted.edited.node] = fitted.sum;
  }
  context_.progress.advance();
  const double divergence = std::min(answers.divergence(trial.graph, quiet), kEndless);
  trials_.insert_or_assign(removed, std::move(trial));
  return divergence;
}

void Pruner::repair(const Graph& before, const StandIns& stand_ins) {
  const std::vector<FittedNode> nodes = fitted_nodes(graph_, before, stand_ins, false);
  refit_linear_nodes(graph_, before, nodes, sensitivity_, kStages, context_);
  for (const FittedNode& fitted : nodes) {
    const ValueId weight = fitted.edited.weight;
    if (!same_content(*graph_.constant(weight), *before.constant(weight))) context_.report.changes.emplace_back(graph_.value(weight).name, "fitted to make up for blocks that are removed");
  }
}

void Pruner::report(const Graph& before, const BlockChoice& choice) {
  std::map<size_t, double> added(choice.order.begin(), choice.order.end());
  const double after = answers_->divergence(graph_, context_.progress);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const std::string label = before.label(blocks_[i].add);
    if (!choice.removed.contains(i)) {
      context_.report.skip(label, "its block matters more than those that went");
      continue;
    }
    context_.report.change(label, {{counts_macs() ? "macs_saved" : "weights_saved", saved_[i]}, {"divergence", added[i]}, {"divergence_of_all_after_repair", after}});
  }
}

void Pruner::run() {
  look();
  const BlockChoice choice = choose();
  if (choice.removed.empty()) {
    context_.report.notes.push_back("N3008: exact clean-up alone reached the target");
    return;
  }
  const Graph before = graph_;
  for (const size_t index : choice.removed) {
    for (const NodeId id : blocks_[index].nodes) {
      const auto view = linear_view(graph_, id);
      if (view) context_.report.changes.emplace_back(graph_.value(view->weight).name, "its block is removed");
    }
  }
  const StandIns stand_ins = remove_blocks(graph_, blocks_of(choice.removed));
  if (options_.refit) repair(before, stand_ins);
  report(before, choice);
}

}  // namespace

void PruneBlocksOptions::validate() const { require_one_target({.macs_ratio = macs_ratio, .sparsity = sparsity}, "blocks"); }

void prune_blocks(Graph& graph, const PruneBlocksOptions& options, PassContext& context) { Pruner(graph, options, context).run(); }

}  // namespace niwaki
