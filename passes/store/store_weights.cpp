#include "passes/store/store_weights.h"

#include "compress/error.h"
#include "compress/packing.h"
#include "passes/store/stored_form.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace niwaki {
namespace {

constexpr double kLeastSqnr = 10;            // dB: below it a weight stays as it is
constexpr double kLeastHalf = 6.2e-5, kMostHalf = 65000;   // normal numbers of float16
constexpr double kFewNumbers = 0.4, kLeastShare = 1.0 / 64;   // share that is not zero: below, zeros are not stored
constexpr int kSteps8 = 24, kSteps4 = 60;    // hundredths of the range that clipping may cut

struct Slot {
  std::string_view domain, op;
  size_t index;
};
constexpr std::array kSlots = {
    Slot{"", "Conv", 1}, Slot{"", "ConvTranspose", 1}, Slot{"", "DeformConv", 1}, Slot{"", "Gemm", 0}, Slot{"", "Gemm", 1},
    Slot{"", "MatMul", 0}, Slot{"", "MatMul", 1}, Slot{"", "Gather", 0}, Slot{"", "LSTM", 1}, Slot{"", "LSTM", 2},
    Slot{"", "GRU", 1}, Slot{"", "GRU", 2}, Slot{"", "RNN", 1}, Slot{"", "RNN", 2}, Slot{"", "Einsum", 0}, Slot{"", "Einsum", 1},
    Slot{"com.microsoft", "Attention", 1}, Slot{"com.microsoft", "FusedMatMul", 0}, Slot{"com.microsoft", "FusedMatMul", 1}};

/// A weight and the nodes that read it; how is the first reader's view.
struct Weight {
  ValueId id;
  std::vector<int64_t> channels;             // axes whose indices have scales of their own
  std::vector<NodeId> readers;
};

/// The numbers of a weight in the shape in which they are scaled.
struct Layout {
  std::vector<int64_t> sizes, scaled;        // scaled: axes whose indices have scales of their own
};

bool is_weight_type(DType dtype) { return dtype == DType::float32 || dtype == DType::float16; }

std::vector<int64_t> channel_axes(const Node& node, size_t index, int64_t rank) {
  if (node.op == "Conv" || node.op == "DeformConv" || node.op == "Einsum") return {0};
  if (node.op == "ConvTranspose") return {1};
  if (node.op == "Gemm") return {int_attribute(node, index == 0 ? "transA" : "transB", 0) != (index == 0 ? 0 : 1) ? int64_t{1} : int64_t{0}};
  if (node.op == "Gather") return {(int_attribute(node, "axis", 0) + rank) % rank};
  if (node.op == "LSTM" || node.op == "GRU" || node.op == "RNN") return {0, 1};
  std::vector<int64_t> axes(static_cast<size_t>(rank) - 1);
  std::iota(axes.begin(), axes.end(), 0);
  axes.back() = index == 0 && node.op != "Attention" ? rank - 2 : rank - 1;
  return axes;
}

/// Weights in the order of their first readers.
std::vector<Weight> weights_of(const Graph& graph) {
  std::vector<Weight> weights;
  for (const NodeId id : graph.all_nodes()) {
    const Node& node = graph.node(id);
    for (const Slot& slot : kSlots) {
      const bool is_here = node.op == slot.op && (is_default_domain(node.domain) ? "" : node.domain) == slot.domain && slot.index < node.inputs.size();
      const Constant* constant = is_here ? graph.constant(node.inputs[slot.index]) : nullptr;
      if (constant == nullptr || constant->sizes.size() < 2 || !is_float(constant->dtype)) continue;
      const ValueId value = node.inputs[slot.index];
      auto found = std::find_if(weights.begin(), weights.end(), [&](const Weight& one) { return one.id == value; });
      if (found == weights.end()) {
        found = weights.insert(weights.end(), {value, channel_axes(node, slot.index, static_cast<int64_t>(constant->sizes.size())), {}});
      }
      if (found->readers.empty() || found->readers.back() != id) found->readers.push_back(id);
    }
  }
  return weights;
}

int64_t product(const std::vector<int64_t>& sizes) { return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>()); }

