#include "passes/quantize/range_estimator.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <cmath>

namespace niwaki {
namespace {

Histogram histogram_of(const Tensor& numbers) {
  Histogram histogram;
  histogram.add(numbers);
  return histogram;
}
/// Many small numbers, and a few that are 30 times as large.
Tensor heavy_tail() {
  const Tensor numbers = random_tensor({20000}, 1);
  return at::where(random_tensor({20000}, 2) > 3.2, numbers * 30, numbers);
}
Tensor uniform() { return at::linspace(-1, 1, 20001, at::kFloat); }

EstimatedRange estimate(const Tensor& numbers, RangeEstimator estimator, int bits = 8, bool is_symmetric = false, double percentile = 99.9) {
  return estimate_range(histogram_of(numbers), estimator, percentile, bits, is_symmetric);
}

/// Squared error of numbers on the grid of `bits` that covers the range.
double error_of(const Tensor& numbers, const EstimatedRange& range, int bits, bool is_symmetric) {
  const ActivationGrid grid = grid_of(range, bits, is_symmetric);
  const Tensor codes = (at::round(numbers / grid.scale) + grid.zero_point).clamp(0, std::ldexp(1.0, bits) - 1);
  return ((codes - grid.zero_point) * grid.scale - numbers).to(at::kDouble).square().sum().item<double>();
}

constexpr RangeEstimator kAll[] = {RangeEstimator::min_max, RangeEstimator::percentile, RangeEstimator::mse, RangeEstimator::entropy};

TEST(RangeEstimator, EveryRangeContainsZeroAndStaysInside) {
  for (const RangeEstimator estimator : kAll) {
    for (const bool is_symmetric : {false, true}) {
      for (const Tensor& numbers : {heavy_tail(), heavy_tail().abs(), -heavy_tail().abs(), uniform() + 5, uniform() - 5, at::full({9}, 3.0f)}) {
        for (const int bits : {4, 8}) {
          const EstimatedRange range = estimate(numbers, estimator, bits, is_symmetric);
          const double least = std::min(0.0, numbers.min().item<double>()), most = std::max(0.0, numbers.max().item<double>());
          EXPECT_LE(range.low, 0);
          EXPECT_GE(range.high, 0);
          EXPECT_GT(range.high - range.low, 0);
          EXPECT_GE(range.clipped, 0);
          EXPECT_LE(range.clipped, 1);
          EXPECT_TRUE(!is_symmetric || range.low == -range.high);
          const double reach = std::max(-least, most) * 1.0001;
          EXPECT_GE(range.low, is_symmetric ? -reach : least * 1.0001);
          EXPECT_LE(range.high, is_symmetric ? reach : most * 1.0001);
        }
      }
    }
  }
}

TEST(RangeEstimator, MinMaxIsExact) {
  const Tensor numbers = heavy_tail();
  const EstimatedRange range = estimate(numbers, RangeEstimator::min_max);
  EXPECT_EQ(range.low, numbers.min().item<float>());
  EXPECT_EQ(range.high, numbers.max().item<float>());
  EXPECT_EQ(range.clipped, 0);
}

TEST(RangeEstimator, MseIsNeverWorseThanMinMax) {
  for (const bool is_symmetric : {false, true}) {
    for (const int bits : {4, 8}) {
      for (const Tensor& numbers : {heavy_tail(), heavy_tail().abs(), uniform(), random_tensor({9999}, 7).square()}) {
        const double by_mse = error_of(numbers, estimate(numbers, RangeEstimator::mse, bits, is_symmetric), bits, is_symmetric);
        const double by_min_max = error_of(numbers, estimate(numbers, RangeEstimator::min_max, bits, is_symmetric), bits, is_symmetric);
        EXPECT_LE(by_mse, by_min_max * 1.02) << bits << is_symmetric;   // bins are as wide as an eighth of a code
      }
    }
  }
  const Tensor numbers = heavy_tail();
  EXPECT_LT(error_of(numbers, estimate(numbers, RangeEstimator::mse, 4), 4, false), 0.9 * error_of(numbers, estimate(numbers, RangeEstimator::min_max, 4), 4, false));
}

TEST(RangeEstimator, EntropyClipsTailsAndKeepsUniformNumbers) {
  const Tensor tail = heavy_tail();
  for (const bool is_symmetric : {false, true}) {
    EXPECT_LT(estimate(tail, RangeEstimator::entropy, 4, is_symmetric).high, 0.5 * tail.max().item<double>());
    EXPECT_NEAR(estimate(uniform(), RangeEstimator::entropy, 8, is_symmetric).high, 1.0, 0.02);
    EXPECT_NEAR(estimate(uniform(), RangeEstimator::entropy, 8, is_symmetric).low, -1.0, 0.02);
  }
}

TEST(RangeEstimator, PercentileCutsItsShare) {
  const Tensor numbers = heavy_tail();
  for (const Tensor& each : {numbers, numbers.abs(), uniform(), uniform().abs()}) {
    for (const bool is_symmetric : {false, true}) {
      const EstimatedRange range = estimate(each, RangeEstimator::percentile, 8, is_symmetric, 99.0);
      const double outside = ((each < range.low).logical_or(each > range.high)).to(at::kDouble).mean().item<double>();
      EXPECT_LE(outside, 0.0101);
      const double bin = histogram_of(each).edge(1) - histogram_of(each).edge(0);
      const EstimatedRange inner{range.low + 3 * bin, range.high - 3 * bin};
      const bool is_positive = each.min().item<double>() >= 0;
      const double more = ((each < (is_positive ? -1.0 : inner.low)).logical_or(each > inner.high)).to(at::kDouble).mean().item<double>();
      EXPECT_GT(more, 0.009) << is_symmetric;           // and not much less than its share
    }
  }
}

TEST(RangeEstimator, ClippedIsTheShareOutside) {
  const Tensor numbers = heavy_tail();
  const EstimatedRange range = estimate(numbers, RangeEstimator::mse, 4);
  const double outside = ((numbers < range.low).logical_or(numbers > range.high)).to(at::kDouble).mean().item<double>();
  EXPECT_GT(outside, 0);
  EXPECT_NEAR(range.clipped, outside, 2e-3);
}

TEST(RangeEstimator, NothingAndZeros) {
  for (const RangeEstimator estimator : kAll) {
    EXPECT_EQ(estimate_range(Histogram(), estimator, 99, 8, false).high, 0);
    const EstimatedRange zeros = estimate(at::zeros({5}), estimator);
    EXPECT_EQ(grid_of(zeros, 8, false).scale, 1);
    EXPECT_EQ(grid_of(zeros, 8, false).zero_point, 0);
  }
}

TEST(GridOf, ZeroIsACode) {
  for (const EstimatedRange& range : {EstimatedRange{-1, 3}, EstimatedRange{0, 6}, EstimatedRange{-5, 0}, EstimatedRange{-0.3, 1e-3}}) {
    const ActivationGrid grid = grid_of(range, 8, false);
    EXPECT_NEAR(grid.scale, (range.high - range.low) / 255, 1e-7);
    EXPECT_GE(grid.zero_point, 0);
    EXPECT_LE(grid.zero_point, 255);
    EXPECT_NEAR((0 - grid.zero_point) * grid.scale, range.low, grid.scale);
    EXPECT_NEAR((255 - grid.zero_point) * grid.scale, range.high, grid.scale);
  }
  EXPECT_EQ(grid_of({0, 6}, 8, false).zero_point, 0);
}

TEST(GridOf, SymmetricGridsHave128InTheMiddle) {
  const ActivationGrid grid = grid_of({-2, 2}, 8, true);
  EXPECT_EQ(grid.zero_point, 128);
  EXPECT_FLOAT_EQ(grid.scale, 2.0f / 127);
}

TEST(GridOf, RangesTooSmallToDivideGetScaleOne) {
  EXPECT_EQ(grid_of({0, 1e-40}, 8, false).scale, 1);
  EXPECT_EQ(grid_of({0, INFINITY}, 8, false).scale, 1);
}

}  // namespace
}  // namespace niwaki
