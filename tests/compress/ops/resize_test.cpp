#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

constexpr double kGradient = 1e-6;

Tensor sizes_of(std::vector<int64_t> sizes) { return at::tensor(sizes, at::kLong); }

TEST(Resize, GradientsAreThoseOfFiniteDifferences) {
  const Tensor x = smooth_numbers({1, 2, 3, 4}), none;
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    const Attributes attributes{{"mode", mode}};
    EXPECT_LT(gradient_error("Resize", 13, {x, none, none, sizes_of({1, 2, 5, 3})}, attributes), kGradient) << mode;
  }
}

TEST(Resize, AgreesWithBilinearOfATen) {
  const Tensor x = smooth_numbers({1, 2, 7, 5}), none;
  const Tensor y = run_tensor("Resize", 13, {x, none, none, sizes_of({1, 2, 11, 9})}, {{"mode", "linear"}});
  EXPECT_TRUE(at::allclose(y, at::upsample_bilinear2d(x, {11, 9}, /*align_corners=*/false)));
  const Attributes corners{{"mode", "linear"}, {"coordinate_transformation_mode", "align_corners"}};
  EXPECT_TRUE(at::allclose(run_tensor("Resize", 13, {x, none, none, sizes_of({1, 2, 11, 9})}, corners),
                           at::upsample_bilinear2d(x, {11, 9}, /*align_corners=*/true)));
}

TEST(Resize, NearestWorksOnIntegersAndOnAnyAxis) {
  const Tensor x = at::arange(6, at::kInt).reshape({2, 3});
  const Tensor y = run_tensor("Upsample", 9, {x, at::tensor({2.f, 1.f})}, {{"mode", "nearest"}});
  expect_equal(y, x.repeat_interleave(2, 0));
}

TEST(Resize, AScaledSizeIsRoundedInFloat32) {
  const Tensor y = run_tensor("Resize", 10, {at::ones({10}), at::tensor({0.7f})});
  EXPECT_EQ(y.size(0), 7);
}

TEST(Resize, RefusesWhatMakesNoSense) {
  const Tensor x = at::ones({2, 3});
  EXPECT_EQ(refusal("Resize", 10, {x, at::tensor({1.f})}), "E1108: Resize: scales has 1 numbers, not 2");
  EXPECT_EQ(refusal("Resize", 10, {x, at::tensor({1.f, 0.f})}), "E1108: Resize: scale 0 of axis 1 is not positive");
  EXPECT_EQ(refusal("Resize", 10, {x, at::tensor({1e9f, 1e9f})}).substr(0, 5), "E1004");
}

}  // namespace
}  // namespace niwaki
