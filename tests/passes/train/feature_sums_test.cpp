#include "passes/train/feature_sums.h"

#include "compress/train/losses.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Tensor features(int64_t rows, int64_t channels, uint64_t seed) { return at::relu(random_tensor({rows, channels}, seed)) + 3; }
Tensor rotation(int64_t size, uint64_t seed) { return std::get<0>(at::linalg_qr(random_tensor({size, size}, seed))); }

FeatureSums sums_of(const Tensor& student, const Tensor& teacher, int64_t step = 50) {
  FeatureSums sums;
  for (int64_t first = 0; first < student.size(0); first += step) {
    const int64_t count = std::min(step, student.size(0) - first);
    sums.add(*feature_rows(student.narrow(0, first, count), teacher.narrow(0, first, count), 16));
  }
  return sums;
}

/// The formula as it stands, on all rows at once.
double reference(const Tensor& student, const Tensor& teacher) {
  const auto centred = [](const Tensor& x) { const Tensor wide = x.to(at::kDouble); return wide - wide.mean(0, true); };
  const Tensor s = centred(student), t = centred(teacher);
  const auto frobenius = [](const Tensor& x) { return std::sqrt(at::square(x).sum().item<double>()); };
  return std::pow(frobenius(at::mm(s.t(), t)), 2) / (frobenius(at::mm(s.t(), s)) * frobenius(at::mm(t.t(), t)));
}

TEST(FeatureSums, AlignmentIsTheFormulaInAnyBatches) {
  const Tensor student = features(200, 7, 1), teacher = features(200, 11, 2) + student.narrow(1, 0, 1);
  EXPECT_NEAR(sums_of(student, teacher).cka(), reference(student, teacher), 1e-9);
  EXPECT_NEAR(sums_of(student, teacher, 33).cka(), reference(student, teacher), 1e-9);
}

TEST(FeatureSums, AlignmentIgnoresRotationScaleAndOffset) {
  const Tensor x = features(300, 8, 1), y = features(300, 8, 2);
  EXPECT_NEAR(sums_of(x, x).cka(), 1, 1e-9);
  EXPECT_NEAR(sums_of(x, at::mm(x, rotation(8, 5)) * 7 - 4).cka(), 1, 1e-5);
  EXPECT_NEAR(sums_of(x, at::mm(y, rotation(8, 5))).cka(), sums_of(x, y).cka(), 1e-5);
  // what is no rotation moves it, and what is unrelated has none
  EXPECT_LT(sums_of(x, x * at::tensor({9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1})).cka(), 0.9);
  EXPECT_LT(sums_of(x, y).cka(), 0.1);
  EXPECT_EQ(sums_of(x, at::full({300, 4}, 1e3)).cka(), 0);
}

TEST(FeatureSums, AProjectorRecoversARotatedTeacher) {
  const Tensor x = features(400, 6, 1), wide = at::mm(x, rotation(9, 3).narrow(0, 0, 6)) - 2;
  const Tensor projector = sums_of(x, wide).projector();
  EXPECT_EQ(projector.sizes(), (std::vector<int64_t>{9, 7}));
  const double variance = sums_of(x, wide).variance();
  const auto lost = [&](const Tensor& own) { return feature_mse(project(own, projector), wide, variance).sum.item<double>() / 400; };
  EXPECT_LT(lost(x), 1e-3);
  EXPECT_GT(lost(features(400, 6, 9)), 0.5);     // others' features do not fit
}

TEST(FeatureSums, TheVarianceIsThatOfTheTeachersChannels) {
  const Tensor x = features(500, 4, 1), y = features(500, 5, 2) * at::arange(1, 6) + at::arange(5) * 10;
  EXPECT_NEAR(sums_of(x, y).variance(), y.to(at::kDouble).var(0, false).mean().item<double>(), 1e-6);
}

TEST(FeatureSums, MapsArePooledAndProjectedWithinTheirPositions) {
  const Tensor small = random_tensor({3, 4, 2, 2}, 1);
  const Tensor large = at::repeat_interleave(at::repeat_interleave(small, 2, 2), 3, 3);
  const auto rows = feature_rows(small, large, 16);
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->student.sizes(), (std::vector<int64_t>{12, 4}));
  EXPECT_TRUE(at::allclose(rows->student, rows->teacher, 1e-5, 1e-6));
  EXPECT_EQ(feature_rows(large, large, 5)->teacher.size(0), 15);
  const Tensor projector = random_tensor({6, 5}, 4), by_hand = at::matmul(projector.narrow(1, 0, 4), small.flatten(2)) + projector.select(1, 4).reshape({1, 6, 1});
  EXPECT_TRUE(at::allclose(project(small, projector).flatten(2), by_hand, 1e-5, 1e-5));
}

TEST(FeatureSums, OtherRanksAndLengthsCannotBeCompared) {
  EXPECT_FALSE(feature_rows(random_tensor({2, 4}), random_tensor({2, 4, 3, 3}), 16));
  EXPECT_FALSE(feature_rows(random_tensor({2, 5, 4}), random_tensor({2, 6, 4}), 16));
  EXPECT_FALSE(feature_rows(random_tensor({2, 4}), random_tensor({3, 4}), 16));
  EXPECT_TRUE(feature_rows(random_tensor({2, 5, 4}), random_tensor({2, 5, 8}), 16));
}

}  // namespace
}  // namespace niwaki
