#include "compress/onnx/proto.h"

#include "tests/compress/onnx/onnx_text.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

std::string refusal(const std::string& graph, const std::string& header = "opset_import { version: 17 }") {
  return code_of_action([&] { graph_from_proto(model_of_text(graph, header), {}); });
}

const std::string kRelu = "node { input: 'x' output: 'y' op_type: 'Relu' } output { name: 'y' }";

TEST(GraphFromProto, LinksNodesAndValues) {
  const Graph graph = graph_from_proto(model_of_text("node { name: 'a' input: 'x' output: 'h' op_type: 'Relu' } "
                                                     "node { name: 'b' input: 'h' input: '' output: 'y' op_type: 'Clip' } output { name: 'y' }"), {});
  const ValueId x = graph.main().inputs.at(0), h = *graph.find_value("h"), y = graph.main().outputs.at(0);
  ASSERT_EQ(graph.main().nodes.size(), 2u);
  EXPECT_EQ(graph.label(graph.consumers(x)[0]), "a");
  EXPECT_EQ(graph.producer(h), graph.main().nodes[0]);
  EXPECT_EQ(graph.producer(y), graph.main().nodes[1]);
  EXPECT_EQ(graph.node(graph.main().nodes[1]).inputs, (std::vector<ValueId>{h, ValueId::absent}));
  EXPECT_EQ(known_sizes(graph.value(x)), (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(graph.is_output(y));
  EXPECT_EQ(graph.opset(), 17);
}

TEST(GraphFromProto, SortsNodesAndSaysSo) {
  Strings notes;
  const Graph graph = graph_from_proto(model_of_text("node { name: 'b' input: 'h' output: 'y' op_type: 'Relu' } "
                                                     "node { name: 'a' input: 'x' output: 'h' op_type: 'Relu' } output { name: 'y' }"), {}, &notes);
  EXPECT_EQ(graph.label(graph.main().nodes[0]), "a");
  EXPECT_THAT(notes, testing::ElementsAre("W1106: nodes of graph 'g' were not in topological order; sorted"));
}

TEST(GraphFromProto, SortsByWhatBodiesCapture) {
  const std::string branch = "type: GRAPH g { name: 'b' node { input: 'h' output: 't' op_type: 'Relu' } output { name: 't' } } }";
  const Graph graph = graph_from_proto(
      model_of_text("node { name: 'if' input: 'c' output: 'y' op_type: 'If' attribute { name: 'then_branch' " + branch +
                    " attribute { name: 'else_branch' " + branch + "} node { name: 'a' input: 'x' output: 'h' op_type: 'Relu' } output { name: 'y' } "
                    "input { name: 'c' type { tensor_type { elem_type: 9 } } }"), {});
  EXPECT_EQ(graph.label(graph.main().nodes[0]), "a");
  EXPECT_EQ(graph.consumers(*graph.find_value("h")).size(), 2u);
}

TEST(GraphFromProto, RefusesWhatIsNoGraph) {
  EXPECT_EQ(refusal(kRelu), "");
  EXPECT_EQ(refusal("node { input: 'b' output: 'a' op_type: 'Relu' } node { input: 'a' output: 'b' op_type: 'Relu' } output { name: 'a' }"), "E1101");
  EXPECT_EQ(refusal(kRelu + " node { input: 'x' output: 'y' op_type: 'Relu' }"), "E1102");
  EXPECT_EQ(refusal("node { input: 'x' output: 'x' op_type: 'Relu' } output { name: 'x' }"), "E1102");
  EXPECT_EQ(refusal("node { input: 'nowhere' output: 'y' op_type: 'Relu' } output { name: 'y' }"), "E1103");
  EXPECT_EQ(refusal("node { input: 'x' output: 'y' } output { name: 'y' }"), "E1109");
  EXPECT_EQ(refusal("output { name: 'y' }"), "E1110");
  EXPECT_EQ(refusal(kRelu + " output { name: 'y' }"), "E1110");
  EXPECT_EQ(refusal(kRelu + " input { name: 'x' type { tensor_type { elem_type: 1 } } }"), "E1110");
  EXPECT_EQ(refusal(kRelu + " input { name: 'untyped' }"), "E1110");
  const std::string twice = "attribute { name: 'to' type: INT i: 1 } attribute { name: 'to' type: INT i: 2 }";
  EXPECT_EQ(refusal("node { input: 'x' output: 'y' op_type: 'Cast' " + twice + " } output { name: 'y' }"), "E1108");
}

TEST(GraphFromProto, ValuesOfABodyAreNotSeenOutside) {
  const std::string branch = "type: GRAPH g { name: 'b' node { input: 'x' output: 'inner' op_type: 'Relu' } output { name: 'inner' } }";
  const std::string condition = "input { name: 'c' type { tensor_type { elem_type: 9 } } } ";
  const std::string choice = condition + "node { input: 'c' output: 'y' op_type: 'If' attribute { name: 'then_branch' " + branch +
                             " } attribute { name: 'else_branch' " + branch + " } } ";
  EXPECT_EQ(refusal(choice + "output { name: 'y' }"), "");
  EXPECT_EQ(refusal(choice + "node { input: 'inner' output: 'z' op_type: 'Relu' } output { name: 'z' }"), "E1103");
}

TEST(GraphFromProto, NamesTheNodesOfACycle) {
  try {
    graph_from_proto(model_of_text("node { name: 'one' input: 'b' output: 'a' op_type: 'Relu' } "
                                   "node { name: 'two' input: 'a' output: 'b' op_type: 'Abs' } output { name: 'a' }"), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "the graph has a cycle");
    EXPECT_EQ(error.details().found, "among nodes 'one' (Relu), 'two' (Abs)");
  }
}

TEST(GraphFromProto, ImportsOfOperatorSets) {
  EXPECT_EQ(refusal(kRelu, ""), "E1105");
  EXPECT_EQ(refusal(kRelu, "opset_import { version: 17 } opset_import { domain: 'ai.onnx' version: 18 }"), "E1105");
  EXPECT_EQ(refusal(kRelu, "opset_import { version: 17 } opset_import { domain: 'ai.onnx' version: 17 }"), "");
  onnx::ModelProto old = model_of_text(kRelu, "");
  old.set_ir_version(2);
  EXPECT_EQ(graph_from_proto(std::move(old), {}).opset(), 1);
  Strings notes;
  const Graph graph = graph_from_proto(model_of_text("node { input: 'x' output: 'y' op_type: 'F' domain: 'mine' } output { name: 'y' }"), {}, &notes);
  EXPECT_EQ(graph.opset("mine"), 1);
  EXPECT_THAT(notes, testing::ElementsAre("W1114: domain 'mine' is in use and was not imported"));
}

TEST(GraphFromProto, InitializersMayBeInputs) {
  const Graph graph = graph_from_proto(
      model_of_text(kRelu + " input { name: 'w' type { tensor_type { elem_type: 1 shape { dim { dim_param: 'n' } } } } } "
                            "initializer { name: 'w' data_type: 1 dims: 1 float_data: 3 }"), {});
  const ValueId w = *graph.find_value("w");
  ASSERT_NE(graph.constant(w), nullptr);
  EXPECT_TRUE(graph.is_main_input(w));
  EXPECT_EQ(std::get<std::string>(graph.value(w).shape->at(0)), "n");    // the interface keeps its symbolic size
  const Graph sparse = graph_from_proto(
      model_of_text(kRelu + " input { name: 's' type { tensor_type { elem_type: 1 } } } sparse_initializer { dims: 3 values { name: 's' data_type: 1 dims: 1 "
                            "float_data: 5 } indices { data_type: 7 dims: 1 int64_data: 2 } }"), {});
  EXPECT_NE(sparse.constant(sparse.main().inputs.at(1)), nullptr);
  EXPECT_EQ(refusal(kRelu + " initializer { name: 'w' data_type: 1 float_data: 3 } initializer { name: 'w' data_type: 1 float_data: 3 }"), "E1102");
}

TEST(GraphFromProto, ErrorsNameTheTensor) {
  try {
    graph_from_proto(model_of_text(kRelu + " initializer { name: 'fc.w' data_type: 1 dims: 3 float_data: 3 }"), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "E1303");
    EXPECT_EQ(error.details().where, "tensor 'fc.w'");
    EXPECT_EQ(error.details().found, "float32 [3]: needed 3 elements, found 1");
  }
}

}  // namespace
}  // namespace niwaki
