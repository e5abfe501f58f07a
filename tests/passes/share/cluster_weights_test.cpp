#include "passes/share/cluster_weights.h"

#include "compress/parallel.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Tensor weights(int64_t count = 5000) { return random_tensor({count}, 3).to(at::kDouble); }
double error(const Codebook& codebook, const Tensor& w) { return (shared_values(codebook) - w).square().sum().item<double>(); }

TEST(ClusterWeights, ObjectiveNeverGrows) {                  // T45
  const Tensor w = weights(), importance = random_tensor({5000}, 5).to(at::kDouble).square() + 0.01;
  for (const double rate : {0.0, 0.001, 0.05}) {
    for (const bool keeps_zeros : {false, true}) {
      const Codebook codebook = cluster_weights(w, importance, {.size = 16, .keeps_zeros = keeps_zeros, .rate = rate});
      ASSERT_GT(codebook.objective.size(), 2u);
      for (size_t i = 1; i < codebook.objective.size(); ++i) EXPECT_LE(codebook.objective[i], codebook.objective[i - 1] * (1 + 1e-12));
    }
  }
}

TEST(ClusterWeights, ZerosStayZero) {
  Tensor w = weights();
  w.masked_fill_(w.abs() < 1, 0);
  const Codebook codebook = cluster_weights(w, {}, {.size = 8, .keeps_zeros = true});
  EXPECT_LE(codebook.centroids.size(), 8u);
  EXPECT_NE(std::find(codebook.centroids.begin(), codebook.centroids.end(), 0.0), codebook.centroids.end());
  EXPECT_TRUE(((shared_values(codebook) == 0) >= (w == 0)).all().item<bool>());
}

TEST(ClusterWeights, FindsTheNumbersThatThereAre) {
  const Tensor numbers = at::tensor({-2.0, -0.5, 0.25, 3.0}, at::kDouble);
  const Tensor w = numbers.index_select(0, at::arange(400, at::kLong) % 4);
  EXPECT_NEAR(error(cluster_weights(w, {}, {.size = 16}), w), 0, 1e-20);
}

TEST(ClusterWeights, ImportantWeightsMoveLess) {
  const Tensor w = weights();
  const Tensor importance = (at::arange(5000, at::kLong) % 2).to(at::kDouble) * 100 + 0.01;
  const Tensor moved = (shared_values(cluster_weights(w, importance, {.size = 4})) - w).square();
  const Tensor plain = (shared_values(cluster_weights(w, {}, {.size = 4})) - w).square();
  EXPECT_LT((moved * importance).sum().item<double>(), (plain * importance).sum().item<double>());
}

TEST(ClusterWeights, ARateTakesFewerOrCheaperCentroids) {
  const Tensor w = weights();
  const auto entropy = [&](double rate) {
    const Codebook codebook = cluster_weights(w, {}, {.size = 32, .rate = rate});
    const Tensor share = at::bincount(codebook.indices).to(at::kDouble) / 5000.0;
    return -at::xlogy(share, share).sum().item<double>();
  };
  EXPECT_LT(entropy(0.02), entropy(0) - 0.1);
}

TEST(ClusterWeights, IsTheSameOnAnyNumberOfThreads) {
  const int before = num_threads();
  set_num_threads(1);
  const Codebook one = cluster_weights(weights(100000), {}, {.size = 16});
  set_num_threads(4);
  const Codebook four = cluster_weights(weights(100000), {}, {.size = 16});
  set_num_threads(before);
  EXPECT_EQ(one.centroids, four.centroids);
  EXPECT_TRUE(at::equal(one.indices, four.indices));
}

TEST(ClusterWeights, TakesEmptyAndConstantTensors) {
  EXPECT_TRUE(cluster_weights(at::zeros({0}, at::kDouble), {}, {}).centroids.empty());
  EXPECT_EQ(cluster_weights(at::full({10}, 2.5, at::kDouble), {}, {}).centroids, std::vector<double>{2.5});
}

}  // namespace
}  // namespace niwaki
