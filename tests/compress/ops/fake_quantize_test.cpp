#include "compress/ops/fake_quantize.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

namespace niwaki {
namespace {

struct Gradients {
  Tensor x, scale;
};

Gradients gradients(const Tensor& x, const Tensor& scale, const Tensor& zero, double least, double most, double share = 1) {
  const Tensor a = x.clone().set_requires_grad(true), s = scale.clone().set_requires_grad(true);
  const Tensor y = fake_quantized(a, s, zero, least, most, share);
  const auto made = torch::autograd::grad({y.sum()}, {a, s});
  return {made[0], made[1]};
}

// T39: by hand, s = 0.5, codes -2 .. 2: v = 0.8, -1.5, 3, -4.2
TEST(FakeQuantize, HasTheGradientsOfLearnedSteps) {
  const Tensor x = at::tensor({0.4f, -0.75f, 1.5f, -2.1f});
  const Gradients one = gradients(x, at::tensor({0.5f}), {}, -2, 2);
  EXPECT_TRUE(at::equal(one.x, at::tensor({1.0f, 1.0f, 0.0f, 0.0f})));
  EXPECT_NEAR(one.scale.item<float>(), (1 - 0.8) + (-2 + 1.5) + 2 - 2, 1e-6);
  EXPECT_NEAR(gradients(x, at::tensor({0.5f}), {}, -2, 2, 0.25).scale.item<float>(), 0.25 * (0.2 - 0.5), 1e-6);
  // a scale per row goes the other way through the code
  const Gradients rows = gradients(x.reshape({2, 2}), at::tensor({0.5f, 0.5f}).reshape({2, 1}), {}, -2, 2);
  EXPECT_TRUE(at::equal(rows.x.reshape({-1}), one.x));
  EXPECT_NEAR(rows.scale[0].item<float>(), 0.2 - 0.5, 1e-6);
  EXPECT_NEAR(rows.scale[1].item<float>(), 0, 1e-6);
}

TEST(FakeQuantize, CountsRangesFromTheZeroPoint) {
  // zero_point 1 of 0 .. 3: numbers from -s to 2 s
  const Tensor x = at::tensor({-1.0f, 0.3f, 5.0f}), zero = at::tensor(1.0f);
  const Gradients made = gradients(x, at::tensor({0.5f}), zero, 0, 3);
  EXPECT_TRUE(at::equal(made.x, at::tensor({0.0f, 1.0f, 0.0f})));
  EXPECT_NEAR(made.scale.item<float>(), -1 + (1 - 0.6) + 2, 1e-6);
  const Tensor y = fake_quantized(x, at::tensor({0.5f}), zero, 0, 3, 1);
  EXPECT_TRUE(at::equal(y, at::tensor({-0.5f, 0.5f, 1.0f})));
}

TEST(FakeQuantize, RoundsAsQuantizeLinearDoes) {
  at::manual_seed(1);
  const Tensor x = at::randn({3, 4, 5, 7}).contiguous(at::MemoryFormat::ChannelsLast) * 3, zero = at::tensor(77.0f), scale = at::tensor(0.0173f);
  const Tensor codes = quantized_codes(x, scale, zero, 0, 255);
  EXPECT_TRUE(at::equal(fake_quantized(x, scale, zero, 0, 255, 1), (codes - zero) * scale));
  EXPECT_TRUE(at::equal(codes, (at::round(x / scale) + zero).clamp(0, 255)));
  const Tensor halves = at::tensor({0.5f, 1.5f, 2.5f, -0.5f});
  EXPECT_TRUE(at::equal(fake_quantized(halves, at::tensor(1.0f), {}, -8, 7, 1), at::tensor({0.0f, 2.0f, 2.0f, 0.0f})));
}

RunValues call(const char* op, RunValues inputs, std::map<std::string, Attribute> attributes = {}) {
  const Node node{.op = op, .domain = kTrainDomain, .attributes = std::move(attributes)};
  return find_op(kTrainDomain, op)({node, 0, inputs, {}});
}

TEST(FakeQuantize, KeepsScalesPositive) {
  const Tensor initial = at::tensor({0.1f, 0.2f});
  EXPECT_TRUE(at::equal(call("TrainScale", {initial, at::zeros({2})})[0].tensor, initial));
  EXPECT_GT(call("TrainScale", {initial, at::full({2}, -60.0f)})[0].tensor.min().item<float>(), 0);
  const Tensor half = call("TrainScale", {initial.to(at::kHalf), at::full({2}, 0.01f)}, {{"half", int64_t{1}}})[0].tensor;
  EXPECT_TRUE(at::equal(half, half.to(at::kHalf).to(at::kFloat)));
}

TEST(FakeQuantize, StartsFromNumbersThatHaveTheCodes) {
  at::manual_seed(2);
  const Tensor x = at::randn({6, 40}), scale = at::rand({6, 3}) * 0.1 + 0.1;
  const Node node{.op = "FakeQuantize", .domain = kTrainDomain, .attributes = {{"axis", int64_t{1}}, {"block_size", int64_t{16}}, {"least", int64_t{-8}}, {"most", int64_t{7}}}};
  const Tensor wanted = at::randint(-8, 8, {6, 40}).to(at::kFloat);
  const RunValues inputs{x, scale};
  const RunValues moved{rounding_to({node, 0, inputs, {}}, wanted), scale};
  EXPECT_TRUE(at::equal(codes_of({node, 0, moved, {}}), wanted));
  const Tensor own = codes_of({node, 0, inputs, {}});
  EXPECT_LT((rounding_to({node, 0, inputs, {}}, own) - x).abs().max().item<float>(), 1e-3f);
}

TEST(FakeQuantize, RoundsBiasesAtTheProductOfScales) {
  const Tensor bias = at::tensor({0.123f, -4.0f}), input = at::tensor(0.01f), weight = at::tensor({0.003f, 0.5f});
  const Tensor y = call("FakeQuantizeBias", {bias, input, weight})[0].tensor;
  EXPECT_TRUE(at::equal(y, bias_codes(bias, weight * input).to(at::kFloat) * (weight * input)));
  EXPECT_LE((y - bias).abs()[0].item<float>(), 0.5f * 0.01f * 0.003f + 1e-8f);
}

}  // namespace
}  // namespace niwaki
