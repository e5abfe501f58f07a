#include "compress/footprint.h"

#include "compress/onnx/proto.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

namespace niwaki {
namespace {

Graph quantized_graph() {
  GraphBuilder b(21);
  const ValueId codes = b.constant("w.codes", at::ones({100, 60}, at::kChar)), scale = b.constant("w.scale", at::ones({60}));
  const ValueId w = b.node("DequantizeLinear", {codes, scale}, {{"axis", int64_t{1}}});
  const ValueId h = b.node("MatMul", {b.input("x", {int64_t{1}, int64_t{100}}), w});
  b.output(b.node("Add", {h, b.constant("one", at::scalar_tensor(1.0f))}));
  Graph graph = b.graph();
  graph.header().metadata = {{"key", "value"}};
  graph.header().doc = "0123456789";
  return graph;
}

TEST(Footprint, SerializedBytesAreThoseOfTheMessage) {
  for (const int64_t columns : {1, 15, 16, 40, 300, 5000}) {
    GraphBuilder b;
    b.output(b.node("MatMul", {b.input("x", {int64_t{1}, int64_t{16}}), b.random_constant("w", {16, columns})}));
    const Graph graph = b.graph();
    const auto wanted = static_cast<int64_t>(graph_to_proto(graph).SerializeAsString().size());
    EXPECT_NEAR(static_cast<double>(serialized_bytes(graph)), static_cast<double>(wanted), 4) << columns;   // of the lengths of lengths
  }
}

TEST(Footprint, SerializedIsTheMessage) { EXPECT_EQ(serialized(quantized_graph()), graph_to_proto(quantized_graph()).SerializeAsString()); }

TEST(Footprint, TellsWhereTheBytesGo) {
  const Footprint footprint = measure_footprint(quantized_graph());
  EXPECT_EQ(footprint.weight_bytes, 100 * 60 + 4);
  EXPECT_EQ(footprint.scale_bytes, 60 * 4);
  EXPECT_EQ(footprint.metadata_bytes, 8 + 10);
  EXPECT_EQ(footprint.num_weights, 100 * 60 + 60);
  EXPECT_GT(footprint.string_bytes, 0);
  EXPECT_GT(footprint.graph_bytes, 0);
}

TEST(Footprint, PartsAddUp) {
  const Footprint footprint = measure_footprint(quantized_graph());
  EXPECT_EQ(footprint.weight_bytes + footprint.scale_bytes + footprint.metadata_bytes + footprint.string_bytes + footprint.graph_bytes, footprint.total_bytes);
  const Json json = to_json(footprint);
  int64_t sum = 0;
  for (const auto& [name, bytes] : json.items()) sum += bytes.get<int64_t>();
  EXPECT_EQ(sum, footprint.total_bytes);
}

TEST(Footprint, PackedWeightsCountTheirElements) {
  GraphBuilder b(21);
  b.output(b.node("Identity", {b.input("x", {int64_t{1}})}));
  Graph graph = b.graph();
  graph.add_constant("w", make_constant(at::ones({33}, at::kChar), DType::int4));
  EXPECT_EQ(measure_footprint(graph).weight_bytes, 17);
  EXPECT_EQ(measure_footprint(graph).num_weights, 33);
}

}  // namespace
}  // namespace niwaki
