#pragma once

#include "compress/tensor.h"

namespace niwaki {

/// Packed bytes, uint8 [bytes], of 4- or 2-bit elements, the first in the low bits, as ONNX stores them.
/// `codes`: one number per element, within the type's range.
Tensor pack(const Tensor& codes, DType dtype);

/// One number per element, [count]: int8, uint8, or float32 for float4.
Tensor unpack(const Tensor& bytes, DType dtype, int64_t count);

}  // namespace niwaki
