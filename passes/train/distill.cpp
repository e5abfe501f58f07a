#include "passes/train/distill.h"

#include "compress/error.h"
#include "passes/train/lesson.h"
#include "passes/train/train_graph.h"
#include "passes/train/train_quantized.h"

namespace niwaki {

void DistillOptions::validate() const {
  require_quantization();
  if (features == FeatureLoss::off && feature_weight != 1) throw UsageError("E2013", "feature_weight counts only where features are compared", {.help = "leave feature_weight out, or features on"});
  if (features == FeatureLoss::off && !pairs.empty()) throw UsageError("E2013", "pairs count only where features are compared", {.help = "add --features mse, or leave pairs out"});
}

namespace {

void distill_floats(Graph& graph, const Graph& named, const DistillOptions& options, PassContext& context) {
  const Graph student = graph;               // the trainer writes into `graph` while the lesson reads
  const auto lesson = std::make_shared<Lesson>(student, named, options, context);
  Training training = training_of(graph, lesson->watched(), options, context);
  training.loss = [lesson](const Shard& shard) { return (*lesson)(shard); };
  training.couples_samples = lesson->couples_samples();
  training.extra = lesson->projectors();
  training.identity = cat("distill ", lesson->describe(), options.features == FeatureLoss::off ? "" : lesson->table().dump());
  context.report.notes.push_back(cat("N3032: learned from the teacher by ", lesson->describe()));
  train_and_report(graph, training, options, context);
  context.report.details["pairs"] = lesson->table();
}

}  // namespace

void distill(Graph& graph, const DistillOptions& options, PassContext& context) {
  if (context.teacher == nullptr) throw UsageError("E2014", "distillation needs a teacher", {.help = "give --teacher MODEL"});
  const Graph named = graph;
  if (!options.qat) return distill_floats(graph, named, options, context);
  train_quantized(graph, options, context, [&](Graph& twin, PassContext& inner) { distill_floats(twin, named, options, inner); });
}

}  // namespace niwaki
