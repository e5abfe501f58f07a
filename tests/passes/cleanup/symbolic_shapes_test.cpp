#include "passes/cleanup/symbolic_shapes.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

ValueId ints(GraphBuilder& b, const std::string& name, std::vector<int64_t> numbers) { return b.constant(name, at::tensor(numbers, at::kLong)); }

TEST(SymbolicShapes, FollowsLengthsThroughATargetComputedFromThem) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", "T", 64});
  const ValueId n = b.node("Gather", {b.node("Shape", {x}), ints(b, "first", {0})}, {}, "n");
  const ValueId y = b.node("Reshape", {x, b.node("Concat", {n, ints(b, "rest", {-1, 8, 8})}, {{"axis", int64_t{0}}})}, {}, "y");
  const ValueId moved = b.node("Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}}, "t");
  const ValueId scores = b.node("MatMul", {moved, b.node("Transpose", {moved}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}})}, {}, "scores");
  b.output(b.node("Shape", {scores}), "out");
  const SymbolicShapes facts(b.graph());
  const SymbolicShape lengths = *facts.shape(x), found = *facts.shape(scores);
  EXPECT_EQ(found, (SymbolicShape{lengths[0], 8, lengths[1], lengths[1]}));
  EXPECT_EQ(facts.numbers(n)->front(), lengths[0]);
}

TEST(SymbolicShapes, TakesNamesOfDimensionsForNoProof) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", 3}), y = b.input("y", {"N", 4});
  b.output(b.node("Concat", {x, y}, {{"axis", int64_t{1}}}), "out");
  const SymbolicShapes facts(b.graph());
  EXPECT_NE(facts.shape(x)->front(), facts.shape(y)->front());
}

TEST(SymbolicShapes, KnowsStaticLengthsBehindOperatorsWithoutARule) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", 3, 8, 8});
  const ValueId bigger = b.node("Pad", {x, ints(b, "pads", {0, 0, 1, 1, 0, 0, 1, 1})}, {}, "pad");
  b.output(b.node("Relu", {bigger}), "out");
  const SymbolicShapes facts(b.graph());
  EXPECT_EQ((*facts.shape(bigger))[2], SymbolicInt(10));
  EXPECT_EQ((*facts.shape(bigger))[0].constant(), std::nullopt);
}

TEST(SymbolicShapes, AddsPaddingOfConvolutionsToLengths) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", 1, "T"});
  const ValueId y = b.node("Conv", {x, b.random_constant("w", {4, 1, 3})}, {{"pads", std::vector<int64_t>{2, 1}}}, "conv");
  const ValueId z = b.node("Conv", {y, b.random_constant("v", {4, 4, 3})}, {{"strides", std::vector<int64_t>{2}}}, "strided");
  b.output(z, "out");
  const SymbolicShapes facts(b.graph());
  EXPECT_EQ((*facts.shape(y))[2], *sum((*facts.shape(x))[2], 1));
  EXPECT_EQ((*facts.shape(z))[0], (*facts.shape(x))[0]);
  EXPECT_EQ((*facts.shape(z))[1], SymbolicInt(4));
  EXPECT_NE((*facts.shape(z))[2], (*facts.shape(x))[2]);
}

}  // namespace
}  // namespace niwaki
