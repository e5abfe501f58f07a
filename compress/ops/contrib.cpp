#include "compress/ops/contrib_quantized.h"
#include "compress/ops/numeric.h"
#include "compress/ops/quantization.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace niwaki {
namespace {

/// The result of an ai.onnx operator on these inputs, with the attributes of this node.
Tensor plain_result(const OpCall& call, const char* op, const RunValues& inputs) {
  return find_op("", op)({call.node, 17, inputs, {}}).at(0).tensor;
}

std::vector<float> floats_attribute(const OpCall& call, const std::string& name) {
  const auto found = call.node.attributes.find(name);
  const auto* given = found == call.node.attributes.end() ? nullptr : std::get_if<std::vector<float>>(&found->second);
  return given == nullptr ? std::vector<float>{} : *given;
}

/// The activation that ONNX Runtime fused behind a product.
Tensor activated(const OpCall& call, const Tensor& x, double alpha, double beta) {
  const std::string name = string_attribute(call.node, "activation", "");
  if (name.empty()) return x;
  if (name == "Relu") return at::relu(x);
  if (name == "Sigmoid") return at::sigmoid(x);
  if (name == "Tanh") return at::tanh(x);
  if (name == "LeakyRelu") return at::leaky_relu(x, alpha);
  if (name == "Clip") return x.clamp(alpha, beta);
  if (name == "HardSigmoid") return (x * alpha + beta).clamp(0, 1);
  if (name == "Softplus") return at::softplus(x);
  if (name == "Elu") return at::elu(x, alpha);
  refuse_unsupported(call, cat("activation '", printable(name), "'"));
}

RunValues fused_conv(const OpCall& call) {
  RunValues inputs(call.inputs.begin(), call.inputs.begin() + static_cast<int64_t>(std::min<size_t>(call.inputs.size(), 3)));
  Tensor y = plain_result(call, "Conv", inputs);
  if (call.has(3)) y = y + call.tensor(3);
  const std::vector<float> given = floats_attribute(call, "activation_params");
  const double alpha = !given.empty() ? given[0] : 0.01, beta = given.size() > 1 ? given[1] : 0.5;
  return {activated(call, y, alpha, beta)};
}

RunValues fused_gemm(const OpCall& call) {
  const Tensor y = plain_result(call, "Gemm", {call.inputs.begin(), call.inputs.end()});
  return {activated(call, y, float_attribute(call.node, "activation_alpha", 0.01F), float_attribute(call.node, "activation_beta", 0.5F))};
}

/// The factor of a FusedMatMul: the batch axis moved behind the others, then the last two swapped, where asked for.
Tensor factor(const OpCall& call, size_t i, const char* transposed, const char* batch_transposed) {
  Tensor x = call.tensor(i);
  if (call.attribute(batch_transposed, 0) != 0 && x.dim() > 2) x = x.movedim(0, x.dim() - 2);
  if (call.attribute(transposed, 0) != 0 && x.dim() > 1) x = x.transpose(-1, -2);
  return x;
}

RunValues fused_mat_mul(const OpCall& call) {
  const Tensor y = at::matmul(factor(call, 0, "transA", "transBatchA"), factor(call, 1, "transB", "transBatchB"));
  const float alpha = float_attribute(call.node, "alpha", 1.0F);
  return {alpha == 1.0F ? y : y * alpha};
}

RunValues bias_gelu(const OpCall& call) { return {at::gelu(call.tensor(0) + call.tensor(1))}; }
RunValues gelu(const OpCall& call) { return {at::gelu(call.tensor(0))}; }
RunValues fast_gelu(const OpCall& call) {
  return {at::gelu(call.has(1) ? call.tensor(0) + call.tensor(1) : call.tensor(0), "tanh")};
}
RunValues quick_gelu(const OpCall& call) {
  return {call.tensor(0) * at::sigmoid(call.tensor(0) * float_attribute(call.node, "alpha", 1.702F))};
}

RunValues layer_normalization(const OpCall& call) { return find_op("", "LayerNormalization")(call); }

RunValues skip_layer_normalization(const OpCall& call) {
  Tensor sum = call.tensor(0) + call.tensor(1);
  if (call.has(4)) sum = sum + call.tensor(4);
  const Tensor beta = call.has(3) ? call.tensor(3) : Tensor();
  const double epsilon = float_attribute(call.node, "epsilon", 1e-12F);
  auto [y, mean, deviation] = at::native_layer_norm(sum, {sum.size(-1)}, call.tensor(2), beta, epsilon);
  return {y, mean, deviation, sum};
}

RunValues skip_simplified_layer_normalization(const OpCall& call) {
  Tensor sum = call.tensor(0) + call.tensor(1);
  if (call.has(3)) sum = sum + call.tensor(3);
  const Tensor wide = at_least_float32(sum);
  const Tensor inverse = at::rsqrt(wide.square().mean(-1, true) + float_attribute(call.node, "epsilon", 1e-12F));
  return {(wide * inverse).to(sum.scalar_type()) * call.tensor(2), RunValue(), inverse, sum};
}

RunValues simplified_layer_normalization(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  const int64_t axis = front_axis(call, call.attribute("axis", -1), x.dim());
  std::vector<int64_t> axes;
  for (int64_t i = axis; i < x.dim(); ++i) axes.push_back(i);
  const Tensor wide = at_least_float32(x);
  const Tensor inverse = at::rsqrt(wide.square().mean(axes, true) + float_attribute(call.node, "epsilon", 1e-5F));
  return {(wide * inverse).to(x.scalar_type()) * call.tensor(1), inverse};
}

/// Rows of a table, by indices of any shape: [..., width].
Tensor looked_up(const Tensor& table, const Tensor& indices) { return at::embedding(table, indices.to(at::kLong)); }

RunValues embed_layer_normalization(const OpCall& call) {
  const Tensor& words = call.tensor(0);          // [batch, length]
  const Tensor places = call.has(8) ? call.tensor(8) : at::arange(words.size(1), words.options()).unsqueeze(0);
  Tensor sum = looked_up(call.tensor(2), words) + looked_up(call.tensor(3), places);
  if (call.has(1) && call.has(4)) sum = sum + looked_up(call.tensor(4), call.tensor(1));
  const Tensor y = at::layer_norm(sum, {sum.size(-1)}, call.tensor(5), call.tensor(6), float_attribute(call.node, "epsilon", 1e-12F));
  const Tensor lengths = call.has(7) ? call.tensor(7).sum(1).to(at::kInt) : at::zeros({words.size(0)}, words.options().dtype(at::kInt));
  return {y, lengths, sum};
}

RunValues rotary_embedding(const OpCall& call) {
  const Tensor& given = call.tensor(0);          // [batch, length, hidden] or [batch, heads, length, head]
  const Tensor &cosines = call.tensor(2), &sines = call.tensor(3);           // [longest, rotated / 2]
  const int64_t rotated = 2 * cosines.size(-1);
  if (given.dim() != 3 && given.dim() != 4) refuse(call, cat("a tensor of rank ", given.dim()));
  const int64_t heads = call.attribute("num_heads", 0);
  const int64_t head = given.dim() == 4 ? given.size(3) : (heads > 0 ? given.size(2) / heads : rotated);
  const Tensor x = given.dim() == 4 ? given : given.reshape({given.size(0), given.size(1), -1, head}).transpose(1, 2);
  if (rotated > head) refuse(call, cat("rotates ", rotated, " of ", head, " elements"));
  Tensor places = call.tensor(1).to(at::kLong);
  if (places.numel() == 1) places = places.reshape({1, 1}) + at::arange(x.size(2), places.options());
  if (places.dim() == 1) places = places.unsqueeze(0);
  const Tensor c = looked_up(cosines, places).unsqueeze(1), s = looked_up(sines, places).unsqueeze(1);   // [batch, 1, length, half]
  const Tensor part = x.narrow(3, 0, rotated);
  Tensor turned;
  if (call.attribute("interleaved", 0) != 0) {
    const Tensor a = part.slice(3, 0, rotated, 2), b = part.slice(3, 1, rotated, 2);
    turned = at::stack({a * c - b * s, b * c + a * s}, -1).flatten(3);
  } else {
    const Tensor a = part.narrow(3, 0, rotated / 2), b = part.narrow(3, rotated / 2, rotated / 2);
    turned = at::cat({a * c - b * s, b * c + a * s}, 3);
  }
  const Tensor y = rotated == head ? turned : at::cat({turned, x.narrow(3, rotated, head - rotated)}, 3);
  return {given.dim() == 4 ? y : y.transpose(1, 2).reshape(given.sizes())};
}

/// Adds to scores [batch, heads, length, keys] what hides keys: a mask [batch, keys], lengths [batch], or none.
Tensor masked(const OpCall& call, Tensor scores) {
  if (call.has(3)) {
    const Tensor& mask = call.tensor(3);
    const int64_t batch = scores.size(0), keys = scores.size(3);
    Tensor seen;
    if (mask.dim() == 2) seen = mask.reshape({batch, 1, 1, keys}) != 0;
    else if (mask.dim() == 3) seen = mask.unsqueeze(1) != 0;
    else if (mask.dim() == 1 && mask.numel() == batch) seen = at::arange(keys, mask.options()) < mask.reshape({batch, 1, 1, 1});
    else refuse_unsupported(call, cat("a mask of sizes ", shape_text(mask.sizes())));
    scores = scores.masked_fill(seen.logical_not(), float_attribute(call.node, "mask_filter_value", -10000.0F));
  }
  if (call.attribute("unidirectional", 0) == 0) return scores;
  const Tensor later = at::ones({scores.size(2), scores.size(3)}, scores.options().dtype(at::kBool)).triu(1);
  return scores.masked_fill(later, -std::numeric_limits<double>::infinity());
}

RunValues attention(const OpCall& call) {
  if (call.has(4) || call.has(6)) refuse_unsupported(call, "past keys and values");
  const Tensor& x = call.tensor(0);              // [batch, length, input]
  const int64_t heads = call.attribute("num_heads", 0);
  Tensor all = at::matmul(x, call.tensor(1));    // [batch, length, q + k + v]
  if (call.has(2)) all = all + call.tensor(2);
  std::vector<int64_t> widths = ints_attribute(call.node, "qkv_hidden_sizes");
  if (widths.empty()) widths.assign(3, all.size(2) / 3);
  if (heads <= 0 || widths.size() != 3 || widths[0] % heads != 0 || widths[2] % heads != 0) {
    refuse(call, cat(heads, " heads, hidden sizes ", shape_text(widths)));
  }
  const auto parts = all.split_with_sizes(widths, 2);
  const auto by_head = [&](const Tensor& part) { return part.unflatten(2, {heads, -1}).transpose(1, 2); };
  const Tensor q = by_head(parts[0]), k = by_head(parts[1]), v = by_head(parts[2]);
  const float given_scale = float_attribute(call.node, "scale", 0.0F);
  const double scale = given_scale != 0 ? given_scale : 1 / std::sqrt(static_cast<double>(q.size(3)));
  Tensor scores = at::matmul(q, k.transpose(2, 3)) * scale;
  if (call.has(5)) scores = scores + call.tensor(5);
  const Tensor y = at::matmul(at::softmax(masked(call, scores), -1), v);
  return {y.transpose(1, 2).flatten(2)};
}

}  // namespace

