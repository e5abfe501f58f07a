#include "passes/train/pair_attention.h"

#include "passes/train/teacher.h"

#include <algorithm>

namespace niwaki {
namespace {

/// What a value is in the end, past nodes that hand it on.
ValueId handed_on(const Graph& graph, ValueId id) {
  for (int steps = 0; steps < 4; ++steps) {
    const auto readers = graph.consumers(id);
    if (readers.size() != 1) return id;
    const Node& node = graph.node(readers[0]);
    if (node.op != "Identity" && node.op != "Cast" && node.op != "Dropout" && node.op != "FakeQuantize") return id;
    id = node.outputs[0];
  }
  return id;
}

bool is_over_last_axis(const Graph& graph, const Node& node) {
  const int64_t axis = int_attribute(node, "axis", graph.opset() < 13 ? 1 : -1);
  return axis == -1 || axis == 3;
}

std::vector<AttentionValues> products_of_shares(const Graph& graph) {
  std::vector<AttentionValues> found;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (node.op != "Softmax" || !is_default_domain(node.domain) || !is_over_last_axis(graph, node)) continue;
    const ValueId shares = handed_on(graph, node.outputs[0]);
    for (const NodeId reader : graph.consumers(shares)) {
      const Node& product = graph.node(reader);
      if (product.op != "MatMul" || product.inputs[0] != shares || graph.constant(product.inputs[1])) continue;
      found.push_back({node.outputs[0], product.inputs[1]});
      break;
    }
  }
  return found;
}

}  // namespace

std::vector<AttentionValues> find_attention(const Graph& graph, const Graph& student, const Dataset& data) {
  const std::vector<AttentionValues> all = products_of_shares(graph);
  if (all.empty()) return {};
  std::vector<ValueId> wanted;
  for (const AttentionValues& one : all) wanted.insert(wanted.end(), {one.shares, one.values});
  const std::vector<int64_t> first{0};
  const Dataset::Batch batch = data.gather(first);
  const std::vector<Tensor> made = Teacher(graph, student, wanted).answers({batch.inputs, {}, first, false, {}, {}});
  std::vector<AttentionValues> found;
  for (size_t i = 0; i < all.size(); ++i) {
    const Tensor &shares = made[2 * i], &numbers = made[2 * i + 1];
    if (shares.dim() == 4 && numbers.dim() == 4 && shares.size(0) == 1 && numbers.size(0) == 1) found.push_back(all[i]);
  }
  return found;
}

std::vector<AttentionPair> pair_attention(const Graph& student, const Graph& teacher, const Dataset& data) {
  const std::vector<AttentionValues> own = find_attention(student, student, data), others = find_attention(teacher, student, data);
  if (others.empty()) return {};
  const auto namesake = [&](const AttentionValues& one) {
    return std::find_if(others.begin(), others.end(), [&](const AttentionValues& other) { return teacher.value(other.shares).name == student.value(one.shares).name; });
  };
  const bool have_names = std::all_of(own.begin(), own.end(), [&](const AttentionValues& one) { return namesake(one) != others.end(); });
  std::vector<AttentionPair> pairs;
  for (size_t i = 1; i <= own.size(); ++i) {
    const AttentionValues& one = own[i - 1];
    const size_t place = (i * others.size() + own.size() - 1) / own.size() - 1;
    pairs.push_back({one, have_names ? *namesake(one) : others[place]});
  }
  return pairs;
}

}  // namespace niwaki
