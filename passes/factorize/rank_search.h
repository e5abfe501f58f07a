#pragma once

#include "compress/divergence.h"
#include "passes/factorize/factor_units.h"
#include "passes/factorize/factorize_weights.h"

namespace niwaki {

/// What was seen of a graph before its factors are chosen.
struct FactorEvidence {
  std::optional<Statistics> statistics;      // nothing: there are no samples
  std::map<NodeId, OutputSensitivity> sensitivity;
  KnownSizes sizes;
};

/// Chooses the form and the rank of every unit of a graph by the target of the options.
class RankSearch {
 public:
  using Choice = std::optional<FactorOption>;   // nothing: the unit stays
  RankSearch(const Graph& graph, const FactorizeWeightsOptions& options, PassContext& context, std::vector<RankedUnit>& units, const FactorEvidence& evidence);
  /// One choice for each unit; its notes replace those of the choice before. E3210 where the budget is out of reach.
  std::vector<Choice> choose();
  /// This option of a unit, and what computes hardly less in the same form, is not chosen again; after the third none is.
  void leave_out(size_t unit, const FactorOption& option);
  /// True if a share of the whole model is the target.
  bool has_budget() const { return options_.macs_ratio < 1 || options_.sparsity > 0; }

 private:
  /// What a search for ranks found, on multiples of `step`; without choices `loss` is the least cost.
  struct Found {
    std::optional<std::vector<Choice>> choices;
    int64_t step = 0;
    double loss = 0;
  };
  struct Costs {
    double whole = 0, rest = 0, own = 0;     // of the model, of what is not in a unit, of all units
  };
  std::vector<FactorOption> options_of(size_t unit, int64_t step) const;
  double divergence(RankedUnit& unit, const FactorOption& option) const;
  double divergence(const std::vector<Choice>& choices);
  Choice choose_alone(size_t unit, int64_t step, double share) const;
  std::vector<Choice> choose_each(double share) const;
  std::vector<Choice> choose_by_energy();
  std::vector<Choice> choose_together();
  double weight_of(const RankedUnit& unit) const;
  Found attempt(int64_t step, double budget, bool is_relative) const;
  Found search(double budget, bool is_relative) const;
  Costs costs() const;
  bool counts_macs() const { return options_.sparsity <= 0; }
  double cost_of(const FactorOption& option) const { return counts_macs() ? option.macs : option.num_weights; }
  double cost_of(const RankedUnit& unit) const { return counts_macs() ? unit.factors.layer().macs() : unit.factors.layer().num_weights() + unit.copies; }

  const Graph& graph_;
  const FactorizeWeightsOptions& options_;
  PassContext& context_;
  std::vector<RankedUnit>& units_;
  const FactorEvidence& evidence_;
  const size_t num_notes_;
  std::vector<std::vector<FactorOption>> left_out_;   // by unit
  std::optional<Answers> answers_;
};

}  // namespace niwaki
