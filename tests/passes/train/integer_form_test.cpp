#include "passes/train/integer_form.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Constant packed_constant(std::vector<int64_t> sizes) { return make_constant(at::zeros(sizes, at::kByte)); }

TEST(IntegerForm, WritesWhatItReads) {
  at::manual_seed(3);
  const Tensor signed_codes = at::randint(-8, 8, {6, 10}).to(at::kFloat), codes = at::randint(0, 16, {6, 40}).to(at::kFloat);
  const Constant int4 = make_constant(at::zeros({6, 10}, at::kChar), DType::int4);
  EXPECT_TRUE(at::equal(read_codes(write_codes(int4, {}, signed_codes, {}), {}, {6, 10}), signed_codes));
  const Constant pairs = packed_constant({6, 5});
  EXPECT_TRUE(at::equal(read_codes(write_codes(pairs, {}, signed_codes, {}), {}, {6, 10}), signed_codes));
  const IntegerForm rows{IntegerForm::Kind::rows, 4, 16};
  EXPECT_TRUE(at::equal(read_codes(write_codes(packed_constant({6, 20}), rows, codes, {}), rows, {6, 40}), codes));
  const IntegerForm blocks{IntegerForm::Kind::blocks, 4, 16};
  const Constant written = write_codes(packed_constant({6, 3, 8}), blocks, codes, at::full({6, 3}, 5.0f));
  EXPECT_TRUE(at::equal(read_codes(written, blocks, {6, 40}), codes));
  EXPECT_TRUE(read_codes(written, blocks, {6, 48}).narrow(1, 40, 8).eq(5).all().item<bool>());   // filled up
  const IntegerForm wide{IntegerForm::Kind::blocks, 8, 16};
  EXPECT_TRUE(at::equal(read_codes(write_codes(packed_constant({6, 3, 16}), wide, codes, at::full({6, 3}, 128.0f)), wide, {6, 40}), codes));
}

}  // namespace
}  // namespace niwaki
