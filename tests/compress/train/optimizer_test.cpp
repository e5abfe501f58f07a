#include "compress/train/optimizer.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

// w = 1, gradients 0.5 and -1: by hand, and as torch.optim has them.
TEST(Optimizer, AdamWOfTwoStepsByHand) {
  const Tensor w = at::tensor({1.0});
  Moments moments = make_moments({w}, OptimizerKind::adamw);
  const StepOptions options{OptimizerKind::adamw, 0.1, 0.01};
  update(w, at::tensor({0.5}), moments, 0, options);
  double want = 1 * (1 - 0.1 * 0.01) - 0.1 * 0.5 / (0.5 + 1e-8);
  EXPECT_NEAR(w.item<double>(), want, 1e-12);
  update(w, at::tensor({-1.0}), moments, 0, options);
  const double first = (0.9 * 0.05 - 0.1) / (1 - 0.81), second = (0.999 * 0.00025 + 0.001) / (1 - 0.998001);
  want = want * (1 - 0.1 * 0.01) - 0.1 * first / (std::sqrt(second) + 1e-8);
  EXPECT_NEAR(w.item<double>(), want, 1e-12);
  EXPECT_EQ(moments.updates[0], 2);
}

TEST(Optimizer, MomentumByHand) {
  const Tensor w = at::tensor({1.0});
  Moments moments = make_moments({w}, OptimizerKind::sgd);
  const StepOptions options{OptimizerKind::sgd, 0.1, 0.5, 0.9};
  update(w, at::tensor({0.5}), moments, 0, options);
  EXPECT_NEAR(w.item<double>(), 0.9, 1e-12);                  // 1 - 0.1 (0.5 + 0.5)
  update(w, at::tensor({-1.0}), moments, 0, options);
  EXPECT_NEAR(w.item<double>(), 0.9 - 0.1 * (0.9 * 1 - 1 + 0.45), 1e-12);
}

TEST(Optimizer, FindsTheLeastOfABowl) {
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    const Tensor w = random_tensor({20}, 1), least = random_tensor({20}, 2);
    Moments moments = make_moments({w}, kind);
    for (int i = 0; i < 300; ++i) update(w, w - least, moments, 0, {kind, 0.03, 0, 0.9});
    EXPECT_LT((w - least).abs().max().item<double>(), 0.02);
  }
}

}  // namespace
}  // namespace niwaki