std::span<const OpEntry> contrib_ops() {
  static constexpr std::string_view kMicrosoft = "com.microsoft";
  static const OpEntry entries[] = {{"", "SimplifiedLayerNormalization", simplified_layer_normalization},
                                    {kMicrosoft, "Attention", attention},
                                    {kMicrosoft, "BiasGelu", bias_gelu},
                                    {kMicrosoft, "DequantizeLinear", dequantize_linear},
                                    {kMicrosoft, "DynamicQuantizeMatMul", dynamic_quantize_mat_mul},
                                    {kMicrosoft, "EmbedLayerNormalization", embed_layer_normalization},
                                    {kMicrosoft, "FastGelu", fast_gelu},
                                    {kMicrosoft, "FusedConv", fused_conv},
                                    {kMicrosoft, "FusedGemm", fused_gemm},
                                    {kMicrosoft, "FusedMatMul", fused_mat_mul},
                                    {kMicrosoft, "GatherBlockQuantized", gather_block_quantized},
                                    {kMicrosoft, "Gelu", gelu},
                                    {kMicrosoft, "LayerNormalization", layer_normalization},
                                    {kMicrosoft, "MatMulIntegerToFloat", mat_mul_integer_to_float},
                                    {kMicrosoft, "MatMulNBits", mat_mul_n_bits},
                                    {kMicrosoft, "QGemm", q_gemm},
                                    {kMicrosoft, "QLinearAdd", q_linear_add},
                                    {kMicrosoft, "QLinearAveragePool", q_linear_average_pool},
                                    {kMicrosoft, "QLinearConcat", q_linear_concat},
                                    {kMicrosoft, "QLinearGlobalAveragePool", q_linear_global_average_pool},
                                    {kMicrosoft, "QLinearLeakyRelu", q_linear_leaky_relu},
                                    {kMicrosoft, "QLinearMul", q_linear_mul},
                                    {kMicrosoft, "QLinearSigmoid", q_linear_sigmoid},
                                    {kMicrosoft, "QuantizeLinear", quantize_linear},
                                    {kMicrosoft, "QuickGelu", quick_gelu},
                                    {kMicrosoft, "RotaryEmbedding", rotary_embedding},
                                    {kMicrosoft, "SkipLayerNormalization", skip_layer_normalization},
                                    {kMicrosoft, "SkipSimplifiedLayerNormalization", skip_simplified_layer_normalization}};
  return entries;
}

}  // namespace niwaki
