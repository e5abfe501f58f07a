#include "passes/prune/choose_blocks.h"

#include <gtest/gtest.h>

#include <numeric>

namespace niwaki {
namespace {

/// Blocks with a size each, whose divergences add up.
struct World {
  std::vector<double> sizes, harms;
  int runs = 0;                              // rough ones
  double bonus = 0;                          // what is left of the harm of 0 and 1 when both go, less
  std::vector<double> rough_harms = {};      // as few samples show them
  int exact_runs = 0;
  BlockCosts costs() {
    const auto sum = [](const std::vector<double>& numbers, const BlockSet& set) {
      return std::accumulate(set.begin(), set.end(), 0.0, [&](double all, size_t index) { return all + numbers[index]; });
    };
    return {[this, sum](const BlockSet& set) { return std::accumulate(sizes.begin(), sizes.end(), 0.0) - sum(sizes, set); },
            [this, sum](const BlockSet& set, bool is_rough) {
              (is_rough ? runs : exact_runs) += 1;
              return sum(is_rough && !rough_harms.empty() ? rough_harms : harms, set) - (set.contains(0) && set.contains(1) ? bonus : 0);
            }};
  }
};
const std::vector<BlockSet> kSingles = {{0}, {1}, {2}, {3}};

TEST(ChooseBlocks, TakesTheCheapestPerUnit) {
  World world{{10, 10, 20, 10}, {5, 1, 4, 3}};
  const BlockChoice choice = choose_blocks(kSingles, 20, 9, world.costs());
  EXPECT_TRUE(choice.is_reached);
  EXPECT_EQ(choice.removed, (BlockSet{1, 2}));
  EXPECT_EQ(choice.order, (std::vector<std::pair<size_t, double>>{{1, 1}, {2, 4}}));
}

TEST(ChooseBlocks, NothingGoesWithinTheBudget) {
  World world{{10, 10, 20, 10}, {5, 1, 4, 3}};
  EXPECT_TRUE(choose_blocks(kSingles, 50, 9, world.costs()).removed.empty());
  EXPECT_EQ(world.runs, 0);
}

TEST(ChooseBlocks, SaysWhereTheBudgetIsOutOfReach) {
  World world{{10, 10, 20, 10}, {5, 1, 4, 3}};
  const BlockChoice choice = choose_blocks(kSingles, -1, 9, world.costs());
  EXPECT_FALSE(choice.is_reached);
  EXPECT_EQ(choice.removed.size(), 4U);
}

TEST(ChooseBlocks, TakesAPairWhereThatIsCheaper) {
  World world{{10, 10, 10, 10}, {5, 5, 4, 4.5}, 0, 8};
  EXPECT_EQ(choose_blocks({{0}, {1}, {2}, {3}, {0, 1}}, 20, 9, world.costs()).removed, (BlockSet{0, 1}));
  EXPECT_EQ(choose_blocks(kSingles, 20, 9, world.costs()).removed, (BlockSet{2, 3}));
}

TEST(ChooseBlocks, GivesBackWhatIsNotNeeded) {
  World world{{5, 10, 40, 10}, {0.4, 1, 9, 1.2}};        // 0, 1 and 3 go first, then only the large one reaches the budget
  const BlockChoice choice = choose_blocks(kSingles, 25, 9, world.costs());
  EXPECT_TRUE(choice.is_reached);
  EXPECT_EQ(choice.removed, (BlockSet{2}));
  EXPECT_EQ(choice.order.size(), 1U);
}

TEST(ChooseBlocks, MoreSamplesDecideBetweenThoseThatComeClose) {
  World world{{10, 10, 10, 10}, {2, 1, 5, 9}, 0, 0, {1.0, 1.1, 5, 9}};     // few samples put the first two in the wrong order
  EXPECT_EQ(choose_blocks(kSingles, 30, 9, world.costs()).removed, (BlockSet{1}));
  EXPECT_EQ(world.runs, 4);
  EXPECT_EQ(world.exact_runs, 2);
  World clear{{10, 10, 10, 10}, {2, 1, 5, 9}, 0, 0, {3, 1, 5, 9}};
  EXPECT_EQ(choose_blocks(kSingles, 30, 9, clear.costs()).removed, (BlockSet{1}));
  EXPECT_EQ(clear.exact_runs, 0);
}

TEST(ChooseBlocks, MeasuresFewAgain) {
  World world{{10, 10, 10, 10}, {1, 2, 3, 4}};
  choose_blocks(kSingles, 20, 1, world.costs());
  EXPECT_EQ(world.runs, 5);                              // all four, then the best of what is left
}

}  // namespace
}  // namespace niwaki
