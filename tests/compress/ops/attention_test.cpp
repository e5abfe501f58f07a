#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

const Attributes kCausal{{"is_causal", int64_t{1}}};

TEST(Attention, GradientsAreThoseOfFiniteDifferences) {
  const Tensor q = smooth_numbers({1, 2, 3, 4}), k = smooth_numbers({1, 2, 3, 4}, 1), v = smooth_numbers({1, 2, 3, 2}, 2);
  EXPECT_LT(gradient_error("Attention", 23, {q, k, v}, kCausal), 1e-6);
  EXPECT_LT(gradient_error("RotaryEmbedding", 23, {q, smooth_numbers({1, 3, 2}, 3), smooth_numbers({1, 3, 2}, 4)}), 1e-6);
}

TEST(Attention, IsSoftmaxOfProductsTimesValues) {
  const Tensor q = smooth_numbers({2, 2, 3, 4}), k = smooth_numbers({2, 2, 5, 4}, 1), v = smooth_numbers({2, 2, 5, 6}, 2);
  const Tensor wanted = at::matmul(at::softmax(at::matmul(q, k.transpose(-1, -2)) / 2, -1), v);
  EXPECT_TRUE(at::allclose(run_tensor("Attention", 23, {q, k, v}), wanted));
}

TEST(Attention, CausalRowsSeeNothingLater) {
  const Tensor q = smooth_numbers({1, 1, 3, 4}), k = smooth_numbers({1, 1, 3, 4}, 1), v = smooth_numbers({1, 1, 3, 2}, 2);
  const Tensor y = run_tensor("Attention", 23, {q, k, v}, kCausal);
  EXPECT_TRUE(at::allclose(y.select(2, 0), v.select(2, 0)));
}

TEST(Attention, ARowWithoutKeysIsZero) {
  const Tensor x = smooth_numbers({1, 1, 2, 4});
  const Tensor mask = at::tensor({0, 0, 1, 1}).reshape({2, 2}).to(at::kBool);
  const Tensor y = run_tensor("Attention", 23, {x, x, x, mask});
  expect_equal(y.select(2, 0), at::zeros({1, 1, 4}, at::kDouble));
  EXPECT_FALSE(y.isnan().any().item<bool>());
}

TEST(Attention, RefusesHeadsThatDoNotDivide) {
  const Tensor q = at::ones({1, 3, 2, 4}), k = at::ones({1, 2, 2, 4});
  EXPECT_EQ(refusal("Attention", 23, {q, k, k}), "E1108: Attention: 3 heads of queries for 2 of keys");
}

}  // namespace
}  // namespace niwaki
