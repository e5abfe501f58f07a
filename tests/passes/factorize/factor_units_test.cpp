#include "passes/factorize/factor_units.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(FactorUnits, TiedWeightsAndSharedInputsGoTogether) {               // T54
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{3}, int64_t{8}}), tied = b.random_constant("t", {8, 8});
  const ValueId q = b.node("MatMul", {x, b.random_constant("q", {8, 6})}, {}, "Q");
  const ValueId k = b.node("MatMul", {x, b.random_constant("k", {8, 6})}, {}, "K");
  const ValueId first = b.node("MatMul", {x, tied}, {}, "t1"), second = b.node("MatMul", {first, tied}, {}, "t2");
  for (const ValueId id : {q, k, second}) b.output(id);
  const Graph graph = b.graph();
  const auto units = factor_units(graph, linear_views(graph));
  ASSERT_EQ(units.size(), 2u);
  EXPECT_EQ(units[0].nodes.size(), 2u);
  EXPECT_FALSE(units[0].is_tied);
  EXPECT_TRUE(units[1].is_tied);
  const FactoredLayer shared = layer_of(graph, units[0], nullptr, {}, inferred_sizes(graph)), once = layer_of(graph, units[1], nullptr, {}, inferred_sizes(graph));
  EXPECT_EQ(shared.rows.sizes(), (std::vector<int64_t>{12, 8}));
  EXPECT_EQ(shared.output_positions, 3);
  EXPECT_EQ(once.rows.sizes(), (std::vector<int64_t>{8, 8}));
  EXPECT_EQ(once.output_positions, 6);                                  // two uses
  EXPECT_FALSE(has_bias_places(graph, units[0]));
}

TEST(FactorUnits, SaysWhyNot) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{1}, int64_t{3}, int64_t{8}, int64_t{8}});
  const ValueId image = b.node("Conv", {x, b.random_constant("a", {8, 3, 3, 3})}, {}, "image");
  const ValueId deep = b.node("Conv", {image, b.random_constant("d", {8, 1, 3, 3})}, {{"group", int64_t{8}}}, "deep");
  const ValueId left = b.node("MatMul", {b.random_constant("l", {5, 4}), deep}, {}, "left");
  const ValueId flat = b.node("Reshape", {left, b.constant("shape", at::tensor({8, 20}, at::kLong))});
  const ValueId turned = b.node("Gemm", {flat, b.random_constant("g", {8, 4})}, {{"transA", int64_t{1}}}, "turned");
  const ValueId bad = b.node("MatMul", {turned, b.constant("n", at::full({4, 4}, std::nanf("")))}, {}, "bad");
  b.output(bad);
  const Graph graph = b.graph();
  const std::map<std::string, std::string> want = {{"image", "it reads few channels, such as those of an image"}, {"deep", "it is depthwise: there is nothing to factorize"},
                                                   {"left", "its weight is the left factor"}, {"turned", "its input is transposed"}, {"bad", "its weight has numbers that are not finite"}};
  const auto views = linear_views(graph);
  EXPECT_EQ(views.size(), want.size());
  for (const LinearView& view : views) EXPECT_EQ(why_not_factorized(graph, view), want.at(graph.label(view.node)));
}

}  // namespace
}  // namespace niwaki
