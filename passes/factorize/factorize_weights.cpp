#include "passes/factorize/factorize_weights.h"

#include "compress/divergence.h"
#include "compress/error.h"
#include "passes/factorize/allocate_ranks.h"
#include "passes/factorize/factor_nodes.h"
#include "passes/factorize/factor_units.h"
#include "passes/prune/linear_bias.h"
#include "passes/prune/prune_target.h"
#include "passes/prune/repair_channels.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int64_t kSensitivitySamples = 512;
constexpr int64_t kDefaultRound = 8;
constexpr double kWorthFinerGrid = 0.5;      // a grid of half the step is taken where it loses less than this share
constexpr int64_t kJudgedSamples = 256;
constexpr double kAnswerShare = 0.25;        // of the energy that may go: nats that the answer may move by, a point of accuracy or less
constexpr double kTighter = 0.7;
constexpr double kClearlyLess = 0.5;
constexpr double kNodeWeights = 80;          // what another node costs in the file, as weights of 4 bytes

class Factorizer {
 public:
  Factorizer(Graph& graph, const FactorizeWeightsOptions& options, PassContext& context) : graph_(graph), before_(graph), options_(options), context_(context) {}
  void run();

 private:
  using Choice = std::optional<FactorOption>;
  struct Unit : FactorUnit {
    LayerFactors factors;
    double energy = 0;
  };

  void find_units();
  std::string why_no_table(const FactorUnit& unit) const;
  void skip(const FactorUnit& unit, const std::string& why) {
    for (const NodeId id : unit.node_ids()) context_.report.skip(before_.label(id), why);
  }
  void look();
  std::vector<FactorOption> options_of(Unit& unit, int64_t step) const;
  double divergence(Unit& unit, const FactorOption& option) const;
  Choice choose_alone(Unit& unit, int64_t step, double share) const;
  std::vector<Choice> choose_each(double share);
  std::vector<Choice> choose_by_energy();
  double divergence(const std::vector<Choice>& choices, const Answers& answers);
  std::vector<Choice> choose_together();
  /// What a search for ranks found, on multiples of `step`; without choices `loss` is the least cost.
  struct Found {
    std::optional<std::vector<Choice>> choices;
    int64_t step = kDefaultRound;
    double loss = 0;
  };
  double weight_of(const Unit& unit) const;
  Found attempt(int64_t step, double budget, bool is_relative);
  Found search(double budget, bool is_relative);
  void replace(Unit& unit, const FactorOption& option);
  Tensor edit(Graph& graph, const Unit& unit, FactorForm form, const std::vector<Tensor>& factors, const Tensor& product) const;
  void shift_biases(Graph& graph, const Unit& unit, const Tensor& missing) const;
  double energy_kept(const Unit& unit, const Tensor& missing) const;
  void refit();
  bool counts_macs() const { return options_.sparsity <= 0; }
  double cost_of(const FactorOption& option) const { return counts_macs() ? option.macs : option.num_weights; }
  double cost_of(const Unit& unit) const { return counts_macs() ? unit.factors.layer().macs() : unit.factors.layer().num_weights(); }
  bool has_budget() const { return options_.macs_ratio < 1 || options_.sparsity > 0; }

  Graph& graph_;
  const Graph before_;
  const FactorizeWeightsOptions& options_;
  PassContext& context_;
  std::vector<FactorUnit> found_;
  std::vector<Unit> units_;
  std::optional<Statistics> statistics_;
  std::map<NodeId, OutputSensitivity> sensitivity_;
  KnownSizes sizes_;
  std::vector<NodeId> replaced_;
};

std::string Factorizer::why_no_table(const FactorUnit& unit) const {
  const bool is_wanted = std::all_of(unit.gathers.begin(), unit.gathers.end(), [&](NodeId id) { return is_selected(graph_, id, context_.keep, context_.only); });
  if (!is_wanted) return "left alone by --keep or --only";
  const std::string reason = why_not_table(graph_, unit);
  return reason.empty() && options_.macs_ratio < 1 ? "reading a table computes nothing: factors would add multiply-accumulates" : reason;
}

