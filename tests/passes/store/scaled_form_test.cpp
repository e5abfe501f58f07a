#include "passes/store/scaled_form.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// Forms of codes [16, 8, 3, 3] times scales of this shape; all of them give the numbers back.
size_t forms_with_scales(std::vector<int64_t> sizes) {
  const Tensor codes = (random_tensor({16, 8, 3, 3}, 1) * 40).round().clamp(-127, 127) + 0.0f;   // no -0
  const Constant constant = make_constant(codes * (random_tensor(std::move(sizes), 2).abs() + 0.01f));
  const auto forms = scaled_forms(constant);
  for (const StoredForm& form : forms) EXPECT_TRUE(same_content(expanded(Graph(), form), constant));
  return forms.size();
}

TEST(ScaledForm, FindsScalesPerTensorAndPerAxis) {
  EXPECT_GE(forms_with_scales({1}), 3u);     // what is one scale is many, too
  EXPECT_GE(forms_with_scales({16, 1, 1, 1}), 1u);
  EXPECT_GE(forms_with_scales({1, 8, 1, 1}), 1u);
  EXPECT_GE(forms_with_scales({16, 8, 1, 1}), 1u);
  EXPECT_EQ(forms_with_scales({16, 8, 3, 1}), 0u);
}

TEST(ScaledForm, FindsScalesPerBlock) {
  const Tensor codes = (random_tensor({8, 4, 32}, 1) * 3).round().clamp(-8, 7) + 0.0f, scales = random_tensor({8, 4, 1}, 2).abs() + 0.1f;
  const Constant constant = make_constant((codes * scales).reshape({8, 128}));
  const auto forms = scaled_forms(constant);
  ASSERT_GE(forms.size(), 1u);
  for (const StoredForm& form : forms) EXPECT_TRUE(same_content(expanded(Graph(), form), constant));
}

TEST(ScaledForm, LeavesOtherNumbersAlone) {
  EXPECT_TRUE(scaled_forms(make_constant(random_tensor({64, 64}, 1))).empty());
  Tensor broken = ((random_tensor({8, 64}, 1) * 20).round() + 0.0f) * 0.37f;
  broken[3][5] += 0.01f;
  EXPECT_TRUE(scaled_forms(make_constant(broken)).empty());
  broken[3][5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(scaled_forms(make_constant(broken)).empty());
  EXPECT_TRUE(scaled_forms(make_constant((random_tensor({8, 64}, 1) * 20).to(at::kLong))).empty());
}

TEST(ScaledForm, ARowOfZerosHasAnyScale) {
  Tensor numbers = ((random_tensor({8, 64}, 1) * 20).round() + 0.0f) * 0.37f;
  numbers[2].zero_();
  EXPECT_GE(scaled_forms(make_constant(numbers)).size(), 1u);
}

}  // namespace
}  // namespace niwaki
