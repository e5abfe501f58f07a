#include "compress/columns.h"

#include "compress/error.h"
#include "compress/graph_edit.h"
#include "compress/random.h"

#include <algorithm>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

/// How a Conv walks over its input.
struct Window {
  Ints kernel, strides, dilations, pads;     // pads: begins, then ends

  size_t axes() const { return kernel.size(); }
  int64_t reach(size_t axis) const { return (kernel[axis] - 1) * dilations[axis] + 1; }
  int64_t taps() const { return std::accumulate(kernel.begin(), kernel.end(), int64_t{1}, std::multiplies<>()); }
};

Window window_of(const Graph& graph, const LinearView& view, const Tensor& input) {
  const Node& node = graph.node(view.node);
  const Ints& weight = graph.constant(view.weight)->sizes;
  Window window{.kernel = {weight.begin() + 2, weight.end()}};
  const size_t axes = window.axes();
  window.strides = ints_attribute(node, "strides");
  window.dilations = ints_attribute(node, "dilations");
  window.pads = ints_attribute(node, "pads");
  window.strides.resize(axes, 1);
  window.dilations.resize(axes, 1);
  window.pads.resize(2 * axes, 0);
  std::replace(window.dilations.begin(), window.dilations.end(), int64_t{0}, int64_t{1});   // some exporters write 0
  const std::string auto_pad = string_attribute(node, "auto_pad", "NOTSET");
  for (size_t i = 0; i < axes && (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER"); ++i) {
    const int64_t size = input.size(static_cast<int64_t>(i) + 2), stride = window.strides[i];
    const int64_t total = std::max<int64_t>(0, ((size + stride - 1) / stride - 1) * stride + window.reach(i) - size);
    window.pads[i] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
    window.pads[axes + i] = total - window.pads[i];
  }
  return window;
}

Tensor padded(const Window& window, const Tensor& input) {
  Ints widths;                               // last axis first, as ATen pads
  for (size_t i = window.axes(); i-- > 0;) widths.insert(widths.end(), {window.pads[i], window.pads[window.axes() + i]});
  const bool is_needed = std::any_of(widths.begin(), widths.end(), [](int64_t width) { return width != 0; });
  return is_needed ? at::constant_pad_nd(input, widths, 0) : input;
}

Ints output_sizes(const Window& window, const Tensor& padded_input, int64_t first_axis) {
  Ints sizes;
  for (size_t i = 0; i < window.axes(); ++i) {
    sizes.push_back((padded_input.size(static_cast<int64_t>(i) + first_axis) - window.reach(i)) / window.strides[i] + 1);
  }
  return sizes;
}

/// Index i of every axis of a row-major array, from its flat index.
Ints unravel(int64_t flat, const Ints& sizes) {
  Ints place(sizes.size());
  for (size_t i = sizes.size(); i-- > 0; flat /= sizes[i]) place[i] = flat % sizes[i];
  return place;
}

int64_t ravel(const Ints& place, const Ints& sizes) {
  int64_t flat = 0;
  for (size_t i = 0; i < sizes.size(); ++i) flat = flat * sizes[i] + place[i];
  return flat;
}

/// Flat output positions for each of `samples` samples, [samples, P]: ascending, without repeats.
Tensor chosen_positions(const std::string& name, const PositionLimit& positions, int64_t samples, int64_t first, int64_t total) {
  if (positions.limit <= 0 || total <= positions.limit) return at::arange(total, at::kLong).expand({samples, total});
  Tensor chosen = at::empty({samples, positions.limit}, at::kLong);
  const double step = static_cast<double>(total) / static_cast<double>(positions.limit);
  for (int64_t sample = 0; sample < samples; ++sample) {
    Generator generator(positions.seed, cat(name, "#", first + sample));
    // one draw from each of `limit` equal stretches: no place of the image is left out
    for (int64_t i = 0; i < positions.limit; ++i) {
      const auto low = static_cast<int64_t>(std::ceil(static_cast<double>(i) * step));
      const auto high = std::min(total, static_cast<int64_t>(std::ceil(static_cast<double>(i + 1) * step)));
      chosen.mutable_data_ptr<int64_t>()[sample * positions.limit + i] = low + static_cast<int64_t>(generator.below(static_cast<uint64_t>(high - low)));
    }
  }
  return chosen;
}

/// [N, C, spatial...] -> [groups, N * P, C / groups * taps].
Tensor convolution_columns(const Graph& graph, const LinearView& view, const Tensor& input, const PositionLimit& positions, int64_t first) {
  const Window window = window_of(graph, view, input);
  const Tensor map = padded(window, input.to(at::kFloat)).contiguous();
  const Ints outs = output_sizes(window, map, 2), sizes = map.sizes().slice(2).vec();
  const int64_t total = std::accumulate(outs.begin(), outs.end(), int64_t{1}, std::multiplies<>());
  const int64_t samples = map.size(0), channels = map.size(1), taps = window.taps();
  const Tensor chosen = chosen_positions(graph.label(view.node), positions, samples, first, total);
  Tensor starts = at::empty({total}, at::kLong), offsets = at::empty({taps}, at::kLong);
  for (int64_t i = 0; i < total; ++i) {
    Ints place = unravel(i, outs);
    for (size_t axis = 0; axis < place.size(); ++axis) place[axis] *= window.strides[axis];
    starts.mutable_data_ptr<int64_t>()[i] = ravel(place, sizes);
  }
  for (int64_t tap = 0; tap < taps; ++tap) {
    Ints place = unravel(tap, window.kernel);
    for (size_t axis = 0; axis < place.size(); ++axis) place[axis] *= window.dilations[axis];
    offsets.mutable_data_ptr<int64_t>()[tap] = ravel(place, sizes);
  }
  const int64_t count = chosen.size(1);
  const Tensor places = starts.index({chosen}).unsqueeze(2) + offsets;                        // [N, P, taps]
  const Tensor flat = places.reshape({samples, 1, count * taps}).expand({samples, channels, count * taps});
  const Tensor found = map.reshape({samples, channels, -1}).gather(2, flat).reshape({samples, view.groups, channels / view.groups, count, taps});
  return found.permute({1, 0, 3, 2, 4}).reshape({view.groups, samples * count, -1});
}

}  // namespace

