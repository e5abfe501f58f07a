#include "compress/train/trainer.h"

#include "compress/digest.h"
#include "compress/error.h"
#include "compress/parallel.h"
#include "compress/train/checkpoint.h"
#include "compress/train/fingerprint.h"
#include "compress/train/process_group.h"
#include "compress/train/regrow.h"
#include "compress/train/sample_order.h"
#include "compress/train/shard_runner.h"
#include "compress/train/shared_weights.h"
#include "compress/train/trainable.h"
#include "compress/train/weight_mask.h"

#include <chrono>
#include <cstdio>
#include <limits>

namespace niwaki {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSettledFrom = 0.8;         // share of the steps from which on Training::settled stay
constexpr int64_t kMostRestarts = 3, kMostRedone = 16;   // steps that a stop or a restart may cost
constexpr size_t kMostForStatistics = 2048;  // training samples
constexpr int64_t kKeptBytes = int64_t{1} << 30;         // of samples in memory
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string loss_text(double loss) {
  char text[32];
  std::snprintf(text, sizeof text, "loss %.4g", loss);
  return text;
}

void require_options(const TrainerOptions& o) {
  if (o.batch < 1) throw UsageError("E2005", cat("batch ", o.batch, ": needed at least 1"));
  if (!(o.learning_rate > 0)) throw UsageError("E2005", cat("learning rate ", o.learning_rate, ": needed more than 0"));
  if (!(o.average >= 0 && o.average < 1)) throw UsageError("E2005", cat("average ", o.average, ": needed from 0 to below 1"));
  if (!(o.hold_out >= 0 && o.hold_out < 1)) throw UsageError("E2005", cat("hold_out ", o.hold_out, ": needed from 0 to below 1"));
}

/// What holds for a trained tensor.
struct Leaf {
  Tensor mask, codes;                        // of pruned weights, and of weights that share values; undefined: none
  bool settles = false;                      // stays over the last steps
  std::optional<size_t> moving = {};         // its place among the masks that may move
};

/// One training from its start, or its checkpoint, to its end.
class Loop {
 public:
  Loop(const Graph& graph, const Dataset& data, const Training& training, const TrainerOptions& options, Progress& progress)
      : options_(options), progress_(progress), training_(training), data_(data.in_memory(kKeptBytes)),
        order_(data.num_samples(), options.hold_out, options.seed), runner_(graph, data_, training, options) {
    per_epoch_ = (order_.num_training() + options.batch - 1) / options.batch;
    total_ = options.steps > 0 ? options.steps : std::max<int64_t>(options.epochs, 1) * per_epoch_;
    interval_ = std::clamp<int64_t>(total_ / 100, 1, kMostRedone);
    const auto of = [](const std::map<ValueId, Tensor>& tensors, ValueId id) {
      const auto found = tensors.find(id);
      return found == tensors.end() ? Tensor() : found->second;
    };
    for (const ValueId id : training.trainable) {
      Leaf leaf{.mask = of(training.masks, id), .codes = of(training.shared, id), .settles = training.settled.contains(id)};
      if (leaf.mask.defined() && training.behind.contains(id)) {
        leaf.moving = moving_.size();
        moving_.push_back(leaves_.size());
      }
      leaves_.push_back(std::move(leaf));
    }
    leaves_.resize(runner_.leaves().size());
    if (!options.checkpoint.empty() || options.group != nullptr) fingerprint_ = training_fingerprint(graph, data_, training, options);
  }

  TrainReport run() {
    const auto began = Clock::now();
    report_.batches_per_epoch = per_epoch_;
    report_.training_samples = order_.num_training();
    report_.held_out_samples = static_cast<int64_t>(order_.held_out().size());
    try {
      start();
      while (state_.step < total_ && !state_.is_done) step();
      good_ = copy_of(state_);
      save();
    } catch (const Interrupted&) {
      save();
      throw;
    }
    describe();
    report_.seconds = seconds_since(began);
    return std::move(report_);
  }

  /// What is best, by leaf; empty where that is the start.
  std::vector<Tensor> result() const {
    if (order_.held_out().empty()) return effective();
    return state_.best;
  }

