#include "compress/graph_edit.h"

#include "compress/graph_text.h"
#include "compress/verify.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(GraphEdit, BypassKeepsTheNameOfAnOutput) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.input("x", {2})});
  const ValueId y = b.node("Identity", {h});
  b.node("Exp", {h});
  b.output(y, "y");
  Graph graph = b.graph();
  EXPECT_TRUE(bypass(graph, *graph.producer(y), h, y));
  require_valid(graph);
  EXPECT_EQ(text(graph), "input x: float32 [2]\ny = Relu(x)\nExp_3 = Exp(y)\noutput y\n");
}

TEST(GraphEdit, BypassRefusesTwoEndsOfTheInterface) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2}), y = b.node("Identity", {x});
  b.output(y, "y");
  Graph graph = b.graph();
  EXPECT_FALSE(bypass(graph, *graph.producer(y), x, y));
  EXPECT_EQ(text(graph), text(b.graph()));
}

TEST(GraphEdit, ReplacesAConstantInPlaceUnlessItIsShared) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2}), w = b.constant("w", at::ones({2}));
  const ValueId h = b.node("Mul", {x, w});
  b.output(b.node("Add", {h, w}), "y");
  Graph graph = b.graph();
  const ValueId made = replace_constant_input(graph, *graph.producer(h), 1, make_constant(at::zeros({2})), "v");
  EXPECT_EQ(graph.value(made).name, "v");
  EXPECT_EQ(replace_constant_input(graph, *graph.producer(h), 1, make_constant(at::ones({2})), "u"), made);
  EXPECT_TRUE(is_constant_scalar(graph, made, 1));
  EXPECT_FALSE(is_constant_scalar(graph, x, 1));
}

TEST(GraphEdit, AnOverridableInitializerIsNotFixed) {
  GraphBuilder b;
  const ValueId w = b.constant("w", at::ones({2}));
  b.output(b.node("Relu", {w}), "y");
  Graph graph = b.graph();
  EXPECT_NE(fixed_constant(graph, w), nullptr);
  graph.edit_main().inputs.push_back(w);
  EXPECT_EQ(fixed_constant(graph, w), nullptr);
  graph.header().ir_version = 3;
  EXPECT_NE(fixed_constant(graph, w), nullptr);
}

}  // namespace
}  // namespace niwaki
