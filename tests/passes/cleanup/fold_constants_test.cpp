#include "passes/cleanup/fold_constants.h"

#include "compress/graph_text.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

ValueId ints(GraphBuilder& b, const std::string& name, std::vector<int64_t> numbers) { return b.constant(name, at::tensor(numbers, at::kLong)); }

TEST(FoldConstants, ComputesChains) {
  GraphBuilder b;
  const ValueId t = b.node("Neg", {b.node("Transpose", {b.constant("w", at::arange(6).to(at::kFloat).reshape({2, 3}))}, {}, "t")}, {}, "n");
  b.output(b.node("MatMul", {b.input("x", {1, 3}), t}), "y");
  const Applied applied = apply_pass("fold_constants", b.graph());
  ASSERT_EQ(applied.after.main().nodes.size(), 1U);
  ASSERT_EQ(applied.after.main().constants.size(), 1U);
  const Tensor want = -at::arange(6).to(at::kFloat).reshape({2, 3}).t();
  EXPECT_TRUE(at::equal(values(*applied.after.constant(applied.after.main().constants[0])), want));
  EXPECT_FALSE(apply_pass("fold_constants", applied.after).report.changed);
}

TEST(FoldConstants, TurnsConstantNodesIntoInitializers) {
  GraphBuilder b;
  const ValueId c = b.node("Constant", {}, {{"value", make_constant(at::ones({2000}))}}, "c");
  const ValueId v = b.node("Constant", {}, {{"value_floats", std::vector<float>{2}}}, "v");
  b.output(b.node("Mul", {b.node("Add", {b.input("x", {2000}), c}), v}), "y");
  const Applied applied = apply_pass("fold_constants", b.graph());
  EXPECT_EQ(applied.after.main().nodes.size(), 2U);
  EXPECT_EQ(applied.after.main().constants.size(), 2U);
}

TEST(FoldConstants, ReadsStaticShapes) {
  GraphBuilder b;
  const ValueId shape = b.node("Shape", {b.input("x", {2, 3, 4})}, {{"start", int64_t{-2}}}, "shape");
  b.output(b.node("Cast", {shape}, {{"to", int64_t{1}}}, "cast"), "y");
  const Applied applied = apply_pass("fold_constants", b.graph());
  EXPECT_EQ(applied.after.main().nodes.size(), 1U);
  EXPECT_TRUE(at::equal(values(*applied.after.constant(applied.after.main().constants[0])), at::tensor({3, 4}, at::kLong)));
  EXPECT_EQ(applied.report.reason("cast"), "its result is an output");
}

TEST(FoldConstants, KeepsDequantizeLinear) {
  GraphBuilder b;
  const ValueId w = b.node("DequantizeLinear", {b.constant("q", at::ones({4, 4}, at::kChar)), b.constant("s", at::ones({}))}, {}, "dq");
  b.output(b.node("MatMul", {b.input("x", {1, 4}), w}), "y");
  const Applied applied = apply_pass("fold_constants", b.graph());
  EXPECT_EQ(applied.report.reason("dq"), "folding it would undo compression");
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(FoldConstants, KeepsRandomNodes) {
  GraphBuilder b;
  const ValueId noise = b.node("RandomNormal", {}, {{"shape", std::vector<int64_t>{4}}}, "noise");
  b.output(b.node("Add", {b.input("x", {4}), noise}), "y");
  const Applied applied = apply_pass("fold_constants", b.graph());
  EXPECT_EQ(applied.report.reason("noise"), "it is random");
  EXPECT_FALSE(applied.report.changed);
}

TEST(FoldConstants, NeverGrowsTheFile) {
  GraphBuilder b;
  const ValueId wide = b.node("Expand", {b.constant("c", at::ones({1})), ints(b, "s", {1000})}, {}, "wide");
  const ValueId cast = b.node("Cast", {b.constant("h", at::ones({1000}, at::kHalf))}, {{"to", int64_t{1}}}, "cast");
  b.output(b.node("Add", {b.node("Add", {b.input("x", {1000}), wide}), cast}), "y");
  const Applied applied = apply_pass("fold_constants", b.graph());
  EXPECT_EQ(applied.report.reason("wide"), "its result is larger than its inputs");
  EXPECT_EQ(applied.report.reason("cast"), "its result is larger than its inputs");
  EXPECT_FALSE(applied.report.changed);
}

TEST(FoldConstants, LeavesInputsThatACallerMayOverride) {
  GraphBuilder b;
  const ValueId w = b.constant("w", at::ones({2}));
  b.output(b.node("Add", {b.input("x", {2}), b.node("Neg", {w}, {}, "neg")}), "y");
  Graph graph = b.graph();
  graph.edit_main().inputs.push_back(w);
  const Applied applied = apply_pass("fold_constants", graph);
  EXPECT_EQ(applied.report.reason("neg"), "a caller may override one of its inputs");
}

}  // namespace
}  // namespace niwaki
