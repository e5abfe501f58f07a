#include "compress/macs.h"

#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

double first_macs(const Graph& graph) { return node_macs(graph, graph.main().nodes[0], inferred_sizes(graph)).value(); }

TEST(Macs, OfAConvAreOutputsTimesItsWindow) {
  GraphBuilder b;
  b.output(b.node("Conv", {b.input("x", {std::string("n"), int64_t{4}, int64_t{8}, int64_t{8}}), b.random_constant("w", {6, 2, 3, 3})}, {{"group", int64_t{2}}}));
  EXPECT_EQ(first_macs(b.graph()), 6 * 6 * 6 * 2 * 9);
}

TEST(Macs, OfProductsAreOutputsTimesTheSummedAxis) {
  GraphBuilder b;
  b.output(b.node("MatMul", {b.input("x", {2, 5, 7}), b.random_constant("w", {7, 3})}));
  EXPECT_EQ(first_macs(b.graph()), 2 * 5 * 3 * 7);
  GraphBuilder g;
  g.output(g.node("Gemm", {g.input("x", {7, 2}), g.random_constant("w", {3, 7})}, {{"transA", int64_t{1}}, {"transB", int64_t{1}}}));
  EXPECT_EQ(first_macs(g.graph()), 2 * 3 * 7);
}

TEST(Macs, OfAnLstmAreBothMatricesPerStep) {
  GraphBuilder b;
  b.output(b.node("LSTM", {b.input("x", {5, 2, 3}), b.random_constant("w", {1, 16, 3}), b.random_constant("r", {1, 16, 4})}, {{"hidden_size", int64_t{4}}}));
  EXPECT_EQ(first_macs(b.graph()), 5 * 2 * (16 * 3 + 16 * 4));
}

TEST(Macs, OfUnknownSizesAreNotMadeUp) {
  GraphBuilder b;
  b.output(b.node("MatMul", {b.input("x", {int64_t{1}, std::string("length"), int64_t{7}}), b.random_constant("w", {7, 3})}));
  const Graph graph = b.graph();
  EXPECT_FALSE(node_macs(graph, graph.main().nodes[0], inferred_sizes(graph)));
  EXPECT_EQ(total_macs(graph, inferred_sizes(graph)), 0);
  const Dataset data(graph, samples_of({{"x", random_tensor({6, 9, 7})}}), {.batch = 1}, "data");
  EXPECT_EQ(total_macs(graph, observed_sizes(graph, data)), 9 * 3 * 7);
  EXPECT_EQ(total_macs(graph, sizes_of_one(graph, &data)), 9 * 3 * 7);
  EXPECT_EQ(total_macs(graph, sizes_of_one(graph, nullptr)), 0);
}

TEST(Macs, OfOtherNodesAreNone) {
  GraphBuilder b;
  b.output(b.node("Relu", {b.input("x", {2, 5})}));
  EXPECT_EQ(first_macs(b.graph()), 0);
}

}  // namespace
}  // namespace niwaki
