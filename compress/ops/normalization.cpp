#include "compress/error.h"
#include "compress/ops/fake_quantize.h"
#include "compress/ops/numeric.h"

namespace niwaki {
namespace {

using Sizes = std::vector<int64_t>;

// [1, c, 1, ...], to broadcast one number per channel over x.
Tensor by_channel(const Tensor& numbers, const Tensor& x) {
  Sizes sizes(std::max<int64_t>(x.dim(), 2), 1);
  sizes[1] = -1;
  return numbers.reshape(sizes);
}

RunValues batch_norm_training(const OpCall& call, const Tensor& x, double epsilon) {
  const double momentum = number_or(call, "momentum", 0.9);
  Sizes axes{0};
  for (int64_t i = 2; i < x.dim(); ++i) axes.push_back(i);
  const Tensor wide = at_least_float32(x);
  const Tensor mean = at::mean(wide, axes);
  const Tensor variance = at::mean(at::square(wide - by_channel(mean, x)), axes);
  const Tensor factor = at::rsqrt(variance + epsilon) * call.tensor(1);
  const Tensor y =
      (wide - by_channel(mean, x)) * by_channel(factor, x) + by_channel(call.tensor(2), x);
  const auto moved = [&](size_t i, const Tensor& now) {
    const Tensor& before = call.tensor(i);
    return (before * momentum + now * (1 - momentum)).to(before.scalar_type());
  };
  RunValues results{y.to(x.scalar_type()), moved(3, mean), moved(4, variance)};
  if (call.opset < 14) {
    results.emplace_back(mean);
    results.emplace_back(variance);
  }
  results.resize(std::min(results.size(), call.node.outputs.size()));
  return results;
}

RunValues batch_normalization(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  if (x.dim() < 2) refuse(call, cat("an input of ", x.dim(), " dimensions has no channels"));
  const double epsilon = number_or(call, "epsilon", 1e-5);
  const bool is_training = call.opset >= 14 ? call.attribute("training_mode", 0) != 0
                                            : wants_output(call, 1);
  if (call.opset < 9 && call.attribute("spatial", 1) == 0) {
    // statistics per element of [c, spatial...]
    const Tensor scale = call.tensor(1) * at::rsqrt(call.tensor(4) + epsilon);
    return {(x - call.tensor(3)) * scale + call.tensor(2)};
  }
  if (is_training) return batch_norm_training(call, x, epsilon);
  std::array<Tensor, 4> given = {call.tensor(1), call.tensor(2), call.tensor(3), call.tensor(4)};
  at::ScalarType type = x.scalar_type();
  for (const Tensor& t : given) type = at::promote_types(type, t.scalar_type());
  for (Tensor& t : given) t = t.to(type);
  if (is_recorded(given[2]) || is_recorded(given[3])) {                  // which ATen refuses
    const Tensor factor = given[0] * at::rsqrt(given[3] + epsilon);
    const Tensor shifted = x.to(type) - by_channel(given[2], x);
    return {(shifted * by_channel(factor, x) + by_channel(given[1], x)).to(x.scalar_type())};
  }
  const Tensor y = at::batch_norm(x.to(type), given[0], given[1], given[2], given[3],
                                  /*training=*/false, /*momentum=*/0, epsilon, /*cudnn=*/true);
  return {y.to(x.scalar_type())};
}

RunValues normalize_batch(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  if (x.dim() < 2) refuse(call, cat("an input of ", x.dim(), " dimensions has no channels"));
  return {at::batch_norm(x, call.tensor(1), call.tensor(2), {}, {}, /*training=*/true, /*momentum=*/0,
                         number_or(call, "epsilon", 1e-5), /*cudnn=*/true)};
}

// Before opset 21, scale and bias have one number per group.
Tensor per_channel(const OpCall& call, size_t i, int64_t channels) {
  const Tensor& numbers = call.tensor(i);
  if (numbers.numel() == channels || numbers.numel() == 0) return numbers;
  return numbers.repeat_interleave(channels / numbers.numel());
}

RunValues group_normalization(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const int64_t groups = call.attribute("num_groups", 0);
  if (x.dim() < 2 || groups < 1 || x.size(1) % groups != 0) {
    refuse(call, cat("input ", shape_text(x.sizes()), " in ", groups, " groups"));
  }
  const Tensor scale = per_channel(call, 1, x.size(1)), bias = per_channel(call, 2, x.size(1));
  return {at::group_norm(x, groups, scale, bias, number_or(call, "epsilon", 1e-5))};
}

RunValues instance_normalization(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  if (x.dim() < 3) refuse(call, cat("input ", shape_text(x.sizes()), " has no spatial axes"));
  const double epsilon = number_or(call, "epsilon", 1e-5);
  return {at::group_norm(x, x.size(1), call.tensor(1), call.tensor(2), epsilon)};
}

RunValues layer_normalization(const OpCall& call) {
  const Tensor& given = call.tensor(0);
  const int64_t axis = normal_axis(call, call.attribute("axis", -1), given.dim());
  const double epsilon = number_or(call, "epsilon", 1e-5);
  const Tensor x = at_least_float32(given), scale = call.tensor(1).to(x.scalar_type());
  const Sizes shape(x.sizes().begin() + axis, x.sizes().end());
  std::optional<Tensor> weight, bias;
  const bool is_plain = scale.sizes() == at::IntArrayRef(shape) &&
                        (!call.has(2) || call.tensor(2).sizes() == at::IntArrayRef(shape));
  if (is_plain) {
    weight = scale;
    if (call.has(2)) bias = call.tensor(2).to(x.scalar_type());
  }
  auto [y, mean, inverse] = at::native_layer_norm(x, shape, weight, bias, epsilon);
  if (!is_plain) {
    y = y * scale;
    if (call.has(2)) y = y + call.tensor(2).to(x.scalar_type());
  }
  return {y.to(given.scalar_type()), mean, inverse};
}

RunValues rms_normalization(const OpCall& call) {
  const Tensor& given = call.tensor(0);
  const int64_t axis = normal_axis(call, call.attribute("axis", -1), given.dim());
  const Tensor x = at_least_float32(given);
  Sizes axes;
  for (int64_t i = axis; i < x.dim(); ++i) axes.push_back(i);
  const Tensor mean = at::mean(at::square(x), axes, /*keepdim=*/true);
  const Tensor y = x * at::rsqrt(mean + number_or(call, "epsilon", 1e-5));
  return {(y.to(given.scalar_type()) * call.tensor(1)).to(call.tensor(1).scalar_type())};
}

// y = x / (bias + alpha / size * sum of x^2 over `size` neighbouring channels)^beta
RunValues lrn(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const int64_t size = call.attribute("size", 0);
  if (size < 1 || x.dim() < 2) refuse(call, cat("size ", size, " on ", shape_text(x.sizes())));
  const int64_t before = (size - 1) / 2;
  const Tensor squares = at::square(x).transpose(1, -1);
  const Tensor sums = at::constant_pad_nd(squares, {before, size - 1 - before}, 0)
                          .unfold(-1, size, 1).sum(-1).transpose(1, -1);
  const double alpha = number_or(call, "alpha", 1e-4), bias = number_or(call, "bias", 1);
  return {x / at::pow(sums * (alpha / static_cast<double>(size)) + bias,
                      number_or(call, "beta", 0.75))};
}

// A vector of zeros stays as it is.
RunValues lp_normalization(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const int64_t axis = normal_axis(call, call.attribute("axis", -1), x.dim());
  const int64_t p = call.attribute("p", 2);
  if (p != 1 && p != 2) refuse(call, cat("p is ", p, ", not 1 or 2"));
  const Tensor norm = at::linalg_vector_norm(x, p, axis, /*keepdim=*/true);
  return {x / at::where(norm == 0, at::ones_like(norm), norm)};
}

RunValues mean_variance_normalization(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  Sizes axes = normal_axes(call, 1, x.dim());
  if (!has_attribute(call.node, "axes")) axes = {0, 2, 3};
  for (int64_t& axis : axes) axis = normal_axis(call, axis, x.dim());
  const Tensor centred = x - at::mean(x, axes, /*keepdim=*/true);
  const Tensor deviation = at::sqrt(at::mean(at::square(centred), axes, /*keepdim=*/true));
  return {centred / (deviation + 1e-9)};
}

constexpr OpEntry kEntries[] = {
    {"", "BatchNormalization", batch_normalization},
    {"", "GroupNormalization", group_normalization},
    {"", "InstanceNormalization", instance_normalization},
    {"", "LRN", lrn},
    {"", "LayerNormalization", layer_normalization},
    {"", "LpNormalization", lp_normalization},
    {"", "MeanVarianceNormalization", mean_variance_normalization},
    {"", "RMSNormalization", rms_normalization},
    {kTrainDomain, kNormalizeBatch, normalize_batch},
};

}  // namespace

std::span<const OpEntry> normalization_ops() { return kEntries; }

}  // namespace niwaki
