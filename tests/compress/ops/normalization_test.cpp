#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

constexpr double kGradient = 1e-6;

TEST(Normalization, GradientsAreThoseOfFiniteDifferences) {
  const Tensor x = smooth_numbers({2, 4, 3}), scale = smooth_numbers({4}, 1), bias = smooth_numbers({4}, 2);
  const Tensor mean = smooth_numbers({4}, 3), variance = at::abs(smooth_numbers({4}, 4)) + 0.5;
  EXPECT_LT(gradient_error("BatchNormalization", 15, {x, scale, bias, mean.detach(), variance.detach()}), kGradient);
  EXPECT_LT(gradient_error("BatchNormalization", 15, {x, scale, bias, mean, variance}, {{"training_mode", int64_t{1}}}), 1e-5);
  EXPECT_LT(gradient_error("GroupNormalization", 21, {x, scale, bias}, {{"num_groups", int64_t{2}}}), 1e-5);
  EXPECT_LT(gradient_error("InstanceNormalization", 6, {x, scale, bias}), 1e-5);
  EXPECT_LT(gradient_error("LayerNormalization", 17, {x, smooth_numbers({3}, 5), smooth_numbers({3}, 6)}), 1e-5);
  EXPECT_LT(gradient_error("RMSNormalization", 23, {x, smooth_numbers({3}, 5)}), 1e-5);
  EXPECT_LT(gradient_error("LRN", 13, {x}, {{"size", int64_t{3}}, {"alpha", 0.5f}}), kGradient);
  EXPECT_LT(gradient_error("LpNormalization", 22, {x}, {{"axis", int64_t{1}}}), kGradient);
  EXPECT_LT(gradient_error("MeanVarianceNormalization", 13, {smooth_numbers({2, 2, 2, 3})}), 1e-5);
}

TEST(Normalization, TrainingMovesTheStatistics) {
  const Tensor x = smooth_numbers({8, 2, 3}), ones = at::ones({2}, at::kDouble), zeros = at::zeros({2}, at::kDouble);
  const RunValues y = run_op("BatchNormalization", 15, {x, ones, zeros, zeros, ones},
                             {{"training_mode", int64_t{1}}, {"momentum", 0.75f}}, 3);
  ASSERT_EQ(y.size(), 3u);
  EXPECT_TRUE(at::allclose(y[1].tensor, x.mean({0, 2}) * 0.25));
  EXPECT_TRUE(at::allclose(y[2].tensor, ones * 0.75 + x.var({0, 2}, /*unbiased=*/false) * 0.25));
  EXPECT_LT(at::abs(y[0].tensor.mean({0, 2})).max().item<double>(), 1e-12);
}

TEST(Normalization, MixedTypesKeepTheTypeOfTheInput) {
  const Tensor x = smooth_numbers({2, 3, 4}).to(at::kHalf), ones = at::ones({3}), zeros = at::zeros({3});
  const Tensor y = run_tensor("BatchNormalization", 15, {x, ones, zeros, zeros, ones});
  EXPECT_EQ(y.scalar_type(), at::kHalf);
  EXPECT_TRUE(at::allclose(y.to(at::kFloat), x.to(at::kFloat), 1e-2, 1e-3));
}

TEST(Normalization, GroupScalesWereOnePerGroupBeforeOpset21) {
  const Tensor x = smooth_numbers({2, 4, 3}), scale = at::tensor({2.0, 3.0}), bias = at::tensor({0.0, 1.0});
  const Tensor wide = at::tensor({2.0, 2.0, 3.0, 3.0}), shift = at::tensor({0.0, 0.0, 1.0, 1.0});
  EXPECT_TRUE(at::allclose(run_tensor("GroupNormalization", 18, {x, scale, bias}, {{"num_groups", int64_t{2}}}),
                           run_tensor("GroupNormalization", 21, {x, wide, shift}, {{"num_groups", int64_t{2}}})));
}

TEST(Normalization, ZeroVectorsStayZero) {
  expect_equal(run_tensor("LpNormalization", 22, {at::zeros({2, 3})}), at::zeros({2, 3}));
}

TEST(Normalization, RefusesGroupsThatDoNotDivide) {
  EXPECT_EQ(refusal("GroupNormalization", 21, {at::ones({1, 4, 2}), at::ones({4}), at::ones({4})}, {{"num_groups", int64_t{3}}}),
            "E1108: GroupNormalization: input [1, 4, 2] in 3 groups");
}

}  // namespace
}  // namespace niwaki
