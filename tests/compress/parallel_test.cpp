#include "compress/parallel.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace niwaki {
namespace {

class Parallel : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_num_threads(GetParam()); }
  void TearDown() override { set_num_threads(0); }
};

TEST_P(Parallel, DoesEachOnce) {
  std::vector<std::atomic<int>> done(1000);
  parallel_for(1000, [&](int64_t i) { ++done[static_cast<size_t>(i)]; });
  for (const auto& count : done) EXPECT_EQ(count, 1);
  parallel_for(0, [](int64_t) { FAIL(); });
}

TEST_P(Parallel, FinishesInOrderOneAtATime) {
  std::vector<int64_t> order;
  std::atomic<int> inside{0};
  ordered_for(
      200, [](int64_t i) { std::this_thread::sleep_for(std::chrono::microseconds(i % 7 * 30)); },
      [&](int64_t i) {
        EXPECT_EQ(++inside, 1);
        order.push_back(i);
        --inside;
      });
  ASSERT_EQ(order.size(), 200u);
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], static_cast<int64_t>(i));
}

TEST_P(Parallel, WaitsWithFewResultsInHand) {
  std::atomic<int64_t> started{0}, finished{0}, most{0};
  ordered_for(
      300, [&](int64_t) { ++started; },
      [&](int64_t) {
        most = std::max<int64_t>(most, started - finished);
        ++finished;
      });
  EXPECT_LE(most, 2 * GetParam());           // flat memory: nobody runs ahead of the one whose turn it is
}

TEST_P(Parallel, ThrowsTheFirstFailureByIndex) {
  for (int round = 0; round < 20; ++round) {
    std::vector<int64_t> order;
    try {
      ordered_for(
          100,
          [](int64_t i) {
            if (i == 23) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            if (i >= 23 && i % 3 == 2) throw std::runtime_error(std::to_string(i));
          },
          [&](int64_t i) { order.push_back(i); });
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "23");
    }
    EXPECT_EQ(order.size(), 23u);            // what came before counts, what comes behind does not
  }
}

TEST_P(Parallel, FailuresOfFinishEndTheWork) {
  std::atomic<int> started{0};
  EXPECT_THROW(ordered_for(
                   10000, [&](int64_t) { ++started; },
                   [](int64_t i) {
                     if (i == 5) throw std::runtime_error("stop");
                   }),
               std::runtime_error);
  EXPECT_LT(started, 100);
}

TEST_P(Parallel, GivesEachThreadOneOfAten) {
  parallel_for(8, [](int64_t) { EXPECT_EQ(at::get_num_threads(), 1); });
}

INSTANTIATE_TEST_SUITE_P(Threads, Parallel, testing::Values(1, 2, 4));

TEST(NumThreads, ZeroIsAllCores) {
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  set_num_threads(0);
  EXPECT_EQ(num_threads(), std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
}

}  // namespace
}  // namespace niwaki
