#include "passes/train/distill.h"

#include "compress/error.h"
#include "tests/passes/train/attention_fixture.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Distill, FollowsATeacherWithoutLabels) {
  const Graph teacher = small_net(24, 10, true, "t."), student = small_net(12, 50);
  const Dataset data = samples_for(student, teacher, 600, false);
  const Applied done = apply_pass("distill", student, {{"epochs", 15}, {"lr", 1e-2}}, nullptr, &data, &teacher);
  EXPECT_GT(agreement(done.after, teacher), std::max(0.8, agreement(student, teacher) + 0.2));
  EXPECT_EQ(done.report.details["pairs"].size(), 1u);
  EXPECT_NE(done.report.notes[0].find("kl at temperature 4, alpha 1"), std::string::npos) << done.report.notes[0];
}

TEST(Distill, AStudentMadeFromItsTeacherStartsAtTemperatureOne) {
  const Graph teacher = small_net(24, 10);
  Graph student = teacher;
  student.set_constant(*student.find_value("w1"), make_constant(weight_of(teacher, "w1") + random_tensor({6, 24}, 3) * 0.2));
  const Dataset data = samples_for(student, teacher, 300, true);
  const Applied done = apply_pass("distill", student, {{"epochs", 8}, {"lr", 1e-2}}, nullptr, &data, &teacher);
  EXPECT_NE(done.report.notes[0].find("kl at temperature 1, alpha 0.9"), std::string::npos) << done.report.notes[0];
  EXPECT_GE(agreement(done.after, teacher), agreement(student, teacher));
}

/// The loss of an exact copy is 0 already, so nothing can improve.
TEST(Distill, AnExactCopyStaysWhatItIs) {
  const Graph teacher = small_net(24, 10);
  const Dataset data = samples_for(teacher, teacher, 300, false);
  const Applied done = apply_pass("distill", teacher, {{"epochs", 2}}, nullptr, &data, &teacher);
  EXPECT_TRUE(at::equal(weight_of(done.after, "w1"), weight_of(teacher, "w1")));
  EXPECT_NEAR(done.report.details["validation_before"], 0, 1e-6);
}

TEST(Distill, EveryLossTeaches) {
  const Graph teacher = small_net(24, 10, false, "t."), student = small_net(12, 50);
  const Dataset data = samples_for(student, teacher, 400, false);
  for (const char* loss : {"kl", "standardised", "dist", "mse"}) {
    const Applied done = apply_pass("distill", student, {{"epochs", 10}, {"lr", 1e-2}, {"loss", loss}}, nullptr, &data, &teacher);
    EXPECT_GT(agreement(done.after, teacher), agreement(student, teacher) + 0.15) << loss;
  }
}

TEST(Distill, RefusesATeacherOfOtherAnswers) {
  const Graph student = small_net(12, 50);
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {"n", int64_t{6}}), b.random_constant("w", {6, 5})}), "y");
  const Graph teacher = b.graph();
  const Dataset data = samples_for(student, student, 20, false);
  try {
    apply_pass("distill", student, {}, nullptr, &data, &teacher);
    FAIL() << "five classes taught three";
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E3322");
  }
}

double row_of(const Json& table, const std::string& loss, const char* key) {
  for (const Json& row : table) {
    if (row["loss"] == loss && row.contains(key)) return row[key];
  }
  return -1;
}

TEST(Distill, HiddenLayersOfAnUnrelatedTeacherArePairedAndProjected) {
  const Graph teacher = small_net(24, 10, true, "t."), student = small_net(12, 50);
  const Dataset data = samples_for(student, teacher, 600, false);
  for (const char* features : {"mse", "similarity"}) {
    const Applied done = apply_pass("distill", student, {{"epochs", 10}, {"lr", 1e-2}, {"features", features}}, nullptr, &data, &teacher);
    const Json& pairs = done.report.details["pairs"];
    ASSERT_EQ(pairs.size(), 2u) << features;
    EXPECT_GT(row_of(pairs, features, "cka"), 0.1);
    EXPECT_NE(done.report.notes[0].find("N3034: compared inside: Relu_2 = Relu_2 (cka 0."), std::string::npos) << done.report.notes[0];
    EXPECT_GT(agreement(done.after, teacher), agreement(student, teacher) + 0.15) << features;
    EXPECT_EQ(done.after.main().nodes.size(), student.main().nodes.size());
    EXPECT_EQ(done.after.main().constants.size(), student.main().constants.size());
  }
}

