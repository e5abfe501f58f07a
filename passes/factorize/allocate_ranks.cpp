#include "passes/factorize/allocate_ranks.h"

#include <algorithm>
#include <limits>

namespace niwaki {
namespace {

/// The best known way to spend so much on the units so far.
struct Sum {
  double cost = 0, loss = 0;
  size_t option = 0, before = 0;             // of the unit just taken; index among the sums of the units before
};

/// Costs ascend and losses fall: what is dearer and no better goes.
void keep_front(std::vector<Sum>& sums) {
  std::stable_sort(sums.begin(), sums.end(), [](const Sum& a, const Sum& b) { return a.cost != b.cost ? a.cost < b.cost : a.loss < b.loss; });
  std::vector<Sum> front;
  for (const Sum& sum : sums) {
    if (front.empty() || sum.loss < front.back().loss) front.push_back(sum);
  }
  sums = std::move(front);
}

/// At most `limit` sums: of each stretch of costs the one of least loss, which is its last; the cheapest of all stays.
void thin(std::vector<Sum>& sums, size_t limit) {
  if (sums.size() <= limit) return;
  const double low = sums.front().cost, width = (sums.back().cost - low) / static_cast<double>(limit - 1);
  std::vector<Sum> kept{sums.front()};
  size_t stretch = 0;
  for (size_t i = 1; i < sums.size(); ++i) {
    const auto place = static_cast<size_t>((sums[i].cost - low) / width) + 1;
    if (place == stretch) kept.back() = sums[i];
    else kept.push_back(sums[i]);
    stretch = place;
  }
  sums = std::move(kept);
}

/// The least that all units from `i` on cost.
std::vector<double> least_costs(const std::vector<std::vector<RankOption>>& units) {
  std::vector<double> least(units.size() + 1, 0);
  for (size_t i = units.size(); i-- > 0;) {
    double one = std::numeric_limits<double>::infinity();
    for (const RankOption& option : units[i]) one = std::min(one, option.cost);
    least[i] = least[i + 1] + one;
  }
  return least;
}

}  // namespace

std::optional<std::vector<size_t>> allocate_ranks(const std::vector<std::vector<RankOption>>& units, double budget, size_t limit) {
  const std::vector<double> least = least_costs(units);
  const double most = budget + 1e-12 * std::abs(budget);
  if (least[0] > most) return std::nullopt;
  std::vector<std::vector<Sum>> fronts{{Sum{}}};
  for (size_t i = 0; i < units.size(); ++i) {
    std::vector<Sum> sums;
    for (size_t k = 0; k < fronts.back().size(); ++k) {
      const Sum& known = fronts.back()[k];
      for (size_t option = 0; option < units[i].size(); ++option) {
        const double cost = known.cost + units[i][option].cost;
        if (cost + least[i + 1] <= most) sums.push_back({cost, known.loss + units[i][option].loss, option, k});
      }
    }
    keep_front(sums);
    thin(sums, limit);
    if (sums.empty()) return std::nullopt;   // by rounding alone
    fronts.push_back(std::move(sums));
  }
  std::vector<size_t> chosen(units.size());
  for (size_t i = units.size(), at = fronts.back().size() - 1; i-- > 0;) {
    const Sum& sum = fronts[i + 1][at];
    chosen[i] = sum.option;
    at = sum.before;
  }
  return chosen;
}

}  // namespace niwaki
