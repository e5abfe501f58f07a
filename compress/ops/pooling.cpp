#include "compress/error.h"
#include "compress/ops/numeric.h"
#include "compress/ops/window.h"

namespace niwaki {
namespace {

using Sizes = std::vector<int64_t>;

Sizes spatial_sizes(const OpCall& call, const Tensor& x) {
  if (x.dim() < 3 || x.dim() > 5) {
    refuse_unsupported(call, cat("an input of ", x.dim(), " dimensions; 3 to 5 can run"));
  }
  return {x.sizes().begin() + 2, x.sizes().end()};
}

Window pooling_window(const OpCall& call, const Tensor& x) {
  return read_window(call, spatial_sizes(call, x), ints_attribute(call.node, "kernel_shape"));
}

bool is_all(const Sizes& numbers, int64_t n) {
  return std::all_of(numbers.begin(), numbers.end(), [n](int64_t i) { return i == n; });
}

// ATen pads by itself up to half the kernel.
bool aten_can_pad(const Window& window) {
  if (!is_symmetric(window)) return false;
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    if (2 * window.begin[i] > window.kernel[i]) return false;
  }
  return true;
}

// The sum over each window of x [n, c, spatial...], zeros outside, as a convolution with ones.
Tensor window_sums(const OpCall& call, const Tensor& x, const Window& window) {
  const Tensor input = padded(call, x, window, 0);
  Sizes planes = input.sizes().vec(), kernel(x.dim(), 1), outputs = x.sizes().vec();
  planes[0] *= planes[1];
  planes[1] = 1;
  std::copy(window.kernel.begin(), window.kernel.end(), kernel.begin() + 2);
  std::copy(window.outputs.begin(), window.outputs.end(), outputs.begin() + 2);
  const Sizes none(window.kernel.size(), 0);
  const Tensor sums =
      at::convolution(input.reshape(planes), at::ones(kernel, x.options()), std::nullopt,
                      window.strides, none, window.dilations, /*transposed=*/false, none, 1);
  return sums.reshape(outputs);
}

// How many elements of each window count, [1, 1, outputs...].
Tensor window_counts(const OpCall& call, const Tensor& x, const Window& window,
                     bool count_padding) {
  Sizes sizes(x.dim(), 1);
  Window counted = window;
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    sizes[i + 2] = x.size(i + 2);
    if (!count_padding) continue;
    sizes[i + 2] += window.begin[i] + window.end[i];
    counted.begin[i] = counted.end[i] = 0;   // the extension of ceil_mode never counts
  }
  return window_sums(call, at::ones(sizes, x.options()), counted);
}

RunValues average_pool(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const Window window = pooling_window(call, x);
  const bool count_padding = call.attribute("count_include_pad", 0) != 0;
  if (aten_can_pad(window) && is_all(window.dilations, 1) && x.numel() > 0) {
    const auto& [kernel, strides, dilations, begin, end, extension, outputs] = window;
    if (x.dim() == 3) return {at::avg_pool1d(x, kernel, strides, begin, false, count_padding)};
    if (x.dim() == 4) return {at::avg_pool2d(x, kernel, strides, begin, false, count_padding)};
    return {at::avg_pool3d(x, kernel, strides, begin, false, count_padding)};
  }
  return {window_sums(call, x, window) / window_counts(call, x, window, count_padding)};
}

// ATen counts within the padded plane; ONNX within the whole input tensor.
Tensor tensor_indices(const OpCall& call, Tensor plane, const Tensor& x, const Window& window,
                      bool is_padded) {
  const size_t rank = window.kernel.size();
  const bool is_column_major = call.attribute("storage_order", 0) != 0;
  Sizes place(rank, 1);                      // elements between neighbours along each axis
  int64_t plane_size = 1;
  for (size_t i = 0; i < rank; ++i) {
    const size_t axis = is_column_major ? i : rank - 1 - i;
    place[axis] = plane_size;
    plane_size *= x.size(axis + 2);
  }
  Tensor indices = at::zeros_like(plane);
  for (size_t i = rank; i-- > 0;) {
    const int64_t before = is_padded ? window.begin[i] : 0;
    const int64_t after = is_padded ? window.end[i] + window.extension[i] : 0;
    const int64_t size = x.size(i + 2) + before + after;
    indices = indices + (at::remainder(plane, size) - before) * place[i];
    plane = at::div(plane, size, "floor");
  }
  Sizes first(x.dim(), 1);
  first[0] = x.size(0);
  first[1] = x.size(1);
  const Tensor starts = at::arange(x.size(0) * x.size(1), plane.options()) * plane_size;
  return indices + starts.reshape(first);
}

