#include "passes/prune/obs_order.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

struct Case {
  Tensor rows = random_tensor({6, 12}, 1).to(at::kDouble);
  Tensor x = random_tensor({12, 40}, 2).to(at::kDouble);
  Tensor moments;
  std::vector<ObsUnit> units;                // four units of three columns

  Case() {
    x = random_tensor({12, 12}, 3).to(at::kDouble).mm(x);            // correlated
    moments = x.mm(x.t()) / 40;
    for (int64_t unit = 0; unit < 4; ++unit) units.push_back({{{0, {unit, unit + 4, unit + 8}}}});
  }
};

/// Least squares on the kept columns, ridge towards the original rows: the loss that no repair can beat.
double best_loss(const Case& c, const std::vector<int64_t>& gone, double damp) {
  const double lambda = damp * c.moments.diagonal().mean().item<double>();
  const Tensor damped = c.moments + lambda * at::eye(12, at::kDouble);
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < 12; ++i) {
    if (std::find(gone.begin(), gone.end(), i) == gone.end()) kept.push_back(i);
  }
  const Tensor k = at::tensor(kept, at::kLong);
  const Tensor part = damped.index_select(0, k);
  Tensor repaired = at::zeros_like(c.rows);
  repaired.index_copy_(1, k, at::linalg_solve(part.index_select(1, k), part.mm(c.rows.t())).t());
  const Tensor change = repaired - c.rows;
  return (change.mm(damped) * change).sum().item<double>();
}

TEST(ObsOrder, SumsOfScoresAreTheLossOfLeastSquares) {
  const Case c;
  const ObsOrder found = order_by_obs({{c.rows, c.moments}}, c.units, 3, 1e-2);
  std::vector<int64_t> gone;
  for (size_t k = 0; k < 3; ++k) {
    const auto& columns = c.units[found.order[k]].parts[0].columns;
    gone.insert(gone.end(), columns.begin(), columns.end());
    const double loss = best_loss(c, gone, 1e-2);
    EXPECT_NEAR(found.losses[k + 1], loss, 1e-8 * loss);
  }
  EXPECT_EQ(found.losses[0], 0);
}

TEST(ObsOrder, TakesTheCheapestFirst) {
  const Case c;
  const ObsOrder found = order_by_obs({{c.rows, c.moments}}, c.units, 1, 1e-2);
  double least = 1e30;
  for (const ObsUnit& unit : c.units) least = std::min(least, best_loss(c, unit.parts[0].columns, 1e-2));
  EXPECT_NEAR(found.losses[1], least, 1e-8 * least);
}

TEST(ObsOrder, FollowsAGivenOrder) {
  const Case c;
  const ObsOrder found = order_by_obs({{c.rows, c.moments}}, c.units, 2, 1e-2, {3, 1, 0, 2});
  EXPECT_EQ(found.order, (std::vector<size_t>{3, 1}));
  EXPECT_NEAR(found.losses[2], best_loss(c, {3, 7, 11, 1, 5, 9}, 1e-2), 1e-8 * found.losses[2]);
}

TEST(ObsOrder, AddsUpTheProblemsThatReadAUnit) {
  const Case c;
  const Tensor more = random_tensor({3, 12}, 8).to(at::kDouble);
  std::vector<ObsUnit> units = c.units;
  for (ObsUnit& unit : units) unit.parts.push_back({1, unit.parts[0].columns});
  const ObsOrder both = order_by_obs({{c.rows, c.moments}, {more, c.moments}}, units, 3, 1e-2);
  const ObsOrder stacked = order_by_obs({{at::cat({c.rows, more}), c.moments}}, c.units, 3, 1e-2);
  EXPECT_EQ(both.order, stacked.order);
  EXPECT_NEAR(both.losses.back(), stacked.losses.back(), 1e-9 * stacked.losses.back());
}

TEST(ObsOrder, CopiesAndDeadInputsCostNothing) {
  Case c;
  c.x.index_copy_(0, at::tensor({1, 5, 9}, at::kLong), c.x.index_select(0, at::tensor({0, 4, 8}, at::kLong)));   // unit 1 copies unit 0
  c.moments = c.x.mm(c.x.t()) / 40;
  const ObsOrder found = order_by_obs({{c.rows, c.moments}}, c.units, 2, 1e-9);
  EXPECT_LE(found.order[0], 1u);
  EXPECT_LT(found.losses[1], 1e-6 * found.losses[2]);
  c.moments.zero_();
  EXPECT_LT(order_by_obs({{c.rows, c.moments}}, c.units, 3, 1e-9).losses[3], 1e-6);
}

}  // namespace
}  // namespace niwaki
