#include "passes/quantize/quantize_dynamic.h"

#include "compress/graph_edit.h"
#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

constexpr double kByteError = 0.03;          // of the largest output: 8 bits on both sides

/// Two products of one input, and a Gemm with a bias.
Graph small_model(int64_t opset = 17) {
  GraphBuilder b(opset);
  const ValueId x = b.input("x", {2, 32});
  const ValueId q = b.node("MatMul", {x, b.random_constant("wq", {32, 24})}, {}, "q"), k = b.node("MatMul", {x, b.random_constant("wk", {32, 24})}, {}, "k");
  const ValueId both = b.node("Relu", {b.node("Add", {q, k})});
  b.output(b.node("Gemm", {both, b.random_constant("w", {40, 24}), b.random_constant("bias", {40})}, {{"transB", int64_t{1}}}, "fc"), "y");
  return b.graph();
}

std::map<std::string, int> operators(const Graph& graph) {
  std::map<std::string, int> counts;
  for (const NodeId id : graph.main().nodes) ++counts[graph.node(id).op];
  return counts;
}

TEST(QuantizeDynamic, RewritesProducts) {
  const Applied applied = apply_pass("quantize_dynamic", small_model());
  const auto counts = operators(applied.after);
  EXPECT_EQ(counts.at("MatMulInteger"), 3);
  EXPECT_EQ(counts.at("DynamicQuantizeLinear"), 2);              // q and k share the codes of x
  EXPECT_EQ(counts.at("Add"), 2);
  EXPECT_FALSE(counts.contains("MatMul") || counts.contains("Gemm"));
  EXPECT_EQ(applied.after.main().constants.size(), 7U);          // codes and scales of three, one bias
  for (const NodeReport& node : applied.report.nodes) EXPECT_GT(node.metrics.at("sqnr_db").get<double>(), 35);
}

TEST(QuantizeDynamic, LeavesOthersAlone) {
  GraphBuilder b;
  const ValueId x = b.input("x", {4, 32});
  b.output(b.node("MatMul", {x, b.input("v", {32, 8})}, {}, "runtime"));
  b.output(b.node("MatMul", {b.random_constant("w", {32, 32}), b.input("u", {32, 8})}, {}, "left"));
  b.output(b.node("MatMul", {b.input("t", {2, 4, 32}), b.random_constant("w3", {2, 32, 32})}, {}, "batched"));
  b.output(b.node("Gemm", {b.input("s", {32, 4}), b.random_constant("w4", {32, 32})}, {{"transA", int64_t{1}}}, "trans_a"));
  b.output(b.node("Gemm", {x, b.random_constant("w5", {32, 32})}, {{"alpha", 0.5F}}, "scaled"));
  const ValueId shared = b.random_constant("shared", {32, 32});
  b.output(b.node("MatMul", {x, shared}, {}, "shared_product"));
  b.output(b.node("Relu", {shared}, {}, "reader"));
  b.output(b.node("MatMul", {b.input("r", {4, 2}), b.random_constant("tiny", {2, 3})}, {}, "tiny_product"));
  b.output(b.node("Conv", {b.input("im", {1, 4, 8, 8}), b.random_constant("k", {8, 4, 3, 3})}, {}, "conv"));
  const Applied applied = apply_pass("quantize_dynamic", b.graph());
  const PassReport& report = applied.report;
  EXPECT_EQ(report.reason("runtime"), "weight is computed at run time");
  EXPECT_EQ(report.reason("left"), "its weight is the left factor");
  EXPECT_EQ(report.reason("batched"), "its weight is not 2-D");
  EXPECT_EQ(report.reason("trans_a"), "its input is transposed");
  EXPECT_EQ(report.reason("scaled"), "alpha is not 1");
  EXPECT_EQ(report.reason("shared_product"), "its weight is also read by 'reader', which stays float");
  EXPECT_EQ(report.reason("tiny_product"), "its weight would not be smaller");
  EXPECT_EQ(report.reason("conv"), "integer convolutions with uint8 activations and int8 weights are slower than float; static or store_weights takes it");
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(QuantizeDynamic, RefusesBadOptions) {
  try {
    apply_pass("quantize_dynamic", small_model(), {{"bits", 4}});
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("unknown option 'bits'"));
  }
}

TEST(QuantizeDynamic, SecondRunChangesNothing) {
  const Applied once = apply_pass("quantize_dynamic", small_model());
  const Applied twice = apply_pass("quantize_dynamic", once.after);
  EXPECT_EQ(text(twice.after), text(once.after));
  EXPECT_FALSE(twice.report.changed);
}

TEST(QuantizeDynamic, KeepsTheNumbersWithin8Bits) {
  for (const int64_t opset : {9, 17}) {
    const Applied applied = apply_pass("quantize_dynamic", small_model(opset));
    EXPECT_EQ(applied.after.opset(), std::max<int64_t>(opset, 11));
    const Tensor x = random_tensor({2, 32});
    EXPECT_LT(relative_difference(run_graph(applied.after, {x})[0], run_graph(applied.before, {x})[0]), kByteError);
  }
}

TEST(QuantizeDynamic, SharesTiedWeights) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 32}), w = b.random_constant("w", {32, 32});
  b.output(b.node("MatMul", {b.node("MatMul", {x, w}, {}, "first"), w}, {}, "second"), "y");
  const Applied applied = apply_pass("quantize_dynamic", b.graph());
  EXPECT_EQ(applied.after.main().constants.size(), 2U);
  const Tensor numbers = random_tensor({2, 32});
  EXPECT_LT(relative_difference(run_graph(applied.after, {numbers})[0], run_graph(applied.before, {numbers})[0]), kByteError);
}

TEST(QuantizeDynamic, ReducedWeightsFitOlderProcessors) {
  const Applied applied = apply_pass("quantize_dynamic", small_model(), {{"target", "onnxruntime-cpu-novnni"}});
  const Tensor codes = values(*applied.after.constant(*applied.after.find_value("q.weight_quantized")));
  EXPECT_EQ(codes.abs().max().item<int>(), 64);
}

TEST(QuantizeDynamic, SameBytesOnAnyNumberOfThreads) {
  set_num_threads(1);
  const Applied one = apply_pass("quantize_dynamic", small_model());
  set_num_threads(4);
  const Applied four = apply_pass("quantize_dynamic", small_model());
  set_num_threads(0);
  EXPECT_EQ(text(one.after), text(four.after));
}

}  // namespace
}  // namespace niwaki
