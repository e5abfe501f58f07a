#include "compress/ops/op_arguments.h"

#include <algorithm>
#include <limits>

namespace niwaki {
namespace {

using Sizes = std::vector<int64_t>;

int64_t product(at::IntArrayRef sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return count;
}

RunValues view_as(const OpCall& call, const Sizes& sizes) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  if (product(sizes) != numbers.numel()) {
    refuse(call, cat("sizes ", shape_text(numbers.sizes()), " cannot become ", shape_text(sizes)));
  }
  return {restored(x, numbers.reshape(sizes))};
}

RunValues reshape(const OpCall& call) {
  const Sizes from = sizes_of(present(call, 0));
  const auto wanted = ints_input_or_attribute(call, 1, "shape");
  if (!wanted) refuse(call, "the shape is missing");
  Sizes sizes = *wanted;
  int64_t known = 1, free = -1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0 && call.attribute("allowzero", 0) == 0) {
      if (i >= from.size()) refuse(call, cat("size ", i, " is copied from an input of rank ", from.size()));
      sizes[i] = from[i];
    }
    if (sizes[i] < -1 || (sizes[i] == -1 && free >= 0)) refuse(call, cat("the shape ", shape_text(*wanted), " is malformed"));
    if (sizes[i] == -1) free = static_cast<int64_t>(i);
    else if (__builtin_mul_overflow(known, sizes[i], &known)) refuse(call, cat("the shape ", shape_text(*wanted), " overflows"));
  }
  if (free >= 0) sizes[static_cast<size_t>(free)] = known == 0 ? 0 : product(from) / known;
  return view_as(call, sizes);
}

RunValues flatten(const OpCall& call) {
  const Sizes from = sizes_of(present(call, 0));
  const auto rank = static_cast<int64_t>(from.size());
  int64_t axis = call.attribute("axis", 1);
  if (axis < -rank || axis > rank) refuse(call, cat("axis ", axis, " is outside a tensor of rank ", rank));
  if (axis < 0) axis += rank;
  const at::IntArrayRef sizes(from);
  return view_as(call, {product(sizes.slice(0, static_cast<size_t>(axis))), product(sizes.slice(static_cast<size_t>(axis)))});
}

RunValues transpose(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  Sizes order = ints_attribute(call.node, "perm");
  if (!has_attribute(call.node, "perm")) {
    for (int64_t i = numbers.dim(); i-- > 0;) order.push_back(i);
  }
  if (static_cast<int64_t>(order.size()) != numbers.dim()) {
    refuse(call, cat("perm ", shape_text(order), " for a tensor of rank ", numbers.dim()));
  }
  return {restored(x, numbers.permute(front_axes(call, order, numbers.dim())))};
}

RunValues squeeze(const OpCall& call) {
  const Sizes from = sizes_of(present(call, 0));
  const auto rank = static_cast<int64_t>(from.size());
  const auto given = ints_input_or_attribute(call, 1, "axes");
  std::vector<bool> dropped(from.size(), false);
  for (size_t i = 0; i < from.size(); ++i) dropped[i] = !given && from[i] == 1;
  for (const int64_t axis : given ? front_axes(call, *given, rank) : Sizes{}) {
    const auto i = static_cast<size_t>(axis);
    if (from[i] != 1) refuse(call, cat("axis ", axis, " has size ", from[i], " instead of 1"));
    dropped[i] = true;
  }
  Sizes sizes;
  for (size_t i = 0; i < from.size(); ++i) {
    if (!dropped[i]) sizes.push_back(from[i]);
  }
  return view_as(call, sizes);
}

RunValues unsqueeze(const OpCall& call) {
  const Sizes from = sizes_of(present(call, 0));
  const auto given = ints_input_or_attribute(call, 1, "axes");
  if (!given) refuse(call, "the axes are missing");
  const size_t rank = from.size() + given->size();
  Sizes sizes(rank, -1);
  for (const int64_t axis : front_axes(call, *given, static_cast<int64_t>(rank))) sizes[static_cast<size_t>(axis)] = 1;
  size_t next = 0;
  for (int64_t& size : sizes) {
    if (size < 0) size = from[next++];
  }
  return view_as(call, sizes);
}

