#include "passes/train/lesson.h"

#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Lesson, WatchesWhatItsLossReads) {
  const Graph student = small_net(12, 50, true), teacher = small_net(24, 10, true, "t.");
  const Dataset data = samples_for(student, teacher, 100, false);
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress, .training = &data, .teacher = &teacher};
  DistillOptions options;
  options.features = FeatureLoss::features;
  const Lesson lesson(student, student, options, context);
  const std::vector<ValueId> watched = lesson.watched();
  ASSERT_EQ(watched.size(), 2u);
  EXPECT_EQ(student.label(*student.producer(watched[0])), "second");       // before the Softmax
  EXPECT_EQ(student.node(*student.producer(watched[1])).op, "Relu");
  ASSERT_EQ(lesson.projectors().size(), 1u);
  EXPECT_FALSE(lesson.couples_samples());

  // one batch by hand: temperature 4, and the hidden layer behind its projector
  const std::vector<int64_t> samples{0, 1, 2, 3};
  const Dataset::Batch batch = data.gather(samples);
  const std::vector<ValueId> wanted{student.main().outputs[0], watched[0], watched[1]};
  std::vector<Tensor> values;
  for (const RunValue& value : Executor(student, {.until = wanted}).run(batch.inputs)) values.push_back(value.tensor);
  const LossSum loss = lesson({batch.inputs, {}, samples, false, values, lesson.projectors()});
  const Tensor scores = run_graph(teacher, {batch.inputs[0].tensor})[0].log();
  const double answer = distillation(values[1], scores, 4).sum.item<double>();
  EXPECT_EQ(loss.weight, 4);
  EXPECT_GT(loss.sum.item<double>(), answer + 1e-3);
  options.feature_weight = 0;
  const Lesson bare(student, student, options, context);
  EXPECT_NEAR(bare({batch.inputs, {}, samples, false, values, bare.projectors()}).sum.item<double>(), answer, 1e-4);
}

}  // namespace
}  // namespace niwaki
