#include "passes/prune/refit.h"

#include "compress/parallel.h"
#include "passes/prune/importance.h"
#include "passes/prune/sparse_gpt.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

struct Layer {
  Tensor weights, gram, mask;
};
Layer layer(int64_t rows, int64_t size, uint64_t seed) {
  const Tensor x = random_tensor({size, size}, seed).to(at::kDouble).mm(random_tensor({size, 3 * size}, seed + 1).to(at::kDouble));
  Layer made{random_tensor({rows, size}, seed + 2).to(at::kDouble), x.mm(x.t()), {}};
  made.mask = lowest_mask(wanda_scores(made.weights, made.gram), rows * size / 2);
  return made;
}
double largest(const Tensor& x) { return x.abs().max().item<double>(); }

TEST(Refit, GradientIsZeroOnTheKeptWeights) {               // T6
  const Layer one = layer(12, 60, 1);
  SolveRecord record;
  const Tensor start = at::where(one.mask, one.weights, 0.0);
  const Tensor fitted = refit(one.weights, start, one.mask, one.gram, 0.01, &record);
  const Tensor damped = one.gram + record.lambda * at::eye(60, at::kDouble);
  const auto gradient = [&](const Tensor& w) { return at::where(one.mask, (w - one.weights).mm(damped), 0.0); };
  EXPECT_LT(largest(gradient(fitted)) / largest(damped), 1e-9);
  EXPECT_GT(largest(gradient(start)) / largest(damped), 1e-3);       // control
  EXPECT_LT(output_error(fitted, one.weights, one.gram), 0.5 * output_error(start, one.weights, one.gram));
  EXPECT_TRUE((fitted.masked_select(~one.mask) == 0).all().item<bool>());
  EXPECT_FALSE(((fitted == 0) & fitted.signbit()).any().item<bool>());
  EXPECT_LT(largest(refit(one.weights, at::zeros_like(start), one.mask, one.gram) - fitted), 1e-9);   // start does not matter
}

TEST(Refit, IsNeverWorseThanSparseGptOnItsMask) {
  const Layer one = layer(20, 80, 4);
  const SparseWeights sparse = sparse_gpt(one.weights, one.gram, 1120);
  const Tensor fitted = refit(one.weights, sparse.weights, sparse.mask, one.gram);
  EXPECT_LT(output_error(fitted, one.weights, one.gram), output_error(sparse.weights, one.weights, one.gram));
}

TEST(Refit, RowsOfEqualMasksShareAFactorAndAgree) {
  Layer one = layer(6, 40, 7);
  one.mask = one.mask[0].unsqueeze(0).expand({6, 40}).contiguous();
  const Tensor all = refit(one.weights, one.weights, one.mask, one.gram);
  for (int64_t row = 0; row < 6; ++row) {
    const auto part = [&](const Tensor& x) { return x.slice(0, row, row + 1); };
    EXPECT_LT(largest(refit(part(one.weights), part(one.weights), part(one.mask), one.gram) - part(all)), 1e-9);
  }
}

TEST(Refit, EmptyRowsAndDeadInputs) {
  Layer one = layer(3, 10, 9);
  one.gram[4].zero_();
  one.gram.select(1, 4).zero_();
  one.mask.fill_(true);
  one.mask[1].fill_(false);
  one.mask[0][2] = false;
  const Tensor fitted = refit(one.weights, one.weights, one.mask, one.gram);
  EXPECT_EQ(largest(fitted[1]), 0);
  EXPECT_EQ(fitted[0][4].item<double>(), one.weights[0][4].item<double>());
  EXPECT_TRUE(at::allclose(fitted[2], one.weights[2]));
  EXPECT_TRUE(at::equal(refit(one.weights, one.weights, one.mask, at::zeros({10, 10})), at::where(one.mask, one.weights, 0.0)));
}

TEST(Refit, BlocksOfColumnsComeNearAndThreadsDoNotMatter) {
  const Layer one = layer(4, 2100, 11);
  set_num_threads(1);
  const Tensor start = at::where(one.mask, one.weights, 0.0);
  const Tensor fitted = refit(one.weights, start, one.mask, one.gram);
  EXPECT_LT(output_error(fitted, one.weights, one.gram), output_error(start, one.weights, one.gram));
  set_num_threads(2);
  EXPECT_TRUE(at::equal(fitted, refit(one.weights, start, one.mask, one.gram)));
  set_num_threads(0);
}

}  // namespace
}  // namespace niwaki
