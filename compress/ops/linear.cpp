#include "compress/error.h"
#include "compress/ops/numeric.h"

namespace niwaki {
namespace {

RunValues det(const OpCall& call) { return {at::det(call.tensor(0))}; }

RunValues einsum(const OpCall& call) {
  std::vector<Tensor> operands;
  for (size_t i = 0; i < call.inputs.size(); ++i) operands.push_back(call.tensor(i));
  std::string equation = string_attribute(call.node, "equation", "");
  std::erase(equation, ' ');
  return {at::einsum(equation, operands)};
}

// Integers: BLAS has no kernels, and alpha and beta may be fractions.
Tensor integer_gemm(const OpCall& call, const Tensor& a, const Tensor& b, double alpha,
                    double beta) {
  Tensor y = at::matmul(a.to(at::kLong), b.to(at::kLong));
  if (alpha != 1) y = y.to(at::kDouble) * alpha;
  if (call.has(2)) {
    const Tensor c = call.tensor(2).to(at::kLong);
    y = beta == 1 ? y + c : y.to(at::kDouble) + c.to(at::kDouble) * beta;
  }
  return y.to(a.scalar_type());
}

RunValues gemm(const OpCall& call) {
  const bool is_b_transposed = call.attribute("transB", 0) != 0;
  const Tensor &first = call.tensor(0), &second = call.tensor(1);
  if (first.dim() != 2 || second.dim() != 2) {
    refuse(call, cat("A ", shape_text(first.sizes()), " and B ", shape_text(second.sizes()),
                     " must be matrices"));
  }
  const Tensor a = call.attribute("transA", 0) != 0 ? first.t() : first;
  const double alpha = number_or(call, "alpha", 1), beta = number_or(call, "beta", 1);
  const Tensor b = is_b_transposed ? second.t() : second;
  if (!a.is_floating_point()) return {integer_gemm(call, a, b, alpha, beta)};
  if (!call.has(2) || beta == 0) return {alpha == 1 ? at::mm(a, b) : at::mm(a, b) * alpha};
  const Tensor& c = call.tensor(2);
  if (is_b_transposed && alpha == 1 && beta == 1 && c.dim() == 1 && c.size(0) == b.size(1)) {
    return {at::linear(a, second, c)};
  }
  return {at::addmm(c, a, b, beta, alpha)};
}

RunValues mat_mul(const OpCall& call) {
  const Tensor &a = call.tensor(0), &b = call.tensor(1);
  if (a.is_floating_point() && !lacks_kernels(a.scalar_type())) return {at::matmul(a, b)};
  return {at::matmul(widened(a), widened(b)).to(a.scalar_type())};
}

// A zero point is one number, or one per row of A, or one per column of B.
Tensor centred(const OpCall& call, size_t operand, size_t zero_point, bool is_by_row) {
  const Tensor x = call.tensor(operand).to(at::kDouble);     // exact: products of 8-bit numbers
  if (!call.has(zero_point)) return x;
  Tensor zero = call.tensor(zero_point).to(at::kDouble);
  if (is_by_row && zero.dim() == 1 && zero.numel() > 1) zero = zero.unsqueeze(1);
  return x - zero;
}

RunValues mat_mul_integer(const OpCall& call) {
  const Tensor y = at::matmul(centred(call, 0, 2, true), centred(call, 1, 3, false));
  return {y.to(at::kInt)};
}

constexpr OpEntry kEntries[] = {
    {"", "Det", det},
    {"", "Einsum", einsum},
    {"", "Gemm", gemm},
    {"", "MatMul", mat_mul},
    {"", "MatMulInteger", mat_mul_integer},
};

}  // namespace

std::span<const OpEntry> linear_ops() { return kEntries; }

}  // namespace niwaki
