#include "compress/metrics.h"

#include "compress/error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace niwaki {
namespace {

Tensor longs(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }
Tensor doubles(std::vector<double> values) { return at::tensor(values, at::kDouble); }

TEST(Metrics, Top1TakesTheFirstOfEqualScores) {
  const auto metric = make_metric("top1");
  metric->add(doubles({1, 1, 0, 0, 2, 2, 3, 1, 1}).reshape({3, 3}), longs({0, 2, 0}), 3);
  EXPECT_DOUBLE_EQ(metric->value(), 2.0 / 3);
  EXPECT_EQ(metric->per_sample(), (std::vector<double>{1, 0, 1}));
}

TEST(Metrics, Top1ReadsIntegerOutputsAsTheyAre) {
  const auto metric = make_metric("top1");
  metric->add(longs({4, 2, 7}).reshape({3, 1}), longs({4, 3, 7}), 3);
  EXPECT_DOUBLE_EQ(metric->value(), 2.0 / 3);
}

TEST(Metrics, PaddingOfTheLastBatchDoesNotCount) {
  const auto metric = make_metric("top1");
  metric->add(doubles({1, 0, 0, 1, 0, 1}).reshape({3, 2}), longs({0, 0}), 2);
  EXPECT_EQ(metric->per_sample().size(), 2u);
  EXPECT_DOUBLE_EQ(metric->value(), 0.5);
}

TEST(Metrics, Top1OfClassMapsIsPerPosition) {
  const auto metric = make_metric("top1");
  const Tensor scores = doubles({5, 0, 0, 5, 1, 1, 1, 1}).reshape({1, 2, 2, 2});  // argmax 0 1 1 0
  metric->add(scores, longs({0, 1, 1, 1}).reshape({1, 2, 2}), 1);
  EXPECT_DOUBLE_EQ(metric->value(), 0.75);
  EXPECT_EQ(metric->weights(), std::vector<double>{4});
}

TEST(Metrics, Top5CountsWhatIsAhead) {
  const auto metric = make_metric("top5");
  const Tensor scores = doubles({9, 8, 7, 6, 5, 5, 1}).reshape({1, 7}).repeat({3, 1});
  metric->add(scores, longs({4, 5, 0}), 3);  // label 5 ties with 4, which comes first
  EXPECT_EQ(metric->per_sample(), (std::vector<double>{1, 0, 1}));
  EXPECT_THROW(metric->add(scores, longs({7, 0, 0}), 3), ModelError);
  const auto broken = make_metric("top5");
  broken->add(at::full({1, 7}, std::nan(""), at::kDouble), longs({0}), 1);
  EXPECT_EQ(broken->value(), 0);
}

TEST(Metrics, NatsWeighSequencesByTheirTokens) {
  const auto metric = make_metric("nats");
  const Tensor logits =
      doubles({std::log(1), std::log(3), std::log(1), std::log(1), 0, 0, 0, 0}).reshape({2, 2, 2});
  metric->add(logits, longs({1, 0, 0, -100}).reshape({2, 2}), 2);
  const double first = -std::log(0.75), second = std::log(2), third = std::log(2);
  EXPECT_NEAR(metric->value(), (first + second + third) / 3, 1e-12);
  EXPECT_NEAR(metric->per_sample()[0], (first + second) / 2, 1e-12);
  EXPECT_NEAR(metric->per_sample()[1], third, 1e-12);
  const auto perplexity = make_metric("perplexity");
  perplexity->add(logits, longs({1, 0, 0, -100}).reshape({2, 2}), 2);
  EXPECT_NEAR(perplexity->value(), std::exp(metric->value()), 1e-12);
}

TEST(Metrics, NatsReadFlatAndShorterLogits) {
  const Tensor logits = at::randn({2, 3, 5}, at::kDouble);
  const Tensor labels = longs({0, 1, 2, 3, 4, 0}).reshape({2, 3});
  const auto whole = make_metric("nats"), flat = make_metric("nats"), cut = make_metric("nats"),
             want = make_metric("nats");
  whole->add(logits, labels, 2);
  flat->add(logits.slice(0, 0, 1).reshape({3, 5}), labels.slice(0, 0, 1).reshape({3}), 3);
  EXPECT_NEAR(flat->value(), whole->per_sample()[0], 1e-12);
  cut->add(logits.narrow(1, 0, 2), labels, 2);
  want->add(logits.narrow(1, 0, 2), labels.narrow(1, 0, 2), 2);
  EXPECT_EQ(cut->value(), want->value());
}

TEST(Metrics, ErrorsAreMeansOfMeans) {
  const auto mae = make_metric("mae"), mse = make_metric("mse"), psnr = make_metric("psnr");
  const Tensor output = doubles({1, 2, 3, 4}).reshape({2, 2}),
               target = doubles({1, 4, 3, 3}).reshape({2, 2});
  mae->add(output, target, 2);
  mse->add(output, target, 2);
  psnr->add(output, target, 2);
  EXPECT_DOUBLE_EQ(mae->value(), (1.0 + 0.5) / 2);
  EXPECT_DOUBLE_EQ(mse->value(), (2.0 + 0.5) / 2);
  EXPECT_NEAR(psnr->value(), (-10 * std::log10(2.0) - 10 * std::log10(0.5)) / 2, 1e-12);
  EXPECT_THROW(mae->add(output, doubles({1, 2}), 2), Error);
}

TEST(Metrics, PsnrCropsAndScales) {
  const auto metric = make_metric("psnr", {.peak = 255, .border = 1});
  Tensor output = at::zeros({1, 1, 4, 4}, at::kDouble);
  output[0][0][0][0] = 99;  // at the border
  output[0][0][1][1] = 10;
  metric->add(output, at::zeros({1, 1, 4, 4}), 1);
  EXPECT_NEAR(metric->value(), 10 * std::log10(255.0 * 255 / 25), 1e-12);
  EXPECT_THROW(make_metric("psnr", {.border = 2})->add(output, output, 1), UsageError);
}

TEST(Metrics, F1AveragesAsScikitLearnDoes) {
  // classes of [0, 1, 2, 0, 1, 2] found as [0, 2, 1, 0, 0, 1]: f1 = 0.8, 0, 0
  const Tensor found = longs({0, 2, 1, 0, 0, 1}), labels = longs({0, 1, 2, 0, 1, 2});
  const auto macro = make_metric("f1"), micro = make_metric("f1", {.average = "micro"});
  macro->add(found, labels, 6);
  micro->add(found, labels, 6);
  EXPECT_NEAR(macro->value(), 0.8 / 3, 1e-12);
  EXPECT_NEAR(micro->value(), 2.0 / 6, 1e-12);
  const auto binary = make_metric("f1", {.average = "binary"});
  binary->add(doubles({0.9, 0.6, 0.2, 0.1}), longs({1, 0, 1, 0}), 4);
  EXPECT_DOUBLE_EQ(binary->value(), 0.5);
  EXPECT_THROW(make_metric("f1", {.average = "weighted"}), UsageError);
}

TEST(Metrics, AucCountsTiesHalf) {
  const auto metric = make_metric("auc");
  metric->add(doubles({0.1, 0.4, 0.35, 0.8}), longs({0, 0, 1, 1}), 4);
  EXPECT_DOUBLE_EQ(metric->value(), 0.75);
  const auto tied = make_metric("auc");
  tied->add(doubles({1, 1, 1, 1}), longs({0, 1, 0, 1}), 4);
  EXPECT_DOUBLE_EQ(tied->value(), 0.5);
  const auto pair = make_metric("auc");
  pair->add(doubles({2, 1, 0, 3}).reshape({2, 2}), longs({0, 1}), 2);
  EXPECT_DOUBLE_EQ(pair->value(), 1);
  EXPECT_THROW(pair->add(doubles({1}), longs({2}), 1), ModelError);
}

TEST(Metrics, AgreementIsPerPositionForMaps) {
  const auto metric = make_metric("agreement");
  metric->add(doubles({1, 2, 3, 4}).reshape({2, 2}), doubles({0, 1, 9, 4}).reshape({2, 2}), 2);
  EXPECT_DOUBLE_EQ(metric->value(), 0.5);
  const auto maps = make_metric("agreement");
  const Tensor one = doubles({5, 0, 0, 5, 1, 1, 1, 1}).reshape({1, 2, 2, 2});
  const Tensor two = doubles({5, 5, 0, 5, 1, 1, 1, 1}).reshape({1, 2, 2, 2});
  maps->add(one, two, 1);
  EXPECT_DOUBLE_EQ(maps->value(), 0.75);
}

TEST(Metrics, CosineAndSqnrAgainstTheOriginal) {
  const auto cosine = make_metric("cosine"), sqnr = make_metric("sqnr_db");
  const Tensor original = doubles({3, 4, 0, 2}).reshape({2, 2}),
               output = doubles({4, 3, 0, 2}).reshape({2, 2});
  cosine->add(output, original, 2);
  sqnr->add(output, original, 2);
  EXPECT_NEAR(cosine->value(), (24.0 / 25 + 1) / 2, 1e-12);
  EXPECT_NEAR(sqnr->value(), 10 * std::log10(29.0 / 2), 1e-12);
  const auto exact = make_metric("sqnr_db");
  exact->add(original, original, 2);
  EXPECT_EQ(exact->value(), std::numeric_limits<double>::infinity());
}

TEST(Metrics, SumsGrowByBatchAsInOnePiece) {
  const Tensor logits = at::randn({12, 7}), labels = at::arange(12).remainder(7);
  for (const char* name : {"top1", "top5", "nats", "f1"}) {
    const auto whole = make_metric(name), parts = make_metric(name);
    whole->add(logits, labels, 12);
    for (int start = 0; start < 12; start += 4)
      parts->add(logits.narrow(0, start, 4), labels.narrow(0, start, 4), 4);
    EXPECT_EQ(whole->value(), parts->value()) << name;
  }
}

TEST(Metrics, AreUsedByName) {
  for (const std::string& name : metric_names()) EXPECT_EQ(make_metric(name)->traits().name, name);
  try {
    make_metric("top2");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E2011");
    EXPECT_EQ(error.details().found, "did you mean 'top1'?");
  }
}

TEST(Metrics, ReconstructionErrorFeedsAuc) {
  const auto metric = make_metric("auc");
  const Tensor input = at::zeros({3, 2}), output = doubles({0, 0.1, 2, 2, 0.1, 0}).reshape({3, 2});
  metric->add(reconstruction_error(output, input, 3), longs({0, 1, 0}), 3);
  EXPECT_DOUBLE_EQ(metric->value(), 1);
}

}  // namespace
}  // namespace niwaki