RunValues concat(const OpCall& call) {
  const RunValue& first = present(call, 0);
  RunValue joined = first;
  Strings strings;
  std::vector<Tensor> parts;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const RunValue& x = present(call, i);
    if (x.dtype != first.dtype) refuse(call, cat("input ", i, " is ", name_of(x.dtype), ", input 0 ", name_of(first.dtype)));
    parts.push_back(movable(x));
    if (parts.back().dim() != parts[0].dim()) {
      refuse(call, cat("input ", i, " has sizes ", shape_text(parts.back().sizes()), ", input 0 ", shape_text(parts[0].sizes())));
    }
    if (!x.strings) continue;
    parts.back() = parts.back() + static_cast<int64_t>(strings.size());
    strings.insert(strings.end(), x.strings->begin(), x.strings->end());
  }
  if (first.strings) joined.strings = std::make_shared<const Strings>(std::move(strings));
  const int64_t axis = front_axis(call, call.attribute("axis", 1), parts[0].dim());
  return {restored(joined, at::cat(parts, axis))};
}

/// The sizes of the parts along an axis of `size`.
Sizes parts_of(const OpCall& call, int64_t size) {
  if (const auto given = ints_input_or_attribute(call, 1, "split")) {
    if (given->size() != call.node.outputs.size()) {
      refuse(call, cat(given->size(), " parts for ", call.node.outputs.size(), " outputs"));
    }
    int64_t sum = 0;
    for (const int64_t part : *given) {
      if (part < 0 || part > size) refuse(call, cat("a part of size ", part, " of an axis of size ", size));
      sum += part;
    }
    if (sum != size) refuse(call, cat("parts ", shape_text(*given), " of an axis of size ", size));
    return *given;
  }
  const auto count = static_cast<int64_t>(call.node.outputs.size());
  const int64_t part = (size + count - 1) / count;
  Sizes parts;
  for (int64_t i = 0; i < count; ++i) parts.push_back(std::clamp<int64_t>(size - i * part, 0, part));
  return parts;
}

RunValues split(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  const int64_t axis = front_axis(call, call.attribute("axis", 0), numbers.dim());
  RunValues outputs;
  for (const Tensor& part : numbers.split_with_sizes(parts_of(call, numbers.size(axis)), axis)) {
    outputs.push_back(restored(x, part));
  }
  return outputs;
}

/// One axis of Slice, with ONNX's clamping; `step` may be negative.
Tensor slice_axis(const OpCall& call, const Tensor& x, int64_t axis, int64_t start, int64_t end, int64_t step) {
  const int64_t size = x.size(axis);
  if (step == 0) refuse(call, "a step is 0");
  if (start < 0) start += size;
  if (end < 0) end += size;
  // a longer stride takes the first element alone as well
  const int64_t stride = std::min(step > 0 ? step : (step == std::numeric_limits<int64_t>::min() ? size : -step), std::max<int64_t>(size, 1));
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, size);
    return x.slice(axis, start, std::clamp(end, start, size), std::max<int64_t>(stride, 1));
  }
  start = std::clamp<int64_t>(start, -1, size - 1);
  end = std::clamp<int64_t>(end, -1, size - 1);
  if (start <= end) return x.slice(axis, 0, 0);
  const int64_t last = start - (start - end - 1) / stride * stride;
  return x.slice(axis, last, start + 1, stride).flip({axis});
}

RunValues slice(const OpCall& call) {
  const RunValue& x = present(call, 0);
  Tensor numbers = movable(x);
  const auto starts = ints_input_or_attribute(call, 1, "starts");
  const auto ends = ints_input_or_attribute(call, 2, "ends");
  const auto given_axes = ints_input_or_attribute(call, 3, "axes");
  if (!starts || !ends) refuse(call, "starts or ends are missing");
  const Sizes steps = call.has(4) ? call.ints(4) : Sizes(starts->size(), 1);
  Sizes axes(starts->size());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  if (given_axes) axes = *given_axes;
  if (ends->size() != starts->size() || axes.size() != starts->size() || steps.size() != starts->size()) {
    refuse(call, cat(starts->size(), " starts, ", ends->size(), " ends, ", axes.size(), " axes, ", steps.size(), " steps"));
  }
  axes = front_axes(call, axes, numbers.dim());
  for (size_t i = 0; i < axes.size(); ++i) numbers = slice_axis(call, numbers, axes[i], (*starts)[i], (*ends)[i], steps[i]);
  return {restored(x, numbers)};
}

