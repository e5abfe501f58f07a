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

/// Indices as int64, counted from the front of an axis of `size`.
Tensor front_indices(const OpCall& call, const Tensor& given, int64_t size) {
  const Tensor indices = given.to(at::kLong);
  if (indices.numel() == 0) return indices;
  const auto [least, most] = at::aminmax(indices);
  const int64_t low = least.item<int64_t>(), high = most.item<int64_t>();
  if (low < -size || high >= size) {
    refuse(call, cat("index ", low < -size ? low : high, " is outside an axis of size ", size));
  }
  return low < 0 ? at::where(indices < 0, indices + size, indices) : indices;
}

/// Numbers in an order that ATen can sort: unsigned types it lacks are widened or shifted.
Tensor sortable(const Tensor& x) {
  if (x.scalar_type() == at::kUInt16 || x.scalar_type() == at::kUInt32) return x.to(at::kLong);
  if (x.scalar_type() == at::kUInt64) return x.view(at::kLong).bitwise_xor(std::numeric_limits<int64_t>::min());
  return x;
}

RunValues gather(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  const int64_t axis = front_axis(call, call.attribute("axis", 0), numbers.dim());
  const Tensor indices = front_indices(call, call.tensor(1), numbers.size(axis));
  if (indices.dim() == 0) return {restored(x, numbers.select(axis, indices.item<int64_t>()))};
  Sizes sizes = numbers.sizes().vec();
  sizes.erase(sizes.begin() + axis);
  sizes.insert(sizes.begin() + axis, indices.sizes().begin(), indices.sizes().end());
  check_sizes(call, sizes);
  return {restored(x, numbers.index_select(axis, indices.reshape({-1})).reshape(sizes))};
}

RunValues gather_elements(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  const int64_t axis = front_axis(call, call.attribute("axis", 0), numbers.dim());
  return {restored(x, numbers.gather(axis, front_indices(call, call.tensor(1), numbers.size(axis))))};
}

/// Rows of x that GatherND and ScatterND name: x as [rows, ...] and the row of each index tuple, flat.
struct NamedRows {
  Tensor rows;     // [prod(batch) * prod(indexed), rest]
  Tensor place;    // [num_tuples]
  Sizes tail;      // sizes of one row
};

NamedRows named_rows(const OpCall& call, const Tensor& x, const Tensor& indices, int64_t batch_dims) {
  const int64_t depth = indices.dim() > 0 ? indices.size(-1) : 0;
  if (batch_dims < 0 || indices.dim() == 0 || indices.dim() <= batch_dims || batch_dims + depth > x.dim() ||
      indices.sizes().slice(0, static_cast<size_t>(batch_dims)) != x.sizes().slice(0, static_cast<size_t>(batch_dims))) {
    refuse(call, cat("indices of sizes ", shape_text(indices.sizes()), " for data of sizes ", shape_text(x.sizes())));
  }
  const int64_t batches = product(x.sizes().slice(0, static_cast<size_t>(batch_dims)));
  const Sizes tail = x.sizes().slice(static_cast<size_t>(batch_dims + depth)).vec();
  int64_t tuples = 1;
  for (int64_t i = batch_dims; i < indices.dim() - 1; ++i) tuples *= indices.size(i);
  const Tensor flat = indices.reshape({batches, tuples, depth});
  Tensor place = at::arange(batches, at::TensorOptions(at::kLong).device(x.device())).unsqueeze(1).expand({batches, tuples});
  int64_t rows = batches;
  for (int64_t i = 0; i < depth; ++i) {
    const int64_t size = x.size(batch_dims + i);
    place = place * size + front_indices(call, flat.select(2, i), size);
    rows *= size;
  }
  Sizes sizes = tail;
  sizes.insert(sizes.begin(), rows);
  return {x.reshape(sizes), place.reshape({-1}), tail};
}

RunValues gather_nd(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor& indices = call.tensor(1);
  const NamedRows named = named_rows(call, movable(x), indices, call.attribute("batch_dims", 0));
  Sizes sizes = indices.sizes().slice(0, static_cast<size_t>(indices.dim() - 1)).vec();
  sizes.insert(sizes.end(), named.tail.begin(), named.tail.end());
  check_sizes(call, sizes);
  return {restored(x, named.rows.index_select(0, named.place).reshape(sizes))};
}

/// ATen's word for a reduction of ONNX, or "" for none.
std::string reduction_of(const OpCall& call) {
  const std::string name = string_attribute(call.node, "reduction", "none");
  if (name == "none") return "";
  if (name == "add") return "sum";
  if (name == "mul") return "prod";
  if (name == "max") return "amax";
  if (name == "min") return "amin";
  refuse(call, cat("unknown reduction '", printable(name), "'"));
}

