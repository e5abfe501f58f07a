#include "compress/histogram.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <numeric>

namespace niwaki {
namespace {

int64_t sum_of(const Histogram& histogram) {
  return std::accumulate(histogram.counts().begin(), histogram.counts().end(), int64_t{0});
}

void expect_equal(const Histogram& a, const Histogram& b) {
  EXPECT_EQ(a.counts(), b.counts());
  EXPECT_EQ(a.low(), b.low());
  EXPECT_EQ(a.high(), b.high());
  EXPECT_EQ(a.total(), b.total());
  EXPECT_EQ(a.is_signed(), b.is_signed());
  EXPECT_EQ(a.edge(0), b.edge(0));
}

/// Every number lies between the edges of its bin.
void expect_holds(const Histogram& histogram, const Tensor& numbers) {
  std::vector<int64_t> counts(Histogram::kBins);
  for (int64_t i = 0; i < numbers.numel(); ++i) {
    const double x = numbers.const_data_ptr<float>()[i];
    const double width = histogram.edge(1) - histogram.edge(0);
    const auto bin = static_cast<size_t>(std::floor((x - histogram.edge(0)) / width));
    ASSERT_LT(bin, counts.size()) << x;
    ++counts[bin];
  }
  EXPECT_EQ(histogram.counts(), counts);
}

TEST(Histogram, HoldsEachNumberInItsBin) {
  const Tensor numbers = random_tensor({5000}, 1);
  Histogram histogram;
  histogram.add(numbers);
  EXPECT_TRUE(histogram.is_signed());
  EXPECT_EQ(histogram.low(), numbers.min().item<float>());
  EXPECT_EQ(histogram.high(), numbers.max().item<float>());
  EXPECT_EQ(histogram.edge(Histogram::kBins / 2), 0.0);
  expect_holds(histogram, numbers);
  Histogram positive;
  positive.add(numbers.abs());
  EXPECT_FALSE(positive.is_signed());
  EXPECT_EQ(positive.edge(0), 0.0);
  expect_holds(positive, numbers.abs());
}

TEST(Histogram, IsTheSameForAnyOrderAndSplit) {
  // widths from 1e-6 to 1e6, signs late or early: every kind of widening
  std::vector<Tensor> batches;
  for (int i = 0; i < 13; ++i) {
    const Tensor numbers = random_tensor({101}, static_cast<uint64_t>(i)) * std::pow(10.0, i - 6);
    batches.push_back(i % 3 == 0 ? numbers : numbers.abs());
  }
  Histogram forward, backward, joined, halves[2];
  for (size_t i = 0; i < batches.size(); ++i) forward.add(batches[i]);
  for (size_t i = batches.size(); i-- > 0;) backward.add(batches[i]);
  for (size_t i = 0; i < batches.size(); ++i) halves[i % 2].add(batches[i]);
  joined.add(halves[1]);
  joined.add(halves[0]);
  Histogram whole;
  whole.add(at::cat(batches));
  expect_equal(forward, backward);
  expect_equal(forward, whole);
  expect_equal(forward, joined);
  EXPECT_EQ(sum_of(whole), 13 * 101);
}

TEST(Histogram, LosesNothing) {
  Histogram histogram;
  for (const double scale : {1.0, 1e-3, 1e3, 1e-30, 1e30}) histogram.add(random_tensor({100}, 5) * scale);
  EXPECT_EQ(sum_of(histogram), 500);
  EXPECT_EQ(histogram.total(), 500);
}

TEST(Histogram, TakesEdgeCases) {
  Histogram zeros;
  zeros.add(at::zeros({7}));
  EXPECT_EQ(zeros.counts()[0], 7);
  EXPECT_EQ(zeros.low(), 0);
  EXPECT_EQ(zeros.high(), 0);
  Histogram constant;
  constant.add(at::full({7}, 3.0));
  EXPECT_EQ(constant.low(), 3);
  EXPECT_EQ(sum_of(constant), 7);
  Histogram empty;
  empty.add(at::zeros({0, 4}));
  EXPECT_EQ(empty.total(), 0);
  Histogram scalar;
  scalar.add(at::scalar_tensor(-2.0, at::kFloat));
  EXPECT_EQ(sum_of(scalar), 1);
  Histogram extreme;
  extreme.add(at::tensor({FLT_MAX, -FLT_MAX, FLT_MIN, FLT_TRUE_MIN, -FLT_TRUE_MIN, 0.0f}));
  EXPECT_EQ(sum_of(extreme), 6);
  Histogram tiny;
  tiny.add(at::tensor({FLT_TRUE_MIN, 0.0f, FLT_MIN}));
  EXPECT_EQ(sum_of(tiny), 3);
  tiny.add(at::full({1}, 1.0f));
  EXPECT_EQ(tiny.counts()[0], 3);
}

TEST(Histogram, PowersOfTwoLieInsideTheirRange) {
  for (const float edge : {1.0f, 2.0f, 0.5f, 1024.0f}) {
    Histogram histogram;
    histogram.add(at::tensor({edge, -edge, std::nextafter(edge, 0.0f)}));
    expect_holds(histogram, at::tensor({edge, -edge, std::nextafter(edge, 0.0f)}));
  }
}

TEST(Histogram, TakesOtherFloatTypesAndLayouts) {
  const Tensor numbers = random_tensor({8, 6}, 2);
  Histogram plain, transposed, half;
  plain.add(numbers);
  transposed.add(numbers.t());
  expect_equal(plain, transposed);
  half.add(numbers.to(at::kHalf));
  EXPECT_EQ(sum_of(half), 48);
}

}  // namespace
}  // namespace niwaki
