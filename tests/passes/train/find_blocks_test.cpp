#include "passes/train/find_blocks.h"

#include "compress/train/trainable.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

std::vector<std::string> names_of(const Graph& graph, const std::vector<ValueId>& values) {
  std::vector<std::string> names;
  for (const ValueId id : values) names.push_back(graph.value(id).name);
  return names;
}

/// Gemm and Relu, then two residual blocks, then a head behind a mean.
Graph residual_net() {
  GraphBuilder b;
  const auto gemm = [&](ValueId x, const std::string& name, int64_t in, int64_t out) {
    return b.node("Gemm", {x, b.random_constant(name, {in, out}), b.random_constant(name + "_b", {out})}, {}, name);
  };
  ValueId x = b.node("Relu", {gemm(b.input("x", {"n", int64_t{4}}), "stem", 4, 8)}, {}, "stem_relu");
  for (const std::string block : {"a", "b"}) {
    const ValueId h = gemm(b.node("Relu", {gemm(x, block + "1", 8, 8)}), block + "2", 8, 8);
    x = b.node("Relu", {b.node("Add", {h, x}, {}, block + "_add")}, {}, block + "_relu");
  }
  b.output(b.node("Softmax", {gemm(x, "head", 8, 3)}, {{"axis", int64_t{1}}}, "softmax"), "y");
  return b.graph();
}

std::vector<std::string> ends_of(const Graph& graph, size_t most) {
  const auto weights = trainable_constants(graph);
  std::vector<std::string> ends;
  for (const Block& block : blocks_between(graph, cut_values(graph, weights), weights, most)) {
    ends.push_back(graph.label(*graph.producer(block.output)));
  }
  return ends;
}

TEST(FindBlocks, NothingGoesAroundACut) {
  const Graph graph = residual_net();
  std::vector<std::string> nodes;
  for (const ValueId id : cut_values(graph, trainable_constants(graph))) nodes.push_back(graph.label(*graph.producer(id)));
  EXPECT_EQ(nodes, (std::vector<std::string>{"stem", "stem_relu", "a_add", "a_relu", "b_add", "b_relu", "head", "softmax"}));
}

TEST(FindBlocks, EveryBlockHasALinearNodeAndEndsBehindItsActivation) {
  EXPECT_EQ(ends_of(residual_net(), 16), (std::vector<std::string>{"stem_relu", "a_relu", "b_relu", "head"}));
}

TEST(FindBlocks, TheSmallestNeighboursJoin) {
  EXPECT_EQ(ends_of(residual_net(), 3), (std::vector<std::string>{"a_relu", "b_relu", "head"}));
  EXPECT_EQ(ends_of(residual_net(), 1), (std::vector<std::string>{"head"}));
}

/// A mask that no weight has touched may be read in every block; a value that one has touched may not.
TEST(FindBlocks, OnlyWhatWeightsTouchedGoesAround) {
  for (const bool is_touched : {false, true}) {
    GraphBuilder b;
    const ValueId mask = b.input("mask", {"n", int64_t{8}});
    const ValueId side = is_touched ? b.node("MatMul", {mask, b.random_constant("m", {8, 8})}, {}, "side") : b.node("Neg", {mask});
    ValueId x = b.input("x", {"n", int64_t{8}});
    for (const std::string name : {"a", "b"}) x = b.node("Add", {b.node("MatMul", {x, b.random_constant(name, {8, 8})}), side}, {}, name);
    b.output(x, "y");
    const Graph graph = b.graph();
    const auto ends = ends_of(graph, 16);
    EXPECT_EQ(ends, is_touched ? std::vector<std::string>({"side", "b"}) : std::vector<std::string>({"a", "b"}));
    if (is_touched) continue;
    const auto cut = *graph.find_value("y");
    const Graph part = block_graph(graph, graph.node(*graph.producer(cut)).inputs[0], cut);
    EXPECT_EQ(names_of(part, part.main().inputs).front(), "mask");
  }
}

TEST(FindBlocks, BlocksInARowGiveWhatTheModelGives) {
  const Graph graph = residual_net();
  const auto weights = trainable_constants(graph);
  const Tensor x = random_tensor({5, 4}, 3);
  Tensor flow = x;
  const auto blocks = blocks_between(graph, cut_values(graph, weights), weights, 16);
  for (const Block& block : blocks) {
    const Graph part = block_graph(graph, block.input, block.output);
    EXPECT_LT(part.main().nodes.size(), graph.main().nodes.size());
    flow = run_graph(part, {flow})[0];
  }
  EXPECT_TRUE(at::equal(flow.softmax(1), run_graph(graph, {x})[0]));
  EXPECT_EQ(graph.main().inputs.size(), 1u);
}

}  // namespace
}  // namespace niwaki
