#include "compress/train/regrow.h"

#include "compress/error.h"
#include "compress/train/checkpoint.h"
#include "compress/train/fingerprint.h"
#include "tests/compress/train/trainer_fixture.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace niwaki {
namespace {

Tensor flags(const std::vector<int64_t>& ones) { return at::tensor(ones).to(at::kBool); }

TEST(MovedMask, AWeightReturnsWhereItIsClearlyLarger) {
  const Tensor mask = flags({1, 1, 0, 0, 0});
  EXPECT_TRUE(at::equal(moved_mask(at::tensor({3.0f, -1.0f, 1.1f, 0.2f, -2.0f}), mask), flags({1, 0, 0, 0, 1})));
  EXPECT_TRUE(at::equal(moved_mask(at::tensor({3.0f, -1.0f, 1.2f, 0.2f, -1.1f}), mask), mask)) << "not by a little";
}

TEST(MovedMask, CountsStayAndTiesGoByIndex) {
  EXPECT_TRUE(at::equal(moved_mask(at::zeros({4}), flags({1, 0, 1, 0})), flags({1, 1, 0, 0})));
  EXPECT_TRUE(at::equal(moved_mask(at::ones({4}), flags({0, 0, 0, 0})), flags({0, 0, 0, 0})));
  const Tensor weights = random_tensor({40, 30}, 1), mask = random_tensor({40, 30}, 2).gt(1);
  const Tensor moved = moved_mask(weights, mask);
  EXPECT_EQ(moved.sum().item<int64_t>(), mask.sum().item<int64_t>());
  EXPECT_FALSE(at::equal(moved, mask));
  EXPECT_TRUE(at::equal(moved_mask(weights, moved), moved)) << "a second time there is nothing to move";
}

int64_t returned(const Tensor& before, const Tensor& after) { return (before.eq(0) & after.ne(0)).sum().item<int64_t>(); }

/// A lesson of which the weights that matter were removed.
Lesson misled() {
  Lesson lesson(200);
  const Tensor w = lesson.weight("w1"), mask = w.abs() < 0.15;
  Constant constant = *lesson.graph.constant(*lesson.graph.find_value("w1"));
  constant.storage = apply_mask(w, mask);
  lesson.graph.set_constant(*lesson.graph.find_value("w1"), std::move(constant));
  lesson.training.masks = masks_of_zeros(lesson.graph, lesson.training.trainable);
  for (const auto& [id, one] : lesson.training.masks) lesson.training.behind[id] = w;
  return lesson;
}

TEST(Regrow, WeightsReturnAndZerosAreAsMany) {               // T43
  for (const OptimizerKind optimizer : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    Lesson lesson = misled();
    const Tensor before = lesson.weight("w1");
    lesson.run({.optimizer = optimizer, .learning_rate = 1e-2, .steps = 100, .batch = 20, .average = 0.9, .hold_out = 0});
    const Tensor after = lesson.weight("w1");
    EXPECT_GT(returned(before, after), 10);
    EXPECT_LE(after.ne(0).sum().item<int64_t>(), before.ne(0).sum().item<int64_t>());
    EXPECT_GE(after.ne(0).sum().item<int64_t>(), before.ne(0).sum().item<int64_t>() - 1) << "no number is zero by chance";
    EXPECT_FALSE(at::signbit(after).logical_and(after.eq(0)).any().item<bool>());
  }
}

TEST(Regrow, LearnsMoreThanWithMasksThatStay) {
  Lesson moving = misled(), fixed = misled();
  fixed.training.behind.clear();
  const TrainerOptions options{.learning_rate = 1e-2, .epochs = 6, .batch = 20};
  const TrainReport a = moving.run(options), b = fixed.run(options);
  EXPECT_LT(a.epochs.back().train, b.epochs.back().train);
}

/// What a run of 100 steps that is stopped had become.
TrainState stopped_at(int64_t step, const TrainerOptions& options) {
  Lesson lesson = misled();
  Progress progress([&](const Progress::State& state) {
    if (state.done >= step) throw Interrupted();
  });
  EXPECT_THROW(train(lesson.graph, lesson.data(), lesson.training, options, progress), Interrupted);
  std::string why;
  const Lesson fresh = misled();
  const auto state = load_checkpoint(options.checkpoint, training_fingerprint(fresh.graph, fresh.data(), fresh.training, options), why);
  EXPECT_TRUE(state) << why;
  std::filesystem::remove(options.checkpoint);
  return state.value_or(TrainState{});
}

TEST(Regrow, MasksStandStillAtTheEnd) {                      // T43
  const auto path = std::filesystem::temp_directory_path() / cat("niwaki_regrow_", ::getpid());
  std::filesystem::remove(path);
  const TrainerOptions options{.learning_rate = 1e-2, .steps = 100, .batch = 20, .hold_out = 0, .checkpoint = path, .checkpoint_seconds = 0};
  const TrainState early = stopped_at(25, options), late = stopped_at(75, options);
  ASSERT_EQ(early.masks.size(), 1u);
  EXPECT_EQ(early.behind.size(), 1u);
  EXPECT_FALSE(at::equal(early.masks[0], late.masks[0]));
  EXPECT_TRUE(late.behind.empty());
  Lesson whole = misled();
  whole.run(options);
  std::filesystem::remove(path);
  EXPECT_FALSE(whole.weight("w1").masked_select(~late.masks[0]).ne(0).any().item<bool>());
}

TEST(Regrow, ResumesToTheSameBytes) {
  const auto path = std::filesystem::temp_directory_path() / cat("niwaki_regrow_resume_", ::getpid());
  for (const int64_t stop : {15, 45, 80}) {
    std::filesystem::remove(path);
    TrainerOptions options{.learning_rate = 1e-2, .epochs = 10, .batch = 20, .average = 0.9, .checkpoint = path, .checkpoint_seconds = 0};
    Lesson stopped = misled(), whole = misled();
    Progress progress([&](const Progress::State& state) {
      if (state.done >= stop) throw Interrupted();
    });
    EXPECT_THROW(train(stopped.graph, stopped.data(), stopped.training, options, progress), Interrupted);
    EXPECT_GT(stopped.run(options).resumed_at, 0);
    options.checkpoint = "";
    whole.run(options);
    EXPECT_TRUE(at::equal(stopped.all(), whole.all())) << stop;
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace niwaki
