#include "passes/factorize/low_rank.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Tensor normal(std::vector<int64_t> sizes, uint64_t seed) { return random_tensor(std::move(sizes), seed).to(at::kDouble); }

/// Correlated inputs [in, samples], with a mean.
Tensor inputs(int64_t in, int64_t samples, uint64_t seed) { return normal({in, in}, seed).mm(normal({in, samples}, seed + 1)) + 2 * normal({in, 1}, seed + 2); }

double squares(const Tensor& x) { return at::square(x).sum().item<double>(); }

double error_on(const Tensor& rows, const LowRank& found, const Tensor& x) { return squares((rows - found.last.mm(found.first)).mm(x)); }

/// The classical way: SVD of W L with H = L L^T.
double whitened_error(const Tensor& rows, const Tensor& moments, int64_t rank) {
  const auto [u, s, v] = at::linalg_svd(rows.mm(at::linalg_cholesky(moments)), false);
  return at::square(s.narrow(0, rank, s.numel() - rank)).sum().item<double>();
}

void expect_near(double got, double want, double relative) { EXPECT_NEAR(got, want, relative * std::abs(want)); }

TEST(LowRank, ErrorIsWhatWasLeftOutAndThatOfWhitenedSvd) {             // T8; more inputs than outputs, and fewer
  for (const auto& [outs, ins] : {std::pair<int64_t, int64_t>{12, 30}, {30, 12}}) {
    const Tensor rows = normal({outs, ins}, 1), x = inputs(ins, 200, 10), moments = x.mm(x.t());
    for (const int64_t rank : {1, 5, 11}) {
      const LowRank found = low_rank(rows, moments, rank);
      const double error = error_on(rows, found, x);
      expect_near(found.error, error, 1e-9);
      expect_near(error, whitened_error(rows, moments, rank), 1e-9);
      EXPECT_LT(error, 0.9 * error_on(rows, low_rank(rows, {}, rank), x));     // control: plain SVD is worse
    }
  }
}

TEST(LowRank, WithoutMomentsIsPlainSvd) {                               // T9
  const Tensor rows = normal({20, 14}, 3);
  const auto [u, s, v] = at::linalg_svd(rows, false);
  for (const int64_t rank : {1, 7, 14}) {
    const LowRank found = low_rank(rows, {}, rank);
    EXPECT_NEAR(found.error, at::square(s.narrow(0, rank, 14 - rank)).sum().item<double>(), 1e-10 * squares(rows));
    EXPECT_NEAR(squares(rows - found.last.mm(found.first)), found.error, 1e-10 * squares(rows));
  }
}

TEST(LowRank, CentredIsBetterWhereABiasTakesTheMean) {                  // T8
  const Tensor rows = normal({10, 16}, 5), x = inputs(16, 300, 20), mean = x.mean(1, true), centred = x - mean;
  const auto error = [&](const Tensor& seen) {
    const LowRank found = low_rank(rows, seen.mm(seen.t()), 4);
    const Tensor missing = rows - found.last.mm(found.first);
    return squares(missing.mm(x) - missing.mm(mean));                   // the bias takes missing * mean
  };
  EXPECT_LT(error(centred), error(x));
}

TEST(LowRank, SingularMomentsAndZeroWeightsWork) {                      // T8
  const Tensor rows = normal({18, 9}, 6), x = inputs(9, 4, 30);         // four samples of nine inputs
  const LowRank found = low_rank(rows, x.mm(x.t()), 8);
  EXPECT_EQ(found.first.size(0), 4);                                    // the others hold nothing
  EXPECT_LT(error_on(rows, found, x), 1e-16 * squares(rows.mm(x)));
  EXPECT_TRUE(at::isfinite(found.last).all().item<bool>());
  EXPECT_EQ(low_rank(at::zeros({3, 4}), at::eye(4), 2).first.size(0), 0);
  EXPECT_EQ(low_rank(at::ones({1, 1}), {}, 1).last.numel(), 1);
}

TEST(LowRank, ValuesBetweenAreBalancedAndSignsFixed) {
  const Tensor rows = normal({12, 20}, 7), x = inputs(20, 100, 40), moments = x.mm(x.t());
  const LowRank found = low_rank(rows, moments, 6);
  const Tensor sizes = at::square(found.first.mm(x)).sum(1).sqrt();
  EXPECT_NEAR(sizes.min().item<double>(), sizes.max().item<double>(), 1e-9 * sizes.max().item<double>());
  EXPECT_NEAR(found.first.norm().item<double>(), found.last.norm().item<double>(), 1e-9);
  const Tensor places = found.last.abs().argmax(0, true);
  EXPECT_TRUE((found.last.gather(0, places) > 0).all().item<bool>());
}

TEST(LowRank, SpectrumSaysWhichRankHoldsAShare) {
  const OutputSpectrum spectrum{at::tensor({8.0, 1.0, 1.0}, at::kDouble), at::eye(3, at::kDouble)};
  EXPECT_EQ(spectrum.rank_for(0.8), 1);
  EXPECT_EQ(spectrum.rank_for(0.81), 2);
  EXPECT_EQ(spectrum.rank_for(1), 3);
  EXPECT_DOUBLE_EQ(spectrum.energy(2), 0.9);
  EXPECT_DOUBLE_EQ(spectrum.energy(3), 1);
}

}  // namespace
}  // namespace niwaki
