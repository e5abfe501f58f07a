#include "passes/cleanup/merge_duplicates.h"

#include "compress/graph_text.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(MergeDuplicates, MergesConstantsThenNodes) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 4});
  const ValueId left = b.node("MatMul", {x, b.constant("w", at::ones({4, 4}))}), right = b.node("MatMul", {x, b.constant("v", at::ones({4, 4}))});
  b.output(b.node("Add", {b.node("Relu", {left}), b.node("Relu", {right})}), "y");
  const Applied applied = apply_pass("merge_duplicates", b.graph());
  EXPECT_EQ(applied.after.main().nodes.size(), 3U);
  EXPECT_EQ(applied.after.main().constants.size(), 1U);
  const Tensor given = random_tensor({2, 4}, 1);
  EXPECT_EQ(relative_difference(run_graph(applied.after, {given}).front(), run_graph(applied.before, {given}).front()), 0);
  EXPECT_FALSE(apply_pass("merge_duplicates", applied.after).report.changed);
}

TEST(MergeDuplicates, LeavesWhatDiffers) {
  GraphBuilder b;
  const ValueId x = b.input("x", {4});
  const ValueId a = b.node("LeakyRelu", {x}, {{"alpha", 0.1F}}), c = b.node("LeakyRelu", {x}, {{"alpha", 0.2F}});
  const ValueId noise = b.node("RandomNormalLike", {x}), other = b.node("RandomNormalLike", {x});
  b.output(b.node("Sum", {a, c, noise, other, b.constant("z", at::zeros({1})), b.constant("h", at::zeros({1, 1}))}), "y");
  const Applied applied = apply_pass("merge_duplicates", b.graph());
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(MergeDuplicates, KeepsTheOutputsOfTheModel) {
  GraphBuilder b;
  const ValueId x = b.input("x", {4});
  b.output(b.node("Relu", {x}), "y");
  b.output(b.node("Relu", {x}, {}, "second"), "z");
  const Applied applied = apply_pass("merge_duplicates", b.graph());
  EXPECT_EQ(applied.report.reason("second"), "it makes an output of the model");
  EXPECT_FALSE(applied.report.changed);
}

}  // namespace
}  // namespace niwaki
