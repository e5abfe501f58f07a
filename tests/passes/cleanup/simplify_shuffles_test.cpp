#include "passes/cleanup/simplify_shuffles.h"

#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "passes/all_passes.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

ValueId reshape(GraphBuilder& b, ValueId x, const Ints& sizes, const std::string& name = "") {
  return b.node("Reshape", {x, b.constant("shape", at::tensor(sizes, at::kLong))}, {}, name);
}

ValueId transpose(GraphBuilder& b, ValueId x, const Ints& order) {
  return b.node("Transpose", {x}, {{"perm", order}});
}

ValueId gather(GraphBuilder& b, ValueId x, int64_t index, const std::string& name = "") {
  return b.node("Gather", {x, b.constant("index", at::scalar_tensor(index, at::kLong))},
                {{"axis", int64_t{0}}}, name);
}

/// As PyTorch's exporter writes ShuffleNet blocks: even and odd channels.
Graph even_and_odd() {
  GraphBuilder b(11);
  const ValueId first =
      reshape(b, b.node("Relu", {b.input("x", {1, 6, 2, 3})}), {3, 2, 6}, "first");
  const ValueId h = reshape(b, transpose(b, first, {1, 0, 2}), {2, -1, 3, 2, 3});
  b.output(gather(b, h, 0, "even"), "y");
  b.output(b.node("Relu", {gather(b, h, 1, "odd")}), "z");
  return b.graph();
}

ValueId shuffle(GraphBuilder& b, ValueId x, int64_t groups, int64_t channels) {
  const ValueId split = reshape(b, x, {-1, groups, channels / groups, 2, 3}, "first");
  return reshape(b, transpose(b, split, {0, 2, 1, 3, 4}), {-1, channels, 2, 3}, "last");
}

Graph shuffled(Dim batch) {
  GraphBuilder b;
  b.output(shuffle(b, b.input("x", {std::move(batch), int64_t{6}, int64_t{2}, int64_t{3}}), 2, 6),
           "y");
  return b.graph();
}

size_t count(const Graph& graph, const std::string& op) {
  size_t found = 0;
  for (const NodeId id : graph.all_nodes()) found += graph.node(id).op == op ? 1 : 0;
  return found;
}

void expect_same_outputs(const Applied& applied, const Tensor& x) {
  const auto before = run_graph(applied.before, {x}), after = run_graph(applied.after, {x});
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(before[i], after[i]));
}

