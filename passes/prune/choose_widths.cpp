#include "passes/prune/choose_widths.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

namespace niwaki {
namespace {

double share_left(const CostTerm::Axis& axis, const std::vector<int64_t>& removed) {
  double left = axis.length;
  for (const auto& [variable, per_unit] : axis.per_unit) left -= per_unit * static_cast<double>(removed[variable]);
  if (axis.block <= 1) return left / axis.length;
  return std::ceil(left / axis.block - 1e-9) / std::ceil(axis.length / axis.block - 1e-9);
}

double product_of(const CostTerm& term, const std::vector<int64_t>& removed) {
  double cost = term.base;
  for (const CostTerm::Axis& axis : term.axes) cost *= share_left(axis, removed);
  return cost;
}

/// A sum of terms, with the terms that each variable touches.
class Cost {
 public:
  Cost(const std::vector<CostTerm>& terms, size_t num_variables) : terms_(terms), touching_(num_variables) {
    for (size_t term = 0; term < terms.size(); ++term) {
      for (const CostTerm::Axis& axis : terms[term].axes) {
        for (const auto& [variable, per_unit] : axis.per_unit) touching_[variable].insert(term);
      }
    }
  }
  double of(size_t variable, const std::vector<int64_t>& removed) const {
    double all = 0;
    for (const size_t term : touching_[variable]) all += product_of(terms_[term], removed);
    return all;
  }
  double all(const std::vector<int64_t>& removed) const { return cost_of(terms_, removed); }

 private:
  const std::vector<CostTerm>& terms_;
  std::vector<std::set<size_t>> touching_;
};

/// The state of the search: removed units, with exact changes of the cost by move.
class Search {
 public:
  Search(const std::vector<WidthVariable>& variables, const std::vector<CostTerm>& terms, const SecondCost& second)
      : variables_(variables), removed_(variables.size(), 0), budgeted_(terms, variables.size()), second_(second.terms, variables.size()) {
    for (const WidthVariable& variable : variables) {
      grids_.emplace_back();
      for (int64_t k = 0; k < static_cast<int64_t>(variable.losses.size()); ++k) {
        const int64_t left = variable.width - k;
        if (k == 0 || left % variable.round_to == 0) grids_.back().push_back(k);
      }
    }
    cost_ = whole_ = budgeted_.all(removed_);
    whole_second_ = second_.all(removed_);
    second_weight_ = whole_second_ > 0 ? second.weight : 0;
  }

  void shrink_to(double budget);
  void give_back(double budget);
  void swap_pairs(double budget);
  const std::vector<int64_t>& removed() const { return removed_; }

 private:
  double loss_at(size_t variable, int64_t k) const { return variables_[variable].losses[static_cast<size_t>(k)]; }
  double loss_change(size_t variable, int64_t to) const { return loss_at(variable, to) - loss_at(variable, removed_[variable]); }
  double change(const Cost& cost, size_t variable, int64_t to);
  double cost_change(size_t variable, int64_t to) { return change(budgeted_, variable, to); }
  double second_change(size_t variable, int64_t to) { return second_weight_ > 0 ? change(second_, variable, to) : 0; }
  /// What a cut saves, as a share of the whole.
  double saved(size_t variable, int64_t to) {
    const double first = -cost_change(variable, to) / whole_;
    return second_weight_ > 0 ? (1 - second_weight_) * first - second_weight_ * second_change(variable, to) / whole_second_ : first;
  }
  void move(size_t variable, int64_t to) {
    cost_ += cost_change(variable, to);
    removed_[variable] = to;
  }
  std::optional<int64_t> neighbour(size_t variable, int step) const;

