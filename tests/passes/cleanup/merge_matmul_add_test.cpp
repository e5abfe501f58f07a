#include "passes/cleanup/merge_matmul_add.h"

#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "passes/all_passes.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// y = x [3, 4] * w [4, 5] + b
Graph matmul_add(std::vector<int64_t> bias, bool bias_first = false,
                 Shape x = {std::string("batch"), int64_t{4}}, int64_t opset = 13) {
  GraphBuilder b(opset);
  const ValueId h =
      b.node("MatMul", {b.input("x", std::move(x)), b.random_constant("w", {4, 5})}, {}, "fc");
  const ValueId added = b.random_constant("b", std::move(bias));
  b.output(b.node("Add", bias_first ? std::vector{added, h} : std::vector{h, added}, {}, "plus"),
           "y");
  return b.graph();
}

void expect_left_alone(const Graph& graph, const std::string& reason) {
  const Applied applied = apply_pass("merge_matmul_add", graph);
  EXPECT_EQ(applied.report.reason("fc"), reason);
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(MergeMatmulAdd, MergesBiasOnEitherSide) {
  for (const bool bias_first : {false, true}) {
    for (const std::vector<int64_t>& bias : {std::vector<int64_t>{5}, std::vector<int64_t>{1, 5}}) {
      const Applied applied = apply_pass("merge_matmul_add", matmul_add(bias, bias_first));
      ASSERT_EQ(applied.after.main().nodes.size(), 1U);
      const Node& gemm = applied.after.node(applied.after.main().nodes[0]);
      EXPECT_EQ(gemm.op, "Gemm");
      EXPECT_EQ(gemm.name, "fc");
      EXPECT_EQ(applied.after.value(gemm.outputs[0]).name, "y");
    }
  }
}

TEST(MergeMatmulAdd, LeavesOtherRanksAndBiasesAlone) {
  expect_left_alone(matmul_add({5}, false, {int64_t{2}, int64_t{3}, int64_t{4}}),
                    "its input is not known to have two dimensions");
  expect_left_alone(matmul_add({3, 5}), "what is added is not one constant per output");
  expect_left_alone(matmul_add({1}), "what is added is not one constant per output");
  expect_left_alone(matmul_add({5, 1}), "what is added is not one constant per output");
  expect_left_alone(matmul_add({1, 1, 5}), "what is added is not one constant per output");
  expect_left_alone(matmul_add({5}, false, {int64_t{3}, int64_t{4}}, 6),
                    "before opset 7, Gemm does not broadcast its bias");
}

TEST(MergeMatmulAdd, LeavesRunTimeWeightsAlone) {
  GraphBuilder b;
  const ValueId h = b.node("MatMul", {b.input("x", {3, 4}), b.input("w", {4, 5})}, {}, "fc");
  b.output(b.node("Add", {h, b.random_constant("b", {5})}));
  expect_left_alone(b.graph(), "its weight is computed at run time");
}

TEST(MergeMatmulAdd, LeavesWhatOthersRead) {
  GraphBuilder b;
  const ValueId h =
      b.node("MatMul", {b.input("x", {3, 4}), b.random_constant("w", {4, 5})}, {}, "fc");
  b.output(h, "h");
  b.output(b.node("Add", {h, b.random_constant("b", {5})}), "y");
  expect_left_alone(b.graph(), "several nodes, or the caller, read its output");
}

TEST(MergeMatmulAdd, LeavesOtherConsumersAlone) {
  GraphBuilder b;
  b.output(b.node("Relu", {b.node("MatMul", {b.input("x", {3, 4}), b.random_constant("w", {4, 5})},
                                  {}, "fc")}));
  expect_left_alone(b.graph(), "no Add follows");
}

TEST(MergeMatmulAdd, RefusesUnknownOptions) {
  try {
    all_passes().make("merge_matmul_add", {{"transpose", true}});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.message(), "unknown option 'transpose'");
  }
}

TEST(MergeMatmulAdd, SecondRunChangesNothing) {
  const Applied once = apply_pass("merge_matmul_add", matmul_add({5}));
  EXPECT_TRUE(once.report.changed);
  EXPECT_FALSE(apply_pass("merge_matmul_add", once.after).report.changed);
}

TEST(MergeMatmulAdd, KeepsTheNumbers) {
  const Applied applied = apply_pass("merge_matmul_add", matmul_add({1, 5}, true));
  const Tensor x = random_tensor({3, 4}, 5);
  EXPECT_LT(relative_difference(run_graph(applied.after, {x}).front(),
                                run_graph(applied.before, {x}).front()),
            1e-6);
}

TEST(MergeMatmulAdd, SameResultForAnyThreads) {
  set_num_threads(1);
  const std::string one = text(apply_pass("merge_matmul_add", matmul_add({5})).after);
  set_num_threads(4);
  EXPECT_EQ(text(apply_pass("merge_matmul_add", matmul_add({5})).after), one);
}

}  // namespace
}  // namespace niwaki
