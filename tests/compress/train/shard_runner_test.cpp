#include "compress/train/shard_runner.h"

#include "compress/error.h"
#include "tests/compress/train/trainer_fixture.h"

#include <gtest/gtest.h>

#include <atomic>
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
  EXPECT_NEAR(parts.mean_loss(ids(33)).mean, a.loss / 33, 1e-5);
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
  const double above = runner.mean_loss(ids(24)).mean;
  leaf[2].fill_(x - step);
  const double below = runner.mean_loss(ids(24)).mean;
  EXPECT_NEAR(gradient.tensors[1][2].item<double>() / gradient.weight, (above - below) / (2 * step), 1e-3);
}

/// A graph of a fixed batch of 2, with `sizes` for the Reshape before its product.
struct Fixed {
  explicit Fixed(std::vector<int64_t> sizes) {
    GraphBuilder b;
    const ValueId x = b.input("x", {int64_t{2}, int64_t{2}, int64_t{3}});
    b.output(b.node("MatMul", {b.node("Reshape", {x, b.constant("sizes", at::tensor(sizes))}), b.constant("w", random_tensor({6, 4}))}), "y");
    graph = b.graph();
    training.trainable = trainable_constants(graph);
    training.loss = [this](const Shard& shard) {
      if (largest < shard.inputs[0].tensor.size(0)) largest = shard.inputs[0].tensor.size(0);
      return mse(shard.values[0], at::zeros_like(shard.values[0]));
    };
  }
  BatchGradient gradient() {
    const Dataset data(graph, samples_of({{"x", random_tensor({40, 2, 3}, 3)}}), {}, "test");
    const TrainerOptions options{.batch = 32};
    const ShardRunner runner(graph, data, training, options);
    largest = 0;
    return runner.gradient(ids(30), 0);
  }
  Graph graph;
  Training training;
  std::atomic<int64_t> largest{0};
};

TEST(ShardRunner, RunsFixedBatchesTogetherWhereTheGraphCan) {
  Fixed any({-1, 6}), two({2, 6});
  const BatchGradient together = any.gradient(), apart = two.gradient();
  EXPECT_EQ(any.largest, 8);
  EXPECT_EQ(two.largest, 2);
  EXPECT_EQ(together.weight, 30);
  EXPECT_EQ(apart.weight, 30);
  EXPECT_LT(relative_difference(together.tensors[0], apart.tensors[0]), 1e-5);
}

TEST(ShardRunner, KeepsFixedBatchesWhereTheLossNeedsThem) {
  Fixed any({-1, 6});
  any.training.loss = [&any](const Shard& shard) {
    any.largest = std::max<int64_t>(any.largest, shard.inputs[0].tensor.size(0));
    if (shard.inputs[0].tensor.size(0) != 2) throw ModelError("E1108", "a teacher of two samples");
    return mse(shard.values[0], at::zeros_like(shard.values[0]));
  };
  EXPECT_EQ(any.gradient().weight, 30);
  EXPECT_EQ(any.largest, 2);
}

}  // namespace
}  // namespace niwaki
