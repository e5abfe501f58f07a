#include "passes/train/propose_pairs.h"

#include "compress/error.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Pairs = std::vector<std::pair<size_t, size_t>>;

/// All ways to pair in order, tried one by one.
double most_by_trial(const std::vector<std::vector<double>>& gains, size_t row, size_t column) {
  if (row == gains.size() || column == gains[0].size()) return 0;
  return std::max({most_by_trial(gains, row + 1, column), most_by_trial(gains, row, column + 1), gains[row][column] + most_by_trial(gains, row + 1, column + 1)});
}

TEST(ProposePairs, TheBestAssignmentKeepsTheOrder) {
  EXPECT_EQ(best_in_order({{0.9, 0.1}, {0.1, 0.9}}), (Pairs{{0, 0}, {1, 1}}));
  EXPECT_EQ(best_in_order({{0.1, 0.9}, {0.8, 0.1}}), (Pairs{{0, 1}}));       // crossed: only the better one
  EXPECT_EQ(best_in_order({{0.2, 0.3, 0.7}}), (Pairs{{0, 2}}));
  EXPECT_TRUE(best_in_order({{0, 0}, {0, 0}}).empty());
  EXPECT_TRUE(best_in_order({}).empty());
}

TEST(ProposePairs, NoOtherAssignmentGainsMore) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Tensor numbers = at::sigmoid(random_tensor({4, 6}, seed));
    std::vector<std::vector<double>> gains(4, std::vector<double>(6));
    for (size_t i = 0; i < 4; ++i) {
      for (size_t j = 0; j < 6; ++j) gains[i][j] = numbers[static_cast<int64_t>(i)][static_cast<int64_t>(j)].item<double>();
    }
    double sum = 0;
    const Pairs pairs = best_in_order(gains);
    for (size_t k = 0; k < pairs.size(); ++k) {
      sum += gains[pairs[k].first][pairs[k].second];
      if (k == 0) continue;
      EXPECT_GT(pairs[k].first, pairs[k - 1].first);
      EXPECT_GT(pairs[k].second, pairs[k - 1].second);
    }
    EXPECT_NEAR(sum, most_by_trial(gains, 0, 0), 1e-12);
  }
}

/// Hidden layers of x [n, 6], each weight made of `seed` plus its place.
Graph stack(const std::vector<int64_t>& widths, uint64_t seed, const std::string& prefix) {
  GraphBuilder b;
  ValueId h = b.input("x", {"n", int64_t{6}});
  int64_t in = 6;
  for (size_t i = 0; i < widths.size(); ++i) {
    h = b.node("Relu", {b.node("Gemm", {h, b.constant(cat(prefix, "w", i), random_tensor({in, widths[i]}, seed + i))})}, {}, cat(prefix, "act", i));
    in = widths[i];
  }
  b.output(b.node("Gemm", {h, b.constant(prefix + "last", random_tensor({in, 3}, seed + 50))}), "y");
  return b.graph();
}

std::string producer_of(const Graph& graph, ValueId id) { return graph.label(*graph.producer(id)); }

TEST(ProposePairs, LayersFindTheirLikes) {
  // the teacher's second and fourth layer do what the student's two do: in between it goes through wide random layers
  const Graph student = stack({16, 16}, 1, "s."), teacher = stack({16, 16, 40}, 1, "t.");
  const Dataset data = samples_for(student, student, 300, false);
  Progress progress;
  const auto pairs = propose_pairs(student, teacher, data, false, progress);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(producer_of(student, pairs[0].values.student), "s.act0");
  EXPECT_EQ(producer_of(teacher, pairs[0].values.teacher), "t.act0");
  EXPECT_EQ(producer_of(teacher, pairs[1].values.teacher), "t.act1");
  for (const MeasuredPair& pair : pairs) {
    EXPECT_NEAR(pair.cka, 1, 1e-6);
    EXPECT_GT(pair.variance, 0);
    EXPECT_FALSE(pair.projector.defined());
  }
  const auto unlike = propose_pairs(student, stack({16, 16, 40}, 70, "t."), data, false, progress);
  ASSERT_EQ(unlike.size(), 2u);
  EXPECT_LT(unlike[0].cka, 0.99);
}

