#pragma once

#include "compress/dataset.h"
#include "compress/progress.h"
#include "compress/train/augment.h"
#include "compress/train/learning_rate.h"
#include "compress/train/losses.h"
#include "compress/train/optimizer.h"

#include <functional>
#include <set>

namespace niwaki {

struct ProcessGroup;

struct TrainerOptions {
  OptimizerKind optimizer = OptimizerKind::adamw;
  double learning_rate = 1e-3, weight_decay = 1e-4, momentum = 0.9;   // decay: of tensors of rank 2 and more
  int64_t epochs = 0, steps = 0;             // steps win; neither: one epoch
  int64_t batch = 64;
  Schedule schedule = Schedule::cosine;
  double warm_up = 0.05;                     // share of the steps
  double clip = 1;                           // largest norm of the gradient of the mean loss; 0: none
  double average = 0;                        // decay of the average of the weights, which then is what counts; 0: none
  int64_t patience = 0;                      // epochs without a better validation loss before the end; 0: to the end
  double hold_out = 0.05;                    // share of the samples for the validation loss, at most 1000; 0: none
  Augment augment = {};
  uint64_t seed = 0;
  std::string checkpoint = "";               // path; "": none
  double checkpoint_seconds = 20;
  const ProcessGroup* group = nullptr;       // processes that train together; null: this one alone
};

/// A part of a batch on its way through the student; several are at work at once.
struct Shard {
  const RunValues& inputs;                   // of the student, in the order of Executor::inputs()
  Tensor labels;                             // [samples, ...], undefined without labels
  std::span<const int64_t> samples;          // as the dataset counts them
  bool is_augmented = false;                 // inputs are not those of the dataset
  std::span<const Tensor> values;            // of the student: its outputs, then what is watched; rows as the samples
  std::span<const Tensor> extra;             // Training::extra as they are now

  /// Of what another model makes of `inputs`: where a fixed batch was filled up, the rows of the samples.
  Tensor rows(const Tensor& y) const;
};

/// The sum over the samples of a shard; must be safe to call from several threads.
using Loss = std::function<LossSum(const Shard&)>;

/// What is trained, and towards what.
struct Training {
  std::set<ValueId> trainable;               // constants of the graph; see trainable_constants()
  std::map<ValueId, Tensor> masks = {};      // bool, true = keep: the others stay +0.0; see masks_of_zeros()
  std::map<ValueId, Tensor> behind = {};     // what stands behind masks that may move: weights as they were, or zeros; see regrow.h
  std::map<ValueId, Tensor> shared = {};     // codes of weights that keep sharing their values; see codes_of_shared()
  std::vector<NodeId> batch_norms = {};      // whose means and variances are trainable, and follow the data instead of a gradient
  std::vector<ValueId> watched = {};         // values of the main body that the loss reads beside the outputs
  Loss loss;
  bool couples_samples = false;              // the loss needs whole batches
  std::vector<Tensor> extra = {};            // starting values of what else is trained: projectors, logarithms of scales
  std::set<ValueId> settled = {};            // trainable ones that stay over the last fifth of the steps: ranges of quantization
  std::string identity = "";                 // what the loss depends on: a checkpoint of another one is not taken
  /// Changes what the student reads in training, by samples and epoch; must be safe to call from several threads.
  std::function<void(RunValues& inputs, std::span<const int64_t> samples, int64_t epoch)> replace = {};
};

struct EpochReport {
  double train = 0, validation = 0;          // mean losses; validation is NaN where nothing is held out
  double learning_rate = 0;                  // at its end
};

struct TrainReport {
  int64_t steps = 0, batches_per_epoch = 0, training_samples = 0, held_out_samples = 0;
  double validation_before = 0;              // NaN where nothing is held out
  std::vector<EpochReport> epochs;           // those that ended; the last may be shorter
  int64_t best_epoch = 0;                    // whose end is kept; 0: the start was best
  int64_t restarts = 0;                      // after losses that were not finite
  int64_t resumed_at = 0;                    // step of the checkpoint that was taken up
  bool stopped_early = false;
  bool follows_batch = false;                // batch norms were trained with the statistics of batches
  double seconds = 0;
  Strings notes;
  std::vector<Tensor> extra;                 // as trained
};

/// Trains and writes the constants of the best state into `graph`: the last one whose validation loss is lower than at the start
/// and no more than a standard error above the lowest; the start where none is; or the last step where nothing is held out. The same bytes for any number of threads, and after a stop and a resume.
/// E3320 where no trainable constant reaches the loss, E3321 where losses are not finite.
TrainReport train(Graph& graph, const Dataset& data, const Training& training, const TrainerOptions& options, Progress& progress);

}  // namespace niwaki
