#include "passes/train/distill.h"

#include "compress/error.h"
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

}  // namespace
}  // namespace niwaki
