#include "passes/store/expand_stored_forms.h"

#include "compress/footprint.h"
#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Tensor sparse_numbers() {
  Tensor numbers = random_tensor({80, 60}, 4);
  return numbers.masked_fill(random_tensor({80, 60}, 5).abs() > 0.1, 0);
}

Graph one_product(const Tensor& numbers) {
  GraphBuilder b(13);
  b.output(b.node("MatMul", {b.input("x", {2, 80}), b.constant("w", numbers)}, {}, "fc"), "y");
  return b.graph();
}

const Constant* weight(const Graph& graph) { return graph.constant(*graph.find_value("w")); }

TEST(ExpandStoredForms, GivesSparseWeightsBackBitForBit) {
  const Graph plain = one_product(sparse_numbers());
  const Applied stored = apply_pass("encode_constants", plain);
  ASSERT_EQ(weight(stored.after), nullptr);
  const Applied again = apply_pass("expand_stored_forms", stored.after);
  ASSERT_NE(weight(again.after), nullptr);
  EXPECT_TRUE(same_content(*weight(again.after), *weight(plain)));
  EXPECT_EQ(again.after.main().nodes.size(), 1u);
  EXPECT_EQ(again.after.main().constants.size(), 1u);
  EXPECT_EQ(again.report.changes.size(), 1u);
}

TEST(ExpandStoredForms, GivesIntegerWeightsBack) {
  for (const int bits : {4, 8}) {
    const Applied stored = apply_pass("store_weights", one_product(random_tensor({80, 60}, 4)), {{"bits", bits}});
    const Applied again = apply_pass("expand_stored_forms", stored.after);
    ASSERT_NE(weight(again.after), nullptr) << bits;
    const Tensor x = random_tensor({2, 80}, 1);
    EXPECT_TRUE(at::equal(run_graph(again.after, {x})[0], run_graph(stored.after, {x})[0]));
    const Applied third = apply_pass("encode_constants", again.after);
    EXPECT_EQ(weight(third.after), nullptr) << bits;                       // found to be codes times scales
  }
}

TEST(ExpandStoredForms, ZerosStayZeros) {
  const Graph plain = one_product(sparse_numbers());
  const Applied integers = apply_pass("store_weights", apply_pass("expand_stored_forms", apply_pass("encode_constants", plain).after).after);
  const Applied again = apply_pass("expand_stored_forms", apply_pass("encode_constants", integers.after).after);
  EXPECT_TRUE(values(*weight(again.after)).masked_select(values(*weight(plain)).eq(0)).eq(0).all().item<bool>());
}

TEST(ExpandStoredForms, LeavesAlone) {
  GraphBuilder b(17);
  const ValueId x = b.input("x", {64, 64});
  const ValueId mask = b.node("ConstantOfShape", {b.constant("shape", at::tensor({64, 64}, at::kLong))}, {{"value", make_constant(at::full({1}, 2.0f))}});
  const ValueId product = b.node("MatMul", {b.random_constant("u", {64, 4}), b.random_constant("v", {4, 64})});
  const ValueId integers = b.node("DequantizeLinear", {b.constant("codes", at::ones({64, 64}, at::kChar)), b.constant("scale", at::tensor(0.5f).reshape({}))});
  const ValueId twin = b.node("Transpose", {b.random_constant("table", {64, 64})}, {{"perm", std::vector<int64_t>{1, 0}}});
  b.output(b.node("Add", {b.node("MatMul", {b.node("MatMul", {b.node("MatMul", {x, product}), integers}), twin}), mask}), "y");
  const Applied applied = apply_pass("expand_stored_forms", b.graph());
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(ExpandStoredForms, LeavesWhatKeptNodesRead) {
  Graph graph = apply_pass("encode_constants", one_product(sparse_numbers())).after;
  const std::string before = text(graph);
  PassReport report{.pass = "expand_stored_forms"};
  Progress progress;
  PassContext context{.report = report, .progress = progress, .keep = {"fc"}};
  expand_stored_forms(graph, {}, context);
  EXPECT_EQ(text(graph), before);
}

TEST(ExpandStoredForms, NamesAreFreeAgain) {
  const Graph once = apply_pass("encode_constants", one_product(sparse_numbers())).after;
  const Graph twice = apply_pass("encode_constants", apply_pass("expand_stored_forms", once).after).after;
  EXPECT_EQ(serialized_bytes(twice), serialized_bytes(once));
}

TEST(ExpandStoredForms, SecondRunChangesNothing) {
  const Applied once = apply_pass("expand_stored_forms", apply_pass("encode_constants", one_product(sparse_numbers())).after);
  EXPECT_FALSE(apply_pass("expand_stored_forms", once.after).report.changed);
}

TEST(ExpandStoredForms, SameBytesOnOneThreadAndFour) {
  const Graph stored = apply_pass("encode_constants", one_product(sparse_numbers())).after;
  set_num_threads(1);
  const Applied one = apply_pass("expand_stored_forms", stored);
  set_num_threads(4);
  const Applied four = apply_pass("expand_stored_forms", stored);
  set_num_threads(0);
  EXPECT_EQ(text(one.after), text(four.after));
}

}  // namespace
}  // namespace niwaki
