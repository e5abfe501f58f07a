#include "passes/factorize/factorize_weights.h"

#include "compress/divergence.h"
#include "compress/error.h"
#include "passes/factorize/measure_units.h"
#include "passes/factorize/put_factors.h"
#include "passes/factorize/rank_search.h"
#include "passes/factorize/table_units.h"
#include "passes/prune/repair_channels.h"

#include <algorithm>
#include <cstdio>

namespace niwaki {
namespace {

constexpr int64_t kSensitivitySamples = 512, kJudgedSamples = 256;

/// "0.041 ms", three digits.
std::string ms_text(double ms) {
  char text[32];
  std::snprintf(text, sizeof text, ms < 100 ? "%.3g ms" : "%.0f ms", ms);
  return text;
}

/// True for a tied output that has a constant of its own, a turned copy of the table.
bool has_copy(const Graph& graph, const FactorUnit& unit, const LinearView& view) { return view.weight != unit.table && graph.constant(view.weight) != nullptr; }

double copied_weights(const Graph& graph, const FactorUnit& unit) {
  std::set<ValueId> copies;
  for (const LinearView& view : unit.nodes) {
    if (unit.table != ValueId::absent && has_copy(graph, unit, view)) copies.insert(view.weight);
  }
  double count = 0;
  for (const ValueId id : copies) count += static_cast<double>(element_count(*graph.constant(id)));
  return count;
}

class Factorizer {
 public:
  /// `joins_copies`: a table and an output with a turned copy of it become one product.
  Factorizer(Graph& graph, const FactorizeWeightsOptions& options, PassContext& context, bool joins_copies)
      : graph_(graph), before_(with_turned_tables(graph)), options_(options), context_(context), joins_copies_(joins_copies) {}
  void run();

 private:
  using Choice = RankSearch::Choice;

  void find_units();
  std::string why_no_table(const FactorUnit& unit) const;
  void skip(const FactorUnit& unit, const std::string& why) {
    for (const NodeId id : unit.node_ids()) context_.report.skip(before_.label(id), why);
  }
  void look();
  bool is_faster(size_t unit, const FactorOption& option);
  std::vector<Choice> choose();
  std::string why_not(size_t unit) const;
  void replace(size_t unit, const FactorOption& option);
  double energy_kept(const RankedUnit& unit, const Tensor& missing) const;
  void refit();
  bool has_budget() const { return options_.macs_ratio < 1 || options_.sparsity > 0; }
  const Statistics* statistics() const { return evidence_.statistics ? &*evidence_.statistics : nullptr; }

