#include "passes/cleanup/flatten_softmax.h"

#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "passes/all_passes.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

Shape images(int64_t height = 8, int64_t width = 9) {
  return {std::string("batch"), int64_t{16}, height, width};
}

Graph over_channels(int64_t opset = 13, int64_t axis = 1, Shape shape = images(),
                    const std::string& op = "Softmax") {
  GraphBuilder b(opset);
  b.output(
      b.node(op, {b.node("Relu", {b.input("x", std::move(shape))})}, {{"axis", axis}}, "softmax"),
      "y");
  return b.graph();
}

Graph transposed(int64_t opset, const Ints& there = {0, 3, 2, 1}, const Ints& back = {0, 3, 2, 1}) {
  GraphBuilder b(opset);
  const ValueId turned = b.node("Transpose", {b.input("x", images())}, {{"perm", there}}, "there");
  const ValueId h = b.node("Softmax", {turned}, {{"axis", int64_t{3}}}, "softmax");
  b.output(b.node("Transpose", {h}, {{"perm", back}}, "back"), "y");
  return b.graph();
}

std::vector<std::string> operators(const Graph& graph) {
  std::vector<std::string> ops;
  for (const NodeId id : graph.main().nodes) ops.push_back(graph.node(id).op);
  return ops;
}

void expect_same_outputs(const Applied& applied) {
  const Tensor x = random_tensor({3, 16, 8, 9}, 5);
  EXPECT_LT(relative_difference(run_graph(applied.after, {x}).front(),
                                run_graph(applied.before, {x}).front()),
            1e-6);
}

void expect_left_alone(const Graph& graph, const std::string& reason) {
  const Applied applied = apply_pass("flatten_softmax", graph);
  EXPECT_EQ(applied.report.reason("softmax"), reason);
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(FlattenSoftmax, FlattensImages) {
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    for (const int64_t axis : {1, -3}) {
      const Applied applied = apply_pass("flatten_softmax", over_channels(13, axis, images(), op));
      EXPECT_EQ(operators(applied.after),
                (std::vector<std::string>{"Relu", "Reshape", op, "Reshape"}));
      expect_same_outputs(applied);
    }
  }
}

TEST(FlattenSoftmax, ReplacesTransposes) {
  for (const auto& [there, back] :
       {std::pair{Ints{0, 3, 2, 1}, Ints{0, 3, 2, 1}}, {Ints{0, 2, 3, 1}, Ints{0, 3, 1, 2}}}) {
    const Applied applied = apply_pass("flatten_softmax", transposed(13, there, back));
    EXPECT_EQ(operators(applied.after),
              (std::vector<std::string>{"Reshape", "Softmax", "Reshape"}));
    expect_same_outputs(applied);
  }
}

TEST(FlattenSoftmax, KeepsTheLastAxisBeforeOpset13) {
  const Applied applied = apply_pass("flatten_softmax", transposed(11));
  EXPECT_EQ(operators(applied.after),
            (std::vector<std::string>{"Reshape", "Transpose", "Softmax", "Transpose", "Reshape"}));
  const Graph& after = applied.after;
  EXPECT_EQ(after.node(after.main().nodes[1]).name, "there");
  EXPECT_EQ(after.node(after.main().nodes[2]).name, "softmax");
  expect_same_outputs(applied);
}

TEST(FlattenSoftmax, LeavesOtherFormsAlone) {
  expect_left_alone(over_channels(11),
                    "before opset 13, it normalizes over all axes from its axis on");
  expect_left_alone(over_channels(13, 2), "it normalizes an axis other than that of channels");
  expect_left_alone(over_channels(13, 3), "it normalizes the last axis, which is fast");
  expect_left_alone(over_channels(13, 1, {2, 16, 72}), "it has less than four axes");
  expect_left_alone(over_channels(13, 1, images(72, 1)), "it has one axis beside the channels");
  expect_left_alone(over_channels(13, 1, images(7, 9)), "it is too small to gain");
  expect_left_alone(
      over_channels(13, 1, {int64_t{2}, int64_t{16}, std::string("height"), int64_t{9}}),
      "its sizes are not known");
  expect_left_alone(over_channels(13, 1, images(int64_t{1} << 40, int64_t{1} << 40)),
                    "its sizes are not known");
  expect_left_alone(transposed(13, {0, 1, 3, 2}, {0, 1, 3, 2}),
                    "its last axis was not axis 1 of images");
  expect_left_alone(transposed(13, {0, 2, 3, 1}, {0, 2, 3, 1}),
                    "its output is not transposed back");
}

TEST(FlattenSoftmax, LeavesWhatOthersRead) {
  for (const bool is_input : {true, false}) {
    GraphBuilder b;
    const ValueId turned =
        b.node("Transpose", {b.input("x", images())}, {{"perm", Ints{0, 3, 2, 1}}});
    const ValueId h = b.node("Softmax", {turned}, {}, "softmax");
    b.output(b.node("Transpose", {h}, {{"perm", Ints{0, 3, 2, 1}}}), "y");
    b.output(is_input ? turned : h, "other");
    expect_left_alone(b.graph(), is_input
                                     ? "other nodes, or the caller, read its transposed input"
                                     : "several nodes, or the caller, read its transposed output");
  }
}

TEST(FlattenSoftmax, RefusesUnknownOptions) {
  try {
    all_passes().make("flatten_softmax", {{"axis", 1}});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.message(), "unknown option 'axis'");
  }
}

TEST(FlattenSoftmax, SecondRunChangesNothing) {
  for (const int64_t opset : {11, 13}) {
    const Applied once = apply_pass("flatten_softmax", transposed(opset));
    EXPECT_TRUE(once.report.changed);
    EXPECT_FALSE(apply_pass("flatten_softmax", once.after).report.changed);
  }
}

TEST(FlattenSoftmax, SameResultForAnyThreads) {
  set_num_threads(1);
  const std::string one = text(apply_pass("flatten_softmax", transposed(11)).after);
  set_num_threads(4);
  EXPECT_EQ(text(apply_pass("flatten_softmax", transposed(11)).after), one);
}

}  // namespace
}  // namespace niwaki