TEST(ProposePairs, ActivationsBehindNormsAndPoolingCountAndGatesDoNot) {
  const auto net = [](int64_t width, const std::string& prefix) {
    GraphBuilder b;
    const ValueId first = b.node("Conv", {b.input("x", {"n", int64_t{3}, int64_t{8}, int64_t{8}}), b.constant(prefix + "w0", random_tensor({width, 3, 3, 3}, 1))});
    const ValueId pooled = b.node("MaxPool", {first}, {{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}});
    const ValueId h = b.node("Conv", {b.node("Relu", {pooled}, {}, prefix + "relu"), b.constant(prefix + "w1", random_tensor({width, width, 3, 3}, 2))});
    const ValueId gated = b.node("Mul", {h, b.node("Sigmoid", {h}, {}, prefix + "gate")}, {}, prefix + "silu");
    b.output(b.node("Flatten", {b.node("GlobalAveragePool", {gated})}), "y");
    return b.graph();
  };
  const Graph student = net(4, "s."), teacher = net(6, "t.");
  const Dataset data(student, samples_of({{"x", random_tensor({40, 3, 8, 8}, 3)}}), {.batch = 8}, "data");
  Progress progress;
  const auto pairs = propose_pairs(student, teacher, data, false, progress);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(producer_of(student, pairs[0].values.student), "s.relu");
  EXPECT_EQ(producer_of(student, pairs[1].values.student), "s.silu");
  EXPECT_EQ(producer_of(teacher, pairs[1].values.teacher), "t.silu");
}

/// Two residual blocks of maps of 4 x 4, then one of 2 x 2.
Graph blocks(int64_t width, uint64_t seed, const std::string& prefix) {
  GraphBuilder b;
  const auto conv = [&](ValueId x, int64_t in, int64_t stride, const std::string& name) {
    ++seed;
    return b.node("Conv", {x, b.constant(prefix + name + "w", random_tensor({width, in, 1, 1}, seed))}, {{"strides", std::vector<int64_t>{stride, stride}}}, prefix + name);
  };
  const auto block = [&](ValueId x, const std::string& name) { return b.node("Add", {b.node("Relu", {conv(x, width, 1, name)}), x}, {}, prefix + name + "sum"); };
  const ValueId first = block(block(conv(b.input("x", {"n", int64_t{3}, int64_t{4}, int64_t{4}}), 3, 1, "stem"), "a"), "b");
  const ValueId last = block(conv(first, width, 2, "down"), "c");
  b.output(b.node("Flatten", {b.node("GlobalAveragePool", {last})}), "y");
  return b.graph();
}

TEST(ProposePairs, OfMapsTheLastOfEachResolutionPairs) {
  const Graph student = blocks(4, 10, "s."), teacher = blocks(9, 40, "t.");
  const Dataset data(student, samples_of({{"x", random_tensor({64, 3, 4, 4}, 3)}}), {.batch = 16}, "data");
  Progress progress;
  const auto pairs = propose_pairs(student, teacher, data, true, progress);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(producer_of(student, pairs[0].values.student), "s.bsum");
  EXPECT_EQ(producer_of(teacher, pairs[0].values.teacher), "t.bsum");
  EXPECT_EQ(producer_of(student, pairs[1].values.student), "s.csum");
  EXPECT_EQ(pairs[1].projector.sizes(), (std::vector<int64_t>{9, 5}));
}

TEST(ProposePairs, RefusesNamedPairsThatCannotBeCompared) {
  const Graph student = blocks(4, 10, "s."), teacher = blocks(9, 40, "t.");
  const Dataset data(student, samples_of({{"x", random_tensor({8, 3, 4, 4}, 3)}}), {.batch = 8}, "data");
  Progress progress;
  const LayerPair pair{student.node(*student.producer(student.main().outputs[0])).inputs[0], teacher.main().outputs[0]};
  try {
    measure_pairs(student, teacher, {pair}, data, progress);
    FAIL() << "a map was compared with a row";
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E3322");
  }
}

}  // namespace
}  // namespace niwaki
