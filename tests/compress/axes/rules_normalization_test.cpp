#include "compress/axes/axis_classes.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace niwaki {
namespace {

bool is_free(const AxisClasses& classes, ValueId value, size_t axis) {
  const auto ids = classes.axis(value, axis);
  return !ids.empty() && std::none_of(ids.begin(), ids.end(), [](ClassId id) { return id == ClassId::frozen; });
}

std::string reason_of(const AxisClasses& classes, ValueId value, size_t axis) {
  for (const FrozenAxis& one : classes.frozen()) {
    if (one.value == value && one.axis == axis) return one.reason;
  }
  return "";
}

struct Net {
  Graph graph;
  ValueId w, v;
};

/// x [2, 3, 4] * w, what `middle` does, * v.
template <typename Middle>
Net between(int64_t opset, const Middle& middle) {
  GraphBuilder b(opset);
  const ValueId w = b.random_constant("w", {4, 6}), v = b.random_constant("v", {6, 2});
  const ValueId h = b.node("MatMul", {b.input("x", {2, 3, 4}), w});
  b.output(b.node("MatMul", {middle(b, h), v}), "y");
  return {b.graph(), w, v};
}

void expect_approximate(const Net& net, const std::string& reason) {
  const AxisClasses exact(net.graph), free(net.graph, {.allow_approximate = true});
  EXPECT_FALSE(is_free(exact, net.w, 1));
  EXPECT_EQ(reason_of(exact, net.w, 1), reason);
  ASSERT_TRUE(is_free(free, net.w, 1));
  EXPECT_EQ(free.axis(net.w, 1)[2], free.axis(net.v, 0)[2]);
  EXPECT_TRUE(free.is_approximate(free.axis(net.w, 1)[2]));
  EXPECT_FALSE(exact.is_approximate(exact.axis(net.w, 1)[2]));
}

TEST(NormalizationAxisRules, LayerNormalizationIsApproximate) {
  expect_approximate(between(17, [](GraphBuilder& b, ValueId h) {
                       return b.node("LayerNormalization", {h, b.random_constant("s", {6}), b.random_constant("o", {6})}, {}, "ln");
                     }),
                     "node 'ln' (LayerNormalization) normalizes over this axis, so removing channels would be approximate");
}

ValueId mean(GraphBuilder& b, ValueId x, const std::string& name) {
  return b.node("ReduceMean", {x}, {{"axes", std::vector<int64_t>{-1}}}, name);
}

TEST(NormalizationAxisRules, NormsInSingleOperatorsAreRecognized) {
  expect_approximate(between(17, [](GraphBuilder& b, ValueId h) {
                       const ValueId square = b.node("Pow", {h, b.constant("two", at::scalar_tensor(2.0F))});
                       const ValueId size = b.node("Sqrt", {b.node("Add", {mean(b, square, "mean"), b.constant("e", at::scalar_tensor(1e-5F))})});
                       return b.node("Mul", {h, b.node("Reciprocal", {size})});
                     }),
                     "node 'mean' (ReduceMean) reduces over this axis");
}

TEST(NormalizationAxisRules, AMeanThatServesOtherEndsFreezes) {
  const Net net = between(17, [](GraphBuilder& b, ValueId h) { return b.node("Mul", {h, b.node("Sigmoid", {mean(b, h, "mean")})}); });
  EXPECT_FALSE(is_free(AxisClasses(net.graph, {.allow_approximate = true}), net.w, 1));
}

TEST(NormalizationAxisRules, GroupsStayBalanced) {
  GraphBuilder b(21);
  const ValueId w = b.random_constant("w", {6, 3, 1, 1});
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 2, 2}), w});
  const ValueId n = b.node("GroupNormalization", {h, b.random_constant("s", {6}), b.random_constant("o", {6})}, {{"num_groups", int64_t{3}}});
  b.output(b.node("Conv", {n, b.random_constant("v", {2, 6, 1, 1})}), "y");
  const AxisClasses classes(b.graph(), {.allow_approximate = true});
  ASSERT_EQ(classes.constraints().size(), 1U);
  EXPECT_EQ(classes.constraints()[0].blocks.size(), 3U);
  EXPECT_TRUE(is_free(classes, w, 0));
}

}  // namespace
}  // namespace niwaki
