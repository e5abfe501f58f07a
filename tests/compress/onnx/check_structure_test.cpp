#include "compress/onnx/check_structure.h"

#include "tests/compress/onnx/onnx_text.h"
#include "tests/graph_builder.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

std::string refusal(const std::string& graph, Strings* notes = nullptr) {
  const Graph read = graph_from_proto(model_of_text(graph), {});
  return code_of_action([&] { check_structure(read, notes); });
}

TEST(CheckStructure, HoldsNodesAgainstTheirSchema) {
  EXPECT_EQ(refusal("node { input: 'x' output: 'y' op_type: 'Relu' } output { name: 'y' }"), "");
  EXPECT_EQ(refusal("node { output: 'y' op_type: 'Relu' } output { name: 'y' }"), "E1107");
  EXPECT_EQ(refusal("node { input: 'x' input: 'x' output: 'y' op_type: 'Relu' } output { name: 'y' }"), "E1107");
  EXPECT_EQ(refusal("node { input: 'x' output: 'y' output: 'z' op_type: 'Relu' } output { name: 'y' }"), "E1107");
  EXPECT_EQ(refusal("node { input: 'x' output: 'y' op_type: 'Cast' } output { name: 'y' }"), "E1108");
}

TEST(CheckStructure, NamesNodeAndCount) {
  const Graph graph = graph_from_proto(model_of_text("node { name: 'sum' input: 'x' output: 'y' op_type: 'Add' } output { name: 'y' }"), {});
  try {
    check_structure(graph, nullptr);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "node 'sum': Add has 1 inputs");
    EXPECT_EQ(error.details().found, "needed 2");
  }
}

TEST(CheckStructure, ListsWhatItCarries) {
  Strings notes;
  EXPECT_EQ(refusal("node { input: 'x' output: 'h' op_type: 'F' domain: 'mine' } node { input: 'h' output: 'i' op_type: 'F' domain: 'mine' } "
                    "node { input: 'i' output: 'y' op_type: 'Affine' } output { name: 'y' }", &notes), "");
  EXPECT_THAT(notes, testing::UnorderedElementsAre("W1113: operator 'mine.F' is carried through as it is",
                                                   "W1113: operator 'Affine' is carried through as it is"));
}

TEST(CheckStructure, LooksIntoBodies) {
  const std::string branch = "type: GRAPH g { name: 'b' node { input: 'x' output: 't' op_type: 'Cast' } output { name: 't' } }";
  EXPECT_EQ(refusal("input { name: 'c' type { tensor_type { elem_type: 9 } } } node { input: 'c' output: 'y' op_type: 'If' attribute { name: 'then_branch' " +
                    branch + " } attribute { name: 'else_branch' " + branch + " } } output { name: 'y' }"), "E1108");
}

TEST(CheckStructure, FunctionsOfTheModelAreNoUnknownOperators) {
  Strings notes;
  const Graph graph = graph_from_proto(
      model_of_text("node { input: 'x' output: 'y' op_type: 'F' domain: 'mine' } output { name: 'y' }",
                    "opset_import { version: 17 } opset_import { domain: 'mine' version: 1 } functions { name: 'F' domain: 'mine' input: 'a' output: 'b' "
                    "node { input: 'a' output: 'b' op_type: 'Relu' } opset_import { version: 17 } }"), {});
  check_structure(graph, &notes);
  EXPECT_THAT(notes, testing::SizeIs(testing::Le(1u)));
}

TEST(CheckerVerdict, AcceptsGoodModelsAndExplainsBadOnes) {
  GraphBuilder b;
  b.output(b.node("Relu", {b.input("x", {int64_t{1}, int64_t{4}})}));
  EXPECT_EQ(checker_verdict(b.graph()), "");
  GraphBuilder bad;
  bad.output(bad.node("Add", {bad.input("x", {int64_t{2}}), bad.input("y", {int64_t{3}})}));
  Graph graph = bad.graph();
  graph.set_type(graph.main().outputs[0], DType::float32, Shape{int64_t{2}});
  EXPECT_NE(checker_verdict(graph), "");
}

}  // namespace
}  // namespace niwaki
