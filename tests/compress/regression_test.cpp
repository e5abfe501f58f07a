#include "compress/regression.h"

#include "compress/parallel.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// x -> Gemm -> Relu h -> Gemm y; the second weight is what a test edits.
Graph net(const Tensor& second) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{4}});
  const ValueId h = b.node("Relu", {b.node("Gemm", {x, b.constant("w", random_tensor({5, 4}, 1))}, {{"transB", int64_t{1}}}, "first")});
  b.output(b.node("Gemm", {h, b.constant("v", second), b.constant("c", random_tensor({3}, 3))}, {{"transB", int64_t{1}}}, "second"));
  return b.graph();
}

RegressionPair collected(const Graph& edited, const Graph& original, FittedNode node, const Tensor& samples, int64_t batch, int threads) {
  set_num_threads(threads);
  const Dataset data(original, samples_of({{"x", samples}}), {.batch = batch}, "data");
  Progress progress;
  RegressionPair pair = collect_regressions(edited, original, std::span(&node, 1), data, {}, progress).at(node.edited.node);
  set_num_threads(0);
  return pair;
}

TEST(Regression, SumsWhatTheEditedReadsAndTheOriginalMakes) {
  const Graph original = net(random_tensor({3, 5}, 2)), edited = net(random_tensor({3, 5}, 9));
  const LinearView view = linear_views(edited)[1];
  const Tensor samples = random_tensor({21, 4}, 5);
  const RegressionPair pair = collected(edited, original, {.edited = view, .original = linear_views(original)[1]}, samples, 4, 2);
  EXPECT_EQ(pair.fit.count, 16);
  EXPECT_EQ(pair.held_out.count, 5);
  const Tensor w = random_tensor({5, 4}, 1), h = samples.mm(w.t()).relu().to(at::kDouble), y = run_graph(original, {samples})[0].to(at::kDouble);
  EXPECT_LT(relative_difference(pair.fit.products[0] + pair.held_out.products[0], h.t().mm(h)), 1e-6);
  EXPECT_LT(relative_difference(pair.fit.cross[0] + pair.held_out.cross[0], y.t().mm(h)), 1e-6);
  EXPECT_LT(relative_difference(pair.fit.target_sums[0] + pair.held_out.target_sums[0], y.sum(0)), 1e-6);
}

TEST(Regression, IsTheSameOnAnyNumberOfThreads) {
  const Graph original = net(random_tensor({3, 5}, 2));
  const LinearView view = linear_views(original)[1];
  const Tensor samples = random_tensor({40, 4}, 5);
  const RegressionPair one = collected(original, original, {.edited = view, .original = view}, samples, 4, 1);
  const RegressionPair two = collected(original, original, {.edited = view, .original = view}, samples, 4, 2);
  EXPECT_TRUE(at::equal(one.fit.products, two.fit.products));
  EXPECT_TRUE(at::equal(one.held_out.cross, two.held_out.cross));
}

TEST(Regression, TakesTheKeptOutputsOnly) {
  const Graph original = net(random_tensor({3, 5}, 2)), edited = net(random_tensor({2, 5}, 2));
  const Tensor samples = random_tensor({8, 4}, 5);
  const RegressionPair pair = collected(edited, original, {.edited = linear_views(edited)[1], .original = linear_views(original)[1], .kept = at::tensor({0, 2}, at::kLong)}, samples, 8, 1);
  const Tensor y = run_graph(original, {samples})[0].to(at::kDouble);
  EXPECT_LT(relative_difference(pair.fit.target_sums[0] + pair.held_out.target_sums[0], y.sum(0).index_select(0, at::tensor({0, 2}, at::kLong))), 1e-6);
}

TEST(Regression, AimsAtTheSumLessWhatIsBeside) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{4}});
  const ValueId branch = b.node("Gemm", {x, b.constant("w", random_tensor({4, 4}, 1))}, {{"transB", int64_t{1}}});
  const ValueId beside = b.node("Tanh", {x}), sum = b.node("Add", {branch, beside});
  b.output(sum);
  const Graph graph = b.graph();
  const LinearView view = linear_views(graph)[0];
  const Tensor samples = random_tensor({9, 4}, 5);
  const RegressionPair pair = collected(graph, graph, {.edited = view, .original = view, .sum = sum, .beside = beside}, samples, 3, 1);
  const Tensor y = samples.mm(random_tensor({4, 4}, 1).t()).to(at::kDouble);
  EXPECT_LT(relative_difference(pair.fit.target_sums[0] + pair.held_out.target_sums[0], y.sum(0)), 1e-5);
}

}  // namespace
}  // namespace niwaki
