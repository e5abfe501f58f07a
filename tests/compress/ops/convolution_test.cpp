#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;
constexpr double kGradient = 1e-6;

TEST(Convolution, GradientsAreThoseOfFiniteDifferences) {
  const Tensor x = smooth_numbers({1, 2, 4, 5}), w = smooth_numbers({2, 1, 3, 2}, 1), b = smooth_numbers({2}, 2);
  EXPECT_LT(gradient_error("Conv", 11, {x, w, b}, {{"group", int64_t{2}}, {"pads", Ints{1, 0, 2, 1}}}), kGradient);
  EXPECT_LT(gradient_error("Conv", 11, {smooth_numbers({1, 2, 6}), smooth_numbers({3, 2, 3}, 1)},
                           {{"auto_pad", "SAME_UPPER"}, {"strides", Ints{2}}}), kGradient);
  EXPECT_LT(gradient_error("ConvTranspose", 11, {x, smooth_numbers({2, 2, 2, 2}, 3), b},
                           {{"strides", Ints{2, 2}}, {"pads", Ints{0, 1, 1, 0}}}), kGradient);
  const Tensor offset = smooth_numbers({1, 8, 3, 4}, 4) / 5;
  EXPECT_LT(gradient_error("DeformConv", 19, {x, smooth_numbers({2, 2, 2, 2}, 5), offset}), 1e-5);
}

TEST(Convolution, AsymmetricPaddingIsThatOfAPaddedInput) {
  const Tensor x = smooth_numbers({2, 3, 5, 6}), w = smooth_numbers({4, 3, 3, 3}, 1);
  const Tensor by_hand = at::conv2d(at::constant_pad_nd(x, {0, 2, 1, 3}, 0), w);
  EXPECT_TRUE(at::allclose(run_tensor("Conv", 11, {x, w}, {{"pads", Ints{1, 0, 3, 2}}}), by_hand));
}

TEST(Convolution, TransposedIsTheAdjoint) {
  const Tensor x = smooth_numbers({1, 3, 7, 8}), w = smooth_numbers({4, 3, 3, 3}, 1);
  const Attributes attributes{{"pads", Ints{1, 0, 0, 1}}, {"strides", Ints{2, 3}}};
  const Tensor y = run_tensor("Conv", 11, {x, w}, attributes), z = smooth_numbers(y.sizes().vec(), 2);
  Attributes back = attributes;
  back["output_padding"] = Ints{1, 0};
  const Tensor adjoint = run_tensor("ConvTranspose", 11, {z, w}, back);
  ASSERT_EQ(adjoint.sizes(), x.sizes());
  EXPECT_NEAR((y * z).sum().item<double>(), (x * adjoint).sum().item<double>(), 1e-9);
}

TEST(Convolution, IntegersAreExact) {
  const Tensor x = at::full({1, 1, 2, 2}, 255, at::kByte), w = at::full({1, 1, 2, 2}, 3, at::kByte);
  const Tensor zero = at::scalar_tensor(1, at::kLong).to(at::kByte);
  const Tensor y = run_tensor("ConvInteger", 10, {x, w, zero, zero});
  expect_equal(y, at::full({1, 1, 1, 1}, 254 * 2 * 4, at::kInt));
}

TEST(Convolution, DeformedByNothingIsPlain) {
  const Tensor x = smooth_numbers({2, 4, 5, 6}), w = smooth_numbers({6, 2, 3, 3}, 1);
  const Attributes attributes{{"group", int64_t{2}}, {"pads", Ints{1, 1, 1, 1}}, {"offset_group", int64_t{2}}};
  const Tensor y = run_tensor("DeformConv", 19, {x, w, at::zeros({2, 36, 5, 6}, at::kDouble)}, attributes);
  EXPECT_TRUE(at::allclose(y, at::conv2d(x, w, {}, 1, 1, 1, 2)));
}

TEST(Convolution, RefusesShapesThatDoNotFit) {
  const Tensor x = at::ones({1, 3, 4, 4});
  EXPECT_EQ(refusal("Conv", 11, {x, at::ones({2, 4, 3, 3})}),
            "E1108: Conv: input [1, 3, 4, 4], weight [2, 4, 3, 3] and group 1 do not fit");
  EXPECT_EQ(refusal("Conv", 11, {x, at::ones({2, 3, 5, 5})}),
            "E1108: Conv: a window of 5 does not fit spatial axis 0 of size 4");
  EXPECT_EQ(refusal("Conv", 11, {at::ones({1, 3}), at::ones({2, 3})}),
            "E3101: Conv: an input of 2 dimensions; 3 to 5 can run");
}

}  // namespace
}  // namespace niwaki
