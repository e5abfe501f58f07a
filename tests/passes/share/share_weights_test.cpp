#include "passes/share/share_weights.h"

#include "compress/dataset.h"
#include "compress/graph_text.h"
#include "formats/samples.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph net() {
  GraphBuilder b;
  ValueId x = b.input("x", {std::string("n"), int64_t{4}, int64_t{6}, int64_t{6}});
  x = b.node("Relu", {b.node("Conv", {x, b.constant("c", random_tensor({16, 4, 3, 3}, 1))}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}, "conv")});
  x = b.node("Flatten", {x});
  Tensor sparse = random_tensor({576, 20}, 2);
  sparse.masked_fill_(sparse.abs() < 1, 0);
  x = b.node("Gemm", {x, b.constant("w", sparse), b.random_constant("b", {20})}, {}, "fc");
  b.output(b.node("MatMul", {x, b.constant("small", random_tensor({20, 5}, 3))}, {}, "head"), "y");
  return b.graph();
}

Tensor numbers(const Graph& graph, const std::string& name) {
  for (size_t i = 1; i < graph.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    if (graph.value(id).name == name && graph.constant(id)) return values(*graph.constant(id));
  }
  return {};
}
int64_t distinct(const Tensor& x) { return std::get<0>(at::_unique(x)).numel(); }

TEST(ShareWeights, LeavesFewNumbersAndAllZeros) {
  const Applied applied = apply_pass("share_weights", net(), {{"bits", 4}});
  EXPECT_LE(distinct(numbers(applied.after, "c")), 16);
  EXPECT_LE(distinct(numbers(applied.after, "w")), 16);
  const Tensor before = numbers(applied.before, "w"), after = numbers(applied.after, "w");
  EXPECT_TRUE(((after == 0) >= (before == 0)).all().item<bool>());
  EXPECT_TRUE(at::equal(numbers(applied.after, "small"), numbers(applied.before, "small")));
  EXPECT_NE(applied.report.reason("head"), "");
}

TEST(ShareWeights, ReachesTheRatioWithTheFewestBits) {
  const Applied coarse = apply_pass("share_weights", net(), {{"sqnr_db", 15.0}}), fine = apply_pass("share_weights", net(), {{"sqnr_db", 30.0}});
  EXPECT_LT(distinct(numbers(coarse.after, "c")), distinct(numbers(fine.after, "c")));
  for (const NodeReport& node : fine.report.nodes) {
    if (node.outcome == Outcome::changed) {
      EXPECT_GE(node.metrics["sqnr_db"].get<double>(), 30);
    }
  }
}

TEST(ShareWeights, UsesCalibrationDataAndDoesNothingTwice) {
  const Graph graph = net();
  const Tensor x = random_tensor({32, 4, 6, 6}, 9) * at::arange(1, 5).reshape({1, 4, 1, 1});
  const Dataset data(graph, samples_of({{"x", x}}), {.batch = 8}, "data");
  const Applied weighted = apply_pass("share_weights", graph, {{"bits", 3}}, &data), plain = apply_pass("share_weights", graph, {{"bits", 3}});
  EXPECT_FALSE(at::equal(numbers(weighted.after, "c"), numbers(plain.after, "c")));
  const Applied again = apply_pass("share_weights", plain.after, {{"bits", 3}});
  EXPECT_EQ(text(again.after), text(plain.after));
}

}  // namespace
}  // namespace niwaki
