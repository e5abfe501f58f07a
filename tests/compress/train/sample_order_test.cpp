#include "compress/train/sample_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace niwaki {
namespace {

TEST(SampleOrder, EveryEpochHasEveryTrainingSampleOnce) {
  const SampleOrder order(200, 0.1, 7);
  ASSERT_EQ(order.held_out().size(), 20u);
  EXPECT_EQ(order.num_training(), 180);
  const std::vector<int64_t> first = order.epoch(0), second = order.epoch(1);
  EXPECT_NE(first, second);
  for (const auto& epoch : {first, second}) {
    std::set<int64_t> all(epoch.begin(), epoch.end());
    all.insert(order.held_out().begin(), order.held_out().end());
    EXPECT_EQ(all.size(), 200u);
    EXPECT_EQ(*all.rbegin(), 199);
  }
}

TEST(SampleOrder, HoldsOutAtMostAThousandAndNoHandful) {
  EXPECT_EQ(SampleOrder(100000, 0.05, 0).held_out().size(), 1000u);
  EXPECT_EQ(SampleOrder(100, 0.05, 0).held_out().size(), 0u);
  EXPECT_EQ(SampleOrder(100, 0, 0).num_training(), 100);
}

TEST(SampleOrder, ASeedDecides) {
  EXPECT_EQ(SampleOrder(300, 0.1, 3).epoch(5), SampleOrder(300, 0.1, 3).epoch(5));
  EXPECT_NE(SampleOrder(300, 0.1, 3).epoch(5), SampleOrder(300, 0.1, 4).epoch(5));
  EXPECT_NE(SampleOrder(300, 0.1, 3).held_out(), SampleOrder(300, 0.1, 4).held_out());
}

}  // namespace
}  // namespace niwaki
