#include "compress/intervals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace niwaki {
namespace {

// Found by an independent solver that maximises the restricted multinomial likelihood by
// golden-section search instead of the closed form. (1, 7, 21) are the airway data of Bentur et al.
// as in Fagerland, Lydersen and Laake (2014), table IV, printed there as -0.517 to -0.026; (0, 1,
// 44) is Tango's contact lens example (1998).
TEST(Intervals, TangoAgreesWithPublishedExamples) {
  const Interval airway = tango(1, 7, 21);
  EXPECT_NEAR(airway.lo, -0.51723227, 1e-7);
  EXPECT_NEAR(airway.hi, -0.02600303, 1e-7);
  const Interval lens = tango(0, 1, 44);
  EXPECT_NEAR(lens.lo, -0.11807710, 1e-7);
  EXPECT_NEAR(lens.hi, 0.05939323, 1e-7);
  const Interval crossover = tango(16, 8, 86);
  EXPECT_NEAR(crossover.lo, -0.01965892, 1e-7);
  EXPECT_NEAR(crossover.hi, 0.20691077, 1e-7);
  const Interval large = tango(130, 112, 10000);
  EXPECT_NEAR(large.lo, -0.00125859, 1e-7);
  EXPECT_NEAR(large.hi, 0.00488465, 1e-7);
}

TEST(Intervals, TangoOfNoChangeIsNotZero) {
  const Interval none = tango(0, 0, 100);
  EXPECT_NEAR(none.lo, -0.036993498, 1e-8);  // z^2 / (n + z^2)
  EXPECT_NEAR(none.hi, 0.036993498, 1e-8);
  EXPECT_NEAR(tango(100, 0, 100).lo, 0.926013004, 1e-8);
  EXPECT_NEAR(tango(100, 0, 100).hi, 1, 1e-9);
  EXPECT_EQ(tango(0, 0, 0).hi, 1);
}

TEST(Intervals, TangoTurnsRoundWithItsArguments) {
  for (int b = 0; b < 20; b += 3) {
    for (int c = 0; c < 20; c += 3) {
      const Interval there = tango(b, c, 50), back = tango(c, b, 50);
      EXPECT_NEAR(there.lo, -back.hi, 1e-9);
      EXPECT_LE(there.lo, (b - c) / 50.0);
      EXPECT_GE(there.hi, (b - c) / 50.0);
    }
  }
}

// Drawn from a fixed seed: a true drop of 2 points is inside 95 % of the intervals, within the
// binomial error.
TEST(Intervals, TangoCoversTheTruth) {
  std::mt19937 random(7);
  int covered = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    int b = 0, c = 0;
    for (int i = 0; i < 500; ++i) {
      const double draw = static_cast<double>(random()) / 4294967296.0;
      b += draw < 0.05;
      c += draw >= 0.05 && draw < 0.08;
    }
    const Interval interval = tango(b, c, 500);
    covered += interval.lo <= 0.02 && interval.hi >= 0.02;
  }
  EXPECT_NEAR(covered / 2000.0, 0.95, 0.015);
}

TEST(Intervals, McnemarCountsTheBinomialTails) {
  EXPECT_DOUBLE_EQ(mcnemar_p(0, 0), 1);
  EXPECT_DOUBLE_EQ(mcnemar_p(4, 4), 1);
  EXPECT_NEAR(mcnemar_p(0, 5), 2.0 / 32, 1e-14);
  EXPECT_NEAR(mcnemar_p(1, 7), 2 * 9.0 / 256, 1e-14);  // printed as 0.0703 for the airway data
  EXPECT_NEAR(mcnemar_p(7, 1), 2 * 9.0 / 256, 1e-14);
  EXPECT_NEAR(mcnemar_p(5, 6), 1, 1e-12);
  EXPECT_GT(mcnemar_p(5000, 5200), 0.04);
  EXPECT_LT(mcnemar_p(5000, 5200), 0.06);
}

