#include "compress/ops/numeric.h"

#include "compress/error.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Numeric, AxesCountFromTheFront) {
  Node node;
  node.op = "ReduceSum";
  node.attributes["axes"] = std::vector<int64_t>{-1, 0};
  const OpCall call{node, 11, {}, {}};
  EXPECT_EQ(normal_axes(call, 1, 3), (std::vector<int64_t>{2, 0}));
  EXPECT_EQ(normal_axis(call, -1, 0), 0);
  EXPECT_THROW(normal_axis(call, 3, 3), ModelError);
}

TEST(Numeric, WidensTypesWithoutKernels) {
  EXPECT_EQ(widened(at::ones({2}).to(at::kUInt32)).scalar_type(), at::kLong);
  EXPECT_EQ(widened(at::ones({2}).to(at::kFloat8_e5m2)).scalar_type(), at::kFloat);
  EXPECT_EQ(widened(at::ones({2}, at::kByte)).scalar_type(), at::kByte);
  EXPECT_EQ(at_least_float32(at::ones({2}, at::kHalf)).scalar_type(), at::kFloat);
}

TEST(Numeric, OnlyNumbersWithoutGradientAreConstant) {
  EXPECT_EQ(constant_scalar(at::full({1}, 2.5), 1)->toDouble(), 2.5);
  EXPECT_FALSE(constant_scalar(at::full({1}, 2.5), 0));
  EXPECT_FALSE(constant_scalar(at::ones({2}), 1));
  EXPECT_FALSE(constant_scalar(at::ones({}).set_requires_grad(true), 0));
}

}  // namespace
}  // namespace niwaki