 private:
  const std::vector<Tensor>& effective() const { return options_.average > 0 ? state_.average : state_.weights; }
  void save() const {
    const bool is_writer = options_.group == nullptr || options_.group->is_first();
    if (is_writer && !options_.checkpoint.empty() && !good_.weights.empty()) save_checkpoint(options_.checkpoint, fingerprint_, good_);
  }
  void restore(const TrainState& from);
  void start();
  void step();
  void change_weights(const BatchGradient& gradient, double norm);
  void put_masks_behind();
  void change_behind(size_t i, const Tensor& gradient, const StepOptions& step);
  bool is_moving(const Leaf& leaf) const { return leaf.moving && !state_.behind.empty(); }
  void restart(const std::string& what);
  void end_epoch();
  MeanLoss validation(bool is_start);
  void settle_statistics();
  void describe();

  const TrainerOptions& options_;
  Progress& progress_;
  const Training& training_;
  const Dataset data_;
  const SampleOrder order_;
  ShardRunner runner_;
  std::vector<Leaf> leaves_;
  std::vector<size_t> moving_;               // leaves whose masks may move
  int64_t per_epoch_ = 1, total_ = 1, interval_ = 1;
  std::string fingerprint_;
  TrainState state_, good_;                  // state_.weights are the leaves themselves
  Clock::time_point saved_ = Clock::now();
  int64_t shuffled_ = -1;                    // epoch of samples_
  std::vector<int64_t> samples_;
  TrainReport report_;
};

/// Puts numbers into the leaves, and takes over the rest.
void Loop::restore(const TrainState& from) {
  const std::vector<Tensor> weights = state_.weights;
  TrainState next = copy_of(from);
  for (size_t i = 0; i < weights.size(); ++i) weights[i].copy_(next.weights[i]);
  next.weights = weights;
  state_ = std::move(next);
  for (size_t k = 0; k < moving_.size(); ++k) leaves_[moving_[k]].mask = state_.masks[k];
}

/// Lets weights that a mask hides start from what they were.
void Loop::put_masks_behind() {
  const std::vector<ValueId> ids(training_.trainable.begin(), training_.trainable.end());
  for (const size_t leaf : moving_) {
    state_.masks.push_back(leaves_[leaf].mask);
    state_.behind.push_back(at::where(leaves_[leaf].mask, state_.weights[leaf], training_.behind.at(ids[leaf])).contiguous());
  }
}

void Loop::start() {
  progress_.start("train", total_);
  for (const Tensor& leaf : runner_.leaves()) state_.weights.push_back(leaf.detach());
  std::string why;
  const auto found = load_checkpoint(options_.checkpoint, fingerprint_, why, options_.group);
  if (!why.empty()) report_.notes.push_back(why);
  if (found) {
    restore(*found);
    good_ = copy_of(state_);
    report_.resumed_at = state_.step;
    return progress_.advance(state_.step);
  }
  for (size_t i = 0; i < leaves_.size(); ++i) {
    if (leaves_[i].mask.defined()) state_.weights[i].copy_(apply_mask(state_.weights[i], leaves_[i].mask));
  }
  put_masks_behind();
  state_.moments = make_moments(state_.weights, options_.optimizer);
  if (options_.average > 0) {
    for (const Tensor& w : state_.weights) state_.average.push_back(w.clone());
  }
  state_.validation_before = validation(true).mean;
  state_.best_loss = std::isfinite(state_.validation_before) ? state_.validation_before : std::numeric_limits<double>::infinity();
}

void Loop::step() {
  if (state_.step % interval_ == 0) {
    good_ = copy_of(state_);
    if (seconds_since(saved_) >= options_.checkpoint_seconds) {
      save();
      saved_ = Clock::now();
    }
  }
  const int64_t epoch = state_.step / per_epoch_, place = state_.step % per_epoch_ * options_.batch;
  if (epoch != shuffled_) samples_ = order_.epoch(epoch);
  shuffled_ = epoch;
  const auto count = std::min(options_.batch, order_.num_training() - place);
  const auto batch = std::span<const int64_t>(samples_).subspan(static_cast<size_t>(place), static_cast<size_t>(count));
  BatchGradient gradient = runner_.gradient(batch, epoch);
  if (gradient.is_stopped) throw Interrupted();
  double squares = 0;
  for (size_t i = 0; i < gradient.tensors.size(); ++i) {
    Tensor& one = gradient.tensors[i];
    if (!one.defined()) continue;
    const Leaf& leaf = leaves_[i];
    const Tensor felt = leaf.mask.defined() ? apply_mask(one, leaf.mask) : one;
    squares += leaf.codes.defined() ? shared_squares(felt, leaf.codes) : std::pow(at::linalg_vector_norm(felt, 2, std::nullopt, false, at::kDouble).item<double>(), 2);
    if (!is_moving(leaf)) one = leaf.codes.defined() ? shared_gradient(felt, leaf.codes) : felt;
  }
  if (!std::isfinite(gradient.loss) || !std::isfinite(squares)) {
    return restart(cat("batch ", state_.step % per_epoch_, " of epoch ", epoch + 1, " (step ", state_.step, ")"));
  }
  if (gradient.weight > 0) change_weights(gradient, std::sqrt(squares) / gradient.weight);
  state_.loss_sum += gradient.loss;
  state_.loss_weight += gradient.weight;
  ++state_.step;
  progress_.note(loss_text(state_.loss_sum / std::max(state_.loss_weight, 1e-30)));
  if (state_.step % per_epoch_ == 0 || state_.step == total_) end_epoch();
  progress_.advance(1);
}

/// Changes a weight behind its mask as well, and the mask where it is time.
void Loop::change_behind(size_t i, const Tensor& gradient, const StepOptions& step) {
  Tensor& mask = leaves_[i].mask;
  const size_t place = *leaves_[i].moving;
  const Tensor& whole = state_.behind[place];
  update(whole, gradient, state_.moments, i, step);
  if (state_.step % kMoveEvery == 0) mask = state_.masks[place] = moved_mask(whole, mask);
  state_.weights[i].copy_(apply_mask(whole, mask));
  if (options_.average > 0) state_.average[i].copy_(apply_mask(state_.average[i], mask));
}

void Loop::change_weights(const BatchGradient& gradient, double norm) {
  if (static_cast<double>(state_.step) >= kMovesUntil * static_cast<double>(total_)) state_.behind.clear();
  const double share = learning_rate_share(options_.schedule, options_.warm_up, state_.step, total_) * state_.rate_share;
  StepOptions step{options_.optimizer, options_.learning_rate * share, 0, options_.momentum};
  const double scale = (options_.clip > 0 && norm > options_.clip ? options_.clip / norm : 1) / gradient.weight;
  const auto count = static_cast<double>(state_.step);
  const double kept = std::min(options_.average, (1 + count) / (10 + count));    // the start counts little
  for (size_t i = 0; i < state_.weights.size(); ++i) {
    const Tensor& w = state_.weights[i];
    const Leaf& leaf = leaves_[i];
    const bool is_settled = leaf.settles && count >= kSettledFrom * static_cast<double>(total_);
    if (gradient.tensors[i].defined() && !is_settled) {
      step.weight_decay = i < runner_.num_constants() && w.dim() >= 2 ? options_.weight_decay : 0;
      const Tensor slope = gradient.tensors[i] * scale;
      if (is_moving(leaf)) change_behind(i, slope, step);
      else update(w, slope, state_.moments, i, step);
      if (leaf.codes.defined()) w.copy_(tied(w, leaf.codes));
      if (leaf.mask.defined() && !is_moving(leaf)) {
        w.copy_(apply_mask(w, leaf.mask));
        state_.moments.first[i].copy_(apply_mask(state_.moments.first[i], leaf.mask));
        if (!state_.moments.second.empty()) state_.moments.second[i].copy_(apply_mask(state_.moments.second[i], leaf.mask));
      }
    }
    if (options_.average > 0) state_.average[i].lerp_(w, 1 - kept);
  }
}

/// Goes back to the last good state, with half the learning rate.
void Loop::restart(const std::string& what) {
  if (good_.restarts >= kMostRestarts) {
    throw ModelError("E3321", cat("the loss of ", what, " is not finite"),
                     {.found = cat("after ", kMostRestarts, " restarts with half the learning rate each"),
                      .help = "lower the learning rate, or look for samples or labels out of range"});
  }
  ++good_.restarts;
  good_.rate_share /= 2;
  report_.notes.push_back(cat("the loss of ", what, " was not finite: back to step ", good_.step, " with half the learning rate"));
  restore(good_);
  progress_.start("train", total_);
  progress_.advance(state_.step);
}

/// Batch norms get the statistics of what they read now, which is what counts outside of training.
void Loop::settle_statistics() {
  std::vector<int64_t> samples = order_.epoch(0);
  samples.resize(std::min(samples.size(), kMostForStatistics));
  for (const auto& [leaf, numbers] : runner_.statistics(samples)) {
    state_.weights[leaf].copy_(numbers);
    if (options_.average > 0) state_.average[leaf].copy_(numbers);
  }
}

/// Of the weights that count; NaN where nothing is held out.
MeanLoss Loop::validation(bool is_start) {
  const auto loss_now = [&] {
    if (!is_start) settle_statistics();
    return order_.held_out().empty() ? MeanLoss{kNone, 0} : runner_.mean_loss(order_.held_out());
  };
  if (options_.average <= 0) return loss_now();
  std::vector<Tensor> kept;
  for (size_t i = 0; i < state_.weights.size(); ++i) {
    kept.push_back(state_.weights[i].clone());
    state_.weights[i].copy_(state_.average[i]);
  }
  const MeanLoss loss = loss_now();
  for (size_t i = 0; i < kept.size(); ++i) state_.weights[i].copy_(kept[i]);
  return loss;
}

/// The last state that is as good as the best one, up to the noise of the samples held out, is kept: it was trained longest,
/// at the lowest learning rates (the one-standard-error rule of Breiman et al., 1984).
void Loop::end_epoch() {
  const MeanLoss loss = validation(false);
  const double rate = options_.learning_rate * state_.rate_share *
                      learning_rate_share(options_.schedule, options_.warm_up, state_.step - 1, total_);
  for (const double number : {state_.loss_sum / std::max(state_.loss_weight, 1e-30), loss.mean, rate}) state_.history.push_back(number);
  state_.loss_sum = state_.loss_weight = 0;
  if (order_.held_out().empty()) return;
  const bool is_lowest = loss.mean < state_.best_loss;
  if (is_lowest) state_.best_loss = loss.mean;
  const bool is_above_start = loss.mean >= state_.validation_before;
  if (is_lowest || (!is_above_start && loss.mean <= state_.best_loss + loss.error)) {
    state_.best_epoch = static_cast<int64_t>(state_.history.size() / 3);
    state_.best.clear();
    for (const Tensor& w : effective()) state_.best.push_back(w.clone());
  }
  state_.bad_epochs = is_lowest ? 0 : state_.bad_epochs + 1;
  state_.is_done = options_.patience > 0 && state_.bad_epochs >= options_.patience && state_.step < total_;
}

void Loop::describe() {
  report_.steps = state_.step;
  report_.validation_before = state_.validation_before;
  for (size_t i = 0; i + 2 < state_.history.size(); i += 3) {
    report_.epochs.push_back({state_.history[i], state_.history[i + 1], state_.history[i + 2]});
  }
  report_.best_epoch = order_.held_out().empty() ? static_cast<int64_t>(report_.epochs.size()) : state_.best_epoch;
  report_.restarts = state_.restarts;
  report_.stopped_early = state_.is_done;
  const auto& updates = state_.moments.updates;
  const auto idle = std::count(updates.begin(), updates.end(), 0) - 2 * static_cast<int64_t>(training_.batch_norms.size());
  report_.follows_batch = runner_.follows_batch();
  if (!training_.batch_norms.empty() && !runner_.follows_batch()) report_.notes.push_back("batch norms keep their statistics: the model's batch is fixed, and small");
  if (idle > 0) report_.notes.push_back(cat(idle, " of ", updates.size(), " trainable tensors do not reach the loss"));
}

/// Processes of a group that end with other weights did not train together.
void require_same_weights(const std::vector<Tensor>& weights, const ProcessGroup& group) {
  Sha256 digest;
  for (const Tensor& w : weights) {
    const Tensor numbers = w.contiguous();
    digest.update({static_cast<const std::byte*>(numbers.const_data_ptr()), numbers.nbytes()});
  }
  const std::string mine = digest.hex();
  if (group.broadcast(mine) != mine) throw InternalError(cat("process ", group.rank, " of ", group.size, " ended with other weights than the first one"));
}

}  // namespace

TrainReport train(Graph& graph, const Dataset& data, const Training& training, const TrainerOptions& options, Progress& progress) {
  require_options(options);
  if (training.trainable.empty() && training.extra.empty()) refuse_training(graph, {});
  Loop loop(graph, data, training, options, progress);
  TrainReport report = loop.run();
  const std::vector<Tensor> best = loop.result();
  if (options.group != nullptr) require_same_weights(best, *options.group);
  size_t i = 0;
  for (const ValueId id : training.trainable) {
    if (best.empty()) break;
    Constant constant = *graph.constant(id);
    constant.storage = best[i++].detach().clone(at::MemoryFormat::Contiguous);
    constant.sparse = nullptr;
    graph.set_constant(id, std::move(constant));
  }
  for (size_t k = 0; k < training.extra.size(); ++k) report.extra.push_back((best.empty() ? training.extra[k] : best[i + k]).detach().clone());
  return report;
}

}  // namespace niwaki
