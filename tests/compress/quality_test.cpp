#include "compress/quality.h"

#include "compress/error.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace niwaki {
namespace {

/// A metric that got `right` of `total` integer predictions right, the wrong ones from sample
/// `shift` on.
std::unique_ptr<Metric> top1(int64_t total, int64_t wrong, int64_t shift = 0) {
  auto metric = make_metric("top1");
  Tensor found = at::zeros({total}, at::kLong);
  if (wrong > 0) found.narrow(0, shift, wrong).fill_(1);
  metric->add(found, at::zeros({total}, at::kLong), total);
  return metric;
}

TEST(Quality, SharesOfRightAnswersArePaired) {
  const Comparison same = compare_quality(*top1(100, 8), *top1(100, 8));
  EXPECT_DOUBLE_EQ(*same.drop, 0);
  EXPECT_NEAR(same.ci95->lo, -3.6993, 1e-3);
  EXPECT_NEAR(same.ci95->hi, 3.6993, 1e-3);
  EXPECT_EQ(*same.p_value, 1);
  const Comparison worse =
      compare_quality(*top1(1000, 10, 0), *top1(1000, 30, 100));  // b = 30, c = 10
  EXPECT_NEAR(*worse.drop, 2, 1e-9);
  EXPECT_EQ(worse.method, "tango");
  EXPECT_NEAR(worse.ci95->lo, 100 * tango(30, 10, 1000).lo, 1e-9);
  EXPECT_NEAR(*worse.p_value, mcnemar_p(30, 10), 1e-15);
  EXPECT_NEAR(worse.after_ci95->hi, wilson(970, 1000).hi, 1e-12);
}

TEST(Quality, LowerIsBetterDropsUpwards) {
  const auto before = make_metric("mae"), after = make_metric("mae");
  const Tensor target = at::zeros({50, 2});
  before->add(at::full({50, 2}, 1.0), target, 50);
  after->add(at::full({50, 2}, 1.5), target, 50);
  const Comparison result = compare_quality(*before, *after);
  EXPECT_NEAR(*result.drop, 0.5, 1e-12);
  EXPECT_NEAR(result.ci95->lo, 0.5, 1e-12);
  EXPECT_EQ(result.method, "bootstrap");
}

TEST(Quality, PerplexityDropsInNats) {
  const auto before = make_metric("perplexity"), after = make_metric("perplexity");
  const Tensor labels = at::zeros({4, 3}, at::kLong);
  before->add(at::zeros({4, 3, 10}), labels, 4);
  after->add(at::zeros({4, 3, 20}), labels, 4);
  const Comparison result = compare_quality(*before, *after);
  EXPECT_NEAR(*result.before, 10, 1e-6);
  EXPECT_NEAR(*result.drop, std::log(2.0), 1e-6);
  EXPECT_NEAR(result.ci95->hi, std::log(2.0), 1e-6);
  EXPECT_NEAR(result.after_ci95->hi, 20, 1e-4);
}

TEST(Quality, SetLevelMetricsAreResampled) {
  const auto before = make_metric("auc"), after = make_metric("auc");
  const Tensor labels = at::arange(200).remainder(2);
  before->add(labels.to(at::kDouble), labels, 200);
  Tensor scores = labels.to(at::kDouble);
  scores.narrow(0, 0, 20).fill_(0.5);
  after->add(scores, labels, 200);
  const Comparison result = compare_quality(*before, *after);
  EXPECT_NEAR(*result.drop, 100 * (before->value() - after->value()), 1e-9);
  EXPECT_LT(result.ci95->lo, *result.drop + 1e-9);
  EXPECT_GT(result.ci95->hi, *result.drop);
  EXPECT_FALSE(result.after_ci95.has_value());
}

TEST(Quality, FidelityIsAgainstTheOriginalItself) {
  const auto metric = make_metric("agreement");
  metric->add(at::arange(100), at::arange(100).clamp_max(97), 100);
  const Comparison result = compare_quality(*metric);
  EXPECT_EQ(result.method, "wilson");
  EXPECT_NEAR(*result.drop, 2, 1e-9);
  EXPECT_NEAR(result.ci95->lo, 100 * (1 - wilson(98, 100).hi), 1e-9);
  const auto sqnr = make_metric("sqnr_db");
  sqnr->add(at::full({5, 2}, 1.1, at::kDouble), at::full({5, 2}, 1.0, at::kDouble), 5);
  const Comparison noise = compare_quality(*sqnr);
  EXPECT_FALSE(noise.drop.has_value());
  EXPECT_NEAR(noise.after, 20, 1e-6);
  EXPECT_NEAR(noise.ci95->lo, 20, 1e-6);
}

TEST(Quality, JsonHasWhatTheReportNeeds) {
  const Json entry = to_json(compare_quality(*top1(100, 2), *top1(100, 5)));
  EXPECT_EQ(entry["metric"], "top1");
  EXPECT_EQ(entry["unit"], "pt");
  EXPECT_EQ(entry["samples"], 100);
  EXPECT_DOUBLE_EQ(entry["after"], 0.95);
  EXPECT_NEAR(entry["drop"].get<double>(), 3, 1e-9);
  EXPECT_EQ(entry["ci95"].size(), 2u);
  const auto exact = make_metric("sqnr_db");
  exact->add(at::ones({2, 2}), at::ones({2, 2}), 2);
  EXPECT_TRUE(to_json(compare_quality(*exact))["after"].is_null());
}

TEST(Quality, RefusesDifferentSamples) {
  EXPECT_THROW(compare_quality(*top1(10, 1), *top1(11, 1)), InternalError);
}

}  // namespace
}  // namespace niwaki
