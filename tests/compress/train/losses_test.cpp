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
      {"attention_rows", [](const Tensor& s, const Tensor& t) { return attention_rows(at::softmax(s, 3), at::softmax(t, 3)); }},
      {"binary", binary_distillation},
      {"correlation", [](const Tensor& s, const Tensor& t) { return correlation(s.flatten(1), t.flatten(1), 4); }},
      {"distillation", [](const Tensor& s, const Tensor& t) { return distillation(s.flatten(1), t.flatten(1), 4); }},
      {"feature_mse", [](const Tensor& s, const Tensor& t) { return feature_mse(s, t); }},
      {"mse", mse},
      {"similarity", similarity},
      {"smooth_l1", smooth_l1},
      {"standardised", [](const Tensor& s, const Tensor& t) { return standardised_distillation(s.flatten(1), t.flatten(1), 4); }},
      {"value_relations", value_relations}};
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

/// The formula of the papers with plain loops, in double; heads are averaged where their numbers differ.
double row_divergence(const Tensor& student, const Tensor& teacher) {
  const bool is_alike = student.size(1) == teacher.size(1);
  const Tensor s = is_alike ? student : student.mean(1, true), t = is_alike ? teacher : teacher.mean(1, true);
  double sum = 0;
  for (int64_t n = 0; n < s.size(0); ++n) {
    for (int64_t h = 0; h < s.size(1); ++h) {
      for (int64_t q = 0; q < s.size(2); ++q) {
        for (int64_t k = 0; k < s.size(3); ++k) {
          const double wanted = t[n][h][q][k].item<double>(), got = s[n][h][q][k].item<double>();
          if (wanted > 0) sum += wanted * (std::log(wanted) - std::log(got));
        }
      }
    }
  }
  return sum / static_cast<double>(s.size(0) * s.size(1) * s.size(2));
}

Tensor relations(const Tensor& values) {
  const int64_t positions = values.size(2);
  Tensor shares = at::zeros({values.size(0), values.size(1), positions, positions}, at::kDouble);
  for (int64_t n = 0; n < values.size(0); ++n) {
    for (int64_t h = 0; h < values.size(1); ++h) {
      for (int64_t i = 0; i < positions; ++i) {
        double all = 0;
        for (const bool is_sum : {true, false}) {
          for (int64_t j = 0; j < positions; ++j) {
            const double product = (values[n][h][i] * values[n][h][j]).sum().item<double>() / std::sqrt(static_cast<double>(values.size(3)));
            if (is_sum) all += std::exp(product);
            else shares[n][h][i][j] = std::exp(product) / all;
          }
        }
      }
    }
  }
  return shares;
}

TEST(Losses, AttentionRowsAreTheDivergenceOfEachRow) {
  const Tensor student = at::softmax(scores({2, 3, 4, 5}, 1), 3), teacher = at::softmax(scores({2, 3, 4, 5}, 2), 3);
  EXPECT_NEAR(mean(attention_rows(student, teacher)), row_divergence(student, teacher), 1e-12);
  const Tensor more_heads = at::softmax(scores({2, 6, 4, 5}, 3), 3);
  EXPECT_NEAR(mean(attention_rows(student, more_heads)), row_divergence(student, more_heads), 1e-12);
  EXPECT_GT(std::abs(mean(attention_rows(student, teacher)) - mean(attention_rows(teacher, student))), 1e-3);   // it has a direction
  EXPECT_THROW(attention_rows(student, at::softmax(scores({2, 3, 4, 6}, 3), 3)), UsageError);
}

TEST(Losses, KeysThatAMaskHidesCostNothing) {
  const Tensor hidden = at::ones({5}, at::kDouble).index_put_({at::tensor({3, 4})}, at::scalar_tensor(0.0, at::kDouble)).log();
  const Tensor student = scores({2, 3, 5, 5}, 1), teacher = scores({2, 3, 5, 5}, 2);
  const Tensor got = attention_rows(at::softmax(student + hidden, 3), at::softmax(teacher + hidden, 3)).sum;
  const Tensor left = attention_rows(at::softmax(student.narrow(3, 0, 3), 3), at::softmax(teacher.narrow(3, 0, 3), 3)).sum;
  EXPECT_NEAR(got.item<double>(), left.item<double>(), 1e-12);
}

TEST(Losses, ValueRelationsCompareProductsOfValues) {
  const Tensor student = scores({2, 3, 4, 6}, 1), teacher = scores({2, 3, 4, 6}, 2), wider = scores({2, 2, 4, 9}, 3);
  EXPECT_NEAR(mean(value_relations(student, teacher)), row_divergence(relations(student), relations(teacher)), 1e-12);
  EXPECT_NEAR(mean(value_relations(student, wider)), row_divergence(relations(student), relations(wider)), 1e-12);
  // a rotation of the values keeps their products
  const Tensor rotation = std::get<0>(at::linalg_qr(scores({6, 6}, 5)));
  EXPECT_NEAR(mean(value_relations(student, at::matmul(student, rotation))), 0, 1e-12);
}

/// Against central differences in double.
TEST(Losses, GradientsAreDifferences) {
  const c10::AutoGradMode mode(true);
  for (const char* name : {"attention_rows", "value_relations", "feature_mse", "attention_map", "similarity"}) {
    const Matching& loss = matchings().at(name);
    const Tensor teacher = scores({2, 2, 3, 3}, 2), start = scores({2, 2, 3, 3}, 1), student = start.clone().set_requires_grad(true);
    loss(student, teacher).sum.backward();
    const Tensor slopes = student.grad().flatten();
    for (int64_t i = 0; i < start.numel(); i += 5) {
      const auto moved = [&](double by) {
        const Tensor other = start.clone();
        other.flatten()[i] += by;
        return loss(other, teacher).sum.item<double>();
      };
      EXPECT_NEAR(slopes[i].item<double>(), (moved(1e-5) - moved(-1e-5)) / 2e-5, 1e-6) << name << " " << i;
    }
    EXPECT_GT(slopes.abs().max().item<double>(), 1e-4) << name;
  }
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
