#include "passes/prune/layer_solver.h"

#include "compress/parallel.h"
#include "passes/prune/refit.h"
#include "passes/prune/sparse_gpt.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace niwaki {
namespace {

constexpr int64_t kWide = 1024;              // columns from which float is exact enough and half the time counts

/// One group's share of the work.
struct Part {
  Tensor weights, mask;
  SolveRecord record;
};

Tensor forced(const LayerProblem& problem) { return problem.weights == 0; }

/// Zeros of each group: those of the lowest scores over all groups.
std::vector<int64_t> group_counts(const LayerProblem& problem) {
  const int64_t groups = problem.weights.size(0);
  if (groups == 1 || problem.pattern) return std::vector<int64_t>(static_cast<size_t>(groups), problem.num_zeros);
  Tensor scores = at::empty_like(problem.weights);
  for (int64_t i = 0; i < groups; ++i) scores[i].copy_(obs_scores(problem.wanted[i], problem.gram[i]));
  scores.masked_fill_(forced(problem), -std::numeric_limits<double>::infinity());
  const Tensor counts = (~lowest_mask(scores, problem.num_zeros)).sum({1, 2});
  return {counts.const_data_ptr<int64_t>(), counts.const_data_ptr<int64_t>() + groups};
}

/// Masks by scores alone, over all groups: [groups, rows, n].
Tensor scored_mask(const LayerProblem& problem) {
  Tensor scores = magnitude_scores(problem.weights);
  const bool is_wanda = problem.importance == Importance::wanda;
  for (int64_t i = 0; i < scores.size(0) && is_wanda; ++i) scores[i].copy_(wanda_scores(problem.weights[i], problem.gram[i]));
  scores.masked_fill_(forced(problem), -1);
  const Tensor rows = scores.reshape({-1, scores.size(2)});
  Tensor mask;
  if (problem.pattern) mask = pattern_mask(rows, *problem.pattern, problem.num_kept);
  else mask = is_wanda ? lowest_mask_by_row(rows, problem.num_zeros) : lowest_mask(rows, problem.num_zeros);
  return mask.reshape(scores.sizes()) & ~forced(problem);
}

Part solve_group(const LayerProblem& problem, int64_t group, int64_t num_zeros, const Tensor& mask) {
  const Tensor wanted = problem.wanted[group];
  if (!problem.gram.defined()) return {at::where(mask, wanted, 0.0), mask, {}};
  const Tensor gram = problem.gram[group];
  Part part{at::where(mask, wanted, 0.0), mask, {}};
  if (problem.importance == Importance::sparse_gpt) {
    const SparseWeights sparse = sparse_gpt(wanted, gram, num_zeros, {.groups = problem.pattern, .num_kept = problem.num_kept,
                                                                      .zeros = forced(problem)[group], .is_float = wanted.size(1) >= kWide});
    part = {sparse.weights, sparse.mask, sparse.record};
  }
  if (problem.refit) part.weights = refit(wanted, part.weights, part.mask, gram, 0.01, &part.record);
  return part;
}

}  // namespace

LayerSolution solve_layer(const LayerProblem& problem) {
  const int64_t groups = problem.weights.size(0);
  const bool has_gram = problem.gram.defined(), is_fed_back = problem.importance == Importance::sparse_gpt;
  const std::vector<int64_t> counts = is_fed_back ? group_counts(problem) : std::vector<int64_t>(static_cast<size_t>(groups), 0);
  const Tensor masks = is_fed_back ? at::ones_like(problem.weights, at::kBool) : scored_mask(problem);
  LayerSolution solution{at::empty_like(problem.weights), 0, {}};
  std::vector<Part> parts(static_cast<size_t>(groups));
  parallel_for(groups, [&](int64_t i) { parts[static_cast<size_t>(i)] = solve_group(problem, i, counts[static_cast<size_t>(i)], masks[i]); });
  double error = 0, energy = 0;
  for (int64_t i = 0; i < groups; ++i) {
    const Part& part = parts[static_cast<size_t>(i)];
    solution.weights[i].copy_(part.weights);
    const int64_t live = solution.record.num_live + part.record.num_live;
    if (part.record.condition > solution.record.condition || i == 0) solution.record = part.record;
    solution.record.num_live = live;
    if (!has_gram) continue;
    error += output_error(part.weights, problem.wanted[i], problem.gram[i]);
    energy += output_error(problem.wanted[i], at::zeros_like(problem.wanted[i]), problem.gram[i]);
  }
  solution.relative_error = energy > 0 ? error / energy : 0;
  return solution;
}

}  // namespace niwaki
