#include "passes/train/label_loss.h"

#include "compress/error.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph linear(int64_t outputs) {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {"n", int64_t{6}}), b.random_constant("w", {6, outputs})}), "y");
  return b.graph();
}

Dataset labelled(const Graph& graph, const Tensor& labels) {
  std::map<std::string, Tensor> arrays{{"x", random_tensor({8, 6})}};
  if (labels.defined()) arrays["labels"] = labels;
  return Dataset(graph, samples_of(arrays), {.batch = 4, .want_labels = true}, "data");
}

std::string code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return "";
}

TEST(LabelLoss, WholeNumbersAreClassesAndOthersMeasurements) {
  const Graph graph = linear(3);
  const Answer answer = find_answers(graph)[0];
  const auto target = [&](const Tensor& labels, LabelLoss loss) { return label_target(graph, answer, loss, labelled(graph, labels)); };
  EXPECT_TRUE(target(at::zeros({8}, at::kLong), LabelLoss::automatic).is_classes);
  EXPECT_FALSE(target(at::zeros({8, 3}), LabelLoss::automatic).is_classes);
  EXPECT_EQ(code_of([&] { target(at::zeros({8, 3}), LabelLoss::cross_entropy); }), "E2013");
  EXPECT_EQ(code_of([&] { target({}, LabelLoss::automatic); }), "E1706");
}

TEST(LabelLoss, AReconstructionLearnsItsInput) {
  const Graph graph = linear(6);
  const LabelTarget target = label_target(graph, find_answers(graph)[0], LabelLoss::automatic, labelled(graph, {}));
  EXPECT_EQ(target.source, LabelSource::input);
  EXPECT_EQ(describe(target), "the squared error of its own input");
  const Tensor x = random_tensor({2, 6}, 4);
  const RunValues inputs{RunValue(x)};
  const std::vector<int64_t> samples{0, 1};
  const LossSum loss = label_loss(target, x + 2, {inputs, {}, samples, false, {}, {}});
  EXPECT_NEAR(loss.sum.item<double>() / loss.weight, 4, 1e-5);
}

TEST(LabelLoss, TokensLearnTheNextOne) {
  GraphBuilder b;
  b.output(b.node("Gather", {b.random_constant("table", {5, 5}), b.input("tokens", {"n", int64_t{4}}, DType::int64)}), "y");
  const Graph graph = b.graph();
  const Dataset data(graph, samples_of({{"tokens", at::zeros({3, 4}, at::kLong)}}), {.batch = 2, .want_labels = true}, "data");
  const LabelTarget target = label_target(graph, find_answers(graph)[0], LabelLoss::automatic, data);
  ASSERT_EQ(target.source, LabelSource::shifted_input);
  const Tensor tokens = at::tensor({0, 2, 4, 1}, at::kLong).unsqueeze(0);
  Tensor scores = at::zeros({1, 4, 5});
  for (int64_t i = 0; i < 3; ++i) scores[0][i][tokens[0][i + 1]] = 50;   // sure of what comes next
  const RunValues inputs{RunValue(tokens)};
  const std::vector<int64_t> samples{0};
  const LossSum loss = label_loss(target, scores, {inputs, {}, samples, false, {}, {}});
  EXPECT_EQ(loss.weight, 3);
  EXPECT_NEAR(loss.sum.item<double>(), 0, 1e-6);
  EXPECT_GT(label_loss(target, scores.flip(1), {inputs, {}, samples, false, {}, {}}).sum.item<double>(), 10);
}

}  // namespace
}  // namespace niwaki
