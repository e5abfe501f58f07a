#include "compress/train/weight_mask.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(WeightMask, LeavesPlainZeros) {
  const Tensor mask = at::tensor(std::vector<int64_t>{1, 0, 0}).gt(0);
  const Tensor masked = apply_mask(at::tensor({1.5f, -0.0f, std::nanf("")}), mask);
  EXPECT_EQ(masked[0].item<float>(), 1.5f);
  EXPECT_FALSE(std::signbit(masked[1].item<float>()));
  EXPECT_EQ(masked[2].item<float>(), 0);
}

TEST(WeightMask, KeepsZerosOfPrunedMatricesOnly) {
  const Tensor dense = random_tensor({10, 20}, 1);
  const auto with_zeros = [&](int64_t count) {
    Tensor w = dense.clone();
    w.view({-1}).narrow(0, 0, count).zero_();
    return w;
  };
  GraphBuilder b;
  const ValueId full = b.constant("full", dense), one = b.constant("one", with_zeros(1)), half = b.constant("half", with_zeros(100));
  const ValueId none = b.constant("none", with_zeros(200)), bias = b.constant("bias", at::zeros({4}));
  b.output(b.node("Concat", {full, one, half, none}, {{"axis", int64_t{0}}}));
  const auto masks = masks_of_zeros(b.graph(), {full, one, half, none, bias});
  ASSERT_EQ(masks.size(), 1u);
  EXPECT_TRUE(at::equal(masks.at(half), with_zeros(100).ne(0)));
}

}  // namespace
}  // namespace niwaki
