#include "compress/progress.h"

#include <gtest/gtest.h>

#include <vector>

namespace niwaki {
namespace {

class ProgressTest : public testing::Test {
 protected:
  void TearDown() override { Progress::stop_requested() = false; }
};

TEST_F(ProgressTest, ShowsStageAndCounts) {
  std::vector<Progress::State> shown;
  Progress progress([&](const Progress::State& state) { shown.push_back(state); });
  progress.start("calibrate", 10);
  progress.advance(4);
  progress.advance();
  progress.start("write", 1);
  ASSERT_EQ(shown.size(), 4u);
  EXPECT_EQ(shown[0].stage, "calibrate");
  EXPECT_EQ(shown[0].total, 10);
  EXPECT_EQ(shown[2].done, 5);
  EXPECT_EQ(shown[3].stage, "write");
  EXPECT_EQ(shown[3].done, 0);
}

TEST_F(ProgressTest, ThrowsWhenTheUserAskedToStop) {
  Progress progress;
  progress.start("calibrate", 10);
  EXPECT_NO_THROW(progress.advance());
  progress.stop();
  EXPECT_THROW(progress.advance(), Interrupted);
  Progress::stop_requested() = true;
  EXPECT_THROW(Progress().start("other", 1), Interrupted);
}

}  // namespace
}  // namespace niwaki
