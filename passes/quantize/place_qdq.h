#pragma once

#include "compress/graph.h"
#include "passes/quantize/range_estimator.h"

namespace niwaki {

/// A value in codes and, behind DequantizeLinear, in numbers again.
struct QuantizedValue {
  ValueId codes, numbers;
  ValueId scale, zero_point;                 // rank-0 initializers, shared by both nodes
};

/// Puts a pair behind a computed value; readers are rewired by the caller.
///   before   v
///   after    v -> QuantizeLinear -> codes -> DequantizeLinear -> numbers
/// `scale` and `zero_point` of an earlier pair are used again when given.
QuantizedValue place_qdq(Graph& graph, ValueId value, const ActivationGrid& grid, const QuantizedValue* shared = nullptr);

/// A weight or bias as integers behind DequantizeLinear, scales along `axis`; names stay short.
///   before   w (float)
///   after    w.q (int), w.s -> DequantizeLinear -> numbers
/// `with_zero_point` writes zeros, shared by all of one size: ONNX Runtime fuses no Gemm or MatMul without.
ValueId dequantize_constant(Graph& graph, NodeId before, const std::string& name, const Tensor& codes, DType dtype, const Tensor& scale, int64_t axis,
                            bool with_zero_point = false);

}  // namespace niwaki
