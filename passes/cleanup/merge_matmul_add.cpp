#include "passes/cleanup/merge_matmul_add.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int64_t kFirstOpset = 7;  // from it on, Gemm broadcasts its bias without being told

bool is_matmul(const Node& node) { return node.op == "MatMul" && is_default_domain(node.domain); }
bool is_add(const Node& node) { return node.op == "Add" && is_default_domain(node.domain); }

bool is_in_main(const Graph& graph, NodeId id) {
  const auto& nodes = graph.main().nodes;
  return std::find(nodes.begin(), nodes.end(), id) != nodes.end();
}

/// True if the constant is [outputs] or [1, outputs].
bool is_bias(const Graph& graph, ValueId id, int64_t outputs) {
  const Constant* bias = fixed_constant(graph, id);
  return bias != nullptr && (bias->sizes == std::vector<int64_t>{outputs} ||
                             bias->sizes == std::vector<int64_t>{1, outputs});
}

struct Match {
  NodeId add;
  ValueId bias;
};

/// The Add after the MatMul, or why they cannot be merged.
std::string find_add(const Graph& graph, const Node& matmul, Match& match) {
  if (graph.opset() < kFirstOpset) return "before opset 7, Gemm does not broadcast its bias";
  const Constant* weight = fixed_constant(graph, matmul.inputs[1]);
  if (weight == nullptr) return "its weight is computed at run time";
  if (!is_float(weight->dtype) || weight->dtype == DType::bfloat16)
    return cat("it computes in ", name_of(weight->dtype));
  if (weight->sizes.size() != 2) return "its weight is no matrix";
  const auto& shape = graph.value(matmul.inputs[0]).shape;
  if (!shape || shape->size() != 2) return "its input is not known to have two dimensions";
  const ValueId product = matmul.outputs[0];
  if (!has_single_use(graph, product)) return "several nodes, or the caller, read its output";
  match.add = graph.consumers(product).front();
  const Node& add = graph.node(match.add);
  if (!is_add(add) || !is_in_main(graph, match.add)) return "no Add follows";
  match.bias = add.inputs[add.inputs[0] == product ? 1 : 0];
  if (!is_bias(graph, match.bias, weight->sizes[1]))
    return "what is added is not one constant per output";
  return "";
}

void merge(Graph& graph, NodeId matmul, const Match& match) {
  const ValueId output = graph.node(match.add).outputs[0];
  std::vector<ValueId> inputs = graph.node(matmul).inputs;
  inputs.push_back(match.bias);
  graph.remove(match.add);
  graph.set_operator(matmul, "Gemm", graph.node(matmul).domain);
  graph.set_inputs(matmul, std::move(inputs));
  graph.set_outputs(matmul, {output});
}

}  // namespace

void merge_matmul_add(Graph& graph, const MergeMatmulAddOptions& options, PassContext& context) {
  const std::vector<NodeId> nodes = graph.main().nodes;
  for (const NodeId id : nodes) {
    if (!graph.exists(id) || !is_matmul(graph.node(id))) continue;
    const std::string label = graph.label(id);
    Match match{};
    if (const std::string reason = find_add(graph, graph.node(id), match); !reason.empty()) {
      context.report.skip(label, reason);
      continue;
    }
    merge(graph, id, match);
    context.report.change(label);
  }
}

}  // namespace niwaki