std::tuple<Tensor, Tensor> largest(const Tensor& x, const Window& window, const Sizes& padding,
                                   bool with_indices) {
  const auto& [kernel, strides, dilations, begin, end, extension, outputs] = window;
  if (x.dim() == 3) {
    if (!with_indices) return {at::max_pool1d(x, kernel, strides, padding, dilations), Tensor()};
    return at::max_pool1d_with_indices(x, kernel, strides, padding, dilations);
  }
  if (x.dim() == 4) {
    if (!with_indices) return {at::max_pool2d(x, kernel, strides, padding, dilations), Tensor()};
    return at::max_pool2d_with_indices(x, kernel, strides, padding, dilations);
  }
  if (!with_indices) return {at::max_pool3d(x, kernel, strides, padding, dilations), Tensor()};
  return at::max_pool3d_with_indices(x, kernel, strides, padding, dilations);
}

RunValues max_pool(const OpCall& call) {
  const Tensor& given = call.tensor(0);
  const Tensor x = given.is_floating_point() ? widened(given) : given.to(at::kFloat);
  const Window window = pooling_window(call, x);
  const bool can_pad = aten_can_pad(window), with_indices = wants_output(call, 1);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const Tensor input = can_pad ? x : padded(call, x, window, -kInfinity);
  const Sizes padding = can_pad ? window.begin : Sizes(window.kernel.size(), 0);
  const auto [y, plane] = largest(input, window, padding, with_indices);
  RunValues results{y.to(given.scalar_type())};
  if (with_indices) results.emplace_back(tensor_indices(call, plane, x, window, !can_pad));
  return results;
}

// The p-norm of each window; padding adds nothing.
RunValues lp_pool(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const double p = static_cast<double>(call.attribute("p", 2));
  const Tensor powers = at::pow(at::abs(x), p);
  return {at::pow(window_sums(call, powers, pooling_window(call, x)), 1 / p)};
}

Sizes spatial_axes(const OpCall& call, const Tensor& x) {
  if (x.dim() < 3) refuse(call, cat("an input of ", x.dim(), " dimensions has no spatial axes"));
  Sizes axes(x.dim() - 2);
  std::iota(axes.begin(), axes.end(), 2);
  return axes;
}

RunValues global_average_pool(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  return {at::mean(x, spatial_axes(call, x), /*keepdim=*/true)};
}

RunValues global_lp_pool(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const double p = static_cast<double>(call.attribute("p", 2));
  return {at::linalg_vector_norm(x, p, spatial_axes(call, x), /*keepdim=*/true)};
}

RunValues global_max_pool(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  return {at::amax(x, spatial_axes(call, x), /*keepdim=*/true)};
}

// Indices count within the tensor that the window implies; a larger output_shape adds zeros behind.
RunValues max_unpool(const OpCall& call) {
  const Tensor &x = call.tensor(0), &indices = call.tensor(1);
  const Sizes sizes = spatial_sizes(call, x);
  const Sizes kernel = ints_attribute(call.node, "kernel_shape");
  if (kernel.size() != sizes.size()) refuse(call, "kernel_shape does not fit the input");
  const Sizes strides = ints_or(call, "strides", sizes.size(), 1);
  const Sizes pads = ints_or(call, "pads", 2 * sizes.size(), 0);
  Sizes implied{x.size(0), x.size(1)};
  for (size_t i = 0; i < sizes.size(); ++i) {
    implied.push_back((sizes[i] - 1) * strides[i] + kernel[i] - pads[i] - pads[i + sizes.size()]);
  }
  check_sizes(call, implied);
  const int64_t count = c10::multiply_integers(implied);
  const Tensor y = at::zeros({count}, x.options())
                       .scatter(0, indices.to(at::kLong).reshape({-1}), x.reshape({-1}))
                       .reshape(implied);
  if (!call.has(2)) return {y};
  const Sizes wanted = call.ints(2);
  if (wanted.size() != implied.size()) refuse(call, "output_shape does not fit the input");
  Sizes amounts;                             // ATen wants the last axis first
  for (size_t i = wanted.size(); i-- > 0;) {
    amounts.push_back(0);
    amounts.push_back(wanted[i] - implied[i]);
  }
  return {at::constant_pad_nd(y, amounts, 0)};
}

constexpr OpEntry kEntries[] = {
    {"", "AveragePool", average_pool},
    {"", "GlobalAveragePool", global_average_pool},
    {"", "GlobalLpPool", global_lp_pool},
    {"", "GlobalMaxPool", global_max_pool},
    {"", "LpPool", lp_pool},
    {"", "MaxPool", max_pool},
    {"", "MaxUnpool", max_unpool},
};

}  // namespace

std::span<const OpEntry> pooling_ops() { return kEntries; }

}  // namespace niwaki
