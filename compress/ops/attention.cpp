#include "compress/error.h"
#include "compress/ops/cast.h"
#include "compress/ops/numeric.h"

namespace niwaki {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// [batch, sequence, heads * size] -> [batch, heads, sequence, size]
Tensor split_heads(const OpCall& call, const Tensor& x, const std::string& name) {
  if (x.dim() == 4) return x;
  const int64_t heads = call.attribute(name, 0);
  if (x.dim() != 3 || heads < 1 || x.size(2) % heads != 0) {
    refuse(call, cat("an input ", shape_text(x.sizes()), " with ", name, " ", heads));
  }
  return x.reshape({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

Tensor behind(const OpCall& call, size_t past, const Tensor& now) {
  return call.has(past) ? at::cat({call.tensor(past), now}, 2) : now;
}

Tensor masked(const Tensor& allowed, const at::TensorOptions& options) {
  const Tensor zero = at::zeros({}, options);
  return at::where(allowed, zero, at::full_like(zero, -kInfinity));
}

// How far key j lies behind query i, [queries, keys] or [batch, 1, queries, keys].
Tensor distances(const OpCall& call, int64_t queries, int64_t keys) {
  const auto options = call.tensor(0).options().dtype(at::kLong);
  Tensor distance = at::arange(queries, options).unsqueeze(1) - at::arange(keys, options);
  if (call.has(4)) return distance + call.tensor(4).size(2);
  if (!call.has(6)) return distance;
  const Tensor lengths = call.tensor(6).to(at::kLong).reshape({-1, 1, 1, 1});
  return distance + (lengths - queries);
}

// What is added to the logits: 0 where a key may be seen, -infinity where not, and the given bias.
Tensor attention_bias(const OpCall& call, const Tensor& q, int64_t keys) {
  const auto options = q.options();
  Tensor bias = at::zeros({q.size(2), keys}, options);
  if (call.has(3)) {
    const Tensor& given = call.tensor(3);
    Tensor mask = given.scalar_type() == at::kBool ? masked(given, options) : given;
    const int64_t missing = keys - mask.size(-1);
    if (missing > 0) mask = at::constant_pad_nd(mask, {0, missing}, -kInfinity);
    bias = bias + mask;
  }
  const int64_t left = call.attribute("left_window_size", -1);
  const int64_t right = call.attribute("right_window_size", -1);
  const bool is_causal = call.attribute("is_causal", 0) != 0;
  if (is_causal || left >= 0 || right >= 0) {
    const Tensor distance = distances(call, q.size(2), keys);
    if (is_causal) bias = bias + masked(distance >= 0, options);
    if (left >= 0) bias = bias + masked(distance <= left, options);
    if (right >= 0) bias = bias + masked(distance >= -right, options);
  }
  if (call.has(6)) {
    const Tensor places = at::arange(keys, options.dtype(at::kLong));
    bias = bias + masked(places < call.tensor(6).to(at::kLong).reshape({-1, 1, 1, 1}), options);
  }
  return bias;
}

// A row without any key has no probabilities: zeros, not NaN.
Tensor probabilities(const OpCall& call, const Tensor& logits, const Tensor& bias) {
  const int64_t precision = call.attribute("softmax_precision", 0);
  const Tensor wide =
      precision == 0 ? logits : logits.to(scalar_type(static_cast<DType>(precision)));
  const Tensor is_blind = bias.amax(-1, /*keepdim=*/true) == -kInfinity;
  const Tensor safe = wide.masked_fill(is_blind.expand_as(wide), 0);
  return at::softmax(safe, -1).masked_fill(is_blind, 0).to(logits.scalar_type());
}

RunValues attention(const OpCall& call) {
  const bool is_flat = call.tensor(0).dim() == 3;
  const Tensor q = split_heads(call, call.tensor(0), "q_num_heads");
  const Tensor present_key = behind(call, 4, split_heads(call, call.tensor(1), "kv_num_heads"));
  const Tensor present_value = behind(call, 5, split_heads(call, call.tensor(2), "kv_num_heads"));
  Tensor k = present_key, v = present_value;
  if (k.size(1) == 0 || q.size(1) % k.size(1) != 0) {
    refuse(call, cat(q.size(1), " heads of queries for ", k.size(1), " of keys"));
  }
  const int64_t shared = q.size(1) / k.size(1);                          // grouped queries
  if (shared > 1) {
    k = k.repeat_interleave(shared, 1);
    v = v.repeat_interleave(shared, 1);
  }
  const double size = static_cast<double>(q.size(3));
  const double root = std::sqrt(number_or(call, "scale", 1 / std::sqrt(size)));
  Tensor logits = at::matmul(q * root, (k * root).transpose(-1, -2));
  Tensor shown = logits;
  const double softcap = number_or(call, "softcap", 0);
  if (softcap > 0) logits = at::tanh(logits / softcap) * softcap;
  const int64_t mode = call.attribute("qk_matmul_output_mode", 0);
  if (mode == 1) shown = logits;
  const Tensor bias = attention_bias(call, q, k.size(2));
  logits = logits + bias;
  if (mode == 2) shown = logits;
  const Tensor weights = probabilities(call, logits, bias);
  if (mode == 3) shown = weights;
  Tensor y = at::matmul(weights, v);
  if (is_flat) y = y.transpose(1, 2).flatten(2);
  return {y, present_key, present_value, shown};
}

// Rotates pairs of features: (x1, x2) -> (cos x1 - sin x2, sin x1 + cos x2).
RunValues rotary_embedding(const OpCall& call) {
  const Tensor& given = call.tensor(0);
  const Tensor x = split_heads(call, given, "num_heads").transpose(1, 2);        // [b, s, h, d]
  int64_t size = call.attribute("rotary_embedding_dim", 0);
  if (size == 0) size = x.size(3);
  if (size % 2 != 0 || size > x.size(3)) refuse(call, cat("rotary_embedding_dim ", size));
  Tensor cos = call.tensor(1), sin = call.tensor(2);
  if (call.has(3)) {
    const Tensor places = call.tensor(3).to(at::kLong);
    cos = at::embedding(cos, places);
    sin = at::embedding(sin, places);
  }
  if (cos.size(-1) != size / 2) {
    refuse(call, cat("a cache ", shape_text(cos.sizes()), " for ", size, " rotated features"));
  }
  cos = cos.unsqueeze(2);
  sin = sin.unsqueeze(2);
  const bool is_interleaved = call.attribute("interleaved", 0) != 0;
  const Tensor turned = x.narrow(3, 0, size);
  const int64_t half = size / 2;
  const Tensor x1 = is_interleaved ? turned.slice(3, 0, size, 2) : turned.narrow(3, 0, half);
  const Tensor x2 = is_interleaved ? turned.slice(3, 1, size, 2) : turned.narrow(3, half, half);
  const Tensor real = cos * x1 - sin * x2, imaginary = sin * x1 + cos * x2;
  const Tensor rotated = is_interleaved ? at::stack({real, imaginary}, -1).flatten(3)
                                        : at::cat({real, imaginary}, -1);
  const Tensor y = at::cat({rotated, x.narrow(3, size, x.size(3) - size)}, -1);
  if (given.dim() == 3) return {y.reshape(given.sizes())};
  return {y.transpose(1, 2)};
}

constexpr OpEntry kEntries[] = {
    {"", "Attention", attention},
    {"", "RotaryEmbedding", rotary_embedding},
};

}  // namespace

std::span<const OpEntry> attention_ops() { return kEntries; }

}  // namespace niwaki
