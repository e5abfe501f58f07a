#include "compress/divergence.h"

#include "compress/parallel.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <cmath>

namespace niwaki {
namespace {

/// y = x W, [n, 3] scores, or an image-like answer.
Graph net(double scale, bool is_image = false, bool has_softmax = false) {
  GraphBuilder b;
  ValueId x = b.input("x", {std::string("n"), int64_t{4}});
  x = b.node("MatMul", {x, b.constant("w", random_tensor({4, 6}, 1) * scale)}, {}, "mm");
  if (has_softmax) x = b.node("Softmax", {x});
  if (is_image) x = b.node("Reshape", {x, b.constant("shape", at::tensor(std::vector<int64_t>{-1, 1, 2, 3}, at::kLong))});
  b.output(x, "y");
  return b.graph();
}

struct Judge {
  Graph graph;
  Dataset data;
  Progress progress;
  explicit Judge(const Graph& original, int64_t samples = 21) : graph(original), data(graph, samples_of({{"x", random_tensor({samples, 4}, 2)}}), {.batch = 4}, "data") {}
  double operator()(const Graph& edited, int64_t limit = 256) { return Answers(graph, data, limit, progress).divergence(edited, progress); }
};

TEST(Answers, AreEqualToThemselves) {
  EXPECT_EQ(Judge(net(1))(net(1)), 0);
  EXPECT_EQ(Judge(net(1, true))(net(1, true)), 0);
}

TEST(Answers, ScoresDivergeInNats) {
  const Tensor x = random_tensor({21, 4}, 2);
  const Tensor p = run_graph(net(1), {x})[0].to(at::kDouble).log_softmax(1), q = run_graph(net(0.5), {x})[0].to(at::kDouble).log_softmax(1);
  const double want = (p.exp() * (p - q)).sum().item<double>() / 21;
  EXPECT_NEAR(Judge(net(1))(net(0.5)), want, 1e-6);
  EXPECT_NEAR(Judge(net(1, false, true))(net(0.5, false, true)), want, 1e-4);   // shares mean the same as logits
}

TEST(Answers, OthersCountByTheirRelativeSquaredError) { EXPECT_NEAR(Judge(net(1, true))(net(0.5, true)), 0.25, 1e-6); }

TEST(Answers, WhatIsNotFiniteIsInfinitelyFar) { EXPECT_TRUE(std::isinf(Judge(net(1))(net(NAN)))); }

TEST(Answers, JudgeAsManySamplesAsAsked) {
  Judge judge(net(1));
  EXPECT_EQ(Answers(judge.graph, judge.data, 8, judge.progress).num_samples(), 8);
  EXPECT_EQ(Answers(judge.graph, judge.data, 256, judge.progress).num_samples(), 21);
}

TEST(Answers, DoNotDependOnThreads) {
  const int before = num_threads();
  set_num_threads(1);
  const double one = Judge(net(1))(net(0.7));
  set_num_threads(4);
  EXPECT_EQ(Judge(net(1))(net(0.7)), one);
  set_num_threads(before);
}

}  // namespace
}  // namespace niwaki
