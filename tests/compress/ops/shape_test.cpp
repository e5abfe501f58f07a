#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;
Tensor ints(const Ints& numbers) { return at::tensor(numbers, at::kLong); }

TEST(Shape, ReshapeCopiesAndInfersSizes) {
  const Tensor x = at::arange(24, at::kFloat).reshape({2, 3, 4});
  EXPECT_EQ(run_tensor("Reshape", 13, {x, ints({0, -1})}).sizes(), at::IntArrayRef({2, 12}));
  EXPECT_EQ(run_tensor("Reshape", 14, {at::empty({0, 3}), ints({3, 0})}, {{"allowzero", int64_t{1}}}).sizes(), at::IntArrayRef({3, 0}));
  EXPECT_THAT(refusal("Reshape", 13, {x, ints({5, 5})}), testing::HasSubstr("[2, 3, 4] cannot become [5, 5]"));
}

TEST(Shape, SliceTakesNegativeSteps) {
  const Tensor x = at::arange(10, at::kLong);
  expect_equal(run_tensor("Slice", 13, {x, ints({-1}), ints({-100}), ints({0}), ints({-3})}), ints({9, 6, 3, 0}));
  expect_equal(run_tensor("Slice", 13, {x, ints({2}), ints({INT64_MAX}), ints({0}), ints({4})}), ints({2, 6}));
  expect_equal(run_tensor("Slice", 9, {x}, {{"starts", Ints{1}}, {"ends", Ints{-7}}}), ints({1, 2}));
  expect_equal(run_tensor("Slice", 13, {x, ints({5}), ints({INT64_MIN}), ints({0}), ints({INT64_MIN})}), ints({5}));
}

TEST(Shape, PadRepeatsAndCrops) {
  const Tensor x = ints({1, 2, 3});
  const auto padded = [&](const char* mode) { return run_tensor("Pad", 19, {x, ints({2, 1})}, {{"mode", std::string(mode)}}); };
  expect_equal(padded("reflect"), ints({3, 2, 1, 2, 3, 2}));
  expect_equal(padded("edge"), ints({1, 1, 1, 2, 3, 3}));
  expect_equal(padded("wrap"), ints({2, 3, 1, 2, 3, 1}));
  expect_equal(run_tensor("Pad", 13, {x, ints({-1, 1}), ints({9})}), ints({2, 3, 9}));
}

TEST(Shape, SplitOfUnequalParts) {
  const RunValues parts = run_op("Split", 18, {at::arange(7, at::kLong)}, {{"num_outputs", int64_t{3}}}, 3);
  expect_equal(parts[0].tensor, ints({0, 1, 2}));
  expect_equal(parts[2].tensor, ints({6}));
  EXPECT_THAT(refusal("Split", 13, {at::arange(7, at::kLong), ints({7, 7})}), testing::HasSubstr("E1108"));
}

TEST(Shape, TypesWithoutKernelsAreMoved) {
  const Tensor x = ints({1, 65535, 7}).to(at::kUInt16);
  expect_equal(run_tensor("Transpose", 21, {run_tensor("Concat", 21, {x, x}, {{"axis", int64_t{0}}})}), ints({1, 65535, 7, 1, 65535, 7}).to(at::kUInt16));
}

TEST(Shape, BombsAreRefused) {
  EXPECT_THAT(refusal("Expand", 13, {at::ones({1}), ints({1 << 20, 1 << 20})}), testing::StartsWith("E1004"));
  EXPECT_THAT(refusal("Tile", 13, {at::ones({2}), ints({int64_t{1} << 40})}), testing::StartsWith("E1004"));
}

TEST(Shape, GradientsFlow) {
  EXPECT_LT(gradient_error("Pad", 13, {smooth_numbers({2, 4}), ints({1, 2, 0, 1})}, {{"mode", std::string("reflect")}}), 1e-6);
  EXPECT_LT(gradient_error("Slice", 13, {smooth_numbers({6}), ints({5}), ints({0}), ints({0}), ints({-2})}), 1e-6);
  EXPECT_LT(gradient_error("DepthToSpace", 13, {smooth_numbers({1, 4, 2, 2})}, {{"blocksize", int64_t{2}}}), 1e-6);
}

}  // namespace
}  // namespace niwaki
