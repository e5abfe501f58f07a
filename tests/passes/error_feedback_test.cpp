#include "passes/error_feedback.h"

#include "compress/linear_algebra.h"
#include "compress/parallel.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <cmath>

namespace niwaki {
namespace {

/// Rounds to multiples of a quarter.
struct Rounding : ColumnChoice {
  std::vector<int64_t> begins;
  void start(int64_t begin, const Tensor&) override { begins.push_back(begin); }
  void choose(int64_t, int64_t, std::span<const double> now, std::span<double> chosen) const override {
    for (size_t i = 0; i < now.size(); ++i) chosen[i] = std::nearbyint(now[i] * 4) / 4;
  }
};

struct Layer {
  Tensor weights, gram, upper;
  double lambda;
};

Layer layer(int64_t rows, int64_t size, uint64_t seed) {
  const Tensor mix = random_tensor({size, size}, seed).to(at::kDouble);
  const Tensor x = mix.mm(random_tensor({size, 2 * size}, seed + 1).to(at::kDouble));
  Layer made{random_tensor({rows, size}, seed + 2).to(at::kDouble), x.mm(x.t()), {}, 0};
  const DampedGram damped = factor_damped(made.gram);
  made.upper = inverse_upper(damped.upper);
  made.lambda = damped.record.lambda;
  return made;
}

double loss_of(const Layer& layer, const Tensor& weights) {
  const Tensor change = weights - layer.weights;
  return (change.mm(layer.gram) * change).sum().item<double>() + layer.lambda * change.square().sum().item<double>();
}

TEST(ErrorFeedback, CertificateIsTheTrueLossForAnyStep) {   // T3
  const Layer one = layer(70, 300, 1);
  for (const int64_t width : {1, 4, 32, 100, 128, 300}) {
    Rounding rounding;
    const ErrorFeedback fed = feed_back_errors(one.weights, one.upper, even_steps(300, width), rounding);
    EXPECT_NEAR(fed.loss / loss_of(one, fed.weights), 1, 1e-10) << width;
    EXPECT_TRUE(at::equal(fed.weights, at::round(fed.weights * 4) / 4));
    EXPECT_EQ(rounding.begins, even_steps(300, width));
  }
}

TEST(ErrorFeedback, IsBetterThanRoundingAlone) {            // T4, with its control: the wrong factor is no better
  const Layer one = layer(40, 120, 5);
  Rounding rounding;
  const auto steps = even_steps(120, 32);
  const double fed = loss_of(one, feed_back_errors(one.weights, one.upper, steps, rounding).weights);
  const double nearest = loss_of(one, at::round(one.weights * 4) / 4);
  EXPECT_LT(fed, 0.7 * nearest);
  EXPECT_GE(loss_of(one, feed_back_errors(one.weights, at::eye(120, at::kDouble), steps, rounding).weights), nearest * 0.999);
}

TEST(ErrorFeedback, FloatIsNearDouble) {
  const Layer one = layer(16, 64, 9);
  Rounding a, b;
  const auto steps = even_steps(64, 16);
  const ErrorFeedback exact = feed_back_errors(one.weights, one.upper, steps, a);
  const ErrorFeedback fast = feed_back_errors(one.weights.to(at::kFloat), one.upper, steps, b);
  EXPECT_EQ(fast.weights.scalar_type(), at::kFloat);
  EXPECT_NEAR(fast.loss / exact.loss, 1, 0.05);
}

TEST(ErrorFeedback, SameBytesOnAnyNumberOfThreads) {
  const Layer one = layer(600, 200, 11);
  std::vector<ErrorFeedback> found;
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    Rounding rounding;
    found.push_back(feed_back_errors(one.weights, one.upper, even_steps(200, 32), rounding));
  }
  set_num_threads(0);
  EXPECT_TRUE(at::equal(found[0].weights, found[1].weights));
  EXPECT_EQ(found[0].loss, found[1].loss);
}

TEST(ErrorFeedback, OneColumnAndNoColumn) {
  Rounding rounding;
  const ErrorFeedback single = feed_back_errors(at::full({1, 1}, 0.3, at::kDouble), at::ones({1, 1}, at::kDouble), even_steps(1, 32), rounding);
  EXPECT_EQ(single.weights.item<double>(), 0.25);
  EXPECT_NEAR(single.loss, 0.0025, 1e-12);
  EXPECT_EQ(feed_back_errors(at::empty({2, 0}, at::kDouble), at::empty({0, 0}, at::kDouble), even_steps(0, 32), rounding).loss, 0);
}

}  // namespace
}  // namespace niwaki