void expect_left_alone(const Graph& graph, const std::string& reason) {
  const Applied applied = apply_pass("simplify_shuffles", graph);
  EXPECT_EQ(applied.report.reason("first"), reason);
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(SimplifyShuffles, PicksEvenAndOddChannels) {
  const Applied applied = apply_pass("simplify_shuffles", even_and_odd());
  EXPECT_EQ(applied.after.main().nodes.size(), 4U);
  EXPECT_EQ(applied.after.main().constants.size(), 2U);
  const Node& even = applied.after.node(*applied.after.producer(*applied.after.find_value("y")));
  EXPECT_EQ(even.op, "Gather");
  EXPECT_EQ(even.name, "even");
  EXPECT_TRUE(
      at::equal(values(*applied.after.constant(even.inputs[1])), at::tensor({0, 2, 4}, at::kInt)));
  expect_same_outputs(applied, random_tensor({1, 6, 2, 3}, 5));
}

TEST(SimplifyShuffles, ShufflesAnyBatch) {
  const Applied applied = apply_pass("simplify_shuffles", shuffled(std::string("batch")));
  ASSERT_EQ(applied.after.main().nodes.size(), 1U);
  const Node& node = applied.after.node(applied.after.main().nodes[0]);
  EXPECT_EQ(node.name, "last");
  EXPECT_TRUE(at::equal(values(*applied.after.constant(node.inputs[1])),
                        at::tensor({0, 3, 1, 4, 2, 5}, at::kInt)));
  expect_same_outputs(applied, random_tensor({3, 6, 2, 3}, 5));
}

TEST(SimplifyShuffles, ContinuesThroughSplit) {
  GraphBuilder b;
  const ValueId h = shuffle(b, b.input("x", {2, 6, 2, 3}), 3, 6);
  for (const ValueId half : b.node_with_outputs("Split", {h}, 2, {{"axis", int64_t{1}}}, "split"))
    b.output(b.node("Relu", {half}));
  const Applied applied = apply_pass("simplify_shuffles", b.graph());
  EXPECT_EQ(count(applied.after, "Gather"), 2U);
  EXPECT_EQ(applied.after.main().nodes.size(), 4U);
  expect_same_outputs(applied, random_tensor({2, 6, 2, 3}, 5));
}

TEST(SimplifyShuffles, EndsBeforeWhatIsNoSelection) {
  GraphBuilder b;
  const ValueId h = shuffle(b, b.input("x", {2, 6, 2, 3}), 2, 6);
  b.output(reshape(b, h, {2, -1}));
  const Applied applied = apply_pass("simplify_shuffles", b.graph());
  EXPECT_EQ(applied.after.main().nodes.size(), 2U);
  EXPECT_EQ(count(applied.after, "Gather"), 1U);
  expect_same_outputs(applied, random_tensor({2, 6, 2, 3}, 5));
}

TEST(SimplifyShuffles, LeavesOtherMovesAlone) {
  GraphBuilder b;
  b.output(transpose(b, reshape(b, b.input("x", {2, 6, 2, 3}), {2, 6, 6}, "first"), {0, 2, 1}));
  expect_left_alone(b.graph(), "its results are no selection of channels");
}

TEST(SimplifyShuffles, LeavesWhatOthersRead) {
  GraphBuilder b;
  const ValueId split = reshape(b, b.input("x", {2, 6, 2, 3}), {2, 2, 3, 2, 3}, "first");
  b.output(b.node("Relu", {split}));
  b.output(reshape(b, transpose(b, split, {0, 2, 1, 3, 4}), {2, 6, 2, 3}));
  expect_left_alone(b.graph(), "its results are no selection of channels");
}

TEST(SimplifyShuffles, LeavesUnknownSizesAlone) {
  GraphBuilder b;
  b.output(
      shuffle(b, b.input("x", {int64_t{1}, int64_t{6}, std::string("height"), int64_t{3}}), 2, 6),
      "y");
  expect_left_alone(b.graph(), "the sizes of its input are not known, or too large");
}

TEST(SimplifyShuffles, LeavesBatchDependentMovesAlone) {
  GraphBuilder b;  // right for one sample alone
  const ValueId first =
      reshape(b, b.input("x", {std::string("batch"), int64_t{6}, int64_t{2}, int64_t{3}}),
              {3, 2, -1}, "first");
  const ValueId h = reshape(b, transpose(b, first, {1, 0, 2}), {2, -1, 3, 2, 3});
  b.output(gather(b, h, 0));
  expect_left_alone(b.graph(), "its results are no selection of channels");
}

TEST(SimplifyShuffles, LeavesRunTimeShapesAlone) {
  GraphBuilder b;
  b.output(b.node("Reshape", {b.input("x", {2, 6, 2, 3}), b.input("sizes", {4}, DType::int64)}, {},
                  "first"));
  expect_left_alone(b.graph(), "its shape is computed at run time");
}

TEST(SimplifyShuffles, LeavesPlainReshapesAlone) {
  GraphBuilder b;
  b.output(b.node("Relu", {reshape(b, b.input("x", {2, 6, 2, 3}), {2, 6, 3, 2}, "first")}));
  expect_left_alone(b.graph(), "its results are no selection of channels");
}

TEST(SimplifyShuffles, RefusesUnknownOptions) {
  try {
    all_passes().make("simplify_shuffles", {{"groups", 2}});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.message(), "unknown option 'groups'");
  }
}

TEST(SimplifyShuffles, SecondRunChangesNothing) {
  const Applied once = apply_pass("simplify_shuffles", even_and_odd());
  EXPECT_TRUE(once.report.changed);
  EXPECT_FALSE(apply_pass("simplify_shuffles", once.after).report.changed);
}

TEST(SimplifyShuffles, SameResultForAnyThreads) {
  set_num_threads(1);
  const std::string one = text(apply_pass("simplify_shuffles", even_and_odd()).after);
  set_num_threads(4);
  EXPECT_EQ(text(apply_pass("simplify_shuffles", even_and_odd()).after), one);
}

}  // namespace
}  // namespace niwaki
