#include "passes/cleanup/fold_batch_norm.h"

#include "compress/graph_text.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

std::vector<ValueId> norm_inputs(GraphBuilder& b, ValueId x, int64_t channels) {
  return {x, b.random_constant("scale", {channels}), b.random_constant("shift", {channels}),
          b.random_constant("mean", {channels}), b.constant("variance", random_tensor({channels}, 9).square() + 0.1)};
}

ValueId norm(GraphBuilder& b, ValueId x, int64_t channels, const std::string& name = "bn") {
  return b.node("BatchNormalization", norm_inputs(b, x, channels), {}, name);
}

void expect_same_outputs(const Applied& applied, const Tensor& x) {
  const Tensor before = run_graph(applied.before, {x}).front();
  EXPECT_LT(relative_difference(run_graph(applied.after, {x}).front(), before), 1e-5);
}

size_t count(const Graph& graph, const std::string& op) {
  size_t found = 0;
  for (const NodeId id : graph.all_nodes()) found += graph.node(id).op == op ? 1 : 0;
  return found;
}

TEST(FoldBatchNorm, FoldsIntoConvWithGroups) {
  GraphBuilder b;
  const ValueId conv = b.node("Conv", {b.input("x", {1, 4, 5, 5}), b.random_constant("w", {6, 2, 3, 3})},
                              {{"group", int64_t{2}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}}, "conv");
  b.output(norm(b, conv, 6), "y");
  const Applied applied = apply_pass("fold_batch_norm", b.graph());
  EXPECT_EQ(applied.after.main().nodes.size(), 1U);
  EXPECT_EQ(applied.after.main().constants.size(), 2U);
  EXPECT_TRUE(applied.after.find_value("conv.bias"));
  EXPECT_EQ(applied.report.changes.front().first, "w");
  expect_same_outputs(applied, random_tensor({1, 4, 5, 5}, 5));
}

TEST(FoldBatchNorm, FoldsIntoConvTransposeWithGroups) {
  GraphBuilder b;
  const ValueId conv = b.node("ConvTranspose", {b.input("x", {1, 4, 5, 5}), b.random_constant("w", {4, 3, 3, 3}), b.random_constant("b", {6})},
                              {{"group", int64_t{2}}}, "up");
  b.output(norm(b, conv, 6));
  const Applied applied = apply_pass("fold_batch_norm", b.graph());
  EXPECT_EQ(count(applied.after, "BatchNormalization"), 0U);
  expect_same_outputs(applied, random_tensor({1, 4, 5, 5}, 5));
}

TEST(FoldBatchNorm, FoldsIntoGemm) {
  for (const int64_t transposed : {0, 1}) {
    GraphBuilder b;
    const ValueId w = b.random_constant("w", transposed ? std::vector<int64_t>{6, 4} : std::vector<int64_t>{4, 6});
    const ValueId fc = b.node("Gemm", {b.input("x", {3, 4}), w, b.random_constant("b", {1, 6})},
                              {{"transB", transposed}, {"beta", 0.5F}, {"alpha", 2.0F}});
    b.output(norm(b, fc, 6));
    const Applied applied = apply_pass("fold_batch_norm", b.graph());
    EXPECT_EQ(count(applied.after, "BatchNormalization"), 0U);
    expect_same_outputs(applied, random_tensor({3, 4}, 5));
  }
}

TEST(FoldBatchNorm, FoldsIntoMatMulAndItsAdd) {
  for (const bool has_add : {false, true}) {
    GraphBuilder b;
    ValueId fc = b.node("MatMul", {b.input("x", {3, 4}), b.random_constant("w", {4, 6})});
    if (has_add) fc = b.node("Add", {fc, b.random_constant("b", {6})});
    b.output(norm(b, fc, 6));
    const Applied applied = apply_pass("fold_batch_norm", b.graph());
    EXPECT_EQ(count(applied.after, "BatchNormalization"), 0U);
    EXPECT_EQ(applied.after.main().nodes.size(), 2U);
    expect_same_outputs(applied, random_tensor({3, 4}, 5));
  }
}

TEST(FoldBatchNorm, FoldsForwardIntoAnUnpaddedConv) {
  GraphBuilder b;
  const ValueId h = norm(b, b.node("Relu", {b.input("x", {1, 4, 5, 5})}), 4);
  b.output(b.node("Conv", {h, b.random_constant("w", {6, 2, 3, 3})}, {{"group", int64_t{2}}}, "conv"));
  const Applied applied = apply_pass("fold_batch_norm", b.graph());
  EXPECT_EQ(count(applied.after, "BatchNormalization"), 0U);
  expect_same_outputs(applied, random_tensor({1, 4, 5, 5}, 5));
}

TEST(FoldBatchNorm, LeavesAPaddedConvAfterIt) {
  GraphBuilder b;
  const ValueId h = norm(b, b.node("Relu", {b.input("x", {1, 4, 5, 5})}), 4);
  b.output(b.node("Conv", {h, b.random_constant("w", {6, 4, 3, 3})}, {{"pads", std::vector<int64_t>{0, 1, 0, 0}}}));
  const Applied applied = apply_pass("fold_batch_norm", b.graph());
  EXPECT_EQ(applied.report.reason("bn"), "no Conv, ConvTranspose, Gemm or MatMul with a constant weight stands before it; "
                                         "the Conv after it pads, and padding is not shifted");
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(FoldBatchNorm, LeavesWhatOthersRead) {
  GraphBuilder b;
  const ValueId conv = b.node("Conv", {b.input("x", {1, 4, 5, 5}), b.random_constant("w", {6, 4, 3, 3})}, {}, "conv");
  b.output(conv, "h");
  b.output(norm(b, conv, 6), "y");
  const Applied applied = apply_pass("fold_batch_norm", b.graph());
  EXPECT_EQ(applied.report.reason("bn"), "other nodes, or the caller, read its input; several nodes, or the caller, read its output");
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(FoldBatchNorm, LeavesTinyVariance) {
  GraphBuilder b;
  const ValueId conv = b.node("Conv", {b.input("x", {1, 4, 5, 5}), b.random_constant("w", {2, 4, 3, 3})});
  b.output(b.node("BatchNormalization", {conv, b.constant("scale", at::ones({2})), b.constant("shift", at::zeros({2})),
                                         b.constant("mean", at::zeros({2})), b.constant("variance", at::zeros({2}))},
                  {{"epsilon", 1e-14F}}, "bn"));
  const Applied applied = apply_pass("fold_batch_norm", b.graph());
  EXPECT_EQ(applied.report.reason("bn"), "a factor is above 1e6: its variance is almost zero");
}

TEST(FoldBatchNorm, SecondRunChangesNothing) {
  GraphBuilder b;
  b.output(norm(b, b.node("Conv", {b.input("x", {1, 4, 5, 5}), b.random_constant("w", {6, 4, 3, 3})}), 6));
  const Applied once = apply_pass("fold_batch_norm", b.graph());
  EXPECT_TRUE(once.report.changed);
  EXPECT_FALSE(apply_pass("fold_batch_norm", once.after).report.changed);
}

}  // namespace
}  // namespace niwaki
