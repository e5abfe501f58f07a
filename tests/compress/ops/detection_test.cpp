#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

TEST(Detection, SuppressionKeepsTheBestOfEachCluster) {
  const Tensor boxes = at::tensor({0.0, 0.0, 1.0, 1.0, 0.0, 0.1, 1.0, 1.1, 0.0, 10.0, 1.0, 11.0}, at::kFloat).reshape({1, 3, 4});
  const Tensor scores = at::tensor({0.6, 0.9, 0.5}, at::kFloat).reshape({1, 1, 3});
  const Tensor most = at::tensor({3}, at::kLong), limit = at::tensor({0.5}, at::kFloat), least = at::tensor({0.0}, at::kFloat);
  expect_equal(run_tensor("NonMaxSuppression", 11, {boxes, scores, most, limit, least}), at::tensor({0, 0, 1, 0, 0, 2}, at::kLong).reshape({2, 3}));
  EXPECT_EQ(run_tensor("NonMaxSuppression", 11, {boxes, scores}).sizes(), at::IntArrayRef({0, 3}));
}

TEST(Detection, RoiAlignOfAPlaneIsThePlane) {
  const Tensor x = at::arange(64, at::kFloat).reshape({1, 1, 8, 8});        // linear: averages are values at centres
  const Tensor rois = at::tensor({1.5, 1.5, 5.5, 5.5}, at::kFloat).reshape({1, 4}), batch = at::tensor({0}, at::kLong);
  const Tensor y = run_tensor("RoiAlign", 16, {x, rois, batch}, {{"output_height", int64_t{2}}, {"output_width", int64_t{2}}, {"sampling_ratio", int64_t{2}}});
  EXPECT_TRUE(at::allclose(y, at::tensor({18.0F, 20.0F, 34.0F, 36.0F}).reshape({1, 1, 2, 2}))) << y;
}

TEST(Detection, GridSampleOfTheIdentityGridIsTheImage) {
  const Tensor x = at::randn({1, 2, 3, 3});
  const Tensor axis = at::tensor({-1.0F, 0.0F, 1.0F});
  const Tensor grid = at::stack({axis.expand({3, 3}), axis.unsqueeze(1).expand({3, 3})}, -1).unsqueeze(0);
  EXPECT_TRUE(at::allclose(run_tensor("GridSample", 16, {x, grid}, {{"align_corners", int64_t{1}}}), x, 1e-5, 1e-6));
}

}  // namespace
}  // namespace niwaki
