#include "compress/tensor.h"

#include <array>
#include <string>

namespace niwaki {
namespace {

struct Row {
  const char* name;
  int bits;
  at::ScalarType element;
};

using at::ScalarType;

// Indexed by the ONNX number.
const std::array<Row, 27> kRows = {{
    {"undefined", 0, ScalarType::Undefined},
    {"float32", 32, ScalarType::Float},
    {"uint8", 8, ScalarType::Byte},
    {"int8", 8, ScalarType::Char},
    {"uint16", 16, ScalarType::UInt16},
    {"int16", 16, ScalarType::Short},
    {"int32", 32, ScalarType::Int},
    {"int64", 64, ScalarType::Long},
    {"string", 0, ScalarType::Undefined},
    {"bool", 8, ScalarType::Bool},
    {"float16", 16, ScalarType::Half},
    {"float64", 64, ScalarType::Double},
    {"uint32", 32, ScalarType::UInt32},
    {"uint64", 64, ScalarType::UInt64},
    {"complex64", 64, ScalarType::ComplexFloat},
    {"complex128", 128, ScalarType::ComplexDouble},
    {"bfloat16", 16, ScalarType::BFloat16},
    {"float8e4m3fn", 8, ScalarType::Float8_e4m3fn},
    {"float8e4m3fnuz", 8, ScalarType::Float8_e4m3fnuz},
    {"float8e5m2", 8, ScalarType::Float8_e5m2},
    {"float8e5m2fnuz", 8, ScalarType::Float8_e5m2fnuz},
    {"uint4", 4, ScalarType::Byte},
    {"int4", 4, ScalarType::Char},
    {"float4e2m1", 4, ScalarType::Float},
    {"float8e8m0", 8, ScalarType::Float8_e8m0fnu},
    {"uint2", 2, ScalarType::Byte},
    {"int2", 2, ScalarType::Char},
}};

const Row& row(DType dtype) { return kRows[is_known(dtype) ? static_cast<size_t>(dtype) : 0]; }

}  // namespace

bool is_known(DType dtype) {
  const auto number = static_cast<int32_t>(dtype);
  return number > 0 && number < static_cast<int32_t>(kRows.size());
}

std::string name_of(DType dtype) {
  if (dtype != DType::undefined && !is_known(dtype)) return "type " + std::to_string(static_cast<int32_t>(dtype));
  return row(dtype).name;
}

int bits_of(DType dtype) { return row(dtype).bits; }

bool is_packed(DType dtype) { return bits_of(dtype) > 0 && bits_of(dtype) < 8; }

bool is_float(DType dtype) {
  switch (dtype) {
    case DType::float32: case DType::float16: case DType::float64: case DType::bfloat16:
    case DType::float8e4m3fn: case DType::float8e4m3fnuz: case DType::float8e5m2: case DType::float8e5m2fnuz:
    case DType::float4e2m1: case DType::float8e8m0: return true;
    default: return false;
  }
}

at::ScalarType scalar_type(DType dtype) { return row(dtype).element; }

DType dtype_of(at::ScalarType type) {
  for (size_t i = 1; i < kRows.size(); ++i) {
    if (kRows[i].element == type && !is_packed(static_cast<DType>(i))) return static_cast<DType>(i);
  }
  return DType::undefined;
}

}  // namespace niwaki
