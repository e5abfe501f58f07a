#include "compress/ops/fake_quantize.h"

#include "compress/ops/op_arguments.h"
#include "compress/ops/quantization.h"

#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

namespace niwaki {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr float kRound = 12582912.0f;        // 1.5 * 2^23: adding it rounds half to even, and vectorizes
constexpr double kHalfCode = 0.4999;         // a little inside, so that the division rounds back
constexpr double kLargestBias = 2147483647.0, kLeastHalf = 6.2e-5, kMostHalf = 65000;

bool records(const Tensor& x) {
  const bool is_off = c10::impl::tls_local_dispatch_key_set().excluded_.has(c10::DispatchKey::AutogradCPU);
  return !is_off && c10::GradMode::is_enabled() && x.requires_grad();
}

Tensor shifted(const Tensor& x, const Tensor& zero_point) { return zero_point.defined() ? x + zero_point : x; }

/// One scale for all, and memory that can be walked in any order.
bool is_plain(const Tensor& x, const Tensor& scale) {
  return scale.numel() == 1 && x.scalar_type() == at::kFloat && x.is_non_overlapping_and_dense();
}

/// The numbers of the codes in one walk; the same bits as (codes - zero_point) * scale.
Tensor plain_numbers(const Tensor& x, float scale, float low, float high) {
  Tensor y = at::empty_like(x);
  const float* from = x.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  for (int64_t i = 0, n = x.numel(); i < n; ++i) {
    const float bounded = std::min(std::max(from[i] / scale, low), high);
    to[i] = (bounded + kRound - kRound) * scale;
  }
  return y;
}

float zero_of(const Tensor& zero_point) { return zero_point.defined() ? zero_point.item<float>() : 0.0f; }

Tensor numbers_of(const Tensor& x, const Tensor& scale, const Tensor& zero_point, double least, double most) {
  if (is_plain(x, scale)) {
    const float zero = zero_of(zero_point);
    return plain_numbers(x, scale.item<float>(), static_cast<float>(least) - zero, static_cast<float>(most) - zero);
  }
  const Tensor codes = quantized_codes(x, scale, zero_point, least, most);
  return (zero_point.defined() ? codes - zero_point : codes) * scale;
}

/// Gradients of x and of one scale for all, from one walk; sums of rows of 1024 in float64, always in the same order.
std::pair<Tensor, Tensor> plain_gradients(const Tensor& x, const Tensor& gradient, float scale, float low, float high) {
  const Tensor given = gradient.strides() == x.strides() ? gradient : at::empty_like(x).copy_(gradient);
  Tensor of_x = at::empty_like(x);
  const float *from = x.const_data_ptr<float>(), *g = given.const_data_ptr<float>();
  float* to = of_x.mutable_data_ptr<float>();
  double sum = 0;
  for (int64_t start = 0, n = x.numel(); start < n; start += 1024) {
    float part = 0;
    for (int64_t i = start; i < std::min(n, start + 1024); ++i) {
      const float v = from[i] / scale, bounded = std::min(std::max(v, low), high);
      const bool is_inside = v >= low && v <= high;
      to[i] = is_inside ? g[i] : 0.0f;
      part += g[i] * ((bounded + kRound - kRound) - (is_inside ? v : 0.0f));
    }
    sum += part;
  }
  return {of_x, at::scalar_tensor(sum, at::kFloat)};
}

/// Inside: round(v) - v; below: least - zero_point; above: most - zero_point.
std::pair<Tensor, Tensor> spread_gradients(const Tensor& x, const Tensor& gradient, const Tensor& scale, const Tensor& zero_point, double least, double most) {
  const Tensor v = x / scale, place = shifted(v, zero_point);
  const Tensor is_inside = place.ge(least).logical_and(place.le(most));
  const Tensor codes = shifted(at::round(v), zero_point).clamp(least, most);
  const Tensor whole = zero_point.defined() ? codes - zero_point : codes;
  const Tensor slope = at::where(is_inside, whole - v, whole);
  return {at::where(is_inside, gradient, at::zeros({}, gradient.options())), at::sum_to(gradient * slope, scale.sizes())};
}

struct FakeQuantization : torch::autograd::Function<FakeQuantization> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& scale, const Tensor& zero_point, double least, double most, double share) {
    context->save_for_backward({x, scale, zero_point});
    context->saved_data["least"] = least;
    context->saved_data["most"] = most;
    context->saved_data["share"] = share;
    return numbers_of(x, scale, zero_point, least, most);
  }
  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &scale = saved[1], &zero = saved[2];
    const double least = context->saved_data["least"].toDouble(), most = context->saved_data["most"].toDouble();
    std::pair<Tensor, Tensor> made;
    if (is_plain(x, scale)) {
      const float middle = zero_of(zero);
      made = plain_gradients(x, given[0], scale.item<float>(), static_cast<float>(least) - middle, static_cast<float>(most) - middle);
      made.second = made.second.reshape(scale.sizes());
    } else {
      made = spread_gradients(x, given[0], scale, zero, least, most);
    }
    return {made.first, made.second * context->saved_data["share"].toDouble(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

/// x as scales and zero points of a call broadcast against it.
struct Parts {
  Tensor x, scale, zero_point;
  double least, most;
};

Parts parts_of(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const Tensor zero = call.has(2) ? call.tensor(2).to(at::kFloat) : Tensor();
  const auto least = static_cast<double>(call.attribute("least", 0)), most = static_cast<double>(call.attribute("most", 255));
  const std::vector<int64_t> layout = ints_attribute(call.node, "layout");
  if (!layout.empty()) return {x.reshape(layout), call.tensor(1), zero, least, most};
  const int64_t axis = call.attribute("axis", 1), block_size = call.attribute("block_size", 0);
  const auto spread = [&](const Tensor& numbers) { return spread_parameters(call, numbers, x.sizes(), axis, block_size); };
  return {x, spread(call.tensor(1)), zero.defined() ? spread(zero) : zero, least, most};
}

/// 1 / sqrt(N * most), N being the numbers that share one scale (1902.08153).
double gradient_share(const OpCall& call, const Tensor& x, int64_t scales, double most) {
  const int64_t rows = call.attribute("activation", 0) != 0 && x.dim() > 0 ? std::max<int64_t>(x.size(0), 1) : 1;
  const double shared = static_cast<double>(x.numel()) / static_cast<double>(rows * std::max<int64_t>(scales, 1));
  return 1.0 / std::sqrt(std::max(shared, 1.0) * std::max(most, 1.0));
}

}  // namespace

Tensor quantized_codes(const Tensor& x, const Tensor& scale, const Tensor& zero_point, double least, double most) {
  return shifted(at::round(x / scale), zero_point).clamp(least, most);
}

Tensor bias_codes(const Tensor& bias, const Tensor& scale) {
  return at::round(bias.to(at::kDouble) / scale.to(at::kDouble)).clamp(-kLargestBias, kLargestBias);
}

Tensor fake_quantized(const Tensor& x, const Tensor& scale, const Tensor& zero_point, double least, double most, double share) {
  if (!records(x) && !records(scale)) return numbers_of(x, scale, zero_point, least, most);
  const Tensor zero = zero_point.defined() ? zero_point : at::zeros({}, scale.options().requires_grad(false));   // autograd takes none that is undefined
  return FakeQuantization::apply(x, scale, zero, least, most, share);
}

RunValues train_scale(const OpCall& call) {
  const Tensor& initial = call.tensor(0);
  const Tensor scale = initial.to(at::kFloat) * call.tensor(1).reshape(initial.sizes()).exp();
  if (call.attribute("half", 0) == 0) return {scale};
  const Tensor bounded = scale.clamp(kLeastHalf, kMostHalf);
  return {bounded + (bounded.detach().to(at::kHalf).to(at::kFloat) - bounded).detach()};
}

RunValues fake_quantize(const OpCall& call) {
  const Parts parts = parts_of(call);
  const double share = gradient_share(call, call.tensor(0), call.tensor(1).numel(), parts.most);
  const Tensor y = fake_quantized(parts.x, parts.scale, parts.zero_point, parts.least, parts.most, share);
  return {y.sizes() == call.tensor(0).sizes() ? y : y.reshape(call.tensor(0).sizes())};
}

Tensor codes_of(const OpCall& call) {
  const Parts parts = parts_of(call);
  return quantized_codes(parts.x, parts.scale, parts.zero_point, parts.least, parts.most).reshape(call.tensor(0).sizes());
}

Tensor rounding_to(const OpCall& call, const Tensor& codes) {
  const Parts parts = parts_of(call);
  const Tensor given = codes.to(at::kFloat).reshape(parts.x.sizes());
  const Tensor middle = parts.zero_point.defined() ? given - parts.zero_point : given;
  const Tensor endless = at::full({}, std::numeric_limits<float>::infinity());
  const Tensor low = at::where(given.le(parts.least), -endless, (middle - kHalfCode) * parts.scale);
  const Tensor high = at::where(given.ge(parts.most), endless, (middle + kHalfCode) * parts.scale);
  return at::minimum(at::maximum(parts.x, low), high).reshape(call.tensor(0).sizes()).contiguous();
}

RunValues fake_quantize_bias(const OpCall& call) {
  const Tensor& bias = call.tensor(0);
  const Tensor scale = (call.tensor(2).detach() * call.tensor(1).detach().reshape({})).to(at::kFloat);
  const Tensor numbers = bias_codes(bias.detach(), scale).to(at::kFloat) * scale;
  return {bias + (numbers - bias).detach()};
}

}  // namespace niwaki
