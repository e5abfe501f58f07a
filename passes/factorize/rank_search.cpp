#include "passes/factorize/rank_search.h"

#include "compress/error.h"
#include "passes/factorize/allocate_ranks.h"
#include "passes/factorize/put_factors.h"
#include "passes/prune/prune_target.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int64_t kDefaultRound = 8;
constexpr double kWorthFinerGrid = 0.5;      // a grid of half the step is taken where it loses less than this share
constexpr int64_t kJudgedSamples = 256;
constexpr double kAnswerShare = 0.25;        // of the energy that may go: nats that the answer may move by, a point of accuracy or less
constexpr double kTighter = 0.7;
constexpr double kClearlyLess = 0.5;
constexpr double kNodeWeights = 80;          // what another node costs in the file, as weights of 4 bytes
constexpr size_t kMostLeftOut = 3;           // of a unit: slower with many ranks, it is hardly faster with another
constexpr double kWorthAnotherTry = 0.75;    // of the work: with hardly less, calls cost as much as before

}  // namespace

RankSearch::RankSearch(const Graph& graph, const FactorizeWeightsOptions& options, PassContext& context, std::vector<RankedUnit>& units, const FactorEvidence& evidence)
    : graph_(graph), options_(options), context_(context), units_(units), evidence_(evidence), num_notes_(context.report.notes.size()), left_out_(units.size()) {}

void RankSearch::leave_out(size_t unit, const FactorOption& option) { left_out_[unit].push_back(option); }

std::vector<RankSearch::Choice> RankSearch::choose() {
  context_.report.notes.resize(num_notes_);
  if (has_budget()) return choose_together();
  return options_.rank > 0 ? choose_each(0) : choose_by_energy();
}

/// Those that also pay for the nodes that they add.
std::vector<FactorOption> RankSearch::options_of(size_t index, int64_t step) const {
  const std::vector<FactorOption>& left_out = left_out_[index];
  if (left_out.size() >= kMostLeftOut) return {};
  RankedUnit& unit = units_[index];
  std::vector<FactorOption> options = unit.factors.options({.step = step, .only = options_.rank});
  std::erase_if(options, [&](const FactorOption& option) {
    const size_t around_table = unit.gathers.size() + (unit.gathers.empty() || unit.nodes.empty() ? 0 : unit.nodes.size() + 2);   // two are turned
    const double more = option.form == FactorForm::tucker ? 2 : std::max<double>(1, static_cast<double>(around_table));
    if (option.num_weights + kNodeWeights * more > unit.factors.layer().num_weights()) return true;
    return std::any_of(left_out.begin(), left_out.end(), [&](const FactorOption& other) { return other.form == option.form && option.macs > kWorthAnotherTry * other.macs; });
  });
  return options;
}

/// How far the answer moves, in nats, by the gradients of the outputs; 0 where they are not known.
double RankSearch::divergence(RankedUnit& unit, const FactorOption& option) const {
  const FactoredLayer& layer = unit.factors.layer();
  if (!layer.moments.defined()) return 0;
  const Tensor missing = (layer.rows - unit.factors.product(option, unit.factors.factors(option))).reshape({layer.groups, -1, layer.rows.size(1)});
  const Tensor errors = (at::bmm(missing, layer.moments) * missing).sum(2).reshape({-1});
  double sum = 0;
  int64_t row = 0;
  for (const LinearView& view : unit.nodes) {
    const auto known = evidence_.sensitivity.find(view.node);
    if (known == evidence_.sensitivity.end()) continue;
    const int64_t count = known->second.gradient.numel();
    sum += (errors.narrow(0, row, count) * known->second.gradient).sum().item<double>() / 2;
    if (!unit.is_tied) row += count;
  }
  return sum;
}

/// --rank: what loses least; --energy: what costs least of what loses no more than this share. Few outputs may hold nearly all energy
/// (those of a first token, say) and not matter, so that the answer may not move by more nats either.
RankSearch::Choice RankSearch::choose_alone(size_t index, int64_t step, double share) const {
  RankedUnit& unit = units_[index];
  std::vector<FactorOption> options = options_of(index, step);
  const bool has_rank = options_.rank > 0;
  std::stable_sort(options.begin(), options.end(), [&](const FactorOption& a, const FactorOption& b) {
    return has_rank || a.macs == b.macs ? a.loss < b.loss : a.macs < b.macs;
  });
  for (const FactorOption& option : options) {
    if (has_rank || (option.loss <= share * unit.energy && divergence(unit, option) <= share)) return option;
  }
  return std::nullopt;
}

std::vector<RankSearch::Choice> RankSearch::choose_each(double share) const {
  std::vector<Choice> choices;
  for (size_t i = 0; i < units_.size(); ++i) choices.push_back(choose_alone(i, options_.round_to > 0 ? options_.round_to : kDefaultRound, share));
  return choices;
}

/// How far the answers move, measured, before any refit.
double RankSearch::divergence(const std::vector<Choice>& choices) {
  Graph trial = graph_;
  for (size_t i = 0; i < units_.size(); ++i) {
    if (!choices[i]) continue;
    put_factors(trial, graph_, units_[i], *choices[i], evidence_.statistics ? &*evidence_.statistics : nullptr);
  }
  if (!answers_) answers_.emplace(graph_, *context_.calibration, kJudgedSamples, context_.progress);
  return answers_->divergence(trial, context_.progress);
}

