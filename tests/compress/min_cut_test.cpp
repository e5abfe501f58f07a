#include "compress/min_cut.h"

#include "compress/random.h"

#include <gtest/gtest.h>

#include <limits>

namespace niwaki {
namespace {

struct Problem {
  std::vector<double> if_true, if_false;
  struct Pair { int a, b; double cost; };
  std::vector<Pair> pairs;

  double cost(const std::vector<bool>& labels) const {
    double total = 0;
    for (size_t i = 0; i < if_true.size(); ++i) total += labels[i] ? if_true[i] : if_false[i];
    for (const Pair& pair : pairs) total += labels[static_cast<size_t>(pair.a)] && !labels[static_cast<size_t>(pair.b)] ? pair.cost : 0;
    return total;
  }
  std::vector<bool> solve() const {
    MinCut cut;
    for (size_t i = 0; i < if_true.size(); ++i) EXPECT_EQ(cut.add(if_true[i], if_false[i]), static_cast<int>(i));
    for (const Pair& pair : pairs) cut.penalize(pair.a, pair.b, pair.cost);
    return cut.solve();
  }
};

TEST(MinCut, IsTheLeastOfAllLabellings) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Generator random(seed, "min_cut");
    Problem problem;
    const int items = 1 + static_cast<int>(random.below(9));
    for (int i = 0; i < items; ++i) {
      problem.if_true.push_back(random.below(5) == 0 ? 0 : random.uniform() * 10);
      problem.if_false.push_back(random.below(5) == 0 ? 0 : random.uniform() * 10);
    }
    for (uint64_t i = random.below(20); i > 0 && items > 1; --i) {
      problem.pairs.push_back({static_cast<int>(random.below(static_cast<uint64_t>(items))), static_cast<int>(random.below(static_cast<uint64_t>(items))), random.uniform() * 8});
    }
    double least = std::numeric_limits<double>::infinity();
    for (int code = 0; code < 1 << items; ++code) {
      std::vector<bool> labels;
      for (int i = 0; i < items; ++i) labels.push_back(code >> i & 1);
      least = std::min(least, problem.cost(labels));
    }
    EXPECT_NEAR(problem.cost(problem.solve()), least, 1e-6) << "seed " << seed;
  }
}

TEST(MinCut, TiesAreFalse) {
  EXPECT_EQ((Problem{{1, 2}, {1, 2}, {{0, 1, 5}}}.solve()), (std::vector<bool>{false, false}));
}

TEST(MinCut, ForbiddenLabelsAreNeverTaken) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  EXPECT_EQ((Problem{{kNever, 0}, {0, 0}, {{1, 0, 3}}}.solve()), (std::vector<bool>{false, false}));
  EXPECT_EQ((Problem{{5, 7, 0}, {kNever, 0, 1}, {{0, 1, kNever}}}.solve()), (std::vector<bool>{true, true, true}));
}

TEST(MinCut, LongChainsAreSolved) {
  constexpr int kLength = 5000;
  Problem problem;
  for (int i = 0; i < kLength; ++i) {
    problem.if_true.push_back(i == 0 ? 0 : 1);
    problem.if_false.push_back(i == 0 ? 1e9 : 0.5);
    if (i > 0) problem.pairs.push_back({i - 1, i, 1e6});
  }
  const std::vector<bool> labels = problem.solve();
  EXPECT_EQ(static_cast<int>(std::count(labels.begin(), labels.end(), true)), kLength);
}

}  // namespace
}  // namespace niwaki
