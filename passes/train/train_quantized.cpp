#include "passes/train/train_quantized.h"

#include "compress/error.h"
#include "passes/quantize/equalize_channels.h"
#include "passes/quantize/quantize_static.h"
#include "passes/quantize/quantize_weights.h"
#include "passes/store/store_weights.h"
#include "passes/train/quantized_twin.h"

namespace niwaki {
namespace {

PassContext with_report(const PassContext& context, PassReport& report) {
  return {.report = report, .progress = context.progress, .calibration = context.calibration, .keep = context.keep, .only = context.only,
          .device = context.device, .seed = context.seed, .original_macs = context.original_macs, .training = context.training,
          .teacher = context.teacher, .checkpoint = context.checkpoint, .group = context.group};
}

std::optional<Granularity> granularity_of(const TrainOptions& options) {
  switch (options.granularity) {
    case QatGranularity::per_tensor: return Granularity::per_tensor;
    case QatGranularity::per_channel: return Granularity::per_channel;
    case QatGranularity::per_block: return Granularity::per_block;
    default: return std::nullopt;
  }
}

/// The passes that `quantize` would run; `graph` keeps its floats but gets the scales between layers.
Graph quantized(Graph& graph, const TrainOptions& options, PassContext& context) {
  const auto granularity = granularity_of(options);
  const bool is_per_tensor = granularity == Granularity::per_tensor;
  const bool is_static = options.mode == QatMode::static_ || options.mode == QatMode::automatic;
  if (is_static) equalize_channels(graph, {.least_spread = is_per_tensor ? kUnevenPerTensor : kUnevenPerChannel}, context);
  Graph emitted = graph;
  if (is_static) {
    QuantizeStaticOptions how{.bits = options.bits, .placement = options.mode == QatMode::static_ ? Placement::all : Placement::automatic, .target = options.target};
    if (is_per_tensor) how.granularity = Granularity::per_tensor;
    quantize_static(emitted, how, context);
  } else if (options.mode == QatMode::weight_only && granularity.value_or(Granularity::per_block) == Granularity::per_block) {
    quantize_weights(emitted, {.bits = options.bits, .target = options.target}, context);
  }
  store_weights(emitted, {.bits = options.bits, .granularity = is_static && is_per_tensor ? std::nullopt : granularity}, context);
  return emitted;
}

/// The nodes and changes of the quantization, and the losses of the training.
void tell(PassReport& report, PassReport made, PassReport trained, const QuantizedTwin& twin) {
  for (auto& node : made.nodes) {
    const bool was_left = node.outcome == Outcome::skipped && std::any_of(made.nodes.begin(), made.nodes.end(), [&](const NodeReport& other) { return other.node == node.node && other.outcome == Outcome::changed; });
    if (!was_left) report.nodes.push_back(std::move(node));
  }
  report.changes = std::move(made.changes);
  report.changes.emplace_back("integers and scales", cat(twin.num_weights(), " weights are trained as ", twin.num_values(), " activations are rounded"));
  report.notes = std::move(made.notes);
  report.notes.insert(report.notes.end(), trained.notes.begin(), trained.notes.end());
  report.details = std::move(trained.details);
  report.details["fake_quantized"] = {{"weights", twin.num_weights()}, {"activations", twin.num_values()}};
}

}  // namespace

void train_quantized(Graph& graph, const TrainOptions& options, PassContext& context, const TrainFloats& train) {
  PassReport made, trained;
  PassContext quantizing = with_report(context, made), training = with_report(context, trained);
  Graph emitted = quantized(graph, options, quantizing);
  QuantizedTwin twin(emitted, graph, options.bits, options.target == Target::onnxruntime_cpu_novnni ? 64 : 127);
  if (twin.num_weights() == 0) throw UnsupportedError("E3324", "no weight would be quantized, so there is none to train", {.help = "see the reasons that `niwaki quantize` lists, or leave --qat out"});
  train(twin.graph(), training);
  const bool has_improved = trained.details.value("best_epoch", int64_t{1}) > 0;
  if (has_improved) twin.write(emitted);
  tell(context.report, std::move(made), std::move(trained), twin);
  graph = std::move(emitted);
}

}  // namespace niwaki
