#include "compress/packing.h"

#include "compress/error.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

std::vector<int> bytes_of(const Tensor& packed) {
  return {packed.const_data_ptr<uint8_t>(), packed.const_data_ptr<uint8_t>() + packed.numel()};
}

TEST(Pack, FirstElementIsInTheLowBits) {
  EXPECT_EQ(bytes_of(pack(at::tensor({1, 2, 3}), DType::uint4)), (std::vector<int>{0x21, 0x03}));
  EXPECT_EQ(bytes_of(pack(at::tensor({-1, 7, -8}), DType::int4)), (std::vector<int>{0x7f, 0x08}));
  EXPECT_EQ(bytes_of(pack(at::tensor({0, 1, 2, 3, 3}), DType::uint2)), (std::vector<int>{0xe4, 0x03}));
  EXPECT_EQ(bytes_of(pack(at::tensor({-2, -1, 0, 1}), DType::int2)), (std::vector<int>{0x4e}));
  EXPECT_EQ(bytes_of(pack(at::tensor({0.5f, -6.0f}), DType::float4e2m1)), (std::vector<int>{0xf1}));
}

TEST(Pack, ComesBackForEveryCodeAndAnyCount) {
  const auto check = [](DType dtype, int low, int high) {
    for (int64_t count = 0; count < 9; ++count) {
      Tensor codes = at::empty({count}, at::kInt);
      for (int64_t i = 0; i < count; ++i) codes[i] = low + static_cast<int>((3 * i + count) % (high - low + 1));
      const Tensor packed = pack(codes, dtype);
      EXPECT_EQ(packed.numel(), (count * bits_of(dtype) + 7) / 8);
      EXPECT_TRUE(at::equal(unpack(packed, dtype, count).to(at::kInt), codes)) << name_of(dtype) << " " << count;
    }
  };
  check(DType::int4, -8, 7);
  check(DType::uint4, 0, 15);
  check(DType::int2, -2, 1);
  check(DType::uint2, 0, 3);
}

TEST(Pack, EveryByteOfFloat4ComesBack) {
  Tensor bytes = at::arange(256, at::kByte);
  const Tensor numbers = unpack(bytes, DType::float4e2m1, 512);
  EXPECT_EQ(numbers.abs().max().item<float>(), 6.0f);
  EXPECT_TRUE(at::equal(pack(numbers, DType::float4e2m1), bytes));   // -0 keeps its sign
  EXPECT_THROW(pack(at::tensor({0.7f}), DType::float4e2m1), InternalError);
}

TEST(Pack, TakesAnyShape) {
  const Tensor codes = at::tensor({1, 2, 3, 4, 5, 6}).reshape({2, 3});
  EXPECT_TRUE(at::equal(pack(codes.t(), DType::uint4), pack(at::tensor({1, 4, 2, 5, 3, 6}), DType::uint4)));
}

}  // namespace
}  // namespace niwaki
