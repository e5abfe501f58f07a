#include "passes/prune/channel_families.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// x -> Conv a (6) -> Relu -> Conv b (4), with a group count for b.
Graph pair_of_convs(int64_t groups = 1) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.node("Conv", {b.input("x", {1, 3, 8, 8}), b.random_constant("w", {6, 3, 3, 3})}, {}, "a")});
  b.output(b.node("Conv", {h, b.random_constant("v", {4, 6 / groups, 3, 3})}, {{"group", groups}}, "b"));
  return b.graph();
}

TEST(ChannelFamilies, GatherAlikeChannelsWithTheirReaders) {
  const Graph graph = pair_of_convs();
  const ChannelFamilies found = find_channel_families(graph, AxisClasses(graph), {});
  ASSERT_EQ(found.families.size(), 1u);
  const ChannelFamily& family = found.families[0];
  EXPECT_EQ(family.width(), 6u);
  EXPECT_FALSE(family.may_vanish);
  ASSERT_EQ(family.readers.size(), 1u);
  const ChannelReader& reader = found.readers[family.readers[0]];
  EXPECT_EQ(graph.label(reader.node), "b");
  EXPECT_EQ(reader.columns.at(family.blocks[0][1]), (std::vector<int64_t>{9, 10, 11, 12, 13, 14, 15, 16, 17}));
  EXPECT_EQ(reader.rows(graph).sizes(), (std::vector<int64_t>{4, 54}));
  ASSERT_EQ(family.makers.size(), 1u);
  EXPECT_EQ(graph.label(family.makers[0].node), "a");
}

TEST(ChannelFamilies, LeaveWhatAKeptNodeTouches) {
  const Graph graph = pair_of_convs();
  const NodeId b = linear_views(graph)[1].node;
  EXPECT_TRUE(find_channel_families(graph, AxisClasses(graph), {b}).families.empty());
}

TEST(ChannelFamilies, LoseEquallyManyInEachGroup) {
  const Graph graph = pair_of_convs(2);
  const ChannelFamilies found = find_channel_families(graph, AxisClasses(graph), {});
  ASSERT_EQ(found.families.size(), 1u);
  EXPECT_EQ(found.families[0].blocks.size(), 2u);
  EXPECT_EQ(found.families[0].width(), 3u);
  EXPECT_EQ(found.families[0].readers.size(), 2u);
}

TEST(ChannelFamilies, ProductsOfActivationsAreReadersWithoutStatistics) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 5, 8});
  const ValueId q = b.node("MatMul", {x, b.random_constant("q", {8, 6})}), k = b.node("MatMul", {x, b.random_constant("k", {8, 6})});
  b.output(b.node("MatMul", {q, b.node("Transpose", {k}, {{"perm", std::vector<int64_t>{0, 2, 1}}})}));
  const Graph graph = b.graph();
  const ChannelFamilies found = find_channel_families(graph, AxisClasses(graph), {});
  ASSERT_EQ(found.families.size(), 1u);
  EXPECT_TRUE(found.families[0].has_other_readers);
  EXPECT_TRUE(found.families[0].readers.empty());
  EXPECT_EQ(found.families[0].makers.size(), 2u);
}

TEST(ChannelFamilies, MayVanishWhereOthersStay) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 3, 8, 8});
  const ValueId left = b.node("Conv", {x, b.random_constant("w", {4, 3, 1, 1})}), right = b.node("Conv", {x, b.random_constant("u", {2, 3, 1, 1})});
  b.output(b.node("Conv", {b.node("Concat", {left, right}, {{"axis", int64_t{1}}}), b.random_constant("v", {4, 6, 1, 1})}));
  const Graph graph = b.graph();
  const ChannelFamilies found = find_channel_families(graph, AxisClasses(graph), {});
  ASSERT_EQ(found.families.size(), 2u);
  // each alone on the output of its own Conv: neither may go entirely
  EXPECT_FALSE(found.families[0].may_vanish);
  EXPECT_FALSE(found.families[1].may_vanish);
}

}  // namespace
}  // namespace niwaki
