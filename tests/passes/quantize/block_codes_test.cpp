#include "passes/quantize/block_codes.h"

#include "compress/error.h"
#include "compress/parallel.h"
#include "passes/quantize/affine.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(BlockCodes, ErrorsStayWithinHalfAStepOfTheFullRange) {
  const Tensor rows = random_tensor({5, 96});
  for (const bool symmetric : {false, true}) {
    const BlockCodes blocks = quantize_blocks(rows, 8, 32, symmetric);
    const Tensor error = (dequantize_blocks(blocks, 96) - rows).abs().reshape({5, 3, 32}).square().mean(-1).sqrt();
    EXPECT_TRUE((error <= blocks.scale * 0.5 + 1e-6).all().item<bool>());
    EXPECT_GT(sqnr_db(rows, dequantize_blocks(blocks, 96)), 40);
  }
}

TEST(BlockCodes, ShrinkingBeatsTheFullRange) {
  Tensor rows = random_tensor({16, 64});
  rows.select(1, 3) *= 4;                    // an outlier in each first block
  const BlockCodes blocks = quantize_blocks(rows, 4, 32, false);
  const Affine full = asymmetric_affine(ranges_of(rows, Granularity::per_block, 1, 32), 4);
  const Tensor plain = dequantize(quantize(rows, full, 1, 32), full, 1, 32);
  const auto loss = [&](const Tensor& y) { return (y - rows).abs().pow(2.5).sum().item<double>(); };
  EXPECT_LT(loss(dequantize_blocks(blocks, 64)), 0.95 * loss(plain));
}

TEST(BlockCodes, ZerosStayZerosAndTheLastBlockIsShort) {
  Tensor rows = random_tensor({4, 50}).abs() + 1;                // all positive: zero_point is 0
  rows.select(1, 7).zero_();
  rows.select(0, 2).zero_();                                    // blocks of zeros
  const BlockCodes blocks = quantize_blocks(rows, 4, 16, false);
  EXPECT_EQ(blocks.codes.sizes(), (std::vector<int64_t>{4, 64}));
  EXPECT_EQ(blocks.scale.sizes(), (std::vector<int64_t>{4, 4}));
  const Tensor y = dequantize_blocks(blocks, 50);
  EXPECT_EQ(y.select(1, 7).abs().max().item<float>(), 0);
  EXPECT_EQ(y.select(0, 2).abs().max().item<float>(), 0);
  EXPECT_TRUE(at::equal(blocks.codes.narrow(1, 50, 14), blocks.zero_point.narrow(1, 3, 1).expand({4, 14})));
  EXPECT_EQ(blocks.codes.max().item<int>(), 15);
}

TEST(BlockCodes, SymmetricCodesReachTheLowEnd) {
  Tensor rows = at::full({1, 16}, 3.0);
  rows[0][0] = -8;
  const BlockCodes blocks = quantize_blocks(rows, 4, 16, true);
  EXPECT_EQ(blocks.zero_point.item<int>(), 8);
  EXPECT_EQ(blocks.codes[0][0].item<int>(), 0);                 // -8: finer than -7 of a range that is symmetric
  EXPECT_NEAR(dequantize_blocks(blocks, 16)[0][0].item<float>(), -8, 0.1);
}

TEST(BlockCodes, NumbersTooSmallToDivideByBecomeZeros) {
  const BlockCodes blocks = quantize_blocks(at::full({2, 16}, 1e-39), 4, 16, false);
  EXPECT_EQ(blocks.scale.max().item<float>(), 1);
  EXPECT_EQ(dequantize_blocks(blocks, 16).abs().max().item<float>(), 0);
}

TEST(BlockCodes, SameCodesOnAnyNumberOfThreads) {
  const Tensor rows = random_tensor({100, 70});
  set_num_threads(1);
  const BlockCodes one = quantize_blocks(rows, 4, 32, false);
  set_num_threads(4);
  const BlockCodes four = quantize_blocks(rows, 4, 32, false);
  set_num_threads(0);
  EXPECT_TRUE(at::equal(one.codes, four.codes) && at::equal(one.scale, four.scale) && at::equal(one.zero_point, four.zero_point));
}

TEST(BlockCodes, RefusesBlocksThatAreNoMultipleOf16) { EXPECT_THROW(quantize_blocks(at::ones({1, 8}), 4, 8, false), InternalError); }

}  // namespace
}  // namespace niwaki
