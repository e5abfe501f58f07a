#include "compress/axes/fold_scales.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

/// Scales 0.5, 0.7, 0.9, ... for all that are free.
std::vector<double> some_scales(const ChannelScales& found) {
  std::vector<double> scales{1};
  while (scales.size() < found.num_scales()) scales.push_back(0.3 + 0.2 * static_cast<double>(scales.size()));
  return scales;
}

void expect_same_outputs(const Graph& before, const ChannelScales& found, const std::vector<Tensor>& inputs) {
  Graph after = before;
  fold_scales(after, found, some_scales(found));
  EXPECT_LT(relative_difference(run_graph(after, inputs)[0], run_graph(before, inputs)[0]), 1e-6);
}

TEST(FoldScales, FindsOneScalePerChannelBetweenLinearNodes) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.node("Conv", {b.input("x", {1, 3, 6, 6}), b.random_constant("w", {4, 3, 3, 3}), b.random_constant("b", {4})}, {}, "conv")});
  const ValueId flat = b.node("Flatten", {b.node("MaxPool", {h}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}})});
  b.output(b.node("Gemm", {flat, b.random_constant("v", {16, 5}), b.random_constant("d", {5})}, {}, "gemm"), "y");
  const Graph graph = b.graph();
  const ChannelScales found = find_scales(graph);
  ASSERT_EQ(found.layers.size(), 2U);
  EXPECT_EQ(found.num_scales(), 5U);
  EXPECT_EQ(found.layers[0].rows, (std::vector<uint32_t>{found.layers[1].columns[0], found.layers[1].columns[4], found.layers[1].columns[8], found.layers[1].columns[12]}));
  EXPECT_EQ(found.layers[1].reason, "its channels are tied to an output or to a node without a rule");
  expect_same_outputs(graph, found, {random_tensor({1, 3, 6, 6})});
}

TEST(FoldScales, FreesBothSidesOfADepthwiseConv) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.node("Conv", {b.input("x", {1, 3, 6, 6}), b.random_constant("w", {4, 3, 1, 1})})});
  const ValueId g = b.node("LeakyRelu", {b.node("Conv", {h, b.random_constant("k", {4, 1, 3, 3}), b.random_constant("b", {4})}, {{"group", int64_t{4}}})});
  b.output(b.node("Conv", {g, b.random_constant("v", {2, 4, 1, 1})}), "y");
  const ChannelScales found = find_scales(b.graph());
  EXPECT_EQ(found.num_scales(), 9U);
  expect_same_outputs(b.graph(), found, {random_tensor({1, 3, 6, 6})});
}

TEST(FoldScales, GivesAResidualStreamOneScalePerChannel) {
  GraphBuilder b;
  const ValueId stem = b.node("Conv", {b.input("x", {1, 3, 4, 4}), b.random_constant("w0", {4, 3, 1, 1})});
  const ValueId inner = b.node("Relu", {b.node("Conv", {stem, b.random_constant("w1", {6, 4, 1, 1})})});
  const ValueId sum = b.node("Add", {stem, b.node("Conv", {inner, b.random_constant("w2", {4, 6, 1, 1}), b.random_constant("b2", {4})})});
  const ValueId shifted = b.node("Add", {sum, b.constant("shift", random_tensor({4, 1, 1}, 9))});
  b.output(b.node("Conv", {shifted, b.random_constant("w3", {2, 4, 1, 1})}), "y");
  const ChannelScales found = find_scales(b.graph());
  EXPECT_EQ(found.num_scales(), 11U);
  EXPECT_EQ(found.layers[0].rows, found.layers[2].rows);
  EXPECT_EQ(found.terms.size(), 1U);
  expect_same_outputs(b.graph(), found, {random_tensor({1, 3, 4, 4})});
}

TEST(FoldScales, ScalesGroupsAndMatricesOnTheRight) {
  GraphBuilder b;
  const ValueId first = b.node("Relu", {b.node("MatMul", {b.input("x", {2, 5, 3}), b.random_constant("w", {3, 4})})});
  const ValueId biased = b.node("Add", {b.node("MatMul", {first, b.random_constant("v", {4, 6})}), b.constant("bias", random_tensor({6}, 3))});
  b.output(b.node("MatMul", {biased, b.random_constant("u", {6, 2})}), "y");
  expect_same_outputs(b.graph(), find_scales(b.graph()), {random_tensor({2, 5, 3})});
  GraphBuilder g;
  const ValueId h = g.node("Relu", {g.node("Conv", {g.input("x", {1, 4, 5, 5}), g.random_constant("w", {8, 2, 3, 3})}, {{"group", int64_t{2}}})});
  const ValueId up = g.node("ConvTranspose", {h, g.random_constant("v", {8, 3, 2, 2})});
  g.output(g.node("Conv", {up, g.random_constant("u", {2, 3, 1, 1})}), "y");
  const ChannelScales found = find_scales(g.graph());
  EXPECT_GT(found.num_scales(), 1U);
  expect_same_outputs(g.graph(), found, {random_tensor({1, 4, 5, 5})});
}

