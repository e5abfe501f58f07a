#include "compress/ops/op_arguments.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <random>

namespace niwaki {
namespace {

at::ScalarType type_attribute(const OpCall& call, const std::string& name, DType otherwise) {
  const auto type = static_cast<DType>(call.attribute(name, static_cast<int64_t>(otherwise)));
  if (!is_known(type) || type == DType::string) refuse(call, cat("attribute '", name, "' is ", name_of(type)));
  return scalar_type(type);
}

template <typename T>
const T* attribute_of(const OpCall& call, const std::string& name) {
  const auto found = call.node.attributes.find(name);
  return found == call.node.attributes.end() ? nullptr : std::get_if<T>(&found->second);
}

RunValues constant(const OpCall& call) {
  for (const char* name : {"value", "sparse_value"}) {
    if (const auto* value = attribute_of<Constant>(call, name)) return {run_value(*value)};
  }
  if (const auto* value = attribute_of<float>(call, "value_float")) return {at::scalar_tensor(*value, at::kFloat)};
  if (const auto* value = attribute_of<int64_t>(call, "value_int")) return {at::scalar_tensor(*value, at::kLong)};
  if (const auto* value = attribute_of<std::string>(call, "value_string")) return {string_value({*value}, {})};
  if (const auto* all = attribute_of<std::vector<float>>(call, "value_floats")) return {at::tensor(*all, at::kFloat)};
  if (const auto* all = attribute_of<std::vector<int64_t>>(call, "value_ints")) return {at::tensor(*all, at::kLong)};
  if (const auto* all = attribute_of<Strings>(call, "value_strings")) {
    return {string_value(*all, {static_cast<int64_t>(all->size())})};
  }
  refuse(call, "the value is missing");
}

RunValues constant_of_shape(const OpCall& call) {
  const std::vector<int64_t> sizes = call.ints(0);
  check_sizes(call, sizes);
  const auto* fill = attribute_of<Constant>(call, "value");
  if (fill == nullptr) return {at::zeros(sizes, at::kFloat)};
  const RunValue value = run_value(*fill);
  const Tensor numbers = movable(value);
  if (numbers.numel() != 1) refuse(call, cat("the value has ", numbers.numel(), " elements instead of one"));
  return {restored(value, numbers.reshape({}).expand(sizes).contiguous())};
}

RunValues range(const OpCall& call) {
  const Tensor start = call.tensor(0).reshape({}), limit = call.tensor(1).reshape({}), delta = call.tensor(2).reshape({});
  int64_t count = 0;
  if (start.is_floating_point()) {
    const double step = delta.item<double>();
    const double steps = std::ceil((limit.item<double>() - start.item<double>()) / step);
    if (step == 0 || !std::isfinite(steps)) refuse(call, "the range has no end");
    count = steps < 9e15 ? static_cast<int64_t>(std::max(steps, 0.0)) : int64_t{1} << 60;
  } else {
    const __int128 step = delta.item<int64_t>();
    const __int128 distance = static_cast<__int128>(limit.item<int64_t>()) - start.item<int64_t>();
    if (step == 0) refuse(call, "delta is 0");
    const __int128 size = step > 0 ? step : -step, way = step > 0 ? distance : -distance;
    count = way <= 0 ? 0 : static_cast<int64_t>(std::min<__int128>((way + size - 1) / size, static_cast<__int128>(1) << 60));
  }
  check_sizes(call, {count});
  return {{(at::arange(count, start.options()) * delta + start).to(start.scalar_type()), call.inputs[0].dtype}};
}

RunValues eye_like(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  if (x.dim() != 2) refuse(call, cat("a tensor of rank ", x.dim(), " instead of 2"));
  const int64_t k = std::clamp<int64_t>(call.attribute("k", 0), -x.size(0), x.size(1));
  const Tensor row = at::arange(x.size(0), at::kLong).unsqueeze(1), column = at::arange(x.size(1), at::kLong);
  return {(column - row == k).to(type_attribute(call, "dtype", call.inputs[0].dtype))};
}

/// The same numbers for the same seed attribute, on any machine and thread count.
at::Generator generator_of(const OpCall& call) {
  const float seed = float_attribute(call.node, "seed", 0.0F);
  uint32_t bits = 0;
  std::memcpy(&bits, &seed, sizeof bits);
  return at::detail::createCPUGenerator(bits);
}

RunValues random_numbers(const OpCall& call, const std::vector<int64_t>& sizes, DType otherwise, bool is_normal) {
  check_sizes(call, sizes);
  const at::ScalarType type = type_attribute(call, "dtype", otherwise);
  if (is_normal) {
    const Tensor x = at::randn(sizes, generator_of(call), at::TensorOptions(at::kDouble));
    return {(x * float_attribute(call.node, "scale", 1.0F) + float_attribute(call.node, "mean", 0.0F)).to(type)};
  }
  const double low = float_attribute(call.node, "low", 0.0F), high = float_attribute(call.node, "high", 1.0F);
  return {(at::rand(sizes, generator_of(call), at::TensorOptions(at::kDouble)) * (high - low) + low).to(type)};
}

RunValues random_normal(const OpCall& call) {
  return random_numbers(call, ints_attribute(call.node, "shape"), DType::float32, true);
}
RunValues random_normal_like(const OpCall& call) {
  return random_numbers(call, sizes_of(present(call, 0)), call.inputs[0].dtype, true);
}
RunValues random_uniform(const OpCall& call) {
  return random_numbers(call, ints_attribute(call.node, "shape"), DType::float32, false);
}
RunValues random_uniform_like(const OpCall& call) {
  return random_numbers(call, sizes_of(present(call, 0)), call.inputs[0].dtype, false);
}

RunValues bernoulli(const OpCall& call) {
  const Tensor chance = call.tensor(0).detach().to(at::kCPU, at::kDouble);
  const Tensor drawn = at::rand(chance.sizes(), generator_of(call), at::TensorOptions(at::kDouble)) < chance;
  return {drawn.to(type_attribute(call, "dtype", call.inputs[0].dtype))};
}

RunValues multinomial(const OpCall& call) {
  const Tensor weight = at::softmax(call.tensor(0).detach().to(at::kCPU, at::kDouble), -1);     // from log-probabilities
  const int64_t count = call.attribute("sample_size", 1);
  check_sizes(call, {weight.size(0), count});
  return {at::multinomial(weight, count, /*replacement=*/true, generator_of(call)).to(type_attribute(call, "dtype", DType::int32))};
}

RunValues dropout(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const bool is_training = call.has(2) && call.tensor(2).item().toBool();
  const double ratio = call.has(1) ? call.tensor(1).item<double>() : float_attribute(call.node, "ratio", 0.5F);
  const at::ScalarType mask_type = call.opset < 10 ? x.tensor.scalar_type() : at::kBool;
  const auto options = at::TensorOptions(mask_type).device(call.tensor(0).device());
  if (!is_training || ratio == 0) return {x, at::ones(call.tensor(0).sizes(), options)};
  if (!(ratio > 0 && ratio < 1)) refuse(call, cat("ratio ", ratio, " is outside [0, 1)"));
  check_sizes(call, x.tensor.sizes());
  // the generator and the 53-bit numbers of the ONNX reference, so that its masks come out
  std::mt19937 generator(static_cast<uint32_t>(call.attribute("seed", 0)));
  Tensor kept = at::empty(x.tensor.sizes(), at::kBool);
  for (int64_t i = 0; i < kept.numel(); ++i) {
    const uint32_t high = generator() >> 5, low = generator() >> 6;
    kept.mutable_data_ptr<bool>()[i] = (high * 67108864.0 + low) / 9007199254740992.0 >= ratio;
  }
  kept = kept.to(x.tensor.device());
  return {{x.tensor * kept / (1 - ratio), x.dtype}, kept.to(mask_type)};
}

/// a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N); N is one less when the window is symmetric.
RunValues window(const OpCall& call, double a0, double a1, double a2) {
  const int64_t size = int_input(call, 0);
  check_sizes(call, {size});
  const int64_t period = std::max<int64_t>(call.attribute("periodic", 1) != 0 ? size : size - 1, 1);
  const Tensor phase = at::arange(size, at::kDouble) * (2 * std::numbers::pi / static_cast<double>(period));
  return {(a0 - a1 * at::cos(phase) + a2 * at::cos(2 * phase)).to(type_attribute(call, "output_datatype", DType::float32))};
}

RunValues hann_window(const OpCall& call) { return window(call, 0.5, 0.5, 0); }
RunValues hamming_window(const OpCall& call) { return window(call, 25.0 / 46.0, 1 - 25.0 / 46.0, 0); }
RunValues blackman_window(const OpCall& call) { return window(call, 0.42, 0.5, 0.08); }

/// [..., 2] or [..., 1] as complex or real numbers [...].
Tensor joined(const OpCall& call, const Tensor& x) {
  if (x.dim() < 2 || x.size(-1) < 1 || x.size(-1) > 2) refuse(call, cat("sizes ", shape_text(x.sizes()), " do not end in 1 or 2"));
  return x.size(-1) == 2 ? at::view_as_complex(x.contiguous()) : x.squeeze(-1);
}

RunValues dft(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const int64_t given = call.opset >= 20 ? (call.has(2) ? int_input(call, 2) : -2) : call.attribute("axis", 1);
  const int64_t axis = front_axis(call, given, x.dim());
  if (axis == x.dim() - 1) refuse(call, "the axis is that of real and imaginary parts");
  const bool is_inverse = call.attribute("inverse", 0) != 0, is_onesided = call.attribute("onesided", 0) != 0;
  const int64_t own = is_inverse && is_onesided ? 2 * (x.size(axis) - 1) : x.size(axis);
  const int64_t length = call.has(1) ? int_input(call, 1) : own;
  check_sizes(call, {length});
  const Tensor signal = joined(call, x);
  if (is_inverse && is_onesided) return {at::fft_irfft(signal, length, axis).unsqueeze(-1)};
  if (is_onesided && signal.is_complex()) refuse(call, "onesided needs a real signal");
  const Tensor y = is_inverse ? at::fft_ifft(signal, length, axis)
                              : (is_onesided ? at::fft_rfft(signal, length, axis) : at::fft_fft(signal, length, axis));
  return {at::view_as_real(y)};
}

RunValues stft(const OpCall& call) {
  const Tensor signal = joined(call, call.tensor(0));            // [batch, samples]
  const int64_t step = int_input(call, 1);
  if (!call.has(2) && !call.has(3)) refuse(call, "neither window nor frame_length is given");
  const int64_t length = call.has(3) ? int_input(call, 3) : call.tensor(2).numel();
  if (signal.dim() != 2 || step < 1 || length < 1 || length > signal.size(1)) {
    refuse(call, cat("frames of ", length, " every ", step, " of a signal of sizes ", shape_text(signal.sizes())));
  }
  Tensor frames = signal.unfold(1, length, step);                // [batch, frames, length]
  if (call.has(2)) frames = frames * call.tensor(2);
  const bool is_onesided = call.attribute("onesided", 1) != 0 && !signal.is_complex();
  return {at::view_as_real(is_onesided ? at::fft_rfft(frames) : at::fft_fft(frames))};
}

RunValues mel_weight_matrix(const OpCall& call) {
  const int64_t bins = int_input(call, 0), length = int_input(call, 1);
  const double rate = static_cast<double>(int_input(call, 2));
  const auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  const double low = mel(call.tensor(3).item<double>()), step = (mel(call.tensor(4).item<double>()) - low) / static_cast<double>(bins + 2);
  const int64_t rows = length / 2 + 1;
  check_sizes(call, {rows, bins});
  if (bins < 1 || length < 1 || rate <= 0) refuse(call, cat(bins, " bins of a transform of length ", length));
  std::vector<int64_t> edge;
  for (int64_t i = 0; i < bins + 2; ++i) {
    const double hertz = 700 * (std::pow(10.0, (static_cast<double>(i) * step + low) / 2595) - 1);
    edge.push_back(static_cast<int64_t>(std::floor(static_cast<double>(length + 1) * hertz / rate)));
    if (edge.back() < 0 || edge.back() > rows) refuse(call, cat("a bin ends at row ", edge.back(), " of ", rows));
  }
  const Tensor weights = at::zeros({rows, bins}, at::kDouble);   // [spectrogram bins, mel bins]
  auto cell = weights.accessor<double, 2>();
  for (int64_t i = 0; i < bins; ++i) {
    const int64_t left = edge[static_cast<size_t>(i)], top = edge[static_cast<size_t>(i) + 1], right = edge[static_cast<size_t>(i) + 2];
    for (int64_t j = left; j <= std::min(top, rows - 1); ++j) {
      cell[j][i] = top == left ? 1.0 : static_cast<double>(j - left) / static_cast<double>(top - left);
    }
    for (int64_t j = top; j < right; ++j) cell[j][i] = static_cast<double>(right - j) / static_cast<double>(right - top);
  }
  return {weights.to(type_attribute(call, "output_datatype", DType::float32))};
}

}  // namespace

std::span<const OpEntry> generator_ops() {
  static const OpEntry entries[] = {{"", "Bernoulli", bernoulli},
                                    {"", "BlackmanWindow", blackman_window},
                                    {"", "Constant", constant},
                                    {"", "ConstantOfShape", constant_of_shape},
                                    {"", "DFT", dft},
                                    {"", "Dropout", dropout},
                                    {"", "EyeLike", eye_like},
                                    {"", "HammingWindow", hamming_window},
                                    {"", "HannWindow", hann_window},
                                    {"", "MelWeightMatrix", mel_weight_matrix},
                                    {"", "Multinomial", multinomial},
                                    {"", "RandomNormal", random_normal},
                                    {"", "RandomNormalLike", random_normal_like},
                                    {"", "RandomUniform", random_uniform},
                                    {"", "RandomUniformLike", random_uniform_like},
                                    {"", "Range", range},
                                    {"", "STFT", stft}};
  return entries;
}

}  // namespace niwaki
