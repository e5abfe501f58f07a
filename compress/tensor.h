#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace niwaki {

using Tensor = at::Tensor;

/// Element types, with ONNX's TensorProto.DataType numbers.
enum class DType : int32_t {
  undefined = 0, float32 = 1, uint8 = 2, int8 = 3, uint16 = 4, int16 = 5, int32 = 6, int64 = 7, string = 8,
  boolean = 9, float16 = 10, float64 = 11, uint32 = 12, uint64 = 13, complex64 = 14, complex128 = 15,
  bfloat16 = 16, float8e4m3fn = 17, float8e4m3fnuz = 18, float8e5m2 = 19, float8e5m2fnuz = 20, uint4 = 21,
  int4 = 22, float4e2m1 = 23, float8e8m0 = 24, uint2 = 25, int2 = 26
};

/// "float32", "int4", ...; "type 99" for numbers that are none.
std::string name_of(DType dtype);
/// Bits of one stored element; 0 for strings and unknown types.
int bits_of(DType dtype);
bool is_known(DType dtype);
bool is_float(DType dtype);          // any floating point type, complex excluded
bool is_packed(DType dtype);         // several elements in a byte
/// ATen's type of one element: packed integers are widened to int8 or uint8, float4 to float32.
at::ScalarType scalar_type(DType dtype);
/// The ONNX type of an ATen type; undefined where there is none.
DType dtype_of(at::ScalarType type);

}  // namespace niwaki
