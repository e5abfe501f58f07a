#include "passes/prune/allocation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace niwaki {
namespace {

/// loss = scale * (zeros / size)^2, at every tenth.
LossCurve square(int64_t size, double scale) {
  LossCurve curve;
  for (int64_t i = 0; i <= 10; ++i) {
    curve.zeros.push_back(size * i / 10);
    curve.loss.push_back(scale * std::pow(static_cast<double>(i) / 10, 2));
  }
  return curve;
}

double total_loss(const std::vector<LossCurve>& curves, const std::vector<int64_t>& zeros) {
  double sum = 0;
  for (size_t i = 0; i < curves.size(); ++i) sum += loss_at(curves[i], zeros[i]);
  return sum;
}

TEST(Allocation, SumIsExactAndNotWorseThanEqualShares) {
  const std::vector<LossCurve> curves = {square(1000, 1), square(100, 5), square(3000, 0.1)};
  for (const int64_t total : {0, 1, 417, 2050, 4099, 4100}) {
    const auto zeros = allocate_zeros(curves, total);
    EXPECT_EQ(std::accumulate(zeros.begin(), zeros.end(), int64_t{0}), total);
    std::vector<int64_t> equal;
    for (const LossCurve& curve : curves) equal.push_back(curve.zeros.back() * total / 4100);
    EXPECT_LE(total_loss(curves, zeros), total_loss(curves, equal) + 0.01);   // equal shares are rounded down
  }
}

TEST(Allocation, IsTheBestOnTheGrid) {                      // T47, T51
  const std::vector<LossCurve> curves = {square(10, 1), square(10, 3), square(10, 0.2)};
  for (int64_t total = 0; total <= 30; ++total) {
    double best = 1e9;
    for (int64_t a = 0; a <= 10; ++a) {
      for (int64_t b = 0; b <= 10; ++b) {
        const int64_t c = total - a - b;
        if (c >= 0 && c <= 10) best = std::min(best, total_loss(curves, {a, b, c}));
      }
    }
    EXPECT_NEAR(total_loss(curves, allocate_zeros(curves, total)), best, 1e-12) << total;
  }
}

TEST(Allocation, ConcaveStretchesAreTakenWhole) {
  const LossCurve step{{0, 5, 10}, {0, 9, 10}};             // the second half costs less than the first
  const LossCurve line{{0, 10}, {0, 12}};
  EXPECT_EQ(allocate_zeros({step, line}, 10), (std::vector<int64_t>{10, 0}));
  EXPECT_EQ(allocate_zeros({step, line}, 25), (std::vector<int64_t>{10, 10}));
  EXPECT_DOUBLE_EQ(loss_at(step, 7), 9.4);
  EXPECT_EQ(loss_at({}, 3), 0);
}

}  // namespace
}  // namespace niwaki
