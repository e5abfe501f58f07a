#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

constexpr double kGradient = 1e-6;

TEST(Linear, GradientsAreThoseOfFiniteDifferences) {
  const Tensor a = smooth_numbers({2, 3}), b = smooth_numbers({3, 4}, 1), c = smooth_numbers({4}, 2);
  EXPECT_LT(gradient_error("Gemm", 13, {a, b, c}, {{"alpha", 0.5f}, {"beta", 2.0f}}), kGradient);
  EXPECT_LT(gradient_error("Gemm", 13, {a, b.t().contiguous(), c}, {{"transB", int64_t{1}}}), kGradient);
  EXPECT_LT(gradient_error("MatMul", 13, {smooth_numbers({2, 2, 3}), b}), kGradient);
  EXPECT_LT(gradient_error("Einsum", 12, {a, b}, {{"equation", "ij, jk -> ki"}}), kGradient);
  EXPECT_LT(gradient_error("Det", 11, {smooth_numbers({2, 3, 3})}), kGradient);
}

TEST(Linear, GemmBroadcastsItsThirdInput) {
  const Tensor a = smooth_numbers({2, 3}), b = smooth_numbers({3, 4}, 1);
  for (const auto& sizes : std::vector<std::vector<int64_t>>{{}, {1}, {4}, {2, 1}, {1, 4}, {2, 4}}) {
    const Tensor c = smooth_numbers(sizes, 2);
    EXPECT_TRUE(at::allclose(run_tensor("Gemm", 13, {a, b, c}), at::mm(a, b) + c)) << shape_text(sizes);
  }
}

TEST(Linear, GemmOfIntegersIsExact) {
  const Tensor a = at::tensor({3, -4}, at::kLong).reshape({1, 2}), b = at::tensor({5, 6}, at::kLong).reshape({2, 1});
  expect_equal(run_tensor("Gemm", 13, {a, b, at::tensor({2}, at::kLong)}), at::tensor({-7}, at::kLong).reshape({1, 1}));
}

TEST(Linear, MatMulIntegerTakesZeroPointsPerRowAndColumn) {
  const Tensor a = at::tensor({1, 2, 3, 4}).reshape({2, 2}).to(at::kByte), b = a.clone();
  const Tensor zero = at::tensor({1, 2}).to(at::kByte);
  const Tensor left = at::tensor({0, 1, 1, 2}).reshape({2, 2}), right = at::tensor({0, 0, 2, 2}).reshape({2, 2});
  const Tensor y = run_tensor("MatMulInteger", 10, {a, b, zero, zero});
  expect_equal(y, at::matmul(left.to(at::kDouble), right.to(at::kDouble)).to(at::kInt));
}

TEST(Linear, EmptyMatricesWork) {
  EXPECT_EQ(run_tensor("Gemm", 13, {at::zeros({0, 3}), at::ones({3, 2}), at::ones({2})}).numel(), 0);
  expect_equal(run_tensor("MatMul", 13, {at::ones({2, 0}), at::ones({0, 2})}), at::zeros({2, 2}));
}

TEST(Linear, GemmRefusesWhatIsNoMatrix) {
  EXPECT_EQ(refusal("Gemm", 13, {at::ones({2}), at::ones({2, 2})}), "E1108: Gemm: A [2] and B [2, 2] must be matrices");
}

}  // namespace
}  // namespace niwaki
