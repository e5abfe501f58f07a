#pragma once

#include "compress/executor.h"
#include "compress/train/trainer.h"

namespace niwaki {

/// Sums over the samples of one batch.
struct BatchGradient {
  std::vector<Tensor> tensors;               // by leaf; undefined where the loss does not depend on it
  double loss = 0, weight = 0;
  bool is_stopped = false;                   // one of the processes was asked to stop
};

/// A mean over samples and its standard error, from the means of the shards; 0 for a single one.
struct MeanLoss {
  double mean = 0, error = 0;
};

/// Splits batches into shards of a fixed size and runs them side by side; sums are taken in their order, so that they are the
/// same for any number of threads. A model whose batch is fixed, and which yet gives several at once what it gives each, is
/// run in shards like others; its interface stays. Batch norms whose statistics follow the data use those of a shard, which then has
/// 32 samples or more (ghost batches, 1705.08741). In a group of processes each takes its part of the shards, and all get the
/// sums over all of them.
class ShardRunner {
 public:
  ShardRunner(const Graph& graph, const Dataset& data, const Training& training, const TrainerOptions& options);
  /// What is trained: constants by id, then the extra tensors.
  const std::vector<Tensor>& leaves() const { return leaves_; }
  size_t num_constants() const { return leaves_.size() - num_extra_; }
  /// E3320 where nothing trainable reaches the loss.
  BatchGradient gradient(std::span<const int64_t> samples, int64_t epoch) const;
  /// Mean loss of these samples as they are, without gradients.
  MeanLoss mean_loss(std::span<const int64_t> samples) const;
  /// False where batch norms keep their statistics, since the batch of the model is fixed and small.
  bool follows_batch() const { return batch_executor_.has_value(); }
  /// By leaf: what the batch norms that follow the data should store, pooled over these samples as they are; empty where none does.
  std::map<size_t, Tensor> statistics(std::span<const int64_t> samples) const;

 private:
  struct Answer {
    std::vector<Tensor> values;
    LossSum loss;
  };
  Answer answer(const Dataset& data, std::span<const int64_t> samples, int64_t epoch, bool is_training) const;
  void lay_out(RunValues& inputs) const;
  bool takes_any_batch() const;
  void add_over_group(BatchGradient& total) const;
  std::span<const int64_t> part(std::span<const int64_t> samples, int64_t index) const;
  int64_t num_parts(std::span<const int64_t> samples) const;

  const Graph& graph_;
  Dataset data_;
  const Training& training_;
  const TrainerOptions& options_;
  Executor executor_;
  Graph batch_graph_;                        // with the statistics of each shard
  std::optional<Executor> batch_executor_;   // of it, where batch norms follow the data
  std::vector<bool> images_;                 // by input: laid out with the channels last
  std::vector<Tensor> leaves_;
  size_t num_extra_ = 0;
  int64_t shard_size_ = 1;
};

}  // namespace niwaki
