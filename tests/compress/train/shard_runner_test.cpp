#include "compress/train/shard_runner.h"

#include "tests/compress/train/trainer_fixture.h"

#include <gtest/gtest.h>

#include <numeric>

namespace niwaki {
namespace {

std::vector<int64_t> ids(int64_t count) {
  std::vector<int64_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 3);
  return all;
}

TEST(ShardRunner, SumsShardsToTheWhole) {
  const Lesson lesson;
  Lesson coupled;
  coupled.training.couples_samples = true;
  const Dataset data = lesson.data();
  const TrainerOptions options{.batch = 40};
  const ShardRunner parts(lesson.graph, data, lesson.training, options), whole(coupled.graph, data, coupled.training, options);
  const BatchGradient a = parts.gradient(ids(33), 0), b = whole.gradient(ids(33), 0);   // shards of 10, 10, 10 and 3
  EXPECT_EQ(a.weight, 33);
  EXPECT_NEAR(a.loss, b.loss, 1e-4);
  ASSERT_EQ(a.tensors.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_LT(relative_difference(a.tensors[i], b.tensors[i]), 1e-5);
  EXPECT_NEAR(parts.mean_loss(ids(33)), a.loss / 33, 1e-5);
}

TEST(ShardRunner, IsTheMeanGradientByFiniteDifferences) {
  const Lesson lesson;
  const Dataset data = lesson.data();
  const TrainerOptions options{.batch = 40};
  const ShardRunner runner(lesson.graph, data, lesson.training, options);
  const BatchGradient gradient = runner.gradient(ids(24), 0);
  const Tensor leaf = runner.leaves()[1].detach();
  const double x = leaf[2].item<double>(), step = 1e-2;
  leaf[2].fill_(x + step);
  const double above = runner.mean_loss(ids(24));
  leaf[2].fill_(x - step);
  const double below = runner.mean_loss(ids(24));
  EXPECT_NEAR(gradient.tensors[1][2].item<double>() / gradient.weight, (above - below) / (2 * step), 1e-3);
}

}  // namespace
}  // namespace niwaki
