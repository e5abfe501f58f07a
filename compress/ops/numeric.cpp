#include "compress/ops/numeric.h"

#include "compress/error.h"

namespace niwaki {

int64_t normal_axis(const OpCall& call, int64_t axis, int64_t rank) {
  return front_axis(call, axis, std::max<int64_t>(rank, 1));
}

std::vector<int64_t> normal_axes(const OpCall& call, size_t i, int64_t rank) {
  const auto axes = ints_input_or_attribute(call, i, "axes");
  if (!axes) return {};
  return front_axes(call, *axes, std::max<int64_t>(rank, 1));
}

std::vector<int64_t> ints_or(const OpCall& call, const std::string& name, size_t count,
                             int64_t otherwise) {
  std::vector<int64_t> numbers = ints_attribute(call.node, name);
  if (numbers.empty()) return std::vector<int64_t>(count, otherwise);
  if (numbers.size() != count) {
    refuse(call, cat("attribute '", name, "' has ", numbers.size(), " numbers, not ", count));
  }
  return numbers;
}

double number_or(const OpCall& call, const std::string& name, double otherwise) {
  if (!has_attribute(call.node, name)) return otherwise;
  return float_attribute(call.node, name, 0);
}

bool lacks_kernels(at::ScalarType type) {
  return at::isBarebonesUnsignedType(type) || at::isFloat8Type(type);
}

Tensor widened(const Tensor& x) {
  if (at::isBarebonesUnsignedType(x.scalar_type())) return x.to(at::kLong);
  return at::isFloat8Type(x.scalar_type()) ? x.to(at::kFloat) : x;
}

Tensor at_least_float32(const Tensor& x) {
  const bool is_small = x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
  return is_small || at::isFloat8Type(x.scalar_type()) ? x.to(at::kFloat) : x;
}

bool is_recorded(const Tensor& x) { return x.requires_grad(); }

std::optional<at::Scalar> constant_scalar(const Tensor& x, int64_t rank) {
  if (x.numel() != 1 || x.dim() > rank || is_recorded(x) || !x.is_cpu()) return std::nullopt;
  return x.item();
}

}  // namespace niwaki
