#include "passes/quantize/affine.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Affine, RoundsHalfToEvenAndSaturates) {
  const Affine affine{at::ones({1}), at::zeros({1}, at::kInt), -127, 127};
  const Tensor q = quantize(at::tensor({0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 300.0f, -300.0f}), affine);
  EXPECT_TRUE(at::equal(q, at::tensor({0, 2, 2, 0, -2, 127, -127}, at::kInt))) << q;
}

TEST(Affine, AddsTheZeroPointAfterRounding) {
  const Affine affine{at::full({1}, 0.5), at::full({1}, 128, at::kInt), 0, 255};
  EXPECT_TRUE(at::equal(quantize(at::tensor({0.25f, 0.75f, -64.0f, 100.0f}), affine), at::tensor({128, 130, 0, 255}, at::kInt)));
}

TEST(Affine, RangesIncludeZeroAndFollowTheGranularity) {
  const Tensor x = at::tensor({1.0f, 2.0f, 3.0f, -4.0f, -5.0f, -6.0f}).reshape({2, 3});
  const Ranges tensor = ranges_of(x, Granularity::per_tensor), channel = ranges_of(x, Granularity::per_channel, 0);
  EXPECT_EQ(tensor.low.item<float>(), -6);
  EXPECT_EQ(tensor.high.item<float>(), 3);
  EXPECT_TRUE(at::equal(channel.low, at::tensor({0.0f, -6.0f}).reshape({2, 1})));
  EXPECT_TRUE(at::equal(channel.high, at::tensor({3.0f, 0.0f}).reshape({2, 1})));
  const Ranges block = ranges_of(x, Granularity::per_block, 1, 2);          // the last block is short
  EXPECT_TRUE(at::equal(block.high, at::tensor({2.0f, 3.0f, 0.0f, 0.0f}).reshape({2, 2})));
}

TEST(Affine, ErrorIsAtMostHalfAScale) {
  const Tensor x = random_tensor({8, 50}, 3);
  for (const Granularity granularity : {Granularity::per_tensor, Granularity::per_channel}) {
    for (const int bits : {4, 8}) {
      const Affine symmetric = symmetric_affine(ranges_of(x, granularity), bits), asymmetric = asymmetric_affine(ranges_of(x, granularity), bits);
      EXPECT_TRUE((dequantize(quantize(x, symmetric), symmetric) - x).abs().le(symmetric.scale * 0.5001).all().item<bool>());
      EXPECT_TRUE((dequantize(quantize(x, asymmetric), asymmetric) - x).abs().le(asymmetric.scale * 1.0001).all().item<bool>());
    }
  }
  const Affine block = symmetric_affine(ranges_of(x, Granularity::per_block, 1, 32), 8);
  EXPECT_EQ(block.scale.size(1), 2);
  EXPECT_LE((dequantize(quantize(x, block, 1, 32), block, 1, 32) - x).abs().max().item<float>(), 0.5001f * block.scale.max().item<float>());
}

TEST(Affine, ZerosAndTinyRangesGetScaleOne) {
  EXPECT_EQ(symmetric_affine(ranges_of(at::zeros({4}), Granularity::per_tensor), 8).scale.item<float>(), 1);
  EXPECT_EQ(symmetric_affine(ranges_of(at::full({4}, 1e-39), Granularity::per_tensor), 8).scale.item<float>(), 1);
  EXPECT_EQ(asymmetric_affine(ranges_of(at::zeros({4}), Granularity::per_tensor), 8).zero_point.item<int>(), 0);
}

TEST(Affine, LeastSquaresScaleBeatsTheFullRange) {
  Tensor rows = random_tensor({4, 300}, 5);
  rows.select(1, 0).fill_(8);                // an outlier per row
  const auto error = [&](const Tensor& scale) {
    return (at::round(rows / scale.unsqueeze(1)).clamp(-8, 7) * scale.unsqueeze(1) - rows).square().sum(1);
  };
  const Tensor full = rows.abs().amax(1) / 7, best = least_squares_scale(rows, -8, 7, 60);
  EXPECT_TRUE(error(best).lt(error(full)).all().item<bool>());
  EXPECT_TRUE(at::equal(least_squares_scale(at::zeros({2, 5}), -8, 7, 60), at::ones({2})));
}

TEST(Affine, BalancedCodesSumToTheRow) {
  Tensor rows = random_tensor({16, 64}, 8);
  rows.select(1, 3).fill_(0);
  const Tensor scale = rows.abs().amax(1) / 7, codes = balanced_codes(rows, scale, -8, 7), exact = rows / scale.unsqueeze(1);
  EXPECT_LE((codes - exact).sum(1).abs().max().item<float>(), 0.5001f);
  EXPECT_LT((codes - exact).abs().max().item<float>(), 1.0f);
  EXPECT_EQ(codes.select(1, 3).abs().max().item<float>(), 0);
}

TEST(Affine, SqnrOfKnownNoise) {
  EXPECT_NEAR(sqnr_db(at::full({4}, 10.0), at::full({4}, 11.0)), 20, 1e-9);
  EXPECT_EQ(sqnr_db(at::ones({3}), at::ones({3})), 200);
}

}  // namespace
}  // namespace niwaki
