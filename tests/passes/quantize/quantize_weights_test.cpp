#include "passes/quantize/quantize_weights.h"

#include "compress/graph_edit.h"
#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

constexpr double kNibbleError = 0.2;         // of the largest output: three layers in 4 bits

/// Embedding, a product, and a Gemm with a bias, of sizes that leave short last blocks.
Graph small_model(int64_t opset = 17) {
  GraphBuilder b(opset);
  const ValueId rows = b.node("Gather", {b.random_constant("table", {40, 48}), b.input("i", {6}, DType::int64)}, {}, "embed");
  const ValueId y = b.node("MatMul", {rows, b.random_constant("w1", {48, 33})}, {}, "fc1");
  b.output(b.node("Gemm", {y, b.random_constant("w2", {7, 33}), b.random_constant("bias", {1, 7})}, {{"transB", int64_t{1}}}, "fc2"), "y");
  return b.graph();
}

Tensor some_rows() { return at::arange(6, at::kLong) * 7; }

Strings operators(const Graph& graph) {
  Strings ops;
  for (const NodeId id : graph.main().nodes) ops.push_back(graph.node(id).op);
  return ops;
}

/// The model with each quantized weight replaced by what its codes stand for: an independent reading of the packed bytes.
Tensor unpacked(const Graph& graph, const std::string& name, const std::string& codes_name, int64_t outputs, int64_t inputs, int64_t block_size) {
  const auto bytes = raw_bytes(*graph.constant(*graph.find_value(name + codes_name)));
  const Tensor scale = values(*graph.constant(*graph.find_value(name + ".weight_scale")));
  const auto zeros = raw_bytes(*graph.constant(*graph.find_value(name + ".weight_zero_point")));
  const int64_t per_row = static_cast<int64_t>(bytes.size()) / outputs, blocks = scale.size(1), zeros_per_row = (blocks + 1) / 2;
  const auto nibble = [](std::byte byte, int64_t i) { return (static_cast<int>(byte) >> (i % 2 * 4)) & 15; };
  Tensor w = at::empty({outputs, inputs}, at::kFloat);
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t i = 0; i < inputs; ++i) {
      const int64_t block = i / block_size;
      const int code = nibble(bytes[static_cast<size_t>(o * per_row + i / 2)], i);
      const int zero = nibble(zeros[static_cast<size_t>(o * zeros_per_row + block / 2)], block);
      w[o][i] = static_cast<float>(code - zero) * scale[o][block].item<float>();
    }
  }
  return w;
}

TEST(QuantizeWeights, RewritesProductsAndTables) {
  const Applied applied = apply_pass("quantize_weights", small_model(), {{"block_size", 16}});
  EXPECT_THAT(operators(applied.after), testing::ElementsAre("GatherBlockQuantized", "MatMulNBits", "MatMulNBits"));
  EXPECT_EQ(applied.after.opset("com.microsoft"), 1);
  EXPECT_EQ(applied.after.node(applied.after.main().nodes[2]).inputs.size(), 6U);
  EXPECT_EQ(applied.after.main().constants.size(), 10U);        // codes, scales and zero points of three, one bias
  for (const NodeReport& node : applied.report.nodes) {
    EXPECT_EQ(node.outcome, Outcome::changed);
    EXPECT_GT(node.metrics.at("sqnr_db").get<double>(), 15);
  }
  EXPECT_DOUBLE_EQ(applied.report.nodes[0].metrics.at("bits_per_weight").get<double>(), 4 + 32.0 / 16 + 4.0 / 16);
}

TEST(QuantizeWeights, GenericTargetUsesStandardOperators) {
  const Applied applied = apply_pass("quantize_weights", small_model(), {{"target", "generic"}, {"block_size", 16}});
  EXPECT_THAT(operators(applied.after), testing::UnorderedElementsAre("Gather", "DequantizeLinear", "MatMul", "DequantizeLinear", "Gemm"));
  EXPECT_EQ(applied.after.opset(), 21);
  EXPECT_EQ(applied.report.changes.at(0).first, "opset");
  EXPECT_EQ(applied.report.reason("embed"), "a table behind DequantizeLinear is expanded on every run; store_weights takes it");
  const Tensor want = run_graph(applied.before, {some_rows()})[0], got = run_graph(applied.after, {some_rows()})[0];
  EXPECT_LT(relative_difference(got, want), kNibbleError);
}

