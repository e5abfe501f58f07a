#include "compress/onnx/infer_shapes.h"

#include "compress/onnx/proto.h"
#include "tests/compress/onnx/onnx_text.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(InferShapes, GivesTypesAndShapes) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{3}, int64_t{8}, int64_t{8}});
  const ValueId y = b.node("Conv", {x, b.random_constant("w", {4, 3, 3, 3})});
  const ValueId z = b.node("ArgMax", {y}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}});
  b.output(z);
  const Graph graph = b.graph();
  EXPECT_EQ(graph.value(y).dtype, DType::float32);
  EXPECT_EQ(*graph.value(y).shape, (Shape{std::string("n"), int64_t{4}, int64_t{6}, int64_t{6}}));
  EXPECT_EQ(graph.value(z).dtype, DType::int64);
  EXPECT_EQ(*graph.value(z).shape, (Shape{std::string("n"), int64_t{6}, int64_t{6}}));
}

TEST(InferShapes, SeesThroughSmallConstants) {
  GraphBuilder b;
  const ValueId target = b.constant("target", at::tensor({2, 6}, at::kLong));
  const ValueId y = b.node("Reshape", {b.input("x", {int64_t{3}, int64_t{4}}), target});
  b.output(y);
  EXPECT_EQ(known_sizes(b.graph().value(y)), (std::vector<int64_t>{2, 6}));
}

TEST(InferShapes, IsNoEdit) {
  GraphBuilder b;
  b.output(b.node("Relu", {b.input("x", {int64_t{1}})}));
  Graph graph = b.graph();
  const uint64_t revision = graph.revision();
  infer_shapes(graph);
  EXPECT_EQ(graph.revision(), revision);
}

TEST(InferShapes, LeavesTheDeclaredInterface) {
  Graph graph = graph_from_proto(
      model_of_text("node { input: 'x' output: 'y' op_type: 'Relu' } "
                    "output { name: 'y' type { tensor_type { elem_type: 1 shape { dim { dim_param: 'rows' } dim { dim_param: 'columns' } } } } }"), {});
  infer_shapes(graph);
  EXPECT_EQ(*graph.value(graph.main().outputs[0]).shape, (Shape{std::string("rows"), std::string("columns")}));
}

TEST(InferShapes, ForgetsStaleTypesOfInnerValues) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.input("x", {int64_t{1}, int64_t{4}})});
  b.output(b.node("Relu", {h}));
  Graph graph = b.graph();
  graph.set_type(h, DType::float32, Shape{int64_t{9}, int64_t{9}});
  infer_shapes(graph);
  EXPECT_EQ(known_sizes(graph.value(h)), (std::vector<int64_t>{1, 4}));
}

TEST(InferShapes, StrictRefusesContradictions) {
  const auto contradiction = model_of_text("node { input: 'x' output: 'y' op_type: 'Relu' } "
                                           "output { name: 'y' type { tensor_type { elem_type: 1 shape { dim { dim_value: 7 } dim { dim_value: 2 } } } } }");
  Graph graph = graph_from_proto(onnx::ModelProto(contradiction), {});
  EXPECT_EQ(code_of_action([&] { infer_shapes(graph); }), "");
  EXPECT_EQ(code_of_action([&] { infer_shapes(graph, true); }), "E1320");
}

TEST(InferShapes, ReachesIntoBodies) {
  const std::string branch = "type: GRAPH g { name: 'b' node { input: 'x' output: 't' op_type: 'Shape' } output { name: 't' } }";
  Graph graph = graph_from_proto(
      model_of_text("input { name: 'c' type { tensor_type { elem_type: 9 } } } node { input: 'c' output: 'y' op_type: 'If' attribute { name: 'then_branch' " +
                    branch + " } attribute { name: 'else_branch' " + branch + " } } output { name: 'y' }"), {});
  infer_shapes(graph);
  EXPECT_EQ(graph.value(*graph.find_value("t")).dtype, DType::int64);
  EXPECT_EQ(graph.value(graph.main().outputs[0]).dtype, DType::int64);
}

TEST(InferShapes, CarriesUnknownOperators) {
  GraphBuilder b;
  const ValueId y = b.node("Mystery", {b.input("x", {int64_t{1}})}, {}, "", "com.example");
  b.output(y);
  EXPECT_EQ(b.graph().value(y).dtype, DType::undefined);
}

}  // namespace
}  // namespace niwaki