/// Errors of many nodes add up in the answer: each keeps more than was asked for until it hardly moves.
std::vector<RankSearch::Choice> RankSearch::choose_by_energy() {
  const double asked = 1 - options_.energy;
  std::vector<Choice> choices = choose_each(asked);
  if (!context_.calibration) return choices;
  const auto is_any = [&] { return std::any_of(choices.begin(), choices.end(), [](const Choice& choice) { return choice.has_value(); }); };
  double share = asked;
  while (share > 0 && is_any() && divergence(choices) > kAnswerShare * asked) {
    share = share > 1e-6 ? kTighter * share : 0;
    choices = choose_each(share);
  }
  if (share < asked) context_.report.notes.push_back(cat("N3013: nodes keep ", 1 - share, " of their energy: with less, the answer would move by more than ", kAnswerShare * asked));
  return choices;
}

/// Of losses, so that they are divergences. Errors of units that no gradient weighs count relative to their outputs; those of tables
/// reach everything, and count as those of the unit on which the answer depends most.
double RankSearch::weight_of(const RankedUnit& unit) const {
  if (unit.factors.layer().weights.defined()) return 1;
  double typical = 0;
  for (const RankedUnit& other : units_) {
    if (unit.table != ValueId::absent && other.factors.layer().weights.defined()) typical = std::max(typical, other.energy);
  }
  return (typical > 0 ? typical : 1) / unit.energy;
}

/// Within the budget on this grid. Losses are divergences, or relative to the outputs of each unit.
RankSearch::Found RankSearch::attempt(int64_t step, double budget, bool is_relative) const {
  std::vector<std::vector<FactorOption>> options;
  std::vector<std::vector<RankOption>> costs;
  for (size_t i = 0; i < units_.size(); ++i) {
    const double weight = is_relative ? 1 / units_[i].energy : weight_of(units_[i]);
    options.push_back(options_of(i, step));
    std::vector<RankOption> one{{cost_of(units_[i]), 0}};
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
RankSearch::Found RankSearch::search(double budget, bool is_relative) const {
  if (options_.round_to > 0) return attempt(options_.round_to, budget, is_relative);
  Found found = attempt(kDefaultRound, budget, is_relative);
  while (found.step > 1) {
    if (found.choices && options_.goal == FactorGoal::fastest) break;   // kernels are made for whole vectors
    Found finer = attempt(found.step / 2, budget, is_relative);
    if (found.choices && (!finer.choices || finer.loss > kWorthFinerGrid * found.loss)) break;
    found = std::move(finer);
  }
  return found;
}

RankSearch::Costs RankSearch::costs() const {
  double own = 0, present = 0;
  for (const RankedUnit& unit : units_) own += cost_of(unit);
  if (counts_macs()) {
    present = total_macs(graph_, evidence_.sizes);
  } else {
    std::set<ValueId> seen;
    for (const LinearView& view : linear_views(graph_)) seen.insert(view.weight);
    for (const RankedUnit& unit : units_) {
      if (unit.table == ValueId::absent) continue;
      for (const LinearView& view : unit.nodes) seen.erase(view.weight);   // a copy of the table, or the table turned
      seen.insert(unit.table);
      present += unit.copies;
    }
    for (const ValueId weight : seen) present += static_cast<double>(element_count(*graph_.constant(weight)));
  }
  const PruneTarget target{.macs_ratio = options_.macs_ratio, .sparsity = options_.sparsity};
  return {.whole = target.whole(present, context_.original_macs), .rest = std::max(0.0, present - own), .own = own};
}

/// Gradients say little where answers are certain: errors relative to the outputs choose ranks too, and they are taken where the
/// answers, as measured before any refit, move far less.
std::vector<RankSearch::Choice> RankSearch::choose_together() {
  const PruneTarget target{.macs_ratio = options_.macs_ratio, .sparsity = options_.sparsity};
  const Costs costs = this->costs();
  const double budget = target.budget(costs.whole) - costs.rest;
  if (costs.own <= budget) {
    context_.report.notes.push_back("N3008: exact clean-up alone reached the target");
    return std::vector<Choice>(units_.size());
  }
  Found found = search(budget, false);
  if (!found.choices) {
    const bool is_any_out = std::any_of(left_out_.begin(), left_out_.end(), [](const auto& one) { return !one.empty(); });
    refuse_target(target, (costs.rest + found.loss) / costs.whole, cat(units_.size(), " weights that may be factorized"),
                  is_any_out ? "factors that were measured to be slower are left out: --goal smallest takes them; or ask for less" : "ask for less, or lower --round-to");
  }
  if (!evidence_.sensitivity.empty()) {
    Found other = search(budget, true);
    if (other.choices && divergence(*other.choices) < kClearlyLess * divergence(*found.choices)) found = std::move(other);
  }
  if (options_.round_to == 0 && found.step < kDefaultRound) {
    context_.report.notes.push_back(cat("N3006: ranks are multiples of ", found.step, ": multiples of ", 2 * found.step, " miss the target or lose far more"));
  }
  return *found.choices;
}

}  // namespace niwaki
