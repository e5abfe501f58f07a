#include "passes/train/train_graph.h"

#include "compress/error.h"
#include "compress/train/trainable.h"
#include "compress/train/weight_mask.h"

#include <cmath>

namespace niwaki {
namespace {

constexpr int64_t kDefaultEpochs = 3;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json summary(const TrainReport& done, const TrainerOptions& options) {
  Json epochs = Json::array();
  for (const EpochReport& epoch : done.epochs) epochs.push_back({{"train_loss", number(epoch.train)}, {"validation_loss", number(epoch.validation)}, {"learning_rate", epoch.learning_rate}});
  return {{"steps", done.steps}, {"batch", options.batch}, {"training_samples", done.training_samples}, {"held_out_samples", done.held_out_samples},
          {"validation_before", number(done.validation_before)}, {"best_epoch", done.best_epoch}, {"stopped_early", done.stopped_early},
          {"restarts", done.restarts}, {"epochs", epochs}};
}

/// Every node that reads a trained constant.
void list_nodes(const Graph& before, const Graph& after, const Training& training, PassReport& report) {
  for (const NodeId id : after.main().nodes) {
    Json trained = Json::array();
    bool is_changed = false;
    for (const ValueId input : after.node(id).inputs) {
      if (input == ValueId::absent || !training.trainable.contains(input)) continue;
      trained.push_back(after.value(input).name);
      is_changed |= !same_content(*before.constant(input), *after.constant(input));
    }
    if (trained.empty()) continue;
    if (is_changed) report.change(after.label(id), {{"trained", trained}});
    else report.skip(after.label(id), "no update improved the validation loss");
  }
  for (const ValueId id : training.trainable) {
    if (!same_content(*before.constant(id), *after.constant(id))) report.changes.emplace_back(after.value(id).name, "is trained");
  }
}

}  // namespace

TrainerOptions TrainOptions::trainer(const PassContext& context) const {
  return {.optimizer = optimizer, .learning_rate = lr, .weight_decay = weight_decay, .momentum = momentum,
          .epochs = epochs > 0 || steps > 0 ? epochs : kDefaultEpochs, .steps = steps, .batch = batch, .schedule = schedule, .warm_up = warm_up,
          .clip = clip, .average = average, .patience = patience, .hold_out = hold_out, .augment = {.flip = flip, .crop = crop},
          .seed = context.seed, .checkpoint = context.checkpoint};
}

Training training_of(const Graph& graph, const std::vector<ValueId>& wanted, const PassContext& context) {
  Training training;
  training.trainable = trainable_constants(graph, wanted, [&](NodeId id) { return is_selected(graph, id, context.keep, context.only); });
  if (training.trainable.empty()) {
    throw UnsupportedError("E3320", "the model has no constant that can be trained", {.help = "see --keep and --only, and `niwaki inspect MODEL --weights`; integer weights train before they are quantized"});
  }
  training.masks = masks_of_zeros(graph, training.trainable);
  training.watched = wanted;
  return training;
}

TrainReport train_and_report(Graph& graph, const Training& training, const TrainOptions& options, PassContext& context) {
  const Graph before = graph;
  const TrainerOptions trainer = options.trainer(context);
  const TrainReport done = train(graph, *context.training, training, trainer, context.progress);
  PassReport& report = context.report;
  for (const std::string& note : done.notes) report.notes.push_back(cat("N3030: ", note));
  if (done.resumed_at > 0) report.notes.push_back(cat("N3031: went on at step ", done.resumed_at, " of a run that was stopped"));
  if (done.best_epoch == 0 && done.held_out_samples > 0) report.notes.push_back("W3323: no epoch lowered the loss of the samples that were held out: the weights stay as they were");
  report.details = summary(done, trainer);
  list_nodes(before, graph, training, report);
  return done;
}

}  // namespace niwaki
