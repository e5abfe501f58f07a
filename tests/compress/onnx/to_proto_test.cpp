#include "compress/onnx/proto.h"

#include "tests/compress/onnx/onnx_text.h"
#include "tests/formats/shared_data.h"
#include "tests/formats/temporary_folder.h"
#include "tests/graph_builder.h"
#include "tests/onnx_difference.h"

#include <gmock/gmock.h>

#include <set>

namespace niwaki {
namespace {

namespace fs = std::filesystem;

/// What reading and writing a message changes, or "".
std::string round_trip(const onnx::ModelProto& model) {
  return onnx_difference(model, graph_to_proto(graph_from_proto(onnx::ModelProto(model), {})));
}

TEST(GraphToProto, KeepsEveryFieldOfTheMessage) {
  onnx::ModelProto model = model_of_text(
      "doc_string: 'the graph' "
      "node { name: 'n' doc_string: 'the node' input: 'x' input: 'w' input: '' output: 'y' output: '' op_type: 'F' domain: 'mine' overload: 'o' "
      "  metadata_props { key: 'k' value: 'v' } "
      "  attribute { name: 'a' type: INT i: -5 doc_string: 'why' } attribute { name: 'b' type: FLOAT f: 0.5 } attribute { name: 'c' type: STRING s: 'a\\000b' } "
      "  attribute { name: 'd' type: INTS ints: 1 ints: 2 } attribute { name: 'e' type: FLOATS floats: 1 } attribute { name: 'f' type: STRINGS strings: 's' } "
      "  attribute { name: 'g' type: TENSOR t { name: 'named' data_type: 7 dims: 1 int64_data: 9 doc_string: 'told' } } attribute { name: 'h' type: INTS } "
      "  attribute { name: 'i' type: TENSORS tensors { data_type: 1 float_data: 2 } } attribute { name: 'j' type: TYPE_PROTO tp { tensor_type { elem_type: 1 } } } "
      "  attribute { name: 'k' type: SPARSE_TENSOR sparse_tensor { dims: 4 values { data_type: 1 dims: 1 float_data: 1 } "
      "    indices { data_type: 7 dims: 1 int64_data: 3 } } } } "
      "initializer { name: 'w' data_type: 1 dims: 2 float_data: 1 float_data: 2 doc_string: 'weights' metadata_props { key: 'k' value: 'v' } } "
      "sparse_initializer { dims: 4 values { name: 's' data_type: 1 dims: 1 float_data: 1 } indices { data_type: 7 dims: 1 int64_data: 3 } } "
      "output { name: 'y' doc_string: 'out' type { tensor_type { elem_type: 1 shape { dim { dim_param: 'n' denotation: 'DATA' } dim { } } } } } "
      "value_info { name: 'nobody' type { tensor_type { elem_type: 7 } } } value_info { name: 'w' type { tensor_type { elem_type: 1 } } } "
      "quantization_annotation { tensor_name: 'x' quant_parameter_tensor_names { key: 'k' value: 'v' } } metadata_props { key: 'k' value: 'v' }",
      "producer_name: 'p' producer_version: '1' domain: 'd' model_version: 3 doc_string: 'doc' metadata_props { key: 'b' value: '1' } "
      "metadata_props { key: 'a' value: '2' } opset_import { domain: 'mine' version: 4 } opset_import { domain: '' version: 17 } "
      "functions { name: 'F' domain: 'mine' input: 'a' output: 'b' node { input: 'a' output: 'b' op_type: 'Relu' } opset_import { version: 17 } }");
  EXPECT_EQ(round_trip(model), "");
}

TEST(GraphToProto, KeepsOptionalAndSequenceTypes) {
  EXPECT_EQ(round_trip(model_of_text(
                "input { name: 's' type { sequence_type { elem_type { tensor_type { elem_type: 1 } } } } } "
                "node { input: 's' output: 'o' op_type: 'Optional' } output { name: 'o' type { optional_type { elem_type { sequence_type { "
                "elem_type { tensor_type { elem_type: 1 } } } } } } }")), "");
}

TEST(GraphToProto, KeepsOutputsThatAreInputsOrInitializers) {
  EXPECT_EQ(round_trip(model_of_text("initializer { name: 'w' data_type: 1 dims: 2 float_data: 1 float_data: 2 } "
                                     "output { name: 'x' type { tensor_type { elem_type: 1 shape { dim { dim_value: 1 } dim { dim_value: 2 } } } } } "
                                     "output { name: 'w' type { tensor_type { elem_type: 1 shape { dim { dim_value: 2 } } } } }")), "");
}

TEST(GraphToProto, LeavesLargeConstantsBehind) {
  GraphBuilder b;
  b.output(b.node("MatMul", {b.input("x", {int64_t{1}, int64_t{64}}), b.random_constant("w", {64, 64})}));
  std::vector<std::string> left;
  const onnx::ModelProto skeleton = graph_to_proto(
      b.graph(), {.largest_inline = 100, .left_behind = [&](ValueId, const Constant& constant, onnx::TensorProto& tensor) {
                    left.push_back(tensor.name());
                    EXPECT_EQ(byte_size(constant), 64 * 64 * 4);
                  }});
  EXPECT_THAT(left, testing::ElementsAre("w"));
  EXPECT_LT(skeleton.ByteSizeLong(), 1000u);
  EXPECT_EQ(skeleton.graph().initializer(0).dims_size(), 2);
}

class RealModels : public testing::TestWithParam<const char*> {};

TEST_P(RealModels, ComeOutAsTheyWere) {
  const fs::path folder = shared_data() / GetParam();
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no folder " << folder << "; set NIWAKI_SHARED_DATA";
  size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".onnx") continue;
    onnx::ModelProto model;
    ASSERT_TRUE(model.ParseFromString(file_text(entry.path()))) << entry.path();
    EXPECT_EQ(round_trip(model), "") << entry.path();
    ++count;
  }
  EXPECT_GT(count, 10u);
}

INSTANTIATE_TEST_SUITE_P(GraphToProto, RealModels, testing::Values("models", "datasets/onnx_conformance"));

}  // namespace
}  // namespace niwaki
