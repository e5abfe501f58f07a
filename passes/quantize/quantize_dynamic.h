#pragma once

#include "compress/pass.h"
#include "compress/target.h"

#include <tuple>

namespace niwaki {

struct QuantizeDynamicOptions {
  Target target = Target::onnxruntime_cpu;
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = QuantizeDynamicOptions;
    return std::tuple{field("target", &O::target, "runtime that the model is for")};
  }
};

/// Multiplies in integers: weights are int8 per_channel, activations uint8 with a scale found anew in each run.
///   before   y = Gemm(x, w, bias)
///   after    x_q, x_scale, x_zero = DynamicQuantizeLinear(x)
///            y = Add(Mul(Cast(MatMulInteger(x_q, w_quantized, x_zero)), Mul(x_scale, w_scale)), bias)
/// ONNX Runtime fuses this to DynamicQuantizeMatMul. Readers of one x share its codes. Convolutions and recurrent nodes
/// are left to store_weights. Raises the opset to 11 where it is older.
void quantize_dynamic(Graph& graph, const QuantizeDynamicOptions& options, PassContext& context);

}  // namespace niwaki
