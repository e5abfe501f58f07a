#pragma once

#include "compress/graph.h"

#include <functional>
#include <span>
#include <string_view>

namespace niwaki {

/// What a value holds while a graph runs: a tensor, strings, a sequence, or nothing (absent, empty optional).
struct RunValue {
  RunValue() = default;
  RunValue(Tensor numbers);                  // NOLINT: dtype is the tensor's own
  RunValue(Tensor numbers, DType type);      // packed types: one element per number
  Tensor tensor;
  DType dtype = DType::undefined;
  std::shared_ptr<const Strings> strings;    // with `sizes`
  std::vector<int64_t> sizes;
  std::shared_ptr<const std::vector<RunValue>> sequence;
  bool is_present() const { return tensor.defined() || strings || sequence; }
};
using RunValues = std::vector<RunValue>;

/// One call of an operator: its node, and its inputs as far as they are given.
struct OpCall {
  const Node& node;
  int64_t opset;                             // of the node's domain
  std::span<const RunValue> inputs;
  /// Runs a body of the node with these inputs; outer values are seen.
  std::function<RunValues(const Body&, std::span<const RunValue>)> run_body;

  bool has(size_t i) const { return i < inputs.size() && inputs[i].is_present(); }
  const Tensor& tensor(size_t i) const;      // E1107 where input i is absent or no tensor
  Tensor tensor_or(size_t i, const Tensor& otherwise) const;
  std::vector<int64_t> ints(size_t i) const; // input i as integers
  int64_t attribute(const std::string& name, int64_t otherwise) const { return int_attribute(node, name, otherwise); }
};

using OpFunction = RunValues (*)(const OpCall& call);
struct OpEntry {
  std::string_view domain, op;               // "" is ai.onnx
  OpFunction function;
};

// One list per family file; each is sorted by (domain, op).
std::span<const OpEntry> activation_ops();
std::span<const OpEntry> attention_ops();
std::span<const OpEntry> contrib_ops();
std::span<const OpEntry> control_flow_ops();
std::span<const OpEntry> convolution_ops();
std::span<const OpEntry> detection_ops();
std::span<const OpEntry> elementwise_ops();
std::span<const OpEntry> generator_ops();
std::span<const OpEntry> indexing_ops();
std::span<const OpEntry> linear_ops();
std::span<const OpEntry> normalization_ops();
std::span<const OpEntry> pooling_ops();
std::span<const OpEntry> quantization_ops();
std::span<const OpEntry> recurrent_ops();
std::span<const OpEntry> reduction_ops();
std::span<const OpEntry> resize_ops();
std::span<const OpEntry> sequence_ops();
std::span<const OpEntry> shape_ops();

/// The function of an operator, or null.
OpFunction find_op(std::string_view domain, std::string_view op);

}  // namespace niwaki
