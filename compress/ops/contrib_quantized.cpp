#include "compress/ops/contrib_quantized.h"

#include "compress/ops/op_arguments.h"
#include "compress/ops/quantization.h"
#include "compress/packing.h"

namespace niwaki {
namespace {

/// (x - zero point) * scale of three inputs that stand in a row, per tensor.
Tensor dequantized(const OpCall& call, size_t first) {
  return centered(call, first, first + 2, 1).to(at::kFloat) * call.tensor(first + 1).reshape({});
}

/// The result of an ai.onnx operator with the attributes of this node.
Tensor plain_result(const OpCall& call, const char* op, const Tensor& x) {
  const RunValues inputs{x};
  return find_op("", op)({call.node, 13, inputs, {}}).at(0).tensor;
}

/// Unsigned codes of 2, 4 or 8 bits, the first in the low bits: [..., bytes] to [..., bytes * 8 / bits].
Tensor unpacked(const OpCall& call, const Tensor& bytes, int64_t bits) {
  if (bits == 8) return bytes;
  if (bits != 4 && bits != 2) refuse_unsupported(call, cat("weights of ", bits, " bits"));
  std::vector<int64_t> sizes = bytes.sizes().vec();
  sizes.back() *= 8 / bits;
  return unpack(bytes.contiguous().reshape({-1}), bits == 4 ? DType::uint4 : DType::uint2, bytes.numel() * 8 / bits).reshape(sizes);
}

RunValues pooled(const OpCall& call, const char* op) {
  Tensor x = dequantized(call, 0);
  const bool is_channels_last = call.attribute("channels_last", 0) != 0;
  if (is_channels_last) x = x.movedim(-1, 1);
  x = plain_result(call, op, x);
  return {requantized(call, is_channels_last ? x.movedim(1, -1) : x, 3, 4, call.inputs[0].dtype)};
}

/// Scale of a right factor: one, or one per column.
Tensor column_scale(const Tensor& scale) { return scale.numel() == 1 ? scale.reshape({}) : scale; }

}  // namespace

RunValues q_linear_add(const OpCall& call) {
  return {requantized(call, dequantized(call, 0) + dequantized(call, 3), 6, 7, call.inputs[0].dtype)};
}

RunValues q_linear_mul(const OpCall& call) {
  return {requantized(call, dequantized(call, 0) * dequantized(call, 3), 6, 7, call.inputs[0].dtype)};
}

RunValues q_linear_sigmoid(const OpCall& call) {
  return {requantized(call, at::sigmoid(dequantized(call, 0)), 3, 4, call.inputs[0].dtype)};
}

RunValues q_linear_leaky_relu(const OpCall& call) {
  const double alpha = float_attribute(call.node, "alpha", 0.01F);
  return {requantized(call, at::leaky_relu(dequantized(call, 0), alpha), 3, 4, call.inputs[0].dtype)};
}

RunValues q_linear_average_pool(const OpCall& call) { return pooled(call, "AveragePool"); }
RunValues q_linear_global_average_pool(const OpCall& call) { return pooled(call, "GlobalAveragePool"); }

RunValues q_linear_concat(const OpCall& call) {
  std::vector<Tensor> parts;
  for (size_t i = 2; i + 2 < call.inputs.size(); i += 3) parts.push_back(dequantized(call, i));
  if (parts.empty()) refuse(call, "nothing to join");
  const int64_t axis = front_axis(call, call.attribute("axis", 0), parts[0].dim());
  return {requantized(call, at::cat(parts, axis), 0, 1, DType::uint8)};
}

RunValues q_gemm(const OpCall& call) {
  const bool is_b_transposed = call.attribute("transB", 0) != 0;
  Tensor a = centered(call, 0, 2, -1), b = centered(call, 3, 5, is_b_transposed ? 0 : 1);
  if (call.attribute("transA", 0) != 0) a = a.t();
  if (is_b_transposed) b = b.t();
  Tensor sums = integer_product(a, b);
  if (call.has(6)) sums = sums + call.tensor(6);                 // int32 of scale a_scale * b_scale
  const Tensor factor = call.tensor(1).reshape({}) * column_scale(call.tensor(4)) * float_attribute(call.node, "alpha", 1.0F);
  const Tensor y = sums.to(at::kFloat) * factor;
  if (!call.has(7)) return {y};
  return {requantized(call, y, 7, 8, call.inputs[0].dtype)};
}

RunValues mat_mul_integer_to_float(const OpCall& call) {
  const Tensor sums = integer_product(centered(call, 0, 4, -2), centered(call, 1, 5, -1));
  Tensor a_scale = call.tensor(2);
  a_scale = a_scale.numel() == 1 ? a_scale.reshape({}) : a_scale.unsqueeze(-1);
  Tensor y = sums.to(at::kFloat) * (a_scale * column_scale(call.tensor(3)));
  if (call.has(6)) y = y + call.tensor(6);
  return {y};
}

RunValues dynamic_quantize_mat_mul(const OpCall& call) {
  const RunValues a = dynamic_quantize_linear(call);             // of input 0
  const Tensor rows = a[0].tensor.to(at::kDouble) - a[2].tensor.to(at::kDouble);
  const Tensor sums = integer_product(rows, centered(call, 1, 3, -1));
  Tensor y = sums.to(at::kFloat) * (a[1].tensor * column_scale(call.tensor(2)));
  if (call.has(4)) y = y + call.tensor(4);
  return {y};
}

RunValues mat_mul_n_bits(const OpCall& call) {
  const int64_t k = call.attribute("K", 0), n = call.attribute("N", 0), bits = call.attribute("bits", 4);
  const int64_t block_size = call.attribute("block_size", 0);
  if (k <= 0 || n <= 0 || block_size <= 0) refuse(call, cat("K ", k, ", N ", n, ", block_size ", block_size));
  if (call.has(4)) refuse_unsupported(call, "g_idx");
  const int64_t blocks = (k + block_size - 1) / block_size;
  const Tensor& a = call.tensor(0);
  const Tensor q = unpacked(call, call.tensor(1), bits);
  if (q.numel() != n * blocks * block_size || call.tensor(2).numel() != n * blocks) {
    refuse(call, cat("weights of sizes ", shape_text(call.tensor(1).sizes()), ", scales ", shape_text(call.tensor(2).sizes())));
  }
  const Tensor scale = call.tensor(2).reshape({n, blocks, 1}).to(at::kFloat);
  Tensor zero = at::full({1, 1, 1}, static_cast<double>(int64_t{1} << (bits - 1)), scale.options());
  if (call.has(3)) {
    const Tensor given = call.tensor(3);
    const Tensor codes = given.is_floating_point() ? given.reshape({n, blocks}) : unpacked(call, given.reshape({n, -1}), bits);
    zero = codes.narrow(1, 0, blocks).unsqueeze(2).to(at::kFloat);
  }
  const Tensor w = ((q.reshape({n, blocks, block_size}).to(at::kFloat) - zero) * scale).reshape({n, blocks * block_size}).narrow(1, 0, k);
  Tensor y = at::matmul(a, w.t().to(a.scalar_type()));
  if (call.has(5)) y = y + call.tensor(5);
  return {y};
}

RunValues gather_block_quantized(const OpCall& call) {
  const RunValue& data = present(call, 0);
  const bool is_packed_bytes = data.dtype == DType::uint8;
  const int64_t bits = is_packed_bytes ? call.attribute("bits", 4) : bits_of(data.dtype);
  const Tensor codes = is_packed_bytes ? unpacked(call, data.tensor, bits) : data.tensor;
  const int64_t gather_axis = front_axis(call, call.attribute("gather_axis", 0), codes.dim());
  const int64_t axis = front_axis(call, call.attribute("quantize_axis", 1), codes.dim());
  const int64_t block_size = call.attribute("block_size", 128);
  Tensor y = codes.to(at::kFloat);
  const double middle = is_packed_bytes ? static_cast<double>(int64_t{1} << (bits - 1)) : 0.0;
  if (call.has(3)) {
    const Tensor zero = is_packed_bytes ? unpacked(call, call.tensor(3), bits) : call.tensor(3);
    const Tensor fitting = zero.narrow(axis, 0, std::min(zero.size(axis), call.tensor(2).size(axis)));
    y = y - spread_parameters(call, fitting.to(at::kFloat), codes.sizes(), axis, block_size);
  } else {
    y = y - middle;
  }
  y = (y * spread_parameters(call, call.tensor(2).to(at::kFloat), codes.sizes(), axis, block_size)).to(call.tensor(2).scalar_type());
  const Tensor indices = call.tensor(1).to(at::kLong);
  const Tensor front = at::where(indices < 0, indices + y.size(gather_axis), indices);
  std::vector<int64_t> sizes = y.sizes().vec();
  sizes.erase(sizes.begin() + gather_axis);
  sizes.insert(sizes.begin() + gather_axis, front.sizes().begin(), front.sizes().end());
  check_sizes(call, sizes);
  return {y.index_select(gather_axis, front.reshape({-1})).reshape(sizes)};
}

}  // namespace niwaki
