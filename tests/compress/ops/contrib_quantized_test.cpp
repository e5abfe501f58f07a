#include "compress/ops/contrib_quantized.h"

#include "tests/compress/ops/run_op.h"
#include "compress/packing.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

RunValues run_contrib(const std::string& op, const RunValues& inputs, const Attributes& attributes = {}) {
  Node node;
  node.op = op;
  node.domain = "com.microsoft";
  node.attributes = attributes;
  node.outputs = {static_cast<ValueId>(1)};
  return find_op("com.microsoft", op)(OpCall{node, 1, inputs, {}});
}

Tensor scale(float number) { return at::scalar_tensor(number, at::kFloat); }

TEST(ContribQuantized, MatMulNBitsRebuildsBlocks) {
  const Tensor codes = at::randint(0, 16, {3, 2, 16}, at::kByte), scales = at::rand({3, 2}), a = at::randn({4, 24});
  const Tensor bytes = pack(codes.reshape({-1}), DType::uint4).reshape({3, 2, 8});
  const Attributes attributes{{"K", int64_t{24}}, {"N", int64_t{3}}, {"bits", int64_t{4}}, {"block_size", int64_t{16}}};
  const Tensor w = ((codes.to(at::kFloat) - 8) * scales.unsqueeze(2)).reshape({3, 32}).narrow(1, 0, 24);
  EXPECT_TRUE(at::allclose(run_contrib("MatMulNBits", {a, bytes, scales}, attributes)[0].tensor, at::matmul(a, w.t()), 1e-5, 1e-5));
  const Tensor zeros = pack(at::tensor({3, 5, 0, 15, 7, 9}, at::kByte), DType::uint4);       // one byte per row
  const Tensor shifted = ((codes.to(at::kFloat) - at::tensor({3, 5, 0, 15, 7, 9}, at::kFloat).reshape({3, 2, 1})) * scales.unsqueeze(2));
  EXPECT_TRUE(at::allclose(run_contrib("MatMulNBits", {a, bytes, scales, zeros}, attributes)[0].tensor,
                           at::matmul(a, shifted.reshape({3, 32}).narrow(1, 0, 24).t()), 1e-5, 1e-5));
}

TEST(ContribQuantized, QLinearAddAddsRealNumbers) {
  const Tensor a = at::tensor({10, 20}, at::kByte), b = at::tensor({30, 40}, at::kByte), zero = at::zeros({}, at::kByte);
  const RunValues y = run_contrib("QLinearAdd", {a, scale(0.5F), zero, b, scale(1.0F), zero, scale(1.0F), zero});
  expect_equal(y[0].tensor, at::tensor({35, 50}, at::kByte));
}

TEST(ContribQuantized, QGemmGivesFloatsWithoutAnOutputScale) {
  const Tensor a = at::tensor({1, 2}, at::kByte).reshape({1, 2}), b = at::tensor({3, 4}, at::kChar).reshape({2, 1});
  const Tensor zero = at::zeros({}, at::kByte), bias = at::tensor({9}, at::kInt);
  const RunValues y = run_contrib("QGemm", {a, scale(0.5F), zero, b, scale(2.0F), zero, bias});
  expect_equal(y[0].tensor, at::full({1, 1}, 20.0, at::kFloat));
}

TEST(ContribQuantized, GatherBlockQuantizedTakesRows) {
  const Tensor codes = at::randint(0, 16, {5, 32}, at::kByte), scales = at::rand({5, 2});
  const Tensor bytes = pack(codes.reshape({-1}), DType::uint4).reshape({5, 16});
  const Tensor y = run_contrib("GatherBlockQuantized", {bytes, at::tensor({4, 0}, at::kLong), scales}, {{"block_size", int64_t{16}}})[0].tensor;
  const Tensor all = ((codes.to(at::kFloat) - 8).reshape({5, 2, 16}) * scales.unsqueeze(2)).reshape({5, 32});
  EXPECT_TRUE(at::allclose(y, at::stack({all[4], all[0]})));
}

}  // namespace
}  // namespace niwaki
