#include "passes/train/train_graph.h"

#include "compress/batch_norm.h"
#include "compress/error.h"
#include "compress/ops/fake_quantize.h"
#include "compress/train/batch_statistics.h"
#include "compress/train/shared_weights.h"
#include "compress/train/trainable.h"
#include "compress/train/weight_mask.h"

#include <cmath>

namespace niwaki {
namespace {

constexpr int64_t kDefaultEpochs = 3, kFewestForStatistics = 32;   // samples of a batch

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json summary(const TrainReport& done, const TrainerOptions& options) {
  Json epochs = Json::array();
  for (const EpochReport& epoch : done.epochs) epochs.push_back({{"train_loss", number(epoch.train)}, {"validation_loss", number(epoch.validation)}, {"learning_rate", epoch.learning_rate}});
  return {{"steps", done.steps}, {"batch", options.batch}, {"training_samples", done.training_samples}, {"held_out_samples", done.held_out_samples},
          {"validation_before", number(done.validation_before)}, {"best_epoch", done.best_epoch}, {"stopped_early", done.stopped_early},
          {"restarts", done.restarts}, {"epochs", epochs}};
}

/// What --keep and --only say of a node; a node of training as what reads it.
bool is_free(const Graph& graph, NodeId id, const PassContext& context) {
  if (graph.node(id).domain != kTrainDomain) return is_selected(graph, id, context.keep, context.only);
  const auto readers = graph.consumers(graph.node(id).outputs[0]);
  return std::any_of(readers.begin(), readers.end(), [&](NodeId reader) { return is_free(graph, reader, context); });
}

/// Scales of quantization, which are trained as logarithms.
std::set<ValueId> logarithms_of(const Graph& graph) {
  std::set<ValueId> found;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (node.domain == kTrainDomain && node.op == "TrainScale") found.insert(node.inputs[1]);
  }
  return found;
}

/// What the masked weights were before they were masked, or zeros where nobody knows.
std::map<ValueId, Tensor> weights_behind(const Graph& graph, const Training& training, const TrainOptions& options, const PassContext& context) {
  std::map<ValueId, Tensor> behind;
  const bool may_move = options.regrow == Regrow::on || (options.regrow == Regrow::automatic && context.unmasked != nullptr && !options.qat);
  if (!may_move) return behind;
  for (const auto& [id, mask] : training.masks) {
    if (training.shared.contains(id)) continue;
    const auto earlier = context.unmasked == nullptr ? std::nullopt : context.unmasked->find_value(graph.value(id).name);
    const Constant* constant = earlier ? context.unmasked->constant(*earlier) : nullptr;
    const bool is_known = constant != nullptr && constant->sizes == graph.constant(id)->sizes && constant->dtype == graph.constant(id)->dtype;
    if (is_known) behind[id] = values(*constant);
    else if (options.regrow == Regrow::on) behind[id] = at::zeros_like(values(*graph.constant(id)));
  }
  return behind;
}

/// Batch norms whose statistics follow the data.
std::vector<NodeId> moving_norms(const Graph& graph, const TrainOptions& options, PassContext& context) {
  std::vector<NodeId> norms;
  const bool may_move = options.batch_norm == BatchNormMode::train || (options.batch_norm == BatchNormMode::automatic && !options.qat && options.batch >= kFewestForStatistics);
  if (!may_move) return norms;
  for (const NodeId id : graph.main().nodes) {
    if (!is_batch_norm(graph.node(id)) || !is_free(graph, id, context)) continue;
    std::string why = why_statistics_stay(graph, id);
    const bool is_single = why.empty() && graph.constant(graph.node(id).inputs[kMeanInput])->dtype == DType::float32 && graph.constant(graph.node(id).inputs[kVarianceInput])->dtype == DType::float32;
    if (why.empty() && !is_single) why = "they are no float32";
    if (why.empty()) norms.push_back(id);
    else context.report.notes.push_back(cat("N3037: the statistics of '", printable(graph.label(id)), "' stay: ", why));
  }
  return norms;
}

/// Says how many zeros moved.
void count_moves(const Graph& before, const Graph& after, const Training& training, PassReport& report) {
  int64_t zeros = 0, moved = 0;
  for (const auto& [id, behind] : training.behind) {
    const Tensor was_zero = values(*before.constant(id)).eq(0);
    zeros += was_zero.sum().item<int64_t>();
    moved += (was_zero & values(*after.constant(id)).ne(0)).sum().item<int64_t>();
  }
  if (zeros > 0) report.notes.push_back(cat("N3033: ", moved, " of ", zeros, " zeros moved to other places of their tensors; `regrow: off` keeps the masks"));
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

void TrainOptions::require_quantization() const {
  const bool is_told = bits != 8 || mode != QatMode::automatic || granularity != QatGranularity::automatic;
  if (qat && batch_norm == BatchNormMode::train) throw UsageError("E2013", "with qat, batch norms keep their statistics", {.help = "train with --batch-norm train first, then with --qat"});
  if (!qat && is_told) throw UsageError("E2013", "bits, mode and granularity count only with qat", {.help = "add --qat, or quantize the trained model with `niwaki quantize`"});
  if (bits != 8 && bits != 4) throw UsageError("E2008", cat("bits ", bits, " has no stored form; needed 8 or 4"));
  if (needs_ranges() && granularity == QatGranularity::per_block) throw UsageError("E2013", "granularity 'per_block' has no integer kernel", {.help = "use --mode weight_only"});
}

TrainerOptions TrainOptions::trainer(const PassContext& context) const {
  return {.optimizer = optimizer, .learning_rate = lr, .weight_decay = weight_decay, .momentum = momentum,
          .epochs = epochs > 0 || steps > 0 ? epochs : kDefaultEpochs, .steps = steps, .batch = batch, .schedule = schedule, .warm_up = warm_up,
          .clip = clip, .average = average, .patience = patience, .hold_out = hold_out, .augment = {.flip = flip, .crop = crop},
          .seed = context.seed, .checkpoint = context.checkpoint, .group = context.group};
}

Training training_of(Graph& graph, const std::vector<ValueId>& wanted, const TrainOptions& options, PassContext& context) {
  Training training;
  training.trainable = trainable_constants(graph, wanted, [&](NodeId id) { return is_free(graph, id, context); });
  if (training.trainable.empty()) {
    throw UnsupportedError("E3320", "the model has no constant that can be trained", {.help = "see --keep and --only, and `niwaki inspect MODEL --weights`; integer weights train before they are quantized"});
  }
  training.settled = logarithms_of(graph);
  training.masks = masks_of_zeros(graph, training.trainable);
  training.shared = codes_of_shared(graph, training.trainable);
  training.behind = weights_behind(graph, training, options, context);
  training.watched = wanted;
  training.batch_norms = moving_norms(graph, options, context);
  separate_statistics(graph, training.batch_norms);
  for (const NodeId id : training.batch_norms) {
    for (const size_t i : {kMeanInput, kVarianceInput}) training.trainable.insert(graph.node(id).inputs[i]);
  }
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
  count_moves(before, graph, training, report);
  if (!training.shared.empty()) report.notes.push_back(cat("N3036: ", training.shared.size(), " weight tensors keep sharing few values each"));
  if (done.follows_batch) report.notes.push_back(cat("N3037: ", training.batch_norms.size(), " batch norms were trained with the statistics of batches and store those of the training data; `batch_norm: frozen` keeps them"));
  report.details = summary(done, trainer);
  list_nodes(before, graph, training, report);
  return done;
}

}  // namespace niwaki
