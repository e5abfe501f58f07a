#include "compress/ops/op_table.h"

#include "compress/error.h"

#include <map>

namespace niwaki {
namespace {

using Key = std::pair<std::string_view, std::string_view>;

std::map<Key, OpFunction> joined() {
  std::map<Key, OpFunction> table;
  for (const auto entries :
       {activation_ops(), attention_ops(), contrib_ops(), control_flow_ops(), convolution_ops(), detection_ops(),
        elementwise_ops(), generator_ops(), indexing_ops(), linear_ops(), normalization_ops(), pooling_ops(),
        quantization_ops(), recurrent_ops(), reduction_ops(), resize_ops(), sequence_ops(), shape_ops()}) {
    for (const OpEntry& entry : entries) table.emplace(Key{entry.domain, entry.op}, entry.function);
  }
  return table;
}

}  // namespace

RunValue::RunValue(Tensor numbers) : tensor(std::move(numbers)) {
  if (tensor.defined()) dtype = dtype_of(tensor.scalar_type());
}

RunValue::RunValue(Tensor numbers, DType type) : tensor(std::move(numbers)), dtype(type) {}

const Tensor& OpCall::tensor(size_t i) const {
  if (!has(i) || !inputs[i].tensor.defined()) {
    throw ModelError("E1107", cat("input ", i, " of ", printable(node.op), " is missing or is no tensor"));
  }
  return inputs[i].tensor;
}

Tensor OpCall::tensor_or(size_t i, const Tensor& otherwise) const { return has(i) ? tensor(i) : otherwise; }

std::vector<int64_t> OpCall::ints(size_t i) const {
  const Tensor flat = tensor(i).detach().to(at::kCPU, at::kLong).reshape({-1}).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

OpFunction find_op(std::string_view domain, std::string_view op) {
  static const std::map<Key, OpFunction> table = joined();
  const auto found = table.find({domain == "ai.onnx" ? "" : domain, op});
  return found == table.end() ? nullptr : found->second;
}

}  // namespace niwaki
