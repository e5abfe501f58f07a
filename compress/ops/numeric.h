#pragma once

#include "compress/ops/op_arguments.h"

namespace niwaki {

/// `axis` counted from the front; 0 or -1 of a rank 0 tensor is 0. E1108 out of range.
int64_t normal_axis(const OpCall& call, int64_t axis, int64_t rank);
/// Axes from input `i` where it is given, else from attribute "axes"; counted from the front.
std::vector<int64_t> normal_axes(const OpCall& call, size_t i, int64_t rank);
/// Attribute `name` as `count` integers, or `count` times `otherwise`; another count is refused.
std::vector<int64_t> ints_or(const OpCall& call, const std::string& name, size_t count,
                             int64_t otherwise);
double number_or(const OpCall& call, const std::string& name, double otherwise);

/// True for unsigned integers of 16 to 64 bits and 8-bit floats, for which ATen has few kernels.
bool lacks_kernels(at::ScalarType type);
/// The tensor in a type that has kernels: int64 for unsigned integers, float32 for 8-bit floats.
Tensor widened(const Tensor& x);
/// float32 for float16 and bfloat16, the tensor itself otherwise.
Tensor at_least_float32(const Tensor& x);
/// True where the gradient of `x` is recorded.
bool is_recorded(const Tensor& x);
/// The only element of a CPU tensor that has no gradient, which has at most `rank` dimensions.
std::optional<at::Scalar> constant_scalar(const Tensor& x, int64_t rank);

}  // namespace niwaki