/// The divisor of n that is nearest to the block size, as a ratio.
int64_t block_of(int64_t n, int64_t block_size) {
  int64_t best = n;
  for (int64_t block = 1; block <= n; ++block) {
    const auto ratio = [&](int64_t size) { return std::max(size, block_size) * 1.0 / std::min(size, block_size); };
    if (n % block == 0 && ratio(block) < ratio(best)) best = block;
  }
  return best;
}

Layout layout_of(const Constant& weight, const std::vector<int64_t>& channels, Granularity granularity, int64_t block_size) {
  const auto rank = static_cast<int64_t>(weight.sizes.size());
  if (granularity == Granularity::per_tensor) return {weight.sizes, {}};
  if (granularity == Granularity::per_channel) return {weight.sizes, channels};
  if (channels.size() == 1 && channels[0] == rank - 1) {                  // [inputs, outputs]: blocks down the inputs
    const int64_t inputs = product(weight.sizes) / weight.sizes.back(), block = block_of(inputs, block_size);
    return {{inputs / block, block, weight.sizes.back()}, {0, 2}};
  }
  const size_t leading = channels.size() == 2 && channels[1] == 1 ? 2 : 1;   // recurrent: [directions, outputs, inputs]
  const int64_t rows = product({weight.sizes.begin(), weight.sizes.begin() + static_cast<int64_t>(leading)});
  const int64_t n = product(weight.sizes) / std::max<int64_t>(rows, 1), block = block_of(n, block_size);
  return {{rows, n / block, block}, {0, 1}};
}

struct Quantized {
  Tensor codes, scale;                       // int8 [layout.sizes]; float32, broadcast against it
};

Quantized quantize_weight(const Tensor& weight, const Layout& layout, int bits, bool half_scale) {
  const int64_t most = bits == 8 ? 127 : 7, least = bits == 8 ? -127 : -8;
  const Tensor x = weight.to(at::kFloat).reshape(layout.sizes);
  std::vector<int64_t> order = layout.scaled, scale_sizes(layout.sizes.size(), 1);
  for (const int64_t axis : layout.scaled) scale_sizes[static_cast<size_t>(axis)] = x.size(axis);
  for (int64_t axis = 0; axis < x.dim(); ++axis) {
    if (std::find(layout.scaled.begin(), layout.scaled.end(), axis) == layout.scaled.end()) order.push_back(axis);
  }
  const Tensor ordered = x.permute(order), rows = ordered.reshape({product(scale_sizes), -1});
  Tensor scale = least_squares_scale(rows, least, most, bits == 8 ? kSteps8 : kSteps4);
  if (half_scale) scale = scale.to(at::kHalf).to(at::kFloat);
  std::vector<int64_t> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  const Tensor codes = balanced_codes(rows, scale, least, most).reshape(ordered.sizes()).permute(back);
  return {codes.to(at::kChar).contiguous(), scale.reshape(scale_sizes)};
}

bool fits_half(const Tensor& scale) { return scale.min().item<double>() >= kLeastHalf && scale.max().item<double>() <= kMostHalf; }

StoredForm::Term scale_term(StoredForm& form, Tensor scale, bool half_scale) {
  while (scale.dim() > 0 && scale.size(0) == 1) scale = scale.squeeze(0);
  const auto term = form.constant(scale.to(half_scale ? at::kHalf : at::kFloat));
  return half_scale ? form.cast(term, DType::float32) : term;
}

double share_of_numbers(const Tensor& x) { return static_cast<double>(x.ne(0).sum().item<int64_t>()) / static_cast<double>(std::max<int64_t>(x.numel(), 1)); }

