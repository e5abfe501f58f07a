#include "passes/prune/constant_channels.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(ConstantChannels, FollowsAZeroRowThroughFunctionsAndPadding) {
  GraphBuilder b;
  Tensor w = random_tensor({3, 2, 1, 1}, 1);
  w[1].zero_();
  const ValueId h = b.node("Conv", {b.input("x", {1, 2, 4, 4}), b.constant("w", w), b.constant("b", at::tensor({1.0F, -2.0F, 3.0F}))});
  const ValueId relu = b.node("Relu", {h}), shifted = b.node("Add", {relu, b.constant("c", at::full({1}, 0.5F))});
  const ValueId padded = b.node("Pad", {shifted, b.constant("p", at::tensor({0, 0, 1, 1, 0, 0, 1, 1}, at::kLong))});
  b.output(padded);
  const auto found = constant_channels(b.graph());
  EXPECT_EQ(found.at(h).numbers[1], -2.0);
  EXPECT_FALSE(found.at(h).numbers[0].has_value());
  EXPECT_EQ(found.at(relu).numbers[1], 0.0);
  EXPECT_EQ(found.at(shifted).numbers[1], 0.5);
  EXPECT_FALSE(found.contains(padded));
}

TEST(ConstantChannels, CountsNegligibleWeightsAsZeroWhenAsked) {
  GraphBuilder b;
  Tensor w = at::ones({2, 2, 1, 1});
  w[1].fill_(1e-30);
  const ValueId h = b.node("Conv", {b.input("x", {1, 2, 4, 4}), b.constant("w", w)});
  b.output(h);
  EXPECT_TRUE(constant_channels(b.graph()).empty());
  EXPECT_EQ(constant_channels(b.graph(), 1e-20).at(h).numbers[1], 0.0);
}

}  // namespace
}  // namespace niwaki
