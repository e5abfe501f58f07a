#include "compress/tensor.h"

#include <gtest/gtest.h>

#include <set>

namespace niwaki {
namespace {

const DType kLast = DType::int2;

TEST(DTypes, HaveNamesAndWidths) {
  std::set<std::string> seen;
  for (int i = 1; i <= static_cast<int>(kLast); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_TRUE(is_known(dtype)) << i;
    EXPECT_TRUE(seen.insert(name_of(dtype)).second) << i;
    EXPECT_EQ(bits_of(dtype) > 0, dtype != DType::string) << i;
  }
  EXPECT_EQ(name_of(DType::float8e4m3fn), "float8e4m3fn");
  EXPECT_EQ(name_of(static_cast<DType>(99)), "type 99");
  EXPECT_EQ(name_of(static_cast<DType>(-1)), "type -1");
  EXPECT_FALSE(is_known(DType::undefined));
  EXPECT_FALSE(is_known(static_cast<DType>(27)));
  EXPECT_FALSE(is_known(static_cast<DType>(-1)));
}

TEST(DTypes, WidthIsThatOfAtenUnlessPacked) {
  for (int i = 1; i <= static_cast<int>(kLast); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (dtype == DType::string || is_packed(dtype)) continue;
    EXPECT_EQ(static_cast<int>(at::elementSize(scalar_type(dtype))) * 8, bits_of(dtype)) << name_of(dtype);
    EXPECT_EQ(dtype_of(scalar_type(dtype)), dtype) << name_of(dtype);
  }
}

TEST(DTypes, PackedTypesAreNarrowerThanAByte) {
  for (const DType dtype : {DType::int4, DType::uint4, DType::float4e2m1, DType::int2, DType::uint2}) EXPECT_TRUE(is_packed(dtype));
  for (const DType dtype : {DType::int8, DType::string, DType::float8e8m0, DType::undefined}) EXPECT_FALSE(is_packed(dtype));
  EXPECT_EQ(scalar_type(DType::int4), at::kChar);
  EXPECT_EQ(scalar_type(DType::uint2), at::kByte);
  EXPECT_EQ(scalar_type(DType::float4e2m1), at::kFloat);
}

TEST(DTypes, FloatsAreFloats) {
  EXPECT_TRUE(is_float(DType::bfloat16));
  EXPECT_TRUE(is_float(DType::float4e2m1));
  EXPECT_FALSE(is_float(DType::complex64));
  EXPECT_FALSE(is_float(DType::int8));
  EXPECT_FALSE(is_float(DType::undefined));
}

}  // namespace
}  // namespace niwaki
