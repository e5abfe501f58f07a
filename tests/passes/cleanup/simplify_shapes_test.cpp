#include "passes/cleanup/simplify_shapes.h"

#include "compress/graph_edit.h"
#include "compress/graph_text.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

ValueId ints(GraphBuilder& b, const std::string& name, Ints numbers) { return b.constant(name, at::tensor(numbers, at::kLong)); }

/// Length `axis` of a value, as a vector of one.
ValueId length(GraphBuilder& b, ValueId of, int64_t axis, const std::string& name) {
  const ValueId one = b.node("Gather", {b.node("Shape", {of}, {}, name + ".shape"), b.constant(name + ".axis", at::scalar_tensor(axis, at::kLong))}, {}, name);
  return b.node("Unsqueeze", {one, ints(b, name + ".front", {0})}, {}, name + ".vector");
}

ValueId concat(GraphBuilder& b, std::vector<ValueId> parts, const std::string& name) { return b.node("Concat", parts, {{"axis", int64_t{0}}}, name); }

std::optional<Ints> target_of(const Graph& graph, const std::string& label) {
  for (const NodeId id : graph.all_nodes()) {
    if (graph.label(id) == label) return constant_ints(graph, graph.node(id).inputs[1]);
  }
  return std::nullopt;
}

void expect_same(const Applied& applied, const std::vector<Tensor>& inputs) {
  EXPECT_TRUE(at::equal(run_graph(applied.after, inputs)[0], run_graph(applied.before, inputs)[0]));
}

TEST(SimplifyShapes, CopiesLengthsWithZero) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", "T", 64});
  const ValueId target = concat(b, {length(b, x, 0, "n"), length(b, x, 1, "t"), ints(b, "heads", {8, 8})}, "target");
  b.output(b.node("Relu", {b.node("Reshape", {x, target}, {}, "reshape")}), "y");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  EXPECT_EQ(target_of(applied.after, "reshape"), (Ints{0, 0, 8, 8}));
  EXPECT_EQ(applied.after.main().nodes.size(), 2U);
  expect_same(applied, {random_tensor({2, 5, 64})});
  expect_same(applied, {random_tensor({1, 64, 64})});
  EXPECT_FALSE(apply_pass("simplify_shapes", applied.after).report.changed);
}

TEST(SimplifyShapes, LeavesOneLengthToTheRest) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", "T", 64});
  const ValueId rows = b.node("Mul", {length(b, x, 0, "n"), length(b, x, 1, "t")}, {}, "rows");
  b.output(b.node("Relu", {b.node("Reshape", {x, concat(b, {rows, ints(b, "width", {64})}, "target")}, {}, "reshape")}), "y");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  EXPECT_EQ(target_of(applied.after, "reshape"), (Ints{-1, 64}));
  expect_same(applied, {random_tensor({3, 5, 64})});
}

TEST(SimplifyShapes, LeavesAloneWhatAnEmptyBatchCouldTellApart) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", 8, "T"});
  const ValueId wide = b.node("Mul", {length(b, x, 2, "t"), ints(b, "eight", {8})}, {}, "wide");
  b.output(b.node("Relu", {b.node("Reshape", {x, concat(b, {length(b, x, 0, "n"), wide}, "target")}, {}, "reshape")}), "y");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  EXPECT_EQ(target_of(applied.after, "reshape"), std::nullopt);      // [0, -1] has no answer for 0 samples
}

TEST(SimplifyShapes, TrustsNoNamesOfDimensions) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", 4}), other = b.input("other", {"N", 3});
  const ValueId target = concat(b, {length(b, other, 0, "n"), length(b, other, 0, "m")}, "target");
  b.output(b.node("Relu", {b.node("Reshape", {x, target}, {}, "reshape")}), "y");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  EXPECT_EQ(target_of(applied.after, "reshape"), std::nullopt);
}