void Factorizer::find_units() {
  std::vector<LinearView> allowed;
  for (const LinearView& view : linear_views(graph_)) {
    const std::string reason = is_selected(graph_, view.node, context_.keep, context_.only) ? why_not_factorized(graph_, view) : "left alone by --keep or --only";
    if (reason.empty()) allowed.push_back(view);
    else context_.report.skip(graph_.label(view.node), reason);
  }
  for (FactorUnit& unit : table_units(graph_)) {
    const std::string reason = why_no_table(unit);
    if (reason.empty()) found_.push_back(std::move(unit));
    else skip(unit, reason);
  }
  for (FactorUnit& unit : factor_units(graph_, allowed)) {
    const bool is_whole = !unit.is_tied || graph_.consumers(unit.nodes.front().weight).size() == unit.nodes.size();
    if (is_whole) found_.push_back(std::move(unit));
    else skip(unit, "a node that is left alone uses its weight");
  }
}

void Factorizer::look() {
  sizes_ = sizes_of_one(graph_, context_.calibration);
  if (context_.calibration) {
    Wanted wanted{.seed = context_.seed};
    for (const FactorUnit& unit : found_) {
      wanted.grams.insert(wanted.grams.end(), unit.nodes.begin(), unit.nodes.end());
      for (const NodeId id : unit.gathers) wanted.value_grams.insert(graph_.node(id).outputs[0]);
    }
    statistics_ = collect(Executor(graph_), graph_, *context_.calibration, wanted, context_.progress);
    if (options_.rank == 0) {
      sensitivity_ = output_sensitivity(graph_, linear_views(graph_), *context_.calibration, kSensitivitySamples, context_.seed, context_.progress);
      if (sensitivity_.empty()) context_.report.notes.push_back("N3005: no gradient reaches the weights: errors of all nodes count alike");
    }
  } else {
    context_.report.notes.push_back("N3012: no calibration data: factors are nearest in the weights (plain SVD), not in the outputs; give --calib DATA");
  }
  context_.progress.start("spectra", static_cast<int64_t>(found_.size()));
  for (FactorUnit& unit : found_) {
    LayerFactors factors(layer_of(graph_, unit, statistics_ ? &*statistics_ : nullptr, has_budget() ? sensitivity_ : std::map<NodeId, OutputSensitivity>{}, sizes_));
    Unit made{std::move(unit), std::move(factors)};
    made.energy = made.factors.energy();
    context_.progress.advance();
    if (made.energy > 0) units_.push_back(std::move(made));
    else skip(made, "its outputs do not vary on the calibration data, or its weight is 0");
  }
}

/// Those that also pay for the nodes that they add.
std::vector<FactorOption> Factorizer::options_of(Unit& unit, int64_t step) const {
  std::vector<FactorOption> options = unit.factors.options({.step = step, .only = options_.rank});
  std::erase_if(options, [&](const FactorOption& option) {
    const double more = option.form == FactorForm::tucker ? 2 : std::max<double>(1, static_cast<double>(unit.gathers.size()));
    return option.num_weights + kNodeWeights * more > unit.factors.layer().num_weights();
  });
  return options;
}

/// How far the answer moves, in nats, by the gradients of the outputs; 0 where they are not known.
double Factorizer::divergence(Unit& unit, const FactorOption& option) const {
  const FactoredLayer& layer = unit.factors.layer();
  if (!layer.moments.defined()) return 0;
  const Tensor missing = (layer.rows - unit.factors.product(option, unit.factors.factors(option))).reshape({layer.groups, -1, layer.rows.size(1)});
  const Tensor errors = (at::bmm(missing, layer.moments) * missing).sum(2).reshape({-1});
  double sum = 0;
  int64_t row = 0;
  for (const LinearView& view : unit.nodes) {
    const auto known = sensitivity_.find(view.node);
    if (known == sensitivity_.end()) continue;
    const int64_t count = known->second.gradient.numel();
    sum += (errors.narrow(0, row, count) * known->second.gradient).sum().item<double>() / 2;
    if (!unit.is_tied) row += count;
  }
  return sum;
}