/// The hidden layer alone teaches, too: what the student has inside becomes more like the teacher.
TEST(Distill, FeaturesBecomeAlike) {
  const Graph teacher = small_net(24, 10, true, "t."), student = small_net(12, 50);
  const Dataset data = samples_for(student, teacher, 600, false);
  const auto alignment = [&](const Graph& graph) {
    const Applied done = apply_pass("distill", graph, {{"steps", 1}, {"lr", 1e-12}, {"hold_out", 0}, {"features", "mse"}}, nullptr, &data, &teacher);
    return row_of(done.report.details["pairs"], "mse", "cka");
  };
  const auto trained = [&](double weight) {
    return apply_pass("distill", student, {{"epochs", 10}, {"lr", 1e-2}, {"features", "mse"}, {"feature_weight", weight}}, nullptr, &data, &teacher).after;
  };
  EXPECT_GT(alignment(trained(30)), std::max(alignment(student), alignment(trained(0))) + 0.02);
}

TEST(Distill, NamedPairsAreTaken) {
  const Graph teacher = small_net(24, 10, false, "t."), student = small_net(12, 50);
  const Dataset data = samples_for(student, teacher, 100, false);
  const Applied done = apply_pass("distill", student, {{"epochs", 1}, {"features", "mse"}, {"pairs", "first=t.first"}}, nullptr, &data, &teacher);
  EXPECT_EQ(done.report.details["pairs"][1]["student"], student.value(student.node(student.main().nodes[0]).outputs[0]).name);
  EXPECT_THROW(apply_pass("distill", student, {{"features", "mse"}, {"pairs", "first=t.furst"}}, nullptr, &data, &teacher), UsageError);
  EXPECT_THROW(apply_pass("distill", student, {{"pairs", "first=t.first"}}, nullptr, &data, &teacher), UsageError);
}

TEST(Distill, AttentionTeachesAcrossNumbersOfHeads) {
  const Graph teacher = attention_net(4, 4, 9, "t."), student = attention_net(2, 2, 100, "s.");
  const Dataset data(student, samples_of({{"x", random_tensor({200, 5, 8}, 3)}}), {.batch = 20}, "data");
  const auto trained = [&](double weight) {
    return apply_pass("distill", student, {{"epochs", 4}, {"lr", 1e-2}, {"features", "attention"}, {"feature_weight", weight}}, nullptr, &data, &teacher);
  };
  const Applied done = trained(10);
  const Json& table = done.report.details["pairs"];
  ASSERT_EQ(table.size(), 5u);                 // scores, and shares and values of two layers
  EXPECT_EQ(table[2]["loss"], "value_relations");
  EXPECT_LT(done.report.details["epochs"].back()["validation_loss"].get<double>(), 0.9 * done.report.details["validation_before"].get<double>());
  EXPECT_FALSE(at::equal(weight_of(done.after, "s.wq0"), weight_of(trained(0).after, "s.wq0")));
}

TEST(Distill, SaysSoWhereNothingInsideCanBeCompared) {
  const Graph teacher = small_net(24, 10, true, "t."), student = small_net(12, 50);
  const Dataset data = samples_for(student, teacher, 60, false);
  const Applied done = apply_pass("distill", student, {{"epochs", 1}, {"features", "attention"}}, nullptr, &data, &teacher);
  EXPECT_NE(done.report.notes[0].find("N3035"), std::string::npos) << done.report.notes[0];
  EXPECT_EQ(done.report.details["pairs"].size(), 1u);
}

}  // namespace
}  // namespace niwaki
