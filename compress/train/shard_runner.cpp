#include "compress/train/shard_runner.h"

#include "compress/batch_norm.h"
#include "compress/error.h"
#include "compress/parallel.h"
#include "compress/train/batch_statistics.h"
#include "compress/train/process_group.h"
#include "compress/train/trainable.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

namespace niwaki {
namespace {

constexpr int64_t kShards = 4, kSmallestShard = 8, kSmallestGhost = 32;   // of a batch; samples

std::vector<ValueId> wanted_values(const Graph& graph, const Training& training) {
  std::vector<ValueId> wanted = graph.main().outputs;
  wanted.insert(wanted.end(), training.watched.begin(), training.watched.end());
  return wanted;
}

bool are_close(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  if (a.sizes() != b.sizes()) return false;
  if (a.numel() == 0) return true;
  const Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  return (x - y).abs().max().item<double>() <= 1e-3 * y.abs().max().item<double>() + 1e-6;
}

/// Two shards at least for each process; but what batch norms see must not depend on the processes.
int64_t shard_size(const Dataset& data, const Training& training, const TrainerOptions& options) {
  if (data.is_batch_fixed()) return data.batch_size();
  if (training.couples_samples) return options.batch;
  const auto in_shards = [&](int64_t shards) { return (options.batch + shards - 1) / shards; };
  if (!training.batch_norms.empty()) return std::max(kSmallestGhost, in_shards(kShards));
  return std::max(kSmallestShard, in_shards(std::max<int64_t>(kShards, options.group == nullptr ? 0 : 2 * options.group->size)));
}

Tensor first_rows(const Tensor& y, const RunValues& inputs, int64_t count) {
  for (const RunValue& input : inputs) {
    const bool is_filled = input.tensor.defined() && input.tensor.dim() > 0 && input.tensor.size(0) > count;
    if (is_filled && y.defined() && y.dim() > 0 && y.size(0) == input.tensor.size(0)) return y.narrow(0, 0, count);
  }
  return y;
}

/// Which inputs are images that convolutions read as they are: with the channels last in memory those are quicker.
std::vector<bool> image_inputs(const Graph& graph, const std::vector<ValueId>& inputs) {
  const auto nodes = graph.all_nodes();
  const bool has_conv = std::any_of(nodes.begin(), nodes.end(), [&](NodeId id) { return graph.node(id).op == "Conv"; });
  const auto keeps_layout = [&](NodeId id) { return graph.node(id).op != "Transpose" && graph.node(id).op != "Reshape"; };
  std::vector<bool> are_images;
  for (const ValueId id : inputs) {
    const auto consumers = graph.consumers(id);
    are_images.push_back(has_conv && std::all_of(consumers.begin(), consumers.end(), keeps_layout));
  }
  return are_images;
}

}  // namespace

Tensor Shard::rows(const Tensor& y) const { return first_rows(y, inputs, static_cast<int64_t>(samples.size())); }

ShardRunner::ShardRunner(const Graph& graph, const Dataset& data, const Training& training, const TrainerOptions& options)
    : graph_(graph), data_(data), training_(training), options_(options),
      executor_(graph, {.trainable = training.trainable, .until = wanted_values(graph, training)}),
      num_extra_(training.extra.size()), shard_size_(shard_size(data, training, options)) {
  images_ = image_inputs(graph, executor_.inputs());
  for (const ValueId id : training.trainable) leaves_.push_back(executor_.parameter(id));
  for (const Tensor& extra : training.extra) leaves_.push_back(extra.detach().clone(at::MemoryFormat::Contiguous).set_requires_grad(true));
  if (data_.is_batch_fixed() && takes_any_batch()) {
    data_ = data_.in_batches(options.batch);
    shard_size_ = shard_size(data_, training, options);
  }
  const bool is_too_small = data_.is_batch_fixed() && data_.batch_size() < std::min(kSmallestGhost, options.batch);
  if (training.batch_norms.empty() || is_too_small) return;
  batch_graph_ = with_batch_statistics(graph, training.batch_norms);
  ExecutorOptions shared{.trainable = training.trainable, .until = wanted_values(graph, training)};
  for (const ValueId id : training.trainable) shared.leaves[id] = executor_.parameter(id);
  batch_executor_.emplace(batch_graph_, std::move(shared));
}

/// Where batch norms follow the data, what is left over joins the last part.
int64_t ShardRunner::num_parts(std::span<const int64_t> samples) const {
  const auto count = static_cast<int64_t>(samples.size());
  if (batch_executor_ && !data_.is_batch_fixed()) return std::clamp<int64_t>(count / shard_size_, std::min<int64_t>(count, 1), count);
  return (count + shard_size_ - 1) / shard_size_;
}

std::span<const int64_t> ShardRunner::part(std::span<const int64_t> samples, int64_t index) const {
  const auto first = static_cast<size_t>(index * shard_size_);
  const bool is_last = index + 1 == num_parts(samples);
  return samples.subspan(first, is_last ? samples.size() - first : static_cast<size_t>(shard_size_));
}

/// Whether three batches at once give the values and the loss of each of them: shapes in the graph may say otherwise.
bool ShardRunner::takes_any_batch() const {
  constexpr int64_t kBatches = 3;
  const int64_t size = data_.batch_size();
  if (data_.num_samples() < kBatches * size) return false;
  std::vector<int64_t> samples(static_cast<size_t>(kBatches * size));
  std::iota(samples.begin(), samples.end(), 0);
  const at::AutoDispatchBelowAutograd no_record;
  try {
    const Answer whole = answer(data_.in_batches(kBatches * size), samples, 0, false);
    std::vector<std::vector<Tensor>> parts(whole.values.size());
    double loss = 0, weight = 0;
    for (int64_t i = 0; i < kBatches; ++i) {
      const Answer one = answer(data_, part(samples, i), 0, false);
      for (size_t k = 0; k < parts.size(); ++k) parts[k].push_back(one.values[k]);
      loss += one.loss.sum.item<double>();
      weight += one.loss.weight;
    }
    for (size_t k = 0; k < parts.size(); ++k) {
      if (!parts[k][0].defined() || parts[k][0].dim() == 0) return false;
      if (!are_close(whole.values[k], at::cat(parts[k]))) return false;
    }
    const bool is_sum = whole.loss.weight == weight && std::abs(whole.loss.sum.item<double>() - loss) <= 1e-3 * (std::abs(loss) + 1e-3);
    return training_.couples_samples || is_sum;
  } catch (const Error&) {                   // a Reshape to fixed sizes, in the student or in what the loss runs
    return false;
  }
}

void ShardRunner::lay_out(RunValues& inputs) const {
  for (size_t i = 0; i < images_.size(); ++i) {
    Tensor& x = inputs[i].tensor;
    if (images_[i] && x.defined() && x.dim() == 4) x = x.contiguous(at::MemoryFormat::ChannelsLast);
  }
}

ShardRunner::Answer ShardRunner::answer(const Dataset& data, std::span<const int64_t> samples, int64_t epoch, bool is_training) const {
  Dataset::Batch batch = data.gather(samples);
  const bool is_replaced = is_training && training_.replace;
  if (is_replaced) training_.replace(batch.inputs, samples, epoch);
  const bool is_augmented = is_training && options_.augment.is_on();
  if (is_augmented) batch.inputs = augmented(batch.inputs, samples, options_.augment, options_.seed, epoch);
  lay_out(batch.inputs);
  const RunValues made = (is_training && batch_executor_ ? *batch_executor_ : executor_).run(batch.inputs);
  std::vector<Tensor> values;
  for (const RunValue& value : made) values.push_back(first_rows(value.tensor, batch.inputs, batch.count));
  const std::span<const Tensor> extra = std::span(leaves_).last(num_extra_);
  const LossSum loss = training_.loss({batch.inputs, batch.labels, samples, is_augmented || is_replaced, values, extra});
  return {std::move(values), loss};
}

/// One message: losses, what is there at all, and all gradients.
void ShardRunner::add_over_group(BatchGradient& total) const {
  const bool is_double = std::any_of(leaves_.begin(), leaves_.end(), [](const Tensor& leaf) { return leaf.scalar_type() == at::kDouble; });
  std::vector<double> facts = {total.loss, total.weight, Progress::stop_requested() ? 1.0 : 0.0};
  for (const Tensor& one : total.tensors) facts.push_back(one.defined() ? 1 : 0);
  const Tensor told = at::tensor(facts, at::kDouble);
  options_.group->all_reduce(told);
  std::vector<Tensor> flat;
  for (size_t k = 0; k < leaves_.size(); ++k) {
    const Tensor& one = total.tensors[k];
    flat.push_back((one.defined() ? one : at::zeros_like(leaves_[k])).detach().reshape({-1}).to(is_double ? at::kDouble : at::kFloat));
  }
  const Tensor sums = at::cat(flat);
  options_.group->all_reduce(sums);
  int64_t place = 0;
  for (size_t k = 0; k < leaves_.size(); ++k) {
    const int64_t size = leaves_[k].numel();
    const bool is_there = told[static_cast<int64_t>(k) + 3].item<double>() > 0;
    total.tensors[k] = is_there ? sums.narrow(0, place, size).view(leaves_[k].sizes()).to(leaves_[k].scalar_type()) : Tensor();
    place += size;
  }
  total.loss = told[0].item<double>();
  total.weight = told[1].item<double>();
  total.is_stopped = told[2].item<double>() > 0;
}

BatchGradient ShardRunner::gradient(std::span<const int64_t> samples, int64_t epoch) const {
  struct Part {
    std::vector<Tensor> gradients;
    double loss = 0, weight = 0;
  };
  const auto [first, count] = own_part(num_parts(samples), options_.group);
  std::vector<Part> parts(static_cast<size_t>(count));
  BatchGradient total{std::vector<Tensor>(leaves_.size()), 0, 0};
  const auto work = [&](int64_t i) {
    const c10::AutoGradMode mode(true);
    const LossSum loss = answer(data_, part(samples, first + i), epoch, true).loss;
    if (!loss.sum.requires_grad()) refuse_training(graph_, training_.trainable);
    Part& mine = parts[static_cast<size_t>(i)];
    mine.gradients = torch::autograd::grad({loss.sum}, leaves_, {}, false, false, /*allow_unused=*/true);
    mine.loss = loss.sum.item<double>();
    mine.weight = loss.weight;
  };
  const auto finish = [&](int64_t i) {
    const Part mine = std::move(parts[static_cast<size_t>(i)]);
    for (size_t k = 0; k < leaves_.size(); ++k) {
      Tensor& sum = total.tensors[k];        // a gradient may be shared by two leaves: nothing is added in place
      if (mine.gradients[k].defined()) sum = sum.defined() ? sum + mine.gradients[k] : mine.gradients[k];
    }
    total.loss += mine.loss;
    total.weight += mine.weight;
  };
  ordered_for(count, work, finish);
  if (options_.group != nullptr) add_over_group(total);
  return total;
}

MeanLoss ShardRunner::mean_loss(std::span<const int64_t> samples) const {
  std::vector<double> losses(static_cast<size_t>(num_parts(samples)), 0), weights = losses;
  parallel_for(static_cast<int64_t>(losses.size()), [&](int64_t i) {
    if (Progress::stop_requested()) throw Interrupted();
    const at::AutoDispatchBelowAutograd no_record;
    const LossSum loss = answer(data_, part(samples, i), 0, false).loss;
    losses[static_cast<size_t>(i)] = loss.sum.item<double>();
    weights[static_cast<size_t>(i)] = loss.weight;
  });
  double loss = 0, weight = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    loss += losses[i];
    weight += weights[i];
  }
  if (weight <= 0) return {};
  const double mean = loss / weight;
  double squares = 0, count = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    if (weights[i] <= 0) continue;
    squares += weights[i] * std::pow(losses[i] / weights[i] - mean, 2);
    ++count;
  }
  return {mean, count > 1 ? std::sqrt(squares / weight / (count - 1)) : 0};
}

