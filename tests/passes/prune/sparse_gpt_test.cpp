#include "passes/prune/sparse_gpt.h"

#include "compress/parallel.h"
#include "passes/prune/importance.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <cmath>

namespace niwaki {
namespace {

Tensor correlated(int64_t size, int64_t samples, uint64_t seed) {
  return random_tensor({size, size}, seed).to(at::kDouble).mm(random_tensor({size, samples}, seed + 1).to(at::kDouble));
}
Tensor gram_of(const Tensor& x) { return x.mm(x.t()); }
int64_t zeros(const Tensor& w) { return (w == 0).sum().item<int64_t>(); }
bool has_negative_zero(const Tensor& w) { return ((w == 0) & w.signbit()).any().item<bool>(); }

TEST(SparseGpt, CertificateIsTheTrueLossOverLiveColumns) {  // T3
  Tensor x = correlated(150, 400, 1);
  x[7].zero_();
  x[90].zero_();
  const Tensor gram = gram_of(x), w = random_tensor({40, 150}, 3).to(at::kDouble);
  for (const int64_t step : {8, 32, 150}) {
    const SparseWeights sparse = sparse_gpt(w, gram, 3000, {.step = step});
    Tensor change = sparse.weights - w;
    change.select(1, 7).zero_();
    change.select(1, 90).zero_();
    const double loss = output_error(change, at::zeros_like(w), gram) + sparse.record.lambda * change.square().sum().item<double>();
    EXPECT_NEAR(sparse.loss / loss, 1, 1e-10);
    EXPECT_EQ(zeros(sparse.weights), 3000);
    EXPECT_FALSE(has_negative_zero(sparse.weights));
    EXPECT_TRUE(at::equal(sparse.mask, sparse.weights != 0));
    EXPECT_EQ(sparse.record.num_live, 148);
    EXPECT_EQ(zeros(sparse.weights.select(1, 7)), 40);      // what no sample excites goes first
  }
}

TEST(SparseGpt, BeatsWandaBeatsMagnitude) {                 // T4
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const Tensor scale = at::exp(random_tensor({64, 1}, seed + 50).to(at::kDouble));
    const Tensor gram = gram_of(correlated(64, 200, seed) * scale), w = random_tensor({32, 64}, seed + 9).to(at::kDouble);
    const auto error = [&](const Tensor& mask) { return output_error(at::where(mask, w, 0.0), w, gram); };
    const double magnitude = error(lowest_mask(magnitude_scores(w), 1024)), wanda = error(lowest_mask_by_row(wanda_scores(w, gram), 1024));
    const double sparse = output_error(sparse_gpt(w, gram, 1024).weights, w, gram);
    EXPECT_LT(sparse, wanda);
    EXPECT_LT(wanda, magnitude);
  }
}

TEST(SparseGpt, PatternKeepsTwoOfFourAlongTheInputsOfATap) {   // T12
  Tensor x = correlated(6 * 3, 100, 4);
  x[3].zero_();                              // input 1 of tap 0
  const Tensor gram = gram_of(x), w = random_tensor({10, 18}, 5).to(at::kDouble);
  const ColumnGroups groups = column_groups(6, 3, 4);
  const SparseWeights sparse = sparse_gpt(w, gram, 0, {.groups = &groups, .num_kept = 2});
  const Tensor kept = sparse.mask.reshape({10, 6, 3});
  EXPECT_TRUE((kept.slice(1, 0, 4).sum(1) == 2).all().item<bool>());
  EXPECT_TRUE((kept.slice(1, 4, 6).sum(1) == 2).all().item<bool>());
  EXPECT_FALSE(kept.select(1, 1).select(1, 0).any().item<bool>());
  Tensor change = sparse.weights - w;
  change.select(1, 3).zero_();
  const double loss = output_error(change, at::zeros_like(w), gram) + sparse.record.lambda * change.square().sum().item<double>();
  EXPECT_NEAR(sparse.loss / loss, 1, 1e-10);
  EXPECT_LT(loss, output_error(at::where(pattern_mask(w.abs(), groups, 2), w, 0.0), w, gram));
}

TEST(SparseGpt, ZerosStayAndCountsHold) {                   // T36
  const Tensor gram = gram_of(correlated(50, 200, 6));
  const Tensor w = at::where(random_tensor({20, 50}, 7) > 0.3, 0.0, random_tensor({20, 50}, 8).to(at::kDouble));
  const int64_t before = zeros(w);
  for (const int64_t count : {before / 2, before, before + 200}) {
    const Tensor after = sparse_gpt(w, gram, count).weights;
    EXPECT_EQ(zeros(after), std::max(before, count));
    EXPECT_TRUE((after.masked_select(w == 0) == 0).all().item<bool>());
  }
}

TEST(SparseGpt, EdgesGiveNumbers) {                         // T13
  const Tensor w = random_tensor({3, 4}, 1).to(at::kDouble);
  const SparseWeights dead = sparse_gpt(w, at::zeros({4, 4}), 5);
  EXPECT_EQ(dead.record.num_live, 0);
  EXPECT_TRUE(at::equal(dead.mask, lowest_mask(w.abs(), 5)));
  EXPECT_EQ(zeros(sparse_gpt(w, at::eye(4), 12).weights), 12);
  EXPECT_TRUE(at::equal(sparse_gpt(w, at::eye(4), 0).weights, w));
  const Tensor one = at::ones({4, 1}, at::kDouble);
  EXPECT_EQ(zeros(sparse_gpt(w, one.mm(one.t()), 6).weights), 6);
  EXPECT_EQ(zeros(sparse_gpt(at::ones({1, 1}), at::ones({1, 1}), 1).weights), 1);
}

TEST(SparseGpt, SameBytesOnAnyNumberOfThreads) {            // T17
  const Tensor gram = gram_of(correlated(200, 300, 6)), w = random_tensor({300, 200}, 7).to(at::kDouble);
  set_num_threads(1);
  const Tensor one = sparse_gpt(w, gram, 30000).weights;
  set_num_threads(2);
  EXPECT_TRUE(at::equal(one, sparse_gpt(w, gram, 30000).weights));
  set_num_threads(0);
}

}  // namespace
}  // namespace niwaki