/// --rank: what loses least; --energy: what costs least of what loses no more than this share. Few outputs may hold nearly all energy
/// (those of a first token, say) and not matter, so that the answer may not move by more nats either.
Factorizer::Choice Factorizer::choose_alone(Unit& unit, int64_t step, double share) const {
  std::vector<FactorOption> options = options_of(unit, step);
  const bool has_rank = options_.rank > 0;
  std::stable_sort(options.begin(), options.end(), [&](const FactorOption& a, const FactorOption& b) {
    return has_rank || a.macs == b.macs ? a.loss < b.loss : a.macs < b.macs;
  });
  for (const FactorOption& option : options) {
    if (has_rank || (option.loss <= share * unit.energy && divergence(unit, option) <= share)) return option;
  }
  return std::nullopt;
}

std::vector<Factorizer::Choice> Factorizer::choose_each(double share) {
  std::vector<Choice> choices;
  for (Unit& unit : units_) choices.push_back(choose_alone(unit, options_.round_to > 0 ? options_.round_to : kDefaultRound, share));
  return choices;
}

/// How far the answers move, measured, before any refit.
double Factorizer::divergence(const std::vector<Choice>& choices, const Answers& answers) {
  Graph trial = graph_;
  for (size_t i = 0; i < units_.size(); ++i) {
    if (!choices[i]) continue;
    const std::vector<Tensor> factors = units_[i].factors.factors(*choices[i]);
    edit(trial, units_[i], choices[i]->form, factors, units_[i].factors.product(*choices[i], factors));
  }
  return answers.divergence(trial, context_.progress);
}

/// Errors of many nodes add up in the answer: each keeps more than was asked for until it hardly moves.
std::vector<Factorizer::Choice> Factorizer::choose_by_energy() {
  const double asked = 1 - options_.energy;
  std::vector<Choice> choices = choose_each(asked);
  if (!context_.calibration) return choices;
  const Answers answers(before_, *context_.calibration, kJudgedSamples, context_.progress);
  const auto is_any = [&] { return std::any_of(choices.begin(), choices.end(), [](const Choice& choice) { return choice.has_value(); }); };
  double share = asked;
  while (share > 0 && is_any() && divergence(choices, answers) > kAnswerShare * asked) {
    share = share > 1e-6 ? kTighter * share : 0;
    choices = choose_each(share);
  }
  if (share < asked) context_.report.notes.push_back(cat("N3013: nodes keep ", 1 - share, " of their energy: with less, the answer would move by more than ", kAnswerShare * asked));
  return choices;
}

/// Of losses, so that they are divergences. Errors of units that no gradient weighs count relative to their outputs; those of tables
/// reach everything, and count as those of the unit on which the answer depends most.
double Factorizer::weight_of(const Unit& unit) const {
  if (unit.factors.layer().weights.defined()) return 1;
  double typical = 0;
  for (const Unit& other : units_) {
    if (unit.table != ValueId::absent && other.factors.layer().weights.defined()) typical = std::max(typical, other.energy);
  }
  return (typical > 0 ? typical : 1) / unit.energy;
}

/// Within the budget on this grid. Losses are divergences, or relative to the outputs of each unit.
Factorizer::Found Factorizer::attempt(int64_t step, double budget, bool is_relative) {
  std::vector<std::vector<FactorOption>> options;
  std::vector<std::vector<RankOption>> costs;
  for (Unit& unit : units_) {
    const double weight = is_relative ? 1 / unit.energy : weight_of(unit);
    options.push_back(options_of(unit, step));
    std::vector<RankOption> one{{cost_of(unit), 0}};
    for (const FactorOption& option : options.back()) one.push_back({cost_of(option), option.loss * weight});
    costs.push_back(std::move(one));
  }
  const auto chosen = allocate_ranks(costs, budget);
  Found found{.step = step};
  if (!chosen) {
    for (const auto& one : costs) found.loss += std::min_element(one.begin(), one.end(), [](const RankOption& a, const RankOption& b) { return a.cost < b.cost; })->cost;
    return found;
  }
  found.choices.emplace();
  for (size_t i = 0; i < chosen->size(); ++i) {
    const size_t option = (*chosen)[i];
    found.choices->push_back(option == 0 ? Choice{} : Choice{options[i][option - 1]});
    found.loss += costs[i][option].loss;
  }
  return found;
}

