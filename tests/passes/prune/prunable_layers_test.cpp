#include "passes/prune/prunable_layers.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

struct Found {
  Graph graph;
  PassReport report;
  std::vector<PrunableLayer> layers;
};
Found find(const Graph& graph, const LayerLimits& limits = {.least_share = 0}, const Strings& keep = {}, const Strings& only = {}) {
  Found found{graph, {}, {}};
  Progress progress;
  PassContext context{.report = found.report, .progress = progress, .keep = keep, .only = only};
  found.layers = prunable_layers(found.graph, limits, context);
  return found;
}

TEST(PrunableLayers, ReadsAndWritesEveryLayout) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{2}, int64_t{4}, int64_t{6}, int64_t{6}});
  const ValueId y = b.node("Conv", {x, b.random_constant("conv.w", {6, 2, 3, 3})}, {{"group", int64_t{2}}}, "conv");
  const ValueId flat = b.node("Flatten", {y}, {}, "flat");
  const ValueId z = b.node("Gemm", {flat, b.random_constant("fc.w", {5, 96}), b.random_constant("fc.b", {1, 5})}, {{"transB", int64_t{1}}}, "fc");
  b.output(b.node("MatMul", {z, b.random_constant("out.w", {5, 3})}, {}, "out"), "out");
  Found found = find(b.graph());
  ASSERT_EQ(found.layers.size(), 3u);
  EXPECT_EQ(layer_rows(found.graph, found.layers[0]).sizes(), (std::vector<int64_t>{2, 3, 18}));
  EXPECT_EQ(layer_rows(found.graph, found.layers[1]).sizes(), (std::vector<int64_t>{1, 5, 96}));
  EXPECT_EQ(layer_rows(found.graph, found.layers[2]).sizes(), (std::vector<int64_t>{1, 3, 5}));
  for (const PrunableLayer& layer : found.layers) {
    const Tensor before = values(*found.graph.constant(layer.weight)), rows = layer_rows(found.graph, layer);
    set_layer_rows(found.graph, layer, rows);
    EXPECT_TRUE(at::equal(values(*found.graph.constant(layer.weight)), before));
  }
  EXPECT_TRUE(found.layers[0].can_shift());  // a Conv without a bias gets one
  EXPECT_FALSE(found.layers[2].can_shift()); // a MatMul has nowhere to put it
}

TEST(PrunableLayers, ShiftsGoToTheBias) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{2}, int64_t{4}});
  const ValueId y = b.node("Gemm", {x, b.random_constant("w", {4, 4}), b.random_constant("c", {4})}, {{"alpha", 0.5f}, {"beta", 2.0f}}, "gemm");
  const ValueId z = b.node("Gemm", {y, b.random_constant("w2", {4, 4})}, {}, "bare");
  const ValueId p = b.node("MatMul", {z, b.random_constant("w3", {4, 3})}, {}, "product");
  b.output(b.node("Add", {b.random_constant("b3", {3}), p}, {}, "add"), "out");
  Found found = find(b.graph());
  ASSERT_EQ(found.layers.size(), 3u);
  const Tensor x0 = random_tensor({2, 4}, 1);
  for (const PrunableLayer& layer : found.layers) {
    ASSERT_TRUE(layer.can_shift());
    Graph edited = found.graph;
    const int64_t outputs = layer.rows;
    shift_outputs(edited, layer.readers[0], at::ones({outputs}, at::kDouble));
    // as if one unit more came out of W x
    const Tensor bias_before = reader_bias(found.graph, layer.readers[0]);
    LayerReader after = layer.readers[0];
    after.has_bias = true;
    const Tensor difference = reader_bias(edited, after) - bias_before;
    EXPECT_TRUE(at::allclose(difference, at::full({outputs}, layer.readers[0].alpha / layer.readers[0].beta, at::kDouble), 1e-5, 1e-6));
    EXPECT_GT(relative_difference(run_graph(edited, {x0})[0], run_graph(found.graph, {x0})[0]), 1e-3);
  }
}

TEST(PrunableLayers, LimitsAndSelectionLeaveReasons) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{2}, int64_t{32}});
  const ValueId y = b.node("MatMul", {x, b.random_constant("a", {32, 32})}, {}, "large");
  const ValueId z = b.node("MatMul", {y, b.random_constant("b", {32, 1})}, {}, "small");
  const ValueId u = b.node("MatMul", {b.node("Mul", {y, z}), b.random_constant("c", {32, 32})}, {}, "kept");
  b.output(b.node("MatMul", {u, b.random_constant("d", {32, 32})}, {}, "last"), "out");
  const Found found = find(b.graph(), {.least_share = 0.02, .keeps_last = true}, {"kept"});
  ASSERT_EQ(found.layers.size(), 1u);
  EXPECT_EQ(found.report.reason("small"), "it holds less than 2 % of the weights");
  EXPECT_EQ(found.report.reason("kept"), "kept by the caller");
  EXPECT_EQ(found.report.reason("last"), "the last layer stays dense above a sparsity of 0.5");
  const Found only = find(b.graph(), {.least_share = 0.02, .keeps_last = true}, {}, {"small", "last"});
  EXPECT_EQ(only.layers.size(), 2u);
}

TEST(PrunableLayers, TiedWeightsAreOneLayerOrNone) {        // T54
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {8, 8});
  const ValueId y = b.node("MatMul", {b.input("x", {int64_t{2}, int64_t{8}}), w}, {}, "first");
  b.output(b.node("MatMul", {y, w}, {}, "second"), "out");
  const Found tied = find(b.graph());
  ASSERT_EQ(tied.layers.size(), 1u);
  EXPECT_EQ(tied.layers[0].readers.size(), 2u);
  GraphBuilder c;
  const ValueId table = c.random_constant("table", {8, 8});
  const ValueId z = c.node("MatMul", {c.input("x", {int64_t{2}, int64_t{8}}), table}, {}, "product");
  c.output(c.node("Add", {z, c.node("ReduceSum", {table}, {}, "sum")}), "out");
  const Found shared = find(c.graph());
  EXPECT_TRUE(shared.layers.empty());
  EXPECT_EQ(shared.report.reason("product"), "its weight is also read by 'sum', which is not pruned");
}

}  // namespace
}  // namespace niwaki
