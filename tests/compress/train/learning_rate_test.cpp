#include "compress/train/learning_rate.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(LearningRate, RisesThenFalls) {
  const auto share = [](int64_t step) { return learning_rate_share(Schedule::cosine, 0.1, step, 100); };
  for (int64_t i = 0; i < 10; ++i) EXPECT_LT(share(i), share(i + 1));
  EXPECT_NEAR(share(0), 1.0 / 11, 1e-12);
  EXPECT_EQ(share(10), 1);
  EXPECT_NEAR(share(55), 0.5, 1e-12);
  for (int64_t i = 10; i < 99; ++i) EXPECT_GT(share(i), share(i + 1));
  EXPECT_GT(share(99), 0);
  EXPECT_LT(share(99), 0.01);
}

TEST(LearningRate, StepsByTens) {
  const auto share = [](int64_t step) { return learning_rate_share(Schedule::step, 0, step, 8); };
  EXPECT_EQ(share(0), 1);
  EXPECT_EQ(share(3), 1);
  EXPECT_EQ(share(4), 0.1);
  EXPECT_EQ(share(6), 0.01);
}

TEST(LearningRate, StaysConstant) {
  EXPECT_EQ(learning_rate_share(Schedule::constant, 0, 7, 8), 1);
  EXPECT_EQ(learning_rate_share(Schedule::constant, 0.05, 0, 1), 1);
}

}  // namespace
}  // namespace niwaki
