#include "passes/prune/obs_order.h"

#include "compress/error.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int kSymmetrizeEvery = 64;

/// One problem while its columns go.
struct Surgery {
  Tensor rows, inverse;                      // W [out, n], P [n, n]
};

Tensor indices(const std::vector<int64_t>& columns) { return at::tensor(columns, at::kLong); }

Tensor damped_inverse(const Tensor& moments, double damp) {
  const Tensor diagonal = moments.diagonal();
  const Tensor live = diagonal > 1e-12 * diagonal.max();
  const double mean = live.any().item<bool>() ? diagonal.masked_select(live).mean().item<double>() : 1.0;
  for (double lambda = damp * mean; lambda <= mean * 1e3; lambda *= 10) {
    const auto [factor, info] = at::linalg_cholesky_ex(moments + lambda * at::eye(moments.size(0), at::kDouble));
    if (info.item<int>() == 0) return at::cholesky_inverse(factor);
  }
  throw InternalError("second moments are not positive, whatever is added to them");
}

/// Scores of the units that are left: units whose parts in a problem have equal length go through one batched solve.
class Scorer {
 public:
  Scorer(const std::vector<ObsUnit>& units, size_t num_problems) : units_(units), batches_(num_problems) {
    for (size_t unit = 0; unit < units.size(); ++unit) {
      for (const ObsUnit::Part& part : units[unit].parts) batches_[part.problem][part.columns.size()].push_back({unit, &part.columns});
    }
  }

  std::vector<double> scores(const std::vector<Surgery>& surgeries, const std::vector<bool>& gone) const {
    std::vector<double> scores(units_.size(), 0.0);
    for (size_t problem = 0; problem < batches_.size(); ++problem) {
      for (const auto& [length, entries] : batches_[problem]) add(scores, surgeries[problem], entries, length, gone);
    }
    return scores;
  }

 private:
  struct Entry {
    size_t unit;
    const std::vector<int64_t>* columns;
  };

  static void add(std::vector<double>& scores, const Surgery& surgery, const std::vector<Entry>& entries, size_t length, const std::vector<bool>& gone) {
    std::vector<int64_t> flat;
    std::vector<size_t> units;
    for (const Entry& entry : entries) {
      if (gone[entry.unit]) continue;
      units.push_back(entry.unit);
      flat.insert(flat.end(), entry.columns->begin(), entry.columns->end());
    }
    if (units.empty()) return;
    const auto count = static_cast<int64_t>(units.size()), size = static_cast<int64_t>(length);
    const Tensor columns = at::tensor(flat, at::kLong).reshape({count, size});
    const Tensor blocks = surgery.inverse.index({columns.unsqueeze(2), columns.unsqueeze(1)});                       // [U, s, s]
    const Tensor rows = surgery.rows.index_select(1, columns.reshape({-1})).reshape({-1, count, size}).transpose(0, 1);   // [U, out, s]
    // tr(W_S B^-1 W_S^T) = sum(B^-1 * (W_S^T W_S))
    const Tensor squares = at::bmm(rows.transpose(1, 2), rows);
    const Tensor found = size == 1 ? (squares / blocks).reshape({count}) : (at::linalg_inv(blocks) * squares).sum({1, 2});
    const Tensor flat_scores = found.contiguous();
    const double* score = flat_scores.const_data_ptr<double>();
    for (size_t i = 0; i < units.size(); ++i) scores[units[i]] += std::max(score[i], 0.0);
  }

  const std::vector<ObsUnit>& units_;
  std::vector<std::map<size_t, std::vector<Entry>>> batches_;
};

void remove_columns(Surgery& surgery, const std::vector<int64_t>& columns) {
  const Tensor gone = indices(columns);
  const Tensor beside = surgery.inverse.index_select(1, gone);                       // P[:, S]
  const Tensor solved = at::linalg_solve(beside.index_select(0, gone), beside.t());  // (P_SS)^-1 P[S, :]
  surgery.rows.sub_(surgery.rows.index_select(1, gone).mm(solved));
  surgery.inverse.sub_(beside.mm(solved));
  surgery.rows.index_fill_(1, gone, 0);
  surgery.inverse.index_fill_(0, gone, 0).index_fill_(1, gone, 0);
}

}  // namespace

ObsOrder order_by_obs(std::vector<ObsProblem> problems, const std::vector<ObsUnit>& units, size_t count, double damp, const std::vector<size_t>& given) {
  std::vector<Surgery> surgeries;
  for (ObsProblem& problem : problems) surgeries.push_back({problem.rows.clone(), damped_inverse(problem.moments, damp)});
  problems.clear();
  const Scorer scorer(units, surgeries.size());
  std::vector<bool> gone(units.size(), false);
  ObsOrder found{.losses = {0}};
  for (size_t step = 0; step < std::min(count, units.size()); ++step) {
    const std::vector<double> scores = scorer.scores(surgeries, gone);
    size_t best = units.size();
    for (size_t i = 0; given.empty() && i < units.size(); ++i) {
      if (!gone[i] && (best == units.size() || scores[i] < scores[best])) best = i;
    }
    if (!given.empty()) best = given[step];
    gone[best] = true;
    found.order.push_back(best);
    found.losses.push_back(found.losses.back() + scores[best]);
    for (const ObsUnit::Part& part : units[best].parts) remove_columns(surgeries[part.problem], part.columns);
    if ((step + 1) % kSymmetrizeEvery != 0) continue;
    for (Surgery& surgery : surgeries) surgery.inverse = (surgery.inverse + surgery.inverse.t()) / 2;
  }
  return found;
}

}  // namespace niwaki
