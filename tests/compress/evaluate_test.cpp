#include "compress/evaluate.h"

#include "compress/error.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// Scores are the inputs themselves: [n, 3].
Graph identity(DType dtype = DType::float32, Dim batch = std::string("n")) {
  GraphBuilder b;
  const ValueId x = b.input("x", {batch, int64_t{3}}, dtype);
  b.output(b.node("Identity", {x}), "scores");
  b.output(b.node("Neg", {x}), "inverse");
  return b.graph();
}

Dataset dataset(const Graph& graph, const Tensor& x, const Tensor& labels = {}) {
  std::map<std::string, Tensor> arrays{{"x", x}};
  if (labels.defined()) arrays["labels"] = labels;
  return {graph, samples_of(arrays), {.batch = 4, .want_labels = true}, "data"};
}

struct Fixture {
  Tensor x = random_tensor({10, 3});
  Tensor right = x.argmax(1);
};

TEST(Evaluate, ScoresLabels) {
  const Fixture f;
  const Graph graph = identity();
  const Executor executor(graph);
  Progress progress;
  Tensor labels = f.right.clone();
  for (const int64_t i : {0, 5, 9}) labels[i] = (labels[i] + 1) % 3;
  EXPECT_NEAR(evaluate(builtin_runner(executor), graph, dataset(graph, f.x, labels), {}, progress)->value(), 0.7, 1e-12);
  const auto inverse = evaluate(builtin_runner(executor), graph, dataset(graph, f.x, (-f.x).argmax(1)), {.output = "inverse"}, progress);
  EXPECT_EQ(inverse->value(), 1.0);
}

TEST(Evaluate, FilledUpRowsAreNotScored) {
  const Fixture f;
  const Graph graph = identity(DType::float32, int64_t{4});
  const Executor executor(graph);
  Progress progress;
  const auto metric = evaluate(builtin_runner(executor), graph, dataset(graph, f.x, f.right), {}, progress);
  EXPECT_EQ(metric->per_sample().size(), 10u);
}

TEST(Evaluate, ChoosesTheMetric) {
  const Fixture f;
  const Graph graph = identity();
  EXPECT_EQ(default_metric(graph, dataset(graph, f.x, f.right)), "top1");
  EXPECT_EQ(default_metric(graph, dataset(graph, f.x)), "agreement");
  GraphBuilder b;
  b.output(b.node("Unsqueeze", {b.input("x", {std::string("n"), int64_t{3}}), b.constant("axes", at::tensor({2}, at::kLong))}));
  const Graph map = b.graph();
  EXPECT_EQ(default_metric(map, dataset(map, f.x)), "sqnr_db");
}

TEST(Evaluate, RefusesUnknownOutputsAndMissingLabels) {
  const Fixture f;
  const Graph graph = identity();
  const Executor executor(graph);
  Progress progress;
  const auto refusal = [&](const Dataset& data, const EvaluateOptions& options) {
    try {
      evaluate(builtin_runner(executor), graph, data, options, progress);
      return std::string();
    } catch (const UsageError& error) {
      return error.code() + ": " + error.message() + " " + error.details().found;
    }
  };
  EXPECT_EQ(refusal(dataset(graph, f.x, f.right), {.output = "score"}), "E2011: the model has no output 'score' outputs: [scores, inverse]");
  EXPECT_EQ(refusal(dataset(graph, f.x), {.metric = "top1"}), "E1706: metric 'top1' needs labels, which the data lacks ");
}

TEST(EvaluatePair, HoldsTwoModelsAgainstTheSameSamples) {
  const Fixture f;
  const Graph graph = identity();
  const Executor executor(graph);
  Progress progress;
  const Runner worse = [&](const Dataset::Batch& batch) {
    Tensor scores = batch.inputs[0].tensor.clone();
    if (batch.first == 0) scores[0] = -scores[0];
    return std::vector<Tensor>{scores, scores};
  };
  const Comparison labelled = evaluate_pair(builtin_runner(executor), worse, graph, dataset(graph, f.x, f.right), {}, progress);
  EXPECT_EQ(labelled.samples, 10);
  EXPECT_EQ(*labelled.before, 1.0);
  EXPECT_NEAR(labelled.after, 0.9, 1e-12);
  EXPECT_NEAR(*labelled.drop, 10, 1e-9);
  const Comparison agreed = evaluate_pair(builtin_runner(executor), worse, graph, dataset(graph, f.x), {.metric = "agreement"}, progress);
  EXPECT_NEAR(agreed.after, 0.9, 1e-12);
  const Comparison same = evaluate_pair(builtin_runner(executor), builtin_runner(executor), graph, dataset(graph, f.x, f.right), {}, progress);
  EXPECT_EQ(*same.drop, 0);
}

}  // namespace
}  // namespace niwaki
