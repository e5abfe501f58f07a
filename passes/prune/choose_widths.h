#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace niwaki {

/// Part of a cost: `base` times, for each axis, the share of it that is left. An axis loses `per_unit` of its `length` with
/// every unit that a variable loses.
struct CostTerm {
  struct Axis {
    double length;
    std::map<size_t, double> per_unit;       // by variable
    double block = 1;                        // what is left counts in whole blocks
  };
  double base;
  std::vector<Axis> axes;
};

/// A width that may shrink: losses[k] is what it costs to lose k units.
struct WidthVariable {
  int64_t width;
  std::vector<double> losses;                // [k], non-decreasing, as far as units may go; [width + 1] where all may
  int64_t round_to = 1;                      // widths that were cut are multiples of it
};

double cost_of(const std::vector<CostTerm>& terms, const std::vector<int64_t>& removed);

/// A cost that also counts, without a limit of its own: of two cuts that save the same of the budgeted cost, the one that saves
/// more of this goes first. `weight` is a share: 0 leaves it out, 1 leaves the budgeted cost out of that choice.
struct SecondCost {
  std::vector<CostTerm> terms = {};
  double weight = 0;
};

/// Units to remove per variable, so that the cost is at most `budget` and the sum of losses small: greedy by loss per cost on
/// the convex hull of each curve, then single steps back and pairs of moves while they gain (algorithms.md 10.2). The
/// result misses the budget only where no widths reach it.
std::vector<int64_t> choose_widths(const std::vector<WidthVariable>& variables, const std::vector<CostTerm>& terms, double budget,
                                   const SecondCost& second = {});

}  // namespace niwaki
