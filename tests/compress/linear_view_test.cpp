#include "compress/linear_view.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

LinearView only_view(GraphBuilder& b, ValueId output) {
  b.output(output);
  const auto views = linear_views(b.graph());
  EXPECT_EQ(views.size(), 1u);
  return views.at(0);
}

/// y = x W^T by rows must be what the graph computes, for one position.
TEST(LinearView, GemmRowsAreOutputs) {
  for (const int64_t transposed : {0, 1}) {
    GraphBuilder b;
    const ValueId x = b.input("x", {int64_t{2}, int64_t{3}});
    const ValueId w = b.random_constant("w", transposed ? std::vector<int64_t>{5, 3} : std::vector<int64_t>{3, 5});
    const ValueId bias = b.random_constant("b", {5});
    const LinearView view = only_view(b, b.node("Gemm", {x, w, bias}, {{"transB", transposed}}));
    EXPECT_EQ(view.kind, LinearKind::gemm);
    EXPECT_EQ(view.channel_axis, transposed ? 0 : 1);
    EXPECT_EQ(view.bias, bias);
    const Graph graph = b.graph();
    const Tensor input = random_tensor({2, 3});
    const Tensor rows = weight_rows(view, values(*graph.constant(view.weight)));
    EXPECT_EQ(rows.sizes(), (std::vector<int64_t>{5, 3}));
    EXPECT_LT(relative_difference(at::matmul(input, rows.t()) + values(*graph.constant(bias)), run_graph(graph, {input})[0]), 1e-6);
  }
}

TEST(LinearView, ConvRowsAreOutputs) {
  GraphBuilder b;
  const LinearView view = only_view(b, b.node("Conv", {b.input("x", {int64_t{1}, int64_t{4}, int64_t{3}, int64_t{3}}), b.random_constant("w", {6, 2, 3, 3})}, {{"group", int64_t{2}}}));
  EXPECT_EQ(view.kind, LinearKind::conv);
  EXPECT_EQ(view.groups, 2);
  EXPECT_EQ(view.bias, ValueId::absent);
  const Graph graph = b.graph();
  const Tensor input = random_tensor({1, 4, 3, 3}), rows = weight_rows(view, values(*graph.constant(view.weight)));
  const Tensor wanted = run_graph(graph, {input})[0].reshape({6});
  for (int64_t out = 0; out < 6; ++out) {
    const Tensor seen = input.reshape({2, 18})[out / 3];
    EXPECT_NEAR(at::dot(rows[out], seen).item<float>(), wanted[out].item<float>(), 1e-4);
  }
}

TEST(LinearView, ConvTransposeRowsAreOutputs) {
  GraphBuilder b;
  const LinearView view = only_view(b, b.node("ConvTranspose", {b.input("x", {int64_t{1}, int64_t{4}, int64_t{1}, int64_t{1}}), b.random_constant("w", {4, 3, 1, 1})}, {{"group", int64_t{2}}}));
  EXPECT_EQ(view.kind, LinearKind::conv_transpose);
  const Graph graph = b.graph();
  const Tensor input = random_tensor({1, 4, 1, 1}), rows = weight_rows(view, values(*graph.constant(view.weight)));
  EXPECT_EQ(rows.sizes(), (std::vector<int64_t>{6, 2}));
  const Tensor wanted = run_graph(graph, {input})[0].reshape({6});
  for (int64_t out = 0; out < 6; ++out) {
    EXPECT_NEAR(at::dot(rows[out], input.reshape({2, 2})[out / 3]).item<float>(), wanted[out].item<float>(), 1e-5);
  }
}

TEST(LinearView, MatMulTakesAConstantOnEitherSide) {
  GraphBuilder right;
  const LinearView on_right = only_view(right, right.node("MatMul", {right.input("x", {int64_t{2}, int64_t{3}}), right.random_constant("w", {3, 5})}));
  EXPECT_EQ(on_right.weight_index, 1u);
  EXPECT_EQ(on_right.channel_axis, 1);
  EXPECT_EQ(weight_rows(on_right, at::arange(15).reshape({3, 5}))[1][2].item<int64_t>(), 11);
  GraphBuilder left;
  const LinearView on_left = only_view(left, left.node("MatMul", {left.random_constant("w", {5, 3}), left.input("x", {int64_t{3}, int64_t{2}})}));
  EXPECT_EQ(on_left.weight_index, 0u);
  EXPECT_EQ(on_left.input_index, 1u);
  EXPECT_EQ(on_left.channel_axis, 0);
  EXPECT_EQ(weight_rows(on_left, at::arange(15).reshape({5, 3}))[1][2].item<int64_t>(), 5);
}

TEST(LinearView, PassesByWhatIsNone) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{3}, int64_t{3}});
  b.output(b.node("MatMul", {x, x}));                                         // no constant
  b.output(b.node("MatMul", {x, b.random_constant("v", {3})}));               // a vector
  b.output(b.node("MatMul", {x, b.random_constant("w", {3, 3})}, {}, "", "com.example"));
  b.output(b.node("Add", {x, b.random_constant("u", {3})}));
  EXPECT_TRUE(linear_views(b.graph()).empty());
}

TEST(LinearView, ComputedBiasIsNoBias) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{2}, int64_t{3}});
  EXPECT_EQ(only_view(b, b.node("Gemm", {x, b.random_constant("w", {3, 5}), b.input("c", {int64_t{5}})})).bias, ValueId::absent);
}

}  // namespace
}  // namespace niwaki
