#include "passes/prune/remove_dead_channels.h"

#include "compress/error.h"
#include "compress/graph_text.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

struct Net {
  Tensor w = random_tensor({6, 3, 3, 3}, 1), b = random_tensor({6}, 2), v = random_tensor({4, 6, 3, 3}, 3);
  Ints pads = {1, 1, 1, 1};
  std::string activation = "Relu";
  Graph graph() const {
    GraphBuilder builder;
    const ValueId h = builder.node("Conv", {builder.input("x", {1, 3, 8, 8}), builder.constant("w", w), builder.constant("b", b)}, {}, "first");
    const ValueId a = builder.node(activation, {h});
    builder.output(builder.node("Conv", {a, builder.constant("v", v)}, {{"pads", pads}}, "second"), "y");
    return builder.graph();
  }
};

int64_t channels(const Graph& graph, const std::string& name) { return graph.constant(*graph.find_value(name))->sizes[0]; }

Applied removed(const Net& net, int64_t expected) {
  const Applied applied = apply_pass("remove_dead_channels", net.graph());
  EXPECT_EQ(channels(applied.after, "w"), expected);
  const Tensor x = random_tensor({1, 3, 8, 8}, 9);
  EXPECT_LT(relative_difference(run_graph(applied.after, {x}).front(), run_graph(applied.before, {x}).front()), 1e-6);
  EXPECT_FALSE(apply_pass("remove_dead_channels", applied.after).report.changed);
  return applied;
}

TEST(RemoveDeadChannels, RemovesUnreadChannels) {
  Net net;
  net.v.select(1, 2).zero_();
  const Applied applied = removed(net, 5);
  EXPECT_EQ(applied.report.nodes[0].metrics["outputs_after"], 5);
  EXPECT_EQ(applied.report.reason("second"), "every output channel is alive, or one that cannot be removed");
}

TEST(RemoveDeadChannels, KeepsFewChannelsThatWouldBreakABlock) {
  Net net;
  net.w = random_tensor({32, 3, 3, 3}, 1);
  net.b = random_tensor({32}, 2);
  net.v = random_tensor({4, 32, 3, 3}, 3);
  net.v.slice(1, 5, 8).zero_();
  EXPECT_FALSE(removed(net, 32).report.changed);
  net.v.slice(1, 8, 9).zero_();              // four: a multiple of 4 is left
  removed(net, 28);
}

TEST(RemoveDeadChannels, RemovesANegativeConstantUnderRelu) {
  Net net;
  net.w[3].zero_();
  net.b[3] = -1;
  removed(net, 5);
}

TEST(RemoveDeadChannels, KeepsAPositiveConstantBesidePadding) {
  Net net;
  net.w[3].zero_();
  net.b[3] = 1;
  EXPECT_FALSE(removed(net, 6).report.changed);
}

TEST(RemoveDeadChannels, AddsAPositiveConstantToTheBias) {
  Net net;
  net.pads = {0, 0, 0, 0};
  net.w[3].zero_();
  net.b[3] = 1;
  const Applied applied = removed(net, 5);
  EXPECT_TRUE(applied.after.find_value("second.bias"));
}

TEST(RemoveDeadChannels, MergesDuplicates) {
  Net net;
  net.w[4] = net.w[1];
  net.b[4] = net.b[1];
  removed(net, 5);
  net.activation = "Sigmoid";
  removed(net, 5);
  net.b[4] += 1;
  EXPECT_FALSE(removed(net, 6).report.changed);
}

TEST(RemoveDeadChannels, LeavesDuplicatesWhenAsked) {
  Net net;
  net.w[4] = net.w[1];
  net.b[4] = net.b[1];
  EXPECT_FALSE(apply_pass("remove_dead_channels", net.graph(), {{"merge_duplicates", false}}).report.changed);
}

TEST(RemoveDeadChannels, KeepsDuplicatesThatTakeDifferentRoutes) {
  GraphBuilder b;
  Tensor w = random_tensor({4, 3, 1, 1}, 1);
  w[3] = w[1];
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 4, 4}), b.constant("w", w)});
  const auto halves = b.node_with_outputs("Split", {h, b.constant("sizes", at::tensor({2, 2}, at::kLong))}, 2, {{"axis", int64_t{1}}});
  const ValueId joined = b.node("Concat", {b.node("Relu", {halves[0]}), b.node("Sigmoid", {halves[1]})}, {{"axis", int64_t{1}}});
  b.output(b.node("Conv", {joined, b.random_constant("v", {2, 4, 1, 1})}), "y");
  EXPECT_FALSE(apply_pass("remove_dead_channels", b.graph()).report.changed);
}

TEST(RemoveDeadChannels, GoesThroughNormDepthwisePoolAndMatMul) {
  GraphBuilder b;
  Tensor w = random_tensor({6, 3, 1, 1}, 1), scale = random_tensor({6}, 2).abs() + 0.1, shift = random_tensor({6}, 3);
  w[0].zero_();
  shift[0] = -9;                             // zero after Relu
  scale[1] = 0;
  shift[1] = 0.5;                            // not zero: stays where the depthwise Conv pads
  ValueId h = b.node("Conv", {b.input("x", {"N", int64_t{3}, int64_t{4}, int64_t{4}}), b.constant("w", w)}, {}, "first");
  h = b.node("BatchNormalization", {h, b.constant("s", scale), b.constant("o", shift), b.random_constant("m", {6}), b.constant("var", at::ones({6}))});
  Tensor depthwise = random_tensor({6, 1, 3, 3}, 4), bias = random_tensor({6}, 5);
  depthwise[2].zero_();                      // constant from here on, and above zero
  bias[2] = 2;
  h = b.node("Conv", {b.node("Relu", {h}), b.constant("d", depthwise), b.constant("e", bias)}, {{"group", int64_t{6}}, {"pads", Ints{1, 1, 1, 1}}}, "depthwise");
  h = b.node("Flatten", {b.node("GlobalAveragePool", {b.node("Relu", {h})})});
  h = b.node("Add", {b.node("MatMul", {h, b.random_constant("v", {6, 4})}, {}, "fc"), b.random_constant("c", {4})});
  b.output(h, "y");
  const Applied applied = apply_pass("remove_dead_channels", b.graph());
  EXPECT_EQ(channels(applied.after, "w"), 4);
  const Tensor x = random_tensor({2, 3, 4, 4}, 9);
  EXPECT_LT(relative_difference(run_graph(applied.after, {x}).front(), run_graph(applied.before, {x}).front()), 1e-6);
  EXPECT_FALSE(apply_pass("remove_dead_channels", applied.after).report.changed);
}

TEST(RemoveDeadChannels, RefusesBadOptions) {
  Net net;
  EXPECT_THROW(apply_pass("remove_dead_channels", net.graph(), {{"merge_duplicates", 3}}), UsageError);
}

}  // namespace
}  // namespace niwaki
