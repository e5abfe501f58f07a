#include "passes/factorize/spatial_svd.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

double squares(const Tensor& x) { return at::square(x).sum().item<double>(); }
Tensor normal(std::vector<int64_t> sizes, uint64_t seed) { return random_tensor(std::move(sizes), seed).to(at::kDouble); }

/// What two factors compute together: [out, in].
Tensor product(const LowRank& two, int64_t taps) {
  const Tensor last = two.last.reshape({two.last.size(0), two.first.size(0), taps});
  return at::einsum("ors,ra->oas", {last, two.first}).reshape({two.last.size(0), -1});
}

TEST(SpatialSvd, FullRankReproducesAnyConvolution) {                    // T9: unequal strides, pads, dilations
  const Tensor weight = normal({6, 4, 3, 5}, 1), x = normal({2, 4, 21, 19}, 2);
  const SpatialFactors found = spatial_svd(weight, 100);
  const auto run = [](const Tensor& in, const Tensor& w, std::vector<int64_t> stride, std::vector<int64_t> pad, std::vector<int64_t> dilation) {
    return at::conv2d(in, w, {}, stride, pad, dilation);
  };
  const Tensor want = run(x, weight, {2, 3}, {1, 2}, {3, 2});
  const Tensor got = run(run(x, found.first, {2, 1}, {1, 0}, {3, 1}), found.last, {1, 3}, {0, 2}, {1, 2});
  EXPECT_LT(squares(got - want), 1e-20 * squares(want));
  const SpatialFactors less = spatial_svd(weight, 11);                  // control: rank 12 = 4 * 3 is full
  EXPECT_GT(squares(run(run(x, less.first, {2, 1}, {1, 0}, {3, 1}), less.last, {1, 3}, {0, 2}, {1, 2}) - want), 1e-6 * squares(want));
}

class Splits : public ::testing::TestWithParam<int64_t> {};

TEST_P(Splits, LossesAreTheErrorsOfTheFactors) {
  const int64_t taps = GetParam();
  const Tensor rows = normal({10, 36}, 3), x = normal({36, 36}, 4).mm(normal({36, 400}, 5)), weights = normal({10}, 6).abs();
  const TapSplit split(rows, x.mm(x.t()), taps, 36, weights);
  const Tensor scale = weights.unsqueeze(1);
  for (const int64_t rank : {int64_t{0}, int64_t{1}, int64_t{3}, split.num_ranks()}) {
    const LowRank two = split.at(rank);
    const double error = squares(scale * (rows - product(two, taps)).mm(x));
    EXPECT_NEAR(two.error, error, 1e-7 * split.energy());
    EXPECT_NEAR(split.losses()[static_cast<size_t>(rank)], error, 1e-7 * split.energy());
  }
  EXPECT_LT(split.losses().back(), 1e-8 * split.energy());
  for (size_t i = 1; i < split.losses().size(); ++i) EXPECT_LE(split.losses()[i], split.losses()[i - 1] + 1e-12 * split.energy());
}

TEST_P(Splits, TheLastFactorIsLeastSquares) {
  const int64_t taps = GetParam();
  const Tensor rows = normal({10, 36}, 3), x = normal({36, 36}, 4).mm(normal({36, 400}, 5));
  const TapSplit split(rows, x.mm(x.t()), taps, 36);
  LowRank two = split.at(3);
  const double best = squares((rows - product(two, taps)).mm(x));
  two.last = two.last + 1e-3 * normal({10, 3 * taps}, 8) * two.last.abs().mean();
  EXPECT_GT(squares((rows - product(two, taps)).mm(x)), best);
}

TEST_P(Splits, ThroughFewerOutputsIsTuckerTwo) {
  const int64_t taps = GetParam();
  const Tensor rows = normal({10, 36}, 3), x = normal({36, 36}, 4).mm(normal({36, 400}, 5)), weights = normal({10}, 6).abs() + 0.1;
  const TapSplit split(rows, x.mm(x.t()), taps, 36, weights);
  const int64_t rank = std::min<int64_t>(3, split.num_ranks());
  const std::vector<double> losses = split.losses_through(rank);
  for (const int64_t outs : {2, 5, 10}) {
    const TapSplit::Three three = split.through(rank, outs);
    const Tensor whole = three.last.mm(product({three.middle, three.first}, taps));
    const double error = squares(weights.unsqueeze(1) * (rows - whole).mm(x));
    EXPECT_NEAR(three.error, error, 1e-6 * split.energy());
    EXPECT_NEAR(losses[static_cast<size_t>(outs)], error, 1e-6 * split.energy());
  }
  EXPECT_NEAR(losses.back(), split.losses()[static_cast<size_t>(rank)], 1e-6 * split.energy());
}

INSTANTIATE_TEST_SUITE_P(Taps, Splits, ::testing::Values(1, 3, 9));

}  // namespace
}  // namespace niwaki
