#include "compress/node_work.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(NodeWork, OfConvDepthwiseAndGemm) {
  GraphBuilder b;
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 8, 8}), b.random_constant("w", {6, 3, 3, 3})});                                // 6 x 6
  const ValueId d = b.node("Conv", {h, b.random_constant("d", {6, 1, 3, 3})}, {{"group", int64_t{6}}});                                // 4 x 4
  b.output(b.node("Gemm", {b.node("Flatten", {d}), b.random_constant("v", {96, 5})}));
  const Graph graph = b.graph();
  const KnownSizes sizes = inferred_sizes(graph);
  const auto views = linear_views(graph);
  ASSERT_EQ(views.size(), 3u);
  const auto conv = linear_work(graph, views[0], sizes), depthwise = linear_work(graph, views[1], sizes), gemm = linear_work(graph, views[2], sizes);
  EXPECT_EQ(conv->kind, Work::Kind::convolution);
  EXPECT_EQ(conv->kernel, 9);
  EXPECT_EQ(conv->positions, 36);
  EXPECT_EQ(conv->inputs, 3);
  EXPECT_EQ(depthwise->kind, Work::Kind::depthwise);
  EXPECT_EQ(depthwise->groups, 6);
  EXPECT_EQ(gemm->kind, Work::Kind::gemm);
  EXPECT_EQ(gemm->rows, 1);
  EXPECT_EQ(gemm->macs, 480);
  EXPECT_FALSE(linear_work(graph, views[0], {}));
}

}  // namespace
}  // namespace niwaki
