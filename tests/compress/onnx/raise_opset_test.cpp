#include "compress/onnx/raise_opset.h"

#include "compress/onnx/proto.h"
#include "compress/verify.h"
#include "tests/compress/onnx/onnx_text.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// A convolution, its activation and a pool, as exporters of opset 9 write them.
Graph old_graph() {
  GraphBuilder b(9);
  const ValueId y = b.node("Conv", {b.input("x", {int64_t{1}, int64_t{2}, int64_t{6}, int64_t{6}}), b.random_constant("w", {3, 2, 3, 3})}, {}, "conv");
  const ValueId z = b.node("Clip", {y}, {{"min", 0.0f}, {"max", 1.0f}}, "clip");
  b.output(b.node("Squeeze", {b.node("GlobalAveragePool", {z}, {}, "pool")}, {{"axes", std::vector<int64_t>{2, 3}}}, "squeeze"), "out");
  Graph graph = b.graph();
  graph.header().metadata = {{"author", "somebody"}};
  graph.header().doc = "told";
  graph.header().producer_name = "exporter";
  graph.edit_main().doc = "graph told";
  return graph;
}

TEST(RaiseOpset, ComputesTheSame) {
  Graph graph = old_graph();
  const Tensor x = random_tensor({1, 2, 6, 6});
  const Tensor want = run_graph(graph, {x}).at(0);
  raise_opset(graph, 17);
  require_valid(graph);
  EXPECT_EQ(graph.opset(), 17);
  EXPECT_EQ(graph.header().ir_version, 8);
  EXPECT_TRUE(at::equal(run_graph(graph, {x}).at(0), want));
}

TEST(RaiseOpset, KeepsNamesDocsAndMetadata) {
  Graph graph = old_graph();
  raise_opset(graph, 21);
  EXPECT_EQ(graph.header().ir_version, 10);
  EXPECT_EQ(graph.header().metadata.at(0).second, "somebody");
  EXPECT_EQ(graph.header().doc, "told");
  EXPECT_EQ(graph.header().producer_name, "exporter");
  EXPECT_EQ(graph.main().doc, "graph told");
  EXPECT_EQ(graph.value(graph.main().inputs[0]).name, "x");
  EXPECT_EQ(graph.value(graph.main().outputs[0]).name, "out");
  std::set<std::string> names;
  for (const NodeId id : graph.main().nodes) names.insert(graph.node(id).name);
  for (const char* name : {"conv", "clip", "pool", "squeeze"}) EXPECT_TRUE(names.contains(name)) << name;
}

TEST(RaiseOpset, NeverLowers) {
  Graph graph = old_graph();
  const uint64_t revision = graph.revision();
  raise_opset(graph, 9);
  raise_opset(graph, 7);
  EXPECT_EQ(graph.revision(), revision);
  EXPECT_EQ(graph.opset(), 9);
}

TEST(RaiseOpset, RefusesFunctions) {
  Graph graph = old_graph();
  graph.header().functions.push_back({"mine", "F", "", {}});
  EXPECT_EQ(code_of_action([&] { raise_opset(graph, 17); }), "E3103");
  EXPECT_EQ(graph.opset(), 9);
}

TEST(RaiseOpset, LeavesTheGraphWhereTheConverterFails) {
  GraphBuilder b(8);
  b.output(b.node("Mystery", {b.input("x", {int64_t{1}})}));
  Graph graph = b.graph();
  EXPECT_EQ(code_of_action([&] { raise_opset(graph, 17); }), "E3103");
  EXPECT_EQ(graph.opset(), 8);
  EXPECT_EQ(graph.main().nodes.size(), 1u);
}

TEST(RaiseOpset, KeepsWeightBits) {
  Graph graph = old_graph();
  const Constant before = *graph.constant(*graph.find_value("w"));
  raise_opset(graph, 17);
  EXPECT_TRUE(same_content(before, *graph.constant(*graph.find_value("w"))));
}

TEST(LeastIrVersion, GrowsWithTheOpset) {
  EXPECT_EQ(least_ir_version(7), 3);
  EXPECT_EQ(least_ir_version(13), 7);
  EXPECT_EQ(least_ir_version(17), 8);
  EXPECT_EQ(least_ir_version(21), 10);
  for (int64_t opset = 2; opset < 30; ++opset) EXPECT_GE(least_ir_version(opset), least_ir_version(opset - 1));
}

}  // namespace
}  // namespace niwaki