/// The codes as float32, in the shape of the codes, or with pairs of the last axis on an axis of their own.
StoredForm::Term code_term(const Graph& graph, StoredForm& form, const Tensor& codes, int bits, std::vector<int64_t>& sizes) {
  if (bits == 8 || share_of_numbers(codes) < kFewNumbers) return form.cast(form.constant(codes), DType::float32);
  if (graph.opset() >= 21) return form.cast(form.constant(codes, DType::int4), DType::float32);
  const Tensor table = unpack(at::arange(256, at::kByte), DType::int4, 512).reshape({256, 2});
  const auto pairs = form.cast(form.constant(table), DType::float32);
  std::vector<int64_t> packed = sizes;
  const bool is_odd = sizes.back() % 2 != 0;
  if (is_odd) {
    packed = {codes.numel() / 2};
  } else {
    packed.back() /= 2;
    sizes.back() /= 2;
    sizes.push_back(2);
  }
  const auto index = form.cast(form.constant(pack(codes, DType::int4).reshape(packed)), DType::int32);
  const auto numbers = form.node("Gather", {pairs, index});
  return is_odd ? form.node("Reshape", {numbers, form.integers(sizes)}) : numbers;
}

StoredForm integer_form(const Graph& graph, const Constant& weight, const Layout& layout, const Quantized& quantized, int bits, bool half_scale) {
  StoredForm form;
  std::vector<int64_t> sizes = layout.sizes;
  const auto codes = code_term(graph, form, quantized.codes, bits, sizes);
  std::vector<int64_t> scale_sizes = quantized.scale.sizes().vec();
  if (sizes.size() > layout.sizes.size()) {                               // pairs: the scale's last axis splits too
    const bool is_shared = scale_sizes.back() == 1;
    scale_sizes.back() = is_shared ? 1 : scale_sizes.back() / 2;
    scale_sizes.push_back(is_shared ? 1 : 2);
  }
  auto term = form.node("Mul", {codes, scale_term(form, quantized.scale.reshape(scale_sizes), half_scale)});
  if (sizes != weight.sizes) term = form.node("Reshape", {term, form.integers(weight.sizes)});
  if (weight.dtype != DType::float32) form.cast(term, weight.dtype);
  return form;
}

/// Behind DequantizeLinear, which has scales along one axis at most.
std::optional<StoredForm> plain_form(const Graph& graph, const Constant& weight, const std::vector<int64_t>& channels, Granularity granularity) {
  if (channels.size() != 1 && granularity != Granularity::per_tensor) return std::nullopt;
  const bool by_channel = granularity == Granularity::per_channel;
  if (weight.dtype != DType::float32 || graph.opset() < (by_channel ? 13 : 10)) return std::nullopt;
  const Quantized quantized = quantize_weight(values(weight), layout_of(weight, channels, granularity, 0), 8, false);
  StoredForm form;
  const auto codes = form.constant(quantized.codes), scale = form.constant(quantized.scale.reshape(by_channel ? at::IntArrayRef{-1} : at::IntArrayRef{}));
  if (by_channel) form.node("DequantizeLinear", {codes, scale}, {{"axis", channels[0]}});
  else form.node("DequantizeLinear", {codes, scale});
  return form;
}

