#include "passes/store/encode_constants.h"

#include "compress/error.h"
#include "compress/footprint.h"
#include "compress/graph_text.h"
#include "compress/onnx/proto.h"
#include "compress/parallel.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

namespace niwaki {
namespace {

Graph masked() {
  GraphBuilder b(13);
  const Tensor table = random_tensor({40, 32}, 1);
  const ValueId rows = b.node("Gather", {b.constant("table", table), b.input("x", {32}, DType::int64)});
  const ValueId logits = b.node("MatMul", {rows, b.constant("head", table.t().contiguous())});
  const ValueId mask = b.constant("mask", at::full({32, 40}, -1e9f).triu(1));
  b.output(b.node("Add", {logits, mask}), "y");
  return b.graph();
}

TEST(EncodeConstants, FindsMasksAndTwins) {
  const Applied applied = apply_pass("encode_constants", masked());
  const Graph& graph = applied.after;
  EXPECT_EQ(graph.node(*graph.producer(*graph.find_value("mask"))).op, "Where");
  EXPECT_EQ(graph.node(*graph.producer(*graph.find_value("head"))).op, "Transpose");
  EXPECT_NE(graph.constant(*graph.find_value("table")), nullptr);
}

TEST(EncodeConstants, SharesWhatIsTheSame) {
  GraphBuilder b;
  const Tensor numbers = random_tensor({32, 32}, 1);
  b.output(b.node("MatMul", {b.node("MatMul", {b.input("x", {1, 32}), b.constant("u", numbers)}), b.constant("v", numbers)}), "y");
  const Applied applied = apply_pass("encode_constants", b.graph());
  EXPECT_EQ(applied.after.main().constants.size(), 1u);
  EXPECT_EQ(applied.after.main().nodes.size(), 2u);
}

TEST(EncodeConstants, LeavesShapesAndRandomNumbersAlone) {
  GraphBuilder b;
  const ValueId shape = b.constant("shape", at::ones({20}, at::kLong));
  const ValueId x = b.node("MatMul", {b.input("x", {1, 32}), b.random_constant("w", {32, 1})});
  b.output(b.node("Reshape", {x, shape}), "y");
  const Applied applied = apply_pass("encode_constants", b.graph());
  EXPECT_EQ(text(applied.after), text(applied.before));
}

Graph with_zeros(int64_t opset) {
  GraphBuilder b(opset);
  const Tensor numbers = random_tensor({300, 200}, 1);
  const ValueId weight = b.constant("w", numbers.masked_fill(random_tensor({300, 200}, 2).abs() > 0.1, 0));
  b.output(b.node("MatMul", {b.input("x", {1, 300}), weight}), "y");
  return b.graph();
}

TEST(EncodeConstants, StoresZerosAtNoCost) {
  const Applied applied = apply_pass("encode_constants", with_zeros(13));
  EXPECT_LT(serialized_bytes(applied.after), serialized_bytes(applied.before) * 3 / 20);
  int64_t saved = 0;
  for (const NodeReport& node : applied.report.nodes) saved += node.metrics.value("bytes_saved", int64_t{0});
  const auto graph_bytes = [](const Graph& graph) { return static_cast<int64_t>(graph_to_proto(graph).graph().ByteSizeLong()); };
  EXPECT_EQ(graph_bytes(applied.before) - graph_bytes(applied.after), saved);
}

TEST(EncodeConstants, StoresZerosWhereAsked) {
  const Applied applied = apply_pass("encode_constants", with_zeros(13), {{"sparse", false}});
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(EncodeConstants, RaisesTheOpsetWhereItPays) {
  const Applied applied = apply_pass("encode_constants", with_zeros(9));
  EXPECT_EQ(applied.after.opset(), 11);
  EXPECT_LT(serialized_bytes(applied.after), serialized_bytes(applied.before) / 5);
  ASSERT_GE(applied.report.changes.size(), 1u);
  EXPECT_EQ(applied.report.changes[0].first, "opset");
  GraphBuilder b(9);
  b.output(b.node("MatMul", {b.input("x", {1, 32}), b.random_constant("w", {32, 32})}), "y");
  EXPECT_EQ(apply_pass("encode_constants", b.graph()).after.opset(), 9);
}

TEST(EncodeConstants, RefusesBadOptions) {
  EXPECT_THROW(apply_pass("encode_constants", masked(), {{"least_saving", 0}}), UsageError);
  EXPECT_THROW(apply_pass("encode_constants", masked(), {{"saving", 1}}), UsageError);
}

TEST(EncodeConstants, SecondRunChangesNothing) {
  const Applied once = apply_pass("encode_constants", masked());
  EXPECT_EQ(text(apply_pass("encode_constants", once.after).after), text(once.after));
}

TEST(EncodeConstants, OutputsAreTheSameBits) {
  const Applied applied = apply_pass("encode_constants", masked());
  const Tensor x = at::arange(32);
  EXPECT_TRUE(at::equal(run_graph(applied.after, {x})[0], run_graph(applied.before, {x})[0]));
}

TEST(EncodeConstants, SameBytesOnOneThreadAndFour) {
  set_num_threads(1);
  const Applied one = apply_pass("encode_constants", masked());
  set_num_threads(4);
  const Applied four = apply_pass("encode_constants", masked());
  set_num_threads(0);
  EXPECT_EQ(text(one.after), text(four.after));
}

}  // namespace
}  // namespace niwaki