TEST(SimplifyShapes, FoldsWhatIsKnown) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", 4, 6});
  const ValueId half = b.node("Div", {length(b, x, 2, "w"), ints(b, "two", {2})}, {}, "half");
  const ValueId ones = b.node("ConstantOfShape", {half}, {{"value", make_constant(at::tensor({1}, at::kLong))}}, "ones");
  const ValueId no = b.node("Equal", {ones, b.node("Neg", {ints(b, "one", {1})})}, {}, "no");
  b.output(b.node("Tile", {x, b.node("Where", {no, ints(b, "nine", {9}), ones}, {}, "repeats")}, {}, "tile"), "y");
  const Applied applied = apply_pass("simplify_shapes", apply_pass("fold_constants", b.graph()).after);
  EXPECT_EQ(applied.after.main().nodes.size(), 1U);
  EXPECT_EQ(target_of(applied.after, "tile"), (Ints{1, 1, 1}));
}

TEST(SimplifyShapes, ExpandsByOneWhereLengthsAreTheDatasOwn) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, "T", 4, 1, 8});
  const ValueId target = concat(b, {ints(b, "one", {1}), length(b, x, 1, "t"), ints(b, "rest", {4, 2, 8})}, "target");
  const ValueId same = b.node("Expand", {x, b.node("Shape", {x})}, {}, "same");
  b.output(b.node("Expand", {same, target}, {}, "expand"), "y");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  EXPECT_EQ(target_of(applied.after, "expand"), (Ints{1, 1, 1, 2, 1}));
  EXPECT_EQ(applied.after.main().nodes.size(), 1U);
  expect_same(applied, {random_tensor({1, 3, 4, 1, 8})});
}

TEST(SimplifyShapes, TakesAllWhereTheEndIsTheLength) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", "T"}), table = b.random_constant("table", {512, 4});
  const ValueId t = length(b, x, 1, "t");
  b.output(b.node("Slice", {x, ints(b, "start", {1}), t, ints(b, "axis", {1})}, {}, "tail"), "y");
  b.output(b.node("Slice", {table, ints(b, "from", {0}), t, ints(b, "rows", {0})}, {}, "rows"), "z");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  const Graph& after = applied.after;
  const Node &tail = after.node(*after.producer(*after.find_value("y"))), &rows = after.node(*after.producer(*after.find_value("z")));
  EXPECT_EQ(constant_ints(after, tail.inputs[2]), (Ints{9223372036854775807}));
  EXPECT_EQ(constant_ints(after, rows.inputs[2]), std::nullopt);     // T may be more than 512
  expect_same(applied, {random_tensor({2, 7})});
}

TEST(SimplifyShapes, ComputesEqualLengthsOnce) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", "T"});
  const ValueId later = b.node("Relu", {x}, {}, "relu");
  const ValueId first = length(b, x, 1, "first"), second = length(b, later, 1, "second");
  b.output(b.node("Range", {b.constant("zero", at::scalar_tensor(0, at::kLong)), b.node("Squeeze", {b.node("Add", {first, second})}), b.constant("one", at::scalar_tensor(1, at::kLong))}), "y");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  EXPECT_EQ(applied.after.main().nodes.size(), applied.before.main().nodes.size() - 3);   // the second chain
  expect_same(applied, {random_tensor({2, 7})});
}

TEST(SimplifyShapes, SkipsTheFirstOfTwoReshapes) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"N", "T", 64});
  const ValueId heads = b.node("Reshape", {x, ints(b, "a", {0, 0, 8, 8})}, {}, "first");
  b.output(b.node("Relu", {b.node("Reshape", {heads, ints(b, "b", {0, 0, 8, 4, 2})}, {}, "second")}), "y");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  EXPECT_EQ(applied.after.main().nodes.size(), 2U);
  EXPECT_EQ(target_of(applied.after, "second"), (Ints{0, 0, 8, 4, 2}));
  expect_same(applied, {random_tensor({2, 3, 64})});
}

TEST(SimplifyShapes, ChangesNothingWithoutLengths) {
  GraphBuilder b;
  b.output(b.node("Relu", {b.input("x", {"N", 3})}), "y");
  const Applied applied = apply_pass("simplify_shapes", b.graph());
  EXPECT_FALSE(applied.report.changed);
  EXPECT_EQ(text(applied.after), text(applied.before));
}

}  // namespace
}  // namespace niwaki