/// Where the elements of a padded axis come from; `mode` is reflect, edge or wrap.
Tensor padded_indices(const std::string& mode, int64_t size, int64_t before, int64_t after, const at::Device& device) {
  const Tensor place = at::arange(-before, size + after, at::TensorOptions(at::kLong).device(device));
  if (mode == "edge") return place.clamp(0, size - 1);
  if (mode == "wrap") return place.remainder(size);
  if (size == 1) return at::zeros_like(place);
  const Tensor phase = place.remainder(2 * (size - 1));
  return at::minimum(phase, 2 * (size - 1) - phase);
}

struct AxisPad {
  int64_t axis, before, after;
};

std::vector<AxisPad> read_pads(const OpCall& call, int64_t rank) {
  const auto pads = ints_input_or_attribute(call, 1, has_attribute(call.node, "paddings") ? "paddings" : "pads");
  if (!pads) refuse(call, "the pads are missing");
  Sizes axes(static_cast<size_t>(rank));
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  if (call.has(3)) axes = front_axes(call, call.ints(3), rank);
  if (pads->size() != 2 * axes.size()) refuse(call, cat(pads->size(), " pads for ", axes.size(), " axes"));
  std::vector<AxisPad> all;
  for (size_t i = 0; i < axes.size(); ++i) all.push_back({axes[i], (*pads)[i], (*pads)[i + axes.size()]});
  return all;
}

/// Applies the negative pads, which crop, and leaves the others.
Tensor cropped(const OpCall& call, Tensor x, std::vector<AxisPad>& pads) {
  for (AxisPad& pad : pads) {
    const int64_t size = x.size(pad.axis);
    const int64_t front = std::max<int64_t>(-pad.before, 0), back = std::max<int64_t>(-pad.after, 0);
    if (front > size || back > size - front) refuse(call, cat("pads ", pad.before, " and ", pad.after, " for an axis of size ", size));
    x = x.slice(pad.axis, front, size - back);
    pad = {pad.axis, std::max<int64_t>(pad.before, 0), std::max<int64_t>(pad.after, 0)};
  }
  return x;
}

RunValues pad(const OpCall& call) {
  const RunValue& x = present(call, 0);
  if (x.strings) refuse_unsupported(call, "strings cannot be padded");
  std::vector<AxisPad> pads = read_pads(call, x.tensor.dim());
  Tensor numbers = cropped(call, movable(x), pads);
  Sizes sizes = numbers.sizes().vec(), reversed(2 * sizes.size(), 0);
  for (const AxisPad& one : pads) {
    const auto axis = static_cast<size_t>(one.axis);
    if (__builtin_add_overflow(sizes[axis], one.before, &sizes[axis]) || __builtin_add_overflow(sizes[axis], one.after, &sizes[axis])) {
      refuse(call, "the pads overflow");
    }
    reversed[2 * (sizes.size() - 1 - axis)] = one.before;
    reversed[2 * (sizes.size() - 1 - axis) + 1] = one.after;
  }
  check_sizes(call, sizes);
  const std::string mode = string_attribute(call.node, "mode", "constant");
  if (mode == "constant") {
    const Tensor fill = call.has(2) ? movable(present(call, 2)).detach().reshape({-1}) : Tensor();
    if (call.has(2) && fill.numel() != 1) refuse(call, "the padding value is no scalar");
    const at::Scalar value = call.has(2) ? fill[0].item() : at::Scalar(float_attribute(call.node, "value", 0.0F));
    return {restored(x, numbers.dim() == 0 ? numbers : at::constant_pad_nd(numbers, reversed, value))};
  }
  if (mode != "reflect" && mode != "edge" && mode != "wrap") refuse(call, cat("unknown mode '", printable(mode), "'"));
  for (const AxisPad& one : pads) {
    if (one.before == 0 && one.after == 0) continue;
    if (numbers.size(one.axis) == 0) refuse(call, cat("axis ", one.axis, " is empty: there is nothing to repeat"));
    numbers = numbers.index_select(one.axis, padded_indices(mode, numbers.size(one.axis), one.before, one.after, numbers.device()));
  }
  return {restored(x, numbers)};
}