  Graph& graph_;
  const Graph before_;                       // with turned tables
  const FactorizeWeightsOptions& options_;
  PassContext& context_;
  const bool joins_copies_;
  std::vector<FactorUnit> found_;
  std::vector<RankedUnit> units_;
  FactorEvidence evidence_;
  std::unique_ptr<UnitTimer> timer_;         // where the goal is time
  std::vector<std::optional<UnitTimes>> times_;   // of the last option of each unit that was timed
  std::vector<std::string> too_slow_;        // by unit: why no factors, where timing tells
  std::vector<NodeId> replaced_;
};

std::string Factorizer::why_no_table(const FactorUnit& unit) const {
  const std::vector<NodeId> ids = unit.node_ids();
  const bool is_wanted = std::all_of(ids.begin(), ids.end(), [&](NodeId id) { return is_selected(before_, id, context_.keep, context_.only); });
  if (!is_wanted) return "left alone by --keep or --only";
  const std::string reason = why_not_table(before_, unit);
  const bool is_idle = options_.macs_ratio < 1 && unit.nodes.empty();
  return reason.empty() && is_idle ? "reading a table computes nothing: factors would add multiply-accumulates" : reason;
}

void Factorizer::find_units() {
  std::vector<FactorUnit> tables = table_units(before_);
  for (FactorUnit& unit : tables) {
    if (!joins_copies_) std::erase_if(unit.nodes, [&](const LinearView& view) { return has_copy(graph_, unit, view); });
    unit.is_tied = !unit.nodes.empty();
  }
  std::vector<std::string> reasons;
  std::map<NodeId, std::string> heads;       // of tied tables, with why those are not factorized
  for (const FactorUnit& unit : tables) {
    reasons.push_back(why_no_table(unit));
    for (const LinearView& view : unit.nodes) heads[view.node] = reasons.back();
  }
  std::vector<LinearView> allowed;
  for (const LinearView& view : linear_views(before_)) {
    const auto head = heads.find(view.node);
    if (head != heads.end() && head->second.empty()) continue;
    const bool is_turned = !graph_.constant(view.weight);   // a weight in `before_` alone
    std::string reason = is_turned ? "its table stays whole: " + (head == heads.end() ? "it is used elsewhere too" : head->second) : "";
    if (!is_turned) reason = is_selected(before_, view.node, context_.keep, context_.only) ? why_not_factorized(before_, view) : "left alone by --keep or --only";
    if (reason.empty()) allowed.push_back(view);
    else context_.report.skip(before_.label(view.node), reason);
  }
  for (size_t i = 0; i < tables.size(); ++i) {
    if (reasons[i].empty()) found_.push_back(std::move(tables[i]));
    else for (const NodeId id : tables[i].gathers) context_.report.skip(before_.label(id), reasons[i]);
  }
  for (FactorUnit& unit : factor_units(before_, allowed)) {
    const bool is_whole = !unit.is_tied || before_.consumers(unit.nodes.front().weight).size() == unit.nodes.size();
    if (is_whole) found_.push_back(std::move(unit));
    else skip(unit, "a node that is left alone uses its weight");
  }
}

void Factorizer::look() {
  evidence_.sizes = sizes_of_one(before_, context_.calibration);
  if (context_.calibration) {
    Wanted wanted{.seed = context_.seed};
    for (const FactorUnit& unit : found_) {
      wanted.grams.insert(wanted.grams.end(), unit.nodes.begin(), unit.nodes.end());
      for (const NodeId id : unit.gathers) wanted.value_grams.insert(before_.node(id).outputs[0]);
    }
    evidence_.statistics = collect(Executor(before_), before_, *context_.calibration, wanted, context_.progress);
    if (options_.rank == 0) {
      evidence_.sensitivity = output_sensitivity(before_, linear_views(before_), *context_.calibration, kSensitivitySamples, context_.seed, context_.progress);
      if (evidence_.sensitivity.empty()) context_.report.notes.push_back("N3005: no gradient reaches the weights: errors of all nodes count alike");
    }
  } else {
    context_.report.notes.push_back("N3012: no calibration data: factors are nearest in the weights (plain SVD), not in the outputs; give --calib DATA");
  }
  context_.progress.start("spectra", static_cast<int64_t>(found_.size()));
  for (FactorUnit& unit : found_) {
    LayerFactors factors(layer_of(before_, unit, statistics(), has_budget() ? evidence_.sensitivity : std::map<NodeId, OutputSensitivity>{}, evidence_.sizes));
    RankedUnit made{std::move(unit), std::move(factors)};
    made.energy = made.factors.energy();
    made.copies = copied_weights(graph_, made);
    context_.progress.advance();
    if (made.energy > 0) units_.push_back(std::move(made));
    else skip(made, "its outputs do not vary on the calibration data, or its weight is 0");
  }
}

/// On ONNX Runtime, the unit alone: what the factors take against what the nodes take.
bool Factorizer::is_faster(size_t index, const FactorOption& option) {
  RankedUnit& unit = units_[index];
  const auto refuse = [&](const std::string& why) {
    too_slow_[index] = why;
    return false;
  };
  const auto before = unit_alone(before_, unit, evidence_.sizes);
  if (!before) return refuse("measured: not at all, as its sizes are not known without calibration data");
  Graph after = *before;
  put_factors(after, before_, unit, option, statistics());
  times_[index] = timer_->compare(*before, std::move(after));
  if (!times_[index]) return refuse("measured: not at all, as it is too large for one file");
  const UnitTimes& times = *times_[index];
  if (times.is_faster()) too_slow_[index] = "";
  if (times.is_faster()) return true;
  return refuse(cat("measured: factors take ", ms_text(times.after_ms), unit.node_ids().size() > 1 ? ", the nodes " : ", the node ", ms_text(times.before_ms),
                    times.after_ms < times.before_ms ? ", which is not certain" : ""));
}

/// With goal `fastest`, what is not measured to be faster is left out and the search begins again, until all that it takes is.
std::vector<Factorizer::Choice> Factorizer::choose() {
  RankSearch search(before_, options_, context_, units_, evidence_);
  std::vector<Choice> choices = search.choose();
  times_.resize(units_.size());
  too_slow_.resize(units_.size());
  bool is_final = options_.goal == FactorGoal::smallest;
  while (!is_final) {
    is_final = true;
    context_.progress.start("measure", static_cast<int64_t>(units_.size()));
    for (size_t i = 0; i < units_.size(); ++i) {
      context_.progress.advance();
      if (!choices[i] || is_faster(i, *choices[i])) continue;
      search.leave_out(i, *choices[i]);
      is_final = false;
    }
    if (!is_final) choices = search.choose();
  }
  return choices;
}

/// Share of the energy of the outputs that is left, unweighted.
double Factorizer::energy_kept(const RankedUnit& unit, const Tensor& missing) const {
  const FactoredLayer& layer = unit.factors.layer();
  const int64_t outs = layer.rows.size(0) / layer.groups;
  double lost = 0, all = 0;
  for (int64_t group = 0; group < layer.groups; ++group) {
    const Tensor rows = layer.rows.narrow(0, group * outs, outs), gone = missing.narrow(0, group * outs, outs);
    const auto squares = [&](const Tensor& x) { return (layer.moments.defined() ? x.mm(layer.moments[group]) * x : x * x).sum().item<double>(); };
    lost += squares(gone);
    all += squares(rows);
  }
  return all > 0 ? std::clamp(1 - lost / all, 0.0, 1.0) : 1;
}

void Factorizer::replace(size_t index, const FactorOption& option) {
  RankedUnit& unit = units_[index];
  const FactoredLayer& layer = unit.factors.layer();
  const bool is_table = unit.table != ValueId::absent;
  std::vector<std::string> weights;          // that the file had
  if (is_table) weights.push_back(before_.value(unit.table).name);
  for (const LinearView& view : unit.nodes) {
    if (view.weight != unit.table && graph_.constant(view.weight)) weights.push_back(before_.value(view.weight).name);
  }
  const auto [factors, missing] = put_factors(graph_, before_, unit, option, statistics());
  Json sizes = Json::array();
  for (const Tensor& factor : factors) sizes.push_back(factor.sizes().vec());
  if (is_table) sizes = {{before_.constant(unit.table)->sizes[0], option.rank}, {option.rank, layer.inputs()}};
  Json facts = {{"form", is_table ? "table" : names(FactorForm{})[static_cast<size_t>(option.form)]}, {"rank", factors.back().size(1) / (option.form == FactorForm::inputs ? layer.taps() : option.form == FactorForm::spatial ? layer.kernel[1] : 1)},
                {"energy", energy_kept(unit, missing)}, {"macs_before", layer.macs()}, {"macs_after", option.macs}, {"factors", sizes}};
  if (option.form == FactorForm::tucker) facts["input_rank"] = factors[0].size(0);
  if (times_[index]) facts.update({{"measured_ms_before", times_[index]->before_ms}, {"measured_ms_after", times_[index]->after_ms}});
  const std::vector<NodeId> ids = unit.node_ids();
  if (ids.size() > 1) facts["together_with"] = static_cast<int64_t>(ids.size()) - 1;
  for (const NodeId id : ids) {
    context_.report.change(before_.label(id), facts);
    replaced_.push_back(id);
  }
  for (const std::string& name : weights) context_.report.changes.emplace_back(name, "it is a product of factors");
}

void Factorizer::refit() {
  std::sort(replaced_.begin(), replaced_.end());
  std::vector<FittedNode> nodes;
  for (const LinearView& view : linear_views(graph_)) {
    if (!std::binary_search(replaced_.begin(), replaced_.end(), view.node) || !can_refit(graph_, view)) continue;
    nodes.push_back({.edited = view, .original = *linear_view(before_, view.node)});
    aim_at_sum(graph_, before_, nodes.back());
  }
  refit_linear_nodes(graph_, before_, nodes, evidence_.sensitivity, options_.stages, context_);
}

std::string Factorizer::why_not(size_t unit) const {
  if (!too_slow_[unit].empty()) return too_slow_[unit];
  if (has_budget()) return "it loses too much for what it saves";
  return options_.rank > 0 ? "factors of this rank would be larger, or compute more" : "factors that keep this energy would be larger, compute more, or move the answer";
}

void Factorizer::run() {
  if (options_.goal == FactorGoal::fastest) timer_ = std::make_unique<UnitTimer>(context_.seed);
  find_units();
  if (!found_.empty()) look();
  if (units_.empty()) {
    context_.report.notes.push_back("N3001: nothing can be factorized: no node has a weight that factors could replace");
    return;
  }
  const std::vector<Choice> choices = choose();
  context_.progress.start("factors", static_cast<int64_t>(units_.size()));
  for (size_t i = 0; i < units_.size(); ++i) {
    context_.progress.advance();
    if (choices[i]) replace(i, *choices[i]);
    else skip(units_[i], why_not(i));
  }
  if (replaced_.empty()) {
    if (context_.report.notes.empty() || !context_.report.notes.back().starts_with("N3008")) context_.report.notes.push_back("N3001: nothing was factorized: factors would be larger, compute more, or lose too much");
    return;
  }
  if (options_.refit && context_.calibration) refit();
}

bool any_copies(const Graph& graph) {
  const std::vector<FactorUnit> tables = table_units(with_turned_tables(graph));
  return std::any_of(tables.begin(), tables.end(), [&](const FactorUnit& unit) {
    return std::any_of(unit.nodes.begin(), unit.nodes.end(), [&](const LinearView& view) { return has_copy(graph, unit, view); });
  });
}

/// One product for a table and its copy is smaller; but a table of few columns may bear no rank that the output would: both ways are
/// gone to the end, and the one that keeps the answers nearer counts.
void factorize_either_way(Graph& graph, const FactorizeWeightsOptions& options, PassContext& context) {
  const Graph before = graph;
  Graph apart = graph;
  const PassReport empty = context.report;
  Factorizer(graph, options, context, true).run();
  PassReport joined = std::exchange(context.report, empty);
  try {
    Factorizer(apart, options, context, false).run();
  } catch (const UnsupportedError&) {        // so small only together
    context.report = std::move(joined);
    return;
  }
  const Answers answers(before, *context.calibration, kJudgedSamples, context.progress);
  if (answers.divergence(apart, context.progress) < answers.divergence(graph, context.progress)) {
    graph = std::move(apart);
    context.report.notes.push_back("N3015: a table and the output with a turned copy of it are factorized apart: together, the answers would move further");
  } else {
    context.report = std::move(joined);
  }
}

}  // namespace

void FactorizeWeightsOptions::validate() const {
  if (macs_ratio <= 0) throw UsageError("E2008", cat("macs_ratio ", macs_ratio, " is not in (0, 1]"));
  if (sparsity >= 1) throw UsageError("E2008", cat("sparsity ", sparsity, " is not below 1"));
  const int targets = (energy > 0) + (rank > 0) + (macs_ratio < 1) + (sparsity > 0);
  if (targets > 1) throw UsageError("E2013", "more than one target was given", {.help = "give one of --energy, --rank, --macs-ratio and --sparsity"});
  if (targets == 0) throw UsageError("E2017", "no target was given", {.help = "give --energy 0.99, --rank N, --macs-ratio F or --sparsity F"});
}

void factorize_weights(Graph& graph, const FactorizeWeightsOptions& options, PassContext& context) {
  if (options.sparsity > 0 && context.calibration && any_copies(graph)) return factorize_either_way(graph, options, context);
  // lookups compute nothing: an output with a copy of its own saves as many multiply-accumulates without them, and they stay exact
  Factorizer(graph, options, context, options.macs_ratio >= 1).run();
}

}  // namespace niwaki
