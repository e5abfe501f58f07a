#include "passes/prune/layer_solver.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

LayerProblem problem(int64_t groups, int64_t rows, int64_t size, uint64_t seed) {
  LayerProblem made{.weights = random_tensor({groups, rows, size}, seed).to(at::kDouble)};
  const Tensor x = random_tensor({groups, size, 4 * size}, seed + 1).to(at::kDouble);
  const Tensor mix = random_tensor({groups, size, size}, seed + 2).to(at::kDouble).bmm(x);
  made.gram = mix.bmm(mix.transpose(1, 2));
  made.wanted = made.weights;
  return made;
}
int64_t zeros(const Tensor& x) { return (x == 0).sum().item<int64_t>(); }

TEST(LayerSolver, CountsAreExactForEveryImportance) {
  for (const int64_t groups : {1, 6}) {
    LayerProblem one = problem(groups, 3, 9, 1);
    for (const Importance importance : {Importance::magnitude, Importance::wanda, Importance::sparse_gpt}) {
      for (const bool is_fitted : {false, true}) {
        one.importance = importance;
        one.refit = is_fitted;
        one.num_zeros = groups * 27 * 6 / 10;
        const LayerSolution solution = solve_layer(one);
        EXPECT_EQ(zeros(solution.weights), one.num_zeros);
        EXPECT_GT(solution.relative_error, 0);
        EXPECT_LT(solution.relative_error, 1);
        EXPECT_EQ(solution.record.num_live, is_fitted || importance == Importance::sparse_gpt ? groups * 9 : 0);
      }
    }
  }
}

TEST(LayerSolver, GroupsShareTheirZerosByLoss) {
  LayerProblem one = problem(2, 4, 9, 3);
  one.gram[0].mul_(1e4);                     // the outputs of the first group are a hundred times as large
  one.num_zeros = 36;
  const LayerSolution solution = solve_layer(one);
  EXPECT_LT(zeros(solution.weights[0]), zeros(solution.weights[1]));
}

TEST(LayerSolver, RefitHelpsAndZerosStay) {
  LayerProblem one = problem(1, 12, 40, 5);
  one.weights = at::where(random_tensor({1, 12, 40}, 9) > 1, 0.0, one.weights);
  one.wanted = one.weights + 0.01;           // asks for numbers where there are zeros
  one.num_zeros = 240;
  const LayerSolution fitted = solve_layer(one);
  one.refit = false;
  const LayerSolution plain = solve_layer(one);
  EXPECT_LT(fitted.relative_error, plain.relative_error);
  EXPECT_TRUE((fitted.weights.masked_select(one.weights == 0) == 0).all().item<bool>());
  EXPECT_EQ(zeros(fitted.weights), 240);
}

TEST(LayerSolver, PatternsHoldInEveryGroup) {
  LayerProblem one = problem(2, 3, 16, 7);
  const ColumnGroups groups = column_groups(8, 2, 4);
  one.pattern = &groups;
  one.num_kept = 2;
  for (const Importance importance : {Importance::magnitude, Importance::wanda, Importance::sparse_gpt}) {
    one.importance = importance;
    const Tensor kept = solve_layer(one).weights.reshape({2, 3, 2, 4, 2}) != 0;
    EXPECT_TRUE((kept.sum(3) == 2).all().item<bool>());
  }
}

TEST(LayerSolver, MagnitudeNeedsNoData) {
  LayerProblem one = problem(1, 4, 10, 11);
  one.gram = Tensor();
  one.importance = Importance::magnitude;
  one.num_zeros = 20;
  const LayerSolution solution = solve_layer(one);
  EXPECT_TRUE(at::equal(solution.weights, at::where(lowest_mask(one.weights.abs(), 20), one.weights, 0.0)));
}

}  // namespace
}  // namespace niwaki
