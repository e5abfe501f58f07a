#include "passes/factorize/allocate_ranks.h"

#include "compress/random.h"

#include <gtest/gtest.h>

#include <limits>

namespace niwaki {
namespace {

using Units = std::vector<std::vector<RankOption>>;

struct Total {
  double cost = 0, loss = 0;
};

Total total_of(const Units& units, const std::vector<size_t>& chosen) {
  Total sum;
  for (size_t i = 0; i < units.size(); ++i) {
    sum.cost += units[i][chosen[i]].cost;
    sum.loss += units[i][chosen[i]].loss;
  }
  return sum;
}

/// Least loss within the budget, by trying everything.
double brute_force(const Units& units, double budget, size_t i = 0, Total sum = {}) {
  if (sum.cost > budget + 1e-9) return std::numeric_limits<double>::infinity();
  if (i == units.size()) return sum.loss;
  double best = std::numeric_limits<double>::infinity();
  for (const RankOption& option : units[i]) best = std::min(best, brute_force(units, budget, i + 1, {sum.cost + option.cost, sum.loss + option.loss}));
  return best;
}

/// Dense at no loss, then a jump below break-even: no convex curve.
Units random_units(size_t count, uint64_t seed) {
  Generator generator(seed, "units");
  Units units(count);
  for (auto& unit : units) {
    const double size = 40 + static_cast<double>(generator.below(60));
    unit.push_back({size, 0});
    double loss = generator.uniform();
    for (double cost = size * 0.8; cost > 5; cost -= 5 + static_cast<double>(generator.below(15))) {
      unit.push_back({cost, loss});
      loss += generator.uniform();
    }
  }
  return units;
}

TEST(AllocateRanks, IsBruteForceForSeparableCosts) {                    // T51
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const Units units = random_units(5, seed);
    double whole = 0;
    for (const auto& unit : units) whole += unit[0].cost;
    for (const double ratio : {0.3, 0.5, 0.6, 0.9, 1.0}) {
      const double want = brute_force(units, ratio * whole);
      const auto chosen = allocate_ranks(units, ratio * whole);
      ASSERT_EQ(chosen.has_value(), std::isfinite(want));
      if (!chosen) continue;
      EXPECT_NEAR(total_of(units, *chosen).loss, want, 1e-12);
      EXPECT_LE(total_of(units, *chosen).cost, ratio * whole * (1 + 1e-9));
    }
  }
}

TEST(AllocateRanks, StaysWithinTheBudgetAndNearWhereSumsAreMerged) {
  const Units units = random_units(40, 99);
  double whole = 0;
  for (const auto& unit : units) whole += unit[0].cost;
  const auto exact = allocate_ranks(units, 0.6 * whole, 1 << 20), merged = allocate_ranks(units, 0.6 * whole, 256);
  ASSERT_TRUE(exact && merged);
  EXPECT_LE(total_of(units, *merged).cost, 0.6 * whole);
  EXPECT_LE(total_of(units, *merged).loss, 1.1 * total_of(units, *exact).loss);
  EXPECT_GE(total_of(units, *merged).loss, total_of(units, *exact).loss - 1e-12);
}

TEST(AllocateRanks, TheCheapestIsFoundWhereNothingElseFits) {
  const Units units{{{10, 0}, {4, 1}, {6, 0.5}}, {{10, 0}, {7, 2}}};
  EXPECT_EQ(*allocate_ranks(units, 11), (std::vector<size_t>{1, 1}));
  EXPECT_FALSE(allocate_ranks(units, 10.9));
  EXPECT_EQ(*allocate_ranks(units, 20), (std::vector<size_t>{0, 0}));
  EXPECT_TRUE(allocate_ranks({}, 0)->empty());
  EXPECT_EQ(*allocate_ranks(units, 11, 2), (std::vector<size_t>{1, 1}));   // merging keeps the cheapest sum
}

}  // namespace
}  // namespace niwaki