/// On the grid that was asked for; else on the coarsest of 8, 4, 2, 1 that reaches the budget and loses little more than the next.
Factorizer::Found Factorizer::search(double budget, bool is_relative) {
  if (options_.round_to > 0) return attempt(options_.round_to, budget, is_relative);
  Found found = attempt(kDefaultRound, budget, is_relative);
  while (found.step > 1) {
    Found finer = attempt(found.step / 2, budget, is_relative);
    if (found.choices && (!finer.choices || finer.loss > kWorthFinerGrid * found.loss)) break;
    found = std::move(finer);
  }
  return found;
}

/// Gradients say little where answers are certain: errors relative to the outputs choose ranks too, and they are taken where the
/// answers, as measured before any refit, move far less.
std::vector<Factorizer::Choice> Factorizer::choose_together() {
  const PruneTarget target{.macs_ratio = options_.macs_ratio, .sparsity = options_.sparsity};
  double own = 0, present = 0;
  for (const Unit& unit : units_) own += cost_of(unit);
  if (counts_macs()) {
    present = total_macs(graph_, sizes_);
  } else {
    std::set<ValueId> seen;
    for (const LinearView& view : linear_views(graph_)) seen.insert(view.weight);
    for (const Unit& unit : units_) {
      if (unit.table != ValueId::absent) seen.insert(unit.table);
    }
    for (const ValueId weight : seen) present += static_cast<double>(element_count(*graph_.constant(weight)));
  }
  const double whole = target.whole(present, context_.original_macs), rest = std::max(0.0, present - own), budget = target.budget(whole) - rest;
  if (own <= budget) {
    context_.report.notes.push_back("N3008: exact clean-up alone reached the target");
    return std::vector<Choice>(units_.size());
  }
  Found found = search(budget, false);
  if (!found.choices) refuse_target(target, (rest + found.loss) / whole, cat(units_.size(), " weights that may be factorized"), "ask for less, or lower --round-to");
  if (!sensitivity_.empty()) {
    Found other = search(budget, true);
    const Answers answers(before_, *context_.calibration, kJudgedSamples, context_.progress);
    if (other.choices && divergence(*other.choices, answers) < kClearlyLess * divergence(*found.choices, answers)) found = std::move(other);
  }
  if (options_.round_to == 0 && found.step < kDefaultRound) {
    context_.report.notes.push_back(cat("N3006: ranks are multiples of ", found.step, ": multiples of ", 2 * found.step, " miss the target or lose far more"));
  }
  return *found.choices;
}

/// b += (W - W') E[x], where a bias can take it.
void Factorizer::shift_biases(Graph& graph, const Unit& unit, const Tensor& missing) const {
  int64_t row = 0;
  for (const LinearView& view : unit.nodes) {
    const Gram& gram = statistics_->gram(view.node);
    const int64_t count = unit.is_tied ? missing.size(0) : graph.constant(linear_view(graph, view.node)->weight)->sizes[static_cast<size_t>(view.channel_axis)];
    const Tensor rows = missing.narrow(0, row, count);
    if (!unit.is_tied) row += count;
    const Tensor shift = at::bmm(rows.reshape({view.groups, count / view.groups, rows.size(1)}), gram.mean().unsqueeze(2)).reshape({-1});
    const LinearView edited = *linear_view(graph, view.node);
    if (const auto place = bias_place(graph, edited)) add_to_bias(graph, edited, *place, shift);
  }
}