RunValues expand(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  const Sizes wanted = call.ints(1);
  Sizes sizes(std::max(wanted.size(), static_cast<size_t>(numbers.dim())), 1);
  std::copy(wanted.rbegin(), wanted.rend(), sizes.rbegin());
  for (int64_t i = 1; i <= numbers.dim(); ++i) {
    int64_t& size = sizes[sizes.size() - static_cast<size_t>(i)];
    const int64_t own = numbers.size(-i);
    if (own != size && own != 1 && size != 1) {
      refuse(call, cat("sizes ", shape_text(numbers.sizes()), " do not broadcast to ", shape_text(wanted)));
    }
    if (size == 1) size = own;
  }
  check_sizes(call, sizes);
  return {restored(x, numbers.expand(sizes))};
}

RunValues tile(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  const Sizes repeats = call.ints(1);
  if (static_cast<int64_t>(repeats.size()) != numbers.dim()) {
    refuse(call, cat("repeats ", shape_text(repeats), " for a tensor of rank ", numbers.dim()));
  }
  Sizes sizes = numbers.sizes().vec();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (repeats[i] < 0 || __builtin_mul_overflow(sizes[i], repeats[i], &sizes[i])) refuse(call, cat("repeats ", shape_text(repeats)));
  }
  check_sizes(call, sizes);
  return {restored(x, numbers.repeat(repeats))};
}

RunValues shape(const OpCall& call) {
  const Sizes sizes = sizes_of(present(call, 0));
  const auto rank = static_cast<int64_t>(sizes.size());
  const auto place = [rank](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const int64_t start = place(call.attribute("start", 0));
  const int64_t end = std::max(place(call.attribute("end", rank)), start);
  return {at::tensor(at::IntArrayRef(sizes).slice(static_cast<size_t>(start), static_cast<size_t>(end - start)), at::kLong)};
}

RunValues size(const OpCall& call) { return {at::scalar_tensor(product(sizes_of(present(call, 0))), at::kLong)}; }

RunValues identity(const OpCall& call) {
  if (call.inputs.empty()) throw ModelError("E1107", "input 0 of Identity is missing");
  return {call.inputs[0]};
}

int64_t block_size(const OpCall& call, const Tensor& x) {
  const int64_t block = call.attribute("blocksize", 0);
  if (x.dim() != 4 || block <= 0) refuse(call, cat("blocksize ", block, " for sizes ", shape_text(x.sizes())));
  return block;
}

RunValues depth_to_space(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);             // [n, c, h, w]
  const int64_t block = block_size(call, numbers);
  const int64_t n = numbers.size(0), c = numbers.size(1), h = numbers.size(2), w = numbers.size(3);
  if (c % block != 0 || c / block % block != 0) refuse(call, cat(c, " channels are no multiple of ", block, " squared"));
  const int64_t depth = c / block / block;
  const Tensor moved = string_attribute(call.node, "mode", "DCR") == "CRD"
                           ? numbers.reshape({n, depth, block, block, h, w}).permute({0, 1, 4, 2, 5, 3})
                           : numbers.reshape({n, block, block, depth, h, w}).permute({0, 3, 4, 1, 5, 2});
  return {restored(x, moved.reshape({n, depth, h * block, w * block}))};
}

RunValues space_to_depth(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);             // [n, c, h, w]
  const int64_t block = block_size(call, numbers);
  const int64_t n = numbers.size(0), c = numbers.size(1), h = numbers.size(2), w = numbers.size(3);
  if (h % block != 0 || w % block != 0) refuse(call, cat("sizes ", shape_text(numbers.sizes()), " are no multiple of ", block));
  const Tensor split = numbers.reshape({n, c, h / block, block, w / block, block});
  const Tensor moved = string_attribute(call.node, "mode", "DCR") == "CRD" ? split.permute({0, 1, 3, 5, 2, 4})
                                                                          : split.permute({0, 3, 5, 1, 2, 4});
  return {restored(x, moved.reshape({n, c * block * block, h / block, w / block}))};
}