bool has_columns(const Graph& graph, const LinearView& view) {
  const Constant& weight = *graph.constant(view.weight);
  if (element_count(weight) == 0) return false;
  if (view.kind == LinearKind::conv) return weight.sizes.size() >= 3;
  if (weight.sizes.size() != 2 || view.weight_index != 1) return false;
  if (view.kind == LinearKind::gemm) return int_attribute(graph.node(view.node), "transA", 0) == 0;
  return view.kind == LinearKind::matmul;
}

std::string columns_key(const Graph& graph, const LinearView& view) {
  std::string key = cat(index_of(view.input));
  if (view.kind != LinearKind::conv) return key;
  const Node& node = graph.node(view.node);
  const auto add = [&](const Ints& numbers) {
    key += "/";
    for (const int64_t number : numbers) key += cat(number, ".");
  };
  const Ints& weight = graph.constant(view.weight)->sizes;
  add({weight.begin() + 2, weight.end()});
  for (const char* name : {"strides", "dilations", "pads"}) add(ints_attribute(node, name));
  return cat(key, "/", string_attribute(node, "auto_pad", "NOTSET"), "/", view.groups);
}

Tensor read_columns(const Graph& graph, const LinearView& view, const Tensor& input, const PositionLimit& positions, int64_t first) {
  if (view.kind == LinearKind::conv) return convolution_columns(graph, view, input, positions, first);
  return input.to(at::kFloat).reshape({1, -1, input.size(-1)});
}

Tensor read_targets(const Graph& graph, const LinearView& view, const Tensor& output, const PositionLimit& positions, int64_t first) {
  const Tensor y = output.to(at::kFloat);
  if (view.kind != LinearKind::conv) return y.reshape({1, -1, y.size(-1)});
  const int64_t samples = y.size(0), channels = y.size(1);
  const Tensor flat = y.reshape({samples, channels, -1});
  const Tensor chosen = chosen_positions(graph.label(view.node), positions, samples, first, flat.size(2));
  const int64_t count = chosen.size(1);
  const Tensor found = flat.gather(2, chosen.unsqueeze(1).expand({samples, channels, count}));
  return found.reshape({samples, view.groups, channels / view.groups, count}).permute({1, 0, 3, 2}).reshape({view.groups, samples * count, -1});
}

Tensor sample_means(const Tensor& columns, int64_t samples) {
  const int64_t positions = columns.size(1) / std::max<int64_t>(samples, 1);
  if (positions * samples != columns.size(1)) return columns;
  return columns.reshape({columns.size(0), samples, positions, -1}).sum(2) / std::sqrt(static_cast<double>(std::max<int64_t>(positions, 1)));
}

Tensor sum_columns(const Graph& graph, const LinearView& view, const Tensor& input, int64_t& count) {
  if (view.kind != LinearKind::conv) {
    const int64_t axis = view.kind == LinearKind::matmul && view.weight_index == 0 ? input.dim() - 2 : input.dim() - 1;
    const int64_t features = input.size(axis);
    count += input.numel() / std::max<int64_t>(features, 1);
    return input.movedim(axis, -1).reshape({-1, features}).sum(0, /*keepdim=*/false, at::kDouble);
  }
  const Window window = window_of(graph, view, input);
  const Tensor map = padded(window, input.sum(0, /*keepdim=*/true, at::kDouble)).squeeze(0);                   // [C, spatial...]
  const Ints outs = output_sizes(window, map, 1);
  Tensor sums = at::empty({map.size(0), window.taps()}, at::kDouble);
  for (int64_t tap = 0; tap < window.taps(); ++tap) {
    const Ints place = unravel(tap, window.kernel);
    Tensor seen = map;
    for (size_t i = 0; i < window.axes(); ++i) {
      const int64_t from = place[i] * window.dilations[i];
      seen = seen.slice(static_cast<int64_t>(i) + 1, from, from + (outs[i] - 1) * window.strides[i] + 1, window.strides[i]);
    }
    sums.select(1, tap).copy_(seen.reshape({map.size(0), -1}).sum(1));
  }
  count += std::accumulate(outs.begin(), outs.end(), int64_t{1}, std::multiplies<>()) * input.size(0);
  return sums.reshape({-1});                 // (c, kh, kw), groups one after the other
}

}  // namespace niwaki
