#include "compress/ops/quantization.h"

#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

Tensor floats(const std::vector<float>& numbers) { return at::tensor(numbers, at::kFloat); }

TEST(Quantization, RoundsHalfToEvenThenAddsTheZeroPoint) {
  const Tensor zero = at::tensor({1}, at::kByte).reshape({});
  expect_equal(run_tensor("QuantizeLinear", 13, {floats({0.5F, 1.5F, 2.5F, -9.0F, 999.0F}), at::scalar_tensor(1.0F, at::kFloat), zero}),
               at::tensor({1, 3, 3, 0, 255}, at::kByte));
}

TEST(Quantization, BlocksHaveScalesOfTheirOwn) {
  const Tensor x = floats({1, 2, 10, 20}).reshape({1, 4}), scale = floats({1, 10}).reshape({1, 2});
  const std::map<std::string, Attribute> attributes{{"axis", int64_t{1}}, {"block_size", int64_t{2}}, {"output_dtype", int64_t{22}}};
  const RunValues found = run_op("QuantizeLinear", 21, {x, scale}, attributes);
  EXPECT_EQ(found[0].dtype, DType::int4);
  expect_equal(found[0].tensor, at::tensor({1, 2, 1, 2}, at::kChar).reshape({1, 4}));
  expect_equal(run_tensor("DequantizeLinear", 21, {found[0].tensor, scale}, {{"axis", int64_t{1}}, {"block_size", int64_t{2}}}), x);
  EXPECT_THAT(refusal("DequantizeLinear", 21, {found[0].tensor, scale}, {{"block_size", int64_t{3}}, {"axis", int64_t{0}}}), testing::HasSubstr("E1108"));
}

TEST(Quantization, GradientOfAPairIsOneInsideTheRange) {
  const Tensor x = floats({0.3F, 500.0F}).set_requires_grad(true);
  const Tensor scale = at::scalar_tensor(1.0F, at::kFloat), zero = at::zeros({}, at::kChar);
  const RunValues q = run_op("QuantizeLinear", 13, {x, scale, zero});
  EXPECT_EQ(q[0].dtype, DType::int8);
  const Tensor y = run_tensor("DequantizeLinear", 13, {q[0].tensor, scale, zero});
  EXPECT_TRUE(at::equal(y.detach(), floats({0, 127})));
  y.sum().backward();
  expect_equal(x.grad(), floats({1, 0}));
}

TEST(Quantization, MatMulIsExact) {
  const Tensor a = at::full({2, 1000}, 255, at::kByte), b = at::full({1000, 3}, 255, at::kByte), one = at::scalar_tensor(1.0F, at::kFloat);
  const Tensor zero = at::zeros({}, at::kByte), y_scale = at::scalar_tensor(65025000.0F / 200, at::kFloat);
  expect_equal(run_tensor("QLinearMatMul", 21, {a, one, zero, b, one, zero, y_scale, zero}), at::full({2, 3}, 200, at::kByte));
}

}  // namespace
}  // namespace niwaki
