#include "passes/prune/choose_widths.h"

#include "compress/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace niwaki {
namespace {

/// A chain x -> a -> b -> y: cost = 10 a + a b + 10 b, as shares of three terms.
std::vector<CostTerm> chain(double a, double b) {
  const CostTerm::Axis first{a, {{0, 1.0}}}, second{b, {{1, 1.0}}};
  return {{10 * a, {first}}, {a * b, {first, second}}, {10 * b, {second}}};
}

WidthVariable curve(int64_t width, double scale, double power, int64_t round_to = 1) {
  WidthVariable variable{.width = width, .round_to = round_to};
  for (int64_t k = 0; k < width; ++k) variable.losses.push_back(scale * std::pow(static_cast<double>(k) / static_cast<double>(width), power));
  return variable;
}

double loss_of(const std::vector<WidthVariable>& variables, const std::vector<int64_t>& removed) {
  double all = 0;
  for (size_t i = 0; i < removed.size(); ++i) all += variables[i].losses[static_cast<size_t>(removed[i])];
  return all;
}

double best_loss(const std::vector<WidthVariable>& variables, const std::vector<CostTerm>& terms, double budget) {
  double best = std::numeric_limits<double>::infinity();
  for (int64_t a = 0; a < variables[0].width; ++a) {
    for (int64_t b = 0; b < variables[1].width; ++b) {
      if (cost_of(terms, {a, b}) <= budget) best = std::min(best, loss_of(variables, {a, b}));
    }
  }
  return best;
}

TEST(ChooseWidths, CostIsTheProductOfWhatIsLeft) {
  EXPECT_DOUBLE_EQ(cost_of(chain(8, 4), {0, 0}), 80 + 32 + 40);
  EXPECT_DOUBLE_EQ(cost_of(chain(8, 4), {2, 1}), 60 + 18 + 30);
}

TEST(ChooseWidths, IsCloseToBruteForceAndKeepsTheBudget) {
  Generator generator(0, "widths");
  for (int round = 0; round < 40; ++round) {
    const std::vector<WidthVariable> variables = {curve(12, 1 + generator.uniform(), 1 + 3 * generator.uniform()), curve(9, 1 + 4 * generator.uniform(), 1 + 3 * generator.uniform())};
    const auto terms = chain(12, 9);
    const double budget = cost_of(terms, {0, 0}) * (0.3 + 0.6 * generator.uniform());
    const auto removed = choose_widths(variables, terms, budget);
    EXPECT_LE(cost_of(terms, removed), budget);
    EXPECT_LE(loss_of(variables, removed), best_loss(variables, terms, budget) * 1.15 + 0.02) << "round " << round;
  }
}

TEST(ChooseWidths, CutWidthsAreOnTheGrid) {
  const std::vector<WidthVariable> variables = {curve(18, 1, 2, 4), curve(16, 1, 2, 4)};
  const auto removed = choose_widths(variables, chain(18, 16), 200);
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(removed[i] == 0 || (variables[i].width - removed[i]) % 4 == 0);
  EXPECT_LE(cost_of(chain(18, 16), removed), 200);
}

TEST(ChooseWidths, GoesAsFarAsItCan) {
  const std::vector<WidthVariable> variables = {curve(8, 1, 2, 4), curve(4, 1, 2, 4)};
  EXPECT_EQ(choose_widths(variables, chain(8, 4), 1), (std::vector<int64_t>{4, 0}));
  EXPECT_EQ(choose_widths(variables, chain(8, 4), 1e9), (std::vector<int64_t>{0, 0}));
}

TEST(ChooseWidths, LooksPastABadFirstStep) {
  WidthVariable steep = curve(8, 1, 1);
  steep.losses = {0, 1, 1, 1, 1, 1, 1, 1};   // the first unit costs all
  const std::vector<WidthVariable> variables = {steep, curve(8, 2.5, 1)};
  const auto removed = choose_widths(variables, chain(8, 8), 60);
  EXPECT_LE(cost_of(chain(8, 8), removed), 60);
  EXPECT_LE(loss_of(variables, removed), best_loss(variables, chain(8, 8), 60) + 1e-9);
}

/// Two equal variables; the second cost counts one of them in blocks of 16.
TEST(ChooseWidths, SecondCostDecidesWhereLossesAreEqual) {
  const std::vector<WidthVariable> variables = {curve(16, 1, 1, 8), curve(32, 1, 1, 16)};
  const std::vector<CostTerm> terms = {{16, {{16, {{0, 1.0}}}}}, {16, {{32, {{1, 1.0}}}}}};
  const std::vector<CostTerm> blocks = {{16, {{16, {{0, 1.0}}, 16}}}, {16, {{32, {{1, 1.0}}, 16}}}};
  EXPECT_EQ(cost_of(blocks, {8, 0}), 32);
  EXPECT_EQ(cost_of(blocks, {0, 16}), 24);
  EXPECT_EQ(cost_of(blocks, {0, 8}), 32);
  EXPECT_EQ(choose_widths(variables, terms, 24, {blocks, 0.5}), (std::vector<int64_t>{0, 16}));
}

}  // namespace
}  // namespace niwaki
