#include "passes/store/stored_form.h"

#include "compress/onnx/proto.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

namespace niwaki {
namespace {

Graph one_weight() {
  GraphBuilder b;
  b.output(b.node("MatMul", {b.input("x", {2, 64}), b.random_constant("weight", {64, 32})}), "y");
  return b.graph();
}

StoredForm eight_bits() {
  StoredForm form;
  const auto codes = form.cast(form.constant(at::ones({64, 32}, at::kChar)), DType::float32);
  form.node("Mul", {codes, form.constant(at::ones({32}))});
  return form;
}

int64_t file_bytes(const Graph& graph) { return static_cast<int64_t>(graph_to_proto(graph).graph().ByteSizeLong()); }

TEST(StoredForm, GrowthIsExact) {
  Graph graph = one_weight();
  ConstantStore store(graph);
  const ValueId weight = *graph.find_value("weight");
  const int64_t before = file_bytes(graph), growth = store.growth(weight, eight_bits());
  store.replace(weight, eight_bits());
  EXPECT_EQ(file_bytes(graph) - before, growth);
  EXPECT_LT(growth, -5000);
}

TEST(StoredForm, GrowthCountsAttributes) {
  Graph graph = one_weight();
  ConstantStore store(graph);
  StoredForm form;
  form.node("ConstantOfShape", {form.integers({64, 32})}, {{"value", make_constant(at::full({1}, 3.0f))}});
  const ValueId weight = *graph.find_value("weight");
  const int64_t before = file_bytes(graph), growth = store.growth(weight, form);
  store.replace(weight, form);
  EXPECT_EQ(file_bytes(graph) - before, growth);
}

TEST(StoredForm, TheValueKeepsItsNameAndReaders) {
  Graph graph = one_weight();
  ConstantStore store(graph);
  const ValueId weight = *graph.find_value("weight");
  const Constant want = expanded(graph, eight_bits());
  store.replace(weight, eight_bits());
  EXPECT_EQ(graph.constant(weight), nullptr);
  EXPECT_EQ(graph.node(*graph.producer(weight)).op, "Mul");
  EXPECT_EQ(graph.value(weight).name, "weight");
  EXPECT_EQ(graph.consumers(weight).size(), 1u);
  const Tensor x = random_tensor({2, 64}, 1);
  EXPECT_LT(relative_difference(run_graph(graph, {x})[0], x.matmul(values(want))), 1e-6);
}

TEST(StoredForm, SameTermsAreWrittenOnce) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 64});
  b.output(b.node("MatMul", {b.node("MatMul", {x, b.random_constant("u", {64, 64})}), b.random_constant("v", {64, 64})}), "y");
  Graph graph = b.graph();
  ConstantStore store(graph);
  StoredForm form;
  form.node("Expand", {form.constant(at::ones({1, 64})), form.integers({64, 64})});
  store.replace(*graph.find_value("u"), form);
  const size_t constants = graph.main().constants.size();
  store.replace(*graph.find_value("v"), form);
  EXPECT_EQ(constants, 3u);                  // v, ones, shape
  EXPECT_EQ(graph.main().constants.size(), 2u);
}

TEST(StoredForm, ObstaclesAreNamed) {
  GraphBuilder b;
  const ValueId weight = b.random_constant("weight", {4, 4});
  const ValueId x = b.input("x", {4, 4});
  b.output(b.node("MatMul", {x, weight}), "y");
  b.output(weight);
  const Graph made = b.graph();
  Graph graph = made;
  const ConstantStore store(graph);
  EXPECT_EQ(store.obstacle(weight), "is an output of its graph");
  EXPECT_EQ(store.obstacle(x), "is no initializer");
}

TEST(StoredForm, NamesCountInBase36) {
  EXPECT_EQ(base36(0), "0");
  EXPECT_EQ(base36(35), "z");
  EXPECT_EQ(base36(36), "10");
  EXPECT_EQ(base36(36 * 36 + 1), "101");
}

}  // namespace
}  // namespace niwaki