/// The smallest form of the weight in `bits` bits or in 8, with the bytes that it adds to the file.
std::pair<StoredForm, int64_t> smallest_form(const Graph& graph, const ConstantStore& store, const Weight& weight, const StoreWeightsOptions& options) {
  const Constant& constant = *graph.constant(weight.id);
  if (options.plain && options.bits == 8) {
    auto plain = plain_form(graph, constant, weight.channels, options.granularity.value_or(Granularity::per_channel));
    if (plain) {
      const int64_t growth = store.growth(weight.id, *plain);
      return {*std::move(plain), growth};
    }
  }
  const double share = share_of_numbers(values(constant));
  const bool is_sparse = share < kFewNumbers;                             // blocks have as many numbers as without zeros
  const int64_t block_size = is_sparse ? std::llround(static_cast<double>(options.block_size) / std::max(share, kLeastShare)) : options.block_size;
  std::optional<std::pair<StoredForm, int64_t>> best;
  for (const int bits : {options.bits, 8}) {
    if (bits == 4 && element_count(constant) % 2 != 0 && !is_sparse) continue;
    const Granularity otherwise = bits == 4 ? Granularity::per_block : Granularity::per_channel;
    const Layout layout = layout_of(constant, weight.channels, bits == options.bits ? options.granularity.value_or(otherwise) : otherwise, block_size);
    for (const bool half_scale : {true, false}) {
      const Quantized quantized = quantize_weight(values(constant), layout, bits, half_scale);
      if (half_scale && !fits_half(quantized.scale)) continue;
      StoredForm form = integer_form(graph, constant, layout, quantized, bits, half_scale);
      const int64_t growth = store.growth(weight.id, form);
      if (!best || growth < best->second) best.emplace(std::move(form), growth);
    }
    if (options.bits == 8 || is_sparse) break;
  }
  return *best;
}

/// Why a weight stays as it is, or "".
std::string reason_to_keep(const Graph& graph, const ConstantStore& store, const Weight& weight, const PassContext& context) {
  const Constant& constant = *graph.constant(weight.id);
  if (!is_weight_type(constant.dtype)) return cat("its weight is ", name_of(constant.dtype));
  if (const std::string obstacle = store.obstacle(weight.id); !obstacle.empty()) return cat("its weight ", obstacle);
  for (const NodeId reader : graph.consumers(weight.id)) {
    if (is_selected(graph, reader, context.keep, context.only)) continue;
    return std::find(weight.readers.begin(), weight.readers.end(), reader) != weight.readers.end() && weight.readers.size() == 1
               ? "kept by the caller"
               : cat("its weight is also read by '", printable(graph.label(reader)), "', which is kept");
  }
  if (element_count(constant) == 0) return "its weight is empty";
  return at::isfinite(values(constant)).all().item<bool>() ? "" : "its weight has numbers that are not finite";
}

}  // namespace

void StoreWeightsOptions::validate() const {
  if (bits != 4 && bits != 8) throw UsageError("E2008", cat("option 'bits' is ", bits, "; needed 4 or 8"));
}

void store_weights(Graph& graph, const StoreWeightsOptions& options, PassContext& context) {
  release_constant_inputs(graph, context.report);
  ConstantStore store(graph);
  std::vector<Weight> weights = weights_of(graph);
  // The largest first: it pays for the table that the others share.
  std::stable_sort(weights.begin(), weights.end(), [&](const Weight& a, const Weight& b) { return element_count(*graph.constant(a.id)) > element_count(*graph.constant(b.id)); });
  context.progress.start("store weights", static_cast<int64_t>(weights.size()));
  bool is_changed = false;
  for (const Weight& weight : weights) {
    const auto skip = [&](const std::string& reason) {
      for (const NodeId reader : weight.readers) context.report.skip(graph.label(reader), reason);
    };
    context.progress.advance();
    if (const std::string reason = reason_to_keep(graph, store, weight, context); !reason.empty()) {
      skip(reason);
      continue;
    }
    const auto [form, growth] = smallest_form(graph, store, weight, options);
    if (growth >= 0) {
      skip("its weight would not be smaller");
      continue;
    }
    const double sqnr = sqnr_db(values(*graph.constant(weight.id)), values(expanded(graph, form)));
    if (sqnr < kLeastSqnr) {
      skip(cat("its weight would have a sqnr_db of ", sqnr, ", less than ", kLeastSqnr));
      continue;
    }
    for (const NodeId reader : weight.readers) context.report.change(graph.label(reader), {{"sqnr_db", sqnr}, {"bytes_saved", -growth}});
    store.replace(weight.id, form);
    is_changed = true;
  }
  if (is_changed) drop_described_types(graph, context.report);
}

}  // namespace niwaki
