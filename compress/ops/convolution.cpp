#include "compress/error.h"
#include "compress/ops/numeric.h"
#include "compress/ops/window.h"

namespace niwaki {
namespace {

using Sizes = std::vector<int64_t>;

// x [batch, channels, spatial...], 1 to 3 spatial axes.
Sizes spatial_sizes(const OpCall& call, const Tensor& x) {
  if (x.dim() < 3 || x.dim() > 5) {
    refuse_unsupported(call, cat("an input of ", x.dim(), " dimensions; 3 to 5 can run"));
  }
  return {x.sizes().begin() + 2, x.sizes().end()};
}

Sizes kernel_of(const OpCall& call, const Tensor& x, const Tensor& w) {
  if (w.dim() != x.dim()) {
    refuse(call, cat("input ", shape_text(x.sizes()), " and weight ", shape_text(w.sizes()),
                     " differ in their number of dimensions"));
  }
  return {w.sizes().begin() + 2, w.sizes().end()};
}

void check_groups(const OpCall& call, const Tensor& x, const Tensor& w, int64_t group) {
  if (group < 1 || w.size(0) % group != 0 || w.size(1) * group != x.size(1)) {
    refuse(call, cat("input ", shape_text(x.sizes()), ", weight ", shape_text(w.sizes()),
                     " and group ", group, " do not fit"));
  }
}

Tensor convolve(const OpCall& call, const Tensor& x, const Tensor& w,
                const std::optional<Tensor>& bias) {
  const Sizes sizes = spatial_sizes(call, x);
  Window window = read_window(call, sizes, kernel_of(call, x, w));
  const int64_t group = call.attribute("group", 1);
  check_groups(call, x, w, group);
  const Sizes none(sizes.size(), 0);
  const bool can_pad = is_symmetric(window);
  return at::convolution(can_pad ? x : padded(call, x, window, 0), w, bias, window.strides,
                         can_pad ? window.begin : none, window.dilations, /*transposed=*/false,
                         none, group);
}

RunValues conv(const OpCall& call) {
  std::optional<Tensor> bias;
  if (call.has(2)) bias = call.tensor(2);
  return {convolve(call, call.tensor(0), call.tensor(1), bias)};
}

// In double, where products of 8-bit numbers are exact and kernels are quick.
RunValues conv_integer(const OpCall& call) {
  Tensor x = call.tensor(0).to(at::kDouble), w = call.tensor(1).to(at::kDouble);
  if (call.has(2)) x = x - call.tensor(2).to(at::kDouble);
  if (call.has(3)) {
    Sizes rows(w.dim(), 1);
    rows[0] = call.tensor(3).numel();
    w = w - call.tensor(3).to(at::kDouble).reshape(rows);
  }
  return {convolve(call, x, w, std::nullopt).to(at::kInt)};
}

struct Transposed {
  Sizes strides, dilations, output_padding, begin, end;
};

void pad_to_output(const OpCall& call, Transposed& t, std::span<const int64_t> sizes,
                   std::span<const int64_t> kernel, const Sizes& output) {
  const bool is_upper = string_attribute(call.node, "auto_pad", "NOTSET") == "SAME_UPPER";
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t total = t.strides[i] * (sizes[i] - 1) + t.output_padding[i] +
                          (kernel[i] - 1) * t.dilations[i] + 1 - output[i];
    // what the output has beyond the full result is zeros behind it
    t.begin[i] = total < 0 ? 0 : is_upper ? total / 2 : total - total / 2;
    t.end[i] = total - t.begin[i];
  }
}

Transposed read_transposed(const OpCall& call, const Sizes& sizes, const Sizes& kernel) {
  const size_t rank = sizes.size();
  Transposed t{ints_or(call, "strides", rank, 1), ints_or(call, "dilations", rank, 1),
               ints_or(call, "output_padding", rank, 0), Sizes(rank, 0), Sizes(rank, 0)};
  const std::string auto_pad = string_attribute(call.node, "auto_pad", "NOTSET");
  Sizes output = ints_attribute(call.node, "output_shape");
  if (output.size() > rank) output.erase(output.begin(), output.end() - rank);
  if (output.empty() && auto_pad.starts_with("SAME")) {
    for (size_t i = 0; i < rank; ++i) output.push_back(sizes[i] * t.strides[i]);
  }
  if (output.size() == rank) {
    pad_to_output(call, t, sizes, kernel, output);
  } else if (auto_pad != "VALID") {
    const Sizes pads = ints_or(call, "pads", 2 * rank, 0);
    t.begin.assign(pads.begin(), pads.begin() + rank);
    t.end.assign(pads.begin() + rank, pads.end());
  }
  return t;
}

bool aten_can_pad(const Transposed& t) {
  for (size_t i = 0; i < t.begin.size(); ++i) {
    if (t.begin[i] != t.end[i] || t.begin[i] < 0 || t.output_padding[i] < 0) return false;
    if (t.output_padding[i] >= std::max(t.strides[i], t.dilations[i])) return false;
  }
  return true;
}

RunValues conv_transpose(const OpCall& call) {
  const Tensor &x = call.tensor(0), &w = call.tensor(1);
  const Sizes sizes = spatial_sizes(call, x), kernel = kernel_of(call, x, w);
  const int64_t group = call.attribute("group", 1);
  if (group < 1 || w.size(0) != x.size(1) || x.size(1) % group != 0) {
    refuse(call, cat("input ", shape_text(x.sizes()), ", weight ", shape_text(w.sizes()),
                     " and group ", group, " do not fit"));
  }
  const Transposed t = read_transposed(call, sizes, kernel);
  std::optional<Tensor> bias;
  if (call.has(2)) bias = call.tensor(2);
  if (aten_can_pad(t)) {
    return {at::convolution(x, w, bias, t.strides, t.begin, t.dilations, /*transposed=*/true,
                            t.output_padding, group)};
  }
  const Sizes none(sizes.size(), 0);
  Tensor y = at::convolution(x, w, std::nullopt, t.strides, none, t.dilations, true, none, group);
  Sizes cuts;                                // ATen wants the last axis first
  for (size_t i = sizes.size(); i-- > 0;) {
    cuts.push_back(-t.begin[i]);
    cuts.push_back(t.output_padding[i] - t.end[i]);
  }
  Sizes sizes_after = y.sizes().vec();
  for (size_t i = 0; i < sizes.size(); ++i) {
    sizes_after[i + 2] += t.output_padding[i] - t.begin[i] - t.end[i];
  }
  check_sizes(call, sizes_after);
  y = at::constant_pad_nd(y, cuts, 0);
  if (!bias) return {y};
  Sizes channel(y.dim(), 1);                 // after the padding, which the bias covers too
  channel[1] = -1;
  return {y + bias->reshape(channel)};
}

// Bilinear samples of x [n, c, h, w] at rows, columns [n, oh, ow]; zero outside.
Tensor sampled(const Tensor& x, const Tensor& rows, const Tensor& columns) {
  const Tensor grid = at::stack({(columns * 2 + 1) / x.size(3) - 1, (rows * 2 + 1) / x.size(2) - 1},
                                /*dim=*/-1);
  return at::grid_sampler_2d(x, grid, /*bilinear*/ 0, /*zeros*/ 0, /*align_corners=*/false);
}

// One sample per output position and kernel element, then a matrix product per group.
RunValues deform_conv(const OpCall& call) {
  const Tensor &x = call.tensor(0), &w = call.tensor(1), &offset = call.tensor(2);
  if (x.dim() != 4) refuse_unsupported(call, cat("an input of ", x.dim(), " dimensions, not 4"));
  const Window window = read_window(call, spatial_sizes(call, x), kernel_of(call, x, w));
  const int64_t group = call.attribute("group", 1), parts = call.attribute("offset_group", 1);
  check_groups(call, x, w, group);
  const int64_t oh = window.outputs[0], ow = window.outputs[1];
  const int64_t points = window.kernel[0] * window.kernel[1];
  const Tensor shifts = offset.reshape({x.size(0), parts, points, 2, oh, ow});
  const std::vector<Tensor> slices = x.chunk(parts, 1);
  const auto options = x.options();
  std::vector<Tensor> columns;
  for (int64_t part = 0; part < parts; ++part) {
    std::vector<Tensor> samples;
    for (int64_t point = 0; point < points; ++point) {
      const int64_t row = point / window.kernel[1], column = point % window.kernel[1];
      const Tensor ys = at::arange(oh, options) * window.strides[0] +
                        (row * window.dilations[0] - window.begin[0]);
      const Tensor xs = at::arange(ow, options) * window.strides[1] +
                        (column * window.dilations[1] - window.begin[1]);
      const Tensor shift = shifts.select(1, part).select(1, point);      // [n, 2, oh, ow]
      Tensor sample = sampled(slices[part], ys.unsqueeze(1) + shift.select(1, 0),
                              xs.unsqueeze(0) + shift.select(1, 1));
      if (call.has(4)) {
        const Tensor mask = call.tensor(4).reshape({x.size(0), parts, points, oh, ow});
        sample = sample * mask.select(1, part).select(1, point).unsqueeze(1);
      }
      samples.push_back(sample);
    }
    columns.push_back(at::stack(samples, 2));                            // [n, c, points, oh, ow]
  }
  const Tensor all = at::cat(columns, 1).reshape({x.size(0), group, -1, oh * ow});
  const Tensor weight = w.reshape({group, w.size(0) / group, -1});
  Tensor y = at::matmul(weight, all).reshape({x.size(0), w.size(0), oh, ow});
  if (call.has(3)) y = y + call.tensor(3).reshape({-1, 1, 1});
  return {y};
}

constexpr OpEntry kEntries[] = {
    {"", "Conv", conv},
    {"", "ConvInteger", conv_integer},
    {"", "ConvTranspose", conv_transpose},
    {"", "DeformConv", deform_conv},
};

}  // namespace

std::span<const OpEntry> convolution_ops() { return kEntries; }

}  // namespace niwaki
