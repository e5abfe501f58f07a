#include "passes/train/label_loss.h"

#include "compress/error.h"

namespace niwaki {
namespace {

/// The input, as Shard::inputs counts them, that holds integers, or that has the output's shape.
std::optional<size_t> find_input(const Graph& graph, const Answer& answer, bool wants_tokens) {
  size_t place = 0;
  for (const ValueId id : graph.main().inputs) {
    if (graph.constant(id)) continue;
    const Value& value = graph.value(id);
    const bool is_it = wants_tokens ? !is_float(value.dtype) && value.shape && value.shape->size() == 2
                                    : is_float(value.dtype) && value.shape && value.shape == graph.value(answer.output).shape;
    if (is_it) return place;
    ++place;
  }
  return std::nullopt;
}

bool is_integral(const Dataset& data) {
  const Tensor labels = data.batch(0).labels;
  return labels.defined() && (at::isIntegralType(labels.scalar_type(), true));
}

bool is_tokens(const Graph& graph, const Answer& answer) {
  const auto& shape = graph.value(answer.output).shape;
  return answer.kind == AnswerKind::classes && shape && shape->size() == 3;
}

}  // namespace

LabelTarget label_target(const Graph& graph, const Answer& answer, LabelLoss wanted, const Dataset& data) {
  LabelTarget target{.is_shares = answer.kind == AnswerKind::shares};
  if (data.has_labels()) {
    target.is_classes = wanted == LabelLoss::cross_entropy || (wanted == LabelLoss::automatic && is_integral(data) && !target.is_shares);
    if (target.is_classes && !is_integral(data)) {
      throw UsageError("E2013", "cross_entropy needs labels that are whole numbers", {.help = "use --loss mse for labels that are measurements"});
    }
    return target;
  }
  const bool wants_tokens = wanted != LabelLoss::mse && is_tokens(graph, answer);
  const auto input = find_input(graph, answer, wants_tokens);
  if (!input || (!wants_tokens && wanted == LabelLoss::cross_entropy)) {
    throw UsageError("E1706", "the training samples have no labels", {.found = "needed an array 'labels' with one entry per sample", .help = "add it, or train without labels: `niwaki distill MODEL --teacher TEACHER`"});
  }
  target.is_classes = wants_tokens;
  target.source = wants_tokens ? LabelSource::shifted_input : LabelSource::input;
  target.input = *input;
  return target;
}

std::string describe(const LabelTarget& target) {
  const std::string loss = target.is_classes ? "the cross-entropy of " : "the squared error of ";
  switch (target.source) {
    case LabelSource::shifted_input: return loss + "its input shifted by one";
    case LabelSource::input: return loss + "its own input";
    default: return loss + "labels";
  }
}

LossSum label_loss(const LabelTarget& target, const Tensor& scores, const Shard& shard) {
  if (target.source == LabelSource::shifted_input) {
    const Tensor tokens = shard.rows(shard.inputs[target.input].tensor);
    const int64_t length = scores.size(1) - 1;
    return cross_entropy(scores.narrow(1, 0, length), tokens.narrow(1, 1, length));
  }
  const Tensor wanted = target.source == LabelSource::input ? shard.rows(shard.inputs[target.input].tensor) : shard.labels;
  if (target.is_classes) return cross_entropy(scores, wanted);
  const Tensor made = target.is_shares ? at::sigmoid(scores) : scores;
  const Tensor numbers = wanted.to(made.scalar_type());
  return mse(made, numbers.sizes() == made.sizes() ? numbers : numbers.reshape(made.sizes()));
}

}  // namespace niwaki
