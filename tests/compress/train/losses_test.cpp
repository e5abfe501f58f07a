#include "compress/train/losses.h"

#include "compress/error.h"
#include "tests/graph_builder.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <functional>

namespace niwaki {
namespace {

double mean(const LossSum& loss) { return loss.sum.item<double>() / loss.weight; }
Tensor scores(std::vector<int64_t> sizes, uint64_t seed) { return random_tensor(std::move(sizes), seed).to(at::kDouble) * 2; }

TEST(Losses, CrossEntropyIsTheLogarithmOfTheLabelsShare) {
  const Tensor y = at::tensor({1.0, 2.0, 3.0, 1000.0, -1000.0, 0.0}).reshape({2, 3});
  const double first = std::log(std::exp(1) + std::exp(2) + std::exp(3)) - 2;
  EXPECT_NEAR(cross_entropy(y, at::tensor({1, 0})).sum.item<double>(), first + 0, 1e-12);
  EXPECT_EQ(cross_entropy(y, at::tensor({1, 0})).weight, 2);
  EXPECT_NEAR(mean(cross_entropy(y, at::tensor({1, -100}))), first, 1e-12);
  EXPECT_EQ(cross_entropy(y, at::tensor({-1, -1})).weight, 0);
  EXPECT_EQ(cross_entropy(y, at::tensor({-1, -1})).sum.item<double>(), 0);
}

TEST(Losses, CrossEntropyFindsTheClasses) {
  const Tensor tokens = scores({2, 5, 7}, 1), maps = scores({2, 7, 3, 4}, 2);
  const Tensor words = at::arange(10).remainder(7).reshape({2, 5}), pixels = at::arange(24).remainder(7).reshape({2, 3, 4});
  const Tensor by_hand = -at::log_softmax(tokens, 2).gather(2, words.unsqueeze(2)).mean();
  EXPECT_NEAR(mean(cross_entropy(tokens, words)), by_hand.item<double>(), 1e-12);
  const Tensor by_pixel = -at::log_softmax(maps, 1).gather(1, pixels.unsqueeze(1)).mean();
  EXPECT_NEAR(mean(cross_entropy(maps, pixels)), by_pixel.item<double>(), 1e-12);
  EXPECT_EQ(cross_entropy(maps, pixels).weight, 24);
  const Tensor shares = at::softmax(scores({2, 7}, 3), 1);
  const Tensor y = scores({2, 7}, 4);
  EXPECT_NEAR(mean(cross_entropy(y, shares)), -(shares * at::log_softmax(y, 1)).sum(1).mean().item<double>(), 1e-12);
}

TEST(Losses, CrossEntropyRefusesLabelsOutOfRange) {
  try {
    cross_entropy(scores({2, 3}, 1), at::tensor({0, 3}));
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E1706");
    EXPECT_EQ(error.message(), "label 3 for scores of 3 classes");
  }
  EXPECT_THROW(cross_entropy(scores({2, 3}, 1), at::tensor({0, 1, 1})), UsageError);
}

using Matching = std::function<LossSum(const Tensor&, const Tensor&)>;
const std::map<std::string, Matching>& matchings() {
  static const std::map<std::string, Matching> all = {
      {"attention_map", attention_map},
      {"binary", binary_distillation},
      {"correlation", [](const Tensor& s, const Tensor& t) { return correlation(s.flatten(1), t.flatten(1), 4); }},
      {"distillation", [](const Tensor& s, const Tensor& t) { return distillation(s.flatten(1), t.flatten(1), 4); }},
      {"feature_mse", [](const Tensor& s, const Tensor& t) { return feature_mse(s, t); }},
      {"mse", mse},
      {"similarity", similarity},
      {"smooth_l1", smooth_l1},
      {"standardised", [](const Tensor& s, const Tensor& t) { return standardised_distillation(s.flatten(1), t.flatten(1), 4); }}};
  return all;
}

TEST(Losses, AnEqualTeacherCostsNothing) {
  const Tensor same = scores({6, 4, 3, 3}, 1), other = scores({6, 4, 3, 3}, 2);
  for (const auto& [name, matching] : matchings()) {
    EXPECT_NEAR(mean(matching(same, same)), 0, 1e-6) << name;
    EXPECT_GT(mean(matching(same, other)), 1e-3) << name;
    EXPECT_EQ(matching(same, other).weight, 6) << name;
  }
}

TEST(Losses, DoNotDependOnTheSplitOfABatch) {
  const Tensor student = scores({6, 4, 3, 3}, 1), teacher = scores({6, 4, 3, 3}, 2);
  for (const auto& [name, matching] : matchings()) {
    if (name == "correlation" || name == "similarity") continue;     // these couple samples
    const double whole = matching(student, teacher).sum.item<double>();
    const double parts = matching(student.narrow(0, 0, 2), teacher.narrow(0, 0, 2)).sum.item<double>() +
                         matching(student.narrow(0, 2, 4), teacher.narrow(0, 2, 4)).sum.item<double>();
    EXPECT_NEAR(parts / whole, 1, 1e-6) << name;
  }
}

TEST(Losses, DoNotDependOnPadding) {
  const Tensor student = scores({2, 3, 5}, 1), teacher = scores({2, 3, 5}, 2);
  const auto padded = [](const Tensor& y) { return at::constant_pad_nd(y, {0, 0, 0, 4}, 17.0); };
  const Tensor mask = at::constant_pad_nd(at::ones({2, 3}), {0, 4}, 0);
  EXPECT_NEAR(mean(distillation(padded(student), padded(teacher), 2, mask)), mean(distillation(student, teacher, 2)), 1e-6);
  EXPECT_NEAR(mean(standardised_distillation(padded(student), padded(teacher), 2, mask)), mean(standardised_distillation(student, teacher, 2)), 1e-6);
  EXPECT_NEAR(mean(correlation(padded(student), padded(teacher), 2, mask)), mean(correlation(student, teacher, 2)), 1e-6);
}

TEST(Losses, TheGradientOfDistillationIsFlatInTheTemperature) {
  const c10::AutoGradMode mode(true);
  std::vector<double> norms;
  for (const double temperature : {20.0, 40.0, 80.0}) {
    const Tensor student = scores({8, 10}, 1).set_requires_grad(true);
    distillation(student, scores({8, 10}, 2), temperature).sum.backward();
    norms.push_back(student.grad().norm().item<double>());
  }
  EXPECT_NEAR(norms[1] / norms[0], 1, 0.03);
  EXPECT_NEAR(norms[2] / norms[1], 1, 0.015);
}

TEST(Losses, ScalesOfLogitsDoNotMatterToTheStandardised) {
  const Tensor teacher = scores({4, 10}, 1);
  EXPECT_NEAR(mean(standardised_distillation(teacher * 3 + 5, teacher, 2)), 0, 1e-6);
  EXPECT_NEAR(mean(correlation(teacher, teacher, 1)), 0, 1e-6);
}

TEST(Losses, MapsOfOtherSizesArePooled) {
  const Tensor small = scores({2, 3, 2, 2}, 1), large = at::repeat_interleave(at::repeat_interleave(small, 2, 2), 2, 3);
  EXPECT_NEAR(mean(feature_mse(small, large)), 0, 1e-9);
  EXPECT_NEAR(mean(attention_map(large, small)), 0, 1e-9);
}

TEST(Losses, NoGradientGoesToTheTeacher) {
  const c10::AutoGradMode mode(true);
  for (const auto& [name, matching] : matchings()) {
    const Tensor student = scores({6, 4, 3, 3}, 1).set_requires_grad(true), teacher = scores({6, 4, 3, 3}, 2).set_requires_grad(true);
    matching(student, teacher).sum.backward();
    EXPECT_GT(student.grad().norm().item<double>(), 0) << name;
    EXPECT_FALSE(teacher.grad().defined()) << name;
  }
}

TEST(Losses, RefuseTeachersOfAnotherShape) {
  try {
    mse(scores({2, 3}, 1), scores({2, 4}, 1));
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E3322");
    EXPECT_EQ(error.message(), "the student gives [2, 3], the teacher [2, 4]");
  }
}

TEST(Losses, AddsTermsOfOtherCounts) {
  const LossSum first{at::scalar_tensor(6.0), 2}, second{at::scalar_tensor(10.0), 5};
  EXPECT_NEAR(mean(add(first, 0.5, second, 2)), 0.5 * 3 + 2 * 2, 1e-6);
  EXPECT_NEAR(mean(add(first, 1, second, 0)), 3, 1e-6);
}

}  // namespace
}  // namespace niwaki
