#include "compress/sensitivity.h"

#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

std::map<NodeId, OutputSensitivity> found_for(const Graph& graph, const Tensor& samples, uint64_t seed = 0) {
  const Dataset data(graph, samples_of({{"x", samples}}), {.batch = 8}, "data");
  Progress progress;
  return output_sensitivity(graph, linear_views(graph), data, 1000, seed, progress);
}

/// Divergence in nats between the answers for logits and for logits + error, mean over samples.
double divergence(const Tensor& logits, const Tensor& error) {
  const Tensor before = logits.to(at::kDouble).log_softmax(1), after = (logits + error).to(at::kDouble).log_softmax(1);
  return (before.exp() * (before - after)).sum(1).mean().item<double>();
}

TEST(Sensitivity, PredictsTheDivergenceOfClassScores) {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {std::string("n"), int64_t{6}}), b.constant("w", random_tensor({5, 6}, 1))}, {{"transB", int64_t{1}}}));
  const Graph graph = b.graph();
  const Tensor samples = random_tensor({4000, 6}, 2), logits = run_graph(graph, {samples})[0];
  const auto found = found_for(graph, samples.narrow(0, 0, 1000));
  const Tensor gradient = found.begin()->second.gradient;
  for (int64_t channel = 0; channel < 5; ++channel) {
    Tensor error = at::zeros_like(logits);
    error.select(1, channel) = 0.1 * random_tensor({4000}, 7);
    const double predicted = 0.5 * 0.01 * gradient[channel].item<double>();
    EXPECT_NEAR(divergence(logits, error) / predicted, 1, 0.25) << channel;
  }
}

TEST(Sensitivity, CountsErrorsThatPositionsShareAsOftenAsThereArePositions) {
  GraphBuilder b;
  const ValueId h = b.node("Conv", {b.input("x", {std::string("n"), int64_t{2}, int64_t{4}, int64_t{4}}), b.random_constant("w", {3, 2, 1, 1})});
  const ValueId pooled = b.node("Flatten", {b.node("GlobalAveragePool", {h})});
  b.output(b.node("Gemm", {pooled, b.random_constant("v", {4, 3})}, {{"transB", int64_t{1}}}));
  const Graph graph = b.graph();
  const auto found = found_for(graph, random_tensor({40, 2, 4, 4}, 2));
  const OutputSensitivity& conv = found.at(linear_views(graph)[0].node);
  // behind an average all positions have one gradient: sum^2 = 16 * sum of squares
  EXPECT_NEAR(conv.coherence(), 16, 1e-6);
  EXPECT_NEAR(found.at(linear_views(graph)[1].node).coherence(), 1, 1e-9);
}

TEST(Sensitivity, TaylorIsZeroForAChannelOfZeros) {
  GraphBuilder b;
  Tensor w = random_tensor({5, 6}, 1);
  w[2].zero_();
  const ValueId h = b.node("Tanh", {b.node("Gemm", {b.input("x", {std::string("n"), int64_t{6}}), b.constant("w", w)}, {{"transB", int64_t{1}}})});
  b.output(b.node("Gemm", {h, b.random_constant("v", {3, 5})}, {{"transB", int64_t{1}}}));
  const Graph graph = b.graph();
  const auto found = found_for(graph, random_tensor({30, 6}, 2));
  const Tensor taylor = found.at(linear_views(graph)[0].node).taylor;
  EXPECT_EQ(taylor[2].item<double>(), 0);
  EXPECT_GT(taylor[1].item<double>(), 0);
}

TEST(Sensitivity, IsEmptyWithoutGradients) {
  GraphBuilder b;
  const ValueId scores = b.node("Gemm", {b.input("x", {std::string("n"), int64_t{6}}), b.random_constant("w", {5, 6})}, {{"transB", int64_t{1}}});
  b.output(b.node("ArgMax", {scores}, {{"axis", int64_t{1}}}));
  EXPECT_TRUE(found_for(b.graph(), random_tensor({4, 6})).empty());
}

TEST(Sensitivity, IsTheSameForTheSameSeed) {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {std::string("n"), int64_t{6}}), b.random_constant("w", {5, 6})}, {{"transB", int64_t{1}}}));
  const Graph graph = b.graph();
  const Tensor samples = random_tensor({20, 6}, 2);
  EXPECT_TRUE(at::equal(found_for(graph, samples, 1).begin()->second.gradient, found_for(graph, samples, 1).begin()->second.gradient));
}

}  // namespace
}  // namespace niwaki
