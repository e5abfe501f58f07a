#include "passes/prune/importance.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Importance, WandaWeighsByTheInput) {
  const Tensor w = at::tensor({2.0, -1.0, 5.0}, at::kDouble).reshape({1, 3});
  const Tensor gram = at::diag(at::tensor({1.0, 16.0, 0.0}, at::kDouble));
  EXPECT_TRUE(at::allclose(wanda_scores(w, gram), at::tensor({2.0, 4.0, 0.0}, at::kDouble).reshape({1, 3})));
  EXPECT_TRUE(at::allclose(magnitude_scores(w), w.abs()));
}

TEST(Importance, ErrorIsThatOfTheOutputs) {
  const Tensor x = random_tensor({6, 30}, 1).to(at::kDouble), w = random_tensor({4, 6}, 2).to(at::kDouble);
  const Tensor changed = w + 0.1 * random_tensor({4, 6}, 3), gram = x.mm(x.t());
  const double want = (changed - w).mm(x).square().sum().item<double>();
  EXPECT_NEAR(output_error(changed, w, gram) / want, 1, 1e-12);
  EXPECT_NEAR(relative_error(changed, w, gram), want / w.mm(x).square().sum().item<double>(), 1e-12);
  EXPECT_EQ(relative_error(w, at::zeros_like(w), at::zeros({6, 6})), 0);
}

}  // namespace
}  // namespace niwaki
