#include "passes/prune/repair_channels.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Regression moments(const Tensor& x, const Tensor& y) {    // [T, in], [T, out]
  const Tensor a = x.unsqueeze(0).to(at::kDouble), b = y.unsqueeze(0).to(at::kDouble);
  const Tensor xx = at::bmm(a.transpose(1, 2), a), yx = at::bmm(b.transpose(1, 2), a), yy = (b * b).sum(1);
  return {xx, yx, a.sum(1), b.sum(1), yy, xx, yx, yy, x.size(0)};   // one position per sample: its mean is itself
}

struct Problem {
  Tensor x = random_tensor({400, 5}, 1) + 1.5, w = random_tensor({3, 5}, 2), bias = random_tensor({3}, 3);
  Tensor y = x.mm(w.t()) + bias;
  RegressionPair pair() const { return {moments(x.narrow(0, 0, 300), y.narrow(0, 0, 300)), moments(x.narrow(0, 300, 100), y.narrow(0, 300, 100))}; }
};

TEST(FitLinear, FindsTheMapThatMadeTheTargets) {
  const Problem problem;
  const LinearFit fit = fit_linear(problem.pair(), at::zeros({1, 3, 5}, at::kDouble), true);
  EXPECT_LT(fit.error, 1e-8);
  EXPECT_GT(fit.error_before, 0.1);
  EXPECT_LT((fit.rows[0] - problem.w).abs().max().item<double>(), 1e-3);
  EXPECT_LT((fit.bias[0] - problem.bias).abs().max().item<double>(), 1e-2);
}

TEST(FitLinear, KeepsRowsThatAreRightAlready) {
  const Problem problem;
  const Tensor rows = problem.w.to(at::kDouble).unsqueeze(0);
  const LinearFit fit = fit_linear(problem.pair(), rows, true);
  EXPECT_LT((fit.rows - rows).abs().max().item<double>(), 1e-6);
  EXPECT_LT(fit.error, 1e-10);
}

TEST(FitLinear, WithoutABiasUsesThePlainMoments) {
  Problem problem;
  problem.y = problem.x.mm(problem.w.t());
  const LinearFit fit = fit_linear(problem.pair(), at::zeros({1, 3, 5}, at::kDouble), false);
  EXPECT_LT((fit.rows[0] - problem.w).abs().max().item<double>(), 1e-3);
  EXPECT_EQ(fit.bias.abs().max().item<double>(), 0);
}

TEST(FitLinear, LeavesWeightsOfSilentInputs) {
  Problem problem;
  problem.x.select(1, 2).zero_();
  problem.y = problem.x.mm(problem.w.t());
  const Tensor rows = at::full({1, 3, 5}, 0.25, at::kDouble);
  const LinearFit fit = fit_linear(problem.pair(), rows, true);
  EXPECT_LT((fit.rows.select(2, 2) - 0.25).abs().max().item<double>(), 1e-6);
}

TEST(FitLinear, IsDrawnToTheOldRowsWhereSamplesAreFew) {
  const Tensor x = random_tensor({6, 5}, 4), noise = random_tensor({6, 3}, 5);
  const Tensor rows = random_tensor({1, 3, 5}, 6).to(at::kDouble);
  const Tensor y = x.mm(rows[0].t().to(at::kFloat)) + 3 * noise;
  const RegressionPair pair{moments(x.narrow(0, 0, 4), y.narrow(0, 0, 4)), moments(x.narrow(0, 4, 2), y.narrow(0, 4, 2))};
  const LinearFit fit = fit_linear(pair, rows, false);
  EXPECT_LE(fit.error, fit.error_before);
  EXPECT_TRUE(fit.rows.isfinite().all().item<bool>());
}

}  // namespace
}  // namespace niwaki
