#pragma once

#include "compress/graph.h"

namespace niwaki {

/// Builds small graphs in tests: values are ValueIds, nodes give their first output.
class GraphBuilder {
 public:
  explicit GraphBuilder(int64_t opset = 17);
  ValueId input(const std::string& name, Shape shape, DType dtype = DType::float32);
  /// A float32 input without a constant of fixed random numbers; give a tensor to fix the numbers.
  ValueId constant(const std::string& name, const Tensor& numbers);
  ValueId random_constant(const std::string& name, std::vector<int64_t> sizes);
  ValueId node(const std::string& op, std::vector<ValueId> inputs, std::map<std::string, Attribute> attributes = {},
               const std::string& name = "", const std::string& domain = "");
  std::vector<ValueId> node_with_outputs(const std::string& op, std::vector<ValueId> inputs, size_t outputs,
                                         std::map<std::string, Attribute> attributes = {}, const std::string& name = "");
  void output(ValueId value, const std::string& name = "");
  /// The graph so far, with inferred shapes.
  Graph graph();

 private:
  Graph graph_;
  int count_ = 0;
};

/// Runs a graph on these inputs and returns its outputs.
std::vector<Tensor> run_graph(const Graph& graph, const std::vector<Tensor>& inputs);
/// Largest difference relative to the largest value of `want`.
double relative_difference(const Tensor& got, const Tensor& want);
/// Seeded normal numbers, the same on every machine.
Tensor random_tensor(std::vector<int64_t> sizes, uint64_t seed = 0);

}  // namespace niwaki
