#include "compress/error.h"
#include "compress/ops/numeric.h"

namespace niwaki {
namespace {

RunValues one(Tensor y) { return {RunValue(std::move(y))}; }

at::Scalar limit(const OpCall& call, const char* name, double otherwise) {
  return number_or(call, name, otherwise);
}

RunValues celu(const OpCall& call) {
  return one(at::celu(call.tensor(0), number_or(call, "alpha", 1.0)));
}

// Before opset 11 the limits were attributes.
RunValues clip(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  if (call.opset < 11) {
    constexpr double kMost = std::numeric_limits<float>::max();
    return one(at::clamp(x, limit(call, "min", -kMost), limit(call, "max", kMost)));
  }
  Tensor y = widened(x);
  for (const size_t i : {size_t{1}, size_t{2}}) {
    if (!call.has(i)) continue;
    const auto bound = constant_scalar(call.tensor(i), x.dim());
    if (i == 1) y = bound ? at::clamp_min(y, *bound) : at::maximum(y, widened(call.tensor(i)));
    if (i == 2) y = bound ? at::clamp_max(y, *bound) : at::minimum(y, widened(call.tensor(i)));
  }
  return one(y.to(x.scalar_type()));
}

RunValues elu(const OpCall& call) {
  return one(at::elu(call.tensor(0), number_or(call, "alpha", 1.0)));
}

RunValues gelu(const OpCall& call) {
  const std::string approximate = string_attribute(call.node, "approximate", "none");
  if (approximate != "none" && approximate != "tanh") {
    refuse(call, cat("unknown approximate '", printable(approximate), "'"));
  }
  return one(at::gelu(call.tensor(0), approximate));
}

// Before opset 13 all axes from `axis` on were one, which is why the tensor becomes a matrix.
RunValues over_axis(const OpCall& call, Tensor (*f)(const Tensor&, int64_t)) {
  const Tensor& x = call.tensor(0);
  const int64_t axis = normal_axis(call, call.attribute("axis", call.opset < 13 ? 1 : -1), x.dim());
  if (call.opset >= 13 || x.dim() == 0 || axis == x.dim() - 1) return one(f(x, axis));
  const auto sizes = x.sizes();
  int64_t rows = 1, columns = 1;
  for (int64_t i = 0; i < x.dim(); ++i) (i < axis ? rows : columns) *= sizes[i];
  return one(f(x.reshape({rows, columns}), 1).reshape(sizes));
}

Tensor one_hot_of_largest(const Tensor& x, int64_t axis) {
  if (x.numel() == 0) return x;
  return at::zeros_like(x).scatter(axis, at::argmax(x, axis, /*keepdim=*/true), 1);
}

RunValues hardmax(const OpCall& call) { return over_axis(call, one_hot_of_largest); }

RunValues log_softmax(const OpCall& call) {
  return over_axis(call, [](const Tensor& x, int64_t axis) { return at::log_softmax(x, axis); });
}

RunValues softmax(const OpCall& call) {
  return over_axis(call, [](const Tensor& x, int64_t axis) { return at::softmax(x, axis); });
}

RunValues hard_sigmoid(const OpCall& call) {
  const double alpha = number_or(call, "alpha", 0.2), beta = number_or(call, "beta", 0.5);
  return one(at::clamp(call.tensor(0) * alpha + beta, 0, 1));
}

RunValues hard_swish(const OpCall& call) { return one(at::hardswish(call.tensor(0))); }

RunValues leaky_relu(const OpCall& call) {
  return one(at::leaky_relu(call.tensor(0), number_or(call, "alpha", 0.01)));
}

RunValues mish(const OpCall& call) { return one(at::mish(call.tensor(0))); }

RunValues p_relu(const OpCall& call) {
  const Tensor x = widened(call.tensor(0));
  Tensor slope = widened(call.tensor(1));
  if (call.opset < 7 && slope.numel() > 1 && x.dim() > 1) {      // one slope per channel; broadcasting came later
    std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
    sizes[1] = slope.numel();
    slope = slope.reshape(sizes);
  }
  return one(at::where(x >= 0, x, x * slope).to(call.tensor(0).scalar_type()));
}

RunValues relu(const OpCall& call) { return one(at::relu(call.tensor(0))); }

RunValues selu(const OpCall& call) {
  const double alpha = number_or(call, "alpha", 1.67326319217681884765625);
  return one(at::elu(call.tensor(0), alpha, number_or(call, "gamma", 1.05070102214813232421875)));
}

RunValues shrink(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const double bias = number_or(call, "bias", 0), lambd = number_or(call, "lambd", 0.5);
  const Tensor wide = x.is_floating_point() ? x : x.to(at::kDouble);
  const Tensor zero = at::zeros_like(wide);
  const Tensor upper = at::where(wide > lambd, wide - bias, zero);
  return one(at::where(wide < -lambd, wide + bias, upper).to(x.scalar_type()));
}

RunValues sigmoid(const OpCall& call) { return one(at::sigmoid(call.tensor(0))); }

// Beyond 40 the logarithm is the identity to double precision.
RunValues softplus(const OpCall& call) { return one(at::softplus(call.tensor(0), 1, 40)); }

RunValues softsign(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  return one(x / (1 + at::abs(x)));
}

RunValues swish(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const double alpha = number_or(call, "alpha", 1.0);
  return one(alpha == 1 ? at::silu(x) : x * at::sigmoid(x * alpha));
}

RunValues tanh(const OpCall& call) { return one(at::tanh(call.tensor(0))); }

RunValues thresholded_relu(const OpCall& call) {
  return one(at::threshold(call.tensor(0), number_or(call, "alpha", 1.0), 0));
}

constexpr OpEntry kEntries[] = {
    {"", "Celu", celu},
    {"", "Clip", clip},
    {"", "Elu", elu},
    {"", "Gelu", gelu},
    {"", "HardSigmoid", hard_sigmoid},
    {"", "HardSwish", hard_swish},
    {"", "Hardmax", hardmax},
    {"", "LeakyRelu", leaky_relu},
    {"", "LogSoftmax", log_softmax},
    {"", "Mish", mish},
    {"", "PRelu", p_relu},
    {"", "Relu", relu},
    {"", "Selu", selu},
    {"", "Shrink", shrink},
    {"", "Sigmoid", sigmoid},
    {"", "Softmax", softmax},
    {"", "Softplus", softplus},
    {"", "Softsign", softsign},
    {"", "Swish", swish},
    {"", "Tanh", tanh},
    {"", "ThresholdedRelu", thresholded_relu},
};

}  // namespace

std::span<const OpEntry> activation_ops() { return kEntries; }

}  // namespace niwaki
