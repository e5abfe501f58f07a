#include "passes/train/feature_plan.h"

#include "compress/error.h"
#include "passes/train/feature_sums.h"
#include "tests/passes/train/attention_fixture.h"
#include "tests/passes/train/train_fixture.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

FeaturePlan plan(const Graph& student, const Graph& teacher, const DistillOptions& options, const Dataset& data) {
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress, .training = &data, .teacher = &teacher};
  return plan_features(student, teacher, options, context);
}

DistillOptions with(FeatureLoss features, const std::string& pairs = "") {
  DistillOptions options;
  options.features = features;
  options.pairs = pairs;
  return options;
}

TEST(FeaturePlan, OtherWidthsGetAProjectorThatStartsAsTheBestFit) {
  const Graph student = small_net(12, 50), teacher = small_net(24, 10, false, "t.");
  const Dataset data = samples_for(student, teacher, 300, false);
  const FeaturePlan found = plan(student, teacher, with(FeatureLoss::features), data);
  ASSERT_EQ(found.terms.size(), 1u);
  ASSERT_TRUE(found.terms[0].projector);
  EXPECT_GT(found.terms[0].variance, 0);
  EXPECT_EQ(found.projectors[0].sizes(), (std::vector<int64_t>{24, 13}));
  const Tensor own = random_tensor({40, 12}, 4), wanted = random_tensor({40, 24}, 5);
  const LossSum loss = feature_loss(found.terms[0], own, wanted, found.projectors);
  const Tensor by_hand = at::square(project(own / found.terms[0].scale, found.projectors[0]) * std::sqrt(found.terms[0].variance) - wanted).mean(1).sum() / found.terms[0].variance;
  EXPECT_NEAR(loss.sum.item<double>() / by_hand.item<double>(), 1, 1e-5);
}

TEST(FeaturePlan, EqualWidthsAndOtherLossesNeedNoProjector) {
  const Graph student = small_net(12, 50), same = small_net(12, 10, false, "t."), wide = small_net(24, 10, false, "t.");
  const Dataset data = samples_for(student, student, 100, false);
  EXPECT_FALSE(plan(student, same, with(FeatureLoss::features), data).terms[0].projector);
  EXPECT_TRUE(plan(student, wide, with(FeatureLoss::similarity), data).projectors.empty());
  EXPECT_TRUE(plan(student, wide, with(FeatureLoss::attention_map), data).terms.empty());    // no maps
  EXPECT_TRUE(plan(student, wide, with(FeatureLoss::off), data).terms.empty());
}

TEST(FeaturePlan, AttentionHasTwoTermsPerLayer) {
  const Graph student = attention_net(2, 2, 1, "s."), teacher = attention_net(4, 4, 9, "t.");
  const Dataset data(student, samples_of({{"x", random_tensor({6, 5, 8}, 3)}}), {.batch = 2}, "data");
  const FeaturePlan found = plan(student, teacher, with(FeatureLoss::attention), data);
  ASSERT_EQ(found.terms.size(), 4u);
  EXPECT_EQ(loss_name(found.terms[0]), "attention");
  EXPECT_EQ(loss_name(found.terms[1]), "value_relations");
  const FeaturePlan named = plan(student, teacher, with(FeatureLoss::attention, "s.shares0=t.shares3"), data);
  ASSERT_EQ(named.terms.size(), 2u);
  EXPECT_EQ(teacher.label(*teacher.producer(named.terms[1].values.teacher)), "t.v3");
  try {
    plan(student, teacher, with(FeatureLoss::attention, "s.sum0=t.shares3"), data);
    FAIL() << "a sum was taken for attention";
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E3322");
  }
}

/// What the scales of either side are does not matter to what is learned.
TEST(FeaturePlan, TheStartDoesNotDependOnScales) {
  const Graph student = small_net(12, 50), teacher = small_net(24, 10, false, "t.");
  Graph louder = student;
  louder.set_constant(*louder.find_value("w1"), make_constant(weight_of(student, "w1") * 100));
  const Dataset data = samples_for(student, teacher, 300, false);
  const FeaturePlan found = plan(student, teacher, with(FeatureLoss::features), data), other = plan(louder, teacher, with(FeatureLoss::features), data);
  EXPECT_NEAR(other.terms[0].scale / found.terms[0].scale, 100, 1e-3);
  EXPECT_LT(relative_difference(other.projectors[0], found.projectors[0]), 1e-4);
}

/// The gradient of a projector, against central differences in double.
TEST(FeaturePlan, ProjectorsLearn) {
  const c10::AutoGradMode mode(true);
  const FeatureTerm term{.variance = 0.7, .projector = 0};
  const Tensor own = random_tensor({3, 4, 2, 2}, 1).to(at::kDouble), wanted = random_tensor({3, 5, 2, 2}, 2).to(at::kDouble), start = random_tensor({5, 5}, 3).to(at::kDouble);
  const auto loss = [&](const Tensor& projector) { return feature_loss(term, own, wanted, std::vector<Tensor>{projector}).sum; };
  const Tensor projector = start.clone().set_requires_grad(true);
  loss(projector).backward();
  for (int64_t i = 0; i < start.numel(); i += 3) {
    const auto moved = [&](double by) {
      const Tensor other = start.clone();
      other.flatten()[i] += by;
      return loss(other).item<double>();
    };
    EXPECT_NEAR(projector.grad().flatten()[i].item<double>(), (moved(1e-5) - moved(-1e-5)) / 2e-5, 1e-6) << i;
  }
}

}  // namespace
}  // namespace niwaki