RunValues scatter_elements(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const int64_t axis = front_axis(call, call.attribute("axis", 0), static_cast<int64_t>(sizes_of(x).size()));
  const Tensor indices = front_indices(call, call.tensor(1), sizes_of(x)[static_cast<size_t>(axis)]);
  const std::string reduction = reduction_of(call);
  if (reduction.empty()) {
    if (x.strings) refuse_unsupported(call, "strings cannot be scattered");
    return {restored(x, movable(x).scatter(axis, indices, movable(present(call, 2))))};
  }
  if (reduction == "sum") return {{call.tensor(0).scatter_add(axis, indices, call.tensor(2)), x.dtype}};
  return {{call.tensor(0).scatter_reduce(axis, indices, call.tensor(2), reduction, /*include_self=*/true), x.dtype}};
}

RunValues scatter_nd(const OpCall& call) {
  const RunValue& x = present(call, 0);
  if (x.strings) refuse_unsupported(call, "strings cannot be scattered");
  const std::string reduction = reduction_of(call);
  const NamedRows named = named_rows(call, reduction.empty() ? movable(x) : x.tensor, call.tensor(1), 0);
  Sizes sizes = named.tail;
  sizes.insert(sizes.begin(), named.place.numel());
  const Tensor updates = (reduction.empty() ? movable(present(call, 2)) : call.tensor(2)).reshape(sizes);
  if (reduction.empty()) {
    // index_put of repeated indices is unordered where it runs in parallel; ONNX leaves the result open
    return {restored(x, at::index_put(named.rows, {named.place}, updates).reshape(sizes_of(x)))};
  }
  const Tensor sum = reduction == "sum" ? named.rows.index_add(0, named.place, updates)
                                        : at::index_reduce(named.rows, 0, named.place, updates, reduction);
  return {{sum.reshape(sizes_of(x)), x.dtype}};
}

RunValues top_k(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  const int64_t axis = front_axis(call, call.attribute("axis", -1), numbers.dim());
  const int64_t count = call.has(1) ? int_input(call, 1) : call.attribute("k", -1);
  if (count < 0 || count > numbers.size(axis)) refuse(call, cat("k ", count, " of an axis of size ", numbers.size(axis)));
  const bool largest = call.attribute("largest", 1) != 0;
  // a stable sort: of equal values the one with the lower index comes first
  const Tensor order = std::get<1>(at::sort(sortable(call.tensor(0).detach()), /*stable=*/true, axis, largest)).narrow(axis, 0, count);
  return {restored(x, numbers.gather(axis, order)), order};
}

RunValues non_zero(const OpCall& call) {
  const RunValue& x = present(call, 0);
  return {movable(x).nonzero().t().contiguous()};
}

RunValues one_hot(const OpCall& call) {
  const Tensor indices = call.tensor(0).to(at::kLong);
  const int64_t depth = int_input(call, 1);
  const RunValue& values = present(call, 2);
  const Tensor pair = movable(values).reshape({-1});
  if (pair.numel() != 2 || depth < 0) refuse(call, cat(pair.numel(), " values and depth ", depth));
  const int64_t axis = front_axis(call, call.attribute("axis", -1), indices.dim() + 1);
  Sizes sizes = indices.sizes().vec(), classes(sizes.size() + 1, 1);
  sizes.insert(sizes.begin() + axis, depth);
  check_sizes(call, sizes);
  classes[static_cast<size_t>(axis)] = depth;
  const Tensor place = at::where(indices < 0, indices + depth, indices).unsqueeze(axis);
  const Tensor hot = place == at::arange(depth, indices.options()).reshape(classes);
  return {restored(values, at::where(hot, pair[1], pair[0]))};
}

RunValues compress(const OpCall& call) {
  const RunValue& x = present(call, 0);
  Tensor numbers = movable(x);
  const bool flat = !has_attribute(call.node, "axis");
  if (flat) numbers = numbers.reshape({-1});
  const int64_t axis = flat ? 0 : front_axis(call, call.attribute("axis", 0), numbers.dim());
  const Tensor kept = call.tensor(1).reshape({-1}).nonzero().reshape({-1});
  return {restored(x, numbers.index_select(axis, front_indices(call, kept, numbers.size(axis))))};
}

RunValues unique(const OpCall& call) {
  const RunValue& x = present(call, 0);
  if (x.strings) refuse_unsupported(call, "strings have no order here");
  const bool flat = !has_attribute(call.node, "axis");
  const Tensor numbers = flat ? sortable(x.tensor).reshape({-1}) : sortable(x.tensor);
  const int64_t axis = flat ? 0 : front_axis(call, call.attribute("axis", 0), numbers.dim());
  const auto [sorted, inverse, counts] = at::unique_dim(numbers, axis, true, true, true);
  const Tensor place = at::arange(inverse.numel(), inverse.options());
  const Tensor first = at::full_like(counts, inverse.numel()).scatter_reduce(0, inverse.reshape({-1}), place, "amin");
  const bool keeps_order = call.attribute("sorted", 1) == 0;
  const Tensor order = keeps_order ? first.argsort() : at::arange(first.numel(), first.options());
  const Tensor rank = order.argsort();
  const Tensor chosen = first.index_select(0, order);
  const Tensor source = flat ? movable(x).reshape({-1}) : movable(x);
  return {restored(x, source.index_select(axis, chosen)), chosen, rank.index_select(0, inverse.reshape({-1})),
          counts.index_select(0, order)};
}

