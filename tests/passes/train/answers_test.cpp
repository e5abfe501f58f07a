#include "passes/train/answers.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Answer only_answer(const Graph& graph) {
  const auto answers = find_answers(graph);
  EXPECT_EQ(answers.size(), 1u);
  return answers.at(0);
}

Graph behind(const std::string& op, Shape shape, std::map<std::string, Attribute> attributes = {}) {
  GraphBuilder b;
  const ValueId scores = b.node("Relu", {b.input("x", std::move(shape))});
  b.output(b.node(op, {scores}, std::move(attributes)), "y");
  return b.graph();
}

TEST(Answers, ClassesAreReadBeforeTheSoftmax) {
  const Graph graph = behind("Softmax", {"n", int64_t{5}}, {{"axis", int64_t{1}}});
  const Answer answer = only_answer(graph);
  EXPECT_EQ(answer.kind, AnswerKind::classes);
  EXPECT_EQ(answer.scores, graph.node(*graph.producer(answer.output)).inputs[0]);
}

TEST(Answers, LogSoftmaxIsReadAsItIs) {
  const Answer answer = only_answer(behind("LogSoftmax", {"n", int64_t{5}}));
  EXPECT_EQ(answer.kind, AnswerKind::classes);
  EXPECT_EQ(answer.scores, answer.output);
}

TEST(Answers, ASoftmaxOverSomethingElseIsNoAnswerOfClasses) {
  const Answer answer = only_answer(behind("Softmax", {"n", int64_t{5}, int64_t{4}, int64_t{4}}, {{"axis", int64_t{3}}}));
  EXPECT_EQ(answer.kind, AnswerKind::numbers);
  EXPECT_EQ(answer.scores, answer.output);
}

TEST(Answers, SharesAreReadBeforeTheSigmoid) {
  const Answer answer = only_answer(behind("Sigmoid", {"n", int64_t{5}}));
  EXPECT_EQ(answer.kind, AnswerKind::shares);
  EXPECT_NE(answer.scores, answer.output);
}

TEST(Answers, ARankOfTwoHoldsClassesUnlessItIsAReconstruction) {
  const auto kind = [](int64_t outputs) {
    GraphBuilder b;
    b.output(b.node("Gemm", {b.input("x", {"n", int64_t{6}}), b.random_constant("w", {6, outputs})}), "y");
    return only_answer(b.graph()).kind;
  };
  EXPECT_EQ(kind(4), AnswerKind::classes);
  EXPECT_EQ(kind(6), AnswerKind::numbers);
  EXPECT_EQ(kind(1), AnswerKind::numbers);
}

TEST(Answers, TokensMakeARankOfThreeClasses) {
  GraphBuilder b;
  b.output(b.node("Gather", {b.random_constant("table", {11, 7}), b.input("tokens", {"n", "t"}, DType::int64)}), "y");
  EXPECT_EQ(only_answer(b.graph()).kind, AnswerKind::classes);
}

}  // namespace
}  // namespace niwaki