TEST(FoldScales, StopsWhereNoFactorPasses) {
  GraphBuilder b;
  const ValueId h = b.node("Sigmoid", {b.node("Conv", {b.input("x", {1, 3, 4, 4}), b.random_constant("w", {4, 3, 1, 1})})}, {}, "squash");
  const ValueId shifted = b.node("Add", {b.node("Conv", {h, b.random_constant("v", {5, 4, 1, 1})}), b.constant("one", at::ones({}))}, {}, "shift");
  b.output(b.node("Conv", {shifted, b.random_constant("u", {2, 5, 1, 1})}), "y");
  const ChannelScales found = find_scales(b.graph());
  EXPECT_EQ(found.num_scales(), 1U);
  EXPECT_EQ(found.layers[0].reason, "node 'squash' (Sigmoid): it lets no factor pass");
  EXPECT_EQ(found.layers[1].reason, "node 'shift' (Add): a term has no number per channel");
}

TEST(FoldScales, PassesPaddingWithZeroOnly) {
  for (const float number : {0.0F, 1.0F}) {
    GraphBuilder b;
    const ValueId h = b.node("Conv", {b.input("x", {1, 3, 4, 4}), b.random_constant("w", {4, 3, 1, 1})});
    const ValueId wide = b.node("Pad", {h, b.constant("pads", at::tensor({0, 0, 1, 1, 0, 2, 1, 1}, at::kLong)), b.constant("number", at::full({}, number))}, {}, "pad");
    b.output(b.node("Conv", {wide, b.random_constant("v", {2, 6, 1, 1})}), "y");
    const ChannelScales found = find_scales(b.graph());
    EXPECT_EQ(found.num_scales(), number == 0 ? 7U : 1U);   // two of inserted channels, which are zero
    expect_same_outputs(b.graph(), found, {random_tensor({1, 3, 4, 4})});
  }
}

TEST(FoldScales, SplitsClipOnRequest) {
  GraphBuilder b;
  const ValueId conv = b.node("Conv", {b.input("x", {2, 3, 4, 4}), b.constant("w", random_tensor({4, 3, 1, 1}, 5) * 6)});
  const ValueId h = b.node("Clip", {conv, b.constant("low", at::zeros({})), b.constant("high", at::full({}, 6.0))}, {}, "relu6");
  b.output(b.node("Conv", {h, b.random_constant("v", {2, 4, 1, 1})}), "y");
  EXPECT_EQ(find_scales(b.graph()).layers[0].reason, "node 'relu6' (Clip): Clip has an upper bound, which would be another in each channel");
  const ChannelScales found = find_scales(b.graph(), true);
  EXPECT_EQ(found.num_scales(), 5U);
  expect_same_outputs(b.graph(), found, {random_tensor({2, 3, 4, 4})});
}

TEST(FoldScales, StopsWhereChannelsAreMixed) {
  GraphBuilder b;
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 4, 4}), b.random_constant("w", {4, 3, 1, 1})});
  const ValueId mean = b.node("ReduceMean", {h}, {{"axes", Ints{1}}}, "mean");
  b.output(b.node("Conv", {b.node("Add", {h, mean}), b.random_constant("v", {2, 4, 1, 1})}), "y");
  EXPECT_EQ(find_scales(b.graph()).num_scales(), 1U);
}

TEST(FoldScales, LeavesSharedWeightsAlone) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {3, 3});
  const ValueId h = b.node("Relu", {b.node("MatMul", {b.input("x", {2, 3}), w})});
  b.output(b.node("MatMul", {h, w}), "y");
  const ChannelScales found = find_scales(b.graph());
  EXPECT_EQ(found.num_scales(), 1U);
  EXPECT_EQ(found.layers[0].reason, "other nodes read the weight");
}

}  // namespace
}  // namespace niwaki
