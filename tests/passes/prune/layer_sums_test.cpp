#include "passes/prune/layer_sums.h"

#include "compress/columns.h"
#include "compress/error.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph two_layers(ValueId* first_weight = nullptr) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w1", {6, 5});
  if (first_weight) *first_weight = w;
  const ValueId hidden = b.node("Relu", {b.node("MatMul", {b.input("x", {std::string("n"), int64_t{6}}), w}, {}, "first")});
  b.output(b.node("MatMul", {hidden, b.random_constant("w2", {5, 3})}, {}, "second"), "y");
  return b.graph();
}

TEST(LayerSums, AreThoseOfTheEditedInputsAndTheOriginalOutputs) {   // T22
  ValueId w;
  const Graph original = two_layers(&w);
  Graph edited = original;
  const Tensor first = values(*original.constant(w));
  edited.set_constant(w, make_constant((first * 0.5).contiguous()));
  const Tensor x = random_tensor({30, 6}, 1);
  const Dataset data(original, samples_of({{"x", x}}), {.batch = 7}, "data");
  Progress progress;
  const auto views = linear_views(original);
  const auto sums = collect_layer_sums(original, edited, views, data, 0, progress);
  ASSERT_EQ(sums.size(), 2u);
  const LayerSums& second = sums.at(views[1].node);
  const Tensor now = at::relu(x.mm(first * 0.5)).to(at::kDouble), second_weight = values(*original.constant(views[1].weight));
  const Tensor wanted = at::relu(x.mm(first)).mm(second_weight).to(at::kDouble);
  EXPECT_EQ(second.count, 30);
  EXPECT_TRUE(at::allclose(second.products[0], now.t().mm(now), 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(second.sums[0], now.sum(0), 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(second.targets[0], wanted.t().mm(now), 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(second.target_sums[0], wanted.sum(0), 1e-5, 1e-5));
}

TEST(LayerSums, AimsAtASumLessWhatStandsBesideItNow) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w1", {6, 6}), x = b.node("Relu", {b.node("MatMul", {b.input("x", {std::string("n"), int64_t{6}}), w})});
  const ValueId branch = b.node("MatMul", {x, b.random_constant("w2", {6, 6})}, {}, "branch");
  const ValueId sum = b.node("Add", {x, branch});
  b.output(sum, "y");
  const Graph original = b.graph();
  Graph edited = original;
  const Tensor first = values(*original.constant(w));
  edited.set_constant(w, make_constant((first * 0.5).contiguous()));
  const Tensor data = random_tensor({20, 6}, 1);
  const LinearView view = linear_views(original)[1];
  Progress progress;
  const auto sums = collect_layer_sums(original, edited, {view}, Dataset(original, samples_of({{"x", data}}), {.batch = 7}, "data"), 0, progress, {{view.node, {sum, x}}});
  const Tensor was = at::relu(data.mm(first)), now = was * 0.5, wanted = was + was.mm(values(*original.constant(view.weight))) - now;
  EXPECT_TRUE(at::allclose(sums.at(view.node).targets[0], wanted.t().mm(now).to(at::kDouble), 1e-4, 1e-4));
  EXPECT_TRUE(at::allclose(sums.at(view.node).target_sums[0], wanted.sum(0).to(at::kDouble), 1e-4, 1e-4));
}

TEST(LayerSums, ConvolutionsMeetTheirOwnOutputs) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{4}, int64_t{12}, int64_t{12}});
  b.output(b.node("Conv", {x, b.random_constant("w", {6, 2, 3, 3})}, {{"group", int64_t{2}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}}, "c"), "y");
  const Graph graph = b.graph();
  const Dataset data(graph, samples_of({{"x", random_tensor({5, 4, 12, 12}, 2)}}), {.batch = 2}, "data");
  Progress progress;
  const auto views = linear_views(graph);
  const LayerSums sums = collect_layer_sums(graph, graph, views, data, 3, progress).at(views[0].node);
  EXPECT_EQ(sums.count, 5 * 64);
  const Tensor rows = weight_rows(views[0], values(*graph.constant(views[0].weight))).to(at::kDouble).reshape({2, 3, 18});
  EXPECT_TRUE(at::allclose(sums.targets, at::bmm(rows, sums.products), 1e-3, 1e-2));   // y = W x at the same positions
  EXPECT_TRUE(at::allclose(sums.target_sums, at::bmm(rows, sums.sums.unsqueeze(2)).squeeze(2), 1e-3, 1e-2));
}

TEST(LayerSums, StopAtNumbersThatAreNotFinite) {
  GraphBuilder b;
  const ValueId x = b.node("Log", {b.input("x", {std::string("n"), int64_t{6}})});
  b.output(b.node("MatMul", {x, b.random_constant("a", {6, 2})}, {}, "a"), "y");
  const Graph graph = b.graph();
  const Dataset data(graph, samples_of({{"x", at::zeros({9, 6})}}), {.batch = 4}, "data");
  Progress progress;
  EXPECT_THROW(collect_layer_sums(graph, graph, linear_views(graph), data, 0, progress), ModelError);
}

TEST(LayerSums, NodesThatReadOneValueShareTheProducts) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{6}});
  b.output(b.node("MatMul", {x, b.random_constant("a", {6, 2})}, {}, "a"), "ya");
  b.output(b.node("MatMul", {x, b.random_constant("b", {6, 4})}, {}, "b"), "yb");
  const Graph graph = b.graph();
  const Dataset data(graph, samples_of({{"x", random_tensor({9, 6}, 2)}}), {.batch = 4}, "data");
  Progress progress;
  const auto views = linear_views(graph);
  const auto sums = collect_layer_sums(graph, graph, views, data, 0, progress);
  EXPECT_TRUE(at::equal(sums.at(views[0].node).products, sums.at(views[1].node).products));
  EXPECT_EQ(sums.at(views[1].node).targets.sizes(), (std::vector<int64_t>{1, 4, 6}));
  EXPECT_EQ(sums.at(views[1].node).count, 9);
}

}  // namespace
}  // namespace niwaki
