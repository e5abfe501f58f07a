#include "passes/train/answers.h"

#include <algorithm>

namespace niwaki {
namespace {

/// The classes of a Softmax are where losses look for them: on axis 1, or on the last one of tokens.
bool is_over_classes(const Graph& graph, const Node& node, ValueId output) {
  const auto& shape = graph.value(output).shape;
  if (!shape) return false;
  const auto rank = static_cast<int64_t>(shape->size());
  const int64_t axis = int_attribute(node, "axis", graph.opset() < 13 ? 1 : -1);
  const int64_t wanted = rank == 3 ? 2 : 1;
  return rank >= 2 && (axis < 0 ? axis + rank : axis) == wanted;
}

int64_t known_size(const Graph& graph, ValueId id, size_t axis) {
  const auto& shape = graph.value(id).shape;
  if (!shape || axis >= shape->size()) return -1;
  const auto* size = std::get_if<int64_t>(&(*shape)[axis]);
  return size ? *size : -1;
}

AnswerKind kind_by_shape(const Graph& graph, ValueId output) {
  const auto& shape = graph.value(output).shape;
  if (!shape) return AnswerKind::numbers;
  const auto& inputs = graph.main().inputs;
  const auto is_data = [&](ValueId id) { return graph.constant(id) == nullptr; };
  if (shape->size() == 3) {
    const bool has_tokens = std::any_of(inputs.begin(), inputs.end(), [&](ValueId id) { return is_data(id) && !is_float(graph.value(id).dtype); });
    return has_tokens ? AnswerKind::classes : AnswerKind::numbers;
  }
  const int64_t classes = known_size(graph, output, 1);
  // as many numbers as went in: a reconstruction
  const bool is_reconstruction = std::any_of(inputs.begin(), inputs.end(), [&](ValueId id) {
    return is_data(id) && graph.value(id).shape && graph.value(id).shape->size() == 2 && known_size(graph, id, 1) == classes;
  });
  return shape->size() == 2 && classes > 1 && !is_reconstruction ? AnswerKind::classes : AnswerKind::numbers;
}

Answer answer_of(const Graph& graph, ValueId output) {
  if (const auto producer = graph.producer(output)) {
    const Node& node = graph.node(*producer);
    const bool is_default = is_default_domain(node.domain);
    if (is_default && node.op == "Softmax" && is_over_classes(graph, node, output)) return {output, node.inputs[0], AnswerKind::classes};
    if (is_default && node.op == "LogSoftmax" && is_over_classes(graph, node, output)) return {output, output, AnswerKind::classes};
    if (is_default && node.op == "Sigmoid") return {output, node.inputs[0], AnswerKind::shares};
  }
  return {output, output, kind_by_shape(graph, output)};
}

}  // namespace

std::vector<Answer> find_answers(const Graph& graph) {
  std::vector<Answer> answers;
  for (const ValueId output : graph.main().outputs) {
    if (graph.value(output).dtype == DType::float32 || graph.value(output).dtype == DType::float16) answers.push_back(answer_of(graph, output));
  }
  return answers;
}

}  // namespace niwaki
