#include "compress/ops/cast.h"

#include "compress/error.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Tensor through(const Tensor& x, DType to, const CastRules& rules = {}) {
  return cast_value(RunValue(x), to, rules).tensor.to(at::kFloat);
}

TEST(Cast, Float8SaturatesUnlessToldOtherwise) {
  const Tensor x = at::tensor({1e6f, -1e6f, 0.5f});
  EXPECT_TRUE(at::equal(through(x, DType::float8e4m3fn), at::tensor({448.f, -448.f, 0.5f})));
  EXPECT_TRUE(at::equal(through(x, DType::float8e5m2), at::tensor({57344.f, -57344.f, 0.5f})));
  const CastRules open{.saturate = false};
  EXPECT_TRUE(through(x, DType::float8e4m3fn, open).isnan()[0].item<bool>());
  EXPECT_TRUE(through(x, DType::float8e5m2, open).isinf()[0].item<bool>());
  EXPECT_EQ(through(at::tensor({464.f}), DType::float8e4m3fn, open).item<float>(), 448);
}

TEST(Cast, Float4RoundsTiesToTheEvenCode) {
  const Tensor x = at::tensor({0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, 100.f});
  const Tensor wanted = at::tensor({0.f, 1.f, 1.f, 2.f, 2.f, 4.f, 4.f, 6.f});
  EXPECT_TRUE(at::equal(through(x, DType::float4e2m1), wanted));
}

TEST(Cast, FewBitsKeepTheLowOnes) {
  const RunValue y = cast_value(RunValue(at::tensor({7, 8, -9})), DType::int4);
  EXPECT_EQ(y.dtype, DType::int4);
  EXPECT_TRUE(at::equal(y.tensor, at::tensor({7, -8, 7}).to(at::kChar)));
}

TEST(Cast, StringsAreParsedAndPrinted) {
  RunValue words;
  words.dtype = DType::string;
  words.strings = std::make_shared<Strings>(Strings{"3.5", "-1e-3", "+inf", " 7 "});
  words.sizes = {2, 2};
  const Tensor y = cast_value(words, DType::float32).tensor;
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{2, 2}));
  EXPECT_FLOAT_EQ(y[0][1].item<float>(), -1e-3f);
  EXPECT_TRUE(std::isinf(y[1][0].item<float>()));
  const RunValue printed = cast_value(RunValue(at::tensor({0.1f, 12.0f})), DType::string);
  EXPECT_EQ(*printed.strings, (Strings{"0.1", "12"}));
  words.strings = std::make_shared<Strings>(Strings{"1", "2", "x", "4"});
  EXPECT_THROW(cast_value(words, DType::int32), ModelError);
}

TEST(Cast, KeepsTheGradient) {
  const Tensor x = at::ones({3}).set_requires_grad(true);
  cast_value(RunValue(x), DType::float64).tensor.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::ones({3})));
}

}  // namespace
}  // namespace niwaki
