#pragma once

#include "compress/graph.h"
#include "compress/ops/op_table.h"

#include <functional>
#include <map>
#include <set>

namespace niwaki {

struct ExecutorOptions {
  at::Device device = at::kCPU;
  std::set<ValueId> trainable = {};          // autograd is on when this is not empty
  std::map<ValueId, Tensor> leaves = {};     // tensors of another executor that trainable constants share; else each gets one
  std::vector<ValueId> until = {};           // run() makes these of the main body, and only what they need; empty: the outputs
};

/// Interprets a Graph with ATen: correct first, values freed after their last use. Thread-safe: run() may be called
/// from several threads at once. The Graph must outlive it and stay as it is.
class Executor {
 public:
  /// E3101, naming each node, when an operator has no function here.
  explicit Executor(const Graph& graph, ExecutorOptions options = {});
  ~Executor();
  Executor(Executor&&) noexcept;

  using Observe = std::function<void(ValueId, const Tensor&)>;
  /// One value per graph input that is no initializer, in order; returns the graph outputs (or `until`), in order.
  RunValues run(std::span<const RunValue> inputs, const Observe& observe = {}) const;
  /// The inputs that run() wants, in order.
  const std::vector<ValueId>& inputs() const;
  Tensor parameter(ValueId id) const;        // leaf tensor of a trainable constant

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

/// Nodes whose operator the executor lacks, as "label (domain.Op)".
std::vector<std::string> unsupported_nodes(const Graph& graph);

}  // namespace niwaki
