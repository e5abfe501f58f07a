#include "compress/packing.h"

#include "compress/error.h"

#include <array>
#include <cmath>

namespace niwaki {
namespace {

constexpr std::array<float, 8> kFloat4 = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};

uint8_t float4_code(float value) {
  const float magnitude = std::fabs(value);
  for (uint8_t code = 0; code < kFloat4.size(); ++code) {
    if (kFloat4[code] == magnitude) return code | (std::signbit(value) ? 8 : 0);
  }
  throw InternalError(cat("no float4e2m1 code for ", value));
}

bool is_signed(DType dtype) { return dtype == DType::int4 || dtype == DType::int2; }

}  // namespace

Tensor pack(const Tensor& codes, DType dtype) {
  const int bits = bits_of(dtype), per_byte = 8 / bits, mask = (1 << bits) - 1;
  const bool is_float4 = dtype == DType::float4e2m1;
  const Tensor flat = codes.reshape({-1}).to(is_float4 ? at::kFloat : at::kShort).contiguous();
  Tensor bytes = at::zeros({(flat.numel() + per_byte - 1) / per_byte}, at::kByte);
  auto* out = bytes.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const int code = is_float4 ? float4_code(flat.const_data_ptr<float>()[i]) : flat.const_data_ptr<int16_t>()[i];
    out[i / per_byte] |= static_cast<uint8_t>((code & mask) << (i % per_byte * bits));
  }
  return bytes;
}

Tensor unpack(const Tensor& bytes, DType dtype, int64_t count) {
  const int bits = bits_of(dtype), per_byte = 8 / bits, mask = (1 << bits) - 1;
  const auto* in = bytes.const_data_ptr<uint8_t>();
  Tensor codes = at::empty({count}, scalar_type(dtype));
  for (int64_t i = 0; i < count; ++i) {
    const int code = in[i / per_byte] >> (i % per_byte * bits) & mask;
    if (dtype == DType::float4e2m1) {
      codes.mutable_data_ptr<float>()[i] = (code & 8 ? -1.0f : 1.0f) * kFloat4[code & 7];
    } else if (is_signed(dtype)) {
      codes.mutable_data_ptr<int8_t>()[i] = static_cast<int8_t>(code >= 1 << (bits - 1) ? code - (1 << bits) : code);
    } else {
      codes.mutable_data_ptr<uint8_t>()[i] = static_cast<uint8_t>(code);
    }
  }
  return codes;
}

}  // namespace niwaki
