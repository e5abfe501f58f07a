#include "compress/ops/quantization.h"

#include "compress/ops/fake_quantize.h"
#include "compress/ops/op_arguments.h"

#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>

namespace niwaki {
namespace {

struct IntegerRange {
  double low, high;
};

std::optional<IntegerRange> integer_range(DType type) {
  switch (type) {
    case DType::uint2:
    case DType::uint4:
    case DType::uint8:
    case DType::uint16: return IntegerRange{0, std::exp2(bits_of(type)) - 1};
    case DType::int2:
    case DType::int4:
    case DType::int8:
    case DType::int16:
    case DType::int32: return IntegerRange{-std::exp2(bits_of(type) - 1), std::exp2(bits_of(type) - 1) - 1};
    default: return std::nullopt;
  }
}

bool is_float8(DType type) {
  return type == DType::float8e4m3fn || type == DType::float8e4m3fnuz || type == DType::float8e5m2 || type == DType::float8e5m2fnuz;
}

/// Numbers of a type that ATen only stores, in one that it computes with.
Tensor computable(const Tensor& x) {
  switch (x.scalar_type()) {
    case at::kUInt16: return x.to(at::kInt);
    case at::kUInt32:
    case at::kUInt64: return x.to(at::kLong);
    default: return at::isFloat8Type(x.scalar_type()) || x.scalar_type() == at::kFloat8_e8m0fnu ? x.to(at::kFloat) : x;
  }
}

/// The nearest numbers of an 8-bit float type; without `saturate` what is too large becomes infinite or not a number.
Tensor to_float8(const Tensor& x, DType type, bool saturate) {
  const double largest = type == DType::float8e4m3fn ? 448 : (type == DType::float8e4m3fnuz ? 240 : 57344);
  return (saturate ? x.to(at::kFloat).clamp(-largest, largest) : x.to(at::kFloat)).to(scalar_type(type));
}

/// The nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, ties to the even mantissa.
Tensor to_float4(const Tensor& x) {
  const Tensor wide = x.to(at::kFloat), size = wide.abs().clamp_max(6);
  const Tensor step = at::where(size < 2, 0.5, at::where(size < 4, 1.0, 2.0)).to(at::kFloat);
  return at::copysign(at::round(size / step) * step, wide);
}

DType quantized_type(const OpCall& call) {
  const auto wanted = static_cast<DType>(call.attribute("output_dtype", 0));
  if (!call.has(2)) return wanted == DType::undefined ? DType::uint8 : wanted;
  if (wanted != DType::undefined && wanted != call.inputs[2].dtype) {
    refuse(call, cat("output_dtype ", name_of(wanted), ", zero point ", name_of(call.inputs[2].dtype)));
  }
  return call.inputs[2].dtype;
}

/// x / scale in the precision that the operator asks for.
Tensor scaled(const OpCall& call, const Tensor& x, const Tensor& scale) {
  const auto precision = static_cast<DType>(call.attribute("precision", 0));
  if (precision != DType::undefined) return x.to(scalar_type(precision)) / scale.to(scalar_type(precision));
  if (!x.is_floating_point()) return x.to(at::kFloat) / scale.to(at::kFloat);
  return x / scale.to(x.scalar_type());
}

bool records_gradient(const Tensor& x) { return c10::GradMode::is_enabled() && x.requires_grad(); }

RunValue to_integers(const Tensor& x, const Tensor& zero_point, DType type, IntegerRange range) {
  const auto shifted = [&](const Tensor& numbers) { return zero_point.defined() ? numbers + zero_point : numbers; };
  if (!records_gradient(x)) {
    // float16 cannot hold the sum of a rounded number and a 16-bit zero point
    const Tensor rounded = at::round(x).to(type == DType::int32 ? at::kDouble : at::kFloat);
    return {shifted(rounded).clamp(range.low, range.high).to(at::kInt).to(scalar_type(type)), type};
  }
  const Tensor smooth = shifted(x.to(at::kFloat)).clamp(range.low, range.high);
  const Tensor exact = shifted(at::round(x.detach().to(at::kFloat))).clamp(range.low, range.high);
  return {smooth + (exact - smooth).detach(), type};
}

}  // namespace

Tensor spread_parameters(const OpCall& call, const Tensor& parameters, at::IntArrayRef sizes, int64_t axis, int64_t block_size) {
  const auto rank = static_cast<int64_t>(sizes.size());
  const auto mismatch = [&] {
    refuse(call, cat("scales or zero points of sizes ", shape_text(parameters.sizes()), " for a tensor of sizes ", shape_text(sizes)));
  };
  if (parameters.numel() == 1) return parameters.reshape({});
  const int64_t front = front_axis(call, axis, rank);
  const int64_t size = sizes[static_cast<size_t>(front)];
  if (block_size == 0 && parameters.dim() == 1) {
    if (parameters.numel() != size) mismatch();
    std::vector<int64_t> shape(sizes.size(), 1);
    shape[static_cast<size_t>(front)] = size;
    return parameters.reshape(shape);
  }
  if (parameters.dim() != rank) mismatch();
  for (int64_t i = 0; i < rank; ++i) {
    if (i != front && parameters.size(i) != sizes[static_cast<size_t>(i)] && parameters.size(i) != 1) mismatch();
  }
  if (block_size <= 0 || parameters.size(front) != (size + block_size - 1) / block_size) mismatch();
  std::vector<int64_t> repeated = parameters.sizes().vec(), flat = repeated;
  repeated.insert(repeated.begin() + front + 1, block_size);
  flat[static_cast<size_t>(front)] *= block_size;
  check_sizes(call, flat);
  return parameters.unsqueeze(front + 1).expand(repeated).reshape(flat).narrow(front, 0, size);
}

Tensor centered(const OpCall& call, size_t i, size_t zero_point, int64_t axis) {
  const Tensor x = call.tensor(i).to(at::kDouble);
  if (!call.has(zero_point)) return x;
  const Tensor zero = call.tensor(zero_point).to(at::kDouble);
  if (zero.numel() == 1) return x - zero.reshape({});
  return x - (zero.dim() == 1 ? spread_parameters(call, zero, x.sizes(), axis, 0) : zero);
}

RunValue requantized(const OpCall& call, const Tensor& x, size_t scale, size_t zero_point, DType otherwise) {
  const DType type = call.has(zero_point) ? call.inputs[zero_point].dtype : otherwise;
  const auto range = integer_range(type);
  if (!range) refuse_unsupported(call, cat("results of type ", name_of(type)));
  Tensor y = at::round((x / call.tensor(scale).reshape({})).to(at::kFloat));
  if (call.has(zero_point)) y = y + computable(call.tensor(zero_point)).reshape({});
  return {y.clamp(range->low, range->high).to(at::kInt).to(scalar_type(type)), type};
}

Tensor integer_product(const Tensor& a, const Tensor& b) {
  // products of 9-bit numbers stay exact in float32 up to 2^24 / 2^16 of them
  const int64_t depth = a.dim() > 0 ? a.size(-1) : 1;
  if (depth <= 256) return at::matmul(a.to(at::kFloat), b.to(at::kFloat)).to(at::kDouble);
  return at::matmul(a, b);
}

RunValues quantize_linear(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const int64_t axis = call.attribute("axis", 1), block_size = call.attribute("block_size", 0);
  const DType type = quantized_type(call);
  const Tensor scale = spread_parameters(call, computable(call.tensor(1)), x.sizes(), axis, block_size);
  const Tensor ratio = scaled(call, x, scale);
  if (is_float8(type)) return {{to_float8(ratio, type, call.attribute("saturate", 1) != 0), type}};
  const Tensor zero = call.has(2) ? spread_parameters(call, computable(call.tensor(2)), x.sizes(), axis, block_size) : Tensor();
  if (type == DType::float4e2m1) return {{to_float4(ratio), type}};
  const auto range = integer_range(type);
  if (!range) refuse(call, cat("results of type ", name_of(type)));
  return {to_integers(ratio, zero, type, *range)};
}

RunValues dequantize_linear(const OpCall& call) {
  const RunValue& q = present(call, 0);
  const Tensor x = computable(call.tensor(0));
  const int64_t axis = call.attribute("axis", 1), block_size = call.attribute("block_size", 0);
  const DType wanted = static_cast<DType>(call.attribute("output_dtype", 0));
  const at::ScalarType type = scalar_type(wanted == DType::undefined ? call.inputs[1].dtype : wanted);
  const Tensor scale = spread_parameters(call, computable(call.tensor(1)), x.sizes(), axis, block_size);
  Tensor y = x.to(at::kFloat);
  if (call.has(2) && !is_float(q.dtype)) {
    const Tensor zero = spread_parameters(call, computable(call.tensor(2)), x.sizes(), axis, block_size);
    // int32 less its zero point may need more bits than float32 has
    y = q.dtype == DType::int32 ? (x.to(at::kDouble) - zero).to(at::kFloat) : y - zero.to(at::kFloat);
  }
  return {(y * scale.to(at::kFloat)).to(type)};
}

RunValues dynamic_quantize_linear(const OpCall& call) {
  const Tensor x = call.tensor(0);
  const Tensor high = x.numel() > 0 ? x.amax().clamp_min(0) : at::zeros({}, x.options());
  const Tensor low = x.numel() > 0 ? x.amin().clamp_max(0) : at::zeros({}, x.options());
  const Tensor scale = at::where(high == low, at::ones_like(high), high - low) / 255;
  const Tensor zero = at::round((-low / scale).clamp(0, 255));
  return {(at::round(x / scale) + zero).clamp(0, 255).to(at::kByte), scale, zero.to(at::kByte)};
}

namespace {

RunValues q_linear_conv(const OpCall& call) {
  const Tensor& w = call.tensor(3);
  const Tensor x = centered(call, 0, 2, 1), filters = centered(call, 3, 5, 0);
  RunValues inputs{x, filters};
  if (call.has(8)) inputs.emplace_back(call.tensor(8).to(at::kDouble));      // int32 of scale x_scale * w_scale
  const Tensor sums = find_op("", "Conv")({call.node, call.opset, inputs, {}}).at(0).tensor;
  std::vector<int64_t> shape(static_cast<size_t>(w.dim()), 1);
  shape[1] = call.tensor(4).numel();
  const Tensor factor = call.tensor(1).reshape({}) * call.tensor(4).reshape(shape);
  return {requantized(call, sums.to(at::kFloat) * factor, 6, 7, call.inputs[0].dtype)};
}

/// Per-row scales or zero points [m] of a left factor as [m, 1]; others as they are.
Tensor as_column(const Tensor& parameters) { return parameters.dim() == 1 && parameters.numel() > 1 ? parameters.unsqueeze(1) : parameters; }

RunValues q_linear_mat_mul(const OpCall& call) {
  Tensor a = call.tensor(0).to(at::kDouble);
  if (call.has(2)) a = a - as_column(call.tensor(2).to(at::kDouble));
  const Tensor b = centered(call, 3, 5, -1);
  const Tensor sums = integer_product(a, b).to(at::kFloat);
  const Tensor a_scale = call.tensor(1).numel() == 1 ? call.tensor(1).reshape({}) : as_column(call.tensor(1));
  const Tensor b_scale = call.tensor(4).numel() == 1 ? call.tensor(4).reshape({}) : call.tensor(4);
  const Tensor y_scale = call.tensor(6).numel() == 1 ? call.tensor(6).reshape({}) : as_column(call.tensor(6));
  const DType type = call.has(7) ? call.inputs[7].dtype : call.inputs[0].dtype;
  const auto range = integer_range(type);
  if (!range) refuse_unsupported(call, cat("results of type ", name_of(type)));
  Tensor y = at::round(sums * (a_scale.to(at::kFloat) * b_scale.to(at::kFloat) / y_scale.to(at::kFloat)));
  if (call.has(7)) y = y + as_column(call.tensor(7));
  return {{y.clamp(range->low, range->high).to(at::kInt).to(scalar_type(type)), type}};
}

}  // namespace

std::span<const OpEntry> quantization_ops() {
  static const OpEntry entries[] = {{"", "DequantizeLinear", dequantize_linear},
                                    {"", "DynamicQuantizeLinear", dynamic_quantize_linear},
                                    {"", "QLinearConv", q_linear_conv},
                                    {"", "QLinearMatMul", q_linear_mat_mul},
                                    {"", "QuantizeLinear", quantize_linear},
                                    {kTrainDomain, "FakeQuantize", fake_quantize},
                                    {kTrainDomain, "FakeQuantizeBias", fake_quantize_bias},
                                    {kTrainDomain, "TrainScale", train_scale}};
  return entries;
}

}  // namespace niwaki
