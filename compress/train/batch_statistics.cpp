#include "compress/train/batch_statistics.h"

#include "compress/batch_norm.h"
#include "compress/graph_edit.h"
#include "compress/ops/fake_quantize.h"

namespace niwaki {

void separate_statistics(Graph& graph, std::span<const NodeId> norms) {
  for (const NodeId id : norms) {
    for (const size_t i : {kMeanInput, kVarianceInput}) {
      const ValueId known = graph.node(id).inputs[i];
      const auto& inputs = graph.node(id).inputs;
      const bool is_own = graph.consumers(known).size() == 1 && std::count(inputs.begin(), inputs.end(), known) == 1 && !graph.is_output(known);
      if (!is_own) graph.set_input(id, i, graph.add_constant(graph.value(known).name, *graph.constant(known)));
    }
  }
}

Graph with_batch_statistics(const Graph& graph, std::span<const NodeId> norms) {
  Graph changed = graph;
  for (const NodeId id : norms) {
    std::vector<ValueId> inputs = changed.node(id).inputs;
    inputs.resize(kMeanInput);
    changed.set_inputs(id, std::move(inputs));
    changed.set_operator(id, kNormalizeBatch, kTrainDomain);
  }
  return changed;
}

}  // namespace niwaki