RunValues trilu(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  if (numbers.dim() < 2) refuse(call, cat("a tensor of rank ", numbers.dim()));
  const int64_t most = std::max(numbers.size(-1), numbers.size(-2)) + 1;
  const int64_t diagonal = call.has(1) ? std::clamp(int_input(call, 1), -most, most) : 0;
  return {restored(x, call.attribute("upper", 1) != 0 ? numbers.triu(diagonal) : numbers.tril(diagonal))};
}

RunValues center_crop_pad(const OpCall& call) {
  const RunValue& x = present(call, 0);
  Tensor numbers = movable(x);
  Sizes axes = ints_attribute(call.node, "axes");
  if (!has_attribute(call.node, "axes")) {
    for (int64_t i = 0; i < numbers.dim(); ++i) axes.push_back(i);
  }
  axes = front_axes(call, axes, numbers.dim());
  const Sizes wanted = call.ints(1);
  if (wanted.size() != axes.size()) refuse(call, cat(wanted.size(), " sizes for ", axes.size(), " axes"));
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t have = numbers.size(axes[i]);
    Sizes sizes = numbers.sizes().vec();
    sizes[static_cast<size_t>(axes[i])] = wanted[i];
    check_sizes(call, sizes);
    if (wanted[i] <= have) {
      numbers = numbers.narrow(axes[i], (have - wanted[i]) / 2, wanted[i]);
      continue;
    }
    Sizes pads(2 * sizes.size(), 0);
    const size_t place = 2 * (sizes.size() - 1 - static_cast<size_t>(axes[i]));
    pads[place] = (wanted[i] - have) / 2;
    pads[place + 1] = wanted[i] - have - pads[place];
    numbers = at::constant_pad_nd(numbers, pads, 0);
  }
  return {restored(x, numbers)};
}

RunValues reverse_sequence(const OpCall& call) {
  const RunValue& x = present(call, 0);
  Tensor numbers = movable(x);
  const int64_t time = front_axis(call, call.attribute("time_axis", 0), numbers.dim());
  const int64_t batch = front_axis(call, call.attribute("batch_axis", 1), numbers.dim());
  if (time == batch) refuse(call, "time_axis is batch_axis");
  const Tensor length = call.tensor(1).to(at::kLong).reshape({1, -1});             // [1, batch]
  if (length.numel() != numbers.size(batch)) refuse(call, cat(length.numel(), " lengths for a batch of ", numbers.size(batch)));
  const Tensor t = at::arange(numbers.size(time), length.options()).unsqueeze(1);  // [time, 1]
  const Tensor source = at::where(t < length, length - 1 - t, t);                  // [time, batch]
  const Tensor column = at::arange(numbers.size(batch), length.options()).unsqueeze(0);
  numbers = numbers.movedim({time, batch}, {0, 1});
  return {restored(x, at::index(numbers, {source, column}).movedim({0, 1}, {time, batch}))};
}

}  // namespace

std::span<const OpEntry> shape_ops() {
  static const OpEntry entries[] = {
      {"", "CenterCropPad", center_crop_pad}, {"", "Concat", concat},     {"", "DepthToSpace", depth_to_space},
      {"", "Expand", expand},                 {"", "Flatten", flatten},   {"", "Identity", identity},
      {"", "Pad", pad},                       {"", "Reshape", reshape},   {"", "ReverseSequence", reverse_sequence},
      {"", "Shape", shape},                   {"", "Size", size},         {"", "Slice", slice},
      {"", "SpaceToDepth", space_to_depth},   {"", "Split", split},       {"", "Squeeze", squeeze},
      {"", "Tile", tile},                     {"", "Transpose", transpose}, {"", "Trilu", trilu},
      {"", "Unsqueeze", unsqueeze}};
  return entries;
}

}  // namespace niwaki