RunValues tensor_scatter(const OpCall& call) {
  const RunValue& past = present(call, 0);                       // [batch, ..., longest, ...]
  Tensor cache = movable(past);
  Tensor update = movable(present(call, 1));
  const int64_t axis = front_axis(call, call.attribute("axis", -2), cache.dim());
  if (axis == 0 || update.dim() != cache.dim()) refuse(call, cat("axis ", axis, ", update of rank ", update.dim()));
  const int64_t batch = cache.size(0), longest = cache.size(axis), length = update.size(axis);
  const auto integers = at::TensorOptions(at::kLong).device(cache.device());
  const Tensor start = call.has(2) ? call.tensor(2).to(at::kLong) : at::zeros({batch}, integers);
  Tensor place = start.unsqueeze(1) + at::arange(length, integers);          // [batch, length]
  const std::string mode = string_attribute(call.node, "mode", "linear");
  if (mode == "circular") place = place.remainder(longest);
  else place = front_indices(call, place, longest);
  const Tensor row = at::arange(batch, integers).unsqueeze(1);
  cache = at::index_put(cache.movedim(axis, 1), {row, place}, update.movedim(axis, 1));
  return {restored(past, cache.movedim(1, axis))};
}

Sizes or_ones(Sizes given, size_t count, int64_t otherwise) { return given.empty() ? Sizes(count, otherwise) : given; }

/// Where element `offset` of each block lands along one axis of the padded image: [num_blocks].
Tensor landing(int64_t offset, int64_t blocks, int64_t stride, int64_t dilation, const at::TensorOptions& options) {
  return at::arange(blocks, options) * stride + offset * dilation;
}

RunValues col2im(const OpCall& call) {
  const Tensor& x = call.tensor(0);                              // [n, c * prod(block), num_blocks]
  const Sizes image = call.ints(1), block = call.ints(2);
  const size_t rank = image.size();
  const Sizes dilations = or_ones(ints_attribute(call.node, "dilations"), rank, 1);
  const Sizes strides = or_ones(ints_attribute(call.node, "strides"), rank, 1);
  const Sizes pads = or_ones(ints_attribute(call.node, "pads"), 2 * rank, 0);
  const int64_t elements = product(block);
  if (x.dim() != 3 || block.size() != rank || dilations.size() != rank || strides.size() != rank || pads.size() != 2 * rank ||
      elements <= 0 || x.size(1) % elements != 0) {
    refuse(call, cat("sizes ", shape_text(x.sizes()), ", image ", shape_text(image), ", block ", shape_text(block)));
  }
  const auto options = at::TensorOptions(at::kLong).device(x.device());
  Tensor place = at::zeros({1, 1}, options);                     // [elements so far, blocks so far] in the padded image
  Sizes padded;
  for (size_t i = 0; i < rank; ++i) {
    padded.push_back(image[i] + pads[i] + pads[i + rank]);
    const int64_t blocks = (padded[i] - dilations[i] * (block[i] - 1) - 1) / strides[i] + 1;
    std::vector<Tensor> rows;
    for (int64_t offset = 0; offset < block[i]; ++offset) rows.push_back(landing(offset, blocks, strides[i], dilations[i], options));
    const Tensor axis = at::stack(rows);                         // [block, blocks]
    place = (place.unsqueeze(1).unsqueeze(3) * padded[i] + axis.unsqueeze(0).unsqueeze(2))
                .reshape({place.size(0) * block[i], place.size(1) * blocks});
  }
  check_sizes(call, padded);
  const int64_t n = x.size(0), c = x.size(1) / elements;
  if (place.size(1) != x.size(2)) refuse(call, cat(x.size(2), " blocks instead of ", place.size(1)));
  Tensor y = at::zeros({n, c, product(padded)}, x.options())
                 .index_add(2, place.reshape({-1}), x.reshape({n, c, elements * x.size(2)}));
  Sizes sizes{n, c};
  sizes.insert(sizes.end(), padded.begin(), padded.end());
  y = y.reshape(sizes);
  for (size_t i = 0; i < rank; ++i) y = y.narrow(static_cast<int64_t>(i) + 2, pads[i], image[i]);
  return {y};
}

}  // namespace

std::span<const OpEntry> indexing_ops() {
  static const OpEntry entries[] = {{"", "Col2Im", col2im},
                                    {"", "Compress", compress},
                                    {"", "Gather", gather},
                                    {"", "GatherElements", gather_elements},
                                    {"", "GatherND", gather_nd},
                                    {"", "NonZero", non_zero},
                                    {"", "OneHot", one_hot},
                                    {"", "Scatter", scatter_elements},
                                    {"", "ScatterElements", scatter_elements},
                                    {"", "ScatterND", scatter_nd},
                                    {"", "TensorScatter", tensor_scatter},
                                    {"", "TopK", top_k},
                                    {"", "Unique", unique}};
  return entries;
}

}  // namespace niwaki