TEST(QuantizeWeights, SharesTiedWeights) {
  GraphBuilder b;
  const ValueId table = b.random_constant("table", {64, 32});
  const ValueId rows = b.node("Gather", {table, b.input("i", {6}, DType::int64)}, {}, "embed");
  b.output(b.node("Gemm", {rows, table}, {{"transB", int64_t{1}}}, "head"), "y");
  b.output(b.node("Gemm", {b.node("Relu", {rows}), table}, {{"transB", int64_t{1}}}, "head2"), "z");
  const Applied applied = apply_pass("quantize_weights", b.graph());
  EXPECT_THAT(operators(applied.after), testing::UnorderedElementsAre("Reshape", "GatherBlockQuantized", "MatMulNBits", "Relu", "MatMulNBits"));
  EXPECT_EQ(applied.after.main().constants.size(), 4U);         // codes, scales, zero points, one shape
  const Tensor w = unpacked(applied.after, "embed", ".weight_rows", 64, 32, 32);
  const Tensor got = run_graph(applied.after, {some_rows()})[0];
  EXPECT_LT(relative_difference(got, at::matmul(w.index_select(0, some_rows()), w.t())), 1e-5);
}

TEST(QuantizeWeights, LeavesOthersAlone) {
  GraphBuilder b;
  const ValueId x = b.input("x", {4, 32}), w = b.random_constant("w", {32, 32});
  b.output(b.node("MatMul", {x, b.input("v", {32, 8})}, {}, "runtime"));
  b.output(b.node("MatMul", {w, b.input("u", {32, 8})}, {}, "left"));
  b.output(b.node("MatMul", {b.input("t", {2, 4, 32}), b.random_constant("w3", {2, 32, 32})}, {}, "batched"));
  b.output(b.node("Gemm", {b.input("s", {32, 4}), b.random_constant("w4", {32, 32})}, {{"transA", int64_t{1}}}, "trans_a"));
  b.output(b.node("Gemm", {x, b.random_constant("w5", {32, 32})}, {{"alpha", 0.5F}}, "scaled"));
  b.output(b.node("Gemm", {x, b.random_constant("w6", {32, 32}), b.random_constant("b6", {1, 1})}, {}, "one_bias"));
  const ValueId shared = b.random_constant("shared", {32, 32});
  b.output(b.node("MatMul", {x, shared}, {}, "shared_product"));
  b.output(b.node("Relu", {shared}, {}, "reader"));
  b.output(b.node("MatMul", {x, b.constant("nan", at::full({32, 32}, NAN))}, {}, "not_finite"));
  b.output(b.node("MatMul", {b.input("r", {4, 2}), b.random_constant("tiny", {2, 3})}, {}, "tiny_product"));
  b.output(b.node("Gather", {b.random_constant("odd", {32, 33}), b.input("i", {2}, DType::int64)}, {}, "odd_rows"));
  b.output(b.node("Conv", {b.input("im", {1, 4, 8, 8}), b.random_constant("k", {8, 4, 3, 3})}, {}, "conv"));
  const Applied applied = apply_pass("quantize_weights", b.graph());
  const PassReport& report = applied.report;
  EXPECT_EQ(report.reason("runtime"), "weight is computed at run time");
  EXPECT_EQ(report.reason("left"), "its weight is the left factor");
  EXPECT_EQ(report.reason("batched"), "its weight is not 2-D");
  EXPECT_EQ(report.reason("trans_a"), "its input is transposed");
  EXPECT_EQ(report.reason("scaled"), "alpha is not 1");
  EXPECT_EQ(report.reason("one_bias"), "its bias is not one number per output");
  EXPECT_EQ(report.reason("shared_product"), "its weight is also read by 'reader', which stays float");
  EXPECT_EQ(report.reason("not_finite"), "its weight has numbers that are not finite");
  EXPECT_EQ(report.reason("tiny_product"), "its weight would not be smaller");
  EXPECT_EQ(report.reason("odd_rows"), "rows of its table have an odd number of weights");
  EXPECT_EQ(report.reason("conv"), "Conv on stored integers is slower than float; store_weights takes it");
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(QuantizeWeights, LeavesSmallWeightsIn8BitsToTheStore) {
  const Applied applied = apply_pass("quantize_weights", small_model(), {{"bits", 8}});
  EXPECT_EQ(applied.report.reason("fc1"), "the 8-bit kernel is slower than float below 65536 weights; store_weights takes it");
  EXPECT_FALSE(applied.report.changed);
}

TEST(QuantizeWeights, RefusesBadOptions) {
  const auto message = [](const Json& options) -> std::string {
    try {
      apply_pass("quantize_weights", small_model(), options);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  for (const int size : {8, 24, 512}) {
    EXPECT_THAT(message({{"block_size", size}}), testing::HasSubstr(cat("option 'block_size' is ", size, "; needed 16, 32, 64, 128 or 256")));
  }
  EXPECT_THAT(message({{"bits", 5}}), testing::HasSubstr("option 'bits' is 5; needed 4 or 8"));
  EXPECT_THAT(message({{"accuracy_level", 2}}), testing::HasSubstr("option 'accuracy_level' is 2; needed 0 or 4"));
}

TEST(QuantizeWeights, SecondRunChangesNothing) {
  for (const char* target : {"onnxruntime-cpu", "generic"}) {
    const Applied once = apply_pass("quantize_weights", small_model(), {{"target", target}});
    const Applied twice = apply_pass("quantize_weights", once.after, {{"target", target}});
    EXPECT_EQ(text(twice.after), text(once.after));
    EXPECT_FALSE(twice.report.changed);
  }
}

TEST(QuantizeWeights, CodesStandForTheNumbersThatAreRun) {
  const Applied applied = apply_pass("quantize_weights", small_model(), {{"block_size", 16}});
  const Graph& graph = applied.after;
  const Tensor table = unpacked(graph, "embed", ".weight_rows", 40, 48, 16), w1 = unpacked(graph, "fc1", ".weight_quantized", 33, 48, 16);
  const Tensor w2 = unpacked(graph, "fc2", ".weight_quantized", 7, 33, 16), bias = values(*applied.before.constant(*applied.before.find_value("bias")));
  const Tensor want = at::matmul(at::matmul(table.index_select(0, some_rows()), w1.t()), w2.t()) + bias;
  const Tensor got = run_graph(graph, {some_rows()})[0];
  EXPECT_LT(relative_difference(got, want), 1e-5);
  EXPECT_LT(relative_difference(got, run_graph(applied.before, {some_rows()})[0]), kNibbleError);
}

TEST(QuantizeWeights, RunsOnEightBits) {
  GraphBuilder b;
  const ValueId y = b.node("MatMul", {b.input("x", {3, 300}), b.random_constant("w", {300, 256})}, {}, "fc");
  b.output(b.node("Gather", {b.random_constant("table", {2048, 33}), b.input("i", {6}, DType::int64)}, {}, "embed"), "z");
  b.output(y, "y");
  for (const bool symmetric : {true, false}) {
    const Applied applied = apply_pass("quantize_weights", b.graph(), {{"bits", 8}, {"symmetric", symmetric}});
    EXPECT_THAT(operators(applied.after), testing::Contains("MatMulNBits"));
    const std::vector<Tensor> inputs = {random_tensor({3, 300}), some_rows()};
    const std::vector<Tensor> want = run_graph(applied.before, inputs), got = run_graph(applied.after, inputs);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_difference(got[i], want[i]), 0.01);
  }
}

TEST(QuantizeWeights, SameBytesOnAnyNumberOfThreads) {
  set_num_threads(1);
  const Applied one = apply_pass("quantize_weights", small_model());
  set_num_threads(4);
  const Applied four = apply_pass("quantize_weights", small_model());
  set_num_threads(0);
  EXPECT_EQ(text(one.after), text(four.after));
  for (const ValueId id : one.after.main().constants) EXPECT_TRUE(same_content(*one.after.constant(id), *four.after.constant(id)));
}

}  // namespace
}  // namespace niwaki
