#pragma once

#include "compress/pass.h"
#include "compress/target.h"

#include <optional>
#include <tuple>

namespace niwaki {

struct QuantizeWeightsOptions {
  int bits = 4;
  std::optional<int> block_size;             // 32 for 4 bits, 128 for 8
  std::optional<bool> symmetric;             // false for 4 bits, true for 8
  std::optional<int> accuracy_level;         // 0 for 4 bits, 4 for 8
  Target target = Target::onnxruntime_cpu;
  void validate() const;
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = QuantizeWeightsOptions;
    return std::tuple{
        field("bits", &O::bits, "stored integer width, 4 or 8").between(4, 8),
        field("block_size", &O::block_size, "weights per scale: 16, 32, 64, 128 or 256; 32 for 4 bits, 128 for 8 unless given"),
        field("symmetric", &O::symmetric, "blocks without a zero point of their own; false for 4 bits, true for 8 unless given"),
        field("accuracy_level", &O::accuracy_level, "0: float activations; 4: int8 activations; 0 for 4 bits, 4 for 8 unless given"),
        field("target", &O::target, "runtime that the model is for")};
  }
};

/// Stores constant weights in 4 or 8 bits, and runs on them: less memory is read per run.
///   before   y = MatMul(x, w)                     y = Gather(table, i)
///   after    y = MatMulNBits(x, w_quantized, w_scale, w_zero_point)
///            y = GatherBlockQuantized(table_quantized, i, table_scale, table_zero_point)
///   generic  y = MatMul(x, DequantizeLinear(w_quantized, w_scale, w_zero_point)), at opset 21
/// Tied weights are quantized once. Leaves convolutions, recurrent weights and small weights in 8 bits to store_weights.
void quantize_weights(Graph& graph, const QuantizeWeightsOptions& options, PassContext& context);

}  // namespace niwaki
