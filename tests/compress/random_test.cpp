#include "compress/random.h"

#include <gtest/gtest.h>

#include <set>

namespace niwaki {
namespace {

TEST(Generator, IsKeyedBySeedAndName) {
  EXPECT_EQ(Generator(1, "a").at(5), Generator(1, "a").at(5));
  std::set<uint64_t> seen;
  for (const uint64_t seed : {0, 1, 2}) {
    for (const char* name : {"", "a", "b", "ab", "ba"}) {
      for (uint64_t i = 0; i < 100; ++i) seen.insert(Generator(seed, name).at(i));
    }
  }
  EXPECT_EQ(seen.size(), 1500u);
}

TEST(Generator, CountsOrJumps) {
  Generator generator(7, "x");
  const Generator other(7, "x");
  for (uint64_t i = 0; i < 10; ++i) EXPECT_EQ(generator.next(), other.at(i));
}

TEST(Generator, IsTheSameOnEveryMachine) {
  // SplitMix64, computed apart: a change here would change emitted files
  Generator generator(42, "weight");
  EXPECT_EQ(generator.next(), 0x36bbad8f7df0ecdcu);
  EXPECT_EQ(generator.next(), 0x596ef4eb7bef0e91u);
}

TEST(Generator, UniformAndNormalHaveTheirMoments) {
  Generator generator(3, "moments");
  const int count = 100000;
  double sum = 0, square = 0, normal = 0, normal_square = 0;
  for (int i = 0; i < count; ++i) {
    const double u = generator.uniform(), z = generator.normal();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ASSERT_TRUE(std::isfinite(z));
    sum += u;
    square += u * u;
    normal += z;
    normal_square += z * z;
  }
  const double sigma = 1 / std::sqrt(static_cast<double>(count));          // five of them
  EXPECT_NEAR(sum / count, 0.5, 5 * 0.289 * sigma);
  EXPECT_NEAR(square / count, 1.0 / 3, 5 * 0.3 * sigma);
  EXPECT_NEAR(normal / count, 0, 5 * sigma);
  EXPECT_NEAR(normal_square / count, 1, 5 * 1.42 * sigma);
}

TEST(Generator, BelowStaysBelow) {
  Generator generator(3, "below");
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(generator.below(7));
  EXPECT_EQ(seen.size(), 7u);
  EXPECT_EQ(*seen.rbegin(), 6u);
}

}  // namespace
}  // namespace niwaki
