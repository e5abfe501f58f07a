#include "compress/ops/cast.h"

#include "compress/error.h"
#include "compress/ops/numeric.h"

#include <charconv>

namespace niwaki {
namespace {

double largest_of(DType type) {
  switch (type) {
    case DType::float8e4m3fn: return 448;
    case DType::float8e4m3fnuz: return 240;
    default: return 57344;
  }
}

Tensor to_float8(const Tensor& x, DType to, const CastRules& rules) {
  const Tensor wide = x.to(at::kFloat);
  const double largest = largest_of(to);
  if (rules.saturate) return at::clamp(wide, -largest, largest).to(scalar_type(to));
  if (to != DType::float8e4m3fn) return wide.to(scalar_type(to));
  // ATen saturates this type; beyond the middle of 448 and 480 it has only NaN
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  return wide.masked_fill(at::abs(wide) > 464, kNan).to(scalar_type(to));
}

// float8e8m0 holds 2^(code - 127); code 255 is NaN. Signs are dropped.
uint8_t e8m0_code(float x, const CastRules& rules) {
  uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  uint32_t exponent = (bits >> 23) & 0xff;
  const uint32_t mantissa = bits & 0x7fffff;
  if (exponent == 255) return mantissa == 0 && rules.saturate ? 254 : 255;
  const bool is_zero_code = exponent == 0;   // 2^-127 is half the smallest normal number
  bool is_up = mantissa > 0;
  if (rules.round_mode == "down") is_up = false;
  if (rules.round_mode == "nearest") is_up = mantissa >= 0x400000;
  if (is_zero_code) is_up = rules.round_mode == "down" ? false : mantissa > 0x400000;
  if (is_up) ++exponent;
  if (exponent == 255) return rules.saturate ? 254 : 255;
  return static_cast<uint8_t>(exponent);
}

Tensor to_e8m0(const Tensor& x, const CastRules& rules) {
  const Tensor wide = x.detach().to(at::kCPU, at::kFloat).contiguous();
  Tensor codes = at::empty(wide.sizes(), at::kByte);
  const float* source = wide.const_data_ptr<float>();
  uint8_t* target = codes.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < wide.numel(); ++i) target[i] = e8m0_code(source[i], rules);
  return codes.view(at::kFloat8_e8m0fnu).to(x.device());
}

// 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives; ties go to the even code, NaN to -0.
Tensor to_float4(const Tensor& x) {
  const Tensor wide = x.to(at::kFloat);
  const Tensor size = at::clamp_max(at::abs(wide), 6);
  const Tensor large = at::where(size < 4, at::ones_like(size), at::full_like(size, 2));
  const Tensor step = at::where(size < 2, at::full_like(size, 0.5), large);
  const Tensor rounded = at::copysign(at::round(size / step) * step, wide);
  return rounded.masked_fill(at::isnan(wide), -0.0);
}

// The low bits count, as in every conversion between integers.
Tensor to_few_bits(const Tensor& x, DType to) {
  const int64_t range = int64_t{1} << bits_of(to);
  const bool is_signed = to == DType::int4 || to == DType::int2;
  Tensor codes = at::bitwise_and(x.to(at::kLong), range - 1);
  if (is_signed) codes = at::where(codes >= range / 2, codes - range, codes);
  return codes.to(scalar_type(to));
}

Tensor to_numbers(const Tensor& x, DType to, const CastRules& rules) {
  switch (to) {
    case DType::float8e4m3fn: case DType::float8e4m3fnuz:
    case DType::float8e5m2: case DType::float8e5m2fnuz: return to_float8(x, to, rules);
    case DType::float8e8m0: return to_e8m0(x, rules);
    case DType::float4e2m1: return to_float4(x);
    case DType::int4: case DType::uint4: case DType::int2: case DType::uint2:
      return to_few_bits(x, to);
    default: break;
  }
  // a negative float has no defined conversion to unsigned but by way of a signed integer
  const bool is_unsigned = to == DType::uint8 || to == DType::uint16 || to == DType::uint32;
  if (is_unsigned && x.is_floating_point()) return x.to(at::kLong).to(scalar_type(to));
  return x.to(scalar_type(to));
}

template <typename Number>
Number parsed(const std::string& text) {
  std::string word;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\n') word.push_back(c);
  }
  if (word.starts_with('+')) word.erase(0, 1);
  Number number{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) {
    throw ModelError("E1108", cat("Cast: '", printable(text), "' is no number"));
  }
  return number;
}

