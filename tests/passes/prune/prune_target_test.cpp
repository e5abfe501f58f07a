#include "passes/prune/prune_target.h"

#include "compress/error.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

template <typename Kind, typename Call>
std::string text_of(const Call& call) {
  try {
    call();
  } catch (const Kind& error) {
    return error.text();
  }
  return "";
}

TEST(PruneTarget, IsOneInItsRange) {
  const auto refusal = [](const PruneTarget& target) { return text_of<UsageError>([&] { require_one_target(target, "blocks"); }); };
  EXPECT_EQ(refusal({.macs_ratio = 0.5}), "");
  EXPECT_EQ(refusal({.sparsity = 0.5}), "");
  const auto first_line = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  EXPECT_EQ(first_line(refusal({.macs_ratio = 0})), "error[E2008]: macs_ratio 0 is not in (0, 1]");
  EXPECT_EQ(first_line(refusal({.sparsity = 1})), "error[E2008]: sparsity 1 is not below 1 for blocks");
  EXPECT_EQ(refusal({.macs_ratio = 0.5, .sparsity = 0.5}), "error[E2013]: macs_ratio and sparsity are two targets\nhelp: give one of them");
  EXPECT_EQ(refusal({.latency_ratio = 0.5}), "");
  EXPECT_EQ(first_line(refusal({.macs_ratio = 0.5, .latency_ratio = 0.5})), "error[E2013]: latency_ratio and macs_ratio are two targets");
  EXPECT_EQ(refusal({}), "error[E2017]: no target was given\nhelp: give --macs-ratio F or --sparsity F");
}

TEST(PruneTarget, SaysTheNearestThatCanBeReached) {
  const auto refusal = [](const PruneTarget& target) { return text_of<UnsupportedError>([&] { refuse_target(target, 0.58761, "3 blocks", "ask for less"); }); };
  EXPECT_EQ(refusal({.macs_ratio = 0.5}), "error[E3210]: the target cannot be reached: --macs-ratio 0.5\n   |  needed at least 0.588 with 3 blocks\nhelp: ask for less");
  EXPECT_EQ(refusal({.sparsity = 0.5}), "error[E3210]: the target cannot be reached: --sparsity 0.5\n   |  needed at most 0.412 with 3 blocks\nhelp: ask for less");
}

TEST(PruneTarget, CountsTheModelAsItWasRead) {
  const PruneTarget macs{.macs_ratio = 0.5}, weights{.sparsity = 0.25};
  EXPECT_EQ(macs.whole(80, 100), 100);
  EXPECT_EQ(macs.whole(80, 0), 80);
  EXPECT_EQ(weights.whole(80, 100), 80);
  EXPECT_NEAR(macs.budget(100), 50, 1e-6);
  EXPECT_NEAR(weights.budget(100), 75, 1e-6);
}

}  // namespace
}  // namespace niwaki
