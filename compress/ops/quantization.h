#pragma once

#include "compress/ops/op_table.h"

namespace niwaki {

/// Scales or zero points as they broadcast against a tensor of these sizes: one for all, one per index of `axis`,
/// or one per block of `block_size` along `axis`.
Tensor spread_parameters(const OpCall& call, const Tensor& parameters, at::IntArrayRef sizes, int64_t axis, int64_t block_size);
/// Input i, integers of any type, less input `zero_point` (which may be absent): exact in float64.
Tensor centered(const OpCall& call, size_t i, size_t zero_point, int64_t axis);
/// round(x / scale) + zero point, within the integer type: per tensor, scale and zero point being inputs of the call.
RunValue requantized(const OpCall& call, const Tensor& x, size_t scale, size_t zero_point, DType otherwise);
/// The product of two centered tensors, exact as long as sums stay below 2^53.
Tensor integer_product(const Tensor& a, const Tensor& b);

/// Integers from numbers; where a gradient is recorded, the numbers of the integers as floats, with the gradient of
/// rounding taken as 1 inside the range of the type (straight-through).
RunValues quantize_linear(const OpCall& call);
RunValues dequantize_linear(const OpCall& call);
/// Integers of the type, scale and zero point of DynamicQuantizeLinear.
RunValues dynamic_quantize_linear(const OpCall& call);

}  // namespace niwaki
