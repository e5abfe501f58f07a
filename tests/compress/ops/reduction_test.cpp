#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;
constexpr double kGradient = 1e-6;

TEST(Reduction, GradientsAreThoseOfFiniteDifferences) {
  const Tensor x = smooth_numbers({2, 3, 4}), positive = at::abs(x) + 0.5;
  const Tensor axes = at::tensor({0, -1}, at::kLong);
  for (const char* op : {"L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"}) {
    EXPECT_LT(gradient_error(cat("Reduce", op), 18, {x, axes}), 1e-5) << op;
    EXPECT_LT(gradient_error(cat("Reduce", op), 11, {x}, {{"axes", Ints{1}}, {"keepdims", int64_t{0}}}), 1e-5) << op;
  }
  EXPECT_LT(gradient_error("ReduceLogSum", 18, {positive, axes}), kGradient);
  EXPECT_LT(gradient_error("CumSum", 14, {x, at::scalar_tensor(1, at::kLong)}, {{"exclusive", int64_t{1}}}), kGradient);
}

TEST(Reduction, WithoutAxesAllOrNothing) {
  const Tensor x = smooth_numbers({2, 3});
  expect_equal(run_tensor("ReduceSum", 13, {x}), x.sum().reshape({1, 1}));
  expect_equal(run_tensor("ReduceSum", 13, {x, at::zeros({0}, at::kLong)}, {{"noop_with_empty_axes", int64_t{1}}}), x);
}

TEST(Reduction, EmptyAxesHaveTheNeutralElement) {
  const Tensor x = at::zeros({2, 0}), axes = at::tensor({1}, at::kLong);
  const float infinity = std::numeric_limits<float>::infinity();
  expect_equal(run_tensor("ReduceMax", 18, {x, axes}), at::full({2, 1}, -infinity));
  expect_equal(run_tensor("ReduceMin", 18, {x, axes}), at::full({2, 1}, infinity));
  expect_equal(run_tensor("ReduceProd", 18, {x, axes}), at::ones({2, 1}));
  expect_equal(run_tensor("ReduceMax", 18, {x.to(at::kInt), axes}), at::full({2, 1}, std::numeric_limits<int>::min(), at::kInt));
}

TEST(Reduction, RankZeroWorks) {
  for (const char* op : {"L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"}) {
    EXPECT_EQ(run_tensor(cat("Reduce", op), 18, {at::ones({})}).dim(), 0) << op;
  }
}

TEST(Reduction, IntegersKeepTheirType) {
  const Tensor x = at::tensor({3, 4, 6}, at::kInt);
  for (const char* op : {"L2", "Mean", "Sum", "Prod", "Max"}) {
    EXPECT_EQ(run_tensor(cat("Reduce", op), 11, {x}).scalar_type(), at::kInt) << op;
  }
  EXPECT_EQ(run_tensor("ReduceMax", 13, {at::tensor({-1, 5}, at::kLong).view(at::kUInt64)}).view(at::kLong).item<int64_t>(), -1);
}

TEST(Reduction, ArgumentsOfEqualsAreFirstOrLast) {
  const Tensor x = at::tensor({1.0, 3.0, 3.0, 0.0});
  EXPECT_EQ(run_tensor("ArgMax", 13, {x}).item<int64_t>(), 1);
  EXPECT_EQ(run_tensor("ArgMax", 13, {x}, {{"select_last_index", int64_t{1}}}).item<int64_t>(), 2);
}

TEST(Reduction, RefusesAxesOutOfRange) {
  EXPECT_EQ(refusal("ReduceSum", 11, {at::ones({2})}, {{"axes", Ints{1}}}).substr(0, 18), "E1108: ReduceSum: ");
  EXPECT_EQ(refusal("ReduceSum", 11, {at::ones({2})}, {{"axes", Ints{0, -1}}}).substr(0, 18), "E1108: ReduceSum: ");
}

}  // namespace
}  // namespace niwaki
