#pragma once

#include "compress/ops/op_table.h"

namespace niwaki {

/// Domain of nodes that stand in graphs while they are trained, and in no file.
inline constexpr const char* kTrainDomain = "niwaki.train";
/// The operator that stands there for a batch norm whose statistics follow the data: (x, scale, shift) -> (x - mean) /
/// sqrt(variance + epsilon) * scale + shift, with mean and variance of x over all axes but the channels'.
inline constexpr const char* kNormalizeBatch = "NormalizeBatch";

/// clamp(round(x / scale) + zero_point, least, most), as QuantizeLinear; `zero_point` may be undefined: 0. All broadcast.
Tensor quantized_codes(const Tensor& x, const Tensor& scale, const Tensor& zero_point, double least, double most);
/// round(bias / scale) as codes of int32, in float64.
Tensor bias_codes(const Tensor& bias, const Tensor& scale);

/// The numbers of those codes. The gradient of x is 1 inside the range and 0 outside (1308.3432), that of scale the one of
/// LSQ (1902.08153), times `share`; a zero_point has none.
Tensor fake_quantized(const Tensor& x, const Tensor& scale, const Tensor& zero_point, double least, double most, double share);

/// (initial, logarithm) -> initial * exp(logarithm): a scale that stays positive; with `half`, one that float16 holds.
RunValues train_scale(const OpCall& call);
/// (x, scale, zero_point) -> the numbers of x's codes. Attributes: least, most; axis and block_size as DequantizeLinear;
/// layout: sizes in which x meets scales that broadcast; activation: scale is shared by what a sample has.
RunValues fake_quantize(const OpCall& call);
/// (bias, input's scale, weight's scale) -> the numbers of the bias as int32 at their product; the scales get no gradient.
RunValues fake_quantize_bias(const OpCall& call);

/// The codes that a call of fake_quantize rounds x to, in x's sizes.
Tensor codes_of(const OpCall& call);
/// The numbers nearest to x which that call rounds to these codes [x].
Tensor rounding_to(const OpCall& call, const Tensor& codes);

}  // namespace niwaki
