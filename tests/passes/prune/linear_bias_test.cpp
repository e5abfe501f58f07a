#include "passes/prune/linear_bias.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// The outputs of the graph before and after 0.5, 1.5, ... is added to those of its first linear node.
void expect_added(Graph graph, const Tensor& x, int64_t outputs) {
  const LinearView view = linear_views(graph)[0];
  const Tensor more = at::arange(outputs, at::kDouble) + 0.5, before = run_graph(graph, {x})[0];
  const auto place = bias_place(graph, view);
  ASSERT_TRUE(place);
  add_to_bias(graph, view, *place, more);
  const Tensor want = before + (before.dim() == 4 ? more.reshape({1, -1, 1, 1}) : more);
  EXPECT_LT(relative_difference(run_graph(graph, {x})[0], want), 1e-6);
}

TEST(LinearBias, OfAConvWithAndWithoutOne) {
  for (const bool has_bias : {false, true}) {
    GraphBuilder b;
    std::vector<ValueId> inputs{b.input("x", {1, 2, 4, 4}), b.random_constant("w", {3, 2, 3, 3})};
    if (has_bias) inputs.push_back(b.random_constant("b", {3}));
    b.output(b.node("Conv", inputs));
    expect_added(b.graph(), random_tensor({1, 2, 4, 4}), 3);
  }
}

TEST(LinearBias, OfAMatMulIsItsAdd) {
  GraphBuilder b;
  const ValueId product = b.node("MatMul", {b.input("x", {1, 3, 4}), b.random_constant("w", {4, 5})});
  b.output(b.node("Add", {b.random_constant("b", {5}), product}));
  expect_added(b.graph(), random_tensor({1, 3, 4}), 5);
}

TEST(LinearBias, OfAGemmKeepsItsShape) {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {2, 4}), b.random_constant("w", {4, 3}), b.random_constant("b", {1, 3})}));
  expect_added(b.graph(), random_tensor({2, 4}), 3);
}

TEST(LinearBias, IsNotPlacedWhereOthersWouldSeeIt) {
  GraphBuilder b;
  const ValueId product = b.node("MatMul", {b.input("x", {2, 4}), b.random_constant("w", {4, 3})});
  b.output(b.node("Add", {product, b.random_constant("b", {3})}));
  b.output(product);
  const Graph graph = b.graph();
  EXPECT_FALSE(bias_place(graph, linear_views(graph)[0]));
}

TEST(LinearBias, IsNotPlacedInAScaledGemm) {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {2, 4}), b.random_constant("w", {4, 3}), b.random_constant("b", {3})}, {{"alpha", 0.5F}}));
  const Graph graph = b.graph();
  EXPECT_FALSE(bias_place(graph, linear_views(graph)[0]));
}

}  // namespace
}  // namespace niwaki
