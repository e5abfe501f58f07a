#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

Tensor number(double value) { return at::scalar_tensor(value, at::kFloat); }

TEST(Generator, RangeCountsUpAndDown) {
  expect_equal(run_tensor("Range", 11, {number(10), number(4), number(-2)}), at::tensor({10.0F, 8.0F, 6.0F}));
  EXPECT_EQ(run_tensor("Range", 11, {number(3), number(1), number(1)}).numel(), 0);
  EXPECT_THAT(refusal("Range", 11, {number(0), number(1e30), number(1)}), testing::StartsWith("E1004"));
  EXPECT_THAT(refusal("Range", 11, {number(0), number(1), number(0)}), testing::StartsWith("E1108"));
}

TEST(Generator, ConstantOfShapeRefusesBombs) {
  EXPECT_EQ(run_tensor("ConstantOfShape", 9, {at::empty({0}, at::kLong)}).dim(), 0);
  EXPECT_THAT(refusal("ConstantOfShape", 9, {at::tensor({1 << 20, 1 << 20}, at::kLong)}), testing::StartsWith("E1004"));
}

TEST(Generator, RandomNumbersFollowTheSeed) {
  const auto drawn = [](float seed) {
    return run_tensor("RandomNormal", 1, {}, {{"shape", std::vector<int64_t>{64}}, {"seed", seed}});
  };
  expect_equal(drawn(3), drawn(3));
  EXPECT_FALSE(at::equal(drawn(3), drawn(4)));
}

TEST(Generator, DropoutIsIdentityAtInference) {
  const Tensor x = at::randn({4});
  const RunValues found = run_op("Dropout", 13, {x}, {}, 2);
  expect_equal(found[0].tensor, x);
  expect_equal(found[1].tensor, at::ones({4}, at::kBool));
}

TEST(Generator, InverseTransformGivesTheSignalBack) {
  const Tensor x = at::randn({1, 16, 1});
  const Tensor y = run_tensor("DFT", 17, {x}, {{"onesided", int64_t{1}}});
  EXPECT_EQ(y.sizes(), at::IntArrayRef({1, 9, 2}));
  const Tensor back = run_tensor("DFT", 17, {y}, {{"onesided", int64_t{1}}, {"inverse", int64_t{1}}});
  EXPECT_TRUE(at::allclose(back, x, 1e-4, 1e-5));
}

}  // namespace
}  // namespace niwaki
