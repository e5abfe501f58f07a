#include "passes/prune/channel_costs.h"

#include "compress/node_work.h"
#include "passes/prune/slice_classes.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// Predicted costs equal those of the graph that is really cut.
void expect_exact(const Graph& graph, const std::vector<int64_t>& removed) {
  const AxisClasses classes(graph);
  const ChannelFamilies found = find_channel_families(graph, classes, {});
  ASSERT_EQ(found.families.size(), removed.size());
  const auto macs = mac_terms(graph, classes, found.families, inferred_sizes(graph)), weights = weight_terms(graph, classes, found.families);
  const std::vector<int64_t> none(removed.size(), 0);
  EXPECT_DOUBLE_EQ(cost_of(macs, none), total_macs(graph, inferred_sizes(graph)));
  std::set<ClassId> gone;
  for (size_t i = 0; i < removed.size(); ++i) {
    for (const auto& block : found.families[i].blocks) gone.insert(block.begin(), block.begin() + removed[i]);
  }
  Graph cut = graph;
  slice_classes(cut, classes, gone);
  EXPECT_NEAR(cost_of(macs, removed), total_macs(cut, inferred_sizes(cut)), 1e-6);
  double numbers = 0;
  std::set<ValueId> seen;
  for (const LinearView& view : linear_views(cut)) {
    for (const ValueId id : {view.weight, view.bias}) {
      if (id != ValueId::absent && seen.insert(id).second) numbers += static_cast<double>(element_count(*cut.constant(id)));
    }
  }
  EXPECT_NEAR(cost_of(weights, removed), numbers, 1e-6);
}

TEST(ChannelCosts, OfAChainWithADepthwiseConv) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.node("Conv", {b.input("x", {1, 3, 8, 8}), b.random_constant("w", {6, 3, 3, 3}), b.random_constant("b", {6})})});
  const ValueId d = b.node("Conv", {h, b.random_constant("d", {6, 1, 3, 3})}, {{"group", int64_t{6}}});
  b.output(b.node("Conv", {d, b.random_constant("v", {4, 6, 1, 1})}));
  expect_exact(b.graph(), {2});
}

TEST(ChannelCosts, OfAFlattenedImage) {
  GraphBuilder b;
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 4, 4}), b.random_constant("w", {6, 3, 3, 3})});
  const ValueId g = b.node("Gemm", {b.node("Flatten", {h}), b.random_constant("v", {24, 5}), b.random_constant("c", {5})});
  b.output(b.node("Gemm", {g, b.random_constant("u", {5, 2})}));
  expect_exact(b.graph(), {3, 2});
}

TEST(ChannelCosts, OfGroups) {
  GraphBuilder b;
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 8, 8}), b.random_constant("w", {8, 3, 1, 1})});
  b.output(b.node("Conv", {h, b.random_constant("v", {4, 4, 3, 3})}, {{"group", int64_t{2}}}));
  expect_exact(b.graph(), {1});
}

TEST(ChannelCosts, TimeOfAConvCountsBlocksOfSixteen) {
  GraphBuilder b;
  const ValueId h = b.node("Conv", {b.input("x", {1, 16, 8, 8}), b.random_constant("w", {40, 16, 3, 3})});
  b.output(b.node("Conv", {h, b.random_constant("v", {16, 40, 1, 1})}));
  const Graph graph = b.graph();
  const AxisClasses classes(graph);
  const ChannelFamilies found = find_channel_families(graph, classes, {});
  ASSERT_EQ(found.families.size(), 1u);
  const auto time = time_terms(graph, classes, found.families, inferred_sizes(graph));
  EXPECT_EQ(cost_of(time, {7}), cost_of(time, {0}));      // 33 channels take the three blocks of 40
  EXPECT_LT(cost_of(time, {8}), 0.8 * cost_of(time, {0}));
  const KnownSizes sizes = inferred_sizes(graph);
  double whole = 0;
  for (const LinearView& view : linear_views(graph)) whole += float_cost_us(*linear_work(graph, view, sizes));
  EXPECT_NEAR(cost_of(time, {0}), whole, 1e-9);
}

}  // namespace
}  // namespace niwaki