std::map<size_t, Tensor> ShardRunner::statistics(std::span<const int64_t> samples) const {
  if (!batch_executor_) return {};
  struct Norm {
    ValueId x;
    size_t mean, variance;                   // leaves
    Tensor shift;
    ChannelSums sums = {};
  };
  const std::vector<ValueId> ids(training_.trainable.begin(), training_.trainable.end());
  const auto leaf_of = [&](ValueId id) { return static_cast<size_t>(std::lower_bound(ids.begin(), ids.end(), id) - ids.begin()); };
  std::vector<Norm> norms;
  for (const NodeId id : training_.batch_norms) {
    const auto& inputs = graph_.node(id).inputs;
    const size_t mean = leaf_of(inputs[kMeanInput]);
    norms.push_back({inputs[0], mean, leaf_of(inputs[kVarianceInput]), leaves_[mean].detach().to(at::kDouble)});
  }
  std::vector<std::vector<ChannelSums>> parts(static_cast<size_t>(num_parts(samples)), std::vector<ChannelSums>(norms.size()));
  const auto work = [&](int64_t i) {
    const at::AutoDispatchBelowAutograd no_record;
    Dataset::Batch batch = data_.gather(part(samples, i));
    lay_out(batch.inputs);
    batch_executor_->run(batch.inputs, [&](ValueId id, const Tensor& x) {
      for (size_t k = 0; k < norms.size(); ++k) {
        if (norms[k].x == id) parts[static_cast<size_t>(i)][k] = channel_sums(first_rows(x, batch.inputs, batch.count), norms[k].shift);
      }
    });
  };
  const auto finish = [&](int64_t i) {
    for (size_t k = 0; k < norms.size(); ++k) norms[k].sums.add(std::exchange(parts[static_cast<size_t>(i)][k], {}));
  };
  ordered_for(static_cast<int64_t>(parts.size()), work, finish);
  std::map<size_t, Tensor> found;
  for (const Norm& norm : norms) {
    if (norm.sums.count == 0) continue;
    const Tensor spread = norm.sums.variance();
    found[norm.mean] = (norm.shift + norm.sums.mean()).to(at::kFloat);
    found[norm.variance] = at::where(spread > 0, spread, leaves_[norm.variance].detach().to(at::kDouble)).to(at::kFloat);
  }
  return found;
}

}  // namespace niwaki
