#include "compress/axes/axis_classes.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

std::vector<ClassId> ids(const AxisClasses& classes, ValueId value, size_t axis) {
  const auto span = classes.axis(value, axis);
  return {span.begin(), span.end()};
}

bool is_frozen(const AxisClasses& classes, ValueId value, size_t axis) {
  for (const ClassId id : classes.axis(value, axis)) {
    if (id != ClassId::frozen) return false;
  }
  return true;
}

TEST(AxisClasses, TiesAResidualStream) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 3, 3, 3}), v = b.random_constant("v", {4, 4, 1, 1}), u = b.random_constant("u", {2, 4, 1, 1});
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 8, 8}), w});
  const ValueId sum = b.node("Add", {h, b.node("Conv", {h, v})});
  b.output(b.node("Conv", {sum, u}));
  const AxisClasses classes(b.graph());
  EXPECT_EQ(ids(classes, w, 0), ids(classes, v, 0));
  EXPECT_EQ(ids(classes, w, 0), ids(classes, v, 1));
  EXPECT_EQ(ids(classes, w, 0), ids(classes, u, 1));
  EXPECT_TRUE(is_frozen(classes, u, 0));
  EXPECT_TRUE(is_frozen(classes, w, 1));
  EXPECT_EQ(classes.members(classes.axis(w, 0)[2]).size(), 4U);
  EXPECT_NE(classes.axis(w, 0)[0], classes.axis(w, 0)[1]);
}

TEST(AxisClasses, AnUnknownOperatorFreezesWhatItTouches) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 3, 1, 1});
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 8, 8}), w});
  b.output(b.node("Magic", {h}, {}, "magic", "com.example"));
  b.output(h, "h2");
  const AxisClasses classes(b.graph());
  EXPECT_TRUE(is_frozen(classes, w, 0));
  ASSERT_FALSE(classes.frozen().empty());
  EXPECT_EQ(classes.frozen()[0].reason, "node 'magic' (Magic) has no rule for its axes");
  EXPECT_EQ(classes.frozen()[0].value, h);
}

TEST(AxisClasses, FollowsAChannelShuffle) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {6, 3, 1, 1}), v = b.random_constant("v", {2, 6, 1, 1});
  ValueId h = b.node("Conv", {b.input("x", {1, 3, 2, 2}), w});
  h = b.node("Gather", {h, b.constant("order", at::tensor({0, 3, 1, 4, 2, 5}, at::kLong))}, {{"axis", int64_t{1}}});
  b.output(b.node("Conv", {h, v}));
  const AxisClasses classes(b.graph());
  EXPECT_EQ(classes.axis(v, 1)[1], classes.axis(w, 0)[3]);
  EXPECT_EQ(classes.axis(v, 1)[4], classes.axis(w, 0)[2]);
}

TEST(AxisClasses, FlattensBothLayouts) {
  for (const bool nhwc : {false, true}) {
    GraphBuilder b;
    const ValueId w = b.random_constant("w", {3, 2, 1, 1}), v = b.random_constant("v", {12, 5});
    ValueId h = b.node("Conv", {b.input("x", {"N", int64_t{2}, int64_t{2}, int64_t{2}}), w});
    if (nhwc) h = b.node("Transpose", {h}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
    b.output(b.node("Gemm", {b.node("Flatten", {h}), v}));
    const AxisClasses classes(b.graph());
    const auto rows = ids(classes, w, 0), columns = ids(classes, v, 0);
    for (size_t e = 0; e < 12; ++e) EXPECT_EQ(columns[e], rows[nhwc ? e % 3 : e / 4]);
    EXPECT_NE(rows[0], ClassId::frozen);
  }
}

TEST(AxisClasses, BalancesTheGroupsOfAConv) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 3, 1, 1}), v = b.random_constant("v", {6, 2, 1, 1}), u = b.random_constant("u", {2, 6, 1, 1});
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 2, 2}), w});
  b.output(b.node("Conv", {b.node("Conv", {h, v}, {{"group", int64_t{2}}}), u}));
  const AxisClasses classes(b.graph());
  EXPECT_NE(classes.axis(w, 0)[0], classes.axis(w, 0)[2]);
  ASSERT_EQ(classes.constraints().size(), 2U);
  const auto rows = ids(classes, w, 0);
  EXPECT_EQ(classes.constraints()[0].blocks, (std::vector<std::vector<ClassId>>{{rows[0], rows[1]}, {rows[2], rows[3]}}));
  EXPECT_EQ(balanced(classes, {rows[0], rows[1], rows[2]}), (std::set<ClassId>{rows[0], rows[2]}));
  EXPECT_TRUE(balanced(classes, {rows[3]}).empty());
  for (const FrozenAxis& frozen : classes.frozen()) EXPECT_FALSE(frozen.value == v && frozen.axis == 1);
}

TEST(AxisClasses, TiesGroupsThatShareAWeight) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 3, 1, 1}), v = b.random_constant("v", {4, 2, 1, 1}), u = b.random_constant("u", {2, 4, 1, 1});
  ValueId h = b.node("Conv", {b.input("x", {1, 3, 2, 2}), w});
  for (int i = 0; i < 2; ++i) h = b.node("Conv", {h, v}, {{"group", int64_t{2}}});
  b.output(b.node("Conv", {h, u}));
  const AxisClasses classes(b.graph());
  EXPECT_TRUE(classes.constraints().empty());
  EXPECT_EQ(classes.axis(w, 0)[0], classes.axis(w, 0)[2]);
  EXPECT_EQ(classes.axis(v, 1)[1], classes.axis(w, 0)[3]);
  EXPECT_NE(classes.axis(u, 1)[0], classes.axis(u, 1)[1]);
}

TEST(AxisClasses, TiesTheGatesOfAnLstm) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {1, 12, 2}), r = b.random_constant("r", {1, 12, 3}), v = b.random_constant("v", {3, 2});
  const ValueId y = b.node("LSTM", {b.input("x", {5, 1, 2}), w, r}, {{"hidden_size", int64_t{3}}});
  b.output(b.node("MatMul", {y, v}));
  const AxisClasses classes(b.graph());
  for (size_t row = 0; row < 12; ++row) EXPECT_EQ(classes.axis(w, 1)[row], classes.axis(v, 0)[row % 3]);
  EXPECT_NE(classes.axis(v, 0)[0], ClassId::frozen);
}

}  // namespace
}  // namespace niwaki