TEST(Intervals, WilsonAgreesWithTheFormula) {
  // Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611
  EXPECT_NEAR(wilson(81, 263).lo, 0.2553, 5e-5);
  EXPECT_NEAR(wilson(81, 263).hi, 0.3662, 5e-5);
  EXPECT_EQ(wilson(0, 20).lo, 0);
  EXPECT_NEAR(wilson(0, 20).hi, 0.1611, 5e-5);
  EXPECT_EQ(wilson(20, 20).hi, 1);
  EXPECT_NEAR(wilson(20, 20).lo, 1 - 0.1611, 5e-5);
}

TEST(Intervals, BootstrapAgreesWithTheNormalInterval) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal(2, 0.5);
  std::vector<double> values(400);
  for (double& value : values) value = normal(random);
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 400;
  double squares = 0;
  for (double value : values) squares += (value - mean) * (value - mean);
  const double half = 1.96 * std::sqrt(squares / 400 / 400);
  const Interval interval = bootstrap_mean(values, 1);
  EXPECT_NEAR(interval.lo, mean - half, 0.08 * half);
  EXPECT_NEAR(interval.hi, mean + half, 0.08 * half);
  const Interval again = bootstrap_mean(values, 1);
  EXPECT_EQ(interval.lo, again.lo);
  EXPECT_EQ(interval.hi, again.hi);
  EXPECT_NE(interval.lo, bootstrap_mean(values, 2).lo);
}

TEST(Intervals, BootstrapOfEqualValuesIsAPoint) {
  const std::vector<double> same(50, 0.25);
  EXPECT_EQ(bootstrap_mean(same).lo, 0.25);
  EXPECT_EQ(bootstrap_mean(same).hi, 0.25);
  EXPECT_EQ(bootstrap_mean({}).hi, 0);
}

TEST(Intervals, ManySamplesAreDrawnInGroups) {
  std::vector<double> values(100000);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<double>(i * 7919 % 1000) / 1000;
  const Interval interval = bootstrap_mean(values);
  const double half = 1.96 * std::sqrt(1.0 / 12 / 100000);
  EXPECT_NEAR((interval.hi - interval.lo) / 2, half, 0.1 * half);
}

TEST(Intervals, WeightsCountAsRepeatedSamples) {
  const std::vector<double> values = {1, 3}, weights = {3, 1};
  const Interval interval = bootstrap_weighted_mean(values, weights);
  EXPECT_EQ(interval.lo, 1);
  EXPECT_EQ(interval.hi, 3);
  const std::vector<double> first_only = {1, 0};
  EXPECT_EQ(bootstrap_weighted_mean(values, first_only).hi, 1);
}

TEST(Intervals, LatencyRatioCoversItself) {
  std::mt19937 random(5);
  std::normal_distribution<double> noise(0, 0.02);
  std::vector<std::vector<LatencyPair>> rounds(3);
  for (auto& round : rounds) {
    for (int i = 0; i < 30; ++i) round.emplace_back(2.0 + noise(random), 1.0 + noise(random));
  }
  const Interval half = bootstrap_ratio(rounds, 0);
  EXPECT_LT(half.lo, 0.5);
  EXPECT_GT(half.hi, 0.5);
  EXPECT_LT(half.hi - half.lo, 0.03);
  std::vector<std::vector<LatencyPair>> exact = {{{4, 1}, {4, 1}}, {}};
  EXPECT_EQ(bootstrap_ratio(exact).lo, 0.25);
}

TEST(Intervals, ResampledCountsAddUp) {
  const std::vector<uint32_t> counts = resample_counts(1000, 0, 5);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0u), 1000u);
  EXPECT_EQ(counts, resample_counts(1000, 0, 5));
  EXPECT_NE(counts, resample_counts(1000, 0, 6));
}

}  // namespace
}  // namespace niwaki