  const std::vector<WidthVariable>& variables_;
  std::vector<int64_t> removed_;
  Cost budgeted_, second_;
  std::vector<std::vector<int64_t>> grids_;  // counts that may be removed, ascending
  double cost_ = 0, whole_ = 0, whole_second_ = 0, second_weight_ = 0;
};

double Search::change(const Cost& cost, size_t variable, int64_t to) {
  const int64_t from = removed_[variable];
  const double before = cost.of(variable, removed_);
  removed_[variable] = to;
  const double after = cost.of(variable, removed_);
  removed_[variable] = from;
  return after - before;
}

std::optional<int64_t> Search::neighbour(size_t variable, int step) const {
  const auto& grid = grids_[variable];
  const auto place = std::find(grid.begin(), grid.end(), removed_[variable]) - grid.begin() + step;
  if (place < 0 || place >= static_cast<std::ptrdiff_t>(grid.size())) return std::nullopt;
  return grid[static_cast<size_t>(place)];
}

void Search::shrink_to(double budget) {
  while (cost_ > budget) {
    size_t best = variables_.size();
    int64_t best_to = 0;
    double best_ratio = std::numeric_limits<double>::infinity();
    for (size_t variable = 0; variable < variables_.size(); ++variable) {
      // looking past the next step finds the lower convex hull of the curve
      for (const int64_t to : grids_[variable]) {
        if (to <= removed_[variable]) continue;
        const double gain = saved(variable, to);
        if (gain <= 0) continue;
        const double ratio = std::max(loss_change(variable, to), 0.0) / gain;
        if (ratio < best_ratio) {
          best = variable;
          best_to = to;
          best_ratio = ratio;
        }
      }
    }
    if (best == variables_.size()) return;
    // one step at a time towards the hull's corner: the budget may lie between
    const auto& grid = grids_[best];
    for (const int64_t to : grid) {
      if (to > removed_[best] && to <= best_to && cost_ > budget) move(best, to);
    }
  }
}

void Search::give_back(double budget) {
  for (bool is_changed = true; is_changed;) {
    is_changed = false;
    size_t best = variables_.size();
    double best_gain = 0;
    for (size_t variable = 0; variable < variables_.size(); ++variable) {
      const auto to = neighbour(variable, -1);
      if (!to || cost_ + cost_change(variable, *to) > budget || second_change(variable, *to) > 0) continue;
      const double gain = -loss_change(variable, *to);
      if (gain > best_gain) {
        best = variable;
        best_gain = gain;
      }
    }
    if (best == variables_.size()) return;
    move(best, *neighbour(best, -1));
    is_changed = true;
  }
}

/// One variable gets a step back, another loses one or two: while the sum of losses falls within the budget.
void Search::swap_pairs(double budget) {
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    double best_gain = 1e-12;
    size_t best_up = 0, best_down = 0;
    int64_t best_down_to = 0;
    for (size_t up = 0; up < variables_.size(); ++up) {
      const auto back = neighbour(up, -1);
      if (!back) continue;
      const int64_t from = removed_[up];
      const double gain = -loss_change(up, *back);
      const double more = cost_change(up, *back), slower = second_change(up, *back);
      removed_[up] = *back;
      for (size_t down = 0; down < variables_.size(); ++down) {
        if (down == up) continue;
        for (const int step : {1, 2}) {
          const auto to = neighbour(down, step);
          if (!to || gain - loss_change(down, *to) <= best_gain) continue;
          if (cost_ + more + cost_change(down, *to) > budget) continue;
          if (second_weight_ > 0 && slower + second_change(down, *to) > 0) continue;
          best_gain = gain - loss_change(down, *to);
          best_up = up;
          best_down = down;
          best_down_to = *to;
        }
      }
      removed_[up] = from;
    }
    if (best_down_to == 0) return;
    move(best_up, *neighbour(best_up, -1));
    move(best_down, best_down_to);
  }
}

}  // namespace

double cost_of(const std::vector<CostTerm>& terms, const std::vector<int64_t>& removed) {
  double all = 0;
  for (const CostTerm& term : terms) all += product_of(term, removed);
  return all;
}

std::vector<int64_t> choose_widths(const std::vector<WidthVariable>& variables, const std::vector<CostTerm>& terms, double budget, const SecondCost& second) {
  Search search(variables, terms, second);
  search.shrink_to(budget);
  search.give_back(budget);
  search.swap_pairs(budget);
  search.give_back(budget);
  return search.removed();
}

}  // namespace niwaki
