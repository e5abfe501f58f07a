#include "passes/quantize/place_qdq.h"

#include "compress/verify.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(PlaceQdq, PutsAPairBehindAValue) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{4}}), h = b.node("Relu", {x}, {}, "relu"), y = b.node("Neg", {h}, {}, "neg");
  b.output(y);
  Graph graph = b.graph();
  const NodeId neg = *graph.producer(y);
  const QuantizedValue pair = place_qdq(graph, h, {.scale = 0.5f, .zero_point = 3});
  graph.set_input(neg, 0, pair.numbers);
  require_valid(graph);
  EXPECT_EQ(graph.value(pair.codes).dtype, DType::uint8);
  EXPECT_TRUE(graph.constant(pair.scale)->sizes.empty());              // rank 0: kernels refuse [1]
  EXPECT_TRUE(graph.constant(pair.zero_point)->sizes.empty());
  EXPECT_EQ(values(*graph.constant(pair.scale)).item<float>(), 0.5f);
  EXPECT_EQ(values(*graph.constant(pair.zero_point)).scalar_type(), at::kByte);
  EXPECT_TRUE(at::equal(run_graph(graph, {at::tensor({0.2f, 0.3f, 1.74f, 200.f})})[0], at::tensor({-0.0f, -0.5f, -1.5f, -126.f})));
}

TEST(PlaceQdq, InputsGetTheirPairFirst) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{4}}), y = b.node("Relu", {x});
  b.output(y);
  Graph graph = b.graph();
  const QuantizedValue pair = place_qdq(graph, x, {.scale = 1, .zero_point = 128});
  graph.set_input(*graph.producer(y), 0, pair.numbers);
  require_valid(graph);
  EXPECT_EQ(graph.node(graph.main().nodes[0]).op, "QuantizeLinear");
  EXPECT_EQ(graph.node(graph.main().nodes[1]).op, "DequantizeLinear");
}

TEST(PlaceQdq, SharesTheGridOfAnEarlierPair) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{4}}), y = b.node("Relu", {x});
  b.output(y);
  Graph graph = b.graph();
  const QuantizedValue first = place_qdq(graph, x, {.scale = 1, .zero_point = 0}), second = place_qdq(graph, y, {.scale = 2, .zero_point = 9}, &first);
  EXPECT_EQ(first.scale, second.scale);
  EXPECT_EQ(first.zero_point, second.zero_point);
  EXPECT_EQ(graph.main().constants.size(), 2u);
  require_valid(graph);
}

TEST(DequantizeConstant, GivesTheNumbersBack) {
  for (const DType dtype : {DType::int8, DType::int4}) {
    GraphBuilder b(21);
    const ValueId y = b.node("MatMul", {b.input("x", {int64_t{1}, int64_t{2}}), b.random_constant("w", {2, 3})});
    b.output(y);
    Graph graph = b.graph();
    const NodeId node = *graph.producer(y);
    const Tensor codes = at::tensor({-7, 2, 3, 4, 5, -6}, at::kChar).reshape({2, 3}), scale = at::tensor({0.5f, 1.0f, 2.0f});
    graph.set_input(node, 1, dequantize_constant(graph, node, "w", codes, dtype, scale, 1));
    require_valid(graph);
    const Tensor x = at::tensor({1.f, 10.f}).reshape({1, 2});
    EXPECT_TRUE(at::equal(run_graph(graph, {x})[0], at::matmul(x, codes.to(at::kFloat) * scale)));
    EXPECT_EQ(byte_size(*graph.constant(*graph.find_value("w.q"))), dtype == DType::int8 ? 6 : 3);
  }
}

TEST(DequantizeConstant, OneScaleHasNoAxis) {
  GraphBuilder b;
  const ValueId y = b.node("MatMul", {b.input("x", {int64_t{1}, int64_t{2}}), b.random_constant("w", {2, 3})});
  b.output(y);
  Graph graph = b.graph();
  const ValueId numbers = dequantize_constant(graph, *graph.producer(y), "w", at::ones({2, 3}, at::kChar), DType::int8, at::scalar_tensor(0.5f), 1);
  EXPECT_FALSE(has_attribute(graph.node(*graph.producer(numbers)), "axis"));
}

}  // namespace
}  // namespace niwaki