/// Share of the energy of the outputs that is left, unweighted.
double Factorizer::energy_kept(const Unit& unit, const Tensor& missing) const {
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

/// Puts the factors in place; returns what their product lacks.
Tensor Factorizer::edit(Graph& graph, const Unit& unit, FactorForm form, const std::vector<Tensor>& factors, const Tensor& product) const {
  FactorNodes nodes(graph);
  if (unit.table != ValueId::absent) nodes.replace_table(unit.table, unit.gathers, factors);
  else if (unit.is_tied || unit.nodes.size() == 1) nodes.replace_uses(unit.nodes, form, factors);
  else nodes.replace_sharers(unit.nodes, factors);
  const Tensor missing = unit.factors.layer().rows - product;
  if (statistics_ && has_bias_places(before_, unit)) shift_biases(graph, unit, missing);
  return missing;
}

void Factorizer::replace(Unit& unit, const FactorOption& option) {
  const std::vector<Tensor> factors = unit.factors.factors(option);
  const FactoredLayer& layer = unit.factors.layer();
  const Tensor missing = edit(graph_, unit, option.form, factors, unit.factors.product(option, factors));
  const bool is_table = unit.table != ValueId::absent;
  Json sizes = Json::array();
  for (const Tensor& factor : factors) sizes.push_back(factor.sizes().vec());
  if (is_table) sizes = {{before_.constant(unit.table)->sizes[0], option.rank}, {option.rank, layer.inputs()}};
  Json facts = {{"form", is_table ? "table" : names(FactorForm{})[static_cast<size_t>(option.form)]}, {"rank", factors.back().size(1) / (option.form == FactorForm::inputs ? layer.taps() : option.form == FactorForm::spatial ? layer.kernel[1] : 1)},
                {"energy", energy_kept(unit, missing)}, {"macs_before", layer.macs()}, {"macs_after", option.macs}, {"factors", sizes}};
  if (option.form == FactorForm::tucker) facts["input_rank"] = factors[0].size(0);
  const std::vector<NodeId> ids = unit.node_ids();
  if (ids.size() > 1) facts["together_with"] = static_cast<int64_t>(ids.size()) - 1;
  for (const NodeId id : ids) {
    context_.report.change(before_.label(id), facts);
    replaced_.push_back(id);
  }
  if (is_table) context_.report.changes.emplace_back(before_.value(unit.table).name, "it is a product of factors");
  for (const LinearView& view : unit.nodes) context_.report.changes.emplace_back(before_.value(view.weight).name, "it is a product of factors");
}

void Factorizer::refit() {
  std::sort(replaced_.begin(), replaced_.end());
  std::vector<FittedNode> nodes;
  for (const LinearView& view : linear_views(graph_)) {
    if (!std::binary_search(replaced_.begin(), replaced_.end(), view.node) || !can_refit(graph_, view)) continue;
    nodes.push_back({.edited = view, .original = *linear_view(before_, view.node)});
    aim_at_sum(graph_, before_, nodes.back());
  }
  refit_linear_nodes(graph_, before_, nodes, sensitivity_, options_.stages, context_);
}

void Factorizer::run() {
  find_units();
  if (!found_.empty()) look();
  if (units_.empty()) {
    context_.report.notes.push_back("N3001: nothing can be factorized: no node has a weight that factors could replace");
    return;
  }
  std::vector<Choice> choices;
  if (has_budget()) choices = choose_together();
  else choices = options_.rank > 0 ? choose_each(0) : choose_by_energy();
  context_.progress.start("factors", static_cast<int64_t>(units_.size()));
  for (size_t i = 0; i < units_.size(); ++i) {
    context_.progress.advance();
    if (choices[i]) replace(units_[i], *choices[i]);
    if (choices[i]) continue;
    const std::string why = has_budget() ? "it loses too much for what it saves" : options_.rank > 0 ? "factors of this rank would be larger, or compute more" : "factors that keep this energy would be larger, compute more, or move the answer";
    skip(units_[i], why);
  }
  if (replaced_.empty()) {
    if (context_.report.notes.empty() || !context_.report.notes.back().starts_with("N3008")) context_.report.notes.push_back("N3001: nothing was factorized: factors would be larger, compute more, or lose too much");
    return;
  }
  if (options_.refit && context_.calibration) refit();
}

}  // namespace

void FactorizeWeightsOptions::validate() const {
  if (macs_ratio <= 0) throw UsageError("E2008", cat("macs_ratio ", macs_ratio, " is not in (0, 1]"));
  if (sparsity >= 1) throw UsageError("E2008", cat("sparsity ", sparsity, " is not below 1"));
  const int targets = (energy > 0) + (rank > 0) + (macs_ratio < 1) + (sparsity > 0);
  if (targets > 1) throw UsageError("E2013", "more than one target was given", {.help = "give one of --energy, --rank, --macs-ratio and --sparsity"});
  if (targets == 0) throw UsageError("E2017", "no target was given", {.help = "give --energy 0.99, --rank N, --macs-ratio F or --sparsity F"});
}

void factorize_weights(Graph& graph, const FactorizeWeightsOptions& options, PassContext& context) { Factorizer(graph, options, context).run(); }

}  // namespace niwaki
