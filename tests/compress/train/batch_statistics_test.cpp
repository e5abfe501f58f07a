#include "compress/train/batch_statistics.h"

#include "compress/batch_norm.h"
#include "compress/graph_edit.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// Two norms behind each other that share all parameters.
Graph sharing() {
  GraphBuilder b;
  const ValueId zeros = b.constant("zeros", at::zeros({3})), ones = b.constant("ones", at::ones({3}));
  const ValueId h = b.node("BatchNormalization", {b.input("x", {"n", int64_t{3}, int64_t{2}, int64_t{2}}), ones, zeros, zeros, ones}, {{"epsilon", 0.5f}}, "a");
  b.output(b.node("BatchNormalization", {h, ones, zeros, zeros, ones}, {}, "b"), "y");
  return b.graph();
}

TEST(BatchStatistics, EveryNormGetsItsOwn) {
  Graph graph = sharing();
  const std::vector<NodeId> norms = graph.main().nodes;
  const Tensor x = random_tensor({5, 3, 2, 2}, 1), before = run_graph(graph, {x})[0];
  separate_statistics(graph, norms);
  std::set<ValueId> seen;
  for (const NodeId id : norms) {
    for (const size_t i : {kMeanInput, kVarianceInput}) {
      EXPECT_TRUE(seen.insert(graph.node(id).inputs[i]).second);
      EXPECT_EQ(graph.consumers(graph.node(id).inputs[i]).size(), 1u);
    }
  }
  EXPECT_TRUE(at::equal(run_graph(graph, {x})[0], before));
  const size_t values = graph.num_values();
  separate_statistics(graph, norms);                       // nothing is left to do
  EXPECT_EQ(graph.num_values(), values);
}

TEST(BatchStatistics, NormalisesByWhatIsRead) {
  const Graph graph = sharing();
  const std::vector<NodeId> one = {graph.main().nodes[0]};
  const Tensor x = random_tensor({7, 3, 2, 2}, 2) * 4 - 1;
  const Tensor rows = x.transpose(0, 1).reshape({3, -1});
  const Tensor expected = (x - rows.mean(1).view({1, 3, 1, 1})) / at::sqrt(rows.var(1, false).view({1, 3, 1, 1}) + 0.5) / std::sqrt(1 + 1e-5);
  EXPECT_LT(relative_difference(run_graph(with_batch_statistics(graph, one), {x})[0], expected), 1e-5);
  EXPECT_TRUE(is_batch_norm(graph.node(one[0])));          // the graph itself stays
}

}  // namespace
}  // namespace niwaki
