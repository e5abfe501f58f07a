#include "compress/axes/axis_classes.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <set>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

size_t num_free(const AxisClasses& classes, ValueId value, size_t axis) {
  const auto ids = classes.axis(value, axis);
  std::set<ClassId> found(ids.begin(), ids.end());
  found.erase(ClassId::frozen);
  return found.size();
}

ValueId ints(GraphBuilder& b, const std::string& name, Ints numbers) { return b.constant(name, at::tensor(numbers, at::kLong)); }

struct Attention {
  Graph graph;
  ValueId q, k, v, out;
};

/// Four heads of 3 over two groups of keys, on [N, T, 5]; [0, -1, heads, 3] targets.
Attention attention() {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", "T", int64_t{5}});
  Attention a{{}, b.random_constant("q", {5, 12}), b.random_constant("k", {5, 6}), b.random_constant("v", {5, 6}), b.random_constant("o", {12, 5})};
  const auto heads = [&](ValueId w, int64_t count, Ints perm) {
    const ValueId split = b.node("Reshape", {b.node("MatMul", {x, w}), ints(b, "s", {0, -1, count, 3})});
    return b.node("Transpose", {split}, {{"perm", perm}});
  };
  const auto repeat = [&](ValueId h, Ints wide, Ints target) {
    const ValueId grown = b.node("Expand", {b.node("Unsqueeze", {h, ints(b, "a", {2})}), ints(b, "e", wide)});
    return b.node("Reshape", {grown, ints(b, "r", target)});
  };
  const ValueId queries = heads(a.q, 4, {0, 2, 1, 3});
  const ValueId keys = repeat(heads(a.k, 2, {0, 2, 3, 1}), {1, 1, 2, 1, 1}, {0, 4, 3, -1});
  const ValueId numbers = repeat(heads(a.v, 2, {0, 2, 1, 3}), {1, 1, 2, 1, 1}, {0, 4, -1, 3});
  const ValueId shares = b.node("Softmax", {b.node("MatMul", {queries, keys})}, {{"axis", int64_t{-1}}});
  const ValueId mixed = b.node("Transpose", {b.node("MatMul", {shares, numbers})}, {{"perm", Ints{0, 2, 1, 3}}});
  b.output(b.node("MatMul", {b.node("Reshape", {mixed, ints(b, "f", {0, -1, 12})}), a.out}), "y");
  a.graph = b.graph();
  return a;
}

TEST(ReshapeAxisRules, HeadsLoseTheSameFeatures) {
  const Attention a = attention();
  const AxisClasses classes(a.graph);
  EXPECT_EQ(num_free(classes, a.q, 1), 3U);
  EXPECT_EQ(num_free(classes, a.v, 1), 3U);
  EXPECT_EQ(classes.axis(a.q, 1)[4], classes.axis(a.k, 1)[1]);
  EXPECT_EQ(classes.axis(a.v, 1)[5], classes.axis(a.out, 0)[11]);
  EXPECT_NE(classes.axis(a.q, 1)[0], classes.axis(a.v, 1)[0]);
}

TEST(ReshapeAxisRules, WholeHeadsFollowTheirGroup) {
  const Attention a = attention();
  const AxisClasses classes(a.graph, {.whole_heads = true});
  EXPECT_EQ(num_free(classes, a.q, 1), 2U);  // heads 0 and 1 read group 0
  EXPECT_EQ(classes.axis(a.q, 1)[5], classes.axis(a.k, 1)[0]);
  EXPECT_EQ(classes.axis(a.q, 1)[6], classes.axis(a.k, 1)[3]);
  EXPECT_EQ(classes.axis(a.out, 0)[7], classes.axis(a.v, 1)[4]);
}

TEST(ReshapeAxisRules, FreezesWhatRegroupsWithUnknownLengths) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 6});
  const ValueId h = b.node("MatMul", {b.input("x", {"N", "T", int64_t{4}}), w});
  b.output(b.node("Reshape", {h, ints(b, "s", {0, -1})}), "y");
  EXPECT_EQ(num_free(AxisClasses(b.graph()), w, 1), 0U);
}

TEST(ReshapeAxisRules, FollowsTargetsThatTheGraphComputes) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 6}), v = b.random_constant("v", {3, 2});
  const ValueId x = b.input("x", {"N", int64_t{4}});
  const ValueId batch = b.node("Slice", {b.node("Shape", {x}), ints(b, "i", {0}), ints(b, "j", {1})});
  const ValueId h = b.node("Reshape", {b.node("MatMul", {x, w}), b.node("Concat", {batch, ints(b, "t", {2, 3})}, {{"axis", int64_t{0}}})});
  b.output(b.node("MatMul", {h, v}), "y");
  const AxisClasses classes(b.graph());
  EXPECT_EQ(num_free(classes, w, 1), 3U);
  EXPECT_EQ(classes.axis(w, 1)[4], classes.axis(v, 0)[1]);
  EXPECT_EQ(classes.computed_targets().size(), 1U);
}

TEST(ReshapeAxisRules, FreezesAxesWhoseLengthIsANumberOfTheModel) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 6});
  const ValueId h = b.node("MatMul", {b.input("x", {"N", int64_t{4}}), w});
  const ValueId length = b.node("Gather", {b.node("Shape", {h}), ints(b, "i", {1})});
  const ValueId y = b.node("MatMul", {h, b.random_constant("v", {6, 2})});
  b.output(b.node("Div", {y, b.node("Cast", {length}, {{"to", int64_t{1}}}, "cast")}), "y");
  const AxisClasses classes(b.graph());
  EXPECT_EQ(num_free(classes, w, 1), 0U);
  bool is_named = false;
  for (const FrozenAxis& one : classes.frozen()) is_named |= one.value == w && one.reason == "node 'cast' (Cast) computes with the length of this axis";
  EXPECT_TRUE(is_named);
}

TEST(ReshapeAxisRules, ConstantFillsFollowTheirReaders) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 6}), v = b.random_constant("v", {6, 2});
  const ValueId zeros = b.node("ConstantOfShape", {ints(b, "s", {2, 6})});
  const ValueId h = b.node("Concat", {b.node("MatMul", {b.input("x", {3, 4}), w}), zeros}, {{"axis", int64_t{0}}});
  b.output(b.node("MatMul", {h, v}), "y");
  const AxisClasses classes(b.graph());
  EXPECT_EQ(num_free(classes, w, 1), 6U);
  EXPECT_EQ(classes.axis(zeros, 1)[3], classes.axis(v, 0)[3]);
}

}  // namespace
}  // namespace niwaki