Tensor numbers_of(const RunValue& value, DType to, const CastRules& rules) {
  const bool is_whole = !is_float(to) && to != DType::boolean;
  Tensor numbers = at::empty(value.sizes, is_whole ? at::kLong : at::kDouble);
  for (size_t i = 0; i < value.strings->size(); ++i) {
    const std::string& text = (*value.strings)[i];
    if (is_whole) numbers.mutable_data_ptr<int64_t>()[i] = parsed<int64_t>(text);
    else numbers.mutable_data_ptr<double>()[i] = parsed<double>(text);
  }
  return to_numbers(numbers, to, rules);
}

template <typename Number>
std::string printed(Number number) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {text.data(), end};
}

RunValue to_strings(const RunValue& value) {
  const Tensor x = widened(value.tensor.detach()).to(at::kCPU).contiguous();
  const Tensor numbers = at_least_float32(x);
  auto strings = std::make_shared<Strings>();
  const auto count = numbers.numel();
  for (int64_t i = 0; i < count; ++i) {
    switch (numbers.scalar_type()) {
      case at::kFloat: strings->push_back(printed(numbers.const_data_ptr<float>()[i])); break;
      case at::kDouble: strings->push_back(printed(numbers.const_data_ptr<double>()[i])); break;
      default: strings->push_back(printed(numbers.flatten()[i].item<int64_t>()));
    }
  }
  RunValue result;
  result.dtype = DType::string;
  result.sizes = numbers.sizes().vec();
  result.strings = std::move(strings);
  return result;
}

CastRules rules_of(const OpCall& call) {
  CastRules rules{call.attribute("saturate", 1) != 0,
                  string_attribute(call.node, "round_mode", "up")};
  if (rules.round_mode != "up" && rules.round_mode != "down" && rules.round_mode != "nearest") {
    refuse(call, cat("unknown round_mode '", printable(rules.round_mode), "'"));
  }
  return rules;
}

DType dtype_attribute(const OpCall& call) {
  const auto to = static_cast<DType>(call.attribute("to", 0));
  if (!is_known(to)) refuse(call, cat("attribute 'to' is ", name_of(to)));
  return to;
}

const RunValue& given(const OpCall& call, size_t i) {
  if (!call.has(i) || call.inputs[i].sequence) call.tensor(i);           // refuses
  return call.inputs[i];
}

}  // namespace

RunValue cast_value(const RunValue& value, DType to, const CastRules& rules) {
  if (to == value.dtype) return value;
  if (to == DType::string) return to_strings(value);
  if (value.strings) return {numbers_of(value, to, rules), to};
  return {to_numbers(value.tensor, to, rules), to};
}

RunValues bit_cast(const OpCall& call) {
  const DType to = dtype_attribute(call);
  const RunValue& from = given(call, 0);
  if (bits_of(from.dtype) != bits_of(to) || bits_of(to) == 0) {
    refuse(call, cat(name_of(from.dtype), " and ", name_of(to), " differ in width"));
  }
  if (is_packed(to)) {
    if (is_float(to) || is_float(from.dtype)) refuse_unsupported(call, name_of(to));
    return {RunValue(to_few_bits(from.tensor, to), to)};
  }
  return {RunValue(from.tensor.detach().contiguous().view(scalar_type(to)), to)};
}

RunValues cast(const OpCall& call) {
  return {cast_value(given(call, 0), dtype_attribute(call), rules_of(call))};
}

RunValues cast_like(const OpCall& call) {
  return {cast_value(given(call, 0), given(call, 1).dtype, rules_of(call))};
}

}  // namespace niwaki
